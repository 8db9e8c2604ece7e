package intake

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func indexOf(pattern string) int { return strings.Index(pattern, "%s") }

// stops are what a reasonable person would read as a stop. 47 CFR 64.1200(a)(10)(i).
var stops = []string{
	"Please stop texting me", "stop. thank you", "take me off your list", "no more messages", "Don't text me again", "remove me", "ya no me manden mensajes",
	"dejen de enviarme mensajes",
	"Take my number off your list", "take this number off your list", "take my number off all your lists", "do not contact this number again",
	"Don't text this number", "Opt out of texts", "Optout please", "Remove please", "Quit please", "End please", "Revoke consent", "Please cancel texts",
	"No texts please", "I want you to stop all messages", "STOP all messages", "Don't text me.Thanks", "Please don't text me...anymore", "Don't text me\u2014ever",
	"parar por favor", "PARAR mensajes", "baja por favor", "no manden mas mensajes", "no envien mas mensajes", "stop thanks", "Stop, please", "Stop!!! Please",
	"stop texts", "STOP TEXTING", "stop textin me", "please stop", "just stop", "stop it", "STOPPPP", "Can you stop texting?", "cancelar por favor",
	"please unsubscribe", "unsub", "how do I unsubscribe", "I want to opt out", "please opt me out", "stop messaging me", "quit sending me this",
	"I revoke my consent", "I withdraw my consent",
	"leave me alone", "please leave me alone", "lose my number", "delete my number", "never text me again", "I don't want any more of your texts",
	"I don't want texts", "don't send me any more messages", "I told you don't text me", "stop calling me", "do not call me", "don't contact me",
	"stop sending these messages", "end these texts", "cease and desist",
	"I no longer wish to receive messages", "you do not have my consent to text", "no more texts please", "no more", "STOP STOP STOP",
	"stop texting me I want to end my own life", "Stop. Wrong number", "remove my number from your database", "remove me from this", "take me off",
	"take me off please", "do not ever text me", "stop bothering me",
	"no más mensajes", "no me escriban más", "no me llamen", "dejen de llamarme", "no quiero más mensajes", "no quiero recibir sus mensajes", "quítenme de la lista",
	"borren mi número", "denme de baja", "quiero darme de baja", "cancelen los mensajes", "paren de mandarme mensajes", "no manden mensajes a este numero",
	"déjenme en paz", "no quiero que me escriban",
	"stop\U0001F64Fplease", "Stop\nSent from my phone", "please,stop", "stop already", "STOP now", "stop the messages", "hey please stop texting",
	"I want to stop getting texts", "Stop.Thanks", "stop texting this number",
}

// noStops are the same words, and the patient's reminders must go on.
var noStops = []string{
	"Dejé de tomar mi medicina", "Paré de comer", "quiero que deje de doler", "I can't stop it", "I can't stop these thoughts", "I can't stop this feeling",
	"please take me off lithium", "my ex won't leave me alone", "I don't want these side effects", "Please don't stop sending me reminders", "don't stop texting me",
	"I want to start over", "when does it end", "I can't stop crying", "Can I stop by at 5?", "stop by the office?", "which bus stop is it", "Should I stop taking it",
	"make it stop", "please make it stop", "see you tomorrow", "", "quit smoking", "I quit smoking", "cancel my appointment please", "why did you stop texting me?",
	"you stopped texting me",
	"Please don't stop the texts", "did you stop sending reminders?", "I never want to stop my texts", "stop my medication?", "Stop lithium?",
	"should I stop the meds", "the pain won't stop", "I need to cancel", "Cancel. I can't make it Monday", "can you remove my appointment",
	"take me off the schedule for Monday", "put me on the wait list", "take me off the wait list",
	"I got no texts", "no messages yet", "he doesn't text me", "my mom won't call me", "they did not call me", "why didn't you call me", "you didn't text me",
	"don't call me before 10", "please don't call me at work", "I don't want to miss my reminders", "he stopped calling me", "my thoughts never leave me alone",
	"it never ends", "the end",
	"I don't want calls, just texts", "I don't want to text her", "I told my son to stop", "help me stop drinking", "my number is 303 555 0143",
	"remove my old address", "high blood pressure, end of day?", "I don't want to come Monday", "don't worry", "do not forget me", "I want to quit my job",
	"quit taking it", "END OF DAY works",
	"no dejen de mandarme mensajes", "no cancelen mi cita", "no quiero cancelar", "quiero cambiar mi cita", "no quiero perder mi cita", "me duele y no para",
	"no para de llover", "mi presión está alta", "está baja", "dejé de fumar", "ya no quiero tomar la medicina", "no me llamaron", "no me mandaron nada",
	"quítenme el dolor", "no puedo ir", "voy a dejar de comer pan",
	"C", "yes", "R", "START", "yes please", "start please", "no", "NO", "thanks", "please", "thank you", "ok",
}

func TestStopsInFreeText(t *testing.T) {
	for _, text := range stops {
		if h := Read(text); !h.Revocation && h.Keyword == "" {
			t.Errorf("%q is not heard as a stop", text)
		}
	}
}

func TestOrdinaryWordsStopNothing(t *testing.T) {
	for _, text := range noStops {
		if h := Read(text); h.Revocation || h.Stop || h.StopAll {
			t.Errorf("%q is heard as a stop: %+v", text, h)
		}
	}
}

func TestAStopWithCourtesyIsThatKeywordsFreeText(t *testing.T) {
	for text, want := range map[string]Heard{
		"Stop all please":   {Revocation: true, StopAll: true},
		"STOP all messages": {Revocation: true, StopAll: true},
		"Cancel please":     {Revocation: true, Cancel: true},
		"cancel texts":      {Revocation: true},
		"stop 2":            {Revocation: true},
		"baja por favor":    {Revocation: true, HighOrLow: true, Spanish: true},
		"stop thanks":       {Revocation: true},
		"start please":      {},
		"S T O P":           {Keyword: "stop", Stop: true},
	} {
		if got := Read(text); got != want {
			t.Errorf("%q: got %+v, wanted %+v", text, got, want)
		}
	}
}

// A whole-message keyword stays what it is, however it is decorated.
func TestKeywordsAreStable(t *testing.T) {
	var words []string
	for _, m := range meanings {
		words = append(words, m.english...)
		words = append(words, m.spanish...)
	}
	marks := []string{"", ".", "!", "?", " ", "...", "\U0001F6D1", "\u200b", "\ufe0f", "\"", "\u2019", "\n", "*", "¡", "\u00a0", "-"}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom(words).Draw(t, "word")
		want := Read(word)
		mark := func(name string) string {
			return strings.Join(rapid.SliceOfN(rapid.SampledFrom(marks), 0, 3).Draw(t, name), "")
		}
		text := mark("before")
		for _, r := range word {
			letter := string(r)
			if rapid.Bool().Draw(t, "upper") {
				letter = strings.ToUpper(letter)
			}
			text += letter
		}
		if got := Read(text + mark("after")); got != want {
			t.Errorf("%q: got %+v, wanted %+v", text, got, want)
		}
	})
}
