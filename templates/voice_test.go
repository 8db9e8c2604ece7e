package templates

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
)

func TestTimesAloud(t *testing.T) {
	for _, c := range []struct{ at, english, spanish string }{
		{"2030-01-07T10:30:00-07:00", "Monday, January 7, at 10:30 AM", "lunes 7 de enero, a las 10 y media de la mañana"},
		{"2030-02-01T13:00:00-07:00", "Friday, February 1, at 1 PM", "viernes primero de febrero, a la una de la tarde"},
		{"2030-01-05T12:00:00-07:00", "Saturday, January 5, at noon", "sábado 5 de enero, al mediodía"},
		{"2030-01-05T12:15:00-07:00", "Saturday, January 5, at 12:15 PM", "sábado 5 de enero, a las 12 y cuarto de la tarde"},
		{"2030-01-05T00:00:00-07:00", "Saturday, January 5, at midnight", "sábado 5 de enero, a medianoche"},
		{"2030-01-05T01:05:00-07:00", "Saturday, January 5, at 1:05 AM", "sábado 5 de enero, a la una y 5 de la madrugada"},
		{"2030-01-05T20:45:00-07:00", "Saturday, January 5, at 8:45 PM", "sábado 5 de enero, a las 8 y 45 de la noche"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := momentAloud(at, english); got != c.english {
			t.Errorf("%q, want %q", got, c.english)
		}
		if got := momentAloud(at, spanish); got != c.spanish {
			t.Errorf("%q, want %q", got, c.spanish)
		}
	}
}

func TestNumbersAloud(t *testing.T) {
	for number, want := range map[string]string{"+18885550100": "8 8 8, 5 5 5, 0 1 0 0", "+442071838750": "4 4 2 0 7 1 8 3 8 7 5 0", "": ""} {
		if got := digitByDigit(number); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A call that names nobody at first, or tells late how to stop it, is refused
// whatever its own words are.
func TestCallsBeginAsTheLawWants(t *testing.T) {
	for name, c := range map[string]struct {
		opening string
		want    Rule
	}{
		"nobody is named":       {"Hello. To stop these calls and texts, press 9.", RuleIdentity},
		"the name comes late":   {"Hello and good day to you, my name is {sender}. Press 9 to stop.", RuleIdentity},
		"the key comes late":    {"Hello, this is {sender}.", RuleOptOut},
		"another key":           {"Hello, this is {sender}. To stop these calls, press 8.", RuleOptOut},
		"the key before a name": {"Press 9 to stop {sender}.", RuleOptOut},
	} {
		tmpl := *builtin(t, "follow_up")
		bad, err := parsePhrase(c.opening)
		if err != nil {
			t.Fatal(err)
		}
		tmpl.spoken = spoken{}
		for key, p := range builtin(t, "follow_up").spoken {
			tmpl.spoken[key] = p
		}
		tmpl.spoken["en opening"] = bad
		_, err = tmpl.Render(Request{Channel: channels.Voice, Vars: map[string]string{"text": "We open at eight today, and the door is the one on the left."}, Identity: SampleIdentity()})
		if got := ruleOf(err); got != c.want {
			t.Errorf("%s: refused by %q (%v), want %s", name, got, err, c.want)
		}
	}
}

// The keys a call offers are those it answers.
func TestKeysOffered(t *testing.T) {
	for _, name := range []string{"appointment_reminder", "follow_up"} {
		tmpl := builtin(t, name)
		for _, form := range []Form{Full, CallBack} {
			text, err := tmpl.Render(Request{Channel: channels.Voice, Form: form, Vars: tmpl.Sample("en", true), Identity: SampleIdentity()})
			if err != nil {
				t.Fatal(err)
			}
			if offered := strings.Contains(text.Text, "press 1"); offered != tmpl.Confirms(form) || offered != (name == "appointment_reminder" && form == Full) {
				t.Errorf("%s, %s: %q", name, form, text.Text)
			}
		}
	}
}

func TestLinesOfACall(t *testing.T) {
	set := Builtin()
	for _, locale := range []string{"en", "es-MX"} {
		for _, l := range lines() {
			text, err := set.Say(l, locale, true, SampleIdentity())
			if err != nil || text.Text == "" || text.Language != Language(locale) {
				t.Errorf("%s: %+v, %v", l, text, err)
			}
			if contains(text.Text, SampleIdentity().Name) {
				t.Errorf("%s names the practice where it must not be named: %q", l, text.Text)
			}
		}
		for _, l := range []Line{LineOptOut, LineOptOutDone, LineHidden, LineWithheld} {
			if text, err := set.Say(l, locale, false, SampleIdentity()); err != nil || contains(text.Text, SampleIdentity().Name) {
				t.Errorf("%s may be heard by anybody and names the practice: %q, %v", l, text.Text, err)
			}
		}
	}
	if _, err := set.Say(LineNumber, "en", false, Identity{}); ruleOf(err) != RuleMissing {
		t.Errorf("without a number: %v", err)
	}
}

// Whatever staff write, a script that is not refused has nothing that XML must
// escape, and is short enough for any provider.
func TestSpokenTextsAreShort(t *testing.T) {
	set := Builtin()
	rapid.Check(t, func(t *rapid.T) {
		tmpl, _ := set.Get(rapid.SampledFrom([]string{"follow_up", "marketing"}).Draw(t, "template"))
		vars := map[string]string{"text": rapid.StringOfN(rapid.RuneFrom([]rune(`ab <>&"'9é…😀`+"\n")), 1, 1000, -1).Draw(t, "text")}
		if tmpl.Name == "marketing" {
			vars["title"] = "New hours & more"
		}
		text, err := tmpl.Render(Request{Channel: channels.Voice, Locale: rapid.SampledFrom([]string{"en", "es"}).Draw(t, "locale"), Vars: vars, Identity: SampleIdentity()})
		if err != nil {
			return
		}
		if strings.ContainsAny(text.Text, `<>&"`) || places(text.Text) > maxSpoken {
			t.Fatalf("%q", text.Text)
		}
	})
}
