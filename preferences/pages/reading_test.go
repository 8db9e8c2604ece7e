package pages

import (
	"html/template"
	"reflect"
	"strings"
	"testing"
	"time"
)

func clockOf() time.Time { return time.Date(2030, 3, 6, 19, 0, 0, 0, time.UTC) }

func TestReading(t *testing.T) {
	text := func(s string) []piece { return []piece{{Words: s}} }
	for name, c := range map[string]struct {
		in   string
		want reading
	}{
		"empty":           {"", reading{}},
		"one line":        {"Hello.", reading{Text: [][][]piece{{text("Hello.")}}}},
		"lines and gaps":  {"A\r\nB\r\n\r\n\r\n\r\nC\n", reading{Text: [][][]piece{{text("A"), text("B")}, {text("C")}}}},
		"below":           {"A\n\n----\nFrom us", reading{Text: [][][]piece{{text("A")}}, Below: [][][]piece{{text("From us")}}}},
		"only below":      {"----\nFrom us", reading{Below: [][][]piece{{text("From us")}}}},
		"a link inside":   {"See https://a.example/x?y=1. Now", reading{Text: [][][]piece{{{{"See ", ""}, {"https://a.example/x?y=1", "https://a.example/x?y=1"}, {". Now", ""}}}}}},
		"label and link":  {"Read more: https://a.example", reading{Text: [][][]piece{{{{"Read more", "https://a.example"}}}}}},
		"label above":     {"Read more:\nhttps://a.example", reading{Text: [][][]piece{{{{"Read more", "https://a.example"}}}}}},
		"a lone link":     {"https://a.example", reading{Text: [][][]piece{{{{"https://a.example", "https://a.example"}}}}}},
		"no link":         {"javascript:alert(1) ftp://a.example mailto:a@b", reading{Text: [][][]piece{{text("javascript:alert(1) ftp://a.example mailto:a@b")}}}},
		"a false host":    {"https://bank.example@evil.example/", reading{Text: [][][]piece{{text("https://bank.example@evil.example/")}}}},
		"nothing after":   {"https://", reading{Text: [][][]piece{{text("https://")}}}},
		"two on one line": {"https://a.example https://b.example", reading{Text: [][][]piece{{{{"https://a.example", "https://a.example"}, {" ", ""}, {"https://b.example", "https://b.example"}}}}}},
	} {
		if got := read(c.in); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Whatever a message says, it stays words: no tag, no link that runs something,
// and nothing of it is lost.
func FuzzReading(f *testing.F) {
	for _, seed := range []string{
		"", "Hello.\n\nSee https://a.example/x?y=1.\n\n----\nCedar\nStop: https://b.example", "Label:\nhttps://x", "https://a\"onclick=b", "::\n:\nhttp://:",
		"<script>alert(1)</script>", "a: javascript:alert(1)", "https://user@host/", "http://[::1", "\n----\n\n----\n",
	} {
		f.Add(seed)
	}
	layout := template.Must(template.New("m").Funcs(template.FuncMap{"t": func(string, ...any) string { return "" }}).ParseFS(files, "web/message.html"))
	f.Fuzz(func(t *testing.T, text string) {
		got := read(text)
		var b strings.Builder
		if err := layout.ExecuteTemplate(&b, "paragraphs", append(got.Text, got.Below...)); err != nil {
			t.Fatal(err)
		}
		rest := strings.NewReplacer("<p>", "", "</p>", "", "<br>", "", "</a>", "", `<a href="http://`, "", `<a href="https://`, "", `" rel="noreferrer">`, "").Replace(b.String())
		if strings.ContainsAny(rest, `<>"`) {
			t.Fatalf("%q became %q", text, b.String())
		}
		all := ""
		for _, paragraph := range append(got.Text, got.Below...) {
			for _, line := range paragraph {
				for _, p := range line {
					all += p.Words + p.Link
				}
			}
		}
		for _, word := range strings.Fields(strings.NewReplacer(":", " ", "----\n", "\n").Replace(text)) {
			if word != "----" && len(word) > 2 && isWord(word) && !strings.Contains(all, word) {
				t.Fatalf("%q lost %q", text, word)
			}
		}
	})
}

func isWord(s string) bool { return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == "" }
