package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestReplicasThatWakeWithOldClaims stops a replica in its tracks at a named point, with
// claims in its hands, until others have seen to what was claimed. Meanwhile one of two people says no
// and is answered. When the replica wakes it sends the one nothing, and the other nothing twice.
func TestReplicasThatWakeWithOldClaims(t *testing.T) {
	t.Parallel()
	f := newFleet(t, fleetPlan{replicas: 2, taps: true, redis: true, lease: time.Second, unknown: 2 * time.Second})
	f.enrol(40)
	no := 0
	for _, c := range []struct {
		point string
		many  bool // a letter
		how   int  // the refusal
		calls bool // the provider has it already
	}{
		{atClaim, false, 0, false}, {atBegun, false, 0, false}, {inPost, false, 0, true},
		{atSliceClaim, true, 2, false}, {atSliceBegun, true, 3, false}, {inLetter, true, 2, true},
	} {
		t.Run(fmt.Sprintf("after %s, many: %v", c.point, c.many), func(t *testing.T) {
			refuser, other := no, no+1
			sleeper := f.freezeAt(c.point)
			var l []letterTo
			var m *mailing
			if c.many {
				m = f.newsletter(100+no, refuser, other+1, 0)
			} else {
				l = f.sendBoth(no, refuser, other)
			}
			no += 2
			var asleep *member
			select {
			case asleep = <-sleeper:
			case <-time.After(20 * time.Second):
				t.Fatal("nobody came to the point")
			}
			defer asleep.thaw()
			f.refusesAt(f.but(asleep), &f.people[refuser], c.how)
			// The others take over what they may.
			if c.many {
				f.over(time.Now().Add(30*time.Second), m)
			} else {
				f.ended(time.Now().Add(30*time.Second), l[1:])
			}
			asleep.thaw()
			f.works(asleep)
			var v verdict
			if c.many {
				report := f.over(time.Now().Add(30*time.Second), m)[m]
				v = f.judgeMailing(m, report, true)
			} else {
				for i, one := range l {
					p := &f.people[refuser+i]
					f.judge(&v, one.what, i == 1, lane(careNumber, p.phone), lane(careMailbox, p.mailbox))
				}
			}
			t.Log(v)
			if v.late+v.repeated+v.lost > 0 {
				t.Error("a replica that woke did harm")
			}
			if c.calls && v.came == 0 {
				t.Error("the call that was under way did not come: it proves nothing")
			}
		})
	}
}

// sendBoth takes two messages in at once, so that one claim takes both.
func (f *fleet) sendBoth(no, one, other int) []letterTo {
	f.Helper()
	both := []letterTo{{what: fmt.Sprintf("s%d", 1001+no), person: one}, {what: fmt.Sprintf("s%d", 1002+no), person: other}}
	if err := f.sendList(both); err != nil {
		f.Fatal(err)
	}
	return both
}

// freezeAt stops whichever replica comes to a point first, and tells which.
func (f *fleet) freezeAt(point string) <-chan *member {
	frozen := make(chan *member, 1)
	var once sync.Once
	stop := func(m *member, at string, done bool) {
		if at == point && done {
			once.Do(func() {
				m.freeze()
				frozen <- m
			})
		}
	}
	for _, m := range f.members {
		m.postgres.at(func(at string, done bool) bool {
			stop(m, at, done)
			return false
		})
	}
	f.carrier.watch(func(p parcel) {
		if p.from == newsMailbox {
			stop(f.members[p.by], inLetter, true)
		} else {
			stop(f.members[p.by], inPost, true)
		}
	})
	return frozen
}

// works waits until a replica has sent something new: whatever it had in its hands it has
// dealt with by then, or is about to.
func (f *fleet) works(m *member) {
	f.Helper()
	var sent atomic.Bool
	f.carrier.watch(func(p parcel) {
		if f.members[p.by] == m && f.personAt(p.to) >= 20 {
			sent.Store(true)
		}
	})
	var extra []letterTo
	eventually(f, fmt.Sprintf("replica %d works again", m.no), func() bool {
		if !sent.Load() {
			f.extra++
			l, err := f.sendOne(5000+f.extra, 20+f.extra%20)
			if err != nil {
				f.Fatal(err)
			}
			extra = append(extra, l)
		}
		return sent.Load()
	})
	f.carrier.watch(nil)
	f.ended(time.Now().Add(30*time.Second), extra)
}
