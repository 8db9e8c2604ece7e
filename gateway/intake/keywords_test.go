package intake

import (
	"strings"
	"testing"
)

func TestKeywords(t *testing.T) {
	for text, want := range map[string]Heard{
		"STOP":                       {Keyword: "stop", Stop: true},
		" Stop. ":                    {Keyword: "stop", Stop: true},
		"\u201cSTOP\u201d":           {Keyword: "stop", Stop: true},
		"ＳＴＯＰ":                       {Keyword: "stop", Stop: true},
		"s.t.o.p":                    {Keyword: "stop", Stop: true},
		"STOP \U0001F6D1":            {Keyword: "stop", Stop: true},
		"st\u200bop":                 {Keyword: "stop", Stop: true},
		"opt-out":                    {Keyword: "optout", Stop: true},
		"Opt out":                    {Keyword: "opt out", Stop: true},
		"CANCEL":                     {Keyword: "cancel", Stop: true, Cancel: true},
		"Dar de baja":                {Keyword: "dar de baja", Stop: true, Spanish: true},
		"alto!":                      {Keyword: "alto", Stop: true, HighOrLow: true, Spanish: true},
		"stop all":                   {Keyword: "stop all", StopAll: true},
		"PARAR TODO":                 {Keyword: "parar todo", StopAll: true, Spanish: true},
		"START":                      {Keyword: "start", Start: true},
		"yes":                        {Keyword: "yes", Confirm: true},
		"Sí":                         {Keyword: "si", Confirm: true, Spanish: true},
		"R":                          {Keyword: "r", Reschedule: true},
		"ayuda":                      {Keyword: "ayuda", Help: true, Spanish: true},
		"I want to start over":       {},
		"when does it end":           {},
		"I can't stop crying":        {},
		"Can I stop by at 5?":        {},
		"stop by the office?":        {},
		"which bus stop is it":       {},
		"Should I stop taking it":    {},
		"make it stop":               {},
		"see you tomorrow":           {},
		"":                           {},
		"Please stop texting me":     {Revocation: true},
		"stop. thank you":            {Revocation: true},
		"take me off your list":      {Revocation: true},
		"no more messages":           {Revocation: true},
		"Don't text me again":        {Revocation: true},
		"remove me":                  {Revocation: true},
		"ya no me manden mensajes":   {Revocation: true, Spanish: true},
		"dejen de enviarme mensajes": {Revocation: true, Spanish: true},
		"I want to end it all":       {Crisis: true},
		"stop. I want to die":        {Crisis: true, Revocation: true},
		"quiero morir":               {Crisis: true, Spanish: true},
		"wrong number":               {WrongNumber: true},
		"Número equivocado":          {WrongNumber: true, Spanish: true},
		"Wrong number, stop texting": {WrongNumber: true, Revocation: true},
	} {
		if got := Read(text); got != want {
			t.Errorf("%q: got %+v, wanted %+v", text, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{"STOP", "stop. I want to die", "\xff\xfe", "ﷺ", strings.Repeat("a", 9000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		Read(text)
		for _, spaced := range []func(rune) bool{nothing, space, unlessApostrophe, unlessHyphen} {
			once := normal(text, spaced)
			if twice := normal(once, spaced); once != twice && len(once) <= maxText {
				t.Errorf("normalising twice gives another text: %q, %q", once, twice)
			}
		}
	})
}
