package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"harmonize.care/heed/gateway"
)

// Changes that wait ride together: the first goes at once, alone, and whatever comes while
// it is being kept shares the next transaction. Nobody waits for company: under light load
// each change has a transaction of its own, under heavy load the cost of one is shared.

const (
	// maxRiders is how many changes one transaction keeps, maxLoad how many rows of theirs.
	maxRiders = 64
	maxLoad   = 512
	// ridesPostgres is how many transactions of a lane may run side by side; SQLite has one
	// writer. Full rides are cheaper than many, so that one runs, and another one beside it
	// only where it is held up: by a lock that somebody else has, on another machine perhaps.
	ridesPostgres = 4
	heldUp        = 10 * time.Millisecond
	// rideTime bounds a ride of several: it has no caller whose patience would. Each goes by
	// itself then, for as long as its own caller waits.
	rideTime = 10 * time.Second
)

// lane is where changes wait to ride together. Words of people and the work on messages
// have one each: a STOP never waits behind messages, and no ride locks a patient both to
// change what is known and to hold a claim to it.
type lane struct {
	db   *DB
	most int // transactions side by side, where those that run are held up

	mu      sync.Mutex
	waiting []*passenger
	running int
}

// passenger is one change that waits for its ride.
type passenger struct {
	ctx     context.Context
	change  *gateway.Change
	touches []thing
	aboard  bool // it can not be taken back any more
	done    chan outcome
}

// outcome is what a ride came to for one change; alone: it is to be kept by itself.
type outcome struct {
	kept  gateway.Kept
	err   error
	alone bool
}

// Commit keeps a change, all or none; steps may be refused by themselves.
func (d *DB) Commit(ctx context.Context, c gateway.Change) (gateway.Kept, error) {
	l := d.laneOf(&c)
	if l == nil {
		return d.commit(ctx, c, nil)
	}
	own := c // a ride adds to it
	came := l.ride(ctx, &own)
	if came.alone {
		return d.commit(ctx, c, nil)
	}
	return came.kept, came.err
}

// laneOf gives the lane that a change may ride in, or nil. What is rare, or asks for locks
// and looks of its own, goes by itself.
func (d *DB) laneOf(c *gateway.Change) *lane {
	judged := slices.ContainsFunc(c.Steps, func(s gateway.Step) bool { return s.Version != 0 })
	switch {
	case len(c.Turns) > 0, len(c.Patients) > 0, len(c.Templates) > 0, len(c.Speaks) > 0, len(c.Spoken) > 0:
		return nil
	case len(c.Done) > 0, len(c.Assigns) > 0, len(c.Told) > 0:
		return nil
	case c.Seen != nil && c.Key != nil: // one known and the other new: nothing of it may stay
		return nil
	case c.Whole && (c.Key != nil || len(c.Numbers) > 0 || len(c.Accepts) > 0 || places(c)):
		return nil // where a step is refused, more is to be undone than an event that was noted
	case load(c) > maxLoad, len(c.Numbers) > 0 && judged:
		return nil
	case len(c.Numbers) > 0:
		return &d.words
	}
	return &d.work
}

// places says whether a change takes a place under a cap, or gives one back.
func places(c *gateway.Change) bool {
	return slices.ContainsFunc(c.Steps, func(s gateway.Step) bool { return s.Cap != nil }) || slices.ContainsFunc(c.Edits, func(e gateway.Edit) bool { return e.Unsent != nil })
}

func load(c *gateway.Change) int {
	return 1 + len(c.Numbers) + len(c.Accepts) + len(c.Steps) + len(c.Edits) + len(c.Decides) + len(c.Heard) + len(c.Audit) + len(c.Tasks)
}

// thing is a row that a change may wait for or write to.
type thing struct {
	what byte
	id   int64
	name string
}

// things lists what two changes of one ride must not have in common. Patients who are
// only looked at (a claim's, a new message's) may be; of numbers the store finds out whose
// they are when it has them locked.
func things(c *gateway.Change) []thing {
	var list []thing
	if s := c.Seen; s != nil {
		list = append(list, thing{'e', 0, s.Source + "\x00" + s.Event})
	}
	if k := c.Key; k != nil {
		list = append(list, thing{'k', 0, k.Caller + "\x00" + k.Key})
	}
	for i := range c.Numbers {
		list = append(list, thing{'n', 0, c.Numbers[i].Number})
	}
	for i := range c.Steps {
		s := &c.Steps[i]
		list = append(list, thing{'m', s.Message, ""})
		if s.Cap != nil {
			list = append(list, thing{'u', s.Patient, s.Cap.Program.String()})
		}
	}
	for i := range c.Edits {
		e := &c.Edits[i]
		list = append(list, thing{'a', e.Attempt, ""})
		if e.Unsent != nil {
			list = append(list, thing{'u', e.Unsent.Patient, e.Unsent.Program.String()})
		}
	}
	for i := range c.Tasks {
		if t := &c.Tasks[i]; t.Message != 0 {
			list = append(list, thing{'t', t.Message, string(t.Kind)})
		}
	}
	return list
}

// ride waits for a change's outcome. A caller who gives up while it waits takes it back;
// once it is aboard its outcome is told, whatever the caller does.
func (l *lane) ride(ctx context.Context, c *gateway.Change) outcome {
	w := &passenger{ctx: ctx, change: c, touches: things(c), done: make(chan outcome, 1)}
	l.mu.Lock()
	l.waiting = append(l.waiting, w)
	first := l.running == 0
	var list []*passenger
	if first {
		l.running++
		list = l.embark()
	}
	l.mu.Unlock()
	if first { // nobody else has to be waited for, and nobody has to be woken
		l.keep(list)
		l.goOn()
		return <-w.done
	}
	late := time.NewTimer(heldUp)
	defer late.Stop()
	for waits := true; waits; {
		select {
		case came := <-w.done:
			return came
		case <-late.C:
			l.another(w)
		case <-ctx.Done():
			waits = false
		}
	}
	l.mu.Lock()
	if !w.aboard {
		w.aboard = true
		l.waiting = slices.DeleteFunc(l.waiting, func(other *passenger) bool { return other == w })
		l.mu.Unlock()
		return outcome{err: ctx.Err()}
	}
	l.mu.Unlock()
	return <-w.done
}

// goOn keeps what came meanwhile, beside the caller who was first.
func (l *lane) goOn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) > 0 {
		go l.run()
	} else {
		l.running--
	}
}

// another begins a ride beside those that run, for a change that has waited too long.
func (l *lane) another(w *passenger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !w.aboard && l.running < l.most {
		l.running++
		go l.run()
	}
}

// run keeps what waits, until nothing does.
func (l *lane) run() {
	for {
		list := l.board()
		if len(list) == 0 {
			return
		}
		l.keep(list)
	}
}

// board takes those who ride next; with nobody left the ride is over.
func (l *lane) board() []*passenger {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.embark()
	if len(list) == 0 {
		l.running--
	}
	return list
}

// embark takes those who ride next, under the lock: in the order in which they came, without
// those who touch what somebody before them does.
func (l *lane) embark() []*passenger {
	var list, stay []*passenger
	taken, weight := map[thing]bool{}, 0
	for i, w := range l.waiting {
		weight += load(w.change)
		if len(list) == maxRiders || len(list) > 0 && weight > maxLoad {
			stay = append(stay, l.waiting[i:]...)
			break
		}
		if slices.ContainsFunc(w.touches, func(t thing) bool { return taken[t] }) {
			weight -= load(w.change)
			stay = append(stay, w)
			continue
		}
		for _, t := range w.touches {
			taken[t] = true
		}
		w.aboard = true
		list = append(list, w)
	}
	l.waiting = stay
	return list
}

// keep keeps those aboard. Where anything goes wrong with one, nothing is kept of any, and
// each goes by itself; unless the database was asked to commit and did not answer.
func (l *lane) keep(list []*passenger) {
	came := make([]outcome, len(list))
	defer func() {
		if recover() != nil { // a fault in one change: it comes up again where that one is kept by itself
			for i := range came {
				came[i] = outcome{alone: true}
			}
		}
		for i, w := range list {
			w.done <- came[i]
		}
	}()
	ctx := context.Background()
	if len(list) == 1 {
		ctx = list[0].ctx
	}
	ctx, cancel := context.WithTimeout(ctx, rideTime)
	defer cancel()
	changes := make([]*gateway.Change, len(list))
	for i, w := range list {
		changes[i] = w.change
	}
	all, unsure, err := l.db.keepAll(ctx, changes, nil)
	for i := range came {
		switch {
		case err == nil:
			came[i] = all[i]
		case unsure:
			came[i].err = fmt.Errorf("keeping a change: %w", err)
		case len(list) == 1:
			came[i].err = err
		default:
			came[i].alone = true
		}
	}
}
