package imports_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/imports"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
)

// put puts a record on file as the API does.
func (h *house) put(ref string, c intake.Contact) {
	h.Helper()
	if _, err := h.intake.Put(context.Background(), "api", ref, c); err != nil {
		h.Fatal(err)
	}
}

func phoneOn(number string, line preferences.LineType) []intake.ContactAddress {
	return []intake.ContactAddress{{Kind: channels.Phone, Value: number, Line: line, Rank: 1}}
}

// TestWhatIsNotSaidStays: a column that is not there, and an empty field of the
// record, take nothing away.
func TestWhatIsNotSaidStays(t *testing.T) {
	h := newHouse(t)
	record := gateway.Record{GivenName: "Ann", BirthDate: "1980-04-02", TimeZone: "America/Boise", PostalCode: "83702", State: "ID", Locale: "es"}
	h.put("P1", intake.Contact{Record: record, Addresses: append(phoneOn("+12085550101", preferences.Mobile), intake.ContactAddress{Kind: channels.Mailbox, Value: "ann@patients.example", Rank: 2})})
	h.patients("MRN,DOB,Last Name\nP1,04/02/1980,Lee\n")
	record.FamilyName = "Lee"
	if p := h.patient("P1"); p.Record != record || !slices.Equal(onRecord(p), []string{"+12085550101 mobile", "ann@patients.example unknown"}) {
		t.Errorf("%+v %q", p.Record, onRecord(p))
	}
	h.patients("MRN,DOB,Cell Phone,ZIP,OK to Text\nP1,,declined,,N\n")
	if p := h.patient("P1"); p.Record != record || !slices.Equal(onRecord(p), []string{"ann@patients.example unknown"}) || len(optedOut(p)) != 1 {
		t.Errorf("%+v %q", p.Record, onRecord(p))
	}
	// A file without the column says nothing of it: the same N later is no news.
	version := h.patient("P1").Snapshot.Version
	h.patients("MRN,DOB\nP1,04/02/1980\n")
	h.patients("MRN,DOB,OK to Text\nP1,04/02/1980,N\n")
	if got := h.patient("P1").Snapshot.Version; got != version {
		t.Error("the version moved")
	}
}

func TestBirthDateOnFileStays(t *testing.T) {
	h := newHouse(t)
	h.put("P1", intake.Contact{Record: gateway.Record{BirthDate: "1980-04-02"}})
	h.put("P2", intake.Contact{Record: gateway.Record{BirthDate: "1980-04-02"}})
	report := h.patients("MRN,DOB,OK to Text\nP1,31/31/1980,N\nP2,,N\nP3,31/31/1980,N\nP4,,N\n")
	for _, ref := range []string{"P1", "P2"} {
		if p := h.patient(ref); p.Record.BirthDate != "1980-04-02" || len(optedOut(p)) != 1 {
			t.Errorf("%s: %+v", ref, p)
		}
	}
	if report.Counts[imports.Imported] != 2 || report.Counts[imports.Rejected] != 2 || len(report.Rows[0].Notes) != 1 || len(report.Rows[2].Notes) != 1 {
		t.Errorf("%+v", report)
	}
}

// TestMinors: refused, counted and never stored; what is on file already is left.
func TestMinors(t *testing.T) {
	h := newHouse(t)
	h.put("P2", intake.Contact{Record: gateway.Record{BirthDate: "1980-04-02"}, Addresses: phoneOn("+13035550101", preferences.Mobile)})
	version := h.patient("P2").Snapshot.Version
	// The 18th birthday is tomorrow; and today, but not yet in Samoa, where somebody may live of whom nothing is known.
	report := h.patients("MRN,DOB,State\nP1,11/03/2008,CO\nP2,11/03/2012,CO\nP3,11/02/2008,CO\nP4,11/02/2008,\n")
	if report.Minors != 2 || report.Counts[imports.Rejected] != 2 || report.Counts[imports.Imported] != 2 {
		t.Errorf("%+v", report)
	}
	if _, err := h.db.PatientID(context.Background(), "P1"); !errors.Is(err, gateway.ErrNotFound) {
		t.Error("a minor is stored")
	}
	if p := h.patient("P2"); p.Snapshot.Version != version || p.Record.BirthDate != "1980-04-02" || len(h.tasks()) != 0 {
		t.Errorf("%+v", p)
	}
}

func TestErasedStaysErased(t *testing.T) {
	h := newHouse(t)
	file := lines(row("P1", "Cell Phone=3035550101"), row("P2", "Cell Phone=3035550102"))
	h.patients(file)
	id := h.patient("P1").ID
	if err := h.intake.Erase(context.Background(), "staff", id, "request"); err != nil {
		t.Fatal(err)
	}
	report := h.patients(file)
	if report.Counts[imports.Rejected] != 1 || report.Counts[imports.Unchanged] != 1 || report.Rows[0].Notes[0].Field != "MRN" {
		t.Errorf("%+v", report)
	}
	if p := h.patient("P1"); p.Snapshot.Standing != preferences.Erased || p.Record != (gateway.Record{}) {
		t.Errorf("%+v", p)
	}
}

func TestTheDeadAreNotRevived(t *testing.T) {
	h := newHouse(t)
	h.patients(lines(row("P1", "Deceased Date=10/03/2026")))
	report := h.patients(lines(row("P1")))
	if p := h.patient("P1"); p.Snapshot.Standing != preferences.Deceased || report.Counts[imports.Unchanged] != 1 || len(report.Rows[0].Notes) != 1 {
		t.Errorf("%+v %+v", p.Snapshot, report)
	}
}

// TestNothingIsLoosened: a landline that the carrier told of, a bad address, a stop
// and an opt-out survive every import.
func TestNothingIsLoosened(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	file := lines(row("P1", "Home Phone=3035550102", "Cell Phone=3035550101", "Email=ann@patients.example", "OK to Text=Y", "OK to Email=Y"))
	h.patients(file)
	p := h.patient("P1")
	cell, mailbox := p.Snapshot.Addresses[0].ID, p.Snapshot.Addresses[2].ID
	events := []preferences.Event{
		{ID: h.intake.NewID(), Kind: preferences.AddressLandline, At: h.clock.UnixMicro(), Address: cell},
		{ID: h.intake.NewID(), Kind: preferences.AddressBad, At: h.clock.UnixMicro(), Address: mailbox},
	}
	report := gateway.NumberFact{Number: "ann@patients.example", Event: preferences.Event{
		ID: h.intake.NewID(), Kind: preferences.SpamReported, At: h.clock.UnixMicro(), Said: h.clock.UnixMicro(),
	}}
	if _, err := h.db.Commit(ctx, gateway.Change{
		At: h.clock, Numbers: []gateway.NumberFact{report}, Patients: []gateway.PatientFact{{Patient: p.ID, Expect: -1, Events: events}},
	}); err != nil {
		t.Fatal(err)
	}
	if err := h.intake.Stop(ctx, "staff", "+13035550101", channels.Care, true, nil); err != nil {
		t.Fatal(err)
	}
	if err := h.intake.OptOut(ctx, "page", p.ID, preferences.TopicMarketing, 0, preferences.FromWeb); err != nil {
		t.Fatal(err)
	}
	before := h.patient("P1")
	if report := h.patients(file); report.Counts[imports.Unchanged] != 1 {
		t.Errorf("%v", report.Counts)
	}
	// A record that changes keeps them too.
	h.patients(strings.Replace(file, "P1,,", "P1,Ann,", 1))
	after := h.patient("P1")
	if after.Record.GivenName != "Ann" || after.Snapshot.Version == before.Snapshot.Version {
		t.Errorf("%+v", after)
	}
	after.Snapshot.Version = before.Snapshot.Version
	if !reflect.DeepEqual(after.Snapshot, before.Snapshot) || before.Snapshot.Addresses[0].Line != preferences.Landline {
		t.Errorf("%+v\n%+v", before.Snapshot, after.Snapshot)
	}
}

// TestKnownLinesStay: a number that is known as a mobile stays one under "home".
func TestKnownLinesStay(t *testing.T) {
	h := newHouse(t)
	h.put("P1", intake.Contact{Record: gateway.Record{BirthDate: "1980-04-02"}, Addresses: phoneOn("+13035550101", preferences.Mobile)})
	h.patients(lines(row("P1", "Home Phone=3035550101")))
	if got := onRecord(h.patient("P1")); !slices.Equal(got, []string{"+13035550101 mobile"}) {
		t.Errorf("%q", got)
	}
}

// brittle is a store in which somebody else is quicker, or that fails.
type brittle struct {
	gateway.Store
	before func() error
}

func (b *brittle) Commit(ctx context.Context, c gateway.Change) (gateway.Kept, error) {
	if err := b.before(); err != nil {
		return gateway.Kept{}, err
	}
	return b.Store.Commit(ctx, c)
}

// TestSomebodyElseIsQuicker: an instruction that staff set between the reading and
// the commit is seen.
func TestSomebodyElseIsQuicker(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	h.patients(lines(row("P1", "Cell Phone=3035550101", "Email=ann@patients.example")))
	id := h.patient("P1").ID
	direct := *h.intake
	once := true
	h.intake.Store = &brittle{h.db, func() error {
		if !once {
			return nil
		}
		once = false
		only := []intake.Way{{Channel: channels.SMS, Address: "+13035550101"}}
		return direct.SetConfidential(ctx, "staff", id, intake.Confidential{Only: only, Source: preferences.FromStaff})
	}}
	report := h.patients(lines(row("P1", "Cell Phone=3035550101", "Email=ann@patients.example", "Confidential Comm=email only"), row("P2", "Cell Phone=3035550102")))
	if p := h.patient("P1"); !p.Snapshot.Confidential.Hold || len(h.tasks()) != 1 || report.Counts[imports.Held] != 1 || report.Counts[imports.Imported] != 1 {
		t.Errorf("%+v %v", p.Snapshot.Confidential, report.Counts)
	}
}

// manyPatients is a file of n patients, every tenth with a note and a refusal.
func manyPatients(n int) (string, []string) {
	var rows, refs []string
	for i := range n {
		fields := []string{fmt.Sprintf("Cell Phone=303555%04d", 100+i%100), fmt.Sprintf("Email=p%d@patients.example", i)}
		if i%10 == 0 {
			fields = append(fields, "Confidential Comm=email only", "OK to Text=N")
		}
		refs = append(refs, fmt.Sprintf("P%d", i))
		rows = append(rows, row(refs[i], fields...))
	}
	return lines(rows...), refs
}

// TestBreakingOff: an import that breaks off keeps whole patients only, says where
// it stopped, and the next one does the rest.
func TestBreakingOff(t *testing.T) {
	h := newHouse(t)
	file, refs := manyPatients(130)
	commits, broken := 0, errors.New("the disk is full")
	h.intake.Store = &brittle{h.db, func() error {
		if commits++; commits == 2 {
			return broken
		}
		return nil
	}}
	report, err := imports.Patients(context.Background(), strings.NewReader(file), h.options())
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "before line 52;") {
		t.Fatal(err)
	}
	h.checked(report, nil)
	if report.Lines != 50 || report.Counts[imports.Imported] != 50 {
		t.Errorf("%+v", report.Counts)
	}
	h.whole(refs, 50)
	ctx, cancel := context.WithCancel(context.Background())
	o := h.options()
	o.Progress = func(done, total int64) {
		if total != int64(len(file)) || done > total {
			t.Errorf("%d of %d bytes; the file has %d", done, total, len(file))
		}
		if done > total/2 {
			cancel()
		}
	}
	if report, err = imports.Patients(ctx, strings.NewReader(file), o); !errors.Is(err, context.Canceled) || report.Counts[imports.Unchanged] != 50 || report.Counts[imports.Imported] != 50 {
		t.Errorf("%v %v", err, report.Counts)
	}
	h.whole(refs, 100)
	if report := h.patients(file); report.Counts[imports.Unchanged] != 100 || report.Counts[imports.Imported] != 30 {
		t.Errorf("%v", report.Counts)
	}
	h.whole(refs, 130)
}

// whole checks that the first n are on file with everything said of them, and the
// others not at all.
func (h *house) whole(refs []string, n int) {
	h.Helper()
	for i, ref := range refs {
		if _, err := h.db.PatientID(context.Background(), ref); (err == nil) != (i < n) {
			h.Errorf("%s of %d: %v", ref, n, err)
		} else if err != nil {
			continue
		}
		p := h.patient(ref)
		if special := i%10 == 0; (p.Snapshot.Confidential != nil) != special || (len(optedOut(p)) == 1) != special || len(onRecord(p)) != 2 {
			h.Errorf("%s is half-written: %+v", ref, p.Snapshot)
		}
	}
}

func TestProgressEndsAtTheEnd(t *testing.T) {
	h := newHouse(t)
	file, _ := manyPatients(120)
	file += "\nP1,again\n" // an empty line and a rejected one
	var last int64
	o := h.options()
	o.Progress = func(done, total int64) {
		if done < last || total != int64(len(file)) {
			t.Errorf("%d of %d after %d", done, total, last)
		}
		last = done
	}
	if _, err := imports.Patients(context.Background(), strings.NewReader(file), o); err != nil || last != int64(len(file)) {
		t.Errorf("ended at %d of %d: %v", last, len(file), err)
	}
}

func TestNothingOfAnUnknownFile(t *testing.T) {
	h := newHouse(t)
	for _, file := range []string{"", "A,B\nP1,04/02/1980\n", "\xff\xfeM\x00R\x00", "MRN,DOB,MRN\nP1,04/02/1980,P1\n"} {
		report, err := imports.Patients(context.Background(), strings.NewReader(file), h.options())
		if err == nil || report.Lines != 0 || len(report.Rows) != 0 {
			t.Errorf("%q: %v, %+v", file, err, report)
		}
		if report, err = imports.Appointments(context.Background(), strings.NewReader(file), h.options()); err == nil || report.Lines != 0 {
			t.Errorf("%q: %v, %+v", file, err, report)
		}
	}
	h.columns = map[string]string{"A": "id", "B": "birth_date"}
	if report := h.patients("A,B\nP1,04/02/1980\n"); report.Counts[imports.Imported] != 1 {
		t.Errorf("%+v", report)
	}
}

// TestSharedPhone: a household's number, in one batch, and a stop that was there
// before any of them.
func TestSharedPhone(t *testing.T) {
	h := newHouse(t)
	if err := h.intake.Stop(context.Background(), "staff", "+13035550101", channels.Care, false, nil); err != nil {
		t.Fatal(err)
	}
	h.patients(lines(row("P1", "Cell Phone=3035550101"), row("P2", "Cell Phone=3035550101"), row("P3", "Home Phone=3035550101", "Cell Phone=303-555-0101 x5")))
	for _, ref := range []string{"P1", "P2", "P3"} {
		p := h.patient(ref)
		if len(p.Snapshot.Addresses) != 1 || !p.Snapshot.Addresses[0].Stops.Has(channels.Care) || p.Snapshot.Addresses[0].Line != preferences.Mobile {
			t.Errorf("%s: %+v", ref, p.Snapshot.Addresses)
		}
	}
}
