package imports

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
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
	a := &appointments{Options: o, report: newReport(), byID: map[string]*appointment{}, now: o.Dispatcher.Now()}
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

// variables are what a reminder says of the appointment.
func (a *appointments) variables(row int, one *appointment, fields []string) map[string]string {
	words, left := a.Dispatcher.AppointmentWords(one.start, a.layout.get(fields, fieldLocation), a.layout.value(fields, fieldClinician))
	for _, m := range left {
		a.report.note(row, a.layout.name(field(m.Field)), m.Problem)
	}
	return words
}
