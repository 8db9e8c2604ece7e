package dispatch

import (
	"strconv"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// CalendarEntry is one appointment in a calendar.
type CalendarEntry struct {
	templates.Entry
	Patient   int64
	Reference string // the practice's id of it, or else our own of the message: tells entries apart, and is never shown
	Told      time.Time
}

// Calendar writes calendar files. The same appointment is the same entry, told later
// is the newer word on it.
type Calendar interface {
	File(e CalendarEntry) channels.Attachment
}

// attach gives the calendar file that goes with the mail of an appointment, or
// nothing: a file lies in calendars that others see, so none goes to whoever asked for
// discretion, and none where the mail itself may not say it (45 CFR 164.502(b)).
func (d *Dispatcher) attach(m *gateway.Message, t *templates.Template, k known, dec policy.Decision, way Way) []channels.Attachment {
	if d.Calendar == nil || dec.Pair.Channel != channels.Email || dec.Form != policy.Full || dec.Discreet || way.Agreement < policy.Minimal {
		return nil
	}
	entry, ok := t.Entry(k.Locale, m.Body.Variables, d.Identity)
	if !ok {
		return nil
	}
	e := CalendarEntry{Entry: entry, Patient: m.Patient, Reference: "reference " + m.Reference, Told: m.Created}
	if m.Reference == "" {
		e.Reference = "message " + strconv.FormatInt(m.ID, 10)
	}
	return []channels.Attachment{d.Calendar.File(e)}
}
