package templates

import (
	"errors"
	"fmt"
	"slices"

	"harmonize.care/heed/channels"
)

// Category is what the policy says of a category, as far as its texts must obey it.
type Category struct {
	Name      string
	Essential bool
	Content   string // none, minimal or clinical
}

// Lint holds a whole template against its category: the zero Category for an
// answer. It renders every text, with all variables and with only those that are
// needed. The error joins everything it found, each a *Refused behind the text
// that it is about.
func (t *Template) Lint(c Category) error { return t.lintAs(c, SampleIdentity()) }

func (t *Template) lintAs(c Category, identity Identity) error {
	l := &linter{template: t, identity: identity}
	l.category(c)
	l.forms()
	for _, w := range t.Wordings() {
		l.where = fmt.Sprintf("%s: %s %s, %s%s", t.Name, w.Language, w.Channel, w.Form, map[bool]string{true: ", discreet"}[w.Discreet])
		l.variables(w)
		l.rendered(w)
	}
	return errors.Join(l.found...)
}

// linter collects what is wrong with one template.
type linter struct {
	template *Template
	identity Identity
	where    string
	found    []error
}

func (l *linter) refuse(rule Rule, format string, args ...any) {
	l.found = append(l.found, fmt.Errorf("%s: %w", l.where, &Refused{rule, fmt.Sprintf(format, args...)}))
}

// rank orders contents; what is not known may carry nothing.
func rank(content string) int {
	return slices.Index([]string{ContentNone, ContentMinimal, ContentClinical}, content)
}

func (l *linter) category(c Category) {
	t := l.template
	l.where = t.Name
	if t.Category != c.Name {
		l.refuse(RuleContent, "the template belongs to another category")
	}
	if t.Category == "" {
		return
	}
	if t.Essential != c.Essential {
		l.refuse(RuleUnsubscribe, "the template and its category are not of the same class: essential mail carries no way out, all other must")
	}
	if rank(t.Content) < 0 || rank(t.Content) > rank(c.Content) {
		l.refuse(RuleContent, "the template carries more than its category may: at most %s", c.Content)
	}
	if t.Content == ContentNone && slices.ContainsFunc(t.Variables, func(v Variable) bool { return v.Kind == KindTime }) {
		l.refuse(RuleContent, "an appointment's time is more than the content none: take the variable out")
	}
}

// forms: a text that is there in one language or manner is there in all, and what
// carries anything can also go behind a link.
func (l *linter) forms() {
	t := l.template
	if len(t.words) == 0 {
		l.refuse(RuleForms, "the template has no text")
	}
	for _, w := range t.Wordings() {
		if !t.Has(w.Channel, w.Form, false) || !t.Has(w.Channel, w.Form, true) {
			l.refuse(RuleForms, "the %s text, form %s, is not there in every language, normal and discreet", w.Channel, w.Form)
			return
		}
		if w.Channel == channels.Voice {
			if !t.Has(w.Channel, CallBack, true) || !t.Has(w.Channel, Voicemail, true) {
				l.refuse(RuleForms, "there is no voice text that only asks to call back, or none for an answering machine")
				return
			}
			continue
		}
		if t.Category == "" || t.Content == ContentNone || w.Form != Full {
			continue
		}
		if !t.Has(w.Channel, SecureLink, true) {
			l.refuse(RuleForms, "there is no %s text that only points to the secure link", w.Channel)
			return
		}
		if !t.Has(channels.Email, Full, true) {
			l.refuse(RuleForms, "there is no email text: the page behind a secure link shows it")
			return
		}
	}
}

// settings are the names that are not variables: they come from the practice.
func settings() []string {
	return []string{"sender", "discreet_name", "phone", "opt_out_phone", secureLink}
}

// variables: a text asks only for what there is; what may be absent stands in
// brackets.
func (l *linter) variables(w Wording) {
	words := l.template.words[which{w.Language, w.Channel, w.Form, w.Discreet}]
	if words.target != "" {
		words.link.parts = append(slices.Clone(words.link.parts), part{group: []part{{name: words.target}}})
	}
	for _, p := range []phrase{words.subject, words.body, words.link} {
		needed, optional := p.names()
		for _, name := range append(needed, optional...) {
			if !slices.Contains(settings(), name) {
				l.variable(w, name, slices.Contains(needed, name), words.subject.asks(name))
			}
		}
	}
}

func (l *linter) variable(w Wording, name string, needed, inSubject bool) {
	t := l.template
	at := slices.IndexFunc(t.Variables, func(v Variable) bool { return v.Name == name })
	if at < 0 {
		l.refuse(RuleVariables, "{%s} is neither a variable of the template nor a setting", name)
		return
	}
	v := t.Variables[at]
	switch {
	case needed && !v.Required:
		l.refuse(RuleVariables, "{%s} may be absent: put it and the words around it in square brackets", name)
	case w.Form != Full:
		l.refuse(RuleVariables, "{%s}: a text that only points to a link, or asks to call, says nothing else", name)
	case inSubject && t.Content != ContentNone:
		l.refuse(RuleContent, "{%s}: a subject shows no variable, because a lock screen shows the subject", name)
	case w.Discreet && v.Kind == KindText && t.Content != ContentNone:
		l.refuse(RuleVariables, "{%s}: a discreet text leaves out what staff write freely; it may name anybody", name)
	}
}

// rendered renders a text as it would go out and asks the rules.
func (l *linter) rendered(w Wording) {
	for _, all := range []bool{true, false} {
		_, err := l.template.Render(Request{
			Channel: w.Channel, Form: w.Form, Discreet: w.Discreet, Locale: w.Language,
			Vars: l.template.Sample(w.Language, all), Identity: l.identity, Links: SampleLinks(),
		})
		if refused := (*Refused)(nil); errors.As(err, &refused) {
			l.refuse(refused.Rule, "%s", refused.Problem)
			return
		}
		if err != nil {
			l.refuse(RuleVariables, "%v", err)
			return
		}
	}
}

// SampleIdentity is a practice to preview texts with.
func SampleIdentity() Identity {
	return Identity{
		Name: "Example Practice", DiscreetName: "Your provider", Phone: "+18885550100", OptOutPhone: "+18885550199",
		PostalAddress: "1 Main St, Denver, CO 80202", TimeZone: "America/Denver",
	}
}

// SampleLinks are links to preview texts with, as long as real ones.
func SampleLinks() Links {
	const token = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	return Links{
		Secure:      "https://heed.example/m/" + token,
		Preferences: "https://heed.example/p/" + token,
		Unsubscribe: "https://heed.example/u/" + token,
	}
}
