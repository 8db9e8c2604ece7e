package main_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
)

// An unknown outcome that is looked up and found failed.
func TestFoundFailedIsNotSent(t *testing.T) {
	w := newWorld(t)
	a := &adapter{}
	var last channels.Outgoing
	a.do = func(ctx context.Context, n int, m channels.Outgoing) (channels.Receipt, error) {
		last = m
		return channels.Receipt{}, &channels.SendError{Kind: channels.OutcomeUnknown}
	}
	a.find = func(ctx context.Context, m channels.Outgoing, since time.Time) ([]channels.Found, error) {
		return []channels.Found{{ProviderID: "SMx", To: m.To, Body: last.Text, Created: w.clock.now(), Status: channels.Failed, Code: "30005"}}, nil
	}
	d, in := w.replica(w.db, finder{a}, nil, nil)
	w.enrol(in, "p", "+13035550111")
	id := w.accept(d, req("p", true))
	w.work(d)
	d.Drain()
	w.clock.add(11 * time.Second)
	w.sweep(d)
	w.work(d)
	d.Drain()
	tasks, _ := w.db.Tasks(bg, gateway.TaskFilter{Limit: 10})
	if w.msg(id).Status == gateway.Sent && len(tasks) == 0 {
		t.Error("the provider says failed, and the essential message rests as sent, without a task")
	}
}

// A look-up has its own time, and no claim waits for it.
func TestHangingLookUpDoesNotStopTheSweep(t *testing.T) {
	w := newWorld(t)
	a := &adapter{}
	a.do = func(context.Context, int, channels.Outgoing) (channels.Receipt, error) {
		return channels.Receipt{}, &channels.SendError{Kind: channels.OutcomeUnknown}
	}
	asked := 0
	a.find = func(ctx context.Context, _ channels.Outgoing, _ time.Time) ([]channels.Found, error) {
		asked++
		if end, ok := ctx.Deadline(); !ok || time.Until(end) > 10*time.Second {
			t.Error("the look-up has no deadline")
		}
		return nil, context.DeadlineExceeded
	}
	d, in := w.replica(w.db, finder{a}, nil, nil)
	for _, ref := range []string{"p", "q", "r"} {
		w.enrol(in, ref, "+13035550111")
		w.accept(d, req(ref, true))
	}
	w.work(d)
	d.Drain()
	w.clock.add(11 * time.Second)
	if _, err := d.Sweep(bg); err != nil || asked != 0 {
		t.Errorf("the sweep asked the provider %d times, %v", asked, err)
	}
	if n, err := d.Resolve(bg); err != nil || n != 3 || asked != 1 {
		t.Errorf("%d looked at, %v; a provider that does not answer was asked %d times in a pass", n, err, asked)
	}
}

// A message that can no longer be written again, as its patient was erased, keeps no
// other from being looked up.
func TestWhatCannotBeWrittenAgainHidesNothing(t *testing.T) {
	w := newWorld(t)
	a := &adapter{}
	a.do = func(context.Context, int, channels.Outgoing) (channels.Receipt, error) {
		return channels.Receipt{}, &channels.SendError{Kind: channels.OutcomeUnknown}
	}
	a.find = func(_ context.Context, m channels.Outgoing, _ time.Time) ([]channels.Found, error) {
		return []channels.Found{{ProviderID: "SM1", To: m.To, Body: m.Text, Created: w.clock.now(), Status: channels.Delivered}}, nil
	}
	d, in := w.replica(w.db, finder{a}, nil, nil)
	gone := w.enrol(in, "gone", "+13035550111")
	w.enrol(in, "p", "+13035550112")
	w.accept(d, req("gone", true))
	w.work(d)
	d.Drain()
	w.clock.add(time.Second)
	id := w.accept(d, req("p", true))
	w.work(d)
	d.Drain()
	if err := in.Erase(bg, "t", gone, "request"); err != nil {
		t.Fatal(err)
	}
	w.clock.add(11 * time.Second)
	w.sweep(d)
	if m := w.msg(id); m.Status != gateway.Delivered {
		t.Errorf("the provider has it, and nobody asked: %s", w.tell(id))
	}
}

// Taken, and never heard of again.
func TestSentWithoutReceiptIsNotForgotten(t *testing.T) {
	w := newWorld(t)
	d, in := w.replica(w.db, &adapter{}, nil, nil)
	w.enrol(in, "p", "+13035550111")
	id := w.accept(d, req("p", true))
	w.work(d)
	d.Drain()
	for range 60 {
		w.clock.add(12 * time.Hour)
		w.sweep(d)
	}
	tasks, _ := w.db.Tasks(bg, gateway.TaskFilter{Limit: 10})
	if m := w.msg(id); m.Status == gateway.Sent && len(tasks) == 0 {
		t.Errorf("a month later: %s, no task", w.tell(id))
	}
}

// A server took the mail and sends it back later.
func TestBounceAfterDelivered(t *testing.T) {
	w := newWorld(t)
	d, in := w.replica(w.db, nil, nil, &adapter{})
	p := w.enrol(in, "p", "a@b.example")
	id := w.accept(d, req("p", true))
	w.work(d)
	d.Drain()
	at := w.msg(id).Tries[0].ID
	for i, e := range []channels.Delivery{{Status: channels.Delivered}, {Status: channels.Failed, Kind: channels.AddressIsBad, Code: "bounce 5.1.1"}} {
		e.EventID, e.Attempt, e.At = fmt.Sprint(i), at, w.clock.now()
		if err := d.Delivery(bg, "sendgrid", e); err != nil {
			t.Fatal(err)
		}
	}
	w.work(d)
	s, _ := w.db.Snapshots(bg, []int64{p})
	tasks, _ := w.db.Tasks(bg, gateway.TaskFilter{Limit: 10})
	if s[p].Addresses[0].State == preferences.OK || len(tasks) == 0 {
		t.Errorf("a hard bounce after `delivered`: %s, address %s, %d tasks", w.tell(id), s[p].Addresses[0].State, len(tasks))
	}
}

// A message that needs staff a second time has an open task again.
func TestSecondTaskIsNotSwallowed(t *testing.T) {
	w := newWorld(t)
	a := &adapter{}
	a.do = func(ctx context.Context, n int, m channels.Outgoing) (channels.Receipt, error) {
		return channels.Receipt{}, &channels.SendError{Kind: channels.OutcomeUnknown}
	}
	d, in := w.replica(w.db, nil, nil, a)
	w.enrol(in, "p", "a@b.example")
	id := w.accept(d, req("p", true))
	for range 2 {
		w.work(d)
		d.Drain()
		for range 70 {
			w.clock.add(10 * time.Second)
			w.sweep(d)
		}
	}
	tasks, _ := w.db.Tasks(bg, gateway.TaskFilter{Limit: 10})
	m := w.msg(id)
	say := func(i int, e channels.Delivery) {
		e.EventID, e.Attempt, e.At = fmt.Sprint(i), m.Tries[1].ID, w.clock.now()
		if err := d.Delivery(bg, "sendgrid", e); err != nil {
			t.Fatal(err)
		}
	}
	say(1, channels.Delivery{Status: channels.Accepted})
	// staff see that it went out after all, and close the task
	if _, err := w.db.Commit(bg, gateway.Change{At: w.clock.now(), Done: []gateway.TaskDone{{ID: tasks[0].ID, Outcome: "it went out after all"}}}); err != nil {
		t.Fatal(err)
	}
	say(2, channels.Delivery{Status: channels.Failed, Kind: channels.AddressIsBad, Code: "bounce"})
	w.work(d)
	d.Drain()
	tasks, _ = w.db.Tasks(bg, gateway.TaskFilter{Limit: 10})
	if len(tasks) == 0 {
		t.Error("an essential message needs staff, and no task is open")
	}
}

// One erased patient refuses itself alone.
func TestOneErasedPatientRefusesItselfAlone(t *testing.T) {
	w := newWorld(t)
	d, in := w.replica(w.db, &adapter{}, nil, nil)
	w.enrol(in, "p", "+13035550111")
	gone := w.enrol(in, "gone", "+13035550112")
	if err := in.Erase(bg, "t", gone, "request"); err != nil {
		t.Fatal(err)
	}
	got, _, err := d.Accept(bg, "t", []dispatch.Request{req("p", true), req("gone", true), req("p", true)}, nil, nil)
	if err != nil || len(got) != 3 || got[0].Err != nil {
		t.Errorf("the two others: %v, %v", got, err)
	}
}

// A caller's key never keeps an answer that could not be written: with it, the caller would
// be told for ever that something was taken, and not what.
func TestAKeyKeepsNoAnswerThatCouldNotBeWritten(t *testing.T) {
	w := newWorld(t)
	d, in := w.replica(w.db, &adapter{}, nil, nil)
	w.enrol(in, "p", "+13035550111")
	key := func() *gateway.Key { return &gateway.Key{Caller: "ehr", Key: "one", BodyHash: []byte("h")} }
	gone := errors.New("the database is gone")
	if _, _, err := d.Accept(bg, "t", []dispatch.Request{req("p", true)}, key(), func([]dispatch.Accepted) (int, []byte, error) {
		return http.StatusAccepted, []byte("\n"), gone
	}); !errors.Is(err, gone) {
		t.Fatal(err)
	}
	if kept, err := w.db.Answer(bg, key()); kept != nil || err != nil {
		t.Errorf("kept: %+v, %v", kept, err)
	}
	if list, err := w.db.Messages(bg, gateway.MessageFilter{Limit: 10}); len(list) != 0 || err != nil {
		t.Errorf("taken: %v, %v", list, err)
	}
}

// What is held back as a minor's is told, in case the birth date is mistyped.
func TestMinorsTaskSaysWhatWasHeldBack(t *testing.T) {
	w := newWorld(t)
	d, in := w.replica(w.db, &adapter{}, nil, nil)
	out, err := in.Put(bg, "t", "kid", intake.Contact{Record: gateway.Record{BirthDate: "2015-04-02"}, Addresses: []intake.ContactAddress{{Kind: channels.Phone, Value: "+13035550111"}}})
	if err != nil {
		t.Fatal(err)
	}
	tasks, _ := w.db.Tasks(bg, gateway.TaskFilter{Patient: out.Patient, Limit: 10})
	if len(tasks) != 1 {
		t.Fatal(tasks)
	}
	id := w.accept(d, req("kid", true))
	w.work(d)
	d.Drain()
	tasks, _ = w.db.Tasks(bg, gateway.TaskFilter{Patient: out.Patient, Limit: 10})
	said := false
	for _, task := range tasks {
		said = said || task.Message == id || len(task.Detail.Reasons) > 0
	}
	if !said {
		t.Errorf("%s; the tasks say nothing of it: %+v", w.tell(id), tasks)
	}
}

// A provider's opt-out is kept when the patient is erased.
func TestProvidersOptOutOutlivesErasure(t *testing.T) {
	w := newWorld(t)
	d, in := w.replica(w.db, &adapter{}, nil, nil)
	p := w.enrol(in, "p", "+13035550111")
	id := w.accept(d, req("p", true))
	w.work(d)
	d.Drain()
	at := w.msg(id).Tries[0].ID
	if err := in.Erase(bg, "t", p, "request"); err != nil {
		t.Fatal(err)
	}
	if err := d.Delivery(bg, "twilio", channels.Delivery{EventID: "x", Attempt: at, ProviderID: fmt.Sprintf("SM%d", at), Status: channels.Failed, Kind: channels.PersonOptedOut, Code: "21610", To: "+13035550111", At: w.clock.now()}); err != nil {
		t.Fatal(err)
	}
	n, _ := w.db.Number(bg, "+13035550111")
	if n.Stops == 0 {
		t.Error("the provider said that this number opted out, and no stop is kept")
	}
}
