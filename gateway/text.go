package gateway

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// TextProblem says what a text that comes in must not hold, or "". It is the one
// check of every edge: the API, an import, the command line. PostgreSQL takes neither
// NUL nor bytes that are not UTF-8, and a terminal takes control characters for
// commands. Where people write freely (lines), line breaks and tabs are theirs.
func TextProblem(text string, lines bool) string {
	if !utf8.ValidString(text) {
		return "is not valid UTF-8"
	}
	if lines {
		text = strings.NewReplacer("\r\n", "", "\n", "", "\t", "").Replace(text)
	}
	switch {
	case !strings.ContainsFunc(text, unicode.IsControl):
		return ""
	case lines:
		return "holds a control character other than a line break or a tab"
	}
	return "holds a control character"
}

// NamesTwice says whether an object of a JSON document has a member twice (RFC 7493,
// 2.3): which one counts is not certain. Of what is no JSON it says nothing.
func NamesTwice(document []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(document))
	dec.UseNumber() // a number too large is told by what reads it
	return json.Valid(document) && namesTwice(dec)
}

func namesTwice(dec *json.Decoder) bool {
	token, err := dec.Token()
	if err != nil {
		return false
	}
	switch token {
	case json.Delim('{'):
		seen := map[json.Token]bool{}
		for dec.More() {
			name, err := dec.Token()
			if err != nil || seen[name] {
				return err == nil
			}
			seen[name] = true
			if namesTwice(dec) {
				return true
			}
		}
		_, _ = dec.Token() // the end of a valid object
	case json.Delim('['):
		for dec.More() {
			if namesTwice(dec) {
				return true
			}
		}
		_, _ = dec.Token() // the end of a valid list
	}
	return false
}
