package pages_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

func ticks(do string, was, on []string) url.Values {
	return url.Values{"do": {do}, "was": was, "on": on}
}

func TestTopicsByChannel(t *testing.T) {
	for name, c := range map[string]struct {
		before  []intake.Choice
		was, on []string
		proved  bool
		status  int
		now     map[string]bool // by category and channel
	}{
		"one off": {
			was: []string{"survey/email", "newsletter/email"}, on: []string{"newsletter/email"}, status: 200,
			now: map[string]bool{"survey email": false, "newsletter email": true, "symptom_check_in email": true},
		},
		"one on, without a proof": {
			before: []intake.Choice{{Topic: "survey", Channel: channels.Email}}, on: []string{"survey/email"}, status: 403,
			now: map[string]bool{"survey email": false},
		},
		"one off and one on, without a proof": {
			before: []intake.Choice{{Topic: "survey", Channel: channels.Email}}, was: []string{"newsletter/email"}, on: []string{"survey/email"}, status: 403,
			now: map[string]bool{"survey email": false, "newsletter email": false},
		},
		"one on": {
			before: []intake.Choice{{Topic: "non_essential"}}, on: []string{"survey/email"}, proved: true, status: 200,
			now: map[string]bool{"survey email": true, "newsletter email": false, "symptom_check_in email": false},
		},
		"texts that need express consent": {
			on: []string{"symptom_check_in/sms"}, proved: true, status: 200,
			now: map[string]bool{"symptom_check_in sms": true, "survey sms": false},
		},
		"what needs a signature stays off": {
			on: []string{"marketing/sms", "marketing/voice", "sponsored_marketing/email"}, proved: true, status: 200,
			now: map[string]bool{"marketing sms": false, "marketing voice": false, "sponsored_marketing email": false, "marketing email": true},
		},
		"news and offers alone": { // its topic bears the name of all marketing
			before: []intake.Choice{{Topic: "marketing"}}, on: []string{"marketing/email"}, proved: true, status: 200,
			now: map[string]bool{"marketing email": true, "newsletter email": false},
		},
		"news and offers, and the newsletter": {
			before: []intake.Choice{{Topic: "marketing"}}, on: []string{"marketing/email", "newsletter/email"}, proved: true, status: 200,
			now: map[string]bool{"marketing email": true, "newsletter email": true},
		},
		"the newsletter alone": {
			before: []intake.Choice{{Topic: "marketing"}}, on: []string{"newsletter/email"}, proved: true, status: 200,
			now: map[string]bool{"marketing email": false, "newsletter email": true},
		},
		"a page that was left open": { // the stop came after it was shown, and stays
			before: []intake.Choice{{Topic: "survey", Channel: channels.Email}}, was: []string{"survey/email", "newsletter/email"}, on: []string{"survey/email"}, proved: true, status: 200,
			now: map[string]bool{"survey email": false, "newsletter email": false},
		},
		"what there is not": {
			was: []string{"appointment_reminder/sms", "x", "survey/", "/email", "survey/fax"}, on: []string{"other/email"}, proved: true, status: 200,
			now: map[string]bool{"appointment_reminder sms": true, "survey email": true},
		},
		"nothing": {status: 200, now: map[string]bool{"survey email": true}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			patient := b.enrol("en")
			if len(c.before) > 0 {
				b.said(patient, c.before...)
			}
			b.clock.move(time.Minute)
			path, form := b.linkPath(patient), ticks("topics", c.was, c.on)
			w := b.press(path, form)
			if c.proved {
				w = b.with(b.proof(path), http.MethodPost, path, form)
			}
			if w.Code != c.status {
				t.Errorf("answered %d: %s", w.Code, words(w.Body.String()))
			}
			for what, want := range c.now {
				category, way, _ := strings.Cut(what, " ")
				ch, _ := channels.ParseChannel(way)
				if got := b.isOn(patient, category, ch); got != want {
					t.Errorf("%s is on: %t", what, got)
				}
			}
		})
	}
}

// What was said is kept with the words that were shown, and by whom.
func TestEvidence(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("es")
	path := b.linkPath(patient)
	b.press(path, ticks("topics", []string{"survey/email"}, nil))
	b.with(b.proof(path), http.MethodPost, path, ticks("topics", nil, []string{"survey/email"}))
	events := b.ledger(patient)
	off, on := events[len(events)-2], events[len(events)-1]
	for e, by := range map[*preferences.Event]string{&off: "link", &on: "link_and_code"} {
		if e.Source != preferences.FromWeb || e.Actor != "patient" || e.Evidence["shown_by"] != by || e.Evidence["language"] != "es" || len(e.Evidence["wording"]) != 16 || e.Evidence["page"] != "preferences" {
			t.Errorf("kept %+v", e)
		}
	}
	if off.Choice.In || !on.Choice.In || on.Choice.Consent != preferences.Express || !strings.HasPrefix(on.Evidence["agreed"], "Al marcar y guardar") {
		t.Errorf("kept %+v and %+v", off.Choice, on)
	}
}

// Two categories of the practice's own stand under the same words: a no ends both,
// and their names are nowhere.
func TestOwnCategoriesAreChangedTogether(t *testing.T) {
	b := newBench(t, func(f *policy.File) {
		f.Categories["depression_diary"], f.Categories["bipolar_group"] = f.Categories["survey"], f.Categories["survey"]
	})
	patient := b.enrol("en")
	path := b.linkPath(patient)
	w := b.press(path, ticks("topics", []string{"other/email"}, nil))
	if w.Code != http.StatusOK || shows(strings.ToLower(w.Body.String()), "depression", "bipolar") != "" {
		t.Errorf("answered %d", w.Code)
	}
	if b.isOn(patient, "depression_diary", channels.Email) || b.isOn(patient, "bipolar_group", channels.Email) || !b.isOn(patient, "survey", channels.Email) {
		t.Error("not what was said")
	}
	b.clock.move(time.Second)
	b.with(b.proof(path), http.MethodPost, path, ticks("topics", nil, []string{"other/email"}))
	if !b.isOn(patient, "depression_diary", channels.Email) || !b.isOn(patient, "bipolar_group", channels.Email) {
		t.Error("a yes did not turn both on")
	}
}

func TestCareChannels(t *testing.T) {
	sms, voice, email := channels.SMS, channels.Voice, channels.Email
	type list = []channels.Channel
	for name, c := range map[string]struct {
		before   preferences.CareChannels
		was, on  []string
		ranks    map[string]string
		proved   bool
		status   int
		order    list
		declined list
	}{
		"one declined":          {was: []string{"sms", "voice", "email"}, on: []string{"sms", "email"}, status: 200, declined: list{voice}},
		"all declined":          {was: []string{"sms", "voice", "email"}, status: 422},
		"the rest declined":     {before: preferences.CareChannels{Declined: list{voice}}, was: []string{"sms", "email"}, status: 422, declined: list{voice}},
		"taken back, unproved":  {before: preferences.CareChannels{Declined: list{voice}}, on: []string{"voice"}, status: 403, declined: list{voice}},
		"one each way":          {before: preferences.CareChannels{Declined: list{voice}}, was: []string{"sms"}, on: []string{"voice"}, status: 403, declined: list{voice, sms}},
		"taken back":            {before: preferences.CareChannels{Declined: list{voice}}, was: []string{"sms", "email"}, on: []string{"sms", "email", "voice"}, proved: true, status: 200},
		"put in order":          {ranks: map[string]string{"voice": "1", "email": "2", "sms": "3"}, proved: true, status: 200, order: list{voice, email, sms}},
		"an order, unproved":    {before: preferences.CareChannels{Order: list{email}}, ranks: map[string]string{"voice": "1"}, status: 200, order: list{email}},
		"the same order":        {ranks: map[string]string{"sms": "1", "email": "2", "voice": "3"}, proved: true, status: 200},
		"ranks that tie":        {ranks: map[string]string{"sms": "2", "email": "1", "voice": "2"}, proved: true, status: 200, order: list{email, sms, voice}},
		"ranks that are none":   {ranks: map[string]string{"sms": "first", "email": "-1", "voice": "99999999999"}, proved: true, status: 200},
		"a page left open":      {before: preferences.CareChannels{Declined: list{voice}}, was: []string{"voice", "sms"}, on: []string{"voice", "sms"}, proved: true, status: 200, declined: list{voice}},
		"channels there aren't": {was: []string{"fax", "", "letters"}, status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			patient := b.enrol("en")
			if c.before.Order != nil || c.before.Declined != nil {
				if err := b.intake.Prefer(t.Context(), "staff", patient, intake.Said{Source: preferences.FromStaff, CareChannels: &c.before}); err != nil {
					t.Fatal(err)
				}
			}
			path, form := b.linkPath(patient), ticks("care", c.was, c.on)
			for ch, rank := range c.ranks {
				form.Set("rank_"+ch, rank)
			}
			var w = b.press
			answer := func() (int, string) { r := w(path, form); return r.Code, r.Body.String() }
			if c.proved {
				cookie := b.proof(path)
				answer = func() (int, string) { r := b.with(cookie, http.MethodPost, path, form); return r.Code, r.Body.String() }
			}
			status, page := answer()
			care := b.snapshot(patient).Care
			if status != c.status || !slices.Equal(care.Order, c.order) || !slices.Equal(care.Declined, c.declined) {
				t.Errorf("answered %d and left %+v", status, care)
			}
			if status == 422 && (!strings.Contains(page, `href="#care"`) || !strings.Contains(page, `id="care"`) || !strings.Contains(page, "<title>Error: ")) {
				t.Error("the mistake leads nowhere")
			}
			if status == 403 && (!strings.Contains(page, `href="#proof"`) || !strings.Contains(page, `id="proof"`)) {
				t.Error("the way to the code is not shown")
			}
		})
	}
}
