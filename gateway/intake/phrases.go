package intake

import (
	"slices"
	"strings"
)

// phrases are phrases of one meaning. A phrase is words in a row, as reworded
// writes them, and may hold:
//
//	a|b   either word
//	a?    a word that may be missing
//	~     up to four words of any kind
//	_     any one word
//	#     a word that begins with a digit
//	^ $   the beginning and the end; $ may be one of several
type phrases struct{ english, spanish []string }

// maxGap is how many words a ~ stands for.
const maxGap = 4

// in says whether the words hold one of the phrases, and marks the language.
func (p phrases) in(words []string, h *Heard) bool {
	if says(words, p.spanish) {
		h.Spanish = true
		return true
	}
	return says(words, p.english)
}

func says(words []string, list []string) bool {
	return slices.ContainsFunc(list, func(phrase string) bool {
		at, _ := find(phrase, words)
		return at >= 0
	})
}

// find gives where a phrase begins and how many words it takes; -1 where it is not said.
func find(phrase string, words []string) (at, length int) {
	phrase, anchored := strings.CutPrefix(phrase, "^ ")
	for at := range words {
		if rest, ok := follow(phrase, words[at:]); ok {
			return at, len(words) - at - len(rest)
		}
		if anchored {
			break
		}
	}
	return -1, 0
}

// follow says whether a text goes on with a phrase, and gives what comes after it.
func follow(phrase string, words []string) ([]string, bool) {
	if phrase == "" {
		return words, true
	}
	element, phrase, _ := strings.Cut(phrase, " ")
	if element == "~" {
		for n := 0; n <= min(maxGap, len(words)); n++ {
			if rest, ok := follow(phrase, words[n:]); ok {
				return rest, true
			}
		}
		return nil, false
	}
	choice, optional := strings.CutSuffix(element, "?")
	if len(words) > 0 && oneOf(choice, words[0]) {
		if rest, ok := follow(phrase, words[1:]); ok {
			return rest, true
		}
	}
	if optional || len(words) == 0 && oneOf(choice, "$") {
		return follow(phrase, words)
	}
	return nil, false
}

func oneOf(choice, word string) bool {
	for one := range strings.SplitSeq(choice, "|") {
		switch {
		case one == word, one == "_" && word != blank, one == "#" && word != "" && word[0] >= '0' && word[0] <= '9':
			return true
		}
	}
	return false
}

// blank stands where words were taken out: it belongs to no phrase.
const blank = "-"

// without takes every phrase of a list out: what these words say is not meant.
func without(words []string, list ...string) []string {
	words = slices.Clone(words)
	for _, phrase := range list {
		for {
			at, n := find(phrase, words)
			if at < 0 || n == 0 {
				break
			}
			words = slices.Replace(words, at, at+n, blank)
		}
	}
	return words
}

// written are words that people write in several ways, as the phrases write them.
var written = map[string]string{
	"dont": "do not", "doesnt": "does not", "didnt": "did not", "cant": "can not", "cannot": "can not", "couldnt": "could not", "wont": "will not",
	"wouldnt": "would not", "shouldnt": "should not", "isnt": "is not", "arent": "are not", "aint": "is not", "wasnt": "was not", "havent": "have not",
	"hasnt": "has not", "im": "i am", "ive": "i have", "id": "i would", "hes": "he is", "shes": "she is", "theyre": "they are", "youre": "you are", "thats": "that is",
	"theres": "there is", "lifes": "life is", "nobodys": "nobody is", "wanna": "want to", "gonna": "going to", "gunna": "going to", "gotta": "got to",
	"lemme": "let me",
	"tryna": "trying to", "u": "you", "ur": "your", "yall": "you", "r": "are", "w": "with", "n": "and", "b4": "before", "2day": "today",
	"pls": "please", "plz": "please", "plse": "please", "pleas": "please", "thx": "thanks", "thnx": "thanks", "tks": "thanks", "ty": "thanks",
	"txt": "text", "txts": "texts", "txting": "texting", "textin": "texting", "textn": "texting", "texing": "texting", "msg": "message", "msgs": "messages",
	"msgd": "messages", "msging": "messaging",
	"stp": "stop", "stopp": "stop", "sotp": "stop", "stoo": "stop", "unsub": "unsubscribe", "unsuscribe": "unsubscribe", "unsubcribe": "unsubscribe",
	"unsubscibe": "unsubscribe", //nolint:misspell // as people write, and in Spanish
	"anymore":    "any more", "nomore": "no more", "myslf": "myself", "meself": "myself", "urself": "yourself", "yourselves": "yourself", "tonite": "tonight",
	"kil": "kill", "kll": "kill",
	"sucide": "suicide", "suiside": "suicide", "suicde": "suicide", "sucicide": "suicide", "suacide": "suicide", "sucidal": "suicidal", "sewerslide": "suicide", //nolint:misspell // as people write, and in Spanish
	"suicid": "suicide",
	"q":      "que", "k": "que", "xq": "porque", "x": "por", "porfa": "por favor", "porfavor": "por favor", "pq": "porque", "mesajes": "mensajes", "mensages": "mensajes",
	"mensajs": "mensajes",
}

// reworded writes a normalised text the way the phrases are written.
func reworded(text string) []string {
	var words []string
	fields := strings.Fields(text)
	for i := 0; i < len(fields); i++ {
		word := shortened(fields[i])
		// "don t" is "dont".
		if i+1 < len(fields) && oneOf("t|m|s|re|ve|d", fields[i+1]) && written[word+fields[i+1]] != "" {
			i++
			word += fields[i]
		}
		if other, ok := written[word]; ok {
			words = append(words, strings.Fields(other)...)
		} else {
			words = append(words, word)
		}
		// "kill my self" is "kill myself".
		if n := len(words); n > 1 && words[n-1] == "self" && oneOf("my|your|him|her|them|our", words[n-2]) {
			words = append(words[:n-2], words[n-2]+"self")
		}
	}
	return words
}

// shortened takes the length out of "stoppp": no word has a letter three times in a row.
func shortened(word string) string {
	var b strings.Builder
	runes := []rune(word)
	for i := 0; i < len(runes); {
		end := i
		for end < len(runes) && runes[end] == runes[i] {
			end++
		}
		n := end - i
		if n > 2 && (runes[i] < '0' || runes[i] > '9') {
			n = 1
		}
		b.WriteString(string(runes[i : i+n]))
		i = end
	}
	return b.String()
}
