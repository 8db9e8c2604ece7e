package imports_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/gateway/imports"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

const appointmentHead = "Appt ID,MRN,Clinician,Type,Start,Minutes,Location,Time Zone,Status\n"

// visit is a line of an appointment in the Denver office with Dr. Lee.
func visit(id, patient, start, status string) string {
	return fmt.Sprintf("%s,%s,Dr. Lee,Therapy,%s,50,Denver office,America/Denver,%s\n", id, patient, start, status)
}

func visits(rows ...string) string { return appointmentHead + strings.Join(rows, "") }

// withPatients puts P1, P2 and P3 on file.
func withPatients(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	h.patients(lines(row("P1", "Cell Phone=3035550101", "State=CO"), row("P2", "Cell Phone=3035550102", "State=CO"), row("P3", "Cell Phone=3035550103", "State=CO")))
	return h
}

// one imports a file of one appointment and gives its line.
func (h *house) one(file string) imports.Row {
	h.Helper()
	r := h.appointments(file)
	if len(r.Rows) != 1 {
		h.Fatalf("%+v", r)
	}
	return r.Rows[0]
}

func (h *house) expect(got []string, want ...string) {
	h.Helper()
	if !slices.Equal(got, want) {
		h.Errorf("%q waits; want %q", got, want)
	}
}

// at moves the clock to a moment in Denver.
func (h *house) at(moment string) {
	h.Helper()
	var err error
	if h.clock, err = time.ParseInLocation("2006-01-02 15:04", moment, denver); err != nil {
		h.Fatal(err)
	}
}

// becomes moves every waiting message of a reference that is due to a status.
func (h *house) becomes(reference string, to gateway.Status, code string) {
	h.Helper()
	c := gateway.Change{At: h.clock, Actor: "test"}
	for _, m := range h.messages(reference) {
		if m.Status == gateway.Waiting && !m.Due.After(h.clock) {
			c.Steps = append(c.Steps, gateway.Step{Message: m.ID, From: gateway.Waiting, To: to, Code: code})
		}
	}
	if kept, err := h.db.Commit(context.Background(), c); err != nil || len(c.Steps) == 0 || len(kept.Refused) > 0 {
		h.Fatalf("%v %+v", err, c.Steps)
	}
}

func TestReminders(t *testing.T) {
	h := withPatients(t)
	if got := h.one(visits(visit("A1", "P1", "11/06/2026 02:30 PM", "Booked"))); got.Outcome != imports.Imported || len(got.Notes) != 0 {
		t.Errorf("%+v", got)
	}
	h.expect(h.waiting("A1"), "48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30")
	for _, m := range h.messages("A1") {
		want := map[string]string{"appointment_time": "2026-11-06T14:30:00-07:00", "location": "Denver office", "clinician": "Dr. Lee"}
		if m.Patient != h.patient("P1").ID || m.Category != "appointment_reminder" || m.Template != "appointment_reminder" || !m.Essential || fmt.Sprint(m.Body.Variables) != fmt.Sprint(want) ||
			!m.Expires.Equal(time.Date(2026, 11, 6, 14, 30, 0, 0, denver)) {
			t.Errorf("%+v", m)
		}
	}
	// Early in the morning: the evening before rather than too late.
	h.one(visits(visit("A2", "P1", "11/06/2026 08:00 AM", "Confirmed")))
	h.expect(h.waiting("A2"), "48h0m0s 11/04 08:00", "3h0m0s 11/05 20:59")
	// Tomorrow: the first moment has passed. Within the hour: both have.
	h.one(visits(visit("A3", "P2", "11/03/2026 10:00 AM", "booked")))
	h.expect(h.waiting("A3"), "3h0m0s 11/03 07:00") // the window opens in time: it waits for that when it is due
	if got := h.one(visits(visit("A4", "P2", "11/02/2026 11:00 AM", "Booked"))); got.Outcome != imports.Skipped || len(got.Notes) != 1 || got.Notes[0].Field != "Start" {
		t.Errorf("%+v", got)
	}
	h.expect(h.waiting("A4"))
	before := h.contents(nil, []string{"A1", "A2", "A3", "A4"})
	h.clock = h.clock.Add(time.Minute)
	again := h.appointments(visits(visit("A1", "P1", "2026-11-06 14:30", "Confirmed"), visit("A2", "P1", "11/06/2026 08:00 AM", "Booked"), visit("A3", "P2", "11/03/2026 10:00", "Booked")))
	if again.Counts[imports.Unchanged] != 3 {
		t.Errorf("%v", again.Counts)
	}
	h.same(before, h.contents(nil, []string{"A1", "A2", "A3", "A4"}))
}

func TestChangedRowMovesThem(t *testing.T) {
	h := withPatients(t)
	h.one(visits(visit("A1", "P1", "11/06/2026 02:30 PM", "Booked")))
	if got := h.one(visits(visit("A1", "P1", "11/09/2026 10:00 AM", "Booked"))); got.Outcome != imports.Moved {
		t.Errorf("%+v", got)
	}
	h.expect(h.waiting("A1"), "48h0m0s 11/07 10:00", "3h0m0s 11/09 07:00")
	// Other words, the same moments.
	h.one(strings.ReplaceAll(visits(visit("A1", "P1", "11/09/2026 02:00 PM", "Booked")), "Dr. Lee", "R. Patel NP"))
	for _, m := range h.messages("A1") {
		if m.Status == gateway.Waiting && m.Body.Variables["clinician"] != "R. Patel NP" {
			t.Errorf("%+v", m)
		}
	}
	h.expect(h.waiting("A1"), "48h0m0s 11/07 14:00", "3h0m0s 11/09 11:00")
	// The same instant on another zone's clock is other words.
	h.one(visits("A1,P1,R. Patel NP,Therapy,11/09/2026 01:00 PM,50,Denver office,America/Los_Angeles,Booked\n"))
	h.expect(h.waiting("A1"), "48h0m0s 11/07 14:00", "3h0m0s 11/09 11:00")
	if m := h.messages("A1"); m[len(m)-1].Body.Variables["appointment_time"] != "2026-11-09T13:00:00-08:00" {
		t.Errorf("%+v", m[len(m)-1])
	}
	// It was somebody else's all along.
	h.one(visits("A1,P2,R. Patel NP,Therapy,11/09/2026 01:00 PM,50,Denver office,America/Los_Angeles,Booked\n"))
	h.expect(h.waiting("A1"), "48h0m0s 11/07 14:00", "3h0m0s 11/09 11:00")
	for _, m := range h.messages("A1") {
		if m.Status == gateway.Waiting && m.Patient != h.patient("P2").ID {
			t.Errorf("%+v", m)
		}
	}
	// So near that no moment is left: the old ones go, and a person is told.
	h.at("2026-11-06 09:00")
	if got := h.one(visits(visit("A1", "P2", "11/06/2026 11:00 AM", "Booked"))); got.Outcome != imports.Moved || len(got.Notes) != 1 {
		t.Errorf("%+v", got)
	}
	h.expect(h.waiting("A1"))
}

// TestSentIsNotSentAgain: what went out for an appointment as it is now is done,
// whatever came of it; after a change, the moments that are ahead get new ones.
func TestSentIsNotSentAgain(t *testing.T) {
	for _, to := range []gateway.Status{gateway.Sent, gateway.Delivered, gateway.Suppressed, gateway.NeedsStaff, gateway.Failed, gateway.Expired} {
		h := withPatients(t)
		file := visits(visit("A1", "P1", "11/06/2026 02:30 PM", "Booked"))
		h.one(file)
		h.at("2026-11-04 14:31")
		h.becomes("A1", to, "")
		if got := h.one(file); got.Outcome != imports.Unchanged {
			t.Errorf("%d: %+v", to, got)
		}
		h.expect(h.waiting("A1"), "3h0m0s 11/06 11:30")
		h.at("2026-11-06 11:31")
		h.becomes("A1", to, "")
		if got := h.one(file); got.Outcome != imports.Unchanged {
			t.Errorf("%d: %+v", to, got)
		}
		h.expect(h.waiting("A1"))
		h.one(visits(visit("A1", "P1", "11/11/2026 02:30 PM", "Booked")))
		h.expect(h.waiting("A1"), "48h0m0s 11/09 14:30", "3h0m0s 11/11 11:30")
	}
}

// TestSentEarlyIsNotSentAgain: the evening's reminder stands for the moment in the
// night that is still ahead when the import runs.
func TestSentEarlyIsNotSentAgain(t *testing.T) {
	h := withPatients(t)
	file := visits(visit("A1", "P1", "11/06/2026 08:00 AM", "Booked"))
	h.one(file)
	h.at("2026-11-05 20:59")
	h.becomes("A1", gateway.Delivered, "")
	h.at("2026-11-06 02:00")
	if got := h.one(file); got.Outcome != imports.Unchanged {
		t.Errorf("%+v", got)
	}
	h.expect(h.waiting("A1"))
}

func TestCancelledRowCancelsThem(t *testing.T) {
	for _, status := range []string{"Cancelled", "canceled", "Rescheduled", "No Show", "Completed"} {
		h := withPatients(t)
		booked := visits(visit("A1", "P1", "11/06/2026 02:30 PM", "Booked"))
		off := visits(visit("A1", "P1", "11/06/2026 02:30 PM", status))
		none := imports.Row{Line: 2, Outcome: imports.Skipped, Notes: []imports.Note{{Field: "Status", Why: status + ": no reminder is due"}}}
		if got := h.one(off); !reflect.DeepEqual(got, none) {
			t.Errorf("%s: %+v", status, got)
		}
		h.one(booked)
		if got := h.one(off); got.Outcome != imports.Canceled {
			t.Errorf("%s: %+v", status, got)
		}
		h.expect(h.waiting("A1"))
		if got := h.one(off); !reflect.DeepEqual(got, none) {
			t.Errorf("%s: %+v", status, got)
		}
		// It takes place after all.
		if got := h.one(booked); got.Outcome != imports.Imported {
			t.Errorf("%s: %+v", status, got)
		}
		h.expect(h.waiting("A1"), "48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30")
	}
}

// TestTakenBackByAPerson: staff cancelled a reminder, and the nightly import does
// not bring it back; for another time there is a new one.
func TestTakenBackByAPerson(t *testing.T) {
	ctx := context.Background()
	h := withPatients(t)
	file := visits(visit("A1", "P1", "11/06/2026 02:30 PM", "Booked"))
	h.one(file)
	if err := h.dispatcher.Cancel(ctx, "staff", h.messages("A1")[0].ID); err != nil {
		t.Fatal(err)
	}
	if got := h.one(file); got.Outcome != imports.Unchanged {
		t.Errorf("%+v", got)
	}
	h.expect(h.waiting("A1"), "3h0m0s 11/06 11:30")
	if err := h.dispatcher.Move(ctx, "staff", h.messages("A1")[1].ID, h.clock.Add(time.Hour), time.Time{}); err != nil {
		t.Fatal(err)
	}
	h.one(file)
	h.expect(h.waiting("A1"), "3h0m0s 11/02 11:00")
	h.one(visits(visit("A1", "P1", "11/06/2026 03:30 PM", "Booked")))
	h.expect(h.waiting("A1"), "48h0m0s 11/04 15:30", "3h0m0s 11/06 12:30")
}

// TestOthersReminders: what another system scheduled for the same appointment is
// left alone, until the appointment is off. Other messages of it always are.
func TestOthersReminders(t *testing.T) {
	h := withPatients(t)
	at := time.Date(2026, 11, 6, 14, 30, 0, 0, denver)
	theirs := []dispatch.Request{
		{Patient: "P1", Category: "appointment_reminder", Template: "appointment_reminder", Variables: map[string]string{"appointment_time": at.Format(time.RFC3339), "location": "here"}, SendAt: at.Add(-24 * time.Hour), Reference: "A1"},
		{Patient: "P1", Category: "follow_up", Template: "follow_up", Variables: map[string]string{"text": "How was it?"}, SendAt: at.Add(24 * time.Hour), Reference: "A1"},
		{Patient: "P2", Category: "appointment_reminder", Template: "appointment_reminder", Variables: map[string]string{"appointment_time": at.Format(time.RFC3339), "location": "here"}, SendAt: at.Add(-20 * time.Hour), Reference: "A1"},
	}
	if got, _, err := h.dispatcher.Accept(context.Background(), "ehr", theirs, nil, nil); err != nil || got[0].Err != nil || got[1].Err != nil || got[2].Err != nil {
		t.Fatal(err, got)
	}
	h.one(visits(visit("A1", "P1", "11/06/2026 02:30 PM", "Booked")))
	h.one(visits(visit("A1", "P1", "11/06/2026 03:30 PM", "Booked")))
	h.expect(h.waiting("A1"), " 11/05 14:30", " 11/07 14:30", " 11/05 18:30", "48h0m0s 11/04 15:30", "3h0m0s 11/06 12:30")
	h.one(visits(visit("A1", "P1", "11/06/2026 03:30 PM", "Cancelled")))
	h.expect(h.waiting("A1"), " 11/07 14:30", " 11/05 18:30")
}

func TestPastAndOdd(t *testing.T) {
	h := withPatients(t)
	if _, err := h.intake.Put(context.Background(), "api", "P4", intake.Contact{Record: gateway.Record{BirthDate: "2012-01-01"}}); err != nil {
		t.Fatal(err)
	}
	h.patients(lines(row("P5", "Deceased Date=10/03/2026"), row("P6")))
	if err := h.intake.Erase(context.Background(), "staff", h.patient("P6").ID, "request"); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		line    string
		outcome imports.Outcome
		field   string
	}{
		{visit("A1", "P1", "11/01/2026 02:30 PM", "Booked"), imports.Skipped, "Start"},
		{visit("A2", "P1", "11/01/2026 02:30 PM", "No Show"), imports.Skipped, "Start"},
		{visit("A3", "P1", "11/06/2026 02:30 PM", "Bumpy"), imports.Rejected, "Status"},
		{visit("A4", "P1", "11/06/2026 02:30 PM", ""), imports.Rejected, "Status"},
		{visit("A5", "P1", "soon", "Booked"), imports.Rejected, "Start"},
		{visit("A6", "P1", "11/06/2036 02:30 PM", "Booked"), imports.Rejected, "Start"},
		{visit("A7", "P1", "03/14/2027 02:30 AM", "Booked"), imports.Rejected, "Start"},
		{visit("A8", "nobody", "11/06/2026 02:30 PM", "Booked"), imports.Rejected, "MRN"},
		{visit("A9", "P4", "11/06/2026 02:30 PM", "Booked"), imports.Rejected, "MRN"},
		{visit("A10", "P5", "11/06/2026 02:30 PM", "Booked"), imports.Rejected, "MRN"},
		{visit("A11", "P6", "11/06/2026 02:30 PM", "Booked"), imports.Rejected, "MRN"},
		{visit("", "P1", "11/06/2026 02:30 PM", "Booked"), imports.Rejected, "Appt ID"},
		{visit("A12", "", "11/06/2026 02:30 PM", "Booked"), imports.Rejected, "MRN"},
		{"A13,P1,Dr. Lee,Therapy,11/06/2026 02:30 PM,50,,America/Denver,Booked\n", imports.Rejected, ""},
		{"A14,P1,Dr. Lee,Therapy,11/06/2026 02:30 PM,50,Here,Mountain,Booked\n", imports.Rejected, "Time Zone"},
		{"A15,P1,Dr. Lee,Therapy,11/06/2026 02:30 PM,50," + strings.Repeat("x", 600) + ",,Booked\n", imports.Rejected, ""},
		{"A16,P1,\"Pat Doe, Psychologist\",Therapy,11/06/2026 02:30 PM,50,Here,,Booked\n", imports.Imported, "Clinician"},
		{"A17,P1,declined,Therapy,11/06/2026 02:30 PM,50,Anxiety Center,,Booked\n", imports.Imported, "Location"},
		{"\n", imports.Skipped, ""},
		{visit("A18", "P2", "11/06/2026 02:30 PM", "Booked"), imports.Imported, "-"},
	}
	var file []string
	for _, c := range tests {
		file = append(file, c.line)
	}
	for range 2 {
		report := h.appointments(visits(file...))
		for i, c := range tests {
			got := report.Rows[i]
			if got.Outcome == imports.Unchanged && c.outcome == imports.Imported {
				got.Outcome = imports.Imported // the second run
			}
			if got.Outcome != c.outcome || c.field != "-" && (len(got.Notes) != 1 || got.Notes[0].Field != c.field) || c.field == "-" && len(got.Notes) != 0 || got.Line != i+2 {
				t.Errorf("%q: %+v", c.line, got)
			}
		}
		if report.Past != 2 {
			t.Errorf("%d past", report.Past)
		}
	}
	if m := h.messages("A16"); len(m) != 2 || m[0].Body.Variables["clinician"] != "" {
		t.Errorf("%+v", m)
	}
	if m := h.messages("A17"); len(m) != 2 || m[0].Body.Variables["location"] != "Lakeside" {
		t.Errorf("%+v", m)
	}
	h.expect(h.waiting("A13"))
}

// TestRefusedAndTakenBack: a changed line that no reminder can be made of does not
// leave the old time waiting.
func TestRefusedAndTakenBack(t *testing.T) {
	h := withPatients(t)
	h.one(visits(visit("A1", "P1", "11/06/2026 02:30 PM", "Booked")))
	if got := h.one(visits("A1,P1,Dr. Lee,Therapy,11/07/2026 02:30 PM,50,,America/Denver,Booked\n")); got.Outcome != imports.Rejected || len(got.Notes) != 2 {
		t.Errorf("%+v", got)
	}
	h.expect(h.waiting("A1"))
	// A line that cannot be read at all changes nothing.
	h.one(visits(visit("A1", "P1", "11/06/2026 02:30 PM", "Booked")))
	h.one(visits(visit("A1", "P1", "11/66/2026 02:30 PM", "Booked")))
	h.expect(h.waiting("A1"), "48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30")
}

// TestNotOnFile: a minor's record was refused, and importing it again does not help;
// who is on hold is on file, and gets the reminders once the hold ends.
func TestNotOnFile(t *testing.T) {
	h := newHouse(t)
	h.patients(lines(row("P1", "DOB=03/16/2015", "Cell Phone=3035550101"), row("P2", "Cell Phone=3035550102", "Confidential Comm=see chart")))
	report := h.appointments(visits(visit("A1", "P1", "11/06/2026 02:30 PM", "Booked"), visit("A2", "P2", "11/06/2026 02:30 PM", "Booked")))
	minor := report.Rows[0]
	if minor.Outcome != imports.Rejected || len(minor.Notes) != 1 || !strings.Contains(minor.Notes[0].Why, "its report says why") {
		t.Errorf("%+v", minor)
	}
	if held := report.Rows[1]; held.Outcome != imports.Imported || len(held.Notes) != 0 {
		t.Errorf("%+v", held)
	}
}

func TestAppointmentTwice(t *testing.T) {
	h := withPatients(t)
	file := visits(
		visit("A1", "P1", "11/06/2026 02:30 PM", "Booked"), visit("A2", "P2", "11/06/2026 02:30 PM", "Booked"),
		visit("A1", "P1", "11/07/2026 02:30 PM", "Booked"), visit("A1", "P1", "never", "Booked"), visit("A2", "P2", "11/06/2026 02:30 PM", "Cancelled"),
	)
	report := h.appointments(file)
	var got []imports.Outcome
	for _, r := range report.Rows {
		got = append(got, r.Outcome)
	}
	if !slices.Equal(got, []imports.Outcome{imports.Imported, imports.Skipped, imports.Merged, imports.Rejected, imports.Merged}) {
		t.Errorf("%v", got)
	}
	h.expect(h.waiting("A1"), "48h0m0s 11/05 14:30", "3h0m0s 11/07 11:30")
	h.expect(h.waiting("A2"))
	before := h.contents(nil, []string{"A1", "A2"})
	h.appointments(file)
	h.same(before, h.contents(nil, []string{"A1", "A2"}))
}

// TestAnotherPolicy: reminders follow the policy's offsets.
func TestAnotherPolicy(t *testing.T) {
	h := withPatients(t)
	file := visits(visit("A1", "P1", "11/06/2026 02:30 PM", "Booked"))
	h.one(file)
	reminding := func(offsets ...string) *policy.Policy {
		f := policy.Default()
		f.ReminderOffsets = offsets
		p, err := policy.New(f)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	h.dispatcher.Policy = reminding("24h", "24h", "3h")
	if got := h.one(file); got.Outcome != imports.Moved {
		t.Errorf("%+v", got)
	}
	h.expect(h.waiting("A1"), "3h0m0s 11/06 11:30", "24h0m0s 11/05 14:30")
	h.dispatcher.Policy = h.policy
	h.dispatcher.Policy = reminding()
	if got := h.one(file); got.Outcome != imports.Moved {
		t.Errorf("%+v", got)
	}
	h.expect(h.waiting("A1"))
}

// TestBreakingOffAppointments: each appointment is whole, and the next run does the rest.
func TestBreakingOffAppointments(t *testing.T) {
	h := withPatients(t)
	var booked, moved []string
	for i := range 120 {
		id := fmt.Sprintf("A%d", i)
		booked = append(booked, visit(id, "P1", "11/06/2026 02:30 PM", "Booked"))
		moved = append(moved, visit(id, "P1", "11/07/2026 02:30 PM", "Booked"))
	}
	h.appointments(visits(booked...))
	commits, broken := 0, errors.New("the disk is full")
	h.dispatcher.Store = &brittle{h.db, func() error {
		if commits++; commits == 2 {
			return broken
		}
		return nil
	}}
	report, err := imports.Appointments(context.Background(), strings.NewReader(visits(moved...)), h.options())
	if !errors.Is(err, broken) || report.Counts[imports.Moved] != 50 || report.Lines != 50 {
		t.Errorf("%v %v", err, report.Counts)
	}
	for i := range 120 {
		if n := len(h.waiting(fmt.Sprintf("A%d", i))); n != 2 {
			t.Errorf("A%d: %d reminders wait", i, n)
		}
	}
	if report := h.appointments(visits(moved...)); report.Counts[imports.Moved] != 70 || report.Counts[imports.Unchanged] != 50 {
		t.Errorf("%v", report.Counts)
	}
}

// TestWordsDropped: the retention drops what a message said; its time still tells
// that it was sent.
func TestWordsDropped(t *testing.T) {
	h := withPatients(t)
	file := visits(visit("A1", "P1", "11/09/2026 08:00 AM", "Booked"))
	h.one(file)
	h.at("2026-11-08 21:00")
	h.becomes("A1", gateway.Delivered, "")
	h.at("2026-11-09 04:00")
	sql, _ := h.db.SQL()
	if _, err := sql.Exec("UPDATE messages SET sealed = NULL"); err != nil {
		t.Fatal(err)
	}
	if got := h.one(file); got.Outcome != imports.Unchanged {
		t.Errorf("%+v", got)
	}
	h.expect(h.waiting("A1"))
	h.one(visits(visit("A1", "P1", "11/09/2026 02:30 PM", "Booked")))
	h.expect(h.waiting("A1"), "3h0m0s 11/09 11:30")
}

// TestItsTimeHasCome: what still waits when its appointment is over ends by its own
// rules; one that was moved into the past does not go out.
func TestItsTimeHasCome(t *testing.T) {
	h := withPatients(t)
	file := visits(visit("A1", "P1", "11/06/2026 02:30 PM", "Booked"))
	h.one(file)
	if got := h.one(visits(visit("A1", "P1", "10/30/2026 02:30 PM", "Booked"))); got.Outcome != imports.Skipped {
		t.Errorf("%+v", got)
	}
	h.expect(h.waiting("A1"))
	h.one(file)
	h.at("2026-11-06 14:31")
	if got := h.one(file); got.Outcome != imports.Skipped {
		t.Errorf("%+v", got)
	}
	h.expect(h.waiting("A1"), "48h0m0s 11/04 14:30", "3h0m0s 11/06 11:30")
}

// TestHeldPatientsReminders: reminders of a patient on hold wait, and end with a person.
func TestHeldPatientsReminders(t *testing.T) {
	h := newHouse(t)
	h.patients(lines(row("P1", "Cell Phone=3035550101", "Confidential Comm=see chart")))
	h.one(visits(visit("A1", "P1", "11/06/2026 02:30 PM", "Booked")))
	if m := h.messages("A1"); len(m) != 2 || m[0].Status != gateway.Waiting {
		t.Errorf("%+v", m)
	}
	if p := h.patient("P1"); p.Snapshot.Addresses[0].Kind != channels.Phone || p.Snapshot.Standing != preferences.Active {
		t.Errorf("%+v", p.Snapshot)
	}
}
