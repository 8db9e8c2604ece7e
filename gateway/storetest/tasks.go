package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// runTasks holds a store to what it must do of assignment and of what is overdue.
func runTasks(t *testing.T, open func(t *testing.T) Bench) {
	for name, test := range map[string]func(*testing.T, Bench){
		"a task is given to somebody and given back":            taskIsAssigned,
		"an overdue task is told of once, on however many":      toldOnce,
		"a task that comes again is told of anew":               toldAnew,
		"a task is closed with what it means, or not at all":    closedWithItsMeaning,
		"a check of a version alone changes nothing of anybody": versionAlone,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// task opens one.
func (b Bench) task(t *testing.T, task gateway.Task) int64 {
	t.Helper()
	task.ID = b.NewID()
	if task.Created.IsZero() {
		task.Created = b.Now()
	}
	b.commit(t, gateway.Change{Tasks: []gateway.Task{task}})
	return task.ID
}

func (b Bench) tasks(t *testing.T, f gateway.TaskFilter) []gateway.Task {
	t.Helper()
	f.Limit = 100
	list, err := b.Store.Tasks(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func taskIsAssigned(t *testing.T, b Bench) {
	now := b.Now()
	one := b.task(t, gateway.Task{Kind: gateway.TaskReply, Due: now.Add(-time.Hour)})
	two := b.task(t, gateway.Task{Kind: gateway.TaskReply, Due: now.Add(time.Hour)})
	assign := func(id int64, to string) error {
		_, err := b.try(gateway.Change{Assigns: []gateway.TaskAssign{{ID: id, To: to}}})
		return err
	}
	sees := func(what string, f gateway.TaskFilter, want ...int64) {
		t.Helper()
		var got []int64
		for _, task := range b.tasks(t, f) {
			got = append(got, task.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, wanted %v", what, got, want)
		}
	}
	if err := assign(one, "dana"); err != nil {
		t.Fatal(err)
	}
	if got := b.tasks(t, gateway.TaskFilter{ID: one}); got[0].Assignee != "dana" {
		t.Errorf("%+v", got)
	}
	sees("hers", gateway.TaskFilter{Assignee: "dana"}, one)
	sees("somebody else's", gateway.TaskFilter{Assignee: "lee"})
	sees("nobody's", gateway.TaskFilter{Unassigned: true}, two)
	sees("overdue", gateway.TaskFilter{DueBefore: now}, one)
	if err := assign(one, ""); err != nil {
		t.Fatal(err)
	}
	sees("nobody's, after it was given back", gateway.TaskFilter{Unassigned: true}, one, two)
	b.commit(t, gateway.Change{Done: []gateway.TaskDone{{ID: one, Outcome: "read", Note: "at the desk"}}, Actor: "lee"})
	if err := assign(one, "dana"); !errors.Is(err, gateway.ErrStale) {
		t.Errorf("one that is done: %v", err)
	}
	if err := assign(b.NewID(), "dana"); !errors.Is(err, gateway.ErrStale) {
		t.Errorf("one that is none: %v", err)
	}
	if d := b.tasks(t, gateway.TaskFilter{ID: one})[0].Detail; d.Outcome != "read" || d.Note != "at the desk" || d.DoneBy != "lee" {
		t.Errorf("how it was closed: %+v", d)
	}
}

func (b Bench) untold(t *testing.T, now time.Time) []gateway.Task {
	t.Helper()
	list, err := b.Store.Untold(context.Background(), now, 100)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func toldOnce(t *testing.T, b Bench) {
	now := b.Now()
	patient, _ := b.enrol(t, "p1", "+13035550111")
	late := b.task(t, gateway.Task{Kind: gateway.TaskNeedsStaff, Patient: patient, Message: 7, Due: now.Add(-time.Minute)})
	b.task(t, gateway.Task{Kind: gateway.TaskReply, Due: now.Add(time.Hour)})
	b.task(t, gateway.Task{Kind: gateway.TaskCrisis, Due: now}) // it was told as it opened: in a while
	due := b.untold(t, now)
	if len(due) != 1 || due[0].ID != late || due[0].Kind != gateway.TaskNeedsStaff || due[0].Patient != patient || due[0].Message != 7 || due[0].Told != 0 {
		t.Fatalf("%+v", due)
	}
	next := now.Add(time.Hour)
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 8 { // as many replicas
		wg.Go(func() {
			switch _, err := b.try(gateway.Change{Told: []gateway.TaskTold{{ID: late, Times: 0, Next: next}}}); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, gateway.ErrStale):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d replicas told of it", won.Load())
	}
	if got := b.tasks(t, gateway.TaskFilter{ID: late})[0]; got.Told != 1 || got.ToldAt.IsZero() {
		t.Errorf("%+v", got)
	}
	if due := b.untold(t, next.Add(-time.Second)); len(due) != 1 || due[0].Kind != gateway.TaskCrisis {
		t.Errorf("before its time: %+v", due)
	}
	if due := b.untold(t, next); !slices.ContainsFunc(due, func(task gateway.Task) bool { return task.ID == late && task.Told == 1 }) {
		t.Errorf("at its time: %+v", due)
	}
	b.commit(t, gateway.Change{Done: []gateway.TaskDone{{ID: late, Outcome: "x"}}})
	if _, err := b.try(gateway.Change{Told: []gateway.TaskTold{{ID: late, Times: 1, Next: next}}}); !errors.Is(err, gateway.ErrStale) {
		t.Errorf("one that is done: %v", err)
	}
	if slices.ContainsFunc(b.untold(t, next), func(task gateway.Task) bool { return task.ID == late }) {
		t.Error("one that is done is still to be told of")
	}
}

func toldAnew(t *testing.T, b Bench) {
	now := b.Now()
	first := b.task(t, gateway.Task{Kind: gateway.TaskNeedsStaff, Message: 7, Due: now.Add(-time.Minute)})
	b.commit(t, gateway.Change{Told: []gateway.TaskTold{{ID: first, Times: 0, Next: now.Add(24 * time.Hour)}}})
	b.commit(t, gateway.Change{Done: []gateway.TaskDone{{ID: first, Outcome: "x"}}})
	b.task(t, gateway.Task{Kind: gateway.TaskNeedsStaff, Message: 7, Due: now.Add(time.Minute)})
	if due := b.untold(t, now); len(due) != 0 {
		t.Errorf("before it is due: %+v", due)
	}
	if due := b.untold(t, now.Add(time.Minute)); len(due) != 1 || due[0].ID != first || due[0].Told != 0 {
		t.Errorf("%+v", due)
	}
}

// closedWithItsMeaning: a task that is done refuses the whole change, the fact with it.
func closedWithItsMeaning(t *testing.T, b Bench) {
	const number = "+13035550111"
	patient, _ := b.enrol(t, "p1", number)
	task := b.task(t, gateway.Task{Kind: gateway.TaskRevocation, Patient: patient, Due: b.Now()})
	done := gateway.Change{Done: []gateway.TaskDone{{ID: task, Outcome: "confirmed"}}, Numbers: []gateway.NumberFact{b.stop(number, b.Now())}}
	b.commit(t, done)
	if b.snapshot(t, patient).Addresses[0].Stops == 0 || b.tasks(t, gateway.TaskFilter{ID: task})[0].DoneAt.IsZero() {
		t.Fatal("it was not kept")
	}
	later := b.Now().Add(time.Second)
	done.Numbers = []gateway.NumberFact{b.word(preferences.NumberStarted, number, later)}
	if _, err := b.try(done); !errors.Is(err, gateway.ErrStale) {
		t.Errorf("closed twice: %v", err)
	}
	if b.snapshot(t, patient).Addresses[0].Stops == 0 {
		t.Error("the second closing lifted the stop")
	}
}

func versionAlone(t *testing.T, b Bench) {
	patient, _ := b.enrol(t, "p1", "+13035550111")
	version := b.snapshot(t, patient).Version
	kept := b.commit(t, gateway.Change{Patients: []gateway.PatientFact{{Patient: patient, Expect: version}}})
	if len(kept.Versions) != 0 || b.snapshot(t, patient).Version != version {
		t.Errorf("it moved: %+v", kept)
	}
	b.commit(t, gateway.Change{Numbers: []gateway.NumberFact{b.stop("+13035550111", b.Now())}})
	if _, err := b.try(gateway.Change{Patients: []gateway.PatientFact{{Patient: patient, Expect: version}}}); !errors.Is(err, gateway.ErrStale) {
		t.Errorf("an old version: %v", err)
	}
}
