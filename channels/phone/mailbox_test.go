package phone

import (
	"net/mail"
	"strings"
	"testing"
)

func TestParseMailbox(t *testing.T) {
	for text, want := range map[string]string{
		"ann@patients.example":              "ann@patients.example",
		" Ann.Lee+Care@Patients.EXAMPLE\n":  "ann.lee+care@patients.example",
		"p1f@x.co":                          "p1f@x.co",
		"o'neil_99@mail-1.patients.example": "o'neil_99@mail-1.patients.example",
		"a@xn--bcher-kva.example":           "a@xn--bcher-kva.example",
		strings.Repeat("a", 64) + "@x.co":   strings.Repeat("a", 64) + "@x.co",
	} {
		got, err := ParseMailbox(text)
		if err != nil || got != want {
			t.Errorf("ParseMailbox(%q) = %q, %v", text, got, err)
		}
	}
}

func TestParseMailboxRefuses(t *testing.T) {
	for text, want := range map[string]error{
		"":                                errMailbox,
		"not an address":                  errMailbox,
		"ann":                             errMailbox,
		"@patients.example":               errMailbox,
		"ann@":                            errMailbox,
		"Ann <ann@patients.example>":      errMailbox,
		"<ann@patients.example>":          errMailbox,
		"ann@patients.example (Ann)":      errMailbox,
		"\"ann lee\"@patients.example":    errMailbox,
		"ann@a.example, bea@b.example":    errMailbox,
		"ann@a.example bea@b.example":     errMailbox,
		"ann@@patients.example":           errMailbox,
		"ann..lee@patients.example":       errMailbox,
		".ann@patients.example":           errMailbox,
		"ann@patients.example\r\nBcc: x":  errMailbox,
		"ann\x00@patients.example":        errMailbox,
		"ann@[192.0.2.1]":                 errDomain,
		"änn@patients.example":            errASCII,
		"ann@bücher.example":              errASCII,
		"ann\u202e@patients.example":      errASCII,
		"ann@localhost":                   errDomain,
		"ann@192.0.2.1":                   errDomain,
		"ann@-a.example":                  errDomain,
		"ann@a-.example":                  errDomain,
		"ann@a_b.example":                 errDomain,
		strings.Repeat("a", 65) + "@x.co": errLong,
		"ann@" + strings.Repeat("a", 63) + "." + strings.Repeat("b", 63) + "." + strings.Repeat("c", 63) + "." + strings.Repeat("d", 63): errLong,
		"ann@" + strings.Repeat("a", 64) + ".example": errDomain,
	} {
		got, err := ParseMailbox(text)
		if err != want || got != "" {
			t.Errorf("ParseMailbox(%q) = %q, %v; want %v", text, got, err, want)
		}
	}
}

func FuzzParseMailbox(f *testing.F) {
	for _, seed := range []string{"ann@patients.example", "Ann <a@b.c>", "\"a\"@b.c", "a@[1.2.3.4]", "a@b\r\nc", "=?utf-8?q?a?=@b.c", "a@b.c."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once, err := ParseMailbox(text)
		if err != nil {
			if once != "" {
				t.Fatalf("ParseMailbox(%q) gives %q beside an error", text, once)
			}
			return
		}
		if strings.ContainsAny(once, "\r\n\x00 <>\",;") || len(once) > 254 || once != strings.ToLower(once) {
			t.Fatalf("ParseMailbox(%q) = %q", text, once)
		}
		if a, err := mail.ParseAddress(once); err != nil || a.Address != once {
			t.Fatalf("%q is no address: %v", once, err)
		}
		if twice, err := ParseMailbox(once); err != nil || twice != once {
			t.Fatalf("ParseMailbox(%q) = %q, %v", once, twice, err)
		}
	})
}
