package main_test

import (
	"errors"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
)

func text(id, body string, at time.Time) channels.Inbound {
	return channels.Inbound{ID: id, From: "+13035550111", To: "+18885550101", Body: body, At: at}
}

// A STOP that changes nothing is answered no sooner than the first one.
func TestDuplicateStopIsNotAnsweredBeforeTheFirst(t *testing.T) {
	for name, second := range map[string]string{"the provider's retry (same id)": "SM1", "the person's second STOP": "SM2"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := &adapter{}
			g := newGate(w.db, func(c gateway.Change) bool { return len(c.Edits) == 1 && c.Edits[0].Status == gateway.AttemptBegun })
			A, in := w.replica(g, a, nil, nil) // the replica that has claimed; it hears of nothing (NOTIFY lost)
			_, B := w.replica(w.db, a, nil, nil)
			B.Fence.Pause = w.pause
			w.enrol(in, "p", "+13035550111")
			w.accept(A, req("p", true))
			done := make(chan struct{})
			go func() { w.work(A); close(done) }()
			<-g.at // claimed under a live lease, the call not begun
			first, again := w.stopped(B, "SM1"), w.stopped(B, second)
			w.until("the second waits too", func() bool { return w.waiting.Load() == 2 })
			if isClosed(first) || isClosed(again) {
				t.Error("a STOP was answered while a claim may still become a call")
			}
			close(g.open)
			<-done
			A.Drain()
			<-first
			<-again
		})
	}
}

// A refused cancel leaves nothing behind: no key, and no word in the audit log.
func TestRefusedCancelIsRefusedAgain(t *testing.T) {
	w := newWorld(t)
	d, in := w.replica(w.db, &adapter{}, nil, nil)
	w.enrol(in, "p", "+13035550111")
	id := w.accept(d, req("p", true))
	w.work(d)
	d.Drain()
	k := &gateway.Key{Caller: "c", Key: "k", BodyHash: []byte{1}}
	ctx := gateway.WithKey(bg, k)
	if err := d.Cancel(ctx, "c", id); !errors.Is(err, gateway.ErrStale) {
		t.Errorf("a message that was sent: %v", err)
	}
	kept, err := w.db.Answer(bg, &gateway.Key{Caller: "c", Key: "k", BodyHash: []byte{1}})
	if kept != nil {
		t.Errorf("the key of a refused cancel is kept as carried out (status %d, %v): the second call waits 6 s and is answered 200", kept.Status, err)
	}
	rows, _ := w.db.Audits(bg, 0, 100)
	for _, r := range rows {
		if r.Verb == "message.cancel" {
			t.Error("the audit log says that the message was cancelled; it was sent:", w.tell(id))
		}
	}
}
