package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"harmonize.care/heed/channels"
)

// mailRequest is the body of POST /v3/mail/send. Parts that only pass through
// stay raw; a property that is not listed is refused, as SendGrid does.
type mailRequest struct {
	Personalizations []personalization `json:"personalizations"`
	From             *mailbox          `json:"from"`
	ReplyTo          *mailbox          `json:"reply_to"`
	ReplyToList      []mailbox         `json:"reply_to_list"`
	Subject          string            `json:"subject"`
	Content          []content         `json:"content"`
	Attachments      []attachment      `json:"attachments"`
	TemplateID       string            `json:"template_id"`
	Headers          map[string]string `json:"headers"`
	Categories       []string          `json:"categories"`
	CustomArgs       map[string]string `json:"custom_args"`
	Sections         map[string]string `json:"sections"`
	SendAt           int64             `json:"send_at"`
	BatchID          string            `json:"batch_id"`
	ASM              json.RawMessage   `json:"asm"`
	IPPoolName       string            `json:"ip_pool_name"`
	MailSettings     json.RawMessage   `json:"mail_settings"`
	TrackingSettings json.RawMessage   `json:"tracking_settings"`
}

type personalization struct {
	From                *mailbox          `json:"from"`
	To                  []mailbox         `json:"to"`
	Cc                  []mailbox         `json:"cc"`
	Bcc                 []mailbox         `json:"bcc"`
	Subject             string            `json:"subject"`
	Headers             map[string]string `json:"headers"`
	Substitutions       map[string]string `json:"substitutions"`
	DynamicTemplateData json.RawMessage   `json:"dynamic_template_data"`
	CustomArgs          map[string]string `json:"custom_args"`
	SendAt              int64             `json:"send_at"`
}

type mailbox struct {
	Email string `json:"email"`
	Name  string `json:"name"`
}

type content struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// mailError is one entry of SendGrid's error answer.
type mailError struct {
	Message string  `json:"message"`
	Field   *string `json:"field"`
	Help    *string `json:"help"`
}

func refuseMail(w http.ResponseWriter, status int, errs ...mailError) {
	writeJSON(w, status, map[string][]mailError{"errors": errs})
}

// sendMail is POST /v3/mail/send.
func (s *Sandbox) sendMail(w http.ResponseWriter, r *http.Request) {
	if s.Unreachable() {
		hangUp(w)
		return
	}
	key, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !isBearer || !same(key, s.opt.SendGridKey) {
		refuseMail(w, http.StatusUnauthorized, mailError{Message: "The provided authorization grant is invalid, expired, or revoked"})
		return
	}
	req, ok := readMail(w, r)
	if !ok {
		return
	}
	if errs := req.check(); len(errs) > 0 {
		refuseMail(w, http.StatusBadRequest, errs...)
		return
	}
	f, at := req.failure()
	switch f.manner {
	case refuse:
		s.turnAway(s.newMails(req, s.newID("")[:22])...)
		s.refuseAs(w, f, at)
		return
	case lose:
		hangUp(w)
		return
	}
	id := s.newID("")[:22]
	mails := s.newMails(req, id)
	s.add(mails...)
	s.answer(w, r, f, func() {
		w.Header().Set("X-Message-Id", id)
		w.WriteHeader(http.StatusAccepted)
	}, func() { s.enqueue(s.receipts, func() { s.progressMails(mails) }) })
}

func (s *Sandbox) refuseAs(w http.ResponseWriter, f Failure, at int) {
	if f.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", retryAfter)
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(s.opt.Now().Unix()+2, 10))
	}
	told := mailError{Message: f.message}
	if f.status == http.StatusBadRequest {
		told = fault(fmt.Sprintf("personalizations.%d.to.0.email", at), "message.personalizations.to", "%s", f.message)
	}
	refuseMail(w, f.status, told)
}

// readMail reads the request, or answers why it cannot.
func readMail(w http.ResponseWriter, r *http.Request) (*mailRequest, bool) {
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(kind), "application/json") {
		refuseMail(w, http.StatusUnsupportedMediaType, mailError{Message: "Content-Type should be application/json."})
		return nil, false
	}
	var req mailRequest
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxMail))
	body.DisallowUnknownFields()
	err := body.Decode(&req)
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return &req, true
	case errors.As(err, &tooLarge):
		// SendGrid's front door answers this one, in HTML.
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		w.Write([]byte("<html><head><title>413 Request Entity Too Large</title></head></html>\n"))
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		name := strings.Trim(strings.TrimPrefix(err.Error(), "json: unknown field "), `"`)
		refuseMail(w, http.StatusBadRequest, mailError{Message: "Additional property " + name + " is not allowed"})
	default:
		refuseMail(w, http.StatusBadRequest, mailError{Message: "Bad Request"})
	}
	return nil, false
}

// failure gives the first failure among the recipients that befalls the
// request as a whole, and in which personalization it is.
func (q *mailRequest) failure() (Failure, int) {
	for at, p := range q.Personalizations {
		for _, to := range p.recipients() {
			if f := mailFailure(to.Email); f.manner != none && f.manner != perish && f.manner != dislike {
				return f, at
			}
		}
	}
	return Failure{}, 0
}

func (p personalization) recipients() []mailbox {
	all := append([]mailbox(nil), p.To...)
	return append(append(all, p.Cc...), p.Bcc...)
}

// newMails makes one message per recipient. All share the request's id, which
// begins their sg_message_id.
func (s *Sandbox) newMails(q *mailRequest, id string) []*Message {
	var mails []*Message
	now := s.opt.Now()
	for _, p := range q.Personalizations {
		fill := substitute(p.Substitutions)
		sender := q.From.Email
		if p.From != nil {
			sender = p.From.Email
		}
		subject := q.Subject
		if p.Subject != "" {
			subject = p.Subject
		}
		for _, to := range p.recipients() {
			m := &Message{
				ID:      id + ".recvd-sandbox-" + strconv.Itoa(len(mails)) + ".0",
				Channel: channels.Email,
				From:    sender,
				To:      to.Email,
				Subject: fill.Replace(subject),
				Headers: merged(q.Headers, p.Headers),
				Args:    merged(q.CustomArgs, p.CustomArgs),
				Status:  "accepted",
				Created: now,
				Updated: now,
				Files:   q.files(),

				suppressed: s.suppressed(q, to.Email),
			}
			for _, c := range q.Content {
				switch c.Type {
				case "text/plain":
					m.Body = fill.Replace(c.Value)
				case "text/html":
					m.HTML = fill.Replace(c.Value)
				}
			}
			mails = append(mails, m)
		}
	}
	return mails
}

func substitute(values map[string]string) *strings.Replacer {
	var pairs []string
	for k, v := range values {
		if k != "" {
			pairs = append(pairs, k, v)
		}
	}
	return strings.NewReplacer(pairs...)
}

// merged lays a personalization's values over the request's.
func merged(base, over map[string]string) map[string]string {
	all := make(map[string]string, len(base)+len(over))
	maps.Copy(all, base)
	maps.Copy(all, over)
	return all
}

// progressMails moves mails to their end. Each step is one webhook for all of
// the request, as SendGrid gathers its events.
func (s *Sandbox) progressMails(mails []*Message) {
	var first, second, third []map[string]any
	for _, m := range mails {
		f := mailFailureOf(s.read(m))
		if f.event == "dropped" {
			first = append(first, s.event(m, "dropped", f))
			continue
		}
		first = append(first, s.event(m, "processed", Failure{}))
	}
	s.callSendGrid(first)
	for _, m := range mails {
		switch f := mailFailureOf(s.read(m)); {
		case f.event == "dropped":
		case f.manner == perish:
			second = append(second, s.event(m, f.event, f))
		default:
			second = append(second, s.event(m, "delivered", Failure{}))
			if f.manner == dislike {
				third = append(third, s.event(m, "spamreport", Failure{}))
			}
		}
	}
	s.callSendGrid(second)
	s.callSendGrid(third)
}

// event records a mail's next status and gives the event that tells of it, with
// the custom args at the top as SendGrid flattens them.
func (s *Sandbox) event(m *Message, name string, f Failure) map[string]any {
	mail := s.update(m, func(m *Message) {
		m.Status = name
		if f.kind == "blocked" {
			m.Status = f.kind
		}
		if name == "delivered" {
			m.Sent = s.opt.Now()
		}
	})
	e := map[string]any{}
	for k, v := range mail.Args {
		e[k] = v
	}
	e["email"] = mail.To
	e["timestamp"] = s.opt.Now().Unix()
	e["event"] = name
	e["sg_event_id"] = s.newID("")[:22]
	e["sg_message_id"] = mail.ID
	e["smtp-id"] = "<" + strings.SplitN(mail.ID, ".", 2)[0] + "@sandbox.invalid>"
	switch name {
	case "bounce":
		e["type"], e["reason"] = f.kind, f.message
		if parts := strings.Fields(f.message); len(parts) > 1 {
			e["status"] = parts[1]
		}
	case "dropped":
		e["reason"] = f.message
	case "delivered":
		e["response"] = "250 OK"
	}
	return e
}

// Event plays a later event of a mail: processed, deferred, delivered, bounce,
// dropped, spamreport or unsubscribe. It says whether there is such a mail and event.
func (s *Sandbox) Event(mailID, name string) bool {
	var f Failure
	switch name {
	case "processed", "deferred", "delivered", "spamreport", "unsubscribe":
	case "bounce":
		f = mailFailure("bounce@")
	case "dropped":
		f = mailFailure("suppressed@")
	default:
		return false
	}
	s.mu.Lock()
	m, ok := s.byID[mailID]
	ok = ok && m.Channel == channels.Email
	s.mu.Unlock()
	if !ok {
		return false
	}
	e := s.event(m, name, f)
	s.enqueue(s.replies, func() { s.callSendGrid([]map[string]any{e}) })
	return true
}
