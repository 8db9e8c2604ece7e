package pages_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/pages"
)

// record is the contact record as it stands.
func (b *bench) record(patient int64) gateway.Record {
	b.t.Helper()
	p, err := b.store.Patient(context.Background(), patient)
	if err != nil {
		b.t.Fatal(err)
	}
	return p.Record
}

// looks lists what was kept of looks at messages.
func (b *bench) looks() []string {
	b.t.Helper()
	rows, err := b.store.Audits(context.Background(), 0, 1000)
	if err != nil {
		b.t.Fatal(err)
	}
	var list []string
	for _, r := range rows {
		if strings.HasPrefix(r.Verb, "message.") && r.Actor == "patient" {
			list = append(list, r.Verb+" "+r.Object)
		}
	}
	return list
}

func TestReadingAMessage(t *testing.T) {
	b := newBench(t)
	b.enrol("en")
	path, id := b.secure("Take one tablet.\n\nSee https://practice.example/help?a=1&b=2. Not javascript:alert(1) <b>bold</b>")
	form := b.get(path)
	if form.Code != http.StatusOK || !strings.Contains(form.Body.String(), "Your date of birth") {
		t.Fatalf("the form answered %d", form.Code)
	}
	if word := shows(form.Body.String(), append(personal, "tablet")...); word != "" {
		t.Errorf("the form shows %q", word)
	}
	for range 7 { // reading again uses no tries up
		w := b.press(path, born("4", "02", "1962"))
		page := w.Body.String()
		if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Set-Cookie") != "" {
			t.Fatalf("the right date answered %d %v", w.Code, w.Header())
		}
		for _, want := range []string{
			"<h1 lang=\"en\">A message from Cedar Practice</h1>", "<p>Take one tablet.</p>",
			`<a href="https://practice.example/help?a=1&amp;b=2" rel="noreferrer">https://practice.example/help?a=1&amp;b=2</a>. Not javascript:alert(1) &lt;b&gt;bold&lt;/b&gt;`,
			`rel="noreferrer">Choose how we reach you</a>`,
		} {
			if !strings.Contains(page, want) {
				t.Errorf("does not hold %q in %s", want, page)
			}
		}
		if !strings.Contains(page, "<title>A message for you – Your provider</title>") {
			t.Error("the title tells more than the form did")
		}
		if word := shows(page, "javascript:\"", "<b>", "Anatolia", "0143", "1962", "REF-"); word != "" {
			t.Errorf("shows %q", word)
		}
	}
	want := fmt.Sprintf("message.opened message:%d", id)
	if got := b.looks(); len(got) != 7 || got[0] != want {
		t.Errorf("audited %v", got)
	}
	m, err := b.store.Message(context.Background(), id)
	if err != nil || m.Events[len(m.Events)-1].Kind != "opened" {
		t.Errorf("heard %v, %v", m.Events, err)
	}
}

func TestSpanishPatientReadsSpanish(t *testing.T) {
	b := newBench(t)
	b.enrol("es-MX")
	path, _ := b.secure("Tome una tableta.")
	if form := words(b.get(path).Body.String()); !strings.Contains(form, "Su fecha de nacimiento") {
		t.Errorf("the form is not Spanish: %s", form)
	}
	w := b.press(path+"?lang=en", born("4", "2", "1962"))
	for _, want := range []string{`<html lang="en">`, `<h1 lang="es">Un mensaje de Cedar Practice</h1>`, "Close this page"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("does not hold %q in %s", want, w.Body)
		}
	}
}

func TestDatesThatAreNoGuess(t *testing.T) {
	b := newBench(t)
	b.enrol("en")
	path, _ := b.secure("Take one tablet.")
	before := b.dump()
	for _, c := range []struct {
		form  url.Values
		field string
	}{
		{url.Values{}, "month"},
		{born("", "2", "1962"), "month"},
		{born("13", "2", "1962"), "month"},
		{born("0", "2", "1962"), "month"},
		{born("4", "", "1962"), "day"},
		{born("4", "32", "1962"), "day"},
		{born("4", "+2", "1962"), "day"},
		{born("4", "2", "80"), "year"},
		{born("4", "2", "0000"), "year"},
		{born("4", "2", "１９８０"), "year"},
		{born("4", "2", strings.Repeat("9", 2000)), "year"},
		{born("2", "30", "1962"), "day"},
	} {
		w := b.press(path, c.form)
		page := w.Body.String()
		if w.Code != http.StatusUnprocessableEntity || !strings.Contains(page, `<a href="#`+c.field+`">`) ||
			!strings.Contains(page, `role="alert"`) || !strings.Contains(page, "<title>Error: ") || strings.Count(page, `aria-invalid="true"`) != 1 {
			t.Errorf("%v answered %d: %s", c.form, w.Code, page)
		}
		if word := shows(page, "value=\"1962", "9999"); word != "" {
			t.Errorf("what was typed is shown again: %q", word)
		}
	}
	if w := b.press(path, url.Values{"x": {strings.Repeat("y", 20000)}}); w.Code != http.StatusBadRequest {
		t.Errorf("a form larger than any form answered %d", w.Code)
	}
	if b.dump() != before {
		t.Error("a try was counted that was none")
	}
}

func TestFiveTries(t *testing.T) {
	b := newBench(t)
	b.enrol("en")
	path, id := b.secure("Take one tablet.")
	for n, left := range []string{"You can try 4 more times.", "You can try 3 more times.", "You can try 2 more times.", "You can try one more time."} {
		w := b.press(path, born("4", "3", "1962"))
		if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), left) {
			t.Errorf("wrong date %d answered %d", n+1, w.Code)
		}
	}
	for range 3 { // the last try is as good as the first, and a right date is not counted
		if w := b.press(path, born("4", "2", "1962")); w.Code != http.StatusOK {
			t.Fatalf("the right date answered %d", w.Code)
		}
	}
	b.press(path, born("4", "3", "1962"))
	b.handler = pages.New(b.options()).Handler() // a restart forgets nothing
	for _, w := range []interface{ Result() *http.Response }{b.press(path, born("4", "2", "1962")), b.get(path)} {
		if got := w.Result(); got.StatusCode != http.StatusForbidden {
			t.Errorf("a locked link answered %d", got.StatusCode)
		}
	}
	page := b.get(path).Body.String()
	if !strings.Contains(page, "This link is locked") || !strings.Contains(page, `href="tel:&#43;13035550100"`) {
		t.Errorf("does not say whom to call: %s", page)
	}
	got := b.looks()
	if want := fmt.Sprintf("message.locked message:%d", id); len(got) != 4 || got[3] != want {
		t.Errorf("audited %v", got)
	}
	other, _ := b.secure("Take two tablets.")
	if w := b.press(other, born("4", "2", "1962")); w.Code != http.StatusOK {
		t.Errorf("another message answered %d", w.Code)
	}
}

// Guesses made side by side get no more looks than one after the other.
func TestParallelGuesses(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { parallelGuesses(t, newBench(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { parallelGuesses(t, newBenchOn(t, publicURL, newDatabase(t))) })
}

func parallelGuesses(t *testing.T, b *bench) {
	b.enrol("en")
	path, _ := b.secure("Take one tablet.")
	var mu sync.Mutex
	var wg sync.WaitGroup
	told := 0 // guesses that were looked at and left more tries
	start := make(chan struct{})
	for range 20 {
		wg.Go(func() {
			<-start
			w := b.press(path, born("4", "3", "1962"))
			mu.Lock()
			defer mu.Unlock()
			switch w.Code {
			case http.StatusUnprocessableEntity:
				told++
			case http.StatusForbidden:
			default:
				t.Errorf("answered %d", w.Code)
			}
		})
	}
	close(start)
	wg.Wait()
	if told != 4 { // the fifth looked-at guess is the one that locks
		t.Errorf("%d guesses were told of tries left", told)
	}
	if n := len(b.looks()); n != 1 {
		t.Errorf("locked %d times", n)
	}
	if taken, err := b.store.TriesTaken(context.Background(), must(b.links.ReadSecure(strings.TrimPrefix(path, "/m/")))(t)); err != nil || taken != 5 {
		t.Errorf("%d tries taken, %v", taken, err)
	}
	if w := b.press(path, born("4", "2", "1962")); w.Code != http.StatusForbidden {
		t.Errorf("the right date after the lock answered %d", w.Code)
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestMessagesThatAreGone(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		do     func(b *bench, patient, message int64)
		status int
	}{
		"in time":     {func(b *bench, _, _ int64) { b.clock.move(30*24*time.Hour - time.Minute) }, 200},
		"a month old": {func(b *bench, _, _ int64) { b.clock.move(30 * 24 * time.Hour) }, 410},
		"erased": {func(b *bench, patient, _ int64) {
			if err := b.intake.Erase(ctx, "staff", patient, "request"); err != nil {
				b.t.Fatal(err)
			}
		}, 410},
		"words dropped": {func(b *bench, _, message int64) { b.exec("UPDATE messages SET sealed = NULL WHERE id = $1", message) }, 410},
		"taken back":    {func(b *bench, _, message int64) { b.exec("UPDATE messages SET status = 9 WHERE id = $1", message) }, 410},
		"the patient died": {func(b *bench, patient, _ int64) {
			record := b.record(patient)
			record.Deceased = true
			if _, err := b.intake.Put(ctx, "ehr", "REF-7731", intake.Contact{Record: record}); err != nil {
				b.t.Fatal(err)
			}
		}, 410},
		"only by text from now on": {func(b *bench, patient, _ int64) { b.confidential(patient, channels.SMS, "+13035550143") }, 410},
		"only by this mailbox":     {func(b *bench, patient, _ int64) { b.confidential(patient, channels.Email, "anatolia@mailbox.example") }, 200},
		"somebody else's mailbox": {func(b *bench, patient, _ int64) {
			a := b.snapshot(patient).Addresses[1]
			if a.Kind != channels.Mailbox {
				b.t.Fatal("not the mailbox")
			}
			if _, err := b.store.Commit(ctx, gateway.Change{At: b.clock.Now(), Patients: []gateway.PatientFact{{Patient: patient, Expect: -1, Events: []preferences.Event{
				{ID: b.ids.New(), Kind: preferences.AddressWrong, Address: a.ID},
			}}}}); err != nil {
				b.t.Fatal(err)
			}
		}, 410},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			patient := b.enrol("en")
			path, id := b.secure("Take one tablet.")
			c.do(b, patient, id)
			look, open := b.get(path), b.press(path, born("4", "2", "1962"))
			if look.Code != c.status || open.Code != c.status {
				t.Errorf("answered %d and %d", look.Code, open.Code)
			}
			if c.status == 410 {
				if word := shows(look.Body.String()+open.Body.String(), append(personal, "tablet")...); word != "" {
					t.Errorf("shows %q", word)
				}
				if !strings.Contains(open.Body.String(), "303-555-0100") {
					t.Error("does not say whom to call")
				}
			}
		})
	}
}

// confidential puts an instruction in force that names one way.
func (b *bench) confidential(patient int64, ch channels.Channel, address string) {
	b.t.Helper()
	if err := b.intake.SetConfidential(context.Background(), "staff", patient, intake.Confidential{Only: []intake.Way{{Channel: ch, Address: address}}, Discreet: true}); err != nil {
		b.t.Fatal(err)
	}
}

// exec changes the database behind the gateway's back.
func (b *bench) exec(query string, args ...any) {
	b.t.Helper()
	writer, _ := b.store.SQL()
	if _, err := writer.Exec(query, args...); err != nil {
		b.t.Fatal(err)
	}
}

func TestDiscreetMessageNamesNobody(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("en")
	b.confidential(patient, channels.Email, "anatolia@mailbox.example")
	path, _ := b.secure("Take one tablet.")
	w := b.press(path, born("4", "2", "1962"))
	if w.Code != http.StatusOK {
		t.Fatalf("answered %d", w.Code)
	}
	if word := shows(w.Body.String(), "Cedar", "Main Street"); word != "" {
		t.Errorf("a discreet message shows %q", word)
	}
}

// A message that was asked for weeks ahead is there when its link arrives.
func TestKeptFromWhenItWent(t *testing.T) {
	b := newBench(t)
	b.enrol("en")
	path, id := b.secure("Take one tablet.")
	b.exec("UPDATE messages SET created_at = created_at - $2 WHERE id = $1", id, (40 * 24 * time.Hour).Microseconds())
	if w := b.get(path); w.Code != http.StatusOK {
		t.Errorf("answered %d", w.Code)
	}
}

func TestNothingPersonalIsLogged(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("en")
	paths := b.paths(patient)
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		for _, answer := range []int{b.get(path).Code, b.press(path, url.Values{"stop": {"marketing"}, "month": {"4"}, "day": {"2"}, "year": {"1962"}}).Code} {
			if answer != http.StatusInternalServerError {
				t.Errorf("a broken database answered %d", answer)
			}
		}
	}
	log := b.log.String()
	if strings.Count(log, "a page failed") != 6 {
		t.Errorf("logged %s", log)
	}
	for _, path := range paths {
		if strings.Contains(log, path[3:]) {
			t.Error("a token is in the log")
		}
	}
	if word := shows(log, append(personal, "tablet", fmt.Sprint(patient))...); word != "" {
		t.Errorf("the log holds %q", word)
	}
}
