package templates

import (
	"fmt"
	"net/url"
	"strings"

	"harmonize.care/heed/channels"
)

// Rule is one rule of the lint; the names are stable.
type Rule string

// The rules. Those from RuleForms on are asked of a template as a whole, by Lint.
const (
	RuleMentalHealth Rule = "mental_health" // no SMS and no subject line names mental health; a discreet text nowhere
	RuleReply        Rule = "reply"         // no text invites CANCEL, YES, ALTO or BAJA: they mean something else
	RuleContent      Rule = "content"       // no more than the category may carry: 45 CFR 164.502(b)
	RuleIdentity     Rule = "identity"      // who is writing; in a discreet text never by the practice's name
	RuleOptOut       Rule = "opt_out"       // every SMS of a category says how to stop: 47 CFR 64.1200(a)(10)
	RuleUnsubscribe  Rule = "unsubscribe"   // every non-essential email has the way out: 15 U.S.C. 7704(a)(3)
	RulePostal       Rule = "postal"        // and the postal address: 15 U.S.C. 7704(a)(5)(A)(iii)
	RulePreferences  Rule = "preferences"   // every email of a category has the way to the preference page
	RuleLength       Rule = "length"        // what a provider takes
	RuleMissing      Rule = "missing"       // a setting or link that the text needs
	RuleForms        Rule = "forms"         // every text in every language, normal and discreet, and behind a link
	RuleVariables    Rule = "variables"     // a text asks for what the template takes, and a discreet one for less
)

// Refused says which rule refused a text, in words, without the text.
type Refused struct {
	Rule    Rule
	Problem string // what is wrong and what to do
}

func (r *Refused) Error() string { return r.Problem }

const (
	maxSMS     = 1600 // characters that Twilio takes: https://www.twilio.com/docs/api/errors/21617
	maxSubject = 200
	// maxSpoken keeps a script below the 4,000 characters that Twilio takes, whatever
	// stands around its words, and a call below three minutes.
	maxSpoken = 2500
)

// lint asks every rule of a rendered message; the first that refuses it speaks.
func (m *message) lint() error {
	for _, ask := range []struct {
		rule  Rule
		check func() string
	}{
		{RuleMentalHealth, m.mentalHealth}, {RuleReply, m.invites}, {RuleContent, m.content}, {RuleIdentity, m.identity},
		{RuleOptOut, m.optOut}, {RuleUnsubscribe, m.unsubscribe}, {RulePostal, m.postal}, {RulePreferences, m.preferences}, {RuleLength, m.length},
	} {
		if problem := ask.check(); problem != "" {
			return &Refused{ask.rule, problem}
		}
	}
	return nil
}

func (m *message) isEmail() bool { return m.request.Channel == channels.Email }

// ofCategory: a message of a category, not an answer to what somebody just said.
func (m *message) ofCategory() bool { return m.template.Category != "" }

func (m *message) optionalEmail() bool {
	return m.isEmail() && m.ofCategory() && !m.template.Essential
}

func (m *message) links() []string {
	l := m.request.Links
	return []string{l.Secure, l.Preferences, l.Unsubscribe}
}

// shown is the text as a lock screen shows it, without the paths of our signed
// links: a token is chance, and could spell anything.
func (m *message) shown() string {
	text := m.text.Text
	for _, link := range m.links() {
		if u, err := url.Parse(link); link != "" && err == nil {
			text = strings.ReplaceAll(text, link, u.Host)
		}
	}
	return text
}

// said is the subject and the text without any address: what is read as words.
func (m *message) said() string {
	remove := m.links()
	for _, v := range m.template.Variables {
		if v.Kind == KindURL {
			remove = append(remove, m.request.Vars[v.Name])
		}
	}
	text := m.text.Text
	for _, link := range remove {
		if link != "" {
			text = strings.ReplaceAll(text, link, "")
		}
	}
	return m.text.Subject + ". " + text
}

// mentalHealth: a lock screen shows an SMS and a subject to whoever is near.
func (m *message) mentalHealth() string {
	switch {
	case NamesMentalHealth(m.text.Subject):
		return "the subject names mental health: a lock screen shows it; use other words"
	case m.request.Discreet && NamesMentalHealth(m.shown()):
		return "a discreet text names mental health: use other words"
	case m.isCall() && NamesMentalHealth(m.shown()):
		return "the call names mental health: whoever picks up hears it; use other words, or send it by email only"
	case !m.isEmail() && NamesMentalHealth(m.shown()):
		return "the SMS names mental health: a lock screen shows it; use other words, or send it by email only"
	}
	return ""
}

func (m *message) invites() string {
	if invitesKeyword(m.said()) {
		return inviteProblem
	}
	return ""
}

const inviteProblem = "invites a reply such as CANCEL, YES, ALTO or BAJA: carriers and people take these words for something else; invite a call"

func (m *message) content() string {
	if exceeds(m.template.Content, m.said()) {
		return "the text " + contentProblem(m.template.Content)
	}
	return ""
}

func contentProblem(content string) string {
	if content == ContentNone {
		return "ties the person to care, and this category carries nothing of that: leave it out or use another category"
	}
	return "says more than who, when and where to call: use treatment_update for anything clinical"
}

func (m *message) identity() string {
	i := m.request.Identity
	names := m.sender()
	if m.isCall() {
		names = aloud(names, m.language)
	}
	if !m.ofCategory() && m.template.Name != staffAlert {
		names = i.DiscreetName // an answer goes to a number that may be anybody's
	}
	switch {
	case names == "" || !strings.Contains(oneLine(m.text.Text), oneLine(names)):
		return "the text does not say who is writing: use {sender}, and set practice.name and practice.discreet_name"
	case m.isCall() && !saidFirst(m.text.Text, names):
		return "the call does not begin with who is calling: 47 CFR 64.1200(b)(1)"
	case m.request.Discreet && m.ofCategory() && i.Name != "" && contains(m.said(), i.Name):
		return "a discreet text names the practice: leave the name out of the variables and of practice.postal_address"
	}
	return ""
}

func (m *message) optOut() string {
	if m.isCall() {
		return m.optOutAloud()
	}
	if !m.isEmail() && m.ofCategory() && !saysStop(m.text.Text) {
		return "the SMS does not say how to stop: add “Reply STOP to stop.” (“Responda PARAR …”)"
	}
	return ""
}

func (m *message) unsubscribe() string {
	if link := m.request.Links.Unsubscribe; m.optionalEmail() && (link == "" || !strings.Contains(m.text.Text, link)) {
		return "an email that is not essential must carry the link to unsubscribe: it was not given"
	}
	return ""
}

func (m *message) postal() string {
	if address := oneLine(m.request.Identity.PostalAddress); m.optionalEmail() && (address == "" || !strings.Contains(m.text.Text, address)) {
		return "an email that is not essential must carry the postal address: set practice.postal_address"
	}
	return ""
}

func (m *message) preferences() string {
	if link := m.request.Links.Preferences; m.isEmail() && m.ofCategory() && (link == "" || !strings.Contains(m.text.Text, link)) {
		return "an email must carry the way to the preference page: the link was not given"
	}
	return ""
}

func (m *message) length() string {
	switch {
	case m.isCall() && places(m.text.Text) > maxSpoken:
		return fmt.Sprintf("the call is longer than %d characters: nobody listens that long; shorten it", maxSpoken)
	case !m.isEmail() && !m.isCall() && places(m.text.Text) > maxSMS:
		return fmt.Sprintf("the SMS is longer than %d characters: shorten it", maxSMS)
	case places(m.text.Subject) > maxSubject:
		return fmt.Sprintf("the subject is longer than %d characters: shorten it", maxSubject)
	case m.isEmail() && m.text.Subject == "":
		return "the email has no subject"
	}
	return ""
}

// unfit finds, before a message is accepted, what would have it refused when it is
// rendered on any channel, so that the sender hears of it and not the night shift.
func (t *Template) unfit(v Variable, value string) string {
	switch {
	case v.Kind == KindText && invitesKeyword(value):
		return inviteProblem
	case v.Kind == KindText && exceeds(t.Content, value):
		return contentProblem(t.Content)
	case t.Content != ContentClinical && t.onLockScreen(v.Name) && NamesMentalHealth(value):
		return "names mental health, and would stand in an SMS or a subject line, or be spoken: use other words"
	}
	return ""
}

// onLockScreen: some SMS or subject shows this variable, or some call speaks it.
func (t *Template) onLockScreen(name string) bool {
	for key, w := range t.words {
		if key.channel != channels.Email && w.body.asks(name) || w.subject.asks(name) {
			return true
		}
	}
	return false
}
