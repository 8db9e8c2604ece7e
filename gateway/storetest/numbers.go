package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

func stopBindsLaterHolder(t *testing.T, b Bench) {
	b.commit(t, gateway.Change{Numbers: []gateway.NumberFact{b.stop("+13035550111", b.Now())}})
	patient, _ := b.enrol(t, "p1", "+13035550111")
	if !b.snapshot(t, patient).Addresses[0].Stops.Has(channels.Care) {
		t.Error("a stop from a number nobody had was lost")
	}
}

func stopRace(t *testing.T, b Bench) {
	for i := range 30 {
		number := fmt.Sprintf("+1303555%04d", 2000+i)
		patient, address := b.NewID(), b.NewID()
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for k, c := range []gateway.Change{
			{Numbers: []gateway.NumberFact{b.stop(number, b.Now())}},
			{Patients: []gateway.PatientFact{b.record(patient, address, number, number)}},
		} {
			wg.Go(func() { _, errs[k] = b.try(c) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if !b.snapshot(t, patient).Addresses[0].Stops.Has(channels.Care) {
			t.Fatalf("race %d lost the stop", i)
		}
	}
}

func heardOnce(t *testing.T, b Bench) {
	patient, _ := b.enrol(t, "p1", "+13035550111")
	c := gateway.Change{Seen: &gateway.Seen{Source: "twilio", Event: "SM1"}, Numbers: []gateway.NumberFact{b.stop("+13035550111", b.Now())}}
	if kept := b.commit(t, c); kept.Known || len(kept.Versions) != 1 {
		t.Errorf("the first time: %+v", kept)
	}
	v := b.snapshot(t, patient).Version
	c.Numbers = []gateway.NumberFact{b.word(preferences.NumberStarted, "+13035550111", b.Now())}
	if kept := b.commit(t, c); !kept.Known {
		t.Errorf("the second time: %+v", kept)
	}
	if b.snapshot(t, patient).Version != v {
		t.Error("a repeated event changed something")
	}
	for event, want := range map[string]bool{"SM1": true, "SM2": false} {
		if got, err := b.Store.WasHeard(context.Background(), "twilio", event); err != nil || got != want {
			t.Errorf("%s was heard: %v, %v", event, got, err)
		}
	}
}

func confirmedOnce(t *testing.T, b Bench) {
	for range 2 {
		f := b.stop("+13035550111", b.Now())
		f.Reply = &gateway.Message{ID: b.NewID(), Queue: gateway.AnswerQueue, Template: "stop_confirmation", Due: b.Now(), Created: b.Now(), Body: gateway.Body{Answer: &gateway.Answer{To: "+13035550111"}}}
		b.commit(t, gateway.Change{Numbers: []gateway.NumberFact{f}})
	}
	due, err := b.Store.Due(context.Background(), gateway.AnswerQueue, b.Now(), 10)
	if err != nil || len(due) != 1 || due[0].Body.Answer.To != "+13035550111" {
		t.Errorf("%d confirmations wait, %v", len(due), err)
	}
}

func providersClock(t *testing.T, b Bench) {
	patient, _ := b.enrol(t, "p1", "+13035550111")
	at := b.Now()
	say := func(kind preferences.EventKind, said time.Time, stopped bool) {
		t.Helper()
		b.commit(t, gateway.Change{Numbers: []gateway.NumberFact{b.word(kind, "+13035550111", said)}})
		if got := b.snapshot(t, patient).Addresses[0].Stops.Has(channels.Care); got != stopped {
			t.Errorf("%s said at %s: stopped is %t", kind, said, got)
		}
	}
	say(preferences.NumberStopped, at, true)
	say(preferences.NumberStarted, at.Add(-time.Second), true) // an older START, heard late
	say(preferences.NumberStarted, at, true)                   // a tie goes to STOP
	say(preferences.NumberStarted, at.Add(time.Second), false)
	say(preferences.NumberStopped, at, false) // an older STOP, heard late
	say(preferences.NumberStopped, at.Add(time.Second), true)
	say(preferences.NumberStopped, at.Add(4*time.Second), true) // said again
	say(preferences.NumberStarted, at.Add(3*time.Second), true) // between the two
	say(preferences.NumberStarted, at.Add(5*time.Second), false)
	say(preferences.NumberStarted, at.Add(8*time.Second), false)
	say(preferences.NumberStopped, at.Add(7*time.Second), false)
}
