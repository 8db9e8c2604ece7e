package templates

import (
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"
)

func TestPhrase(t *testing.T) {
	values := map[string]string{"a": "{b}", "b": "B", "dot": "a. m."}
	for source, want := range map[string]string{
		"":                      "",
		"plain":                 "plain",
		"{a}{b}":                "{b}B",
		"x[ and {b}]y":          "x and By",
		"x[ and {c}]y":          "xy",
		"x[ {b} and {c}]y":      "xy",
		"[{c}][{b}]":            "B",
		"at {dot}. Then":        "at a. m. Then",
		"at {dot}, then. {b}.":  "at a. m., then. B.",
		"[nothing to fill in]!": "nothing to fill in!",
	} {
		p, err := parsePhrase(source)
		if err != nil {
			t.Errorf("%q: %v", source, err)
			continue
		}
		if got, missing := p.fill(values); got != want || missing != "" {
			t.Errorf("%q: %q, missing %q, want %q", source, got, missing, want)
		}
	}
	p, _ := parsePhrase("x {c} y")
	if _, missing := p.fill(values); missing != "c" {
		t.Errorf("what is missing is not told: %q", missing)
	}
	for _, wrong := range []string{"{", "}", "{}", "{A}", "{a b}", "[", "]", "[[{a}]]", "[{a}", "{a}]", "{a[b]}", "{" + strings.Repeat("a", 41) + "}"} {
		if _, err := parsePhrase(wrong); err == nil {
			t.Errorf("%q can be read", wrong)
		}
	}
}

// TestPhraseNeverReadsValues: whatever is filled in comes out as it is.
func TestPhraseNeverReadsValues(t *testing.T) {
	p, err := parsePhrase("<{v}>[<{w}>]")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		v, w := rapid.StringN(1, -1, -1).Draw(t, "v"), rapid.String().Draw(t, "w")
		want := "<" + v + ">"
		if w != "" {
			want += "<" + w + ">"
		}
		if got, missing := p.fill(map[string]string{"v": v, "w": w}); got != want || missing != "" {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

func TestParseWordsSaysWhatIsWrong(t *testing.T) {
	for file, want := range map[string]string{
		"== en fax normal\nx":                      "use sms, voice or email",
		"== en sms\nx":                             "say normal, discreet",
		"== en sms loud\nx":                        "say normal, discreet",
		"== en sms normal\nx\n== en sms normal\ny": "there twice",
		"== en sms normal\nx {":                    "{ must be followed",
		"== en email normal\nSubject: {\n\nx":      "{ must be followed",
		"== en email normal\nLink: {url} [\n\nx":   "[ without its ]",
		"== en sms normal and discreet\nx]":        "] without its [",
	} {
		if err := parseWords(file, Full, map[which]words{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", file, err, want)
		}
	}
}

// TestLoadSaysWhichFile: a text that cannot be read is named with its file.
func TestLoadSaysWhichFile(t *testing.T) {
	for name, text := range map[string]string{
		"texts/footer.txt":      "== en\nFrom: x\n",
		"texts/email.html":      "{{",
		"texts/secure_link.txt": "== en sms\nx",
		"texts/help.txt":        "== en sms\nx",
	} {
		if _, err := load(replaced(t, name, []byte(text))); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := load(replaced(t, name, nil)); err == nil {
			t.Errorf("%s is not missed", name)
		}
	}
}

// replaced gives the built-in files with one of them changed, or missing.
func replaced(t *testing.T, name string, text []byte) fstest.MapFS {
	t.Helper()
	all := fstest.MapFS{}
	list, err := files.ReadDir("texts")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range list {
		data, err := files.ReadFile("texts/" + entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		all["texts/"+entry.Name()] = &fstest.MapFile{Data: data}
	}
	if _, ok := all[name]; !ok {
		t.Fatalf("there is no %s", name)
	}
	delete(all, name)
	if text != nil {
		all[name] = &fstest.MapFile{Data: text}
	}
	return all
}
