package gateway_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"harmonize.care/heed/gateway"
)

// leases is a store that knows only how many messages are sending elsewhere.
type leases struct {
	gateway.Store
	until time.Time // another replica's call is under way until then
	looks int
}

func (l *leases) Calling(context.Context, []int64) (int, error) {
	l.looks++
	if time.Now().Before(l.until) {
		return 1, nil
	}
	return 0, nil
}

func newFence(l *leases) *gateway.Fence {
	return &gateway.Fence{Store: l, Now: time.Now, Lease: 5 * time.Second, Pause: func(ctx context.Context) error {
		select {
		case <-time.After(2 * time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
}

func TestNoCallStartsOnAnOlderVersion(t *testing.T) {
	f, now := newFence(&leases{}), time.Now().UnixMicro()
	f.Revoke(7, now)
	f.Revoke(7, now-10) // heard late: it takes nothing back
	if _, ok := f.Begin(7, now-1); ok {
		t.Error("a call began on a version older than the revocation")
	}
	for version, patient := range map[int64]int64{now: 7, 1: 8} {
		done, ok := f.Begin(patient, version)
		if !ok {
			t.Fatalf("version %d of patient %d was held back", version, patient)
		}
		done()
	}
}

func TestAcknowledgeWaitsForTheCallsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, now := newFence(&leases{}), time.Now().UnixMicro()
		one, _ := f.Begin(7, now-1)
		two, _ := f.Begin(7, now-1)
		acked := make(chan error, 1)
		go func() { acked <- f.Acknowledge(t.Context(), map[int64]int64{7: now}) }()
		synctest.Wait()
		one()
		synctest.Wait()
		if len(acked) > 0 {
			t.Fatal("acknowledged while a call was under way")
		}
		if _, ok := f.Begin(7, now-1); ok {
			t.Error("a call began after the refusal")
		}
		two()
		if err := <-acked; err != nil {
			t.Fatal(err)
		}
	})
}

func TestAcknowledgeWaitsForLeasesElsewhereAndNoLonger(t *testing.T) {
	for name, c := range map[string]struct{ held, waits time.Duration }{
		"a claim of another replica":          {800 * time.Millisecond, 800 * time.Millisecond},
		"nothing is sending":                  {0, 0},
		"a claim that seems to last for ever": {time.Hour, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				l := &leases{until: began.Add(c.held)}
				if err := newFence(l).Acknowledge(t.Context(), map[int64]int64{7: 2}); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took < c.waits || took > c.waits+10*time.Millisecond || l.looks == 0 {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

func TestAcknowledgeGivesUpWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFence(&leases{})
		done, _ := f.Begin(7, 1)
		defer done()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Acknowledge(ctx, map[int64]int64{7: 2}); err == nil {
			t.Error("acknowledged although a call is under way")
		}
	})
}

func TestIDsAreOrderedAndNeverMeet(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	g := &gateway.IDs{Now: func() time.Time { return now }, Rand: func() uint64 { return 0 }}
	last := int64(0)
	for i := range 5000 {
		if i == 2500 {
			now = now.Add(-time.Hour) // a clock that is set back
		}
		id := g.New()
		if id <= last {
			t.Fatalf("%d after %d", id, last)
		}
		last = id
	}
	other := &gateway.IDs{Now: g.Now, Rand: g.Rand}
	g.Is(3)
	other.Is(4)
	seen := map[int64]bool{}
	for range 5000 {
		for _, id := range []int64{g.New(), other.New()} {
			if seen[id] || id <= 0 {
				t.Fatalf("two processes made %d", id)
			}
			seen[id] = true
		}
	}
}
