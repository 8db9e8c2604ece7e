package sandbox

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/sendgrid/sendgrid-go/helpers/mail"
)

func file(name, kind, content string) *mail.Attachment {
	return mail.NewAttachment().SetFilename(name).SetType(kind).SetDisposition("attachment").SetContent(base64.StdEncoding.EncodeToString([]byte(content)))
}

// A mail's files lie on the page, and are handed out as files.
func TestMailWithFiles(t *testing.T) {
	w := newWorld(t)
	m := letter("ann@example.org")
	m.AddAttachment(file("appointment.ics", "text/calendar", "BEGIN:VCALENDAR"), file("page.html", "text/html", "<script>alert(1)</script>"))
	if res := w.mail(m); res.StatusCode != http.StatusAccepted {
		t.Fatal(res.StatusCode)
	}
	id := w.Messages()[0].ID
	if page := w.show("/"); !strings.Contains(page, `<a href="mail/`+id+`/file/0">appointment.ics</a> (text/calendar, 15 bytes)`) {
		t.Errorf("%s", page)
	}
	if got := w.show("/mail/" + id + "/file/0"); got != "BEGIN:VCALENDAR" {
		t.Errorf("%q", got)
	}
	res := w.do("GET", "/mail/"+id+"/file/1", "", "")
	if res.Header.Get("Content-Disposition") != "attachment; filename=page.html" || res.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(res.Header.Get("Content-Security-Policy"), "default-src") {
		t.Errorf("%v", res.Header)
	}
	for _, path := range []string{"/file/2", "/file/-1", "/file/x"} {
		if res := w.do("GET", "/mail/"+id+path, "", ""); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

func TestFilesThatSendGridRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*mail.Attachment){
		"a type with a parameter": func(a *mail.Attachment) { a.Type = "text/calendar; method=PUBLISH" },
		"no name":                 func(a *mail.Attachment) { a.Filename = "" },
		"not base64":              func(a *mail.Attachment) { a.Content = "BEGIN:VCALENDAR" },
		"another disposition":     func(a *mail.Attachment) { a.Disposition = "hidden" },
	} {
		w := newWorld(t)
		m, a := letter("ann@example.org"), file("appointment.ics", "text/calendar", "x")
		spoil(a)
		if res := w.mail(m.AddAttachment(a)); res.StatusCode != http.StatusBadRequest || len(w.Messages()) != 0 {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
}
