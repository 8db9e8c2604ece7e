package sendgrid

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"

	"harmonize.care/heed/channels"
)

// event is one event. Custom arguments stand beside SendGrid's own fields.
type event struct {
	ID        word `json:"sg_event_id"`
	MessageID word `json:"sg_message_id"`
	Event     word `json:"event"`
	Email     word `json:"email"`
	Timestamp word `json:"timestamp"`
	Type      word `json:"type"`
	Reason    word `json:"reason"`
	Status    word `json:"status"`
	Attempt   word `json:"attempt"`
}

// word is a string or a number. Anything else reads as nothing: other mails of the
// same account bring custom arguments of their own, and one odd field must not
// lose the events beside it.
type word string

// UnmarshalJSON never fails.
func (w *word) UnmarshalJSON(text []byte) error {
	var s string
	var n json.Number
	switch {
	case json.Unmarshal(text, &s) == nil:
		*w = word(s)
	case json.Unmarshal(text, &n) == nil:
		*w = word(n)
	}
	return nil
}

// verdict is what an event says of a mail.
type verdict struct {
	status channels.DeliveryStatus
	kind   channels.SendErrorKind
	code   string
}

// news are the events about the way of a mail. Opens and clicks are none: mail
// scanners do both.
var news = map[word]verdict{
	"processed": {status: channels.Accepted},
	"deferred":  {status: channels.Accepted, code: "deferred"}, // SendGrid goes on trying for three days
	"delivered": {status: channels.Delivered},
}

// drops are SendGrid's reasons not to send a mail that it took.
var drops = map[string]verdict{
	"bounced address":                   {kind: channels.AddressIsBad, code: "dropped bounced"},
	"invalid":                           {kind: channels.AddressIsBad, code: "dropped invalid"},
	"unsubscribed address":              {kind: channels.PersonOptedOut, code: "dropped unsubscribed"},
	"spam reporting address":            {kind: channels.PersonOptedOut, code: "dropped spam_report"},
	"spam content":                      {kind: channels.TryNever, code: "dropped spam_content"},
	"recipient list over package quota": {kind: channels.OperatorMustAct, code: "dropped over_quota"},
}

// verdict reads what the event says; false for one that is not about the way of a
// mail.
func (e event) verdict() (verdict, bool) {
	v, ok := news[e.Event]
	switch e.Event {
	case "bounce":
		// Only a hard bounce says that there is no such mailbox; "blocked" is what a
		// server thinks of this mail or of us.
		if v.kind = channels.TryNever; e.Type == "bounce" {
			v.kind = channels.AddressIsBad
		}
		v.status, v.code, ok = channels.Failed, "bounce", true
		if e.Type == "blocked" {
			v.code = "blocked"
		}
	case "dropped":
		v = verdict{kind: channels.TryNever, code: "dropped"}
		if why, known := drops[strings.ToLower(string(e.Reason))]; known {
			v = why
		}
		v.status, ok = channels.Failed, true
	}
	// The reason's text may hold the address; the status cannot. RFC 3463.
	if v.code != "" && enhanced.MatchString(string(e.Status)) {
		v.code += " " + string(e.Status)
	}
	return v, ok
}

var enhanced = regexp.MustCompile(`^[245]\.\d{1,3}\.\d{1,3}$`)

// delivery gives our word for the event, or false when it says nothing to us.
func (e event) delivery(raw []byte, now time.Time) (channels.Delivery, bool) {
	d := channels.Delivery{
		EventID: string(e.ID), Attempt: e.attempt(), ProviderID: messageID(string(e.MessageID)),
		To: strings.ToLower(string(e.Email)), At: e.at(now),
	}
	v, ok := e.verdict()
	d.Status, d.Kind, d.Code = v.status, v.kind, v.code
	switch {
	case e.Event == "spamreport":
		d.SpamReport, ok = true, true
	case e.Event == "unsubscribe", e.Event == "group_unsubscribe":
		d.Unsub, ok = true, true
	case v.kind == channels.PersonOptedOut:
		d.Unsub = true // a provider's refusal is an opt-out, also when its own event was lost
	}
	if d.EventID == "" {
		// Never seen; but an opt-out must not be taken for one that is known already.
		digest := sha256.Sum256(raw)
		d.EventID = "digest:" + hex.EncodeToString(digest[:16])
	}
	return d, ok
}

// attempt gives our attempt, or 0 when the mail was none of ours.
func (e event) attempt() int64 {
	id, err := strconv.ParseInt(string(e.Attempt), 10, 64)
	if err != nil || id < 0 {
		return 0
	}
	return id
}

// at is when it happened. An opt-out of no time, or of a time to come, would stand
// before or behind every other word of the person, so that it counts from now.
func (e event) at(now time.Time) time.Time {
	seconds, err := strconv.ParseInt(string(e.Timestamp), 10, 64)
	if err != nil || seconds <= 0 || seconds > now.Unix() {
		return now
	}
	return time.Unix(seconds, 0).UTC()
}
