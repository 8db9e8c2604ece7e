package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// runMailboxes holds a store to what it must do of opt-outs that are bound to a mailbox.
func runMailboxes(t *testing.T, open func(t *testing.T) Bench) {
	for name, test := range map[string]func(*testing.T, Bench){
		"a spam report binds whoever is later given the mailbox":       reportBindsLaterHolder,
		"a spam report binds everyone who has the mailbox":             reportBindsEveryHolder,
		"a spam report is never lost to a mailbox being given":         reportRace,
		"a spam report outlives the erasure of who made it":            reportOutlivesErasure,
		"whatever is said in whatever order, the snapshot is the fold": snapshotIsTheFold,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func (b Bench) report(mailbox string, said time.Time) gateway.NumberFact {
	return gateway.NumberFact{Number: mailbox, Event: preferences.Event{
		ID: b.NewID(), Kind: preferences.SpamReported, At: b.Now().UnixMicro(), Said: said.UnixMicro(), Source: preferences.FromProvider,
	}}
}

// enrolMail puts a patient with one mailbox on file.
func (b Bench) enrolMail(t *testing.T, ref, mailbox string) (patient, address int64) {
	t.Helper()
	patient, address = b.NewID(), b.NewID()
	b.commit(t, gateway.Change{Patients: []gateway.PatientFact{b.mailRecord(patient, address, ref, mailbox)}})
	return patient, address
}

func (b Bench) mailRecord(patient, address int64, ref, mailbox string) gateway.PatientFact {
	f := b.record(patient, address, ref, mailbox)
	f.Texts[0].Kind, f.Events[0].Contact.Addresses[0].Kind = channels.Mailbox, channels.Mailbox
	return f
}

func reportBindsLaterHolder(t *testing.T, b Bench) {
	said := b.Now().Add(-time.Hour)
	if kept := b.commit(t, gateway.Change{Numbers: []gateway.NumberFact{b.report("ana@patients.example", said)}}); len(kept.Versions) != 0 {
		t.Errorf("nobody has it, and %d patients moved", len(kept.Versions))
	}
	patient, _ := b.enrolMail(t, "p1", "ana@patients.example")
	if got := b.snapshot(t, patient).Addresses[0].OptedOut; got != said.UnixMicro() {
		t.Errorf("a spam report from a mailbox nobody had: %d, wanted %d", got, said.UnixMicro())
	}
	other, _ := b.enrolMail(t, "p2", "bo@patients.example")
	if got := b.snapshot(t, other).Addresses[0].OptedOut; got != 0 {
		t.Errorf("it binds another mailbox: %d", got)
	}
}

func reportBindsEveryHolder(t *testing.T, b Bench) {
	one, _ := b.enrolMail(t, "p1", "home@patients.example")
	two, _ := b.enrolMail(t, "p2", "home@patients.example")
	at := b.Now()
	before := b.snapshot(t, two).Version
	kept := b.commit(t, gateway.Change{Numbers: []gateway.NumberFact{b.report("home@patients.example", at)}})
	if len(kept.Versions) != 2 || kept.Versions[two] <= before {
		t.Errorf("versions %v after %d", kept.Versions, before)
	}
	b.commit(t, gateway.Change{Numbers: []gateway.NumberFact{b.report("home@patients.example", at.Add(-time.Hour))}}) // heard late
	for _, patient := range []int64{one, two} {
		if got := b.snapshot(t, patient).Addresses[0].OptedOut; got != at.UnixMicro() {
			t.Errorf("%d, wanted the last report at %d", got, at.UnixMicro())
		}
	}
}

func reportRace(t *testing.T, b Bench) {
	for i := range 30 {
		mailbox := fmt.Sprintf("race%d@patients.example", i)
		patient, address := b.NewID(), b.NewID()
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for k, c := range []gateway.Change{
			{Numbers: []gateway.NumberFact{b.report(mailbox, b.Now())}},
			{Patients: []gateway.PatientFact{b.mailRecord(patient, address, mailbox, mailbox)}},
		} {
			wg.Go(func() { _, errs[k] = b.try(c) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if b.snapshot(t, patient).Addresses[0].OptedOut == 0 {
			t.Fatalf("race %d lost the report", i)
		}
	}
}

func reportOutlivesErasure(t *testing.T, b Bench) {
	patient, _ := b.enrolMail(t, "p1", "ana@patients.example")
	b.commit(t, gateway.Change{Numbers: []gateway.NumberFact{b.report("ana@patients.example", b.Now())}})
	b.commit(t, gateway.Change{Patients: []gateway.PatientFact{{Patient: patient, Expect: -1, Erase: true, Events: []preferences.Event{{ID: b.NewID(), Kind: preferences.PatientErased}}}}})
	later, _ := b.enrolMail(t, "p2", "ana@patients.example")
	if b.snapshot(t, later).Addresses[0].OptedOut == 0 {
		t.Error("the report did not outlive the erasure")
	}
}

// household are two patients who share a number and a mailbox, and what is bound to these.
type household struct {
	Bench
	number, mailbox string
	start           time.Time
	people          [2]person
	stops           channels.ProgramSet
	words, reported int64 // how many stops and starts were said; the last report
}

type person struct{ patient, phone, mail int64 }

// snapshotIsTheFold says things of two patients, of the number and the mailbox they
// share, takes both away from them and gives them back, and holds each snapshot
// against the fold of the events and the last words of the addresses.
func snapshotIsTheFold(t *testing.T, b Bench) {
	rapid.Check(t, func(t *rapid.T) {
		id := b.NewID()
		h := &household{Bench: b, number: fmt.Sprint("+1", id), mailbox: fmt.Sprint(id, "@patients.example"), start: b.Now()}
		for i := range h.people {
			h.people[i] = person{b.NewID(), b.NewID(), b.NewID()}
			h.keep(t, gateway.Change{Patients: []gateway.PatientFact{h.record(h.people[i], fmt.Sprint(id, "-", i), true)}})
		}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			h.keep(t, h.change(t))
			for _, p := range h.people {
				h.holdAgainstFold(t, p.patient, map[int64]preferences.Bound{p.phone: {Stops: h.stops}, p.mail: {OptedOut: h.reported}})
			}
		}
	})
}

func (h *household) keep(t *rapid.T, c gateway.Change) {
	if _, err := h.try(c); err != nil {
		t.Fatal(err)
	}
}

// record is the contact record of one, with both addresses or with neither.
func (h *household) record(p person, ref string, has bool) gateway.PatientFact {
	f := h.Bench.record(p.patient, p.phone, ref, h.number)
	contact := f.Events[0].Contact
	contact.Addresses = append(contact.Addresses, preferences.ContactAddress{ID: p.mail, Kind: channels.Mailbox, Rank: 1})
	f.Texts = append(f.Texts, gateway.AddressText{ID: p.mail, Kind: channels.Mailbox, Value: h.mailbox})
	f.Expect = -1
	if !has {
		contact.Addresses = nil
	}
	return f
}

func (h *household) change(t *rapid.T) gateway.Change {
	said := h.start.Add(time.Duration(rapid.IntRange(-9, 9).Draw(t, "said")) * time.Second)
	next := h.start.Add(time.Duration(h.words) * time.Minute) // the order of stops has a test of its own
	who := rapid.SampledFrom(h.people[:]).Draw(t, "who")
	switch rapid.SampledFrom([]string{"report", "stop", "start", "record", "choice"}).Draw(t, "what") {
	case "report":
		h.reported = max(h.reported, said.UnixMicro())
		return gateway.Change{Numbers: []gateway.NumberFact{h.report(h.mailbox, said)}}
	case "stop":
		h.words, h.stops = h.words+1, channels.SetOf(channels.Care)
		return gateway.Change{Numbers: []gateway.NumberFact{h.stop(h.number, next)}}
	case "start":
		h.words, h.stops = h.words+1, 0
		return gateway.Change{Numbers: []gateway.NumberFact{h.word(preferences.NumberStarted, h.number, next)}}
	case "record":
		f := h.record(who, "", rapid.Bool().Draw(t, "has"))
		f.Texts = nil // they are on file
		return gateway.Change{Patients: []gateway.PatientFact{f}}
	}
	return gateway.Change{Patients: []gateway.PatientFact{{Patient: who.patient, Expect: -1, Events: []preferences.Event{{
		ID: h.NewID(), Kind: preferences.ChoiceMade, At: h.Now().UnixMicro(), Choice: &preferences.Choice{Topic: "survey", At: said.UnixMicro()},
	}}}}}
}

func (b Bench) holdAgainstFold(t *rapid.T, patient int64, bound map[int64]preferences.Bound) {
	ctx := context.Background()
	events, err := b.Store.Ledger(ctx, patient, 0, 10000)
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Store.Snapshots(ctx, []int64{patient})
	if err != nil {
		t.Fatal(err)
	}
	want := preferences.Fold(patient, events, bound)
	want.Version = got[patient].Version
	if !reflect.DeepEqual(got[patient], want) {
		t.Fatalf("kept   %+v\nfolded %+v", got[patient], want)
	}
}
