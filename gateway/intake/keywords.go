package intake

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Heard is what a text says. A keyword settles it; of the rest everything found
// takes effect.
type Heard struct {
	Keyword    string // the whole text was this keyword, normalised
	Spanish    bool   // the word or phrase was Spanish
	Stop       bool
	StopAll    bool
	Start      bool
	Help       bool
	Confirm    bool
	Reschedule bool

	Cancel    bool // CANCEL: carriers take it for an opt-out; did they mean the appointment?
	HighOrLow bool // ALTO, BAJA: did they mean high or low?

	Crisis      bool // words of self-harm or danger
	Revocation  bool // a stop as a reasonable person would read it: 47 CFR 64.1200(a)(10)(i)
	WrongNumber bool
}

// Read reads one text.
func Read(text string) Heard {
	readings := []string{normal(text, false), normal(text, true)}
	for _, t := range readings {
		if h, ok := keyword(t); ok {
			return h
		}
	}
	var h Heard
	for _, t := range readings {
		padded := " " + t + " "
		h.Crisis = crisis.in(padded, &h) || h.Crisis
		h.WrongNumber = wrongNumber.in(padded, &h) || h.WrongNumber
		h.Revocation = revokes(padded, &h) || h.Revocation
	}
	return h
}

// normal folds a text: NFKC, case, accents; format characters, emoji and outer
// punctuation go, inner punctuation becomes nothing or a space.
func normal(text string, spaced bool) string {
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	text = norm.NFD.String(cases.Fold().String(norm.NFKC.String(text)))
	var b strings.Builder
	for _, r := range text {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		case unicode.IsSpace(r), spaced && (unicode.IsPunct(r) || unicode.IsSymbol(r)):
			b.WriteByte(' ')
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// maxText bounds what is read: ten segments hold 1600 characters.
const maxText = 8 << 10

// in looks for whole words and phrases in a text padded with spaces.
func (p phrases) in(padded string, h *Heard) bool {
	if says(padded, p.spanish) {
		h.Spanish = true
		return true
	}
	return says(padded, p.english)
}

func says(padded string, list []string) bool {
	return slices.ContainsFunc(list, func(p string) bool { return strings.Contains(padded, " "+p+" ") })
}

// revokes reads a free-text stop. The word "stop" in a sentence is not enough: "I
// can't stop crying" is none. At the head of a few words it is: "stop. thank you".
func revokes(padded string, h *Heard) bool {
	if revocation.in(padded, h) {
		return true
	}
	words := strings.Fields(padded)
	if len(words) < 2 || says(padded, inPassing) {
		return false
	}
	return slices.Contains([]string{"stop", "unsubscribe", "stopall"}, words[0])
}
