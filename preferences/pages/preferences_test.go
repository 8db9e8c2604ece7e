package pages_test

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/pages"
	"harmonize.care/heed/preferences/policy"
)

// tags takes the markup out, so that a test reads what a person reads.
var tags = regexp.MustCompile(`(?s)<[^>]*>|\s+`)

func words(page string) string {
	return strings.Join(strings.Fields(tags.ReplaceAllString(page, " ")), " ")
}

// said puts choices on record.
func (b *bench) said(patient int64, list ...intake.Choice) {
	b.t.Helper()
	if err := b.intake.Prefer(context.Background(), "staff", patient, intake.Said{
		Choices: list, Source: preferences.FromStaff, Evidence: map[string]string{"form": "2030-03"},
	}); err != nil {
		b.t.Fatal(err)
	}
}

func TestPreferencesSayWhatIs(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		do            func(b *bench, patient int64)
		shows, hidden []string
	}{
		"nothing said": {
			func(*bench, int64) {},
			[]string{
				"Check-ins Text message Off Email On", "Surveys Email On", "Newsletter Email On",
				"News and offers Turning this off also turns off every other kind of news and offers. Email On Text message Off",
				"Ways we may use Untick a way to stop it. At least one stays on. Text message Email Automated call Save", "call us at 303-555-0100",
			},
			[]string{"START", "You asked us to reach you only in certain ways", "Not used, as you asked"},
		},
		"a survey stopped by email": {
			func(b *bench, p int64) { b.said(p, intake.Choice{Topic: "survey", Channel: channels.Email}) },
			[]string{"Surveys Email Stopped", "Newsletter Email On"}, nil,
		},
		"check-ins agreed to": {
			func(b *bench, p int64) {
				b.said(p, intake.Choice{Topic: "symptom_check_in", Channel: channels.SMS, In: true, Consent: preferences.Express})
			},
			[]string{"Check-ins Text message On Email On"}, nil,
		},
		"a stop from the phone": {
			func(b *bench, p int64) {
				if err := b.intake.Stop(ctx, "staff", "+13035550143", channels.Care, false, nil); err != nil {
					b.t.Fatal(err)
				}
			},
			[]string{
				"About appointments and care: text START to 303-555-0111.",
				"About news and offers: text START to the number they came from.",
				"At least one stays on. Email Save how they come",
			},
			[]string{"About bills"},
		},
		"care channels": {
			func(b *bench, p int64) {
				err := b.intake.Prefer(ctx, "staff", p, intake.Said{Source: preferences.FromStaff, CareChannels: &preferences.CareChannels{
					Order: []channels.Channel{channels.Email, channels.SMS}, Declined: []channels.Channel{channels.Voice},
				}})
				if err != nil {
					b.t.Fatal(err)
				}
			},
			[]string{"stays on. Email Text message Automated call Not used, as you asked Save"}, nil,
		},
		"confidential": {
			func(b *bench, p int64) {
				if err := b.intake.SetConfidential(ctx, "staff", p, intake.Confidential{Only: []intake.Way{{Channel: channels.Email, Address: "anatolia@mailbox.example"}}, Discreet: true}); err != nil {
					b.t.Fatal(err)
				}
			},
			[]string{"Check-ins Text message Off Email On"},
			[]string{"Text message Save", "You asked us to reach you only in certain ways"},
		},
		"no way at all": {
			func(b *bench, p int64) {
				_, err := b.intake.Put(ctx, "ehr", "REF-7731", intake.Contact{Record: b.record(p)})
				if err != nil {
					b.t.Fatal(err)
				}
			},
			[]string{"A person will call or write to you instead.", "Surveys Email Off"}, []string{"Text message Save"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			patient := b.enrol("en")
			c.do(b, patient)
			w := b.get(b.preferencesPath(patient))
			text := words(w.Body.String())
			for _, want := range c.shows {
				if !strings.Contains(text, want) {
					t.Errorf("does not say %q in %s", want, text)
				}
			}
			if word := shows(w.Body.String(), append(c.hidden, personal...)...); word != "" {
				t.Errorf("shows %q", word)
			}
		})
	}
}

func TestStopInOnePress(t *testing.T) {
	for _, c := range []struct {
		topic, done string
		off         []string
		on          []string
	}{
		{"marketing", "Done. We stopped: news and offers.", []string{"Newsletter Email Stopped", "news and offers. Email Stopped"}, []string{"Surveys Email On"}},
		{"non_essential", "Done. We stopped: surveys, check-ins, news, offers and everything else that is not essential.", []string{"Check-ins Text message Stopped Email Stopped", "Surveys Email Stopped", "Newsletter Email Stopped"}, nil},
	} {
		b := newBench(t)
		patient := b.enrol("en")
		// A yes to one topic must not survive a later no to all of them.
		b.said(patient, intake.Choice{Topic: "newsletter", Channel: channels.Email, In: true})
		b.clock.move(time.Minute)
		for range 2 {
			w := b.press(b.preferencesPath(patient), url.Values{"stop": {c.topic}})
			text := words(w.Body.String())
			for _, want := range append(append([]string{c.done, "Save how they come"}, c.off...), c.on...) {
				if w.Code != http.StatusOK || !strings.Contains(text, want) {
					t.Errorf("%s: %d does not say %q in %s", c.topic, w.Code, want, text)
				}
			}
			if strings.Contains(w.Body.String(), `value="`+c.topic+`"`) {
				t.Errorf("%s: what is stopped still has its button", c.topic)
			}
		}
		events := b.ledger(patient)
		last := events[len(events)-1]
		if len(events) != 3 || last.Choice == nil || last.Choice.Topic != c.topic || last.Choice.Channel != 0 || last.Choice.In || last.Source != preferences.FromWeb {
			t.Errorf("%s: kept %d events, the last %+v", c.topic, len(events), last)
		}
	}
}

func TestFormsFromElsewhere(t *testing.T) {
	form := "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		header []string
		body   string
		status int
	}{
		"another site":                {[]string{"Content-Type", form, "Sec-Fetch-Site", "cross-site", "Origin", "https://elsewhere.example"}, "stop=marketing", 403},
		"a neighbour":                 {[]string{"Content-Type", form, "Sec-Fetch-Site", "same-site", "Origin", "https://www.practice.example"}, "stop=marketing", 403},
		"another site, old browser":   {[]string{"Content-Type", form, "Origin", "https://elsewhere.example"}, "stop=marketing", 403},
		"our page":                    {[]string{"Content-Type", form, "Sec-Fetch-Site", "same-origin", "Origin", "null"}, "stop=marketing", 200},
		"our page, old browser":       {[]string{"Content-Type", form, "Origin", "null"}, "stop=marketing", 200},
		"our page, older browser":     {[]string{"Content-Type", form, "Origin", publicURL}, "stop=marketing", 200},
		"no browser":                  {[]string{"Content-Type", form}, "stop=marketing", 200},
		"a topic that has no button":  {[]string{"Content-Type", form, "Sec-Fetch-Site", "same-origin"}, "stop=appointment_reminder", 400},
		"no topic":                    {[]string{"Content-Type", form, "Sec-Fetch-Site", "same-origin"}, "", 400},
		"a topic in the address":      {[]string{"Content-Type", form, "Sec-Fetch-Site", "same-origin"}, "x=1", 400},
		"a form larger than any form": {[]string{"Content-Type", form, "Sec-Fetch-Site", "same-origin"}, "x=" + strings.Repeat("y", 20000) + "&stop=marketing", 400},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			patient := b.enrol("en")
			before := b.dump()
			w := b.do(http.MethodPost, b.preferencesPath(patient)+"?stop=marketing", strings.NewReader(c.body), c.header...)
			if w.Code != c.status {
				t.Errorf("answered %d", w.Code)
			}
			if changed := b.dump() != before; changed != (c.status == 200) {
				t.Errorf("changed: %t", changed)
			}
		})
	}
}

// A category of the practice's own may be named after what it treats.
func TestOwnCategoriesAreNotNamed(t *testing.T) {
	b := newBench(t, func(f *policy.File) {
		secret := f.Categories["survey"]
		f.Categories["depression_diary"] = secret
		f.Categories["bipolar_group"] = secret
		news := f.Categories["newsletter"]
		f.Categories["grief_news"] = news
	})
	patient := b.enrol("en")
	b.said(patient, intake.Choice{Topic: "depression_diary", Channel: channels.Email})
	w := b.get(b.preferencesPath(patient))
	text := words(w.Body.String())
	for _, want := range []string{"Other messages Email On Text message Off", "Other news and offers Email On"} {
		if !strings.Contains(text, want) {
			t.Errorf("does not say %q in %s", want, text)
		}
	}
	if strings.Count(text, "Other messages") != 1 {
		t.Error("two topics of one name stand apart")
	}
	unsubscribe := b.get(b.unsubscribePath(patient, "grief_news"))
	if word := shows(strings.ToLower(w.Body.String()+unsubscribe.Body.String()), "depression", "bipolar", "grief"); word != "" {
		t.Errorf("shows %q", word)
	}
}

func TestHeaders(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("es")
	b.mailPaths(patient, func(w http.Header, page string) {
		for name, want := range map[string]string{
			"Content-Security-Policy":   "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
			"Referrer-Policy":           "no-referrer",
			"X-Content-Type-Options":    "nosniff",
			"Cache-Control":             "no-store",
			"X-Robots-Tag":              "noindex, nofollow",
			"Strict-Transport-Security": "max-age=31536000",
			"Content-Type":              "text/html; charset=utf-8",
			"Content-Language":          "es",
			"Set-Cookie":                "",
		} {
			if got := w.Get(name); got != want {
				t.Errorf("%s is %q", name, got)
			}
		}
		if word := shows(page, append(personal, "<script", "style=", "onclick")...); word != "" {
			t.Errorf("a page shows %q", word)
		}
	})
	plain := b.options()
	plain.PublicURL = "http://127.0.0.1:8080"
	b.handler = pages.New(plain).Handler()
	if got := b.get(b.preferencesPath(patient)).Header().Get("Strict-Transport-Security"); got != "" {
		t.Errorf("plain http is told to be https: %q", got)
	}
	if w := b.get("/p/pages.css"); w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("the stylesheet answered %d", w.Code)
	}
}

// mailPaths visits the page behind each kind of link, and what its button gives.
func (b *bench) mailPaths(patient int64, visit func(http.Header, string)) {
	for _, path := range b.paths(patient) {
		w := b.get(path)
		visit(w.Header(), w.Body.String())
		w = b.press(path, url.Values{"stop": {"marketing"}, "month": {"1"}, "day": {"1"}, "year": {"1999"}})
		visit(w.Header(), w.Body.String())
	}
}
