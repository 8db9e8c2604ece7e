package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"harmonize.care/heed/gateway"
)

// turn adds a message to every reference, each judged when it had so many of them.
func (b Bench) turn(patient int64, had int, references ...string) error {
	var c gateway.Change
	for _, reference := range references {
		c.Turns = append(c.Turns, gateway.Turn{Reference: reference, Had: had})
		c.Accepts = append(c.Accepts, gateway.Message{ID: b.NewID(), Patient: patient, Reference: reference, Due: b.Now(), Created: b.Now()})
	}
	_, err := b.try(c)
	return err
}

// oneTurn lets many changes judge the same reference at once: one adds to it.
func oneTurn(t *testing.T, b Bench) {
	patient, _ := b.enrol(t, "p1", "+13035550101")
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		references := []string{"A1", "A2"}
		if i%2 == 1 { // the other way round, or they could wait for each other in a circle
			references = []string{"A2", "A1"}
		}
		all.Go(func() {
			switch err := b.turn(patient, 0, references...); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, gateway.ErrStale):
				t.Error(err)
			}
		})
	}
	all.Wait()
	got, err := b.Store.Messages(context.Background(), gateway.MessageFilter{Patient: patient, Limit: 100})
	if err != nil || won.Load() != 1 || len(got) != 2 {
		t.Errorf("%d changes took the turn, %d messages: %v", won.Load(), len(got), err)
	}
	if err := b.turn(patient, 1, "A1", "A2"); err != nil {
		t.Errorf("the next turn: %v", err)
	}
	if err := b.turn(patient, 2, "A1"); err != nil {
		t.Errorf("the turn after that: %v", err)
	}
	if err := b.turn(patient, 2, "A2", "A1"); !errors.Is(err, gateway.ErrStale) {
		t.Errorf("a turn was given twice: %v", err)
	}
	if got, err = b.Store.Messages(context.Background(), gateway.MessageFilter{Reference: "A2", Limit: 100}); err != nil || len(got) != 2 {
		t.Errorf("a stale turn left something: %d, %v", len(got), err)
	}
}

// turnAfterErasure: an appointment's id that an erased patient's messages had is free
// again, and one that something else added to meanwhile is not judged any more.
func turnAfterErasure(t *testing.T, b Bench) {
	first, _ := b.enrol(t, "p1", "+13035550101")
	second, _ := b.enrol(t, "p2", "+13035550102")
	if err := b.turn(first, 0, "A1"); err != nil {
		t.Fatal(err)
	}
	b.erase(t, first)
	if err := b.turn(second, 0, "A1"); err != nil {
		t.Errorf("after the erasure: %v", err)
	}
	b.commit(t, gateway.Change{Accepts: []gateway.Message{{ID: b.NewID(), Patient: second, Reference: "A1", Due: b.Now(), Created: b.Now()}}})
	if err := b.turn(second, 1, "A1"); !errors.Is(err, gateway.ErrStale) {
		t.Errorf("a message came without a turn: %v", err)
	}
}
