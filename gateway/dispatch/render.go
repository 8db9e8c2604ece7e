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
	return d.write(m.Body.Variables, t, cat, s.Locale, dec, d.links(m.ID, m.Patient, cat, dec))
}

// links are the signed links that a message may carry.
func (d *Dispatcher) links(message, patient int64, cat *policy.Category, dec policy.Decision) templates.Links {
	links := templates.Links{Preferences: d.Links.Preferences(patient, dec.Pair.Address)}
	if dec.Form == policy.SecureLink {
		links.Secure = d.Links.Secure(message)
	}
	if cat.Class == policy.NonEssential {
		links.Unsubscribe = d.Links.Unsubscribe(patient, dec.Pair.Address, wayOut(cat))
	}
	return links
}

// wayOut is what the footer of a message that is not essential leads out of: of
// marketing, or, in a survey and its like, of everything non-essential by email.
func wayOut(cat *policy.Category) string {
	if cat.Purpose == policy.Marketing {
		return preferences.TopicMarketing
	}
	return preferences.TopicNonEssential
}

func (d *Dispatcher) write(vars map[string]string, t *templates.Template, cat *policy.Category, locale string, dec policy.Decision, links templates.Links) (channels.Outgoing, error) {
	r := templates.Request{
		Channel: dec.Pair.Channel, Form: templates.Form(dec.Form), Discreet: dec.Discreet, Locale: locale,
		Vars: vars, Identity: d.Identity, Links: links,
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
	if cat.Class == policy.NonEssential && dec.Pair.Channel == channels.Email {
		out.Headers = oneClick(links.Unsubscribe)
	}
	return out, nil
}

// oneClick are the headers by which a mailbox provider opts somebody out: RFC 8058.
func oneClick(unsubscribe string) map[string]string {
	return map[string]string{"List-Unsubscribe": "<" + unsubscribe + ">", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
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
	// A test of a category's text goes to somebody who works here: its links are nobody's.
	var links templates.Links
	if cat, ok := d.Policy.Category(t.Category); ok {
		links = d.links(m.ID, 0, cat, policy.Decision{})
	}
	text, err := t.Render(templates.Request{
		Channel: out.Channel, Form: templates.Full, Discreet: a.Discreet, Locale: a.Locale, Vars: m.Body.Variables, Identity: d.Identity, Links: links,
	})
	out.Subject, out.Text, out.HTML = text.Subject, text.Text, text.HTML
	return out, way, err
}
