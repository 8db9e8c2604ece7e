// Package calendar writes the calendar files that go with mail about appointments:
// RFC 5545.
package calendar

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	// golang-ical: line folding and escaping as RFC 5545 section 3.1 has them.
	ics "github.com/arran4/golang-ical"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/dispatch"
)

// Writer writes files. It is safe for concurrent use.
type Writer struct{ key []byte }

var _ dispatch.Calendar = (*Writer)(nil)

// New makes a writer. With another secret, an appointment that is told again is
// another entry.
func New(secret []byte) (*Writer, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "heed calendar", 32)
	if err != nil {
		return nil, fmt.Errorf("the key for calendar files: %w", err)
	}
	return &Writer{key}, nil
}

// epoch is where SEQUENCE begins to count seconds: it fits into its 31 bits until 2093.
var epoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// File writes one appointment. METHOD:PUBLISH asks for no answer (RFC 5546 section
// 3.2.1). The entry has no alarm and no end: nobody told us how long it takes.
func (w *Writer) File(a dispatch.CalendarEntry) channels.Attachment {
	file := ics.NewCalendarFor("Heed")
	file.SetMethod(ics.MethodPublish)
	e := file.AddEvent(w.uid(a))
	// A calendar takes the higher SEQUENCE for the newer word, and the later DTSTAMP
	// where they are equal: RFC 5546 section 2.1.5.
	e.SetSequence(max(0, int(a.Told.Sub(epoch)/time.Second)))
	e.SetDtStampTime(a.Told)
	e.SetStartAt(a.Start)
	e.SetSummary(a.Summary)
	if a.Location != "" {
		e.SetLocation(a.Location)
	}
	e.SetStatus(ics.ObjectStatusConfirmed)
	e.SetClass(ics.ClassificationPrivate) // in a shared calendar others see only that the time is taken
	return channels.Attachment{Name: "appointment.ics", Type: "text/calendar", Content: []byte(file.Serialize(ics.WithNewLineWindows))}
}

// uid is the same for an appointment however often it is told, and says nothing: the
// practice's id of it is personal data.
func (w *Writer) uid(a dispatch.CalendarEntry) string {
	mac := hmac.New(sha256.New, w.key)
	fmt.Fprintf(mac, "%d %s", a.Patient, a.Reference)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
