package gateway

import (
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
