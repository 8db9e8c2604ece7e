package templates

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"harmonize.care/heed/channels"
)

// rewritten gives a built-in template with some of its texts replaced.
func rewritten(t *testing.T, name string, form Form, file string) *Template {
	t.Helper()
	changed := *builtin(t, name)
	fresh := map[which]words{}
	if err := parseWords(file, form, fresh); err != nil {
		t.Fatal(err)
	}
	changed.words = maps.Clone(changed.words)
	maps.Copy(changed.words, fresh)
	return &changed
}

func ruleOf(err error) Rule {
	if refused := (*Refused)(nil); errors.As(err, &refused) {
		return refused.Rule
	}
	return ""
}

// rulesOf lists every rule that a template breaks.
func rulesOf(err error) []Rule {
	var list []Rule
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			list = append(list, ruleOf(e))
		}
	}
	return list
}

const stop = "\nReply STOP to stop."

// TestLintRefuses: every rule refuses at least one bad text, as itself.
func TestLintRefuses(t *testing.T) {
	for _, c := range []struct {
		name, template string
		form           Form
		file           string
		want           Rule
	}{
		{"mental health in an SMS", "follow_up", Full, "== en sms normal\n{sender}: your psychiatry visit. {text}" + stop, RuleMentalHealth},
		{"in Spanish", "follow_up", Full, "== es sms normal\n{sender}: salud mental. {text}\nResponda PARAR para no recibir textos.", RuleMentalHealth},
		{"in a subject", "treatment_update", Full, "== en email normal\nSubject: Therapy with {sender}\n\n{text}", RuleMentalHealth},
		{"in a discreet mail", "treatment_update", Full, "== en email discreet\nSubject: Hello\n\n{sender}, your therapist. Call {phone}.", RuleMentalHealth},
		{"invites CANCEL", "appointment_reminder", Full, "== en sms normal\n{sender}: {appointment_time}. Reply C to confirm, or CANCEL." + stop, RuleReply},
		{"invites YES in a mail", "appointment_reminder", Full, "== en email normal\nSubject: Hello from {sender}\n\nRespond with the word yes.", RuleReply},
		{"invites ALTO", "appointment_reminder", Full, "== es sms normal\n{sender}: {appointment_time}. Responda PARAR o ALTO para no recibir textos.", RuleReply},
		{"invites BAJA", "appointment_reminder", Full, "== es sms normal\n{sender}: {appointment_time}. Responda PARAR.\nEnvíe «baja» si no quiere textos.", RuleReply},
		{"ties to care where nothing may", "marketing", Full, "== en sms normal\n{sender}: {title}. Ask at your next visit. {text}" + stop, RuleContent},
		{"clinical where little may", "billing_notice", Full, "== en sms normal\n{sender}: a bill for your medication." + stop, RuleContent},
		{"a subject with a variable", "billing_notice", Full, "== en email normal\nSubject: {sender}[, due {due_on}]\n\nA bill.", RuleContent},
		{"no name", "follow_up", Full, "== en sms normal\n{text}" + stop, RuleIdentity},
		{"the name in a discreet text", "follow_up", Full, "== en sms discreet\n{sender} of Example  PRACTICE: call {phone}." + stop, RuleIdentity},
		{"an answer by the practice's name", "help", Full, "== en sms normal\n{sender}: call {phone}. Reply STOP to stop.", RuleIdentity},
		{"no way to stop", "follow_up", Full, "== en sms normal\n{sender}: {text}", RuleOptOut},
		{"stop, but no reply", "follow_up", Full, "== en sms normal\n{sender}: {text} The bus STOP moved.", RuleOptOut},
		{"too long for an SMS", "follow_up", Full, "== en sms normal\n{sender}: {text} " + strings.Repeat("long ", 320) + stop, RuleLength},
		{"no subject", "follow_up", Full, "== en email normal\nSubject:\n\n{text}", RuleLength},
		{"a long subject", "follow_up", Full, "== en email normal\nSubject: {sender} " + strings.Repeat("long ", 40) + "\n\n{text}", RuleLength},
		{"an unknown name", "follow_up", Full, "== en sms normal\n{sender}: {txt}" + stop, RuleVariables},
		{"a name that may be absent", "billing_notice", Full, "== en sms normal\n{sender}: due {due_on}." + stop, RuleVariables},
		{"staff's words in a discreet text", "follow_up", Full, "== en sms discreet\n{sender}: {text}" + stop, RuleVariables},
		{"the place in a discreet text", "appointment_reminder", Full, "== en sms discreet\n{sender}: {location}." + stop, RuleVariables},
		{"a time beside a secure link", "appointment_reminder", SecureLink, "== en sms normal\n{sender}: {appointment_time} {secure_link}" + stop, RuleVariables},
		{"a link to what is not there", "follow_up", Full, "== en email normal\nSubject: {sender}\nLink: {url} Read\n\n{text}", RuleVariables},
		{"a form that is half there", "symptom_check_in", CallBack, "== en voice normal\n{sender}: call {phone}.", RuleForms},
		{"spoken words without any for a machine", "symptom_check_in", Full, "== en voice normal and discreet\nHello.\n== es voice normal and discreet\nHola.", RuleForms},
		{"mental health in a call", "follow_up", Full, "== en voice normal\n{text} Ask your therapist.", RuleMentalHealth},
		{"mental health on an answering machine", "marketing", Voicemail, "== en voice normal\nThis is {sender}, counseling. Call {phone} or {opt_out_phone}.", RuleMentalHealth},
		{"a call that goes on and on", "follow_up", Full, "== en voice normal\n{text} " + strings.Repeat("long ", 500), RuleLength},
		{"the message on an answering machine", "follow_up", Voicemail, "== en voice normal\nThis is {sender}. {text} Call {phone} or {opt_out_phone}.", RuleVariables},
		{"nobody's voice on an answering machine", "follow_up", Voicemail, "== en voice normal\nCall {phone} or {opt_out_phone}.", RuleIdentity},
		{"a name that comes late", "follow_up", Voicemail, "== en voice normal\nThis is a call about the matter, says {sender}. Call {phone} or {opt_out_phone}.", RuleIdentity},
		{"a machine without the opt-out number", "follow_up", Voicemail, "== en voice normal\nThis is {sender}. Call {phone}.", RuleOptOut},
		{"staff's words in a discreet call", "follow_up", Full, "== en voice discreet\n{text}", RuleVariables},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := rewritten(t, c.template, c.form, c.file)
			err := bad.Lint(Category{bad.Category, bad.Essential, bad.Content})
			if got := rulesOf(err); !slices.Contains(got, c.want) {
				t.Errorf("refused by %v (%v), want %s", got, err, c.want)
			}
		})
	}
}

// TestLintHoldsTemplateAgainstCategory: what no text shows.
func TestLintHoldsTemplateAgainstCategory(t *testing.T) {
	reminder := builtin(t, "appointment_reminder")
	own := Category{"appointment_reminder", true, ContentMinimal}
	newsletter := *builtin(t, "newsletter")
	newsletter.Variables = append(slices.Clone(newsletter.Variables), Variable{Name: "at", Kind: KindTime, Max: 40})
	noLink := *reminder
	noLink.words = maps.Clone(reminder.words)
	maps.DeleteFunc(noLink.words, func(w which, _ words) bool { return w.form == SecureLink })
	noSpanish := *reminder
	noSpanish.words = maps.Clone(reminder.words)
	maps.DeleteFunc(noSpanish.words, func(w which, _ words) bool { return w.language == spanish })
	for _, c := range []struct {
		name     string
		template *Template
		category Category
		want     []Rule
	}{
		{"as it should be", reminder, own, nil},
		{"a category that may carry more", reminder, Category{own.Name, true, ContentClinical}, nil},
		{"a category that may carry less", reminder, Category{own.Name, true, ContentNone}, []Rule{RuleContent}},
		{"a category of unknown content", reminder, Category{own.Name, true, ""}, []Rule{RuleContent}},
		{"another class", reminder, Category{own.Name, false, ContentMinimal}, []Rule{RuleUnsubscribe}},
		{"another category", reminder, Category{"follow_up", true, ContentMinimal}, []Rule{RuleContent}},
		{"a time in a newsletter", &newsletter, Category{"newsletter", false, ContentNone}, []Rule{RuleContent}},
		{"nothing behind a link", &noLink, own, []Rule{RuleForms}},
		{"one language", &noSpanish, own, []Rule{RuleForms}},
		{"no text", &Template{Name: "x", Content: ContentNone}, Category{}, []Rule{RuleForms}},
	} {
		if got := rulesOf(c.template.Lint(c.category)); !slices.Equal(got, c.want) {
			t.Errorf("%s: refused by %v, want %v", c.name, got, c.want)
		}
	}
}

// TestRenderRefuses: what settings, links and variables bring is held to the same
// rules, message by message.
func TestRenderRefuses(t *testing.T) {
	for _, c := range []struct {
		name, template string
		change         func(*Request)
		want           Rule
	}{
		{"a practice whose name says it", "follow_up", func(r *Request) { r.Channel, r.Identity.Name = channels.SMS, "Denver Psychiatry" }, RuleMentalHealth},
		{"a host name that says it", "follow_up", func(r *Request) {
			r.Channel, r.Form, r.Links.Secure = channels.SMS, SecureLink, "https://psychiatry.example/m/AAAA"
		}, RuleMentalHealth},
		{"an update that says it, by SMS", "treatment_update", func(r *Request) { r.Channel, r.Vars["text"] = channels.SMS, "About your anxiety." }, RuleMentalHealth},
		{"an update that says it, by email", "treatment_update", func(r *Request) { r.Vars["text"] = "About your anxiety." }, ""},
		{"a newsletter that says it, discreet", "newsletter", func(r *Request) { r.Discreet, r.Vars["text"] = true, "Mental health month." }, RuleMentalHealth},
		{"the name in a discreet text", "newsletter", func(r *Request) { r.Discreet, r.Vars["text"] = true, "EXAMPLE Practicé is open." }, RuleIdentity},
		{"the name in the address of a discreet text", "newsletter", func(r *Request) { r.Discreet, r.Identity.PostalAddress = true, "Example Practice, 1 Main St" }, RuleIdentity},
		{"the name in the address, not discreet", "newsletter", func(r *Request) { r.Identity.PostalAddress = "Example Practice, 1 Main St" }, ""},
		{"no name", "follow_up", func(r *Request) { r.Identity.Name = "" }, RuleMissing},
		{"no discreet name", "follow_up", func(r *Request) { r.Discreet, r.Identity.DiscreetName = true, " " }, RuleMissing},
		{"no secure link", "follow_up", func(r *Request) { r.Form, r.Links.Secure = SecureLink, "" }, RuleMissing},
		{"no secure link by SMS", "follow_up", func(r *Request) { r.Channel, r.Form, r.Links.Secure = channels.SMS, SecureLink, "" }, RuleMissing},
		{"no number to call", "follow_up", func(r *Request) { r.Discreet, r.Identity.Phone = true, "" }, RuleMissing},
		{"no zone for a time in UTC", "appointment_reminder", func(r *Request) {
			r.Vars["appointment_time"], r.Identity.TimeZone = "2030-01-07T17:30:00Z", "Nowhere/Land"
		}, RuleMissing},
		{"no way out", "newsletter", func(r *Request) { r.Links.Unsubscribe = "" }, RuleUnsubscribe},
		{"no way out of what is essential", "follow_up", func(r *Request) { r.Links.Unsubscribe = "" }, ""},
		{"no postal address", "newsletter", func(r *Request) { r.Identity.PostalAddress = "" }, RulePostal},
		{"no postal address in an essential mail", "follow_up", func(r *Request) { r.Identity.PostalAddress = "" }, ""},
		{"no way to the preferences", "follow_up", func(r *Request) { r.Links.Preferences = "" }, RulePreferences},
		{"none by SMS", "follow_up", func(r *Request) { r.Channel, r.Links = channels.SMS, Links{} }, ""},
		{"a number to stop is the sender's business", "follow_up", func(r *Request) { r.Channel, r.Identity.OptOutPhone = channels.SMS, "" }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tmpl := builtin(t, c.template)
			r := Request{Channel: channels.Email, Vars: tmpl.Sample("en", true), Identity: SampleIdentity(), Links: SampleLinks()}
			c.change(&r)
			text, err := tmpl.Render(r)
			if got := ruleOf(err); got != c.want || c.want == "" && err != nil {
				t.Errorf("refused by %q (%v), want %q", got, err, c.want)
			}
			if err != nil && text != (Text{}) {
				t.Error("a refused text is handed out")
			}
		})
	}
}

// TestLinksAreNotRead: a signed link is chance, and chance spells words.
func TestLinksAreNotRead(t *testing.T) {
	tmpl := builtin(t, "newsletter")
	const token = "-mental-reply-YES-Example-Practice"
	r := Request{
		Channel: channels.Email, Discreet: true, Vars: tmpl.Sample("en", true), Identity: SampleIdentity(),
		Links: Links{Preferences: "https://h.example/p/" + token, Unsubscribe: "https://h.example/u/" + token},
	}
	if _, err := tmpl.Render(r); err != nil {
		t.Error(err)
	}
}

func TestInvitesKeyword(t *testing.T) {
	for text, want := range map[string]bool{
		"Reply C to confirm, R to reschedule.":              false,
		"Reply STOP to stop.":                               false,
		"Reply C to confirm, R to reschedule, CANCEL to no": true,
		"reply “cancel” to stop":                            true,
		"Ｒｅｐｌｙ ＣＡＮＣＥＬ":                                      true,
		"Reply C\u200bANCEL":                                true,
		"Text us to cancel.":                                true,
		"CANCEL to stop":                                    true,
		"Call us to cancel your appointment.":               false,
		"Your class was canceled. Reply with questions.":    false,
		"Send it to our Palo Alto office.":                  false,
		"Send it to Baja California.":                       false,
		"Answer yes or no.":                                 true,
		"We say yes to walks.":                              false,
		"Yes, we are open.":                                 false,
		"Reply soon. Yes, we are open.":                     false,
		"YES if you come":                                   true,
		"Responda SÍ para confirmar":                        true,
		"Responda si tiene preguntas.":                      false,
		"Envíe la palabra ALTO":                             true,
		"Mande baja al 123":                                 true,
		"La presión alta o baja se mide. Responda C.":       false,
		"Conteste CANCELAR":                                 true,
	} {
		if got := invitesKeyword(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

func TestNamesMentalHealth(t *testing.T) {
	for text, want := range map[string]bool{
		"Mental health":        true,
		"MENTAL-HEALTH":        true,
		"Ｍｅｎｔａｌ":               true,
		"men\u200btal":         true,
		"psychiatrist":         true,
		"Psicóloga":            true,
		"su terapia":           true,
		"depresión":            true,
		"PTSD group":           true,
		"counseling":           true,
		"behavioral health":    true,
		"Fundamental changes":  false,
		"environmental health": false,
		"legal counsel":        false,
		"We open at eight.":    false,
		"Tiene una cita":       false,
		"Cedar Practice":       false,
		"call 988 or 911":      false,
		"":                     false,
	} {
		if got := NamesMentalHealth(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

// TestNothingHidesMentalHealth: addresses, letters that look alike, and letters apart.
func TestNothingHidesMentalHealth(t *testing.T) {
	for _, text := range []string{
		"https://www.coloradotherapy.com/s", "https://mymentalhealth.org/s", "https://denverpsychiatry.com/q", "https://x.example/s?c=%74herapy",
		"https://x.example/s?c=%2574herapy", "https://x.example/denver%2Dcounseling", "denvertherapy.com", "coloradotherapy.com/s", "info@coloradotherapy.com",
		"https://colorado-the-rapy.com", "https://denveremdr.com", "https://emdrdenver.com", "https://denvermental.com", "https://centroterapia.example", "https://rehabdenver.example",
		"HTTPS://DENVERTHERAPY.COM", "(see www.denvertherapy.com).",
		"th\u0435rapy", "\u03c1sych", "m\u0435nt\u0430l health", "\u0422H\u0415R\u0410PY", "\u1d1b\u029c\u1d07\u0280\u1d00\u1d18\u028f", "\u0440\u0455\u0443\u0441h",
		"ther.apy", "the-ra-py", "t.h.e.r.a.p.y", "t h e r a p y", "T H E R A P Y room", "room t. h. e. r. a. p. y.", "P.T.S.D.", "p t s d", "O.C.D.", "men-tal health", "psy*chiatry", "psych·iatry", "psych_iatry",
		"EMDR", "your ketamine", "Spravato", "theraputty", // putty for therapy: it says so
	} {
		if !NamesMentalHealth(text) {
			t.Errorf("%q passes", text)
		}
	}
}

// TestAnAddressIsReadBeforeItIsAccepted: a survey's link stands in an SMS.
func TestAnAddressIsReadBeforeItIsAccepted(t *testing.T) {
	survey := builtin(t, "survey")
	for address, good := range map[string]bool{"https://forms.example/s": true, "https://www.coloradotherapy.com/s": false, "https://forms.example/s?c=%74herapy": false} {
		if err := survey.Check(map[string]string{"url": address}); (err == nil) != good {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestInnocentWords: a text that is refused holds a message back, so ordinary words
// of places, names and addresses must pass.
func TestInnocentWords(t *testing.T) {
	for _, text := range []string{
		"Suite 4", "Suite A, B and C", "Aurora", "Grand Rapids", "the-rapids room", "Counsel", "Ms. Counsel", "J. R. R. Tolkien", "U.S. Bank Tower", "A B C D", "1 2 3",
		"St. Mary's Medical Center, 2nd floor", "Bldg. 7/8, Rm. 12-B", "9:30 a.m.", "Dr. M. E. N. Talbot", "for women and men.Talk to us", "women/men/talk", "Come at 5.Park behind it",
		"Environmental health", "environmental-health fair", "https://x.example/environmental-health", "https://fundamental.example", "https://apartmentalbany.example/q", "https://x.example/appointmentalert",
		"https://scriptsdirect.example", "https://receiptsdirect.example", "https://waterapp.example", "https://centerapartments.example", "https://grandtherapids.example",
		"https://systemdrive.example", "https://morehabits.example", "https://epsicom.example", "https://legalcounsel.example", "https://x.example/s?id=50%25off", "https://x.example/%zz",
		"https://forms.example/s/1FAIpQLSd", "frontdesk@cedar.example", "12 Psalm Road", "Calle Tercera 4", "Terraza 3", "Mentone Avenue", "Menta 5", "Cedar Practice, 1200 Larimer St., Denver",
		"Sí, a las 5 p. m.", "Dental clinic", "Departmental office", "5 µg", "Ω", "Привет", "Καλημέρα", "łódź", "C#/D#", "a.b.c", "v2.0.1", "10/12/2026", "+1 (303) 555-0142", "303.555.0142",
	} {
		if NamesMentalHealth(text) {
			t.Errorf("%q is refused", text)
		}
	}
}

func FuzzNamesMentalHealth(f *testing.F) {
	for _, seed := range []string{"ther.apy", "https://x.example/%2574", "t h e", "\xff.%", "а.А"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if NamesMentalHealth(text) && !NamesMentalHealth(text+" therapy") {
			t.Error("more words hide it")
		}
		if !NamesMentalHealth(text + " therapy") {
			t.Error("the words before hide it")
		}
	})
}

func TestExceeds(t *testing.T) {
	for _, c := range []struct {
		content, text string
		want          bool
	}{
		{ContentNone, "Book your appointment today.", false},
		{ContentNone, "Thank you for your recent visit.", true},
		{ContentNone, "Your appointment is on Monday.", true},
		{ContentNone, "Su próxima cita es el lunes.", true},
		{ContentNone, "Haga una cita.", false},
		{ContentNone, "We changed our notice of privacy practices.", false},
		{ContentMinimal, "Your appointment is on Monday.", false},
		{ContentMinimal, "Bring your medication list.", true},
		{ContentMinimal, "Traiga sus medicamentos.", true},
		{ContentMinimal, "Please call about the form.", false},
		{ContentClinical, "Your test results are in.", false},
	} {
		if got := exceeds(c.content, c.text); got != c.want {
			t.Errorf("%s, %q: %t", c.content, c.text, got)
		}
	}
}

func TestIdentityCheck(t *testing.T) {
	if err := SampleIdentity().Check(); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		want   string
		change func(*Identity)
	}{
		{"practice.name: is missing", func(i *Identity) { i.Name = " " }},
		{"practice.discreet_name: is missing", func(i *Identity) { i.DiscreetName = "" }},
		{"practice.phone: is missing", func(i *Identity) { i.Phone = "" }},
		{"practice.postal_address: is missing", func(i *Identity) { i.PostalAddress = "" }},
		{"practice.name: names mental health", func(i *Identity) { i.Name = "Denver Psychiatry" }},
		{"practice.discreet_name: names mental health", func(i *Identity) { i.DiscreetName = "Your therapist" }},
		{"practice.discreet_name: names the practice", func(i *Identity) { i.DiscreetName = "Friends of example practice" }},
		{"practice.postal_address: names the practice", func(i *Identity) { i.PostalAddress = "Example Practice, 1 Main St" }},
		{"practice.crisis_text: names mental health", func(i *Identity) { i.CrisisText = "Suicide line: 988" }},
		{"practice.crisis_text: invites", func(i *Identity) { i.CrisisText = "Reply YES if you are safe." }},
		{"practice.crisis_text: is too long", func(i *Identity) { i.CrisisText = strings.Repeat("988 ", 200) }},
		{"practice.time_zone: is not a time zone", func(i *Identity) { i.TimeZone = "Mountain" }},
		{"practice.time_zone: is not a time zone", func(i *Identity) { i.TimeZone = "Local" }},
	} {
		i := SampleIdentity()
		c.change(&i)
		if err := i.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestCheckLinks(t *testing.T) {
	for url, want := range map[string]string{
		"https://messages.example":            "",
		"http://127.0.0.1:8080":               "",
		"https://www.examplepractice.example": "names the practice",
		"https://example-practice.example":    "names the practice",
		"https://psychiatry.example":          "names mental health",
		"https://messages.example/psychiatry": "",
		"https://denvertherapy.com":           "names mental health",
		"https://denver-the-rapy.com":         "names mental health",
		"://":                                 "is not a URL",
	} {
		err := SampleIdentity().CheckLinks(url)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}
