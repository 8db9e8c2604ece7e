package sandbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	replyWorkers   = 2
	receiptWorkers = 8
	replyBacklog   = 256
	receiptBacklog = 1 << 15
	// Twilio gives a webhook 15 seconds, retry and all.
	webhookTimeout = 15 * time.Second
	// SendGrid posts events again for a day until somebody takes them, after longer and longer pauses.
	firstPause, lastPause = time.Second, 24 * time.Hour
)

func (s *Sandbox) startWorkers() {
	work := func(jobs <-chan func()) {
		for {
			select {
			case <-s.stop.Done():
				return
			case job := <-jobs:
				job()
			}
		}
	}
	for range replyWorkers {
		s.workers.Go(func() { work(s.replies) })
	}
	for range receiptWorkers {
		s.workers.Go(func() { work(s.receipts) })
	}
}

// enqueue hands a job to the workers and never blocks: when the backlog is full
// the webhook is lost, as it would be on a wire.
func (s *Sandbox) enqueue(jobs chan<- func(), job func()) {
	select {
	case jobs <- job:
	default:
		s.lost.Add(1)
	}
}

// callTwilio POSTs a signed form, with one retry, as Twilio does; what fails twice is lost
// and never comes back.
func (s *Sandbox) callTwilio(target string, form url.Values) {
	if target == "" {
		return
	}
	if !s.call(target, s.twilioHeader(target, form), []byte(form.Encode()), 2) {
		s.lost.Add(1)
	}
}

func (s *Sandbox) twilioHeader(target string, form url.Values) http.Header {
	return http.Header{
		"Content-Type":               {"application/x-www-form-urlencoded"},
		"X-Twilio-Signature":         {s.signTwilio(target, form)},
		"I-Twilio-Idempotency-Token": {s.newID("")},
		"User-Agent":                 {"TwilioProxy/1.1"},
	}
}

// signTwilio gives base64(HMAC-SHA1(auth token, URL + each name and value,
// sorted by name)): https://www.twilio.com/docs/usage/webhooks/webhooks-security
func (s *Sandbox) signTwilio(target string, form url.Values) string {
	mac := hmac.New(sha1.New, []byte(s.opt.AuthToken))
	io.WriteString(mac, target)
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[name] {
			io.WriteString(mac, name+value)
		}
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// callSendGrid POSTs signed events until they are taken, as SendGrid does:
// https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
func (s *Sandbox) callSendGrid(events []map[string]any) {
	if target := s.opt.Webhooks.SendGridEvents; target != "" && len(events) > 0 {
		s.tellSendGrid(target, events, firstPause)
	}
}

// tellSendGrid tries once, signed anew, and again after a pause. The signature is ECDSA over
// SHA-256(timestamp ‖ body), ASN.1 in base64:
// https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
func (s *Sandbox) tellSendGrid(target string, events []map[string]any, pause time.Duration) {
	body, err := json.Marshal(events)
	if err != nil {
		s.lost.Add(1)
		return
	}
	stamp := strconv.FormatInt(s.opt.Now().Unix(), 10)
	digest := sha256.Sum256(append([]byte(stamp), body...))
	signature, err := s.opt.SendGridSigning.Sign(s.opt.Rand, digest[:], nil)
	if err != nil {
		s.lost.Add(1)
		return
	}
	if s.call(target, http.Header{
		"Content-Type":                           {"application/json"},
		"X-Twilio-Email-Event-Webhook-Signature": {base64.StdEncoding.EncodeToString(signature)},
		"X-Twilio-Email-Event-Webhook-Timestamp": {stamp},
		"User-Agent":                             {"SendGrid Event API"},
	}, body, 1) {
		return
	}
	if pause > lastPause {
		s.lost.Add(1)
		return
	}
	time.AfterFunc(pause, func() { s.enqueue(s.receipts, func() { s.tellSendGrid(target, events, 2*pause) }) })
}

// call says whether one of some tries, one right after the other, found a taker.
func (s *Sandbox) call(target string, header http.Header, body []byte, tries int) bool {
	ctx, cancel := context.WithTimeout(s.stop, webhookTimeout)
	defer cancel()
	for range tries {
		if status, err := s.post(ctx, s.opt.Client, target, header, body); err == nil && status/100 == 2 {
			return true
		}
	}
	return false
}

// post makes one POST and gives the status of its answer.
func (s *Sandbox) post(ctx context.Context, client *http.Client, target string, header http.Header, body []byte) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("webhook: the URL cannot be called")
	}
	req.Header = header.Clone()
	res, err := client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("webhook: %w", err)
	}
	defer res.Body.Close()
	// Read to the end so that the connection is used again.
	io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16))
	return res.StatusCode, nil
}

// pressOneClick does what a mailbox provider does when a person presses its
// unsubscribe button: one POST without cookies, no redirect followed (RFC 8058
// section 3.1).
func (s *Sandbox) pressOneClick(ctx context.Context, link string) string {
	client := *s.opt.Client
	client.Jar = nil
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	ctx, cancel := context.WithTimeout(ctx, webhookTimeout)
	defer cancel()
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	status, err := s.post(ctx, &client, link, header, []byte("List-Unsubscribe=One-Click"))
	if err != nil {
		return "no answer"
	}
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// oneClickLink gives the mail's one-click link, or "" when it has none.
func oneClickLink(m Message) string {
	if !strings.EqualFold(strings.TrimSpace(headerOf(m, "List-Unsubscribe-Post")), "List-Unsubscribe=One-Click") {
		return ""
	}
	for part := range strings.SplitSeq(headerOf(m, "List-Unsubscribe"), ",") {
		link := strings.Trim(strings.TrimSpace(part), "<>")
		if strings.HasPrefix(link, "https://") || strings.HasPrefix(link, "http://") {
			return link
		}
	}
	return ""
}

func headerOf(m Message, name string) string {
	for k, v := range m.Headers {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}
