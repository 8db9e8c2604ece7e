package pages_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

var sixDigits = regexp.MustCompile(`\b[0-9]{6}\b`)

// mailboxOf is the mailbox that is first on record.
func (b *bench) mailboxOf(patient int64) int64 {
	b.t.Helper()
	for _, a := range b.snapshot(patient).Addresses {
		if a.Kind == channels.Mailbox && a.OnRecord {
			return a.ID
		}
	}
	b.t.Fatal("no mailbox")
	return 0
}

// linkPath is the preference page behind a link that went to the mailbox.
func (b *bench) linkPath(patient int64) string {
	b.t.Helper()
	return b.pathOf(b.links.Preferences(patient, b.mailboxOf(patient)))
}

// code gives the code in the newest mail, which goes out now if it waits.
func (b *bench) code() string {
	b.t.Helper()
	if _, err := b.sender.Work(context.Background(), gateway.AnswerQueue); err != nil {
		b.t.Fatal(err)
	}
	b.sender.Drain()
	if len(b.mail.mail) == 0 {
		b.t.Fatal("no mail came")
	}
	mail := b.mail.mail[len(b.mail.mail)-1]
	code := sixDigits.FindString(mail.Text)
	if code == "" {
		b.t.Fatalf("no code in %q", mail.Text)
	}
	return code
}

// wrongCode is a code that is not this one.
func wrongCode(code string) string {
	if code == "111111" {
		return "222222"
	}
	return "111111"
}

// isOn says whether a message of a category would go by a channel now.
func (b *bench) isOn(patient int64, category string, ch channels.Channel) bool {
	b.t.Helper()
	outcome, _, _ := b.sender.Policy.Screen(b.snapshot(patient), policy.Question{Category: category, Channels: []channels.Channel{ch}, Now: b.clock.Now()})
	return outcome == policy.Send || outcome == policy.Defer
}

// proof takes a code for a page and gives the cookie.
func (b *bench) proof(path string) *http.Cookie {
	b.t.Helper()
	if w := b.press(path, url.Values{"do": {"code"}}); w.Code != http.StatusOK {
		b.t.Fatalf("asking for a code answered %d", w.Code)
	}
	w := b.press(path, url.Values{"do": {"prove"}, "code": {b.code()}})
	for _, c := range w.Result().Cookies() {
		if c.Name == "heed_page" {
			return c
		}
	}
	b.t.Fatalf("the right code gave no proof: %d", w.Code)
	return nil
}

// with sends a request that carries a cookie.
func (b *bench) with(c *http.Cookie, method, path string, form url.Values) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.do(method, path, strings.NewReader(form.Encode()),
		"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin", "Cookie", c.Name+"="+c.Value)
}

func TestACodeOpensThePage(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("en")
	path := b.linkPath(patient)
	if w := b.press(path, url.Values{"do": {"code"}}); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "We sent a code by email") {
		t.Fatalf("asking for a code answered %d: %s", w.Code, w.Body)
	}
	code := b.code()
	mail := b.mail.mail[len(b.mail.mail)-1]
	if mail.To != "anatolia@mailbox.example" || mail.Program != channels.Care {
		t.Errorf("the code went to %+v", mail)
	}
	if word := shows(mail.Subject+mail.Text+mail.HTML, "Anatolia", "Cedar", "http", "Main Street"); word != "" {
		t.Errorf("the mail shows %q", word)
	}
	if w := b.press(path, url.Values{"do": {"prove"}, "code": {wrongCode(code)}}); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "You can try 4 more times.") {
		t.Errorf("a wrong code answered %d: %s", w.Code, words(w.Body.String()))
	}
	w := b.press(path, url.Values{"do": {"prove"}, "code": {" " + code[:3] + " " + code[3:]}})
	if w.Code != http.StatusOK {
		t.Fatalf("the right code answered %d: %s", w.Code, words(w.Body.String()))
	}
	cookie := w.Header().Get("Set-Cookie")
	for _, want := range []string{"heed_page=", "; Path=" + path, "; Max-Age=1800", "; HttpOnly", "; Secure", "; SameSite=Strict"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie lacks %q: %s", want, cookie)
		}
	}
}

func TestCodesThatDoNotOpen(t *testing.T) {
	prove := func(code string) url.Values { return url.Values{"do": {"prove"}, "code": {code}} }
	ask := url.Values{"do": {"code"}}
	for name, c := range map[string]struct {
		do     func(b *bench, path string, patient int64, code string) *httptest.ResponseRecorder
		status int
		says   string
	}{
		"none at all": {func(b *bench, path string, _ int64, _ string) *httptest.ResponseRecorder {
			return b.press(path, prove(""))
		}, 422, "Enter the 6 digits"},
		"letters": {func(b *bench, path string, _ int64, _ string) *httptest.ResponseRecorder {
			return b.press(path, prove("12345x"))
		}, 422, "Enter the 6 digits"},
		"too long": {func(b *bench, path string, _ int64, code string) *httptest.ResponseRecorder {
			return b.press(path, prove(code+"0"))
		}, 422, "Enter the 6 digits"},
		"a second time": {func(b *bench, path string, _ int64, code string) *httptest.ResponseRecorder {
			b.press(path, prove(code))
			return b.press(path, prove(code))
		}, 422, "no code that still works"},
		"after ten minutes": {func(b *bench, path string, _ int64, code string) *httptest.ResponseRecorder {
			b.clock.move(10 * time.Minute)
			return b.press(path, prove(code))
		}, 422, "no code that still works"},
		"after five wrong ones": {func(b *bench, path string, _ int64, code string) *httptest.ResponseRecorder {
			for range 5 {
				b.press(path, prove(wrongCode(code)))
			}
			return b.press(path, prove(code))
		}, 422, "no code that still works"},
		"after a newer one": {func(b *bench, path string, _ int64, code string) *httptest.ResponseRecorder {
			for b.press(path, ask); b.code() == code; b.press(path, ask) { // one in a million
			}
			return b.press(path, prove(code))
		}, 422, "not the code that we sent"},
		"by a link that went elsewhere": {func(b *bench, _ string, patient int64, code string) *httptest.ResponseRecorder {
			return b.press(b.pathOf(b.links.Preferences(patient, b.snapshot(patient).Addresses[0].ID)), prove(code))
		}, 422, ""},
		"by an old link": {func(b *bench, _ string, patient int64, code string) *httptest.ResponseRecorder {
			return b.press(b.preferencesPath(patient), prove(code))
		}, 422, "does not tell which address"},
		"once the address is closed": {func(b *bench, path string, patient int64, code string) *httptest.ResponseRecorder {
			b.confidential(patient, channels.SMS, "+13035550143")
			return b.press(path, prove(code))
		}, 409, "cannot send a code to the place"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			patient := b.enrol("en")
			path := b.linkPath(patient)
			b.press(path, ask)
			w := c.do(b, path, patient, b.code())
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("answered %d %q: %s", w.Code, w.Header().Get("Set-Cookie"), words(w.Body.String()))
			}
		})
	}
}

// Three codes an hour and ten a day: then nothing more goes out, whoever asks.
func TestCodesAreFew(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("en")
	path := b.linkPath(patient)
	sent := 0
	for hour := range 30 {
		for range 5 {
			w := b.press(path, url.Values{"do": {"code"}})
			switch w.Code {
			case http.StatusOK:
				sent++
				if w.Header().Get("Set-Cookie") != "" {
					t.Error("asking is no proof")
				}
			case http.StatusTooManyRequests:
			default:
				t.Fatalf("answered %d", w.Code)
			}
		}
		if want := min(3*(hour+1), 10); hour < 24 && sent != want {
			t.Fatalf("%d codes in %d hours, not %d", sent, hour+1, want)
		}
		b.clock.move(time.Hour)
	}
	if sent <= 10 {
		t.Error("the next day there are none")
	}
	if got := len(b.messages(patient)); got != sent {
		t.Errorf("%d codes made %d messages", sent, got)
	}
}

func (b *bench) messages(patient int64) []gateway.Message {
	b.t.Helper()
	list, err := b.store.Messages(context.Background(), gateway.MessageFilter{Patient: patient, Limit: 1000})
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

// A proof is worth nothing on another page, after its time, or once it was given up.
func TestProofs(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("en")
	path := b.linkPath(patient)
	other := b.pathOf(b.links.Preferences(patient, b.snapshot(patient).Addresses[0].ID))
	proved := func(c *http.Cookie, path string) bool {
		return strings.Contains(b.with(c, http.MethodGet, path+"?view=sent", nil).Body.String(), "What we sent you and why")
	}
	cookie := b.proof(path)
	if !proved(cookie, path) {
		t.Fatal("a proof proves nothing")
	}
	forged := *cookie
	forged.Value = "A" + cookie.Value[1:]
	if forged.Value == cookie.Value {
		forged.Value = "B" + cookie.Value[1:]
	}
	token := &http.Cookie{Name: cookie.Name, Value: path[strings.LastIndexByte(path, '/')+1:]}
	for name, try := range map[string]func() bool{
		"a forged one":             func() bool { return proved(&forged, path) },
		"a link's token":           func() bool { return proved(token, path) },
		"another address's":        func() bool { return proved(cookie, other) },
		"one for no address":       func() bool { return proved(cookie, b.preferencesPath(patient)) },
		"one of another patient's": func() bool { return proved(cookie, b.linkPath(b.another())) },
	} {
		if try() {
			t.Errorf("%s proof opens the page", name)
		}
	}
	w := b.with(cookie, http.MethodPost, path, url.Values{"do": {"leave"}})
	if c := w.Header().Get("Set-Cookie"); !strings.Contains(c, "Max-Age=0") || !strings.Contains(c, "Path="+path) || strings.Contains(w.Body.String(), "view=sent") {
		t.Errorf("leaving answered %q", c)
	}
	b.clock.move(30 * time.Minute)
	if proved(cookie, path) {
		t.Error("a proof works after half an hour")
	}
	cookie = b.proof(path)
	b.confidential(patient, channels.SMS, "+13035550143")
	if proved(cookie, path) {
		t.Error("a proof works at an address that was closed since")
	}
}

// another puts a second patient on file.
func (b *bench) another() int64 {
	b.t.Helper()
	out, err := b.intake.Put(context.Background(), "ehr", "REF-2", intake.Contact{
		Record:    gateway.Record{GivenName: "Ben", FamilyName: "Ochoa", BirthDate: "1970-01-01", Locale: "en", TimeZone: "America/Denver"},
		Addresses: []intake.ContactAddress{{Kind: channels.Mailbox, Value: "ben@mailbox.example", Rank: 1}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return out.Patient
}

// No code goes out after a stop or an instruction was acknowledged, though it was
// asked for before and answers pass every other rule.
func TestACodeStaysBehindTheFence(t *testing.T) {
	for name, c := range map[string]struct {
		close func(b *bench, patient int64)
		code  policy.Code
	}{
		"an instruction": {func(b *bench, patient int64) { b.confidential(patient, channels.SMS, "+13035550143") }, policy.ConfidentialOnly},
		"an erasure": {func(b *bench, patient int64) {
			if err := b.intake.Erase(context.Background(), "staff", patient, "request"); err != nil {
				b.t.Fatal(err)
			}
		}, "no_template"}, // its words are gone with the key
		"somebody else's address": {func(b *bench, patient int64) {
			_, err := b.store.Commit(context.Background(), gateway.Change{At: b.clock.Now(), Actor: "staff", Patients: []gateway.PatientFact{{Patient: patient, Expect: -1, Events: []preferences.Event{
				{ID: b.ids.New(), Kind: preferences.AddressWrong, At: b.clock.Now().UnixMicro(), Address: b.mailboxOf(patient)},
			}}}})
			if err != nil {
				b.t.Fatal(err)
			}
		}, policy.WrongPerson},
	} {
		b := newBench(t)
		patient := b.enrol("en")
		b.press(b.linkPath(patient), url.Values{"do": {"code"}})
		c.close(b, patient)
		if _, err := b.sender.Work(context.Background(), gateway.AnswerQueue); err != nil {
			t.Fatal(err)
		}
		b.sender.Drain()
		m := b.messages(patient)[0]
		if len(b.mail.mail) != 0 || m.Status != gateway.Suppressed || m.Code != string(c.code) {
			t.Errorf("%s: %d mails, %v %q", name, len(b.mail.mail), m.Status, m.Code)
		}
	}
}
