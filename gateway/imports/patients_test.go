package imports_test

import (
	"context"
	"encoding/json"
	"errors"
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

const head = "MRN,First Name,Last Name,DOB,Preferred Language,Home Phone,Cell Phone,Work Phone,Email,State,ZIP,Preferred Contact,OK to Text,OK to Email,OK to Leave VM,Confidential Comm,Deceased Date\n"

// row writes a line of head: NAME=VALUE where it differs from an adult without addresses.
func row(id string, fields ...string) string {
	columns := strings.Split(strings.TrimSpace(head), ",")
	line := make([]string, len(columns))
	line[0], line[3] = id, "04/02/1980"
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		line[slices.Index(columns, name)] = value
	}
	return strings.Join(line, ",") + "\n"
}

func lines(rows ...string) string { return head + strings.Join(rows, "") }

// messy is a file with everything that goes wrong in one.
const messyFile = "\ufeff" + "MRN,First Name,Last Name,DOB,Preferred Language,Home Phone,Cell Phone,Work Phone,Email,State,ZIP,Preferred Contact,OK to Text,OK to Email,OK to Leave VM,Confidential Comm,Deceased Date,Shoe Size\r\n" +
	"P1,Ann,Lee,04/02/1980,English,(303) 555-0101,1-303-555-0102,303.555.0103 x7,Ann@Patients.Example,CO,80202,Home,Y,Y,Y,,,9\r\n" + // 2
	"P2,Ben,Cruz,1975-11-30,Español,declined,+1 303 555 0104,n/a,no email,CO,80202-1234,Text,N,N,,,,\r\n" + // 3
	"P3,Cai,Kim,07/19/1992,Vietnamese,,303-555-0105,,cai@patients.example,CO,80203,Carrier pigeon,Y,Y,,email only,,\r\n" + // 4
	"P4,Dee,Ruiz,01/08/1966,,,3035550106,,,CO,80218,,Y,Y,,Do NOT call home - ex-husband,,\r\n" + // 5
	"P5,Eve,Haddad,03/16/2011,,,3035550107,,,CO,80218,,,,,,,\r\n" + // 6: a minor
	"P6,Fay,Patel,31/31/1980,,,3035550108,,,CO,80218,,,,,,,\r\n" + // 7: no day
	",No,Body,01/01/1980,,,,,,,,,,,,,,\r\n" + // 8: no id
	"P1,Ann,Lee-Smith,04/02/1980,English,,(720) 555-0109,,ANN@patients.example,CO,80203,,N,Y,Y,,,\r\n" + // 9: again
	"P7,Gus,Brown,02/03/1950,,,(303) 123-456,,gus at home,Colorado,8020,,N,N,N,,10/03/2026,\r\n" + // 10
	"P8,\"Hal \"\"Bo\"\" Dyke\",Van,12/01/1961,,000-000-0000,303-555-0111,,none@,CO,80202,,maybe,Y,,\"no\",,\r\n" + // 11
	"P9,Ida,Okafor,12/01/1961,,,303-555-0112,,,CO,80202,,Y,Y,,\"mail to PO Box 12,\nring twice\",,\r\n" + // 12 and 13
	"P10,too,few\r\n" + // 14
	"P11,Jo \"J\" Muñoz,Van,12/01/1961,,,303-555-0113,,,CO,80202,,Y,Y,,,,\r\n" + // 15
	"\r\n" + // 16
	"P12,Kay,Begay,12/01/1961,,,303-555-0114,,,CO,80202,,N,Y,N,text only,,\r\n" + // 17
	"P4,Dee,Ruiz,01/09/1966,,,3035550106,,,CO,80218,,Y,Y,,Do NOT call home - ex-husband,,\r\n" + // 18: another birth date
	"P5,Eve,Haddad,03/16/2011,,,3035550107,,,CO,80218,,,,,,,\r\n" + // 19: a minor again
	",,,,,,,,,,,,,,,,,\r\n" // 20

var everybody = []string{"P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10", "P11", "P12"}

func TestMess(t *testing.T) {
	h := newHouse(t)
	first := h.patients(messyFile)
	want := map[int]imports.Outcome{
		2: imports.Imported, 3: imports.Imported, 4: imports.Imported, 5: imports.Rejected, 6: imports.Rejected, 7: imports.Rejected, 8: imports.Rejected,
		9: imports.Merged, 10: imports.Held, 11: imports.Imported, 12: imports.Held, 14: imports.Rejected, 15: imports.Rejected, 16: imports.Skipped, 17: imports.Held,
		18: imports.Rejected, 19: imports.Rejected, 20: imports.Skipped,
	}
	for _, r := range first.Rows {
		if r.Outcome != want[r.Line] {
			t.Errorf("line %d: %s, want %s %v", r.Line, r.Outcome, want[r.Line], r.Notes)
		}
	}
	if first.Lines != len(want) || first.Minors != 2 || !slices.Equal(first.Ignored, []string{"Shoe Size"}) {
		t.Errorf("%d lines, %d minors, %v ignored", first.Lines, first.Minors, first.Ignored)
	}
	for _, ref := range []string{"P4", "P5", "P6", "P10", "P11"} {
		if _, err := h.db.PatientID(context.Background(), ref); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("%s is stored: %v", ref, err)
		}
	}
	before := h.contents(everybody, nil)
	for range 2 {
		h.clock = h.clock.Add(24 * time.Hour)
		again := h.patients(messyFile)
		if again.Counts[imports.Imported] != 0 || again.Counts[imports.Unchanged] != first.Counts[imports.Imported] || again.Counts[imports.Held] != first.Counts[imports.Held] {
			t.Errorf("a second run: %v", again.Counts)
		}
		h.same(before, h.contents(everybody, nil))
	}
	if v, err := h.db.Verify(context.Background()); err != nil || len(v.Faults) > 0 {
		t.Error(v.Faults, err)
	}
}

func TestMessIsRead(t *testing.T) {
	h := newHouse(t)
	report := h.patients(messyFile)
	ann, ben := h.patient("P1"), h.patient("P2")
	// The preferred phone first, then cell, home, work; of the two lines the later one's, and its names.
	if got := onRecord(ann); !slices.Equal(got, []string{"+13035550101 unknown", "+13035550102 mobile", "+17205550109 mobile", "+13035550103 unknown", "ann@patients.example unknown"}) {
		t.Errorf("%q", got)
	}
	if ann.Record != (gateway.Record{GivenName: "Ann", FamilyName: "Lee-Smith", BirthDate: "1980-04-02", Locale: "en", PostalCode: "80203", State: "CO"}) {
		t.Errorf("%+v", ann.Record)
	}
	if got := optedOut(ann); !slices.Equal(got, []channels.Channel{channels.SMS}) || !slices.Equal(ann.Snapshot.Care.Order, []channels.Channel{channels.Voice}) {
		t.Errorf("%v, %+v", got, ann.Snapshot.Care)
	}
	if got := onRecord(ben); !slices.Equal(got, []string{"+13035550104 mobile"}) || ben.Record.Locale != "es" {
		t.Errorf("%q, %+v", got, ben.Record)
	}
	if !slices.Equal(ben.Snapshot.Care.Declined, []channels.Channel{channels.SMS, channels.Email}) || !slices.Equal(optedOut(ben), []channels.Channel{channels.SMS, channels.Email}) {
		t.Errorf("%+v", ben.Snapshot)
	}
	gus := h.patient("P7")
	if gus.Snapshot.Standing != preferences.Deceased || !gus.Snapshot.Confidential.Hold || len(onRecord(gus)) != 0 || gus.Record.State != "" || gus.Record.PostalCode != "" {
		t.Errorf("%+v %+v", gus.Record, gus.Snapshot)
	}
	if got := h.patient("P8"); !slices.Equal(optedOut(got), []channels.Channel{channels.SMS}) || got.Snapshot.Confidential != nil || got.Record.GivenName != `Hal "Bo" Dyke` {
		t.Errorf("a flag that nobody understands: %+v", got.Snapshot)
	}
	quotes := map[string]bool{}
	for _, task := range h.tasks() {
		if task.Kind != gateway.TaskHold {
			t.Errorf("%+v", task)
		}
		quotes[task.Detail.Quote] = true
	}
	if len(quotes) != 3 || !quotes["mail to PO Box 12,\nring twice"] || !quotes["text only"] || !quotes[""] {
		t.Errorf("%v", quotes)
	}
	// The report names columns and never what stands in them.
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, private := range []string{"0101", "0106", "0108", "Ann", "Haddad", "1980", "2011", "patients.example", "PO Box", "pigeon", "maybe", "123-456", "P1\"", "ex-husband", "Vietnamese", "8020"} {
		if strings.Contains(string(text), private) {
			t.Errorf("the report repeats %q: %s", private, text)
		}
	}
	for _, field := range []string{"Preferred Language", "Preferred Contact", "Cell Phone", "Email", "State", "ZIP", "OK to Text", "DOB", "MRN", "Confidential Comm"} {
		if !strings.Contains(string(text), `"field":"`+field+`"`) {
			t.Errorf("the report says nothing of %s", field)
		}
	}
}

// TestLinesOfOnePatient: a refusal and a note count from whichever line, a death too.
func TestLinesOfOnePatient(t *testing.T) {
	h := newHouse(t)
	report := h.patients(lines(
		row("P1", "Cell Phone=3035550101", "OK to Text=N", "Confidential Comm=Cell only", "Deceased Date=10/03/2026", "Preferred Contact=Text"),
		row("P2", "Cell Phone=3035550103", "Confidential Comm=text only"),
		row("P1", "Cell Phone=(303) 555-0101", "Home Phone=3035550102", "OK to Text=Y"),
		row("P2", "Email=bea@patients.example", "Confidential Comm=email only"),
	))
	p := h.patient("P1")
	if !slices.Equal(optedOut(p), []channels.Channel{channels.SMS}) || p.Snapshot.Standing != preferences.Deceased || !slices.Equal(p.Snapshot.Care.Order, []channels.Channel{channels.SMS}) ||
		!slices.Equal(pairs(p), []string{"sms +13035550101", "voice +13035550101"}) || len(onRecord(p)) != 2 {
		t.Errorf("%+v", p.Snapshot)
	}
	if p := h.patient("P2"); !p.Snapshot.Confidential.Hold || h.tasks()[0].Detail.Quote != "text only\nemail only" {
		t.Errorf("different notes: %+v %+v", p.Snapshot.Confidential, h.tasks())
	}
	if report.Counts[imports.Merged] != 2 || report.Rows[2].Outcome != imports.Merged || report.Rows[3].Outcome != imports.Merged {
		t.Errorf("%+v", report)
	}
}

// decide asks the policy about a care message to a patient.
func (h *house) decide(ref, category string) policy.Decision {
	h.Helper()
	got, err := h.dispatcher.DryRun(context.Background(), dispatch.Ask{Patient: h.patient(ref).ID, Category: category})
	if err != nil {
		h.Fatal(err)
	}
	return got.Decision
}

func TestEmailOnly(t *testing.T) {
	h := newHouse(t)
	h.patients(lines(row("P1", "Cell Phone=3035550101", "Email=ann@patients.example", "Confidential Comm=Email only.")))
	p := h.patient("P1")
	if p.Snapshot.Confidential.Hold || !slices.Equal(pairs(p), []string{"email ann@patients.example"}) {
		t.Fatalf("%+v", p.Snapshot.Confidential)
	}
	if d := h.decide("P1", "appointment_reminder"); d.Outcome != policy.Send || d.Pair.Channel != channels.Email {
		t.Errorf("%+v", d)
	}
	if len(h.tasks()) != 0 {
		t.Errorf("%+v", h.tasks())
	}
	// Kept in one commit: everything has one instant.
	events := h.ledger("P1")
	for _, e := range events {
		if e.At != events[0].At || e.Source != preferences.FromImport {
			t.Errorf("%+v", e)
		}
	}
}

func TestAnyOtherNoteHolds(t *testing.T) {
	h := newHouse(t)
	report := h.patients(lines(
		row("P1", "Cell Phone=3035550101", "Email=ann@patients.example", "Confidential Comm=Do NOT call home - ex-husband"),
		row("P2", "Cell Phone=3035550102", "Confidential Comm=email only"), // no mailbox
		row("P3", "Cell Phone=3035550103", "Confidential Comm=text only", "OK to Text=N"),
		row("P4", "Cell Phone=3035550104", "Confidential Comm=letters only"),
	))
	if report.Counts[imports.Held] != 3 || report.Counts[imports.Imported] != 1 {
		t.Errorf("%v", report.Counts)
	}
	for _, ref := range []string{"P1", "P2", "P3", "P4"} {
		p := h.patient(ref)
		if p.Snapshot.Confidential == nil || len(p.Snapshot.Confidential.Only) != 0 || p.Snapshot.Confidential.Hold != (ref != "P4") {
			t.Errorf("%s: %+v", ref, p.Snapshot.Confidential)
		}
		if d := h.decide(ref, "appointment_reminder"); d.Outcome != policy.NeedsStaff {
			t.Errorf("%s: %+v", ref, d)
		}
	}
	tasks := h.tasks()
	if len(tasks) != 3 || tasks[0].Patient != h.patient("P1").ID || tasks[0].Detail.Quote != "Do NOT call home - ex-husband" || len(tasks[0].Detail.Reasons) == 0 {
		t.Errorf("%+v", tasks)
	}
}

// TestReleasedStaysReleased: staff end a hold, and the same note every night does
// not bring it back; another note does.
func TestReleasedStaysReleased(t *testing.T) {
	h := newHouse(t)
	file := lines(row("P1", "Cell Phone=3035550101", "Confidential Comm=see chart"))
	h.patients(file)
	if err := h.intake.EndConfidential(context.Background(), "staff", h.patient("P1").ID); err != nil {
		t.Fatal(err)
	}
	version := h.patient("P1").Snapshot.Version
	if r := h.patients(file); r.Counts[imports.Unchanged] != 1 || h.patient("P1").Snapshot.Version != version || h.patient("P1").Snapshot.Confidential != nil {
		t.Errorf("%v, %+v", r.Counts, h.patient("P1").Snapshot)
	}
	if r := h.patients(lines(row("P1", "Cell Phone=3035550101"))); r.Counts[imports.Imported] != 1 || h.patient("P1").Snapshot.Confidential != nil {
		t.Errorf("the note is gone: %v, %+v", r.Counts, h.patient("P1").Snapshot.Confidential)
	}
	if r := h.patients(lines(row("P1", "Cell Phone=3035550101", "Confidential Comm=call my sister"))); r.Counts[imports.Held] != 1 || len(h.tasks()) != 2 {
		t.Errorf("another note: %v", r.Counts)
	}
}

func TestAHoldEndsOnlyByAPerson(t *testing.T) {
	h := newHouse(t)
	h.patients(lines(row("P1", "Email=ann@patients.example", "Confidential Comm=see chart")))
	for night, note := range []string{"email only", "", "call my sister"} {
		r := h.patients(lines(row("P1", "Email=ann@patients.example", "Confidential Comm="+note)))
		if p := h.patient("P1"); !p.Snapshot.Confidential.Hold || r.Counts[imports.Held] != 1 {
			t.Errorf("night %d: %v, %+v", night, r.Counts, p.Snapshot.Confidential)
		}
	}
	var quotes []string
	for _, task := range h.tasks() {
		quotes = append(quotes, task.Detail.Quote)
	}
	if !slices.Equal(quotes, []string{"see chart", "email only", "call my sister"}) {
		t.Errorf("%q", quotes)
	}
}

// TestInstructionFollowsTheRecord: "cell only" is the cell they have now. The old
// number may be somebody else's by tomorrow.
func TestInstructionFollowsTheRecord(t *testing.T) {
	h := newHouse(t)
	file := func(cell, note string) string {
		return lines(row("P1", "Home Phone=3035550100", "Cell Phone="+cell, "Email=ann@patients.example", "Confidential Comm="+note))
	}
	h.patients(file("3035550101", "cell only"))
	h.patients(file("3035550102", "cell only"))
	if got := pairs(h.patient("P1")); !slices.Equal(got, []string{"sms +13035550102", "voice +13035550102"}) {
		t.Errorf("%q", got)
	}
	h.patients(file("3035550102", "email only"))
	if got := pairs(h.patient("P1")); !slices.Equal(got, []string{"email ann@patients.example"}) {
		t.Errorf("another note: %q", got)
	}
	h.patients(file("3035550102", ""))
	if got := pairs(h.patient("P1")); !slices.Equal(got, []string{"email ann@patients.example"}) {
		t.Errorf("the note is gone: %q", got)
	}
	h.patients(file("3035550102", "cell only"))
	if got := pairs(h.patient("P1")); !slices.Equal(got, []string{"sms +13035550102", "voice +13035550102"}) {
		t.Errorf("it is back: %q", got)
	}
	if r := h.patients(file("none", "cell only")); r.Counts[imports.Held] != 1 || len(h.tasks()) != 1 {
		t.Errorf("no cell any more: %v", r.Counts)
	}
}

// TestAPersonsInstructionStands: what staff set gives way to nothing wider.
func TestAPersonsInstructionStands(t *testing.T) {
	ctx := context.Background()
	mail := intake.Way{Channel: channels.Email, Address: "ann@patients.example"}
	text := intake.Way{Channel: channels.SMS, Address: "+13035550101"}
	for name, c := range map[string]struct {
		only []intake.Way
		hold bool // of staff
		note string
		want []string
		held bool
		task int
	}{
		"the same":           {[]intake.Way{mail}, false, "email only", []string{"email ann@patients.example"}, false, 0},
		"a narrower one":     {[]intake.Way{mail}, false, "text or email only", []string{"email ann@patients.example"}, false, 0},
		"letters":            {nil, false, "email only", nil, false, 0},
		"another way":        {[]intake.Way{text}, false, "email only", nil, true, 1},
		"a wider one":        {[]intake.Way{mail, text}, false, "email only", nil, true, 1},
		"words":              {[]intake.Way{mail}, false, "see chart", nil, true, 1},
		"words, and on hold": {nil, true, "see chart", nil, true, 1},
	} {
		h := newHouse(t)
		file := func(note string) string {
			return lines(row("P1", "Cell Phone=3035550101", "Email=ann@patients.example", "Confidential Comm="+note))
		}
		h.patients(file(""))
		if err := h.intake.SetConfidential(ctx, "staff", h.patient("P1").ID, intake.Confidential{Only: c.only, Hold: c.hold, Source: preferences.FromStaff}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			h.patients(file(c.note))
			p := h.patient("P1")
			if !slices.Equal(pairs(p), c.want) || p.Snapshot.Confidential.Hold != c.held || len(h.tasks()) != c.task {
				t.Errorf("%s: %q, %+v, %d tasks", name, pairs(p), p.Snapshot.Confidential, len(h.tasks()))
			}
		}
	}
}

// TestNoIsSaidOnce: what the patient says later stands against the same N every
// night, and a new N counts anew.
func TestNoIsSaidOnce(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	file := func(flag string) string { return lines(row("P1", "Cell Phone=3035550101", "OK to Text="+flag)) }
	last := func() string {
		in, out := int64(0), int64(0)
		for _, c := range h.patient("P1").Snapshot.Choices {
			if c.In {
				in = c.At
			} else {
				out = c.At
			}
		}
		if in > out {
			return "in"
		}
		return "out"
	}
	h.patients(file("N"))
	if p := h.patient("P1"); last() != "out" || !slices.Contains(p.Snapshot.Care.Declined, channels.SMS) {
		t.Fatalf("%+v", p.Snapshot)
	}
	h.clock = h.clock.Add(time.Hour)
	said := intake.Said{
		Choices: []intake.Choice{{Topic: preferences.TopicNonEssential, Channel: channels.SMS, In: true}}, CareChannels: &preferences.CareChannels{},
		Source: preferences.FromWeb,
	}
	if err := h.intake.Prefer(ctx, "web", h.patient("P1").ID, said); err != nil {
		t.Fatal(err)
	}
	for _, night := range []struct{ flag, last string }{{"N", "in"}, {"N", "in"}, {"Y", "in"}, {"Y", "in"}, {"N", "out"}, {"N", "out"}, {"", "out"}, {"Y", "out"}} {
		h.clock = h.clock.Add(24 * time.Hour)
		h.patients(file(night.flag))
		if got := last(); got != night.last {
			t.Errorf("%q: the last word is %s", night.flag, got)
		}
	}
}

func TestNoToEverything(t *testing.T) {
	h := newHouse(t)
	report := h.patients(lines(row("P1", "Cell Phone=3035550101", "Email=ann@patients.example", "OK to Text=N", "OK to Email=N", "OK to Leave VM=N")))
	p := h.patient("P1")
	if report.Counts[imports.Held] != 1 || !p.Snapshot.Confidential.Hold || len(h.tasks()) != 1 {
		t.Errorf("%v, %+v", report.Counts, p.Snapshot)
	}
	if !slices.Equal(p.Snapshot.Care.Declined, []channels.Channel{channels.SMS, channels.Voice}) || len(optedOut(p)) != 3 {
		t.Errorf("%+v", p.Snapshot)
	}
	// Two by the patient, the third by the export.
	h.patients(lines(row("P2", "Email=bea@patients.example")))
	if err := h.intake.Prefer(context.Background(), "web", h.patient("P2").ID, intake.Said{
		CareChannels: &preferences.CareChannels{Declined: []channels.Channel{channels.SMS, channels.Voice}}, Source: preferences.FromWeb,
	}); err != nil {
		t.Fatal(err)
	}
	h.patients(lines(row("P2", "Email=bea@patients.example", "OK to Email=N")))
	if p := h.patient("P2"); p.Snapshot.Confidential == nil || !p.Snapshot.Confidential.Hold || len(p.Snapshot.Care.Declined) != 2 {
		t.Errorf("%+v", p.Snapshot)
	}
}

// TestAHoldNamesItsColumns: the report says which columns a hold comes from and why,
// on a second run too, and the task does not send anybody to a note that is not there.
func TestAHoldNamesItsColumns(t *testing.T) {
	flags := []string{"Cell Phone=3035550101", "Email=ann@patients.example", "OK to Text=N", "OK to Email=N", "OK to Leave VM=N"}
	const hold = "on hold: nothing goes out until a person has looked (`heed tasks list`) and ended the hold. "
	none := imports.Note{Field: "OK to Text, OK to Email, OK to Leave VM", Why: hold + "No channel would be left."}
	free := imports.Note{Field: "Confidential Comm", Why: hold + "The note is in free words."}
	for name, c := range map[string]struct {
		row   string
		notes []imports.Note
		title string
	}{
		"flags":          {row("P1", flags...), []imports.Note{none}, "Ask how"},
		"flags and note": {row("P1", append(flags, "Confidential Comm=not my mother")...), []imports.Note{none, free}, "Read the note"},
		"note":           {row("P1", flags[0], "Confidential Comm=not my mother"), []imports.Note{free}, "Read the note"},
		"signs alone":    {row("P1", flags[0], "Confidential Comm=\U0001F6AB\U0001F4DE\u2709\ufe0f"), []imports.Note{free}, "Read the note"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			for run := range 2 {
				report := h.patients(lines(c.row))
				if got := report.Rows[0]; got.Outcome != imports.Held || !slices.Equal(got.Notes, c.notes) {
					t.Errorf("run %d: %+v", run+1, got)
				}
			}
			tasks := h.tasks()
			if len(tasks) != 1 || !strings.Contains(tasks[0].Detail.Title, c.title) {
				t.Errorf("%+v", tasks)
			}
		})
	}
}

func TestNoNote(t *testing.T) {
	for _, note := range []string{"", "-", "--", "—", ".", "n/a", "N/A", "None", "no"} {
		h := newHouse(t)
		if report := h.patients(lines(row("P1", "Cell Phone=3035550101", "Confidential Comm="+note))); report.Counts[imports.Held] != 0 {
			t.Errorf("%q is held: %+v", note, report.Rows)
		}
	}
}

func TestPreferredContactAsksNobodyTwice(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	order := func(preferred, no string) []channels.Channel {
		h.patients(lines(row("P1", "Cell Phone=3035550101", "Email=ann@patients.example", "Preferred Contact="+preferred, "OK to Leave VM="+no)))
		return h.patient("P1").Snapshot.Care.Order
	}
	sms, email := []channels.Channel{channels.SMS}, []channels.Channel{channels.Email}
	if got := order("Text", ""); !slices.Equal(got, sms) {
		t.Errorf("%v", got)
	}
	if got := order("Email", ""); !slices.Equal(got, email) {
		t.Errorf("the export changed its own word: %v", got)
	}
	if got := order("Mail", ""); !slices.Equal(got, email) {
		t.Errorf("letters are no channel: %v", got)
	}
	if err := h.intake.Prefer(ctx, "web", h.patient("P1").ID, intake.Said{CareChannels: &preferences.CareChannels{Order: sms}, Source: preferences.FromWeb}); err != nil {
		t.Fatal(err)
	}
	if got := order("Email", "N"); !slices.Equal(got, sms) {
		t.Errorf("the patient chose: %v", got)
	}
	if got := order("Phone", "N"); !slices.Equal(got, sms) {
		t.Errorf("the patient chose, and an import wrote it down again: %v", got)
	}
}
