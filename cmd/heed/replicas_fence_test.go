package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	replicaMessages = flag.Int("replicas.messages", 3000, "messages of the fence test with three replicas; its full size is 1,000,000")
	replicaStops    = flag.Int("replicas.stops", 300, "refusals in it; the full size is 100,000")
)

// TestReplicasHoldTheFence lets three processes send letters, texts and single messages to
// the same people, while some of them say no, in every way there is, at any replica, just
// when something goes out to them. Nothing reaches anybody after their no was answered;
// nothing is lost, and nothing comes twice.
func TestReplicasHoldTheFence(t *testing.T) {
	for name, redis := range map[string]bool{"with Redis": true, "without Redis": false} {
		t.Run(name, func(t *testing.T) {
			if !redis && *replicaMessages > 100_000 {
				t.Skip("at its full size the test runs once: with Redis")
			}
			began := time.Now()
			f := newFleet(t, fleetPlan{replicas: 3, redis: redis, lease: 5 * time.Second, unknown: 30 * time.Second})
			n := max(*replicaMessages/5, 100) // people: four letters each, a text for half, and a message for half
			f.enrol(n)
			t.Logf("%d people are on file after %s", n, time.Since(began).Round(time.Millisecond))
			began = time.Now()
			a := f.aim(*replicaStops)
			var list []*mailing
			for no := range 4 {
				list = append(list, f.newsletter(no, 0, n, 0))
			}
			list = append(list, f.survey(4, 0, n/2, 0))
			ready := time.Now()
			singles := f.sendMany(n / 2)
			until := time.Now().Add(2*time.Minute + time.Duration(*replicaMessages)*4*time.Millisecond)
			reports := f.over(until, list...)
			bulk := time.Since(began)
			f.settles(until)
			a.end()

			var v verdict
			for _, m := range list {
				v.add(f.judgeMailing(m, reports[m], false))
			}
			f.judgeSingles(&v, singles)
			t.Logf("%d people, %d refusals answered (median %s, slowest %s): %s", n, a.answered.Load(), a.median(), a.slowest(), v)
			t.Logf("audiences up and started after %s; all campaigns over after %s: %.0f messages/s over all", ready.Sub(began).Round(time.Millisecond), bulk.Round(time.Millisecond), float64(f.carrier.count())/bulk.Seconds())
			if v.late+v.lost+v.repeated > 0 {
				t.Error("the fence does not hold")
			}
			if v.kept == 0 || int(a.answered.Load()) < *replicaStops/2 {
				t.Error("nobody refused just in time: it proves nothing")
			}
		})
	}
}

func (v *verdict) add(o verdict) {
	v.came, v.late, v.lost, v.repeated, v.close, v.kept = v.came+o.came, v.late+o.late, v.lost+o.lost, v.repeated+o.repeated, v.close+o.close, v.kept+o.kept
}

// sendMany takes single messages in, at any replica, a few callers side by side.
func (f *fleet) sendMany(n int) []letterTo {
	f.Helper()
	return f.sendTo(0, n, func(int) int { return rand.IntN(len(f.people)) })
}

// sendTo takes in the messages with the numbers from first on.
func (f *fleet) sendTo(first, n int, person func(i int) int) []letterTo {
	f.Helper()
	list := make([]letterTo, n)
	for i := range list {
		list[i] = letterTo{what: fmt.Sprintf("s%d", first+i), person: person(i)}
	}
	per := max(1, n/5000) // many come in lists
	side((n+per-1)/per, func(i int) {
		if err := f.sendList(list[i*per : min(n, (i+1)*per)]); err != nil {
			f.Errorf("a message was not taken: %v", err)
		}
	})
	return list
}

// side does things side by side, a few at a time.
func side(n int, do func(i int)) {
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for i := caller; i < n; i += 8 {
				do(i)
			}
		})
	}
	callers.Wait()
}

// aimed lets people say no just when something goes out to them.
type aimed struct {
	f        *fleet
	answered atomic.Int64
	targets  chan int
	running  sync.WaitGroup

	mu    sync.Mutex
	over  bool
	shot  map[int]bool
	times []time.Duration
}

// aim lets so many people say no. What came for them is what picks them: their other messages
// are near in the audiences of the other campaigns, and are being claimed just now.
func (f *fleet) aim(refusals int) *aimed {
	a := &aimed{f: f, targets: make(chan int, 64+refusals/50), shot: map[int]bool{}}
	for range min(96, 6+refusals/100) {
		a.running.Go(func() {
			for person := range a.targets {
				began := time.Now()
				f.refuses(&f.people[person], person)
				a.answered.Add(1)
				a.mu.Lock()
				a.times = append(a.times, time.Since(began))
				a.mu.Unlock()
			}
		})
	}
	all := refusals
	f.carrier.watch(func(p parcel) {
		// They last to the end: no more of them, in proportion, than messages have come. One in
		// ten or so does not come.
		a.shoot(f.personAt(p.to), min(all, all*f.carrier.count() / *replicaMessages + 20))
	})
	return a
}

// shoot lets somebody say no, unless as many have already.
func (a *aimed) shoot(person, most int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if person < 0 || a.shot[person] || len(a.shot) >= most || a.over {
		return
	}
	select {
	case a.targets <- person:
		a.shot[person] = true
	default: // those who are asked have their hands full
	}
}

// end waits until everybody who began to say no was answered.
func (a *aimed) end() {
	a.f.carrier.watch(nil)
	a.mu.Lock()
	a.over = true
	close(a.targets)
	a.mu.Unlock()
	a.running.Wait()
}

func (a *aimed) median() time.Duration { return a.quantile(0.5) }

func (a *aimed) slowest() time.Duration { return a.quantile(1) }

func (a *aimed) quantile(q float64) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(a.times))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Round(time.Millisecond)
}

// personAt tells whose an address is, by its number; -1: nobody's.
func (f *fleet) personAt(address string) int {
	no := -1
	if rest, ok := strings.CutPrefix(address, "+1303"); ok && len(rest) == 7 {
		exchange, err1 := strconv.Atoi(rest[:3])
		line, err2 := strconv.Atoi(rest[3:])
		if err1 == nil && err2 == nil {
			no = (exchange-200)*5000 + line - 1000
		}
	} else if box, _, ok := strings.Cut(address, "@"); ok {
		if n, err := strconv.Atoi(strings.TrimPrefix(box, "r")); err == nil {
			no = n
		}
	}
	if no >= len(f.people) {
		return -1
	}
	return no
}
