package templates_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/templates"
)

var update = flag.Bool("update", false, "write what is rendered now into testdata as expected")

// goldenCase is one case of a golden file: what is asked, and what comes of it.
//
//	=== reminder, nothing optional
//	template: appointment_reminder
//	channel: sms
//	locale: es
//	appointment_time: 2030-01-07T10:30:00-07:00
//	---
//	what is rendered
//
// All keys but template, channel, locale, form, discreet and html are variables; \n
// in a value is a line break. A "html: yes" shows the HTML part too.
type goldenCase struct {
	title, input, expected string
	fields                 map[string]string
}

func readGolden(t *testing.T, file string) []goldenCase {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []goldenCase
	for _, block := range strings.Split("\n"+string(text), "\n=== ")[1:] {
		head, expected, _ := strings.Cut(block, "\n---\n")
		title, input, _ := strings.Cut(head, "\n")
		c := goldenCase{title: title, input: input, expected: strings.TrimRight(expected, "\n"), fields: map[string]string{}}
		for line := range strings.SplitSeq(input, "\n") {
			key, value, ok := strings.Cut(line, ": ")
			if !ok {
				t.Fatalf("%s, case %q: a line is not “key: value”", file, title)
			}
			c.fields[key] = strings.ReplaceAll(value, `\n`, "\n")
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		t.Fatalf("%s holds no case", file)
	}
	return list
}

// request takes the request out of the case's fields.
func (c goldenCase) request() (template string, r templates.Request) {
	vars := maps.Clone(c.fields)
	take := func(key string) string {
		value := vars[key]
		delete(vars, key)
		return value
	}
	template = take("template")
	r.Channel, _ = channels.ParseChannel(take("channel"))
	r.Locale = take("locale")
	r.Form, _ = templates.ParseForm(take("form"))
	r.Discreet = take("discreet") == "yes"
	take("html")
	r.Vars, r.Identity, r.Links = vars, templates.SampleIdentity(), templates.SampleLinks()
	return template, r
}

// shown writes a rendered message, or why it was refused, for a person to read.
func (c goldenCase) shown(set *templates.Set) string {
	name, r := c.request()
	tmpl, ok := set.Get(name)
	if !ok {
		return "no such template"
	}
	text, err := tmpl.Render(r)
	switch {
	case err != nil:
		return "refused: " + err.Error()
	case r.Channel == channels.SMS:
		return fmt.Sprintf("%s, segments: %d\n\n%s", text.Segments.Encoding, text.Segments.Count, text.Text)
	case r.Channel == channels.Voice:
		return text.Language + "\n\n" + text.Text
	case c.fields["html"] == "yes":
		return "Subject: " + text.Subject + "\n\n" + text.Text + "\n" + text.HTML
	}
	return "Subject: " + text.Subject + "\n\n" + text.Text
}

func TestGolden(t *testing.T) {
	set := templates.Builtin()
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files: ", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			var written strings.Builder
			for _, c := range readGolden(t, file) {
				got := strings.TrimRight(c.shown(set), "\n")
				if got != c.expected && !*update {
					t.Errorf("case %q\n--- got\n%s\n--- expected\n%s", c.title, got, c.expected)
				}
				fmt.Fprintf(&written, "=== %s\n%s\n---\n%s\n\n", c.title, c.input, got)
			}
			if *update {
				if err := os.WriteFile(file, []byte(strings.TrimSuffix(written.String(), "\n")), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestGoldenShowsEveryWording: no text can change without somebody seeing it.
func TestGoldenShowsEveryWording(t *testing.T) {
	set := templates.Builtin()
	seen := map[string]bool{}
	key := func(name, language string, c channels.Channel, f templates.Form, discreet bool) string {
		return fmt.Sprint(name, " ", language, " ", c, " ", f, " discreet ", discreet)
	}
	files, _ := filepath.Glob("testdata/*.golden")
	for _, file := range files {
		for _, c := range readGolden(t, file) {
			name, r := c.request()
			seen[key(name, r.Locale, r.Channel, r.Form, r.Discreet)] = true
		}
	}
	for _, name := range set.Names() {
		tmpl, _ := set.Get(name)
		for _, w := range tmpl.Wordings() {
			if k := key(name, w.Language, w.Channel, w.Form, w.Discreet); !seen[k] {
				t.Errorf("no golden case shows %s", k)
			}
		}
	}
}

// TestVersions: words that change get a new version, so that a record of what was
// sent can name the text.
func TestVersions(t *testing.T) {
	const file = "testdata/versions.txt"
	set := templates.Builtin()
	old := map[string]string{} // digest by name and version
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 {
			old[f[0]+" "+f[1]] = f[2]
		}
	}
	for _, name := range set.Names() {
		tmpl, _ := set.Get(name)
		k := fmt.Sprintf("%s %d", name, tmpl.Version)
		switch known, ok := old[k]; {
		case ok && known != tmpl.Digest:
			t.Errorf("%s: its words changed and its version did not: raise it in builtin.go, then run with -update", name)
		case !ok && !*update:
			t.Errorf("%s: version %d is not in %s: run with -update", name, tmpl.Version, file)
		case !ok:
			old[k] = tmpl.Digest
		}
	}
	if *update && !t.Failed() {
		var b strings.Builder
		for _, k := range slices.Sorted(maps.Keys(old)) {
			fmt.Fprintln(&b, k, old[k])
		}
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
