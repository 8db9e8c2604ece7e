package templates

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
)

func render(t *testing.T, name string, change func(*Request)) Text {
	t.Helper()
	tmpl := builtin(t, name)
	r := Request{Channel: channels.SMS, Vars: tmpl.Sample("en", false), Identity: SampleIdentity(), Links: SampleLinks()}
	change(&r)
	text, err := tmpl.Render(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestHas(t *testing.T) {
	set := Builtin()
	for _, name := range set.Names() {
		tmpl, _ := set.Get(name)
		// The categories that may be called, as the built-in policy has them.
		speaks := slices.Contains([]string{"appointment_reminder", "appointment_change", "follow_up", "treatment_update", "marketing"}, name)
		for _, discreet := range []bool{false, true} {
			for c, want := range map[channels.Channel][4]bool{
				channels.SMS:   {true, tmpl.Content != ContentNone, false, false},
				channels.Email: {tmpl.Category != "" || name == staffAlert || name == pageCode, tmpl.Content != ContentNone, false, false},
				channels.Voice: {speaks && tmpl.Content != ContentClinical, false, speaks, speaks},
				0:              {},
			} {
				for f, has := range want {
					if got := tmpl.Has(c, Form(f), discreet); got != has {
						t.Errorf("%s has a text for %s, %s, discreet %t: %t, want %t", name, c, Form(f), discreet, got, has)
					}
				}
			}
		}
		if tmpl.Has(channels.SMS, 4, false) {
			t.Errorf("%s has a form that does not exist", name)
		}
	}
}

func TestRenderWhatIsNotThere(t *testing.T) {
	for _, r := range []Request{
		{Channel: channels.Voice},
		{Channel: channels.SMS, Form: CallBack},
		{Channel: channels.SMS, Form: 9},
		{},
	} {
		tmpl := builtin(t, "symptom_check_in")
		r.Identity = SampleIdentity()
		if text, err := tmpl.Render(r); err == nil || text != (Text{}) || !strings.Contains(err.Error(), "has no text for this") {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestLocales(t *testing.T) {
	for locale, want := range map[string]string{
		"es": "Cita", "es-MX": "Cita", "es_US": "Cita", "ES-us": "Cita", " es": "Cita",
		"en": "Appointment", "": "Appointment", "fr": "Appointment", "est": "Appointment", "x-es": "Appointment",
	} {
		if text := render(t, "appointment_reminder", func(r *Request) { r.Locale = locale }).Text; !strings.Contains(text, want) {
			t.Errorf("%q: %s", locale, text)
		}
	}
}

func TestAppointmentTimes(t *testing.T) {
	for _, c := range []struct{ value, zone, sms, email, es, esEmail string }{
		{
			"2030-01-07T10:30:00-07:00", "America/New_York", "Mon, Jan 7 at 10:30 AM", "Monday, January 7, 2030 at 10:30 AM",
			"lunes 7 de enero a las 10:30 a. m.", "lunes 7 de enero de 2030 a las 10:30 a. m.",
		},
		{
			"2030-01-07T17:30:00Z", "America/Denver", "Mon, Jan 7 at 10:30 AM", "Monday, January 7, 2030 at 10:30 AM",
			"lunes 7 de enero a las 10:30 a. m.", "lunes 7 de enero de 2030 a las 10:30 a. m.",
		},
		{ // many systems write UTC so
			"2030-07-07T16:30:00+00:00", "America/Denver", "Sun, Jul 7 at 10:30 AM", "Sunday, July 7, 2030 at 10:30 AM",
			"domingo 7 de julio a las 10:30 a. m.", "domingo 7 de julio de 2030 a las 10:30 a. m.",
		},
		{
			"2030-01-07T17:30:00Z", "", "Mon, Jan 7 at 5:30 PM UTC", "Monday, January 7, 2030 at 5:30 PM UTC",
			"lunes 7 de enero a las 5:30 p. m. UTC", "lunes 7 de enero de 2030 a las 5:30 p. m. UTC",
		},
		{
			"2030-01-12T13:05:00-05:00", "", "Sat, Jan 12 at 1:05 PM", "Saturday, January 12, 2030 at 1:05 PM",
			"sabado 12 de enero a la 1:05 p. m.", "sábado 12 de enero de 2030 a la 1:05 p. m.",
		},
		{
			"2030-12-31T00:00:59.5-05:00", "", "Tue, Dec 31 at 12:00 AM", "Tuesday, December 31, 2030 at 12:00 AM",
			"martes 31 de diciembre a las 12:00 a. m.", "martes 31 de diciembre de 2030 a las 12:00 a. m.",
		},
		{
			"2030-05-01T12:00:00-05:00", "", "Wed, May 1 at 12:00 PM", "Wednesday, May 1, 2030 at 12:00 PM",
			"miércoles 1 de mayo a las 12:00 p. m.", "miércoles 1 de mayo de 2030 a las 12:00 p. m.",
		},
	} {
		for want, r := range map[string]Request{
			c.sms: {Channel: channels.SMS}, c.email: {Channel: channels.Email},
			c.es: {Channel: channels.SMS, Locale: "es"}, c.esEmail: {Channel: channels.Email, Locale: "es"},
		} {
			text := render(t, "appointment_reminder", func(to *Request) {
				to.Channel, to.Locale, to.Identity.TimeZone = r.Channel, r.Locale, c.zone
				to.Vars["appointment_time"] = c.value
			})
			if !strings.Contains(text.Text, want) {
				t.Errorf("%s in %q: want %q in\n%s", c.value, c.zone, want, text.Text)
			}
			if r.Channel == channels.SMS && text.Segments.Encoding != GSM7 {
				t.Errorf("%s in %q is %s", c.value, r.Locale, text.Segments.Encoding)
			}
		}
	}
}

// TestSMSFit: with values of the usual length a text stays in GSM-7 and within two
// segments, on every day of the year.
func TestSMSFit(t *testing.T) {
	set := Builtin()
	for _, name := range set.Names() {
		tmpl, _ := set.Get(name)
		for _, w := range tmpl.Wordings() {
			if w.Channel != channels.SMS {
				continue
			}
			vars := tmpl.Sample(w.Language, true)
			for d := 0; d < 365; d += 5 { // every weekday in every month
				at := time.Date(2030, 1, 1, 10, 30, 0, 0, time.UTC).AddDate(0, 0, d)
				for _, v := range tmpl.Variables {
					if v.Kind == KindTime {
						vars[v.Name] = at.Format("2006-01-02T15:04:05") + "-07:00"
					}
				}
				text, err := tmpl.Render(Request{
					Channel: w.Channel, Form: w.Form, Discreet: w.Discreet, Locale: w.Language,
					Vars: vars, Identity: SampleIdentity(), Links: SampleLinks(),
				})
				if err != nil || text.Segments.Encoding != GSM7 || text.Segments.Count < 1 || text.Segments.Count > 2 {
					t.Fatalf("%s %s %s, discreet %t: %v %v", name, w.Language, w.Form, w.Discreet, text.Segments, err)
				}
				if strings.Contains(strings.ToLower(text.Text), "cancel") {
					t.Fatalf("%s %s: an SMS of ours says cancel: %s", name, w.Language, text.Text)
				}
				if d == 0 && len(vars) == 0 {
					break // the same every day
				}
			}
		}
	}
}

// TestSecureLinkSaysNothing: the texts that go over providers without an agreement
// are the same whatever waits, and name nothing of it.
func TestSecureLinkSaysNothing(t *testing.T) {
	set := Builtin()
	seen := map[string]Text{}
	for _, name := range set.Names() {
		tmpl, _ := set.Get(name)
		for _, w := range tmpl.Wordings() {
			if w.Form != SecureLink {
				continue
			}
			text, err := tmpl.Render(Request{
				Channel: w.Channel, Form: w.Form, Discreet: w.Discreet, Locale: w.Language,
				Vars: tmpl.Sample(w.Language, true), Identity: SampleIdentity(),
				Links: Links{Secure: SampleLinks().Secure, Preferences: SampleLinks().Preferences, Unsubscribe: SampleLinks().Unsubscribe},
			})
			if err != nil {
				t.Fatal(err)
			}
			key := w.Language + w.Channel.String() + map[bool]string{true: "discreet"}[w.Discreet] + map[bool]string{true: "essential"}[tmpl.Essential]
			if first, ok := seen[key]; ok && first != text {
				t.Errorf("%s: the text behind the link shows in %s", name, key)
			}
			seen[key] = text
			if strings.Count(text.Text, SampleLinks().Secure) != 1 {
				t.Errorf("%s %s: the link is not there once", name, key)
			}
			all := strings.ToLower(text.Subject + text.Text + text.HTML)
			for _, word := range []string{"appointment", "cita", "10:30", "clinic", "bill", "factura", "check-in", "survey", "treatment", "health", name} {
				if strings.Contains(all, word) {
					t.Errorf("%s %s says %q", name, key, word)
				}
			}
		}
	}
	if len(seen) != 2*2*2*2 {
		t.Errorf("%d kinds of text, want 16", len(seen))
	}
}

func TestCrisis(t *testing.T) {
	for _, c := range []struct{ locale, set, want string }{
		{"en", "", "call 911 now"},
		{"es", "", "llame al 911"},
		{"en", "If you are in danger call 911 or 988.", "If you are in danger call 911 or 988."},
		{"es", "If you are in danger call 911 or 988.", "If you are in danger call 911 or 988."},
		{"en", "Suicide line: reply YES", "Suicide line: reply YES"}, // wrong, found by Identity.Check; and it goes
	} {
		text, err := builtin(t, crisis).Render(Request{Channel: channels.SMS, Locale: c.locale, Identity: Identity{CrisisText: c.set}})
		if err != nil || !strings.Contains(text.Text, c.want) || text.Segments.Count != 1 {
			t.Errorf("%+v: %v %v", c, text, err)
		}
	}
}

// TestAnswersNameNobody: they go to numbers that may be anybody's.
func TestAnswersNameNobody(t *testing.T) {
	set := Builtin()
	for _, name := range set.Names() {
		tmpl, _ := set.Get(name)
		if tmpl.Category != "" || name == staffAlert {
			continue
		}
		for _, w := range tmpl.Wordings() {
			text, err := tmpl.Render(Request{Channel: w.Channel, Form: w.Form, Discreet: w.Discreet, Locale: w.Language, Identity: SampleIdentity(), Vars: tmpl.Sample(w.Language, true)})
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text.Text, SampleIdentity().Name) {
				t.Errorf("%s names the practice: %s", name, text.Text)
			}
			if name != "cancel_confirmation" && (strings.Contains(text.Text, "appointment") || strings.Contains(text.Text, "cita")) {
				t.Errorf("%s speaks of appointments: %s", name, text.Text)
			}
		}
	}
}

// TestValuesStayValues: what is filled in is never read as anything else.
func TestValuesStayValues(t *testing.T) {
	for _, value := range []string{
		`<script>alert(1)</script>`, `</p><img src=x onerror=alert(1)>`, `{{.Secret}} {phone} [x] {text}`, `a & b "c" 'd'`, `&lt;b&gt;`, "javascript:alert(1)", "https://evil.example/",
	} {
		vars := map[string]string{"title": value, "text": value, "url": "https://practice.example/?a=1&b=%22"}
		text := render(t, "newsletter", func(r *Request) { r.Channel, r.Vars = channels.Email, vars })
		if text.Subject != value || !strings.HasPrefix(text.Text, value+"\n\n") {
			t.Errorf("%q was changed: %q, %q", value, text.Subject, text.Text)
		}
		for _, markup := range []string{"<script", "<img", "{{", "href=\"javascript", "href=\"https://evil"} {
			if strings.Contains(strings.ReplaceAll(text.HTML, value, ""), markup) {
				t.Errorf("%q became markup: %s", value, text.HTML)
			}
		}
		if !strings.Contains(text.HTML, `href="https://practice.example/?a=1&amp;b=%22"`) {
			t.Errorf("the link was changed: %s", text.HTML)
		}
	}
}

func TestTextsAreMadePlain(t *testing.T) {
	for value, want := range map[string]string{
		"It’s “here” – now…":     `It's "here" - now...`,
		"one\r\n\r\ntwo\tthree":  "one two three",
		"cafe\u0301":             "café",
		"a\u00a0b":               "a b",
		"José Ávila":             "José Ávila",
		"don\u200bt":             "dont",
		"  spaces  ":             "spaces",
		"three...":               "three...",
		"{sender} stays [as] is": "{sender} stays [as] is",
	} {
		text := render(t, "follow_up", func(r *Request) { r.Vars["text"] = value }).Text
		if want = "Example Practice: " + want + "\n"; !strings.HasPrefix(text, want) {
			t.Errorf("%q: %q, want %q", value, text, want)
		}
	}
}

func TestParagraphs(t *testing.T) {
	text := render(t, "follow_up", func(r *Request) {
		r.Channel, r.Vars["text"] = channels.Email, "One\r\ntwo\r\n\r\n\r\nthree\tfour  \rfive\n"
	})
	if want := "One\ntwo\n\nthree four\nfive\n\nIf you have a question"; !strings.HasPrefix(text.Text, want) {
		t.Errorf("got %q", text.Text)
	}
	if strings.Count(text.HTML, "<br>") != 2 {
		t.Errorf("lines are lost: %s", text.HTML)
	}
}

// TestSameTextAgain: an outcome that is looked up compares what was sent with what
// is rendered again.
func TestSameTextAgain(t *testing.T) {
	a, b := Builtin(), Builtin()
	for _, name := range a.Names() {
		x, _ := a.Get(name)
		y, _ := b.Get(name)
		if x.Digest != y.Digest {
			t.Errorf("%s: two digests", name)
		}
		for _, w := range x.Wordings() {
			r := Request{Channel: w.Channel, Form: w.Form, Discreet: w.Discreet, Locale: w.Language, Vars: x.Sample("en", true), Identity: SampleIdentity(), Links: SampleLinks()}
			vars := maps.Clone(r.Vars)
			one, err := x.Render(r)
			if err != nil {
				t.Fatal(err)
			}
			for range 5 {
				if two, err := y.Render(r); err != nil || two != one {
					t.Errorf("%s: %v\n%+v\n%+v", name, err, one, two)
				}
			}
			if !maps.Equal(vars, r.Vars) {
				t.Errorf("%s: rendering changed the variables", name)
			}
		}
	}
}

// FuzzRender: whatever the variables hold, nothing panics, a subject is one line, and
// no value becomes markup.
func FuzzRender(f *testing.F) {
	f.Add("Hours", "We open at eight.", "https://practice.example", "2030-01-07T10:30:00-07:00", true)
	f.Add("<b>", "{{.}}\n\n[{x}]", "https://a.example/\"><script>", "2030-01-07T10:30:00Z", false)
	f.Add("a\nb", "\u2028", "javascript:x", "2030-01-07T1:30:00Z", false)
	set := Builtin()
	f.Fuzz(func(t *testing.T, title, text, url, at string, spanish bool) {
		locale := map[bool]string{true: "es", false: "en"}[spanish]
		byName := map[string]string{"title": title, "text": text, "url": url, "appointment_time": at, "location": title, "change": text, "clinician": title, "due_on": at}
		for _, name := range set.Names() {
			tmpl, _ := set.Get(name)
			vars := map[string]string{}
			for _, v := range tmpl.Variables {
				vars[v.Name] = byName[v.Name]
			}
			tmpl.Expires(vars)
			for _, w := range tmpl.Wordings() {
				if w.Language != locale {
					continue
				}
				out, err := tmpl.Render(Request{
					Channel: w.Channel, Form: w.Form, Discreet: w.Discreet, Locale: locale, Vars: vars, Identity: SampleIdentity(), Links: SampleLinks(),
				})
				if err != nil {
					if out != (Text{}) {
						t.Fatalf("%s: a refused text is handed out", name)
					}
					continue
				}
				if strings.ContainsAny(out.Subject, "\r\n\u2028\u2029\u0085") {
					t.Fatalf("%s: the subject has lines: %q", name, out.Subject)
				}
				// The only markup is the layout's: each < opens or closes one of its elements.
				rest := out.HTML
				for _, own := range []string{"!DOCTYPE html", "html", "head", "meta ", "title", "body", "div", "main", "h1", "p", "br", "a ", "a>", "footer"} {
					rest = strings.NewReplacer("<"+own, "", "</"+own, "").Replace(rest)
				}
				if strings.Contains(rest, "<") || strings.Contains(rest, "href=\"javascript") {
					t.Fatalf("%s: a value became markup: %s", name, out.HTML)
				}
				if w.Channel == channels.SMS && (out.Segments.Count == 0 || out.HTML != "" || out.Subject != "") {
					t.Fatalf("%s: not an SMS: %+v", name, out)
				}
			}
		}
	})
}

// FuzzCount: any bytes have a size.
func FuzzCount(f *testing.F) {
	f.Add("á€😀\xff")
	f.Fuzz(func(t *testing.T, text string) {
		s := Count(text)
		if (s.Count == 0) != (text == "") || s.Encoding != GSM7 && s.Encoding != UCS2 {
			t.Fatalf("%q: %v", text, s)
		}
	})
}

func BenchmarkRender(b *testing.B) {
	tmpl := builtin(b, "appointment_reminder")
	for _, c := range []channels.Channel{channels.SMS, channels.Email} {
		r := Request{Channel: c, Vars: tmpl.Sample("en", true), Identity: SampleIdentity(), Links: SampleLinks()}
		b.Run(c.String(), func(b *testing.B) {
			for b.Loop() {
				if _, err := tmpl.Render(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
