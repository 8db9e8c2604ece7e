package imports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/templates"
)

// farthest is how far ahead an appointment may lie: beyond it, a year is mistyped.
const farthest = 5

// What a status means for reminders. One that stands in neither list is rejected:
// nobody can tell whether the appointment takes place.
var (
	takesPlace = []string{
		"booked", "confirmed", "scheduled", "active", "pending", "reserved", "open", "new", "arrived", "checkedin", "unconfirmed", "leftmessage", "reminded", "b", "s",
	}
	doesNot = []string{
		"cancelled", "canceled", "cancel", "rescheduled", "noshow", "completed", "complete", "left", "leftwithoutbeingseen", "deleted", "removed", "void", "declined", "missed",
		"checkedout", "fulfilled", "cancelledbypatient", "canceledbypatient", "cancelledbyoffice", "canceledbyoffice", "cancelledbyprovider", "canceledbyprovider", "latecancel",
		"latecancellation", "bumped", "didnotattend", "dna", "seen", "done", "closed", "enteredinerror",
	}
)

// Appointments imports a file of appointments, after its patients. Of two lines
// with one id the later one counts. The whole file is read before anything is kept;
// on a later error everything before is kept, and running it again does the rest.
func Appointments(ctx context.Context, r io.Reader, o Options) (Report, error) {
	a := &appointments{Options: o, report: newReport(), byID: map[string]*appointment{}, now: o.Dispatcher.Now(), ids: map[string]int64{}}
	if a.Zone == nil {
		a.Zone = time.UTC
	}
	f, header, err := openFile(r)
	if err == nil {
		a.layout, a.report.Ignored, err = readHeader(header, appointmentColumns, o.Columns)
	}
	if err == nil {
		err = eachRow(f, a.report, a.read)
	}
	if err != nil {
		return *newReport(), err
	}
	m := &meter{total: f.total, tell: o.Progress}
	pending := int64(0)
	for _, one := range a.list {
		pending += one.size
	}
	m.add(f.total - pending)
	for list := range slices.Chunk(a.list, batch) {
		if err := a.keep(ctx, list); err != nil {
			err = a.report.stopped(list[0].rows[0], err)
			return *a.report, err
		}
		for _, one := range list {
			m.add(one.size)
		}
	}
	return *a.report, nil
}

// appointments is one file of appointments while it is read and kept.
type appointments struct {
	Options
	layout layout
	report *Report
	list   []*appointment // in the file's order
	byID   map[string]*appointment
	now    time.Time
	ids    map[string]int64 // our ids of the practice's patients; 0: unknown
}

// appointment is what the last line of an id says.
type appointment struct {
	id, patient string
	rows        []int // of the report
	size        int64
	start       time.Time // on the clocks of where it is
	takesPlace  bool
	status      string // as the file writes it: a word of the lists above
	variables   map[string]string
}

// read reads one line. A line that cannot be read changes nothing of its appointment.
func (a *appointments) read(row int, rec record) {
	one, f, why := a.line(row, rec.fields)
	if why != "" {
		name := ""
		if f != "" {
			name = a.layout.name(f)
		}
		a.report.reject(row, name, why)
		return
	}
	if first := a.byID[one.id]; first != nil {
		a.report.note(row, a.layout.name(fieldID), fmt.Sprintf("the same appointment as line %d: this later line counts", a.report.Rows[first.rows[0]].Line))
		one.rows, one.size = append(first.rows, row), first.size+rec.size
		*first = *one
		return
	}
	one.rows, one.size = []int{row}, rec.size
	a.byID[one.id] = one
	a.list = append(a.list, one)
}

// line reads the fields of a line, or says which is wrong and why.
func (a *appointments) line(row int, fields []string) (*appointment, field, string) {
	get := func(f field) string { return a.layout.get(fields, f) }
	if name, bad := tooLong(&a.layout, fields, ""); bad {
		return nil, "", fmt.Sprintf("%s is longer than %d bytes", name, maxField)
	}
	if name, problem := notText(&a.layout, fields); problem != "" {
		return nil, "", name + " " + problem
	}
	one := &appointment{id: get(fieldID), patient: get(fieldPatient)}
	if problem := idProblem(one.id); problem != "" {
		return nil, fieldID, problem
	}
	if problem := idProblem(one.patient); problem != "" {
		return nil, fieldPatient, problem
	}
	zone := a.Zone
	if name := a.layout.value(fields, fieldZone); name != "" {
		var err error
		if zone, err = zoneOf(name); err != nil {
			return nil, fieldZone, err.Error()
		}
	}
	var err error
	if one.start, err = moment(get(fieldStart), zone); err != nil {
		return nil, fieldStart, err.Error()
	}
	if one.start.After(a.now.AddDate(farthest, 0, 0)) {
		return nil, fieldStart, fmt.Sprintf("more than %d years ahead: a slip", farthest)
	}
	one.status = get(fieldStatus)
	status := squeeze(one.status)
	one.takesPlace = slices.Contains(takesPlace, status)
	if !one.takesPlace && !slices.Contains(doesNot, status) {
		return nil, fieldStatus, "not a status that says whether the appointment takes place: booked, confirmed, cancelled, …"
	}
	one.variables = a.variables(row, one, fields)
	return one, "", ""
}

// variables are what a reminder says of the appointment. Its type is not among
// them: what kind of care somebody gets is no matter for a text. 45 CFR 164.502(b).
func (a *appointments) variables(row int, one *appointment, fields []string) map[string]string {
	v := map[string]string{"appointment_time": one.start.Format(time.RFC3339)}
	switch text, discreet := a.layout.get(fields, fieldLocation), a.Dispatcher.Identity.DiscreetName; {
	case text == "":
	case templates.NamesMentalHealth(text) && discreet != "":
		a.report.note(row, a.layout.name(fieldLocation), "names mental health, which no text message may: the reminder says the practice's discreet name instead")
		v["location"] = discreet
	default:
		v["location"] = text
	}
	switch text := a.layout.value(fields, fieldClinician); {
	case text == "":
	case templates.NamesMentalHealth(text):
		a.report.note(row, a.layout.name(fieldClinician), "names mental health, which no text message may: left out of the reminder")
	default:
		v["clinician"] = text
	}
	return v
}

// standing says why an appointment of a patient gets no reminders, or "".
func standing(s *preferences.Snapshot, now time.Time) string {
	switch {
	case s == nil:
		return "no patient on file has this id: the patients' import has not been run, or its report says why it kept nothing of this one"
	case s.Standing == preferences.Erased:
		return gateway.ErrErased.Error()
	case s.Standing == preferences.Deceased:
		return "this patient has died"
	case s.AdultFrom > now.UnixMicro():
		return "this patient is under 18: the service is for adults"
	}
	return ""
}

// patientsOf reads our ids and what is known of a batch's patients.
func (a *appointments) patientsOf(ctx context.Context, list []*appointment) (map[int64]*preferences.Snapshot, error) {
	var ids []int64
	for _, one := range list {
		id, asked := a.ids[one.patient]
		if !asked {
			var err error
			id, err = a.Dispatcher.Store.PatientID(ctx, one.patient)
			if err != nil && !errors.Is(err, gateway.ErrNotFound) {
				return nil, err
			}
			a.ids[one.patient] = id
		}
		if id != 0 {
			ids = append(ids, id)
		}
	}
	return a.Dispatcher.Store.Snapshots(ctx, ids)
}
