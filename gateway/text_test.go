package gateway_test

import (
	"testing"

	"harmonize.care/heed/gateway"
)

func TestTextsWithoutControlCharacters(t *testing.T) {
	for name, c := range map[string]struct {
		text       string
		line, free bool // taken as one line, as free text
	}{
		"plain":              {"Ana María O'Neill 🙂", true, true},
		"empty":              {"", true, true},
		"lines":              {"one\ntwo\r\nthree\tfour", false, true},
		"NUL":                {"a\x00b", false, false},
		"a lone CR":          {"a\rb", false, false},
		"an escape sequence": {"\x1b[2J", false, false},
		"DEL":                {"a\x7f", false, false},
		"C1":                 {"a\u009b31m", false, false},
		"bytes of no text":   {"a\xff", false, false},
	} {
		if got := gateway.TextProblem(c.text, false) == ""; got != c.line {
			t.Errorf("%s as one line: %v", name, got)
		}
		if got := gateway.TextProblem(c.text, true) == ""; got != c.free {
			t.Errorf("%s as free text: %v", name, got)
		}
	}
}
