package templates

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"
)

func builtin(t testing.TB, name string) *Template {
	t.Helper()
	found, ok := Builtin().Get(name)
	if !ok {
		t.Fatalf("no template %s", name)
	}
	return found
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name, template, variable, value string
		want                            string // in the error; "" where it is taken
	}{
		{"all is well", "appointment_reminder", "clinician", "Dr. Example", ""},
		{"optional and empty", "appointment_reminder", "clinician", "", ""},
		{"optional and blank", "appointment_reminder", "clinician", "  ", "clinician is blank"},
		{"needed and blank", "appointment_reminder", "location", " ", "location is missing"},
		{"not taken", "appointment_reminder", "diagnosis", "secret-value", "a variable's name is unknown: this template takes appointment_time, location, clinician, change"},
		{"a name that could be anything", "appointment_reminder", "Secret Value", "x", "a variable's name is unknown"},
		{"takes none", "symptom_check_in", "text", "x", "this template takes none"},
		{"no offset", "appointment_reminder", "appointment_time", "2031-02-08T10:30:00", "appointment_time must be an RFC 3339 time"},
		{"no time", "appointment_reminder", "appointment_time", "2031-02-08", "appointment_time must be"},
		{"one digit", "appointment_reminder", "appointment_time", "2030-01-07T1:30:00Z", "appointment_time must be"},
		{"a comma", "appointment_reminder", "appointment_time", "2030-01-07T10:30:00,5Z", "appointment_time must be"},
		{"hour 24", "appointment_reminder", "appointment_time", "2030-01-07T24:00:00Z", "appointment_time must be"},
		{"February 30", "billing_notice", "due_on", "2030-02-30", "due_on must be a date"},
		{"a date", "billing_notice", "due_on", "2030-02-28", ""},
		{"a script", "survey", "url", "javascript:alert(1)", "url must be an absolute"},
		{"no scheme", "survey", "url", "practice.example/x", "url must be"},
		{"no host", "survey", "url", "https:///x", "url must be"},
		{"only a port", "survey", "url", "https://:443/x", "url must be"},
		{"a user name", "survey", "url", "https://bank.example@evil.example/", "url must be"},
		{"a space", "survey", "url", "https://practice.example/a b", "url must be"},
		{"a quote", "survey", "url", `https://practice.example/"x`, "url must be"},
		{"plain http", "survey", "url", "http://127.0.0.1:8080/s", ""},
		{"a header in the subject", "newsletter", "title", "Hours\r\nBcc: x@y.example", "title must be one line"},
		{"a separator in the subject", "newsletter", "title", "Hours\u2028Bcc", "title holds a Unicode line separator"},
		{"a bell", "newsletter", "title", "Hours\a", "title holds a control character"},
		{"a delete", "newsletter", "title", "Hours\x7f", "title holds a control character"},
		{"turned around", "newsletter", "title", "Hours \u202egnp", "title holds a control character"},
		{"broken", "newsletter", "title", "Hours\xff", "title is not valid UTF-8"},
		{"lines in a text", "newsletter", "text", "One\r\n\r\nTwo\tthree", ""},
		{"a null in a text", "newsletter", "text", "One\x00", "text holds a control character"},
		{"as long as may be", "newsletter", "title", strings.Repeat("a", 120), ""},
		{"too long", "newsletter", "title", strings.Repeat("a", 121), "title is too long: at most 120 characters"},
		{"too long in emoji", "newsletter", "title", strings.Repeat("😀", 61), "title is too long"},
		{"an invitation", "follow_up", "text", "Reply YES if you are coming.", "text invites a reply"},
		{"clinical", "follow_up", "text", "Your lab results are in.", "text says more than who, when and where"},
		{"clinical where it may be", "treatment_update", "text", "Your lab results are in.", ""},
		{"ties to care", "newsletter", "text", "See you at your next visit.", "text ties the person to care"},
		{"mental health on the lock screen", "follow_up", "text", "Your therapist called.", "text names mental health"},
		{"mental health in a subject", "newsletter", "title", "Mental health month", "title names mental health"},
		{"mental health only in a mail", "newsletter", "text", "May is mental health month.", ""},
		{"mental health in an address", "survey", "url", "https://practice.example/psychiatry", "url names mental health"},
		{"a keyword in an address", "survey", "url", "https://practice.example/reply/yes", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tmpl := builtin(t, c.template)
			vars := tmpl.Sample("en", false)
			vars[c.variable] = c.value
			err := tmpl.Check(vars)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			case err != nil && len(strings.TrimSpace(c.value)) > 1 && strings.Contains(err.Error(), c.value):
				t.Errorf("the error repeats the value: %v", err)
			}
			if _, rendered := tmpl.Render(Request{Channel: 1, Vars: vars, Identity: SampleIdentity()}); err != nil && rendered == nil {
				t.Error("a value that Check refuses is rendered")
			}
		})
	}
}

func TestCheckNamesEveryMistake(t *testing.T) {
	err := builtin(t, "newsletter").Check(map[string]string{"title": "a\nb", "url": "x", "zeta": "1", "alpha": "2"})
	const want = "title must be one line; text is missing: this template needs it; " +
		"url must be an absolute https or http address without spaces or user name; " +
		"a variable's name is unknown: this template takes title, text, url"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestExpires(t *testing.T) {
	reminder := builtin(t, "appointment_reminder")
	at, ok := reminder.Expires(reminder.Sample("en", false))
	if want := time.Date(2030, 1, 7, 17, 30, 0, 0, time.UTC); !ok || !at.Equal(want) {
		t.Errorf("got %v %v, want %v", at, ok, want)
	}
	for _, value := range []string{"", "tomorrow"} {
		if _, ok := reminder.Expires(map[string]string{"appointment_time": value}); ok {
			t.Errorf("%q is a moment", value)
		}
	}
	if _, ok := builtin(t, "billing_notice").Expires(map[string]string{"due_on": "2030-01-31"}); ok {
		t.Error("a bill has no use after its day")
	}
}

// TestLongestFits: what Check takes can be rendered on every channel, so that
// nobody finds out at night that it was too long.
func TestLongestFits(t *testing.T) {
	set := Builtin()
	for _, name := range set.Names() {
		tmpl, _ := set.Get(name)
		vars := tmpl.Sample("en", true)
		for _, v := range tmpl.Variables {
			if v.Kind == KindText {
				vars[v.Name] = strings.Repeat("á", v.Max)
			}
			if v.Kind == KindURL {
				vars[v.Name] += "?" + strings.Repeat("a", v.Max-len(vars[v.Name])-1)
			}
		}
		if err := tmpl.Check(vars); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, w := range tmpl.Wordings() {
			if _, err := tmpl.Render(Request{
				Channel: w.Channel, Form: w.Form, Discreet: w.Discreet, Locale: w.Language,
				Vars: maps.Clone(vars), Identity: SampleIdentity(), Links: SampleLinks(),
			}); err != nil {
				t.Errorf("%s %s %s: %v", name, w.Language, w.Channel, err)
			}
		}
	}
}

// TestASCIIIsReadTheSame holds the short way of reading to the long one.
func TestASCIIIsReadTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom(nil, &unicode.RangeTable{R16: []unicode.Range16{{Lo: 1, Hi: 0x26, Stride: 1}, {Lo: 0x28, Hi: 0x7f, Stride: 1}}})).Draw(t, "text")
		// A letter of another alphabet at the end makes it go the long way.
		long := read(text + " é")
		if is := read(text); !slices.Equal(is, long[:len(long)-1]) {
			t.Fatalf("%q and %q", is, long)
		}
	})
}
