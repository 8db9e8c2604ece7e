package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sendgrid/sendgrid-go/helpers/mail"
)

// letter is a mail as sendgrid-go writes it.
func letter(to ...string) *mail.SGMailV3 {
	m := mail.NewV3Mail()
	m.SetFrom(mail.NewEmail("Care", "care@clinic.example"))
	m.Subject = "Your appointment"
	m.AddContent(mail.NewContent("text/plain", "Hello -name-, see https://clinic.example/p/abc."), mail.NewContent("text/html", "<p>Hello -name-</p>"))
	m.SetTrackingSettings(mail.NewTrackingSettings().SetClickTracking(mail.NewClickTrackingSetting().SetEnable(false)))
	for i, address := range to {
		p := mail.NewPersonalization()
		p.AddTos(mail.NewEmail("", address))
		p.SetCustomArg("attempt", fmt.Sprint(i+1))
		p.SetSubstitution("-name-", fmt.Sprintf("Reader %d", i+1))
		m.AddPersonalizations(p)
	}
	return m
}

func (w *world) mail(m *mail.SGMailV3) *http.Response {
	w.t.Helper()
	return w.do("POST", "/v3/mail/send", "application/json", string(mail.GetRequestBody(m)))
}

// Events that nobody took come again, as SendGrid's do.
func TestEventsComeAgain(t *testing.T) {
	w := newWorld(t)
	w.reply = func(_ string, n int) int { return map[bool]int{true: 503, false: 200}[n == 1] }
	w.mail(letter("ann@example.org"))
	var ids []any
	for range 3 {
		for _, e := range checkEvents(t, w, w.next()) {
			ids = append(ids, e["sg_event_id"])
		}
	}
	if len(ids) != 3 || ids[0] == ids[1] || ids[2] != ids[0] || w.lost.Load() != 0 {
		t.Errorf("events %v", ids)
	}
}

func TestMailGoesItsWay(t *testing.T) {
	w := newWorld(t)
	res := w.mail(letter("ann@example.org", "bounce@example.org", "blocked+2@example.org", "suppressed@example.org", "spam@example.org"))
	id := res.Header.Get("X-Message-Id")
	if res.StatusCode != http.StatusAccepted || id == "" {
		t.Fatalf("%d %q", res.StatusCode, id)
	}
	var got []string
	seen := map[any]bool{}
	for range 3 {
		for _, e := range checkEvents(t, w, w.next()) {
			if !strings.HasPrefix(e["sg_message_id"].(string), id+".") || seen[e["sg_event_id"]] {
				t.Errorf("event %v", e)
			}
			seen[e["sg_event_id"]] = true
			line := fmt.Sprint(e["attempt"], " ", e["event"])
			if kind, ok := e["type"]; ok {
				line += fmt.Sprint(" ", kind, " ", e["status"])
			}
			got = append(got, line)
		}
	}
	want := "1 processed,2 processed,3 processed,4 dropped,5 processed,1 delivered,2 bounce bounce 5.1.1,3 bounce blocked 5.7.1,5 delivered,5 spamreport"
	if strings.Join(got, ",") != want {
		t.Errorf("events\n%s\nwant\n%s", strings.Join(got, ","), want)
	}
	m := w.Messages()[0]
	if m.Body != "Hello Reader 1, see https://clinic.example/p/abc." || m.HTML != "<p>Hello Reader 1</p>" || m.Status != "delivered" {
		t.Errorf("kept %+v", m)
	}
	if !w.Event(m.ID, "bounce") || w.Event(m.ID, "teleported") || w.Event("nobody", "bounce") {
		t.Error("events on demand")
	}
	if e := checkEvents(t, w, w.next()); e[0]["event"] != "bounce" || e[0]["type"] != "bounce" {
		t.Errorf("bounce on demand = %v", e)
	}
}

func TestMailRefused(t *testing.T) {
	w := newWorld(t)
	many := make([]string, 1001)
	for i := range many {
		many[i] = fmt.Sprintf("p%d@example.org", i)
	}
	with := func(change func(*mail.SGMailV3)) *mail.SGMailV3 {
		m := letter("ann@example.org")
		change(m)
		return m
	}
	for name, c := range map[string]struct {
		mail   *mail.SGMailV3
		status int
		field  string
	}{
		"nobody":       {letter(), 400, "personalizations"},
		"too many":     {letter(many...), 400, "personalizations"},
		"twice":        {letter("ann@example.org", "Ann@example.org"), 400, "personalizations.1.to"},
		"bad address":  {letter("ann"), 400, "personalizations.0.to.0.email"},
		"no sender":    {with(func(m *mail.SGMailV3) { m.From = nil }), 400, "from"},
		"no subject":   {with(func(m *mail.SGMailV3) { m.Subject = "" }), 400, "subject"},
		"no content":   {with(func(m *mail.SGMailV3) { m.Content = nil }), 400, "content"},
		"empty":        {with(func(m *mail.SGMailV3) { m.Content[0].Value = "" }), 400, "content.0.value"},
		"html first":   {with(func(m *mail.SGMailV3) { m.Content[0], m.Content[1] = m.Content[1], m.Content[0] }), 400, "content.1"},
		"reserved":     {with(func(m *mail.SGMailV3) { m.SetHeader("Subject", "x") }), 400, "headers.Subject"},
		"long args":    {with(func(m *mail.SGMailV3) { m.SetCustomArg("a", strings.Repeat("x", 10000)) }), 400, "personalizations.0.custom_args"},
		"server error": {letter("ann@example.org", "error500@example.org"), 500, ""},
		"throttled":    {letter("429@example.org"), 429, ""},
	} {
		t.Run(name, func(t *testing.T) {
			res := w.mail(c.mail)
			got := decode[struct{ Errors []mailError }](t, res)
			if res.StatusCode != c.status || len(got.Errors) != 1 || got.Errors[0].Message == "" {
				t.Fatalf("%d %+v", res.StatusCode, got)
			}
			if f := got.Errors[0].Field; (f == nil) != (c.field == "") || f != nil && *f != c.field {
				t.Errorf("field %v, want %q", *f, c.field)
			}
		})
	}
	for name, c := range map[string]struct {
		kind, body string
		status     int
	}{
		"not JSON":         {"text/plain", "{}", 415},
		"broken":           {"application/json", "{", 400},
		"unknown property": {"application/json", `{"colour":1}`, 400},
		"too large":        {"application/json", `{"subject":"` + strings.Repeat("x", maxMail) + `"}`, 413},
	} {
		if res := w.do("POST", "/v3/mail/send", c.kind, c.body); res.StatusCode != c.status {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
	if _, err := w.try("POST", "/v3/mail/send", "application/json", string(mail.GetRequestBody(letter("lose@example.org")))); err == nil {
		t.Error("lose@ was answered")
	}
	if n := len(w.Messages()); n != 0 {
		t.Errorf("%d mails were taken", n)
	}
	if _, err := w.try("POST", "/v3/mail/send", "application/json", string(mail.GetRequestBody(letter("drop@example.org")))); err == nil || len(w.Messages()) != 1 {
		t.Error("drop@ was answered, or not taken")
	}
}

// Whatever comes in, the reader answers and never panics.
func FuzzMailRules(f *testing.F) {
	f.Add(string(mail.GetRequestBody(letter("ann@example.org"))))
	f.Add(`{"personalizations":[{"to":[{}]}],"from":null,"content":[{}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		var q mailRequest
		if json.Unmarshal([]byte(body), &q) != nil {
			return
		}
		if len(q.check()) == 0 {
			q.failure()
			(&Sandbox{opt: Options{Now: NewClock(nowZero).Now}}).newMails(&q, "id")
		}
	})
}

func (w *world) press(path string, form url.Values) *http.Response {
	w.t.Helper()
	return w.do("POST", path, "application/x-www-form-urlencoded", form.Encode())
}
