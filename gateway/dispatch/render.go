package dispatch

import (
	"errors"
	"strings"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

var errNoWay = errors.New("no adapter for this channel")

// render writes the message for the pair that was chosen. It is given no name and
// no address: the least that the message needs.
func (d *Dispatcher) render(m *gateway.Message, t *templates.Template, cat *policy.Category, s *preferences.Snapshot, dec policy.Decision) (channels.Outgoing, error) {
	links := templates.Links{Preferences: d.Links.Preferences(m.Patient, dec.Pair.Address)}
	if dec.Form == policy.SecureLink {
		links.Secure = d.Links.Secure(m.ID)
	}
	// Everything that is not essential carries the way out: of marketing, or, in a
	// survey and its like, of everything non-essential by email.
	optional := cat.Class == policy.NonEssential
	if optional {
		topic := preferences.TopicNonEssential
		if cat.Purpose == policy.Marketing {
			topic = preferences.TopicMarketing
		}
		links.Unsubscribe = d.Links.Unsubscribe(m.Patient, dec.Pair.Address, topic)
	}
	r := templates.Request{
		Channel: dec.Pair.Channel, Form: templates.Form(dec.Form), Discreet: dec.Discreet, Locale: s.Locale,
		Vars: m.Body.Variables, Identity: d.Identity, Links: links,
	}
	text, err := t.Render(r)
	if err == nil && dec.Pair.Channel == channels.Voice {
		r.Form = templates.Voicemail // a machine may answer: a call without words for it is not placed
		_, err = t.Render(r)
	}
	if err != nil {
		return channels.Outgoing{}, err
	}
	out := channels.Outgoing{Channel: dec.Pair.Channel, Subject: text.Subject, Text: text.Text, HTML: text.HTML, Bulk: cat.Purpose == policy.Marketing}
	if optional && dec.Pair.Channel == channels.Email {
		out.Headers = map[string]string{ // RFC 8058
			"List-Unsubscribe":      "<" + links.Unsubscribe + ">",
			"List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
		}
	}
	return out, nil
}

// renderAnswer writes an answer to what somebody just said, in discreet form where
// the patient asked for it or where we do not know who has the number.
func (d *Dispatcher) renderAnswer(m *gateway.Message) (channels.Outgoing, Way, error) {
	a := m.Body.Answer
	out := channels.Outgoing{Channel: channels.SMS, To: a.To, Program: a.Program}
	if strings.Contains(a.To, "@") {
		out.Channel = channels.Email
	}
	if a.Pair.Address != 0 { // its text is read at the claim
		out.Channel = a.Pair.Channel
	}
	way, ok := d.way(a.Program, out.Channel)
	if !ok {
		return out, way, errNoWay
	}
	t, ok := d.Templates().Get(m.Template)
	if !ok {
		return out, way, errNoWay
	}
	text, err := t.Render(templates.Request{
		Channel: out.Channel, Form: templates.Full, Discreet: a.Discreet, Locale: a.Locale, Vars: m.Body.Variables, Identity: d.Identity,
	})
	out.Subject, out.Text, out.HTML = text.Subject, text.Text, text.HTML
	return out, way, err
}
