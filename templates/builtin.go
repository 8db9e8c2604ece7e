package templates

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
)

//go:embed texts/*.txt texts/*.html
var files embed.FS

// The answers that rules speak of by name.
const (
	crisis     = "crisis"
	staffAlert = "staff_alert"
	secureLink = "secure_link"
	pageCode   = "page_code"
)

// table lists the built-in templates. Raise a version whenever its words change:
// a test holds the versions against the digests.
func table() []Template {
	appointment := []Variable{
		{Name: "appointment_time", Required: true, Kind: KindTime, Max: 40},
		{Name: "location", Required: true, Kind: KindText, Max: 120},
		{Name: "clinician", Kind: KindText, Max: 80},
		{Name: "change", Kind: KindText, Max: 200},
	}
	// What may go by SMS has to fit into one: see maxSMS.
	message := Variable{Name: "text", Required: true, Kind: KindText, Max: 1000, Lines: true}
	letter := Variable{Name: "text", Required: true, Kind: KindText, Max: 5000, Lines: true}
	note := Variable{Name: "text", Kind: KindText, Max: 500, Lines: true}
	title := Variable{Name: "title", Required: true, Kind: KindText, Max: 120}
	link := Variable{Name: "url", Kind: KindURL, Max: 300}
	needed := link
	needed.Required = true
	due := Variable{Name: "due_on", Kind: KindDate, Max: 10}

	return []Template{
		{Name: "appointment_reminder", Version: 2, Essential: true, Content: ContentMinimal, Variables: appointment},
		{Name: "appointment_change", Version: 2, Essential: true, Content: ContentMinimal, Variables: appointment},
		{Name: "follow_up", Version: 2, Essential: true, Content: ContentMinimal, Variables: []Variable{message}},
		{Name: "treatment_update", Version: 2, Essential: true, Content: ContentClinical, Variables: []Variable{message}},
		{Name: "legal_notice", Version: 1, Essential: true, Content: ContentNone, Variables: []Variable{title, letter}},
		{Name: "billing_notice", Version: 1, Essential: true, Content: ContentMinimal, Variables: []Variable{due, note}},
		{Name: "symptom_check_in", Version: 1, Content: ContentMinimal},
		{Name: "survey", Version: 1, Content: ContentMinimal, Variables: []Variable{needed}},
		{Name: "newsletter", Version: 1, Content: ContentNone, Variables: []Variable{title, letter, link}},
		{Name: "marketing", Version: 2, Content: ContentNone, Variables: []Variable{title, message, link}},
		{Name: "sponsored_marketing", Version: 1, Content: ContentNone, Variables: []Variable{title, letter, link}},
	}
}

// answers lists what is said to a person who has just written, and to staff.
func answers() []Template {
	var list []Template
	for _, name := range []string{"stop_confirmation", "cancel_confirmation", "start_confirmation", "help", "confirm_received", "reschedule_received", crisis, staffAlert} {
		list = append(list, Template{Name: name, Version: 1, Essential: true, Content: ContentNone})
	}
	code := Variable{Name: "code", Required: true, Kind: KindText, Max: 6}
	return append(list, Template{Name: pageCode, Version: 1, Essential: true, Content: ContentNone, Variables: []Variable{code}})
}

// Builtin gives the templates that ship with the gateway. It panics if a text that
// was built in cannot be read: every test that uses it would see that.
func Builtin() *Set {
	s, err := load(files)
	if err != nil {
		panic("templates: " + err.Error())
	}
	return s
}

func load(from fs.FS) (*Set, error) {
	sharedTexts, err := readAll(from, "texts/footer.txt", "texts/email.html", "texts/secure_link.txt")
	if err != nil {
		return nil, err
	}
	foot, err := parseFooter(sharedTexts[0])
	if err != nil {
		return nil, fmt.Errorf("texts/footer.txt: %w", err)
	}
	page, err := template.New("email").Parse(sharedTexts[1])
	if err != nil {
		return nil, fmt.Errorf("texts/email.html: %w", err)
	}
	voice, err := readVoice(from)
	if err != nil {
		return nil, err
	}
	s := &Set{byName: map[string]*Template{}, shared: shared{sharedTexts, foot, page, voice}}
	categories := table()
	for i, t := range append(categories, answers()...) {
		if i < len(categories) {
			t.Category = t.Name
		}
		t.footer, t.layout, t.words = foot, page, map[which]words{}
		if err := t.read(from, sharedTexts, voice); err != nil {
			return nil, err
		}
		s.byName[t.Name] = &t
	}
	return s, nil
}

// read takes a template's words from its file. What carries anything may also
// have to go behind a link, and all of these say the same.
func (t *Template) read(from fs.FS, shared []string, v voice) error {
	own, err := readAll(from, "texts/"+t.Name+".txt")
	if err != nil {
		return err
	}
	if err := parseWords(own[0], Full, t.words); err != nil {
		return fmt.Errorf("texts/%s.txt: %w", t.Name, err)
	}
	if t.Content != ContentNone {
		if err := parseWords(shared[2], SecureLink, t.words); err != nil {
			return fmt.Errorf("texts/secure_link.txt: %w", err)
		}
	}
	all := append(own, shared...)
	if t.isSpoken() {
		if err := t.speak(v); err != nil {
			return err
		}
		all = append(all, v.files...)
	}
	sum := sha256.New()
	for _, text := range all {
		fmt.Fprintf(sum, "%d:%s", len(text), text)
	}
	t.Digest = hex.EncodeToString(sum.Sum(nil)[:8])
	return nil
}

func readAll(from fs.FS, names ...string) ([]string, error) {
	var list []string
	for _, name := range names {
		text, err := fs.ReadFile(from, name)
		if err != nil {
			return nil, err
		}
		list = append(list, string(text))
	}
	return list, nil
}
