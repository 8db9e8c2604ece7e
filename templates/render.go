package templates

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"harmonize.care/heed/channels"
)

// Render writes the text. What it renders is linted again: a variable may carry
// what the text itself does not. The same request always gives the same text. An
// error is about the variables (see Check), a *Refused, or says that there is no
// such text.
func (t *Template) Render(r Request) (Text, error) {
	if err := t.Check(r.Vars); err != nil {
		return Text{}, err
	}
	language := languageOf(r.Locale)
	w, ok := t.words[which{language, r.Channel, r.Form, r.Discreet}]
	if !ok {
		return Text{}, fmt.Errorf("template %s has no text for this: channel %s, form %s, discreet %t", t.Name, r.Channel, r.Form, r.Discreet)
	}
	m := &message{template: t, request: &r, language: language}
	values, err := m.values()
	if err != nil {
		return Text{}, err
	}
	switch r.Channel {
	case channels.Email:
		err = m.email(w, values)
	case channels.Voice:
		err = m.voice(w, values)
	default:
		err = m.sms(w, values)
	}
	m.text.Language = language
	if err == nil && t.Name != crisis { // must go, whatever it says: Identity.Check looks at its words
		err = m.lint()
	}
	if err != nil {
		return Text{}, err
	}
	return m.text, nil
}

// message is one text while it is being written.
type message struct {
	template *Template
	request  *Request
	language string
	text     Text
}

// sender is how the practice is named in this message.
func (m *message) sender() string {
	if m.request.Discreet {
		return m.request.Identity.DiscreetName
	}
	return m.request.Identity.Name
}

// values gives everything that a phrase may ask for, ready to be read.
func (m *message) values() (map[string]string, error) {
	i := m.request.Identity
	values := map[string]string{
		"sender": m.sender(), "discreet_name": i.DiscreetName, "phone": written(i.Phone), "opt_out_phone": written(i.OptOutPhone),
		"postal_address": m.postalAddress(), "secure_link": m.request.Links.Secure,
	}
	for name, value := range values {
		values[name] = oneLine(value)
	}
	if m.isCall() {
		m.soundSettings(values)
	}
	for _, v := range m.template.Variables {
		value := m.request.Vars[v.Name]
		var err error
		switch {
		case value == "":
			continue
		case v.Kind == KindTime:
			value, err = m.moment(value)
		case v.Kind == KindDate:
			var date time.Time
			date, err = time.Parse(time.DateOnly, value)
			value = day(date, m.language)
		case m.isCall():
			value = aloud(value, m.language)
		case m.request.Channel == channels.SMS:
			value = plain(value)
		}
		if err != nil {
			return nil, err
		}
		values[v.Name] = value
	}
	return values, nil
}

// postalAddress is as good as the practice's name to whoever looks it up, so
// discreet mail carries it only where the law wants it.
func (m *message) postalAddress() string {
	if m.request.Discreet && m.template.Essential {
		return ""
	}
	return m.request.Identity.PostalAddress
}

// moment shows a time by the clock it was written with. One that is written in UTC
// has no clock of its own: it is shown by the practice's.
func (m *message) moment(value string) (string, error) {
	at, err := instant(value)
	if err != nil {
		return "", err
	}
	note := ""
	if _, offset := at.Zone(); offset == 0 {
		name := m.request.Identity.TimeZone
		zone, err := time.LoadLocation(name)
		if err != nil {
			return "", &Refused{RuleMissing, "practice.time_zone is not a time zone: use a name such as America/Denver"}
		}
		at = at.In(zone)
		if name == "" {
			note = " UTC"
		}
	}
	if m.isCall() {
		return momentAloud(at, m.language) + note, nil
	}
	return moment(at, m.language, m.request.Channel == channels.Email) + note, nil
}

func (m *message) sms(w words, values map[string]string) error {
	text, err := m.fill(w.body, values)
	if m.template.Name == crisis && m.request.Identity.CrisisText != "" {
		text, err = m.request.Identity.CrisisText, nil
	}
	m.text.Text = text
	m.text.Segments = Count(text)
	return err
}

func (m *message) fill(p phrase, values map[string]string) (string, error) {
	text, missing := p.fill(values)
	switch {
	case missing == "":
		return text, nil
	case missing == "secure_link":
		return "", &Refused{RuleMissing, "the signed link is missing: this form has nothing to show without it"}
	case missing == "sender" && m.request.Discreet:
		missing = "discreet_name"
	case missing == "sender":
		missing = "name"
	}
	return "", &Refused{RuleMissing, "practice." + missing + " is missing: this text needs it"}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// plain makes a value fit for a text: one line, and typographic marks as the plain
// ones, because one curly quote turns the whole text into UCS-2. Letters are
// never changed, only composed: they are people's names, and é is in GSM-7 where
// e with a combining accent is not.
func plain(value string) string {
	return oneLine(typographic.Replace(norm.NFC.String(value)))
}

var typographic = strings.NewReplacer(
	"‘", "'", "’", "'", "‚", "'", "“", `"`, "”", `"`, "„", `"`, "«", `"`, "»", `"`,
	"–", "-", "—", "-", "‑", "-", "−", "-", "…", "...", "•", "-", "\u00ad", "", "\u200b", "", "\ufeff", "",
)
