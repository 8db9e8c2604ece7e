package main

import (
	"context"
	"testing"
	"time"
)

// TestReplicasWaitForEachOthersCalls lets a provider call of one replica hang, while the
// person it goes to says no at another one: the answer waits until the call has ended, or
// cannot come to anything any more because its lease has ended.
func TestReplicasWaitForEachOthersCalls(t *testing.T) {
	t.Parallel()
	const lease = 3 * time.Second
	f := newFleet(t, fleetPlan{replicas: 2, lease: lease, unknown: 30 * time.Second})
	f.enrol(6)
	for no, c := range []struct {
		name  string
		sends func(no, person int)
		how   int // the refusal
		ends  bool
	}{
		{"a text, and it ends", f.mustSend, 0, true},
		{"a text, and it hangs", f.mustSend, 0, false},
		{"a letter, and it ends", func(no, person int) { f.newsletter(no, person, person+1, 0) }, 2, true},
		{"a letter, and it hangs", func(no, person int) { f.newsletter(no, person, person+1, 0) }, 2, false},
		{"a text of a campaign, and it ends", func(no, person int) { f.survey(no, person, person+1, 0) }, 1, true},
		{"a text of a campaign, and it hangs", func(no, person int) { f.survey(no, person, person+1, 0) }, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			began, release := make(chan parcel, 1), make(chan struct{})
			f.carrier.watch(func(p parcel) {
				began <- p
				<-release
			})
			c.sends(no, no)
			var call parcel
			select {
			case call = <-began:
			case <-time.After(20 * time.Second):
				close(release)
				t.Fatal("no call began")
			}
			f.carrier.watch(nil)
			answered := make(chan time.Time, 1)
			said := time.Now()
			go func() {
				f.refusesAt(f.but(f.members[call.by]), &f.people[no], c.how)
				answered <- time.Now()
			}()
			eventually(t, "the refusal is in force", func() bool { return f.refusedBy(&f.people[no]) })
			if c.ends {
				select {
				case <-answered:
					t.Error("it was answered while a call to the same person was under way elsewhere")
				case <-time.After(lease / 6):
				}
				ended := time.Now()
				close(release)
				if at := <-answered; at.Before(ended) || at.Sub(ended) > lease {
					t.Errorf("answered %s after the call had ended", at.Sub(ended))
				}
				return
			}
			at := <-answered
			close(release)
			if waited := at.Sub(said); waited < lease/3 || waited > lease+2*time.Second {
				t.Errorf("answered after %s; the lease is %s", waited, lease)
			}
		})
	}
}

func (f *fleet) mustSend(no, person int) {
	f.Helper()
	if _, err := f.sendOne(no, person); err != nil {
		f.Fatal(err)
	}
}

// refusedBy says whether the database knows of anything that this person refused.
func (f *fleet) refusedBy(p *patron) bool {
	list, err := f.store.Snapshots(context.Background(), []int64{p.id})
	if err != nil || list[p.id] == nil {
		return false
	}
	s := list[p.id]
	for i := range s.Addresses {
		if s.Addresses[i].Stops != 0 {
			return true
		}
	}
	return s.Confidential != nil || len(s.Choices) > 1 // one is the yes that everybody began with
}
