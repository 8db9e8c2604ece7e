package sandbox

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"harmonize.care/heed/channels"
)

const (
	apiVersion    = "2010-04-01"
	maxForm       = 1 << 18 // bytes
	maxBody       = 1600    // characters of a text
	maxTwiml      = 4000    // characters of a call's script
	maxValidity   = 36000   // seconds
	defaultPage   = 50
	maxPage       = 1000
	retryAfter    = "2" // seconds, with every 429
	twilioTime    = time.RFC1123Z
	errorDocsRoot = "https://www.twilio.com/docs/errors/"
)

var (
	e164           = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	messageService = regexp.MustCompile(`^MG[0-9a-fA-F]{32}$`)
)

// problem is an error answer of Twilio's.
type problem struct {
	Code     int    `json:"code"`
	Message  string `json:"message"`
	MoreInfo string `json:"more_info"`
	Status   int    `json:"status"`
}

func refusal(status, code int, message string) *problem {
	return &problem{Code: code, Message: message, MoreInfo: errorDocsRoot + strconv.Itoa(code), Status: status}
}

func (p *problem) write(w http.ResponseWriter) {
	if p.Status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", retryAfter)
	}
	writeJSON(w, p.Status, p)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}

// same compares two secrets without telling by its time where they differ.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// twilio wraps a call of Twilio's API: the outage, the credentials, the account.
func (s *Sandbox) twilio(next func(http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.Unreachable() {
			hangUp(w)
			return
		}
		user, password, _ := r.BasicAuth()
		if !same(user, s.opt.AccountSID) || !same(password, s.opt.AuthToken) {
			w.Header().Set("WWW-Authenticate", `Basic realm="Twilio API"`)
			refusal(http.StatusUnauthorized, 20003, "Authenticate").write(w)
			return
		}
		if r.PathValue("account") != s.opt.AccountSID {
			refusal(http.StatusNotFound, 20404, "The requested resource was not found").write(w)
			return
		}
		next(w, r)
	}
}

// createMessage is POST …/Messages.json.
func (s *Sandbox) createMessage(w http.ResponseWriter, r *http.Request) {
	form, bad := readForm(w, r)
	if bad == nil {
		bad = s.checkText(form)
	}
	if bad != nil {
		bad.write(w)
		return
	}
	s.carry(w, r, s.newText(form), func(m *Message) any { return s.resource(*m) }, s.progressText)
}

// carry takes a checked text or call, answers as its address says, and starts
// what follows in the background.
func (s *Sandbox) carry(w http.ResponseWriter, r *http.Request, m *Message, show func(*Message) any, progress func(*Message, Failure)) {
	f := s.textFailureOf(m)
	switch f.manner {
	case refuse:
		s.turnAway(m)
		refusal(f.status, f.code, f.message).write(w)
		return
	case lose:
		hangUp(w)
		return
	}
	body := show(m)
	s.add(m)
	// What was taken is delivered, even when no answer is given.
	s.answer(w, r, f,
		func() { writeJSON(w, http.StatusCreated, body) },
		func() { s.enqueue(s.receipts, func() { progress(m, f) }) })
}

func readForm(w http.ResponseWriter, r *http.Request) (url.Values, *problem) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return nil, refusal(http.StatusBadRequest, 20001, "Bad Request")
	}
	return r.PostForm, nil
}

// checkText refuses what Twilio would refuse about the request itself.
func (s *Sandbox) checkText(form url.Values) *problem {
	body := form.Get("Body")
	switch {
	case form.Get("To") == "":
		return refusal(http.StatusBadRequest, 21604, "A 'To' phone number is required.")
	case form.Get("From") == "" && form.Get("MessagingServiceSid") == "":
		return refusal(http.StatusBadRequest, 21603, "A 'From' phone number is required.")
	case body == "":
		return refusal(http.StatusBadRequest, 21602, "Message body is required.")
	case utf8.RuneCountInString(body) > maxBody:
		return refusal(http.StatusBadRequest, 21617, "The concatenated message body exceeds the 1600 character limit")
	}
	if v := form.Get("ValidityPeriod"); v != "" {
		if n, err := strconv.Atoi(v); err != nil || n < 1 || n > maxValidity {
			return refusal(http.StatusBadRequest, 21624, "Invalid validity period value")
		}
	}
	if service := form.Get("MessagingServiceSid"); service != "" && !messageService.MatchString(service) {
		return refusal(http.StatusBadRequest, 21705, "The Messaging Service Sid is invalid")
	}
	return s.checkParties(form, 21606)
}

// checkParties holds for texts and calls: badSender is the code for a sender
// that is not ours.
func (s *Sandbox) checkParties(form url.Values, badSender int) *problem {
	from, callback := form.Get("From"), form.Get("StatusCallback")
	if !e164.MatchString(form.Get("To")) {
		return refusal(http.StatusBadRequest, 21211, "Invalid 'To' Phone Number")
	}
	if _, ours := s.opt.Programs[from]; from != "" && len(s.opt.Programs) > 0 && !ours {
		return refusal(http.StatusBadRequest, badSender, "The 'From' phone number provided is not a valid sender of this account")
	}
	if u, err := url.Parse(callback); callback != "" && (err != nil || u.Host == "") {
		return refusal(http.StatusBadRequest, 21609, "The 'StatusCallback' URL is not a valid URL")
	}
	return nil
}

// newText makes a message of a checked form.
func (s *Sandbox) newText(form url.Values) *Message {
	seconds, _ := strconv.Atoi(form.Get("ValidityPeriod"))
	if seconds == 0 {
		seconds = maxValidity
	}
	now := s.opt.Now()
	m := &Message{
		ID:       s.newID("SM"),
		Channel:  channels.SMS,
		From:     form.Get("From"),
		To:       form.Get("To"),
		Service:  form.Get("MessagingServiceSid"),
		Body:     form.Get("Body"),
		Status:   "queued",
		Callback: s.callback(form),
		Created:  now,
		Updated:  now,
		Validity: time.Duration(seconds) * time.Second,
	}
	if m.From == "" {
		m.Status = "accepted"
	}
	return m
}

func (s *Sandbox) callback(form url.Values) string {
	if url := form.Get("StatusCallback"); url != "" {
		return url
	}
	return s.opt.Webhooks.Status
}

// progressText moves a text to its end and calls back at every step. The first
// status has no callback: https://www.twilio.com/docs/messaging/guides/track-outbound-message-status
func (s *Sandbox) progressText(m *Message, f Failure) {
	steps := []string{"sending", "sent", "delivered"}
	switch {
	case f.event == "failed":
		steps = []string{"failed"}
	case f.event != "":
		steps = []string{"sending", "sent", f.event}
	}
	if s.read(m).Status == "accepted" {
		steps = append([]string{"queued"}, steps...)
	}
	for _, status := range steps {
		now := s.update(m, func(m *Message) {
			m.Status = status
			if m.From == "" {
				m.From = s.senderOf(m.Service)
			}
			switch status {
			case "sent":
				m.Sent = s.opt.Now()
			case f.event:
				m.ErrorCode = f.code
			}
		})
		if !f.mute {
			s.callBack(now)
		}
	}
}

func (s *Sandbox) callBack(m Message) {
	form := url.Values{
		"AccountSid":    {s.opt.AccountSID},
		"ApiVersion":    {apiVersion},
		"From":          {m.From},
		"MessageSid":    {m.ID},
		"MessageStatus": {m.Status},
		"SmsSid":        {m.ID},
		"SmsStatus":     {m.Status},
		"To":            {m.To},
	}
	if m.Service != "" {
		form.Set("MessagingServiceSid", m.Service)
	}
	if m.ErrorCode != 0 {
		form.Set("ErrorCode", strconv.Itoa(m.ErrorCode))
	}
	s.callTwilio(m.Callback, form)
}

// senderOf picks the number a messaging service sends from: one with the
// service's program name when Programs names the service, else the first.
func (s *Sandbox) senderOf(service string) string {
	name, named := s.opt.Programs[service]
	pick := ""
	for number, program := range s.opt.Programs {
		if !strings.HasPrefix(number, "+") || named && program != name {
			continue
		}
		if pick == "" || number < pick {
			pick = number
		}
	}
	return pick
}

// Reply plays a person who texts one of our numbers. The text is kept, so that
// it can be listed; its webhook goes out unless silent, which plays a webhook
// that never arrived.
func (s *Sandbox) Reply(from, to, body string, silent bool) Message {
	now := s.opt.Now()
	m := &Message{
		ID: s.newID("SM"), Channel: channels.SMS, Inbound: true,
		From: from, To: to, Body: body, Status: "received",
		Created: now, Updated: now, Sent: now,
	}
	text := m.copy()
	s.add(m)
	if !silent {
		s.enqueue(s.replies, func() { s.callTwilio(s.opt.Webhooks.SMS, s.inboundForm(text)) })
	}
	return text
}

func (s *Sandbox) inboundForm(m Message) url.Values {
	return url.Values{
		"AccountSid":    {s.opt.AccountSID},
		"ApiVersion":    {apiVersion},
		"Body":          {m.Body},
		"From":          {m.From},
		"FromCity":      {""},
		"FromCountry":   {"US"},
		"FromState":     {""},
		"FromZip":       {""},
		"MessageSid":    {m.ID},
		"NumMedia":      {"0"},
		"NumSegments":   {strconv.Itoa(segments(m.Body))},
		"SmsMessageSid": {m.ID},
		"SmsSid":        {m.ID},
		"SmsStatus":     {"received"},
		"To":            {m.To},
		"ToCity":        {""},
		"ToCountry":     {"US"},
		"ToState":       {""},
		"ToZip":         {""},
	}
}
