package templates

import (
	"slices"
	"time"

	"harmonize.care/heed/channels"
)

// Entry is what a calendar may say of an appointment.
type Entry struct {
	Start    time.Time
	Summary  string
	Location string // "": not said
}

// Entry gives the calendar entry that goes with the full, normal mail of an
// appointment; false where there is none. It says no more than that mail, and less:
// calendars are shared with families and employers, so the practice stands there by
// its discreet name, and a place that says who or what it is stays out.
func (t *Template) Entry(locale string, vars map[string]string, i Identity) (Entry, bool) {
	language := languageOf(locale)
	w, written := t.words[which{language, channels.Email, Full, false}]
	start, known := t.Expires(vars)
	if !written || !known || t.Content == ContentNone || !slices.Contains([]string{"appointment_reminder", "appointment_change"}, t.Category) {
		return Entry{}, false
	}
	at := slices.IndexFunc(t.Variables, func(v Variable) bool { return v.Kind == KindTime })
	if !w.body.asks(t.Variables[at].Name) {
		return Entry{}, false
	}
	e := Entry{Start: start, Summary: map[string]string{english: "Appointment", spanish: "Cita"}[language] + " (" + oneLine(i.DiscreetName) + ")"}
	if place := oneLine(vars["location"]); w.body.asks("location") && !NamesMentalHealth(place) && !contains(place, i.Name) {
		e.Location = place
	}
	return e, true
}
