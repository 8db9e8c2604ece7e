// Package imports reads the files that a practice's systems export each night: patients
// and appointments, and lists of stops and of choices, as CSV. An import only tightens what patients
// said, keeps each patient and each appointment whole or not at all, and changes
// nothing when the same file comes again.
//
// The columns and how they are read are told in columns.go, the plain notes on
// confidential communication in notes.go.
package imports

import (
	"fmt"
	"slices"
	"time"

	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/gateway/intake"
)

// Options are what an import works with.
type Options struct {
	Intake     *intake.Service      // for all but appointments
	Dispatcher *dispatch.Dispatcher // for appointments
	Actor      string               // as the ledger and the audit log name who imports
	// ParsePhone gives E.164, ParseMailbox a bare lower-case address. Their errors
	// never repeat what they read.
	ParsePhone, ParseMailbox func(string) (string, error)
	// Columns names the file's columns that have unusual names: the file's column to
	// one of PatientFields, AppointmentFields, StopFields or ChoiceFields.
	Columns map[string]string
	// Zone is where the practice is: of appointments and days that name no time zone. Nil: UTC.
	Zone *time.Location
	// Progress hears how many bytes of the file are done, after each batch. It may be nil.
	Progress func(done, total int64)
}

// Outcome is what became of one line of the file.
type Outcome string

// The outcomes. Every line has exactly one.
const (
	Imported  Outcome = "imported"  // new, or changed something
	Unchanged Outcome = "unchanged" // said nothing new
	Merged    Outcome = "merged"    // the same id stands further up: merged into that line
	Held      Outcome = "held"      // on file, and nothing goes out until a person ends the hold
	Rejected  Outcome = "rejected"  // nothing of it was kept
	Moved     Outcome = "moved"     // an appointment's waiting reminders were replaced
	Canceled  Outcome = "canceled"  // an appointment's waiting reminders were taken back
	Skipped   Outcome = "skipped"   // an appointment that is over, called off, or too near for any reminder; an empty line
)

// Outcomes lists them in the order in which a report shows them.
var Outcomes = []Outcome{Imported, Unchanged, Merged, Held, Moved, Canceled, Skipped, Rejected}

// Report tells the operator what became of a file. It names lines and columns and
// never repeats what a patient's field says.
type Report struct {
	Lines   int             `json:"lines"`  // after the header; a line that goes on in quotes counts once
	Counts  map[Outcome]int `json:"counts"` // they add up to Lines
	Minors  int             `json:"minors"` // of the rejected
	Past    int             `json:"past"`   // of the skipped
	Ignored []string        `json:"ignored_columns,omitempty"`
	Rows    []Row           `json:"rows"` // every line, in the file's order
}

// Row is one line.
type Row struct {
	Line    int     `json:"line"` // of the file, the header being line 1
	Outcome Outcome `json:"outcome"`
	Notes   []Note  `json:"notes,omitempty"`
}

// Note says what was wrong with, or done about, a column of a line; "" is the line
// as a whole.
type Note struct {
	Field string `json:"field,omitempty"`
	Why   string `json:"why"`
}

func newReport() *Report {
	r := &Report{Counts: map[Outcome]int{}, Rows: []Row{}}
	for _, o := range Outcomes {
		r.Counts[o] = 0
	}
	return r
}

// add takes a line in and gives its place; the outcome may be settled later.
func (r *Report) add(line int) int {
	r.Lines++
	r.Rows = append(r.Rows, Row{Line: line})
	return len(r.Rows) - 1
}

func (r *Report) note(row int, field, why string) {
	r.Rows[row].Notes = append(r.Rows[row].Notes, Note{field, why})
}

func (r *Report) settle(row int, o Outcome) {
	r.Rows[row].Outcome = o
	r.Counts[o]++
}

func (r *Report) reject(row int, field, why string) {
	r.note(row, field, why)
	r.settle(row, Rejected)
}

// stopped tells where an import broke off, and takes the lines back that it did
// nothing about.
func (r *Report) stopped(row int, err error) error {
	at := r.Rows[row].Line
	r.Rows = slices.DeleteFunc(r.Rows, func(row Row) bool { return row.Outcome == "" })
	r.Lines = len(r.Rows)
	return fmt.Errorf("stopped before line %d; everything above it is kept, and the same import run again does the rest: %w", at, err)
}

// meter tells how far an import is.
type meter struct {
	done, total int64
	tell        func(done, total int64)
}

func (m *meter) add(size int64) {
	m.done += size
	if m.tell != nil {
		m.tell(m.done, m.total)
	}
}
