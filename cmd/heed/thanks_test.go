package main

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/cache"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// hung is a provider that says when a text is on its way, and lets it through later.
type hung struct{ called, open chan struct{} }

func (h *hung) Send(context.Context, channels.Outgoing) (channels.Receipt, error) {
	h.called <- struct{}{}
	<-h.open
	return channels.Receipt{ProviderID: "SM1"}, nil
}

// A thank-you for a C is none of the exceptions to a stop: a STOP that another replica
// hears is not acknowledged while one is on its way to the provider.
func TestASTOPWaitsForTheThanksOfAnotherReplica(t *testing.T) {
	const number, ours = "+13035550151", "+18885550100"
	ctx, ids := t.Context(), &gateway.IDs{Now: time.Now, Rand: rand.Uint64}
	db, err := store.Open(ctx, store.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "heed.db"), Secret: []byte(strings.Repeat("s", 32)), Now: time.Now, NewID: ids.New})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	rules, err := policy.New(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	fence := func() *gateway.Fence {
		return &gateway.Fence{Store: db, Now: time.Now, Lease: 5 * time.Second, Pause: pause}
	}
	there := &intake.Service{
		Store: db, Cache: cache.NewMemory(10, time.Minute), Fence: fence(), Policy: rules, Now: time.Now, NewID: ids.New, Wake: func() {},
		Senders: map[string][]channels.Program{ours: {channels.Care}},
	}
	provider := &hung{make(chan struct{}, 1), make(chan struct{})}
	here := &dispatch.Dispatcher{
		Store: db, Cache: cache.NewMemory(10, time.Minute), Fence: fence(), Policy: rules, Templates: templates.Builtin, Identity: templates.SampleIdentity(),
		Ways: map[dispatch.WayOf]dispatch.Way{{Program: channels.Care, Channel: channels.SMS}: {Adapter: provider, Agreement: policy.Clinical}},
		Now:  time.Now, NewID: ids.New, Wake: func() {}, Ready: func() error { return nil }, Fault: func(err error) { t.Error(err) }, Lease: 5 * time.Second, LookupAfter: time.Second,
	}
	out, err := there.Put(ctx, "ehr", "p1", intake.Contact{
		Record: gateway.Record{BirthDate: "1980-04-02"}, Addresses: []intake.ContactAddress{{Kind: channels.Phone, Value: number, Rank: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	known, err := db.Number(ctx, number)
	if err != nil {
		t.Fatal(err)
	}
	now, id := time.Now(), ids.New()
	reminder := gateway.Message{
		ID: id, Patient: out.Patient, Queue: gateway.ReminderQueue, Category: "appointment_reminder", Template: "appointment_reminder", Essential: true, Due: now, Expires: now.Add(48 * time.Hour), Created: now,
	}
	attempt := gateway.Attempt{ID: ids.New(), Message: id, Number: 1, Pair: preferences.Pair{Channel: channels.SMS, Address: known.Holders[0].Address}, Status: gateway.AttemptTaken, At: now, Program: channels.Care}
	for _, c := range []gateway.Change{
		{At: now, Accepts: []gateway.Message{reminder}},
		{At: now, Steps: []gateway.Step{{Message: id, From: gateway.Waiting, To: gateway.Sending, Lease: now.Add(time.Second), Attempt: &attempt}}},
		{At: now, Steps: []gateway.Step{{Message: id, From: gateway.Sending, To: gateway.Sent, Try: 1}}, Edits: []gateway.Edit{{Attempt: attempt.ID, Status: gateway.AttemptTaken}}},
	} {
		if _, err := db.Commit(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	say := func(id, body string) error {
		return there.Text(ctx, "twilio", channels.Inbound{ID: id, From: number, To: ours, Body: body, At: time.Now()})
	}
	if err := say("SM1", "C"); err != nil {
		t.Fatal(err)
	}
	if n, err := here.Work(ctx, gateway.AnswerQueue); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	<-provider.called
	acknowledged := make(chan error, 1)
	go func() { acknowledged <- say("SM2", "STOP") }()
	select {
	case err := <-acknowledged:
		t.Errorf("the STOP was acknowledged while the thank-you was on its way: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	close(provider.open)
	here.Drain()
	select {
	case err := <-acknowledged:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the STOP was never acknowledged")
	}
}
