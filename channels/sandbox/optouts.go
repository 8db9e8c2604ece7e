package sandbox

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"harmonize.care/heed/channels"
)

// The lists of opt-outs that the carriers keep: SendGrid's unsubscribe groups, and
// Twilio's consents. They bind what is sent here as they bind there.

// optOut is one entry: an address, and the group (SendGrid), or the sender (Twilio), of
// which it gets nothing. No group: SendGrid's global list, which drops everything.
type optOut struct {
	Address, From string
}

const (
	maxConsents = 25   // in one request
	maxOptOuts  = 5000 // remembered; what comes beyond is refused
	consentBad  = 30646
)

// setOptOut says whether the entry could be made, or taken off.
func (s *Sandbox) setOptOut(address, from string, out bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := optOut{strings.ToLower(address), from}
	if out && len(s.optOuts) >= maxOptOuts {
		return false
	}
	if s.changes++; out {
		s.optOuts[e] = true
	} else {
		delete(s.optOuts, e)
	}
	return true
}

func (s *Sandbox) isOptedOut(address, from string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.optOuts[optOut{strings.ToLower(address), from}]
}

// OptOuts gives the addresses on one of the carriers' lists, sorted: of a group's number,
// of one of our numbers or services; "" is SendGrid's global list.
func (s *Sandbox) OptOuts(from string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for e := range s.optOuts {
		if e.From == from {
			list = append(list, e.Address)
		}
	}
	slices.Sort(list)
	return list
}

// SetOptOut changes a list behind our back, as somebody at the carrier's console does.
func (s *Sandbox) SetOptOut(address, from string, out bool) { s.setOptOut(address, from, out) }

// OptOutCalls counts the calls that the carriers' lists had.
func (s *Sandbox) OptOutCalls() int64 { return s.optOutCalls.Load() }

func (s *Sandbox) hasGroup(id string) bool {
	return s.opt.ASMGroup > 0 && id == strconv.Itoa(s.opt.ASMGroup) && !s.groupGone.Load()
}

// RemoveGroup deletes the unsubscribe group, as somebody at SendGrid's console does.
func (s *Sandbox) RemoveGroup() { s.groupGone.Store(true) }

// sendGrid wraps a call of SendGrid's lists: the outage, the key.
func (s *Sandbox) sendGrid(next func(http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.optOutCalls.Add(1)
		key, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case s.Unreachable():
			hangUp(w)
		case !isBearer || !same(key, s.opt.SendGridKey):
			refuseMail(w, http.StatusUnauthorized, mailError{Message: "The provided authorization grant is invalid, expired, or revoked"})
		default:
			next(w, r)
		}
	}
}

// showGroup is GET /v3/asm/groups/{group}.
func (s *Sandbox) showGroup(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("group")
	if !s.hasGroup(id) {
		refuseMail(w, http.StatusNotFound, mailError{Message: "group not found"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"id": s.opt.ASMGroup, "name": "Marketing", "description": "News and offers", "is_default": false, "unsubscribes": len(s.OptOuts(id)),
	})
}

// listGroup is GET /v3/asm/groups/{group}/suppressions: the whole list at once.
func (s *Sandbox) listGroup(w http.ResponseWriter, r *http.Request) {
	list := s.OptOuts(r.PathValue("group"))
	if list == nil {
		list = []string{}
	}
	writeJSON(w, http.StatusOK, list)
}

// addToGroup is POST /v3/asm/groups/{group}/suppressions. With a group that is not there
// SendGrid adds to its global list, and so does this:
// https://www.twilio.com/docs/sendgrid/api-reference/suppressions-suppressions/add-suppressions-to-a-suppression-group
func (s *Sandbox) addToGroup(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Emails []string `json:"recipient_emails"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxForm)).Decode(&in); err != nil || len(in.Emails) == 0 {
		refuseMail(w, http.StatusBadRequest, mailError{Message: "recipient_emails is required"})
		return
	}
	for _, e := range in.Emails {
		if !isMailbox(e) {
			refuseMail(w, http.StatusBadRequest, fault("recipient_emails", "", "invalid email address"))
			return
		}
	}
	group := r.PathValue("group")
	if !s.hasGroup(group) {
		group = ""
	}
	for _, e := range in.Emails {
		if !s.setOptOut(e, group, true) {
			refuseMail(w, http.StatusInternalServerError, mailError{Message: "the sandbox remembers no more opt-outs"})
			return
		}
	}
	writeJSON(w, http.StatusCreated, map[string][]string{"recipient_emails": in.Emails})
}

// removeFromGroup is DELETE /v3/asm/groups/{group}/suppressions/{email}.
func (s *Sandbox) removeFromGroup(w http.ResponseWriter, r *http.Request) {
	if !s.isOptedOut(r.PathValue("email"), r.PathValue("group")) {
		refuseMail(w, http.StatusNotFound, mailError{Message: "not found"})
		return
	}
	s.setOptOut(r.PathValue("email"), r.PathValue("group"), false)
	w.WriteHeader(http.StatusNoContent)
}

// suppressed says whether SendGrid drops a mail to somebody. Its group is the request's.
func (s *Sandbox) suppressed(q *mailRequest, to string) bool {
	var asm struct {
		Group int `json:"group_id"`
	}
	_ = json.Unmarshal(q.ASM, &asm) // no group: the global list alone
	return s.isOptedOut(to, "") || asm.Group != 0 && s.isOptedOut(to, strconv.Itoa(asm.Group))
}

// mailFailureOf gives the failure of a mail that was taken.
func mailFailureOf(m Message) Failure {
	if m.suppressed {
		return mailFailure("unsubscribed@")
	}
	return mailFailure(m.To)
}

// textFailureOf gives the failure of a text or call: Twilio refuses what goes to somebody
// who opted out of its sender, at once by number, later through a messaging service.
func (s *Sandbox) textFailureOf(m *Message) Failure {
	f := phoneFailure(m.To)
	if m.Channel == channels.Voice && f.calls {
		return Failure{}
	}
	switch {
	case f.manner != none || m.Channel != channels.SMS:
		return f
	case m.Service != "" && s.isOptedOut(m.To, m.Service):
		return phoneFailure("0011")
	case m.Service == "" && s.isOptedOut(m.To, m.From):
		return phoneFailure("0010")
	}
	return f
}

// consentItem is one item of a request for consents.
type consentItem struct {
	Contact     string `json:"contact_id"`
	Correlation string `json:"correlation_id"`
	Sender      string `json:"sender_id"`
	Status      string `json:"status"`
	Source      string `json:"source"`
	Date        string `json:"date_of_consent"`
}

// setConsents is POST /v1/Consents/Bulk:
// https://www.twilio.com/docs/messaging/features/bulk-upsert-consents-api
func (s *Sandbox) setConsents(w http.ResponseWriter, r *http.Request) {
	s.optOutCalls.Add(1)
	form, bad := readForm(w, r)
	items := form["Items"]
	switch {
	case bad != nil:
		bad.write(w)
		return
	case len(items) == 0 || len(items) > maxConsents:
		refusal(http.StatusBadRequest, 20001, "Items must hold 1 to 25 consents").write(w)
		return
	}
	type outcome struct {
		Correlation string   `json:"correlation_id"`
		Code        int      `json:"error_code"`
		Messages    []string `json:"error_messages"`
	}
	list := make([]outcome, 0, len(items))
	for _, text := range items {
		var c consentItem
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			refusal(http.StatusBadRequest, 20001, "An item cannot be read").write(w)
			return
		}
		o := outcome{Correlation: c.Correlation, Messages: s.consentProblems(c)}
		if len(o.Messages) > 0 {
			o.Code = consentBad
		} else if !s.setOptOut(c.Contact, c.Sender, c.Status == "opt-out") {
			o.Code, o.Messages = consentBad, []string{"INTERNAL_SERVER_ERROR"}
		}
		list = append(list, o)
	}
	writeJSON(w, http.StatusCreated, map[string]any{"items": list})
}

// consentProblems are Twilio's words: https://www.twilio.com/docs/api/errors/30646
func (s *Sandbox) consentProblems(c consentItem) []string {
	problems := []string{}
	_, ours := s.opt.Programs[c.Sender]
	for word, holds := range map[string]bool{
		"INVALID_CORRELATION_ID": len(c.Correlation) == 32,
		"INVALID_SENDER_ID":      (e164.MatchString(c.Sender) || messageService.MatchString(c.Sender)) && (ours || len(s.opt.Programs) == 0),
		"INVALID_CONTACT_ID":     e164.MatchString(c.Contact),
		"INVALID_STATUS":         c.Status == "opt-in" || c.Status == "opt-out",
		"INVALID_SOURCE":         slices.Contains([]string{"website", "offline", "opt-in-message", "opt-out-message", "others"}, c.Source),
	} {
		if !holds {
			problems = append(problems, word)
		}
	}
	slices.Sort(problems)
	return problems
}

// twilioAccount wraps a call of Twilio that names no account: the outage, the credentials.
func (s *Sandbox) twilioAccount(next func(http.ResponseWriter, *http.Request)) http.HandlerFunc {
	inner := s.twilio(next)
	return func(w http.ResponseWriter, r *http.Request) {
		r.SetPathValue("account", s.opt.AccountSID)
		inner(w, r)
	}
}

// doOptOut changes a carrier's list from the page, without a webhook.
func (s *Sandbox) doOptOut(r *http.Request) (string, bool) {
	address, from := strings.TrimSpace(r.PostForm.Get("address")), strings.TrimSpace(r.PostForm.Get("from"))
	phone := e164.MatchString(address)
	_, ours := s.opt.Programs[from]
	if !phone && !isMailbox(address) || phone && !ours || !phone && from != "" && !s.hasGroup(from) {
		return "", false
	}
	return "opt-outs", s.setOptOut(address, from, r.PostForm.Get("off") == "")
}

// shownOptOut is an entry on the page.
type shownOptOut struct{ Address, From, List string }

func (s *Sandbox) shownOptOuts() []shownOptOut {
	s.mu.Lock()
	all := slices.Collect(maps.Keys(s.optOuts))
	s.mu.Unlock()
	var list []shownOptOut
	for _, e := range all {
		var name string
		switch program := s.opt.Programs[e.From]; {
		case program != "":
			name = "Twilio, texts of " + program
		case e.From == "":
			name = "SendGrid, everything"
		default:
			name = "SendGrid, group " + e.From
		}
		list = append(list, shownOptOut{e.Address, e.From, name})
	}
	slices.SortFunc(list, func(a, b shownOptOut) int { return strings.Compare(a.List+"\x00"+a.Address, b.List+"\x00"+b.Address) })
	return list[:min(len(list), shownBoxes)]
}
