package sandbox

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func nowZero() time.Time { return testStart }

func (w *world) show(path string) string {
	w.t.Helper()
	res := w.do("GET", path, "", "")
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %d %v", path, res.StatusCode, err)
	}
	return string(body)
}

func TestPageShowsAndAnswers(t *testing.T) {
	w := newWorld(t)
	if page := w.show("/"); !strings.Contains(page, "No phone has heard anything yet") || !strings.Contains(page, "…0019") || !strings.Contains(page, "suppressed@") {
		t.Error("the empty page lacks its notes")
	}
	form := textTo(patient)
	form.Set("Body", "<b>See https://clinic.example/m/x1, thanks")
	w.text(form)
	for range 3 {
		w.next()
	}
	page := w.show("/")
	for _, want := range []string{`&lt;b&gt;See <a href="https://clinic.example/m/x1" rel="noopener noreferrer">https://clinic.example/m/x1</a>, thanks`, patient, `action="reply"`, `(care)`, "delivered"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(w.show("/?q=999"), "clinic.example") {
		t.Error("the filter shows others")
	}
	res := w.press("/reply", url.Values{"from": {patient}, "to": {careNumber}, "body": {"STOP"}})
	if res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(res.Header.Get("Location"), "./#box-") {
		t.Errorf("%d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	if h := w.next(); h.form().Get("Body") != "STOP" {
		t.Errorf("webhook %s", h.body)
	}
	for _, path := range []string{"/style.css", "/live.js", "/version"} {
		w.show(path)
	}
}

func TestPageMail(t *testing.T) {
	w := newWorld(t)
	unsubscribe := strings.Replace(w.opt.Webhooks.SMS, "/sms", "/u/opaque", 1)
	m := letter("ann@example.org")
	m.SetHeader("List-Unsubscribe", "<mailto:u@clinic.example>, <"+unsubscribe+">")
	m.SetHeader("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
	w.mail(m)
	w.next()
	w.next()
	id := w.Messages()[0].ID
	if page := w.show("/"); !strings.Contains(page, `href="mail/`+id) || !strings.Contains(page, `<a href="`+unsubscribe) {
		t.Error("the page lacks the mail's links")
	}
	if raw := w.show("/mail/" + id); raw != "<p>Hello Reader 1</p>" {
		t.Errorf("raw mail %q", raw)
	}
	w.press("/oneclick", url.Values{"id": {id}})
	if h := w.next(); h.path != "/u/opaque" || string(h.body) != "List-Unsubscribe=One-Click" || h.header.Get("Cookie") != "" {
		t.Errorf("one click: %s %s", h.path, h.body)
	}
	if !strings.Contains(w.show("/"), "answered 200 OK") {
		t.Error("the answer is not shown")
	}
	w.press("/event", url.Values{"id": {id}, "event": {"spamreport"}})
	if e := checkEvents(t, w, w.next()); e[0]["event"] != "spamreport" {
		t.Errorf("event %v", e)
	}
}

func TestPageClockAndOutage(t *testing.T) {
	w := newWorld(t)
	w.press("/clock", url.Values{"add": {"1h"}})
	w.press("/clock", url.Values{"add": {"24h"}})
	if got := w.clock.Now(); !got.Equal(testStart.Add(25 * time.Hour)) {
		t.Errorf("clock %v", got)
	}
	w.press("/clock", url.Values{"set": {"2027-01-02T03:04"}})
	if got := w.clock.Now(); !got.Equal(time.Date(2027, 1, 2, 3, 4, 0, 0, time.UTC)) {
		t.Errorf("clock %v", got)
	}
	w.press("/outage", url.Values{"on": {"1"}})
	if !w.Unreachable() || !strings.Contains(w.show("/"), "End the outage") {
		t.Error("the outage is not on")
	}
	w.press("/outage", nil)
	if w.Unreachable() {
		t.Error("the outage is still on")
	}
	for path, form := range map[string]url.Values{
		"/clock": {"add": {"soon"}}, "/reply": {"from": {"x"}}, "/press": {"id": {"CA1"}, "digit": {"99"}},
		"/event": {"id": {"x"}, "event": {"bounce"}}, "/oneclick": {"id": {"x"}},
	} {
		if res := w.press(path, form); res.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

func TestPageTellsTheClocksZone(t *testing.T) {
	w := newWorld(t)
	denver, err := time.LoadLocation("America/Denver")
	if err != nil {
		t.Fatal(err)
	}
	clock := w.opt.Now
	w.opt.Now = func() time.Time { return clock().In(denver) }
	if page := w.show("/"); !strings.Contains(page, "UTC-0") || strings.Contains(page, "Local") {
		t.Error("the zone is not told")
	}
}

func TestPageTellsThatAFilterFoundNothing(t *testing.T) {
	w := newWorld(t)
	if page := w.show("/?q=0199%3Cb%3E"); !strings.Contains(page, "contains “0199&lt;b&gt;”") || strings.Contains(page, "anything yet") {
		t.Error("a filter without hits looks like an empty sandbox")
	}
	if page := w.show("/"); !strings.Contains(page, "No phone has heard anything yet") {
		t.Error("an empty sandbox")
	}
}

func TestClockTellsItsMoves(t *testing.T) {
	var heard []time.Duration
	c := NewClock(func() time.Time { return testStart })
	c.Moved = func(offset time.Duration) { heard = append(heard, offset) }
	c.Restore(time.Hour)
	c.Add(time.Hour)
	c.Set(testStart.Add(-time.Minute))
	if !slices.Equal(heard, []time.Duration{2 * time.Hour, -time.Minute}) || c.Offset() != -time.Minute {
		t.Errorf("%v", heard)
	}
}

func TestPageRefusesOtherSites(t *testing.T) {
	w := newWorld(t)
	req, _ := http.NewRequest("POST", w.url+"/outage", strings.NewReader("on=1"))
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusForbidden || w.Unreachable() {
		t.Errorf("%d", res.StatusCode)
	}
}

// Cut at its links, a text is still the same text.
func TestSpansLoseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`([a-z .,<"é]{0,5}(https?://[a-z./?=,)]{0,9})?){0,4}`).Draw(t, "text")
		var joined strings.Builder
		for _, s := range spans(text) {
			joined.WriteString(s.Text)
		}
		if joined.String() != text {
			t.Fatalf("%q became %q", text, joined.String())
		}
	})
}

func TestClockIsPassedOn(t *testing.T) {
	base := testStart
	c := NewClock(func() time.Time { return base })
	c.Add(90 * time.Minute)
	base = base.Add(time.Second)
	if got := c.Now().Sub(testStart); got != 90*time.Minute+time.Second {
		t.Errorf("moved by %v", got)
	}
}
