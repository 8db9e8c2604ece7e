package templates

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Variable is one value that a template takes.
type Variable struct {
	Name     string `json:"name"`
	Required bool   `json:"required,omitempty"`
	Kind     string `json:"kind"`            // text, time, date or url
	Max      int    `json:"max"`             // the most characters, counted as UCS-2 counts them
	Lines    bool   `json:"lines,omitempty"` // text only: may have line breaks
}

// The kinds of variable.
const (
	KindText = "text"
	KindTime = "time" // RFC 3339: 2030-01-07T10:30:00-07:00
	KindDate = "date" // 2030-01-07
	KindURL  = "url"  // absolute, https or http
)

// Check holds variables against what the template takes. The error names every
// wrong variable and says what to do; it never repeats a value.
func (t *Template) Check(vars map[string]string) error {
	var wrong []string
	for _, v := range t.Variables {
		value, given := vars[v.Name]
		if problem := t.problem(v, value, given); problem != "" {
			wrong = append(wrong, v.Name+" "+problem)
		}
	}
	for name := range vars {
		if !slices.ContainsFunc(t.Variables, func(v Variable) bool { return v.Name == name }) {
			wrong = append(wrong, t.unknown()) // once says it all
			break
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return errors.New(strings.Join(wrong, "; "))
}

func (t *Template) problem(v Variable, value string, given bool) string {
	switch {
	case strings.TrimSpace(value) == "" && v.Required:
		return "is missing: this template needs it"
	case value == "":
		return ""
	case strings.TrimSpace(value) == "" && given:
		return "is blank: leave it out or fill it in"
	case places(value) > v.Max:
		return fmt.Sprintf("is too long: at most %d characters", v.Max)
	case !utf8.ValidString(value):
		return "is not valid UTF-8"
	}
	if problem := wrongCharacters(value, v.Lines); problem != "" {
		return problem
	}
	switch v.Kind {
	case KindTime:
		if _, err := instant(value); err != nil {
			return "must be an RFC 3339 time with its offset, such as 2030-01-07T10:30:00-07:00"
		}
	case KindDate:
		if _, err := time.Parse(time.DateOnly, value); err != nil {
			return "must be a date such as 2030-01-07"
		}
	case KindURL:
		if !isLink(value) {
			return "must be an absolute https or http address without spaces or user name"
		}
	}
	return t.unfit(v, value)
}

// wrongCharacters: a line break in a subject starts a new header (RFC 5322 2.2),
// and a bidirectional override shows a text as something else.
func wrongCharacters(value string, lines bool) string {
	for _, r := range value {
		switch {
		case r == '\n' || r == '\r':
			if !lines {
				return "must be one line"
			}
		case r == '\u2028' || r == '\u2029' || r == '\u0085':
			return "holds a Unicode line separator: use plain text"
		case r == '\t' && lines:
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return "holds a control character: use plain text"
		}
	}
	return ""
}

// unknown tells of a variable that the template does not take. Its name is the
// caller's own word and may be anything, so it is not repeated.
func (t *Template) unknown() string {
	if len(t.Variables) == 0 {
		return "a variable's name is unknown: this template takes none"
	}
	var names []string
	for _, v := range t.Variables {
		names = append(names, v.Name)
	}
	return "a variable's name is unknown: this template takes " + strings.Join(names, ", ")
}

// Expires gives the moment after which the text has no use: the appointment's time.
func (t *Template) Expires(vars map[string]string) (time.Time, bool) {
	for _, v := range t.Variables {
		if v.Kind == KindTime {
			at, err := instant(vars[v.Name])
			return at, err == nil
		}
	}
	return time.Time{}, false
}

// instant reads a time as strictly as RFC 3339 is written: Go also takes an hour of
// one digit and a comma before the fraction.
func instant(value string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, value)
	if err == nil && (value[13] != ':' || strings.Contains(value, ",")) {
		err = errors.New("not as RFC 3339 writes it")
	}
	return at, err
}

// isLink refuses what a mail program could run, or show as another address.
func isLink(value string) bool {
	u, err := url.Parse(value)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil &&
		!strings.ContainsFunc(value, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`"<>\^{|}`+"`", r) })
}

// places counts characters as UCS-2 does: the unit of every limit here.
func places(text string) int {
	n := 0
	for _, r := range text {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}

// Sample gives values to preview the template with, all of them or only those
// that it needs.
func (t *Template) Sample(locale string, all bool) map[string]string {
	texts := map[string]string{
		"location": "12 Main Street", "clinician": "Dr. Example", "change": "It is in room 4 now.",
		"title": "New hours", "text": "We open at eight.",
	}
	if languageOf(locale) == spanish {
		texts["location"], texts["clinician"], texts["change"] = "Calle Main 12", "Dra. Ejemplo", "Ahora es en la sala 4."
		texts["title"], texts["text"] = "Nuevo horario", "Abrimos a las ocho."
	}
	values := map[string]string{}
	for _, v := range t.Variables {
		switch {
		case !v.Required && !all:
		case v.Kind == KindTime:
			values[v.Name] = "2030-01-07T10:30:00-07:00"
		case v.Kind == KindDate:
			values[v.Name] = "2030-01-31"
		case v.Kind == KindURL:
			values[v.Name] = "https://practice.example/questions"
		case texts[v.Name] != "":
			values[v.Name] = texts[v.Name]
		default:
			values[v.Name] = v.Name
		}
	}
	return values
}
