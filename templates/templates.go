// Package templates holds the texts that may go out: versions, languages,
// channels, the forms a text may take, and the lint that every text must pass.
//
// The words themselves are the files under texts/, one for each template, English
// and Spanish side by side, so that whoever answers for them can read them without
// reading Go. texts/README.md explains their layout.
//
// There are texts for SMS, for email, and for calls where a template has them: see
// voice.go.
package templates

import (
	"maps"
	"slices"
	"strconv"

	"harmonize.care/heed/channels"
)

// Form is how much of a message a text says; the numbers are those of the decision.
type Form uint8

// The forms.
const (
	Full       Form = iota
	SecureLink      // only that something waits, behind a signed link
	CallBack        // by voice: who is calling and which number to call
	Voicemail       // by voice, to a machine: a name, a number, the toll-free opt-out number. No decision asks for it
)

var formNames = [...]string{"full", "secure_link", "call_back", "voicemail"}

// String gives the API's word.
func (f Form) String() string {
	if int(f) < len(formNames) {
		return formNames[f]
	}
	return "form(" + strconv.Itoa(int(f)) + ")"
}

// What a template carries at most: 45 CFR 164.502(b).
const (
	ContentNone     = "none"     // nothing that ties the person to care
	ContentMinimal  = "minimal"  // who, when, where to call
	ContentClinical = "clinical" // anything more
)

// ParseForm reads a form as String writes it; "" is the full one.
func ParseForm(name string) (Form, bool) {
	at := slices.Index(formNames[:], name)
	return Form(max(at, 0)), at >= 0 || name == ""
}

// Template is one approved text in all its languages, channels and forms.
type Template struct {
	Name      string
	Category  string // "" for the answers to what somebody just said
	Essential bool   // the class of its category
	Version   int    // raised with every change of the words
	Digest    string // hex: of all its words; a text with another digest is another text
	Content   string // none, minimal or clinical: the most it carries
	Variables []Variable
	Practice  bool // the practice's own, not built in

	words  map[which]words
	footer map[string]footer // by language
	layout layout
	spoken spoken
}

// which picks one text of a template.
type which struct {
	language string
	channel  channels.Channel
	form     Form
	discreet bool
}

// Request is what one rendering needs. No name and no address of the patient.
type Request struct {
	Channel  channels.Channel
	Form     Form
	Discreet bool
	Locale   string // "es", "es-MX"; all that is not Spanish gets English
	Vars     map[string]string
	Identity Identity
	Links    Links
}

// Links are the signed links a text may carry; "" where there is none.
type Links struct{ Secure, Preferences, Unsubscribe string }

// Text is a rendered message.
type Text struct {
	Language string   // of its words: en or es
	Subject  string   // email only
	Text     string   // by voice, a line for each breath
	HTML     string   // email only
	Segments Segments // SMS only
}

// Set is a set of templates. It is never changed.
type Set struct {
	byName   map[string]*Template
	byDigest map[versionOf]*Template
	shared   shared
}

// Get gives a template by name.
func (s *Set) Get(name string) (*Template, bool) {
	t, ok := s.byName[name]
	return t, ok
}

// Names lists the templates by name.
func (s *Set) Names() []string { return slices.Sorted(maps.Keys(s.byName)) }

// Has says whether there is a text for a channel and form, discreet or not, in
// every language.
func (t *Template) Has(c channels.Channel, f Form, discreet bool) bool {
	for _, language := range languages() {
		if _, ok := t.words[which{language, c, f, discreet}]; !ok {
			return false
		}
	}
	return true
}

// Wording is one text as it is written down, before anything is filled in.
type Wording struct {
	Language string // en or es
	Channel  channels.Channel
	Form     Form
	Discreet bool
	Subject  string // email only
	Body     string
	Link     string // email only: the words on the link
}

// Wordings lists every text of the template, for whoever has to approve it: by
// language, channel and form, the normal one before the discreet one.
func (t *Template) Wordings() []Wording {
	var list []Wording
	for _, language := range languages() {
		for _, c := range channels.Channels {
			for f := Full; f <= Voicemail; f++ {
				for _, discreet := range []bool{false, true} {
					if w, ok := t.words[which{language, c, f, discreet}]; ok {
						list = append(list, Wording{language, c, f, discreet, w.subject.source, w.body.source, w.link.source})
					}
				}
			}
		}
	}
	return list
}
