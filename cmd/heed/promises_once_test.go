package main_test

import (
	"context"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
)

// The record of a taken call comes when the sweep was there already.
func TestTakenAndRecordedLateIsNotSentAgain(t *testing.T) {
	w := newWorld(t)
	a := &adapter{}
	g := newGate(w.db, func(c gateway.Change) bool { return len(c.Edits) == 1 && c.Edits[0].Status == gateway.AttemptTaken })
	d, in := w.replica(g, nil, nil, a)
	w.enrol(in, "p", "a@b.example")
	w.accept(d, req("p", true))
	w.work(d)
	<-g.at // the provider took it; the database is slow to take the record
	w.clock.add(8 * time.Second)
	w.sweep(d)
	close(g.open)
	d.Drain()
	w.later(d)
	w.once(a)
}

// A worker that lost its claim does not give back another's.
func TestALostClaimMovesNothing(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	a := &adapter{}
	a.do = func(ctx context.Context, n int, m channels.Outgoing) (channels.Receipt, error) {
		if n == 1 {
			<-release
		}
		return channels.Receipt{ProviderID: "SM" + time.Duration(n).String()}, nil
	}
	g := newGate(w.db, func(c gateway.Change) bool { return len(c.Edits) == 1 && c.Edits[0].Status == gateway.AttemptBegun })
	A, in := w.replica(g, a, nil, nil)
	B, _ := w.replica(w.db, a, nil, nil)
	p := w.enrol(in, "p", "+13035550111")
	w.accept(A, req("p", true))
	done := make(chan struct{})
	go func() { w.work(A); close(done) }()
	<-g.at // A has claimed, and is stopped before its begun mark
	w.clock.add(8 * time.Second)
	w.sweep(B)
	w.work(B) // attempt 2, its call is under way
	w.until("call 1 is under way", func() bool { return a.count() >= 1 })
	close(g.open) // A wakes
	<-done
	A.Drain()
	if n, _ := w.db.Calling(bg, []int64{p}); n == 0 {
		t.Error("B's call is under way under a live lease, and Calling says 0: a STOP would be acknowledged now")
	}
	w.work(A) // claims it a third time
	A.Drain()
	close(release)
	B.Drain()
	w.once(a)
}

// A gateway whose clock is wrong leaves the claims of others alone.
func TestAWrongClockSweepsNothing(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	a := &adapter{}
	a.do = func(ctx context.Context, n int, m channels.Outgoing) (channels.Receipt, error) {
		if n == 1 {
			<-release
		}
		return channels.Receipt{ProviderID: "M" + time.Duration(n).String()}, nil
	}
	A, in := w.replica(w.db, nil, nil, a)
	ahead := func() time.Time { return w.clock.now().Add(time.Minute) }
	B, _ := w.replica(w.db, nil, ahead, a)
	B.Ready = func() error { return context.DeadlineExceeded }
	p := w.enrol(in, "p", "a@b.example")
	w.accept(A, req("p", true))
	w.work(A)
	w.until("call 1 is under way", func() bool { return a.count() >= 1 })
	w.sweep(B)
	if n, _ := w.db.Calling(bg, []int64{p}); n == 0 {
		t.Error("a call is under way under a live lease, and Calling says 0: a STOP elsewhere would be acknowledged now")
	}
	close(release)
	A.Drain()
	w.later(A)
	w.once(a)
}

// An orderly shutdown lets the calls under way end.
func TestShutdownLetsCallsEnd(t *testing.T) {
	w := newWorld(t)
	began := make(chan struct{})
	var cut error
	a := &adapter{}
	a.do = func(ctx context.Context, n int, m channels.Outgoing) (channels.Receipt, error) {
		close(began)
		select {
		case <-time.After(300 * time.Millisecond):
			return channels.Receipt{ProviderID: "x"}, nil
		case <-ctx.Done():
			cut = ctx.Err()
			return channels.Receipt{}, &channels.SendError{Kind: channels.OutcomeUnknown, Err: ctx.Err()}
		}
	}
	d, in := w.replica(w.db, a, nil, nil)
	w.enrol(in, "p", "+13035550111")
	w.accept(d, req("p", true))
	ctx, stop := context.WithCancel(bg)
	for _, q := range gateway.Queues {
		if _, err := d.Work(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	<-began
	stop()
	d.Drain()
	if cut != nil {
		t.Error("an orderly shutdown cut a call under way: its outcome is unknown now:", cut)
	}
}

// What the provider did not take uses up no place under the cap.
func TestCapPlaceIsGivenBack(t *testing.T) {
	w := newWorld(t)
	a := &adapter{}
	a.do = func(ctx context.Context, n int, m channels.Outgoing) (channels.Receipt, error) {
		return channels.Receipt{}, &channels.SendError{Kind: channels.TryLater, Code: "20429"}
	}
	d, in := w.replica(w.db, a, nil, nil)
	p := w.enrol(in, "p", "+13035550111")
	r := req("p", false)
	id := w.accept(d, r)
	for range 4 {
		w.work(d)
		d.Drain()
		w.clock.add(time.Minute)
	}
	u, _ := w.db.Usage(bg, p)
	if n := len(u[channels.Care]); n != 0 {
		t.Errorf("the provider took nothing, and %d places under the cap are used", n)
	}
	m := w.msg(id)
	if m.Due.Sub(w.clock.now()) > time.Hour {
		t.Errorf("the essential message now waits %s for its own failed tries (%s)", m.Due.Sub(w.clock.now()), m.Code)
	}
}
