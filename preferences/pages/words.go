package pages

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// The languages of the pages.
const (
	english = "en"
	spanish = "es"
)

var languages = []string{english, spanish}

// phrase is one sentence or label in every language of the pages. A %s is filled
// in; what is filled in is never a person's.
type phrase struct{ en, es string }

func (p phrase) in(lang string) string {
	if lang == spanish {
		return p.es
	}
	return p.en
}

// say gives a phrase in a language. A key that nobody wrote shows as itself: a
// test holds every key of every page against the table.
func say(lang, key string, args ...any) string {
	p, ok := phrases[key]
	if !ok {
		return key
	}
	if len(args) == 0 {
		return p.in(lang)
	}
	return fmt.Sprintf(p.in(lang), args...)
}

// languageOf picks the language of a locale such as "es-MX"; all that is not
// Spanish gets English.
func languageOf(locale string) string {
	primary, _, _ := strings.Cut(strings.ReplaceAll(locale, "_", "-"), "-")
	if strings.EqualFold(primary, spanish) {
		return spanish
	}
	return english
}

// accepted picks the language a browser asks for: all we know of somebody whose
// link we cannot read.
func accepted(header string) string {
	if len(header) > 200 {
		return english
	}
	tags, _, err := language.ParseAcceptLanguage(header)
	if err != nil || len(tags) == 0 {
		return english
	}
	return languageOf(tags[0].String())
}

// wordingOf names the words that are shown, so that a choice can be held against what
// its page said: another word anywhere gives another name.
func wordingOf(table map[string]phrase) string {
	sum := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(table)) {
		fmt.Fprintf(sum, "%q %q %q\n", key, table[key].en, table[key].es)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}
