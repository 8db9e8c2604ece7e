package templates

import (
	"maps"
	"testing"
)

func TestEntry(t *testing.T) {
	vars := map[string]string{"appointment_time": "2030-01-07T10:30:00-07:00", "location": "12 Main Street", "clinician": "Dr. Example", "change": "Bring a form."}
	for _, c := range []struct {
		name, template, locale string
		change                 map[string]string
		want                   string // summary and location; "": no entry
	}{
		{"a reminder", "appointment_reminder", "en", nil, "Appointment (Your provider)|12 Main Street"},
		{"in Spanish", "appointment_reminder", "es-MX", nil, "Cita (Your provider)|12 Main Street"},
		{"a change", "appointment_change", "", nil, "Appointment (Your provider)|12 Main Street"},
		{"a place that names the practice", "appointment_change", "", map[string]string{"location": "CEDAR  Practice, floor 2"}, "Appointment (Your provider)|"},
		{"a place that names mental health", "appointment_change", "", map[string]string{"location": "Psychiatry, floor 2"}, "Appointment (Your provider)|"},
		{"a place of two lines", "appointment_change", "", map[string]string{"location": "Floor 2\r\nATTENDEE:x"}, "Appointment (Your provider)|Floor 2 ATTENDEE:x"},
		{"no time", "appointment_change", "", map[string]string{"appointment_time": ""}, ""},
		{"something else", "follow_up", "", nil, ""},
	} {
		values := maps.Clone(vars)
		maps.Copy(values, c.change)
		e, ok := builtin(t, c.template).Entry(c.locale, values, cedar())
		got := ""
		if ok {
			got = e.Summary + "|" + e.Location
		}
		if got != c.want || ok && e.Start.UTC().Format("2006-01-02T15:04") != "2030-01-07T17:30" {
			t.Errorf("%s: %q at %s", c.name, got, e.Start)
		}
	}
	// A practice's own words that leave the place out keep it out of the calendar too.
	d := draftOf(t, "appointment_reminder", "Where: {location}\n", "", "Dónde: {location}\n", "")
	own, err := Builtin().Parse(d, reminderCategory, cedar())
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := own.Entry("en", vars, cedar()); !ok || e.Location != "" {
		t.Errorf("%+v, %t", e, ok)
	}
}
