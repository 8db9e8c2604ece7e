package main

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// deaths are the points of work at which replicas are killed: before the commit, or after it
// and before the replica knows. Where a call is made, the carrier kills.
var deaths = []struct {
	point string
	done  bool
}{
	{atAccept, false}, {atAccept, true}, {atClaim, false}, {atClaim, true}, {atBegun, true}, {inPost, false}, {atRecord, false}, {atRecord, true},
	{atSliceClaim, false}, {atSliceClaim, true}, {atSliceBegun, false}, {atSliceBegun, true}, {inLetter, false}, {midSlice, false},
	{atSliceRecord, false}, {atSliceRecord, true}, {atRefusal, false}, {atRefusal, true},
}

// Points at the carrier: a request is there, and its replica dies before the answer.
const (
	inPost   = "a call to one"
	inLetter = "a letter to many"
	midSlice = "in the middle of a slice of calls"
)

// reaper kills whichever replica comes to a point first.
type reaper struct {
	mu    sync.Mutex
	point string
	done  bool
	who   chan *member // who was killed
}

// wants arms it; what was armed and never reached is forgotten.
func (r *reaper) wants(point string, done bool) <-chan *member {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.point, r.done, r.who = point, done, make(chan *member, 1)
	return r.who
}

// meets kills a replica that has come to the point, once.
func (r *reaper) meets(m *member, point string, done bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.point != point || r.done != done || !m.fell() {
		return false
	}
	r.point = ""
	r.who <- m
	return true
}

// TestReplicasAreKilledAgainAndAgain kills one of three replicas after the other, at named
// points of their work and at any moment, while all work and people say no. Everything ends
// with a recorded outcome; what is not essential comes once at the most, and what is
// essential twice only where that is on record.
func TestReplicasAreKilledAgainAndAgain(t *testing.T) {
	f := newFleet(t, fleetPlan{replicas: 3, redis: true, taps: true, events: true, lease: 2 * time.Second, unknown: 4 * time.Second})
	crowd := 100 + 30**kills
	f.enrol(crowd)
	r := &reaper{}
	for _, m := range f.members {
		m.postgres.at(func(point string, done bool) bool { return r.meets(m, point, done) })
	}
	f.carrier.watch(func(p parcel) {
		point := inPost
		switch {
		case p.from == newsMailbox:
			point = inLetter
		case p.from == surveyNumber:
			point = midSlice
		}
		r.meets(f.members[p.by], point, false)
	})

	// Letters and texts in a steady stream, so that every point is always near.
	list := []*mailing{f.newsletter(0, 0, crowd, 25), f.survey(1, 0, crowd, 25)}
	stop := make(chan struct{})
	var callers sync.WaitGroup
	var mu sync.Mutex
	var singles []letterTo
	for caller := range 3 {
		callers.Go(func() {
			for i := caller; ; i += 3 {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
				l, err := f.sendOne(i, rand.IntN(crowd))
				if err != nil {
					f.Errorf("a message was not taken: %v", err)
					return
				}
				mu.Lock()
				singles = append(singles, l)
				mu.Unlock()
				if i%5 == 0 {
					f.refuses(&f.people[i%crowd], i/5)
				}
			}
		})
	}
	died := map[string]int{}
	for i := range *kills {
		f.kill(r, i, died)
	}
	close(stop)
	callers.Wait()
	r.wants("", false)
	for _, m := range f.members {
		m.awaitReady()
	}
	until := time.Now().Add(3*time.Minute + time.Duration(crowd)*50*time.Millisecond)
	v, again := f.total(until, list, singles)
	t.Logf("%d kills (%v), %d messages to one, %d of them tried once more on record, %d letters and texts of campaigns: %s", *kills, died, len(singles), again, 2*crowd, v)
	if v.late+v.lost+v.repeated > 0 {
		t.Error("something was lost, repeated, or sent in spite of a refusal")
	}
	if len(died) < min(len(deaths), *kills)/2 || len(singles) < *kills {
		t.Error("too little was under way: it proves nothing")
	}
}

// kill kills one replica: two times out of three at a named point, else at any moment; and
// brings it back while the others go on.
func (f *fleet) kill(r *reaper, i int, died map[string]int) {
	f.Helper()
	victim, where := f.members[rand.IntN(len(f.members))], "at any moment"
	if i%3 != 2 {
		d := deaths[7*(i/3*2+i%3)%len(deaths)] // not in the order of the list, so that few kills meet all kinds
		when := "before "
		if d.done {
			when = "after "
		}
		select {
		case victim = <-r.wants(d.point, d.done):
			where = when + d.point
		case <-time.After(3 * time.Second): // it was not come to
		}
	} else {
		<-time.After(time.Duration(rand.IntN(300)) * time.Millisecond)
	}
	victim.fell()
	died[where]++
	victim.again()
	// One more may still be on its way up: the third is there all the time.
	eventuallyUntil(f, time.Now().Add(time.Minute), "at least two replicas are ready", func() bool {
		ready := 0
		for _, m := range f.members {
			if m.ready() {
				ready++
			}
		}
		return ready >= 2
	})
}
