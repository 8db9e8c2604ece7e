package calendar

import (
	"bytes"
	"strings"
	"testing"
	"time"

	ics "github.com/arran4/golang-ical"
	"pgregory.net/rapid"

	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/templates"
)

func writer(t testing.TB, secret string) *Writer {
	t.Helper()
	w, err := New([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func appointment() dispatch.CalendarEntry {
	return dispatch.CalendarEntry{
		Entry:   templates.Entry{Start: time.Date(2030, 1, 7, 10, 30, 0, 0, time.FixedZone("", -7*3600)), Summary: "Appointment (Your provider)", Location: "12 Main Street, floor 2"},
		Patient: 7, Reference: "APPT-1009", Told: time.Date(2029, 12, 1, 8, 0, 0, 0, time.UTC),
	}
}

// entry reads a file back.
func entry(t testing.TB, file []byte) *ics.VEvent {
	t.Helper()
	c, err := ics.ParseCalendar(bytes.NewReader(file))
	if err != nil || len(c.Events()) != 1 {
		t.Fatalf("%v\n%s", err, file)
	}
	return c.Events()[0]
}

func value(t testing.TB, e *ics.VEvent, p ics.ComponentProperty) string {
	t.Helper()
	got := e.GetProperty(p)
	if got == nil {
		t.Fatalf("no %s", p)
	}
	return got.Value
}

func TestFile(t *testing.T) {
	f := writer(t, strings.Repeat("s", 32)).File(appointment())
	want := strings.NewReplacer("\n", "\r\n", "UID:", "UID:"+value(t, entry(t, f.Content), ics.ComponentPropertyUniqueId)).Replace(`BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Heed//Golang ICS Library
METHOD:PUBLISH
BEGIN:VEVENT
UID:
SEQUENCE:155116800
DTSTAMP:20291201T080000Z
DTSTART:20300107T173000Z
SUMMARY:Appointment (Your provider)
LOCATION:12 Main Street\, floor 2
STATUS:CONFIRMED
CLASS:PRIVATE
END:VEVENT
END:VCALENDAR
`)
	if string(f.Content) != want || f.Name != "appointment.ics" || f.Type != "text/calendar" {
		t.Errorf("%s %s\n%s", f.Name, f.Type, f.Content)
	}
}

// An appointment keeps its id and rises; another one, another patient and another
// practice have ids of their own, and none says the reference.
func TestAppointmentToldAgain(t *testing.T) {
	w := writer(t, strings.Repeat("s", 32))
	first := entry(t, w.File(appointment()).Content)
	moved := appointment()
	moved.Start, moved.Told = moved.Start.Add(time.Hour), moved.Told.Add(time.Second)
	second := entry(t, w.File(moved).Content)
	uid := value(t, first, ics.ComponentPropertyUniqueId)
	if value(t, second, ics.ComponentPropertyUniqueId) != uid {
		t.Error("an appointment that moved is another entry")
	}
	if a, b := value(t, first, ics.ComponentPropertySequence), value(t, second, ics.ComponentPropertySequence); len(a) != len(b) || a >= b {
		t.Errorf("SEQUENCE %s, then %s", a, b)
	}
	patient, reference := appointment(), appointment()
	patient.Patient, reference.Reference = 8, "APPT-1010"
	for _, other := range [][]byte{w.File(patient).Content, w.File(reference).Content, writer(t, strings.Repeat("x", 32)).File(appointment()).Content} {
		if value(t, entry(t, other), ics.ComponentPropertyUniqueId) == uid {
			t.Error("two appointments, one id")
		}
	}
	if strings.Contains(string(w.File(appointment()).Content), "1009") {
		t.Error("the practice's id of the appointment is told")
	}
}

// Whatever stands in the words stays words: no line of the file is anybody else's.
func TestWordsStayWords(t *testing.T) {
	w := writer(t, strings.Repeat("s", 32))
	rapid.Check(t, func(t *rapid.T) {
		a := appointment()
		a.Summary = rapid.StringMatching(`[a-zA-ZáñÑ;:,"\\ ]{1,120}`).Draw(t, "summary")
		a.Location = rapid.StringMatching(`[a-zA-ZáñÑ;:,"\\ ]{1,200}`).Draw(t, "location")
		file := w.File(a).Content
		c, err := ics.ParseCalendar(bytes.NewReader(file))
		if err != nil || len(c.Events()) != 1 || len(c.Events()[0].Properties) != 8 {
			t.Fatalf("%v\n%s", err, file)
		}
		if got := c.Events()[0].GetProperty(ics.ComponentPropertySummary).Value; got != a.Summary {
			t.Errorf("%q reads as %q", a.Summary, got)
		}
		for _, line := range strings.Split(string(file), "\r\n") {
			if len(line) > 75 || strings.Contains(line, "\n") {
				t.Errorf("a line of %d bytes: %q", len(line), line)
			}
		}
	})
}
