package pages

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences/policy"
)

// keysOf finds the keys that pages and code ask for. A key that ends in a dot is
// the beginning of several.
func keysOf(t *testing.T) []string {
	t.Helper()
	var keys []string
	collect := func(text string, patterns ...string) {
		for _, p := range patterns {
			for _, m := range regexp.MustCompile(p).FindAllStringSubmatch(text, -1) {
				keys = append(keys, m[1])
			}
		}
	}
	pages, err := fs.Glob(files, "web/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range pages {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		collect(string(text), `\bt "([^"]+)"`)
	}
	code, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range code {
		if strings.HasSuffix(name, "_test.go") || name == "words.go" || name == "phrases.go" {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		collect(string(text), `say\([^"()]*, "([^"]+)"`, `return "((?:state|topic|sent|closed|why)\.[a-z_]+)"`, `state = "(state\.[a-z]+)"`, `key := "((?:topic|why)\.)"`)
		for _, m := range regexp.MustCompile(`(?m)p\.notice\(.*"([a-z]+)"\)$`).FindAllStringSubmatch(string(text), -1) {
			keys = append(keys, m[1]+".title", m[1]+".what")
		}
	}
	return keys
}

func TestEveryPhraseIsThereAndUsed(t *testing.T) {
	keys := keysOf(t)
	if len(keys) < 60 {
		t.Fatalf("only %d keys were found: the search is broken", len(keys))
	}
	used := func(key string) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return k == key || strings.HasSuffix(k, ".") && strings.HasPrefix(key, k) })
	}
	for _, key := range keys {
		if _, ok := phrases[key]; !ok && !strings.HasSuffix(key, ".") {
			t.Errorf("no phrase for %q", key)
		}
	}
	for key, p := range phrases {
		if strings.TrimSpace(p.en) == "" || strings.TrimSpace(p.es) == "" {
			t.Errorf("%s is missing in a language", key)
		}
		if p.en == p.es && key != "error_prefix" {
			t.Errorf("%s is not translated", key)
		}
		for _, verb := range []string{"%s", "%d", "%"} {
			if strings.Count(p.en, verb) != strings.Count(p.es, verb) {
				t.Errorf("%s takes other values in Spanish", key)
			}
		}
		if !used(key) {
			t.Errorf("%s is used nowhere", key)
		}
	}
	for _, ch := range channels.Channels {
		if (phrases["channel."+ch.String()] == phrase{}) {
			t.Errorf("no words for %s", ch)
		}
	}
	for _, p := range channels.Programs {
		if (phrases["program."+p.String()] == phrase{}) {
			t.Errorf("no words for %s", p)
		}
	}
	for name, c := range policy.Default().Categories {
		if (phrases["topic."+name] == phrase{}) {
			t.Errorf("no words for %s, which is %s", name, c.Class)
		}
	}
}

func TestLanguages(t *testing.T) {
	for locale, want := range map[string]string{"": "en", "en": "en", "es": "es", "es-MX": "es", "ES_us": "es", "fr": "en", "est": "en"} {
		if got := languageOf(locale); got != want {
			t.Errorf("%q is %s", locale, got)
		}
	}
	for header, want := range map[string]string{"": "en", "es": "es", "es-419,es;q=0.9,en;q=0.8": "es", "en;q=0.5, es": "es", "de": "en", ";;;": "en", strings.Repeat("es,", 100): "en"} {
		if got := accepted(header); got != want {
			t.Errorf("%.20q is %s", header, got)
		}
	}
}
