package imports_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/imports"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
)

func (h *house) stops(file string) imports.Report {
	h.Helper()
	r, err := imports.Stops(context.Background(), strings.NewReader(file), h.options())
	return h.checked(r, err)
}

func (h *house) choices(file string) imports.Report {
	h.Helper()
	r, err := imports.Choices(context.Background(), strings.NewReader(file), h.options())
	return h.checked(r, err)
}

// stopped writes the programs that a number has stopped.
func (h *house) stopped(number string) string {
	h.Helper()
	n, err := h.db.Number(context.Background(), number)
	if err != nil {
		h.Fatal(err)
	}
	var names []string
	for _, p := range n.Stops.List() {
		names = append(names, p.String())
	}
	return strings.Join(names, " ")
}

// audited counts the audit log.
func (h *house) audited() int {
	h.Helper()
	rows, err := h.db.Audits(context.Background(), 0, 100_000)
	if err != nil {
		h.Fatal(err)
	}
	return len(rows)
}

const everyProgram = "care check_in billing marketing"

func TestStopsFile(t *testing.T) {
	for name, c := range map[string]struct {
		file    string
		outcome imports.Outcome
		stopped string
		noted   string // a column that a note stands at
	}{
		"a number alone stops everything":      {"Phone\n303-555-0101\n", imports.Imported, everyProgram, ""},
		"a program, and marketing with it":     {"Phone,Program\n3035550101,billing\n", imports.Imported, "billing marketing", ""},
		"a program in other letters":           {"Phone,Program\n3035550101,Check In\n", imports.Imported, "check_in marketing", ""},
		"a program that is none":               {"Phone,Program\n3035550101,promos\n", imports.Imported, everyProgram, "Program"},
		"a word that is a stop":                {"Phone,Status\n3035550101,Opted-Out\n", imports.Imported, everyProgram, ""},
		"a word that nobody understands":       {"Phone,Status\n3035550101,Y\n", imports.Imported, everyProgram, "Status"},
		"a word that would lift":               {"Phone,Status\n3035550101,Subscribed\n", imports.Rejected, "", "Status"},
		"a day":                                {"Phone,Date\n3035550101,10/01/2026\n", imports.Imported, everyProgram, ""},
		"a day to come":                        {"Phone,Date\n3035550101,2027-01-01\n", imports.Imported, everyProgram, "Date"},
		"a day that is none":                   {"Phone,Date\n3035550101,31/31/2026\n", imports.Imported, everyProgram, "Date"},
		"no number":                            {"Phone,Program\n12,care\n", imports.Rejected, "", "Phone"},
		"a control character":                  {"Phone,Note\n3035550101,a\x1bb\n", imports.Rejected, "", ""},
		"an empty line":                        {"Phone,Program\n,\n", imports.Skipped, "", ""},
		"evidence that goes on over two lines": {"Phone,Note\n3035550101,\"said\nstop\"\n", imports.Imported, everyProgram, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			r := h.stops(c.file)
			if got := h.stopped("+13035550101"); r.Rows[0].Outcome != c.outcome || got != c.stopped {
				t.Errorf("%s, stopped %q: %+v", r.Rows[0].Outcome, got, r.Rows)
			}
			if c.noted != "" && (len(r.Rows[0].Notes) != 1 || r.Rows[0].Notes[0].Field != c.noted) {
				t.Errorf("the notes: %+v", r.Rows[0].Notes)
			}
			before := h.audited()
			h.clock = h.clock.Add(24 * time.Hour)
			if r := h.stops(c.file); r.Counts[imports.Imported] != 0 || h.audited() != before {
				t.Errorf("a second run did something: %+v", r)
			}
		})
	}
}

// TestAnImportedStopBinds: whoever has the number, or is given it later.
func TestAnImportedStopBinds(t *testing.T) {
	h := newHouse(t)
	h.patients(lines(row("P1", "Cell Phone=3035550101")))
	h.stops("Phone,Program,Note\n3035550101,care,told us at the desk\n3035550102,care,\n")
	h.patients(lines(row("P2", "Cell Phone=3035550102")))
	for _, ref := range []string{"P1", "P2"} {
		if a := h.patient(ref).Snapshot.Addresses[0]; !a.Stops.Has(channels.Care) || !a.Stops.Has(channels.Marketing) || a.Stops.Has(channels.Billing) {
			t.Errorf("%s: %v", ref, a.Stops.List())
		}
	}
	words, err := h.db.NumberWords(context.Background(), "+13035550101")
	if err != nil || len(words) != 1 || words[0].Source != preferences.FromImport || words[0].Evidence["evidence"] != "told us at the desk" {
		t.Errorf("%+v, %v", words, err)
	}
}

// TestAnImportedStopDoesNotUndoALaterStart: neither does one that is dated before it, nor
// the same row that comes again; one that is dated after it does.
func TestAnImportedStopDoesNotUndoALaterStart(t *testing.T) {
	h := newHouse(t)
	lift := func(number string) {
		t.Helper()
		for _, p := range []channels.Program{channels.Care, channels.CheckIn, channels.Billing, channels.Marketing} {
			if err := h.intake.Lift(context.Background(), "dana", number, p, h.clock, map[string]string{"how": "signed"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	undated, dated := "Phone\n3035550101\n", "Phone,Date\n3035550102,11/02/2026\n"
	h.stops(undated)
	h.stops(dated)
	h.clock = h.clock.Add(2 * time.Hour)
	lift("+13035550101")
	lift("+13035550102")
	h.clock = h.clock.Add(24 * time.Hour)
	for _, again := range []string{undated, dated, "Phone,Date\n3035550101,10/01/2026\n"} {
		r := h.stops(again)
		if r.Counts[imports.Unchanged] != 1 || len(r.Rows[0].Notes) != 1 {
			t.Errorf("%+v", r)
		}
	}
	if a, b := h.stopped("+13035550101"), h.stopped("+13035550102"); a+b != "" {
		t.Errorf("stopped again: %q %q", a, b)
	}
	if r := h.stops("Phone,Date,Program\n3035550101,11/03/2026,care\n"); r.Counts[imports.Imported] != 1 || h.stopped("+13035550101") != "care marketing" {
		t.Errorf("a later stop: %+v, %q", r, h.stopped("+13035550101"))
	}
}

func TestChoicesFile(t *testing.T) {
	for name, c := range map[string]struct {
		before  string // an opt-out on record
		line    string // MRN,Topic,Channel,Choice,Consent,Date,Evidence
		outcome imports.Outcome
		noted   bool
		want    string // the last choice on record
	}{
		"an opt-out":                             {"", "P1,newsletter,email,out,,,", imports.Imported, false, "newsletter email out"},
		"one of everything":                      {"", "P1,,,unsubscribed,,,", imports.Imported, false, "non_essential all out"},
		"a no":                                   {"", "P1,marketing,text,No,,,", imports.Imported, false, "marketing sms out"},
		"a word that nobody understands":         {"", "P1,newsletter,email,maybe,,,", imports.Imported, true, "newsletter email out"},
		"an opt-out by a way nobody knows":       {"", "P1,newsletter,pigeon,out,,,", imports.Imported, true, "newsletter all out"},
		"an opt-out of a day that is none":       {"", "P1,newsletter,email,out,,soon,", imports.Imported, true, "newsletter email out"},
		"an opt-out of what is essential":        {"", "P1,follow_up,email,out,,,", imports.Rejected, true, ""},
		"a topic that is none":                   {"", "P1,gossip,email,out,,,", imports.Rejected, true, ""},
		"an opt-in":                              {"", "P1,newsletter,email,in,,,", imports.Imported, false, "newsletter email provided"},
		"a yes with evidence":                    {"", "P1,newsletter,email,yes,express,10/01/2026,signed form 12", imports.Imported, false, "newsletter email express"},
		"express, and nothing shows it":          {"", "P1,newsletter,email,yes,express,,", imports.Imported, true, "newsletter email provided"},
		"written is express at most":             {"", "P1,newsletter,email,yes,written,,signed form 12", imports.Imported, true, "newsletter email express"},
		"an opt-in without a topic":              {"", "P1,,email,in,,,", imports.Rejected, true, ""},
		"an opt-in without a channel":            {"", "P1,newsletter,,in,,,", imports.Rejected, true, ""},
		"an opt-in of a day to come":             {"", "P1,newsletter,email,in,,2027-01-01,", imports.Rejected, true, ""},
		"an opt-in of a level that is none":      {"", "P1,newsletter,email,in,very,,", imports.Rejected, true, ""},
		"an opt-in against an opt-out on record": {"survey", "P1,newsletter,email,in,,,signed", imports.Rejected, true, "survey all out"},
		"an opt-out beside one":                  {"survey", "P1,newsletter,email,out,,,", imports.Imported, false, "newsletter email out"},
		"a patient whom nobody knows":            {"", "P9,newsletter,email,out,,,", imports.Rejected, true, ""},
		"nobody":                                 {"", ",newsletter,email,out,,,", imports.Rejected, true, ""},
		"nothing said":                           {"", "P1,newsletter,email,,,,", imports.Skipped, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.put("P1", intake.Contact{Record: gateway.Record{BirthDate: "1980-04-02"}, Addresses: phoneOn("+13035550101", preferences.Mobile)})
			if c.before != "" {
				if err := h.intake.OptOut(context.Background(), "dana", h.patient("P1").ID, c.before, 0, preferences.FromStaff); err != nil {
					t.Fatal(err)
				}
			}
			text := "MRN,Topic,Channel,Choice,Consent,Date,Evidence\n" + c.line + "\n"
			r := h.choices(text)
			if r.Rows[0].Outcome != c.outcome || (len(r.Rows[0].Notes) > 0) != c.noted {
				t.Errorf("%+v", r.Rows[0])
			}
			if got := lastChoice(h.patient("P1")); got != c.want {
				t.Errorf("%q, wanted %q", got, c.want)
			}
			before := h.audited()
			h.clock = h.clock.Add(24 * time.Hour)
			if r := h.choices(text); r.Counts[imports.Imported] != 0 || h.audited() != before {
				t.Errorf("a second run did something: %+v", r)
			}
		})
	}
}

// lastChoice writes the choice that was recorded last: its topic, channel, and out or
// its consent.
func lastChoice(p *gateway.Patient) string {
	list := p.Snapshot.Choices
	if len(list) == 0 {
		return ""
	}
	c := list[len(list)-1]
	for _, one := range list {
		if one.At > c.At {
			c = one
		}
	}
	channel, level := "all", c.Consent.String()
	if c.Channel != 0 {
		channel = c.Channel.String()
	}
	if !c.In {
		level = "out"
	}
	return c.Topic + " " + channel + " " + level
}

// TestTheOrderOfAFileDecidesNothing: an opt-out in it refuses the opt-ins, also those
// above it; and a stop does.
func TestTheOrderOfAFileDecidesNothing(t *testing.T) {
	h := newHouse(t)
	h.patients(lines(row("P1", "Cell Phone=3035550101"), row("P2", "Cell Phone=3035550102")))
	h.stops("Phone,Program\n3035550102,marketing\n")
	r := h.choices("MRN,Topic,Channel,Choice\nP1,newsletter,email,in\nP2,newsletter,email,in\nP1,survey,email,out\nP1,survey,email,out\n")
	want := []imports.Outcome{imports.Rejected, imports.Rejected, imports.Imported, imports.Unchanged}
	for i, row := range r.Rows {
		if row.Outcome != want[i] {
			t.Errorf("line %d: %+v, wanted %s", row.Line, row, want[i])
		}
	}
}

// TestTheSameListDoesNotUndoWhatWasSaidSince: a patient who opted in after the list said
// out stays in, however often it comes.
func TestTheSameListDoesNotUndoWhatWasSaidSince(t *testing.T) {
	h := newHouse(t)
	h.put("P1", intake.Contact{Record: gateway.Record{BirthDate: "1980-04-02"}})
	list := "MRN,Topic,Channel,Choice\nP1,newsletter,email,out\n"
	h.choices(list)
	h.clock = h.clock.Add(time.Hour)
	if err := h.intake.Prefer(context.Background(), "patient", h.patient("P1").ID, intake.Said{
		Source: preferences.FromWeb, Choices: []intake.Choice{{Topic: "newsletter", Channel: channels.Email, In: true}},
	}); err != nil {
		t.Fatal(err)
	}
	h.clock = h.clock.Add(time.Hour)
	if r := h.choices(list); r.Counts[imports.Unchanged] != 1 || lastChoice(h.patient("P1")) != "newsletter email provided" {
		t.Errorf("%+v, %q", r, lastChoice(h.patient("P1")))
	}
}

// TestAListMeetsSomebodyQuicker: an opt-out that is recorded between the reading and the
// commit refuses the opt-in of a list.
func TestAListMeetsSomebodyQuicker(t *testing.T) {
	h := newHouse(t)
	h.put("P1", intake.Contact{Record: gateway.Record{BirthDate: "1980-04-02"}})
	id, direct, once := h.patient("P1").ID, *h.intake, true
	h.intake.Store = &brittle{h.db, func() error {
		if !once {
			return nil
		}
		once = false
		return direct.OptOut(context.Background(), "patient", id, "survey", 0, preferences.FromWeb)
	}}
	r := h.choices("MRN,Topic,Channel,Choice\nP1,newsletter,email,in\n")
	if r.Counts[imports.Rejected] != 1 || lastChoice(h.patient("P1")) != "survey all out" {
		t.Errorf("%+v, %q", r, lastChoice(h.patient("P1")))
	}
}

// TestAListThatBreaksOff keeps what came before, says where it stopped, and the same list
// again does the rest.
func TestAListThatBreaksOff(t *testing.T) {
	h := newHouse(t)
	var text strings.Builder
	text.WriteString("Phone\n")
	for i := range 120 {
		fmt.Fprintf(&text, "303555%04d\n", 100+i)
	}
	commits, whole := 0, h.intake.Store
	h.intake.Store = &brittle{h.db, func() error {
		if commits++; commits == 2 {
			return errors.New("the disk is full")
		}
		return nil
	}}
	r, err := imports.Stops(context.Background(), strings.NewReader(text.String()), h.options())
	if err == nil || !strings.Contains(err.Error(), "line 52") || r.Counts[imports.Imported] != 50 || r.Lines != 50 {
		t.Errorf("%+v, %v", r, err)
	}
	h.intake.Store = whole
	if r := h.stops(text.String()); r.Counts[imports.Unchanged] != 50 || r.Counts[imports.Imported] != 70 {
		t.Errorf("%v", r.Counts)
	}
}
