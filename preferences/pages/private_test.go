package pages_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences/policy"
)

func (b *bench) tasksOf(kind gateway.TaskKind, patient int64) []gateway.Task {
	b.t.Helper()
	list, err := b.store.Tasks(context.Background(), gateway.TaskFilter{Kind: kind, Patient: patient, Limit: 100})
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func private(discreet bool, elsewhere string, ways ...string) url.Values {
	form := url.Values{"do": {"private"}, "way": ways, "elsewhere": {elsewhere}}
	if discreet {
		form.Set("discreet", "on")
	}
	return form
}

// A request is in force at once as the stricter of old and new: 45 CFR 164.522(b).
func TestConfidentialRequest(t *testing.T) {
	type ways = []string // sms, voice of the phone, email of the mailbox
	for name, c := range map[string]struct {
		before   *intake.Confidential
		form     url.Values
		status   int
		only     ways
		discreet bool
		reasons  []string
	}{
		"by text":             {nil, private(false, "", "sms"), 200, ways{"sms"}, false, []string{"Asked for: sms."}},
		"by call and email":   {nil, private(false, "", "email", "voice"), 200, ways{"voice", "email"}, false, []string{"Asked for: email.", "Asked for: voice."}},
		"only here":           {nil, private(true, "", "here"), 200, ways{"email"}, true, []string{"only at the address that their link was sent to", "never name the practice"}},
		"letters":             {nil, private(false, "12 Elm Street", "letters"), 200, ways{}, false, []string{"Asked for letters only.", "not used until you confirm it"}},
		"both allow texts":    {only(false, channels.SMS, channels.Voice), private(false, "", "sms", "email"), 200, ways{"sms"}, false, nil},
		"nothing in common":   {only(false, channels.Voice), private(false, "", "email"), 200, ways{}, false, nil},
		"discreet stays":      {only(true, channels.SMS), private(false, "", "sms"), 200, ways{"sms"}, true, nil},
		"discreet is added":   {only(false, channels.SMS), private(true, "", "sms"), 200, ways{"sms"}, true, nil},
		"letters stay":        {only(false), private(false, "", "sms", "voice", "email"), 200, ways{}, false, nil},
		"no way":              {nil, private(true, "12 Elm Street"), 422, nil, false, nil},
		"a way there is not":  {nil, private(false, "", "fax"), 422, nil, false, nil},
		"letters and email":   {nil, private(false, "", "letters", "email"), 422, nil, false, nil},
		"too long an address": {nil, private(false, strings.Repeat("é", 301), "letters"), 422, nil, false, nil},
		"as long as it may":   {nil, private(false, strings.Repeat("é", 300), "letters"), 200, ways{}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			patient := b.enrol("en")
			if c.before != nil {
				if err := b.intake.SetConfidential(t.Context(), "staff", patient, *c.before); err != nil {
					t.Fatal(err)
				}
			}
			w := b.press(b.linkPath(patient), c.form)
			got := b.snapshot(patient).Confidential
			tasks := b.tasksOf(gateway.TaskConfidential, patient)
			if w.Code != c.status {
				t.Fatalf("answered %d: %s", w.Code, words(w.Body.String()))
			}
			if c.status != http.StatusOK {
				if got != nil || len(tasks) != 0 || !strings.Contains(w.Body.String(), `role="alert"`) {
					t.Errorf("a form with a mistake changed something: %+v", got)
				}
				return
			}
			if got == nil || got.Discreet != c.discreet || len(got.Only) != len(c.only) {
				t.Fatalf("in force is %+v", got)
			}
			for _, pair := range got.Only {
				if !slices.Contains(c.only, pair.Channel.String()) {
					t.Errorf("%s is allowed", pair.Channel)
				}
			}
			if len(tasks) != 1 || tasks[0].Detail.Quote != c.form.Get("elsewhere") || !tasks[0].DoneAt.IsZero() {
				t.Fatalf("tasks: %+v", tasks)
			}
			all := strings.Join(tasks[0].Detail.Reasons, " ")
			for _, want := range append(c.reasons, "without a code") {
				if !strings.Contains(all, want) {
					t.Errorf("the task does not say %q: %s", want, all)
				}
			}
			if word := shows(w.Body.String(), append(personal, "Elm")...); word != "" {
				t.Errorf("the page shows %q", word)
			}
		})
	}
}

// only is an instruction for the phone and the mailbox on record.
func only(discreet bool, list ...channels.Channel) *intake.Confidential {
	c := &intake.Confidential{Discreet: discreet}
	for _, ch := range list {
		address := "+13035550143"
		if ch == channels.Email {
			address = "anatolia@mailbox.example"
		}
		c.Only = append(c.Only, intake.Way{Channel: ch, Address: address})
	}
	return c
}

// Whoever has the link cannot fill the worklist; what they tighten is in force.
func TestManyConfidentialRequests(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("en")
	path := b.linkPath(patient)
	for range 3 { // the same again is one
		b.press(path, private(false, "", "sms", "voice", "email"))
	}
	if got := len(b.tasksOf(gateway.TaskConfidential, patient)); got != 1 {
		t.Errorf("three requests that say the same made %d tasks", got)
	}
	events := len(b.ledger(patient))
	for i := range 10 {
		b.press(path, private(false, fmt.Sprint(i, " Elm Street"), "sms", "voice", "email"))
	}
	if got := len(b.tasksOf(gateway.TaskConfidential, patient)); got != 5 {
		t.Errorf("eleven requests made %d tasks", got)
	}
	if got := len(b.ledger(patient)) - events; got != 4 {
		t.Errorf("requests that change nothing and reach nobody made %d events", got)
	}
	w := b.press(path, private(true, "", "email"))
	if c := b.snapshot(patient).Confidential; !c.Discreet || len(c.Only) != 1 || !strings.Contains(w.Body.String(), "please call us about it") {
		t.Errorf("in force is %+v: %s", c, words(w.Body.String()))
	}
}

func TestAskForData(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("en")
	path := b.linkPath(patient)
	for range 3 {
		if w := b.press(path, url.Values{"do": {"data"}}); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "We have your request for your data") {
			t.Errorf("answered %d", w.Code)
		}
	}
	tasks := b.tasksOf(gateway.TaskData, patient)
	if len(tasks) != 1 || !strings.Contains(tasks[0].Detail.Title, "45 CFR 164.524") || !strings.Contains(tasks[0].Detail.Reasons[0], "without a code") {
		t.Fatalf("tasks: %+v", tasks)
	}
	if _, err := b.store.Commit(t.Context(), gateway.Change{At: b.clock.Now(), Actor: "staff", Done: []gateway.TaskDone{{ID: tasks[0].ID, Outcome: "sent"}}}); err != nil {
		t.Fatal(err)
	}
	b.with(b.proof(path), http.MethodPost, path, url.Values{"do": {"data"}})
	if tasks = b.tasksOf(gateway.TaskData, patient); len(tasks) != 1 || !strings.Contains(tasks[0].Detail.Reasons[0], "with a code") {
		t.Errorf("tasks: %+v", tasks)
	}
}

// What was sent is told with the rule in plain words, after a code, and never what it
// said or where it went. That it was shown is kept.
func TestWhatWasSent(t *testing.T) {
	for lang, says := range map[string][]string{
		"en": {"A message about your care", "By Email Result Sent Why It is about your appointments, your care, a bill or a legal duty, and this is a way you allow.", "Survey", "Result Not sent Why You turned this off.", "Code for this page", "You asked for it, or had just written to us."},
		"es": {"Un mensaje sobre su atención", "Por Correo electrónico Resultado Enviado Por qué Trata de sus citas", "Encuesta", "Resultado No enviado Por qué Usted desactivó esto.", "Clave para esta página", "Usted lo pidió, o acababa de escribirnos."},
	} {
		b := newBench(t)
		patient := b.enrol(lang)
		b.secure("Take one tablet.")
		b.said(patient, intake.Choice{Topic: "survey"})
		if _, _, err := b.sender.Accept(t.Context(), "ehr", []dispatch.Request{{Patient: "REF-7731", Category: "survey", Template: "survey", Variables: map[string]string{"url": "https://practice.example/s"}}}, nil, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := b.sender.Work(t.Context(), gateway.SingleQueue); err != nil {
			t.Fatal(err)
		}
		later := dispatch.Request{Patient: "REF-7731", Category: "follow_up", Template: "follow_up", Variables: map[string]string{"text": "x"}, SendAt: b.clock.Now().Add(24 * time.Hour)}
		if _, _, err := b.sender.Accept(t.Context(), "ehr", []dispatch.Request{later}, nil, nil); err != nil {
			t.Fatal(err)
		}
		path := b.linkPath(patient)
		if w := b.get(path + "?view=sent"); shows(w.Body.String(), says...) != "" {
			t.Errorf("%s: shown without a code: %s", lang, words(w.Body.String()))
		}
		cookie := b.proof(path)
		w := b.with(cookie, http.MethodGet, path+"?view=sent", nil)
		text := words(w.Body.String())
		for _, want := range says {
			if w.Code != http.StatusOK || !strings.Contains(text, want) {
				t.Errorf("%s: %d does not say %q in %s", lang, w.Code, want, text)
			}
		}
		if word := shows(w.Body.String(), append(personal, "tablet", "practice.example/s")...); word != "" {
			t.Errorf("%s: shows %q", lang, word)
		}
		if at := strings.Index(text, map[string]string{"en": "Waits for its time", "es": "Espera su hora"}[lang]); at < 0 || at > strings.Index(text, says[4]) {
			t.Errorf("%s: what comes latest does not stand first: %s", lang, text)
		}
		rows, err := b.store.Audits(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		var verbs []string
		for _, r := range rows {
			if r.Object == fmt.Sprint("patient:", patient) && r.Actor == "patient" {
				verbs = append(verbs, r.Verb)
			}
		}
		if want := []string{"page.code", "page.proved", "page.history"}; !slices.Equal(verbs, want) {
			t.Errorf("%s: the audit log has %v", lang, verbs)
		}
	}
}

// A link of another kind, or for somebody who is gone, opens nothing and does nothing.
func TestLinksThatOpenNothing(t *testing.T) {
	forms := []url.Values{
		{"stop": {"marketing"}}, ticks("topics", []string{"survey/email"}, nil), ticks("care", []string{"sms"}, nil),
		private(false, "", "sms"), {"do": {"data"}}, {"do": {"code"}}, {"do": {"prove"}, "code": {"123456"}}, {"do": {"leave"}},
	}
	for name, c := range map[string]struct {
		path   func(b *bench, patient int64) string
		status int
		says   string
	}{
		"an unsubscribe link": {func(b *bench, p int64) string {
			return "/p/" + strings.TrimPrefix(b.pathOf(b.links.Unsubscribe(p, b.mailboxOf(p), "marketing")), "/u/")
		}, 404, "This link does not work Part of it may be missing."},
		"a message's link": {func(b *bench, p int64) string { return "/p/" + strings.TrimPrefix(b.pathOf(b.links.Secure(p)), "/m/") }, 404, "Open it from the message again"},
		"a proof":          {func(b *bench, p int64) string { return "/p/" + b.links.Proof(p, b.mailboxOf(p), b.clock.Now()) }, 404, "This link does not work"},
		"nobody's":         {func(b *bench, p int64) string { return b.pathOf(b.links.Preferences(p+1, 7)) }, 404, "This link does not work"},
		"an erased patient's": {func(b *bench, p int64) string {
			path := b.linkPath(p)
			if err := b.intake.Erase(context.Background(), "staff", p, "request"); err != nil {
				b.t.Fatal(err)
			}
			return path
		}, 200, "We send no more messages for this link."},
		"a deceased patient's": {func(b *bench, p int64) string {
			path, record := b.linkPath(p), b.record(p)
			record.Deceased = true
			if _, err := b.intake.Put(context.Background(), "ehr", "REF-7731", intake.Contact{Record: record}); err != nil {
				b.t.Fatal(err)
			}
			return path
		}, 200, "We send no more messages for this link."},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			path := c.path(b, b.enrol("en"))
			before := b.dump()
			for _, view := range []string{"", "?view=sent", "?view=code", "?view=private", "?view=x"} {
				if w := b.get(path + view); w.Code != c.status || !strings.Contains(words(w.Body.String()), c.says) || shows(w.Body.String(), personal...) != "" {
					t.Errorf("%s answered %d: %s", view, w.Code, words(w.Body.String()))
				}
			}
			for _, form := range forms {
				if w := b.press(path, form); w.Code != c.status || w.Header().Get("Set-Cookie") != "" {
					t.Errorf("%v answered %d", form, w.Code)
				}
			}
			if b.dump() != before {
				t.Error("something was changed")
			}
		})
	}
}

// A minor's page still tightens, and sends no code.
func TestAMinorsPage(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("en")
	path, record := b.linkPath(patient), b.record(patient)
	record.BirthDate = "2020-01-01"
	if _, err := b.intake.Put(context.Background(), "ehr", "REF-7731", intake.Contact{Record: record, Addresses: []intake.ContactAddress{{Kind: channels.Mailbox, Value: "anatolia@mailbox.example", Rank: 1}}}); err != nil {
		t.Fatal(err)
	}
	if w := b.press(path, url.Values{"do": {"code"}}); w.Code != http.StatusConflict {
		t.Errorf("asking for a code answered %d", w.Code)
	}
	if w := b.press(path, url.Values{"stop": {"non_essential"}}); w.Code != http.StatusOK || len(b.snapshot(patient).Choices) != 1 {
		t.Errorf("a stop answered %d", w.Code)
	}
	_, code := policy.CodeWay(b.snapshot(patient), b.mailboxOf(patient), b.clock.Now())
	if code != policy.PatientMinor {
		t.Errorf("refused for %q", code)
	}
}

// A link lies in mailboxes that others read: only with a code does the page tell that an
// instruction is in force.
func TestALinkAloneTellsNoInstruction(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("en")
	path := b.linkPath(patient)
	b.confidential(patient, channels.Email, "anatolia@mailbox.example")
	const told, before = "You asked us to reach you only in certain ways", "You asked for this before"
	for _, page := range []string{b.get(path).Body.String(), b.get(path + "?view=private").Body.String(), b.press(path, url.Values{"do": {"private"}}).Body.String()} {
		if strings.Contains(page, told) || strings.Contains(page, before) || strings.Contains(page, "asked us not to") {
			t.Errorf("told without a proof: %s", words(page))
		}
	}
	if w := b.with(b.proof(path), http.MethodGet, path, nil); !strings.Contains(w.Body.String(), told) {
		t.Errorf("not told with one: %s", words(w.Body.String()))
	}
}
