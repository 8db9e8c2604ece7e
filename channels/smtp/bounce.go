package smtp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"harmonize.care/heed/channels"
)

// Bounces reads delivery status notifications (RFC 3464): what a mail server says
// when a mail that it took did not arrive after all. They come as mails, so anybody
// can write one: it counts only with the signed Message-ID of ours, and only for the
// address that the mail went to (channels.Delivery.Claimed).
type Bounces struct {
	marks  marks
	secret []byte // signs the webhook's calls; nil: none is believed
}

var _ channels.WebhookReader = (*Bounces)(nil)

// NewBounces makes a reader. Secrets are those of the adapters' Options; secret signs
// the calls of the webhook, "" for none.
func NewBounces(secrets [][]byte, secret string) (*Bounces, error) {
	m, err := newMarks(secrets)
	if err != nil {
		return nil, err
	}
	b := &Bounces{marks: m}
	if secret != "" {
		b.secret = []byte(secret)
	}
	return b, nil
}

// The headers of a webhook call.
const (
	timestampHeader = "X-Heed-Timestamp" // Unix seconds
	signatureHeader = "X-Heed-Signature" // hex of HMAC-SHA256 over timestamp, a dot, and the body
)

// maxSkew is how far a call's timestamp may be off our clock.
const maxSkew = 5 * time.Minute

// Read takes a mail that a relay pipes to the webhook. One that is no bounce of ours
// says nothing.
func (b *Bounces) Read(w channels.Webhook, now time.Time) (channels.Heard, error) {
	header := http.Header(w.Header)
	stamp := header.Get(timestampHeader)
	given, err := hex.DecodeString(header.Get(signatureHeader))
	if err != nil || b.secret == nil || !fresh(stamp, now) {
		return channels.Heard{}, channels.ErrForged
	}
	mac := hmac.New(sha256.New, b.secret)
	mac.Write([]byte(stamp + "."))
	mac.Write(w.Body)
	if !hmac.Equal(mac.Sum(nil), given) {
		return channels.Heard{}, channels.ErrForged
	}
	return channels.Heard{Deliveries: b.Letter(w.Body, now)}, nil
}

func fresh(stamp string, now time.Time) bool {
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	return err == nil && seconds >= now.Add(-maxSkew).Unix() && seconds <= now.Add(maxSkew).Unix()
}

// Letter reads one mail. It gives what the mail says of an attempt of ours, once for
// each address that the notification names it by, or nothing.
func (b *Bounces) Letter(raw []byte, now time.Time) []channels.Delivery {
	r, ok := readReport(raw)
	if !ok {
		return nil
	}
	attempt := int64(0)
	for _, id := range r.ids {
		if attempt = b.marks.attempt(id); attempt != 0 {
			break
		}
	}
	if attempt == 0 {
		return nil
	}
	var list []channels.Delivery
	for _, p := range r.people {
		if !strings.EqualFold(p.action, "failed") {
			continue // delayed: the server goes on trying
		}
		status := p.code()
		for _, to := range p.addresses {
			list = append(list, channels.Delivery{
				// The webhook and the mailbox may both bring the same news.
				EventID: fmt.Sprintf("%d:%s", attempt, status), Attempt: attempt, Status: channels.Failed, Claimed: true,
				Kind: bounceKind(status), Code: strings.TrimSpace("bounce " + status), To: to, At: now,
			})
		}
	}
	return list
}

// bounceKind: only a status that says there is no such mailbox speaks of the address;
// a full mailbox, a filter and a server that was never reached speak of this mail.
func bounceKind(status string) channels.SendErrorKind {
	if slices.Contains(badMailbox, status) {
		return channels.AddressIsBad
	}
	return channels.TryNever
}
