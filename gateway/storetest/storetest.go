// Package storetest holds what every store must do. It is never in the binary.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// Bench is a store under test with its clock and ids.
type Bench struct {
	Store gateway.Store
	Now   func() time.Time
	NewID func() int64
}

// Run holds a store to its contract. Open gives a fresh, empty one.
func Run(t *testing.T, open func(t *testing.T) Bench) {
	for name, test := range map[string]func(*testing.T, Bench){
		"a patient is kept and read":                        patientIsKept,
		"the snapshot equals the fold of the events":        snapshotEqualsFold,
		"a stop binds whoever is later given the number":    stopBindsLaterHolder,
		"a stop is never lost to a number being given":      stopRace,
		"a stale claim is refused, alone":                   staleClaim,
		"two workers, one claim":                            oneClaim,
		"words that are being said are a call under way":    wordsAreACall,
		"the last place under a cap is taken once":          capIsTakenOnce,
		"an event is heard once":                            heardOnce,
		"a refused step can refuse the whole":               refusedWhole,
		"a turn is taken once":                              oneTurn,
		"a turn outlives nobody":                            turnAfterErasure,
		"an idempotency key keeps its first answer":         firstAnswer,
		"a second stop is not confirmed again":              confirmedOnce,
		"words of a number are ordered by when they came":   providersClock,
		"erasing leaves nothing but the stops":              erased,
		"attempts only move forward":                        forward,
		"what reached an address is found again":            reached,
		"changes that cross each other never deadlock":      noDeadlock,
		"the worklist has a crisis first, then what is due": worklist,
		"a list tells decisions and what was heard":         listTellsWhy,
		"a number's history stands beside its patient's":    history,
		"a text is approved once, by another person":        templateSteps,
		"two people approve at once":                        oneApproval,
		"an attempt says which words went out":              wordingKept,
		"what left the gateway is accounted for":            disclosures,
		"every decision of a message is told":               everyDecision,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
	runMailboxes(t, open)
	runErasure(t, open)
	runTasks(t, open)
	runRides(t, open)
}

func (b Bench) commit(t *testing.T, c gateway.Change) gateway.Kept {
	t.Helper()
	kept, err := b.try(c)
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

func (b Bench) try(c gateway.Change) (gateway.Kept, error) {
	if c.At.IsZero() {
		c.At = b.Now()
	}
	return b.Store.Commit(context.Background(), c)
}

// enrol puts a patient with one phone on file.
func (b Bench) enrol(t *testing.T, ref, phone string) (patient, address int64) {
	t.Helper()
	patient, address = b.NewID(), b.NewID()
	b.commit(t, gateway.Change{Patients: []gateway.PatientFact{b.record(patient, address, ref, phone)}})
	return patient, address
}

func (b Bench) record(patient, address int64, ref, phone string) gateway.PatientFact {
	return gateway.PatientFact{
		Patient: patient, Ref: ref, Record: &gateway.Record{GivenName: "Ana", BirthDate: "1980-04-02"},
		Texts: []gateway.AddressText{{ID: address, Kind: channels.Phone, Value: phone}},
		Events: []preferences.Event{{ID: b.NewID(), Kind: preferences.ContactSet, At: b.Now().UnixMicro(), Contact: &preferences.Contact{
			BirthDate: preferences.Date{Year: 1980, Month: 4, Day: 2},
			Addresses: []preferences.ContactAddress{{ID: address, Kind: channels.Phone, Rank: 1}},
		}}},
	}
}

func (b Bench) stop(number string, said time.Time) gateway.NumberFact {
	return b.word(preferences.NumberStopped, number, said)
}

func (b Bench) word(kind preferences.EventKind, number string, said time.Time) gateway.NumberFact {
	return gateway.NumberFact{Number: number, Event: preferences.Event{
		ID: b.NewID(), Kind: kind, At: b.Now().UnixMicro(), Said: said.UnixMicro(), Programs: channels.SetOf(channels.Care),
	}}
}

func (b Bench) snapshot(t *testing.T, patient int64) *preferences.Snapshot {
	t.Helper()
	got, err := b.Store.Snapshots(context.Background(), []int64{patient})
	if err != nil || got[patient] == nil {
		t.Fatalf("no snapshot: %v", err)
	}
	return got[patient]
}

func (b Bench) accept(t *testing.T, patient int64) int64 {
	t.Helper()
	id := b.NewID()
	b.commit(t, gateway.Change{Accepts: []gateway.Message{{
		ID: id, Patient: patient, Queue: gateway.SingleQueue, Category: "follow_up", Template: "follow_up", Essential: true, Due: b.Now(), Created: b.Now(),
		Body: gateway.Body{Variables: map[string]string{"text": "x"}},
	}}})
	return id
}

func (b Bench) claim(message, patient, address, version int64) gateway.Step {
	return gateway.Step{
		Message: message, Patient: patient, From: gateway.Waiting, To: gateway.Sending, Version: version, Lease: b.Now().Add(5 * time.Second),
		Attempt: &gateway.Attempt{ID: b.NewID(), Message: message, Number: 1, Pair: preferences.Pair{Channel: channels.SMS, Address: address}, Version: version, Status: gateway.AttemptClaimed, At: b.Now()},
	}
}

func patientIsKept(t *testing.T, b Bench) {
	ctx := context.Background()
	patient, address := b.enrol(t, "p1", "+13035550111")
	id, err := b.Store.PatientID(ctx, "p1")
	if err != nil || id != patient {
		t.Fatalf("%d, %v", id, err)
	}
	p, err := b.Store.Patient(ctx, patient)
	if err != nil || p.Record.GivenName != "Ana" || p.Text(address) != "+13035550111" || p.Snapshot.Version == 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err := b.Store.PatientID(ctx, "nobody"); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("a patient nobody knows: %v", err)
	}
	again := b.record(b.NewID(), b.NewID(), "p1", "+13035550112")
	if _, err := b.try(gateway.Change{Patients: []gateway.PatientFact{again}}); !errors.Is(err, gateway.ErrStale) {
		t.Errorf("the same ref twice: %v", err)
	}
	fact := gateway.PatientFact{Patient: patient, Expect: p.Snapshot.Version - 1, Events: []preferences.Event{{ID: b.NewID(), Kind: preferences.UnencryptedSet, Yes: true}}}
	if _, err := b.try(gateway.Change{Patients: []gateway.PatientFact{fact}}); !errors.Is(err, gateway.ErrStale) {
		t.Errorf("judged on an old version: %v", err)
	}
}

func snapshotEqualsFold(t *testing.T, b Bench) {
	patient, address := b.enrol(t, "p1", "+13035550111")
	for i, e := range []preferences.Event{
		{Kind: preferences.ChoiceMade, Choice: &preferences.Choice{Topic: "newsletter", At: 5}},
		{Kind: preferences.ConsentGiven, Address: address, Consent: preferences.Express},
		{Kind: preferences.ConfidentialSet, Confidential: &preferences.Confidential{Only: []preferences.Pair{{Channel: channels.SMS, Address: address}}}},
		{Kind: preferences.RestrictionAgreed, Restriction: &preferences.Restriction{ID: 3, Purpose: "marketing"}},
	} {
		e.ID, e.At = b.NewID(), b.Now().UnixMicro()
		before := b.snapshot(t, patient).Version
		b.commit(t, gateway.Change{Patients: []gateway.PatientFact{{Patient: patient, Expect: -1, Events: []preferences.Event{e}}}})
		if after := b.snapshot(t, patient).Version; after <= before {
			t.Errorf("event %d: version %d came after %d", i, after, before)
		}
	}
	b.commit(t, gateway.Change{Numbers: []gateway.NumberFact{b.stop("+13035550111", b.Now())}})
	events, err := b.Store.Ledger(context.Background(), patient, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	got := b.snapshot(t, patient)
	want := preferences.Fold(patient, events, map[int64]preferences.Bound{address: {Stops: channels.SetOf(channels.Care)}})
	want.Version = got.Version
	if !reflect.DeepEqual(got, want) {
		t.Errorf("kept %+v, folded %+v", got, want)
	}
}

func wordsAreACall(t *testing.T, b Bench) {
	patient, address := b.enrol(t, "p1", "+13035550111")
	m := b.accept(t, patient)
	calling := func(want int) {
		t.Helper()
		if n, err := b.Store.Calling(context.Background(), []int64{patient}); err != nil || n != want {
			t.Errorf("%d calling, not %d, %v", n, want, err)
		}
	}
	b.commit(t, gateway.Change{Steps: []gateway.Step{b.claim(m, patient, address, b.snapshot(t, patient).Version)}})
	b.commit(t, gateway.Change{Steps: []gateway.Step{{Message: m, From: gateway.Sending, To: gateway.Sent}}})
	calling(0)
	said := func(version int64) gateway.Change {
		return gateway.Change{Whole: true, Speaks: []int64{b.NewID()}, Steps: []gateway.Step{{Message: m, Patient: patient, From: gateway.Sent, To: gateway.Sent, Version: version}}}
	}
	one, two := said(b.snapshot(t, patient).Version), said(b.snapshot(t, patient).Version)
	b.commit(t, one)
	b.commit(t, two)
	calling(2)
	b.commit(t, gateway.Change{Spoken: one.Speaks})
	calling(1)
	b.commit(t, gateway.Change{Spoken: two.Speaks})
	old := said(b.snapshot(t, patient).Version)
	b.commit(t, gateway.Change{Numbers: []gateway.NumberFact{b.stop("+13035550111", b.Now())}})
	if _, err := b.try(old); !errors.Is(err, gateway.ErrStale) {
		t.Errorf("words judged before a stop: %v", err)
	}
	calling(0)
}

func staleClaim(t *testing.T, b Bench) {
	moved, a1 := b.enrol(t, "p1", "+13035550111")
	still, a2 := b.enrol(t, "p2", "+13035550112")
	m1, m2 := b.accept(t, moved), b.accept(t, still)
	v1, v2 := b.snapshot(t, moved).Version, b.snapshot(t, still).Version
	b.commit(t, gateway.Change{Numbers: []gateway.NumberFact{b.stop("+13035550111", b.Now())}})
	kept := b.commit(t, gateway.Change{Steps: []gateway.Step{b.claim(m1, moved, a1, v1), b.claim(m2, still, a2, v2)}})
	if kept.Refused[m1].Why != gateway.Stale || len(kept.Refused) != 1 {
		t.Errorf("refused %+v", kept.Refused)
	}
	if kept.Texts[a2] != "+13035550112" || kept.Texts[a1] != "" {
		t.Errorf("texts %v", kept.Texts)
	}
	if n, err := b.Store.Calling(context.Background(), []int64{moved, still}); err != nil || n != 1 {
		t.Errorf("%d calling, %v", n, err)
	}
	late := b.claim(m1, moved, a1, b.snapshot(t, moved).Version)
	late.NotAfter = b.Now().Add(-time.Second)
	if kept := b.commit(t, gateway.Change{Steps: []gateway.Step{late}}); kept.Refused[m1].Why != gateway.TooLate {
		t.Errorf("after the window: %+v", kept.Refused)
	}
}

func oneClaim(t *testing.T, b Bench) {
	patient, address := b.enrol(t, "p1", "+13035550111")
	m, v := b.accept(t, patient), b.snapshot(t, patient).Version
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			kept, err := b.try(gateway.Change{Steps: []gateway.Step{b.claim(m, patient, address, v)}})
			if err != nil {
				t.Error(err)
			} else if len(kept.Refused) == 0 {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d workers claimed one message", won.Load())
	}
}

func capIsTakenOnce(t *testing.T, b Bench) {
	patient, address := b.enrol(t, "p1", "+13035550111")
	v := b.snapshot(t, patient).Version
	var won atomic.Int32
	var wg sync.WaitGroup
	at := b.Now()
	var attempt atomic.Int64
	for range 4 {
		m := b.accept(t, patient)
		wg.Go(func() {
			step := b.claim(m, patient, address, v)
			step.Attempt.At = at
			step.Cap = &gateway.Cap{Program: channels.Care, Keep: 5, Frees: func(sent []int64) (bool, time.Time) { return len(sent) < 1, at }}
			kept, err := b.try(gateway.Change{At: at, Steps: []gateway.Step{step}})
			switch {
			case err != nil:
				t.Error(err)
			case len(kept.Refused) == 0:
				won.Add(1)
				attempt.Store(step.Attempt.ID)
			case kept.Refused[m].Why != gateway.Capped:
				t.Errorf("refused %+v", kept.Refused)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d took one place", won.Load())
	}
	unsent := gateway.Change{Edits: []gateway.Edit{{Attempt: attempt.Load(), Status: gateway.AttemptUnsent, Unsent: &gateway.Unsent{Patient: patient, Program: channels.Care, At: at}}}}
	b.commit(t, unsent)
	if u, err := b.Store.Usage(context.Background(), patient); err != nil || len(u[channels.Care]) != 0 {
		t.Errorf("a place was not given back: %v, %v", u, err)
	}
}

func firstAnswer(t *testing.T, b Bench) {
	key := func(body, answer string) *gateway.Key {
		return &gateway.Key{Caller: "ehr", Key: "k", BodyHash: []byte(body), Status: 202, Answer: []byte(answer)}
	}
	b.commit(t, gateway.Change{Key: key("body", "first")})
	kept := b.commit(t, gateway.Change{Key: key("body", "second")})
	if kept.Replayed == nil || string(kept.Replayed.Answer) != "first" || kept.Replayed.Status != 202 {
		t.Errorf("%+v", kept.Replayed)
	}
	if _, err := b.try(gateway.Change{Key: key("other", "third")}); !errors.Is(err, gateway.ErrConflict) {
		t.Errorf("another body: %v", err)
	}
}

func erased(t *testing.T, b Bench) {
	ctx := context.Background()
	patient, address := b.enrol(t, "p1", "+13035550111")
	m := b.accept(t, patient)
	b.commit(t, gateway.Change{Numbers: []gateway.NumberFact{b.stop("+13035550111", b.Now())}})
	b.commit(t, gateway.Change{Patients: []gateway.PatientFact{{Patient: patient, Expect: -1, Erase: true, Events: []preferences.Event{{ID: b.NewID(), Kind: preferences.PatientErased}}}}})
	p, err := b.Store.Patient(ctx, patient)
	if err != nil || p.Record != (gateway.Record{}) || p.Text(address) != "" || p.Snapshot.Standing != preferences.Erased {
		t.Errorf("%+v, %v", p, err)
	}
	if got, err := b.Store.Message(ctx, m); err != nil || len(got.Body.Variables) != 0 {
		t.Errorf("a message kept its words: %v", err)
	}
	fact := gateway.PatientFact{Patient: patient, Expect: p.Snapshot.Version, Events: []preferences.Event{{ID: b.NewID(), Kind: preferences.UnencryptedSet, Yes: true}}}
	if _, err := b.try(gateway.Change{Patients: []gateway.PatientFact{fact}}); !errors.Is(err, gateway.ErrErased) {
		t.Errorf("a fact about somebody erased: %v", err)
	}
	later, _ := b.enrol(t, "p2", "+13035550111")
	if !b.snapshot(t, later).Addresses[0].Stops.Has(channels.Care) {
		t.Error("the stop did not outlive the erasure")
	}
}

func forward(t *testing.T, b Bench) {
	ctx := context.Background()
	patient, address := b.enrol(t, "p1", "+13035550111")
	m := b.accept(t, patient)
	step := b.claim(m, patient, address, b.snapshot(t, patient).Version)
	b.commit(t, gateway.Change{Steps: []gateway.Step{step}})
	id := step.Attempt.ID
	b.commit(t, gateway.Change{Edits: []gateway.Edit{{Attempt: id, Status: gateway.AttemptDelivered, ProviderID: "SM1"}}})
	b.commit(t, gateway.Change{Edits: []gateway.Edit{{Attempt: id, Status: gateway.AttemptTaken, Code: "x"}}})
	a, err := b.Store.AttemptByProvider(ctx, "SM1")
	if err != nil || a.Status != gateway.AttemptDelivered || a.ID != id {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := b.Store.AttemptByProvider(ctx, ""); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("no provider id at all: %v", err)
	}
}

// noDeadlock crosses stops, records, choices and claims of the same few people.
func noDeadlock(t *testing.T, b Bench) {
	type person struct{ patient, address int64 }
	var people []person
	for i := range 4 {
		p, a := b.enrol(t, fmt.Sprint("p", i), fmt.Sprintf("+1303555%04d", 100+i%2))
		people = append(people, person{p, a})
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 20 {
				p := people[(w+i)%len(people)]
				other := people[(w*3+i+1)%len(people)]
				c := gateway.Change{}
				switch (w + i) % 3 {
				case 0:
					c.Numbers = []gateway.NumberFact{b.stop("+13035550101", b.Now()), b.word(preferences.NumberStarted, "+13035550100", b.Now())}
				case 1:
					for _, id := range []int64{p.patient, other.patient} {
						c.Patients = append(c.Patients, gateway.PatientFact{Patient: id, Expect: -1, Events: []preferences.Event{{ID: b.NewID(), Kind: preferences.UnencryptedSet, Yes: i%2 == 0}}})
					}
				default:
					c.Steps = []gateway.Step{b.claim(b.NewID(), p.patient, p.address, 1), b.claim(b.NewID(), other.patient, other.address, 1)}
				}
				if _, err := b.try(c); err != nil {
					t.Errorf("worker %d: %v", w, err)
				}
			}
		})
	}
	wg.Wait()
}

// refusedWhole: a receipt whose message has moved on meanwhile leaves nothing behind,
// not even that it was heard.
func refusedWhole(t *testing.T, b Bench) {
	patient, _ := b.enrol(t, "p1", "+13035550111")
	message := b.accept(t, patient)
	receipt := gateway.Change{
		Whole: true, Seen: &gateway.Seen{Source: "twilio", Event: "SM1:failed"},
		Steps:   []gateway.Step{{Message: message, From: gateway.Sending, To: gateway.Waiting, Due: b.Now()}},
		Numbers: []gateway.NumberFact{b.stop("+13035550111", b.Now())},
	}
	if _, err := b.try(receipt); !errors.Is(err, gateway.ErrStale) {
		t.Fatalf("a refused step kept the rest: %v", err)
	}
	if b.snapshot(t, patient).Addresses[0].Stops != 0 {
		t.Error("a fact of a refused change was kept")
	}
	receipt.Steps[0].From = gateway.Waiting
	if kept := b.commit(t, receipt); kept.Known || len(kept.Refused) > 0 {
		t.Errorf("the same event, judged again: %+v", kept)
	}
}
