package intake

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

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
	whole, words := normal(text, nothing), normal(text, space)
	for _, t := range []string{whole, words, spelled(words)} {
		if h, ok := keyword(t); ok {
			return h
		}
	}
	var h Heard
	for _, w := range readings(text) {
		h.Crisis = inCrisis(w, &h) || h.Crisis
		h.WrongNumber = wrongNumber.in(w, &h) || h.WrongNumber
	}
	h.revocation(text)
	return h
}

// readings are the ways in which the marks between letters may be meant.
func readings(text string) [][]string {
	var seen []string
	var list [][]string
	for _, t := range []string{
		normal(text, unlessApostrophe), normal(text, nothing), normal(text, space), normal(text, unlessHyphen), normal(disguised(text), unlessApostrophe),
	} {
		for _, t := range []string{t, spelled(t)} {
			if !slices.Contains(seen, t) {
				seen = append(seen, t)
				list = append(list, reworded(t))
			}
		}
	}
	return list
}

// Whether a mark between letters stands for a space, or for nothing.
func nothing(rune) bool { return false }
func space(rune) bool   { return true }

// unlessApostrophe: "can't…go" is "cant go".
func unlessApostrophe(r rune) bool { return r != '\'' }

// unlessHyphen: "my-self" is "myself".
func unlessHyphen(r rune) bool { return r != '\'' && r != '_' && !unicode.Is(unicode.Pd, r) }

// straight writes every apostrophe that phones have as one. The folding below would
// make a space of the one and a letter of the other.
func straight(r rune) rune {
	if strings.ContainsRune("’‘´`′ʼ＇", r) {
		return '\''
	}
	return r
}

// normal folds a text: NFKC, case, accents; format characters go, punctuation and
// emoji become a space where asked, or nothing.
func normal(text string, spaced func(rune) bool) string {
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	text = norm.NFD.String(cases.Fold().String(norm.NFKC.String(strings.Map(straight, text))))
	var b strings.Builder
	for _, r := range text {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		case unicode.IsSpace(r), (unicode.IsPunct(r) || unicode.IsSymbol(r)) && spaced(r):
			b.WriteByte(' ')
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// maxText bounds what is read: ten segments hold 1600 characters.
const maxText = 8 << 10

// spelled joins three and more letters that stand alone: "S T O P".
func spelled(text string) string {
	words := strings.Fields(text)
	var list []string
	for i := 0; i < len(words); {
		end := i
		for end < len(words) && utf8.RuneCountInString(words[end]) == 1 {
			end++
		}
		if end-i >= 3 {
			list = append(list, strings.Join(words[i:end], ""))
			i = end
			continue
		}
		list = append(list, words[i])
		i++
	}
	return strings.Join(list, " ")
}

// disguises are the marks and digits that people write for letters, so that a
// filter does not see the word.
var disguises = map[rune]rune{'!': 'i', '1': 'i', '|': 'i', '*': 'i', '0': 'o', '3': 'e', '4': 'a', '@': 'a', '5': 's', '$': 's', '7': 't'}

// disguised reads "d!e" and "k1ll" as the words they stand for. A mark counts only
// before a letter and a digit after one, so that "now!" and "5th" stay what they are.
func disguised(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	runes := []rune(text)
	for i := len(runes) - 1; i >= 0; i-- {
		letter, ok := disguises[runes[i]]
		before := i > 0 && unicode.IsLetter(runes[i-1])
		after := i+1 < len(runes) && unicode.IsLetter(runes[i+1])
		if ok && (before && unicode.IsDigit(runes[i]) || after && !unicode.IsDigit(runes[i])) {
			runes[i] = letter
		}
	}
	return string(runes)
}
