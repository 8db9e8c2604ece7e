package templates

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// NamesMentalHealth says whether a text, an address or a host name names mental
// health, in English or Spanish: what no SMS and no subject line may do. Letters that
// look alike, spaces and marks between letters, and percent signs in an address hide
// nothing; in an address a word counts wherever it stands.
func NamesMentalHealth(text string) bool {
	if says(padded(text), mentalWords) || spelledOut(text) {
		return true
	}
	return slices.ContainsFunc(strings.Fields(text), func(token string) bool { return brokenUp(token) || addressNames(token) })
}

// spelledOut finds a word whose letters stand alone: "t h e r a p y".
func spelledOut(text string) bool {
	run := ""
	for token := range strings.FieldsSeq(text) {
		letter := letters(token)
		if utf8.RuneCountInString(letter) != 1 {
			run = ""
			continue
		}
		run += letter
		if isTerm(run) || holdsStem(run) {
			return true
		}
	}
	return false
}

// brokenUp finds a word with marks between its letters: "ther.apy", "P.T.S.D.".
func brokenUp(token string) bool {
	if word := strings.ToLower(token); plainWord(word) && innocent.Replace(word) == word { // most are: nothing stands between their letters
		return isTerm(word)
	}
	return slices.ContainsFunc(strings.FieldsFunc(innocent.Replace(strings.ToLower(apart(token))), isBreak), func(piece string) bool {
		word := letters(piece)
		return isTerm(word) || holdsStem(word) && len(strings.Fields(padded(piece))) > 1
	})
}

// isBreak: a mark that stands between words, and not within one.
func isBreak(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("/&+=?#,:;@()[]", r) }

// apart puts a space where a sentence ends without one: "for men.Talk to us".
func apart(token string) string {
	var b strings.Builder
	var last, before rune
	for _, r := range token {
		if last == '.' && unicode.IsUpper(r) && unicode.IsLower(before) {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		last, before = r, last
	}
	return b.String()
}

// addressNames finds a word anywhere in a host name, a path or a query.
func addressNames(token string) bool {
	token = strings.TrimFunc(token, func(r rune) bool { return unicode.IsPunct(r) && r != '%' })
	if !strings.ContainsAny(token, "./@%") {
		return false
	}
	for range unescapings {
		plain, err := url.PathUnescape(token)
		if err != nil || plain == token {
			break
		}
		token = plain
	}
	if says(padded(token), mentalWords) {
		return true
	}
	return slices.ContainsFunc(strings.FieldsFunc(innocent.Replace(strings.ToLower(token)), isBreak), func(piece string) bool {
		return holdsStem(letters(piece)) || slices.ContainsFunc(read(piece), func(w word) bool { return hasAtEdge(w.folded) })
	})
}

// unescapings is how often an address may be escaped upon escaped.
const unescapings = 4

// plainWord says whether a word is of letters a to z alone.
func plainWord(word string) bool {
	for i := range len(word) {
		if c := word[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return true
}

// isTerm says whether a word is one of the list, whole.
func isTerm(word string) bool { return terms[word] }

var terms = func() map[string]bool {
	whole := map[string]bool{}
	for _, p := range mentalHealth {
		whole[strings.ReplaceAll(strings.TrimSuffix(p, "*"), " ", "")] = true
	}
	return whole
}()

// shortestStem is how many letters the shortest of anywhere has.
var shortestStem = len(slices.MinFunc(anywhere, func(a, b string) int { return len(a) - len(b) }))

func holdsStem(word string) bool {
	return len(word) >= shortestStem && slices.ContainsFunc(anywhere, func(stem string) bool { return strings.Contains(word, stem) })
}

// anywhere are words long enough to stand in no other: "denvertherapy".
var anywhere = []string{
	"mentalhealth", "mentalwell", "mentalcare", "mentalclinic", "saludmental", "psych", "psiqui", "psicolog", "psicotera", "siquiatr", "sicolog",
	"therapy", "therapies", "therapist", "therapeut", "terapia", "terapeut", "counselor", "counsellor", "counseling", "counselling", "consejeria",
	"behavioralhealth", "behaviouralhealth", "saludconductual", "saludemocional", "emotionalhealth", "depression", "depressed", "depressive", "depresion", "depresiv",
	"antidepres", "anxiety", "ansiedad", "bipolar", "schizo", "esquizo", "suicid", "selfharm", "autolesi", "addiction", "adiccion", "substanceabuse", "substanceuse",
	"detoxif", "rehabilit", "traumatic", "traumacenter", "traumacare", "eatingdisorder", "trastorno", "bulimi", "anorexi", "panicattack", "crisisline", "lineadecrisis", "ketamin",
}

// hasAtEdge finds the short words of a piece of an address, at its beginning or end:
// in its middle they stand in too many others ("receiptsdirect").
func hasAtEdge(piece string) bool {
	return slices.ContainsFunc(edges, func(w string) bool { return strings.HasPrefix(piece, w) || strings.HasSuffix(piece, w) })
}

var edges = []string{"mental", "ptsd", "adhd", "emdr", "tdah", "detox", "rehab", "trauma", "depress"}

// innocent takes the words out that hold one of these and mean something else.
var innocent = strings.NewReplacer(
	"fundamental", " ", "ornamental", " ", "temperamental", " ", "instrumental", " ", "monumental", " ", "experimental", " ", "detrimental", " ", "environmental", " ",
	"governmental", " ", "elemental", " ", "supplemental", " ", "incremental", " ", "departmental", " ", "developmental", " ", "sentimental", " ", "judgmental", " ",
	"segmental", " ", "regimental", " ", "documental", " ", "prehab", " ",
)

// lookalikes are letters of other alphabets that a reader takes for Latin ones, as
// Unicode lists them: https://www.unicode.org/Public/security/latest/confusables.txt
var lookalikes = strings.NewReplacer(pairs(
	"аa еe оo рp сc уy хx іi јj ѕs һh ԁd ԛq ԝw кk мm нh тt пn иu ӏl гr вb зe",    // Cyrillic
	"АA ВB ЕE КK МM НH ОO РP СC ТT УY ХX ІI ЈJ ЅS ԌG ԚQ ԜW ӀI",                   // and its capitals
	"αa εe ηn ιi κk νv οo ρp τt υu χx γy σo ϲc ϳj",                               // Greek
	"ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX ϹC",                               // and its capitals
	"օo սu հh ոn ցg զq іi ѡw ɑa ɡg ɩi ıi ᴀa ʙb ᴄc ᴅd ᴇe ɢg ʜh ɪi ᴊj ᴋk ʟl ᴍm ɴn", // Armenian, and Latin letters of phonetics
	"ᴏo ᴘp ʀr ꜱs ᴛt ᴜu ᴠv ᴡw ʏy ᴢz łl øo đd ħh",
)...)

// pairs cuts "аa еe" into what a replacer takes.
func pairs(lines ...string) []string {
	var list []string
	for pair := range strings.FieldsSeq(strings.Join(lines, " ")) {
		_, size := utf8.DecodeRuneInString(pair)
		list = append(list, pair[:size], pair[size:])
	}
	return list
}
