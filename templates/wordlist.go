package templates

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// word is one word of a text: as it was written, without accents, and folded.
type word struct{ raw, folded string }

// sentenceEnd stands between sentences.
const sentenceEnd = "."

// read cuts a text into words. Accents, case, format characters and other ways to
// write the same letter make no difference.
func read(text string) []word {
	if allASCII(text) {
		return readASCII(text)
	}
	var list []word
	var raw strings.Builder
	end := func() {
		if raw.Len() > 0 {
			list = append(list, word{raw.String(), strings.ToLower(raw.String())})
			raw.Reset()
		}
	}
	for _, r := range lookalikes.Replace(norm.NFKD.String(text)) {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			raw.WriteRune(r)
		case unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Cf, r) || r == '\'' || r == '’':
		case strings.ContainsRune(".!?;\n", r):
			end()
			list = append(list, word{sentenceEnd, sentenceEnd})
		default:
			end()
		}
	}
	end()
	return list
}

// allASCII: no accent and no letter of another alphabet, and no word with a sign within.
func allASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 || text[i] == '\'' {
			return false
		}
	}
	return true
}

// readASCII is read for most texts: their words are cut out as they stand.
func readASCII(text string) []word {
	list := make([]word, 0, len(text)/5)
	start := -1
	for i := range len(text) + 1 {
		c := byte(' ')
		if i < len(text) {
			c = text[i]
		}
		if c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' {
			if start < 0 {
				start = i
			}
			continue
		}
		if start >= 0 {
			list = append(list, word{text[start:i], strings.ToLower(text[start:i])})
			start = -1
		}
		if strings.IndexByte(".!?;\n", c) >= 0 {
			list = append(list, word{sentenceEnd, sentenceEnd})
		}
	}
	return list
}

// padded writes folded words with a space around each, to look phrases up in.
func padded(text string) string {
	var b strings.Builder
	for _, w := range read(text) {
		b.WriteByte(' ')
		b.WriteString(w.folded)
	}
	b.WriteByte(' ')
	return b.String()
}

// says looks for whole words and phrases.
func says(padded string, list []string) bool {
	return slices.ContainsFunc(list, func(p string) bool { return strings.Contains(padded, p) })
}

// phrases are what says looks for; a * stands for the rest of a word.
func phrases(list ...string) []string {
	for i, p := range list {
		if stem, ok := strings.CutSuffix(p, "*"); ok {
			list[i] = " " + stem
		} else {
			list[i] = " " + p + " "
		}
	}
	return list
}

// contains says whether a text holds a name, however either is written.
func contains(text, name string) bool {
	name = strings.ReplaceAll(padded(name), " "+sentenceEnd, "")
	return strings.TrimSpace(name) != "" && strings.Contains(strings.ReplaceAll(padded(text), " "+sentenceEnd, ""), name)
}

// mentalHealth are the words that no lock screen shows.
var mentalHealth = []string{
	"mental*", "psych*", "psiqu*", "psico*", "siquia*", "sicolog*", "neuropsych*", "therap*", "psychotherap*", "terap*",
	"counselor*", "counsellor*", "counseling", "counselling", "consejeria", "behavioral health*", "behavioralhealth*", "behavioural health", "salud conductual", "salud emocional",
	"depress*", "depresi*", "antidepress*", "antidepres*", "anxiety", "ansiedad", "bipolar*", "schizo*", "esquizo*", "ptsd", "tept", "adhd", "tdah", "ocd",
	"suicid*", "self harm", "selfharm", "autolesi*", "addiction*", "adiccion*", "substance abuse", "substance use", "abuso de sustancias", "detox*", "rehab", "trauma*",
	"eating disorder*", "trastorno*", "bulimi*", "anorexi*", "emotional health", "panic attack*", "ataques de panico", "crisis line", "linea de crisis",
	"emdr", "ketamin*", "esketamin*", "spravato",
}

var mentalWords = phrases(slices.Clone(mentalHealth)...)

// exceeds says whether a text plainly carries more than its content allows. It
// finds the usual slips; what a template declares is the rule.
func exceeds(content, text string) bool {
	switch content {
	case ContentNone:
		p := padded(text)
		return says(p, tiesToCare) || says(p, clinical)
	case ContentMinimal:
		return says(padded(text), clinical)
	}
	return false
}

// tiesToCare are words that say this person is a patient. A general notice or an
// offer may speak of visits; "your next visit" is this person's.
var tiesToCare = phrases(
	"your treatment*", "your care plan", "your clinician", "your doctor", "your session*",
	"your appointment is", "your appointment on", "your appointment with", "your visit on", "your visit with",
	"your next appointment", "your last appointment", "your recent appointment", "your upcoming appointment", "your past appointment", "your missed appointment",
	"your next visit", "your last visit", "your recent visit", "your upcoming visit", "your past visit", "your missed visit",
	"su tratamiento", "su plan de cuidado", "su doctor", "su doctora", "su medico", "su medica", "su sesion",
	"su cita es", "su cita del", "su cita con", "su consulta del",
	"su proxima cita", "su proxima visita", "su proxima consulta", "su ultima cita", "su ultima visita", "su ultima consulta",
)

// clinical are words of a diagnosis, a finding or a medicine.
var clinical = phrases(
	"your diagnos*", "diagnosed", "prescription*", "your medication*", "dosage", "lab result*", "test result*", "your result*", "biopsy", "hiv", "pregnan*",
	"su diagnos*", "diagnosticado", "diagnosticada", "receta medica", "su receta", "su medicamento", "sus medicamentos", "sus medicinas", "dosis",
	"sus resultados", "resultados de", "biopsia", "vih", "embaraz*",
)

// far is how many words may stand between "reply" and the word it asks for.
const far = 8

// invitesKeyword says whether a text asks for one of the replies that carriers or
// people take for something else: CANCEL is an opt-out, YES is said to questions,
// ALTO and BAJA are also "high" and "low".
func invitesKeyword(text string) bool {
	words := read(text)
	since := far + 1 // words since a word that asks for a reply
	for at, w := range words {
		switch {
		case w.folded == sentenceEnd:
			since = far + 1
		case asksForReply(w.folded):
			since = 0
		default:
			since++
		}
		if isKeyword(words, at) && (since <= far || offers(words, at)) {
			return true
		}
	}
	return false
}

func asksForReply(folded string) bool { return slices.Contains(replyWords, folded) }

var replyWords = []string{
	"reply", "replying", "respond", "text", "send", "answer", "write", "type",
	"responda", "responde", "responder", "conteste", "contesta", "contestar", "envie", "envia", "enviar", "mande", "manda", "mandar", "escriba", "escribe", "escribir",
}

// isKeyword: not in the names of places, and "si" only where it is shouted,
// because it is also "if".
func isKeyword(words []word, at int) bool {
	switch w := words[at]; w.folded {
	case "cancel", "yes", "cancelar":
		return true
	case "alto":
		return at == 0 || words[at-1].folded != "palo"
	case "baja":
		return at+1 == len(words) || words[at+1].folded != "california"
	case "si":
		return w.raw == "SI"
	}
	return false
}

// offers: "CANCEL to …", "YES if …", without a word that asks for a reply.
func offers(words []word, at int) bool {
	return words[at].raw == strings.ToUpper(words[at].raw) && at+1 < len(words) &&
		slices.Contains([]string{"to", "for", "if", "or", "para", "si", "o"}, words[at+1].folded)
}

// saysStop finds "Reply STOP" or "Responda PARAR" in one sentence.
func saysStop(text string) bool {
	since := far + 1
	for _, w := range read(text) {
		switch {
		case w.folded == sentenceEnd:
			since = far + 1
		case asksForReply(w.folded):
			since = 0
		case (w.raw == "STOP" || w.raw == "PARAR") && since < far:
			return true
		default:
			since++
		}
	}
	return false
}
