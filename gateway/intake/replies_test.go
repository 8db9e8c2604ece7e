package intake_test

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/cache"
	"harmonize.care/heed/preferences/policy"
)

const (
	number = "+13035550151"
	ours   = "+18885550101"
)

// desk is the intake on a database of its own, with nothing that sends.
type desk struct {
	*intake.Service
	t       *testing.T
	patient int64
	address int64
	ids     *gateway.IDs
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	ids := &gateway.IDs{Now: time.Now, Rand: rand.Uint64}
	db, err := store.Open(context.Background(), store.Options{
		URL: "sqlite:" + filepath.Join(t.TempDir(), "heed.db"), Secret: []byte(strings.Repeat("s", 32)), Now: time.Now, NewID: ids.New,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	rules, err := policy.New(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	fence := &gateway.Fence{Store: db, Now: time.Now, Lease: 5 * time.Second, Pause: func(ctx context.Context) error { return ctx.Err() }}
	d := &desk{t: t, ids: ids, Service: &intake.Service{
		Store: db, Cache: cache.NewMemory(10, time.Minute), Fence: fence, Policy: rules, Now: time.Now, NewID: ids.New, Wake: func() {},
		Senders: map[string][]channels.Program{ours: {channels.Care}},
	}}
	out, err := d.Put(t.Context(), "ehr", "p1", intake.Contact{
		Record: gateway.Record{BirthDate: "1980-04-02"}, Addresses: []intake.ContactAddress{{Kind: channels.Phone, Value: number, Rank: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	d.patient = out.Patient
	n, err := db.Number(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	d.address = n.Holders[0].Address
	return d
}

// reminded puts a reminder on record that was sent to the number.
func (d *desk) reminded(appointment time.Time) int64 { return d.remindedOf(appointment, "") }

func (d *desk) remindedOf(appointment time.Time, reference string) int64 {
	d.t.Helper()
	now, id, attempt := time.Now(), d.ids.New(), d.ids.New()
	pair := preferences.Pair{Channel: channels.SMS, Address: d.address}
	for _, c := range []gateway.Change{
		{Accepts: []gateway.Message{{
			ID: id, Patient: d.patient, Category: "appointment_reminder", Template: "appointment_reminder", Essential: true, Due: now, Expires: appointment, Created: now, Reference: reference,
			Body: gateway.Body{Variables: map[string]string{"appointment_time": appointment.Format(time.RFC3339)}},
		}}},
		{Steps: []gateway.Step{{Message: id, From: gateway.Waiting, To: gateway.Sending, Lease: now.Add(time.Second), Attempt: &gateway.Attempt{
			ID: attempt, Message: id, Number: 1, Pair: pair, Status: gateway.AttemptClaimed, At: now, Program: channels.Care,
		}}}},
		{Steps: []gateway.Step{{Message: id, From: gateway.Sending, To: gateway.Sent}}, Edits: []gateway.Edit{{Attempt: attempt, Status: gateway.AttemptTaken}}},
	} {
		c.At = now
		if _, err := d.Store.Commit(d.t.Context(), c); err != nil {
			d.t.Fatal(err)
		}
	}
	return id
}

func (d *desk) texts(id, body string) {
	d.t.Helper()
	if err := d.Text(d.t.Context(), "twilio", channels.Inbound{ID: id, From: number, To: ours, Body: body, At: time.Now()}); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) confirmed(message int64) bool {
	d.t.Helper()
	m, err := d.Store.Message(d.t.Context(), message)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range m.Events {
		if e.Kind == string(gateway.Confirmed) {
			return true
		}
	}
	return false
}

// waiting lists the templates of what still waits for the patient.
func (d *desk) waiting() []string {
	d.t.Helper()
	list, err := d.Store.Messages(d.t.Context(), gateway.MessageFilter{Patient: d.patient, Open: true, Limit: 10})
	if err != nil {
		d.t.Fatal(err)
	}
	var names []string
	for _, m := range list {
		names = append(names, m.Template)
	}
	return names
}

// Of several reminders the newest is confirmed; one whose appointment has passed is
// open no more.
func TestTheNewestOpenReminderIsConfirmed(t *testing.T) {
	d := newDesk(t)
	now := time.Now()
	passed := d.reminded(now.Add(-time.Minute))
	d.texts("SM1", "C")
	if d.confirmed(passed) || len(d.waiting()) != 0 {
		t.Error("an appointment that has passed was confirmed")
	}
	far, near := d.reminded(now.Add(96*time.Hour)), d.reminded(now.Add(48*time.Hour))
	gone := d.reminded(now.Add(-time.Second))
	d.texts("SM2", "yes")
	if d.confirmed(far) || !d.confirmed(near) || d.confirmed(gone) {
		t.Errorf("%t, %t, %t", d.confirmed(far), d.confirmed(near), d.confirmed(gone))
	}
	if w := d.waiting(); len(w) != 1 || w[0] != "confirm_received" {
		t.Errorf("%v", w)
	}
}

// No acknowledgement follows a STOP, and none reaches an address that a confidential
// communication instruction leaves out.
func TestNoThanksWhereTheyMayNotGo(t *testing.T) {
	d := newDesk(t)
	d.reminded(time.Now().Add(48 * time.Hour))
	d.texts("SM1", "C")
	d.texts("SM2", "STOP")
	if w := d.waiting(); len(w) != 1 || w[0] != "stop_confirmation" {
		t.Errorf("after the STOP: %v", w)
	}
	d = newDesk(t)
	id := d.reminded(time.Now().Add(48 * time.Hour))
	if err := d.SetConfidential(t.Context(), "staff", d.patient, intake.Confidential{Source: preferences.FromStaff}); err != nil {
		t.Fatal(err)
	}
	d.texts("SM1", "C")
	if w := d.waiting(); !d.confirmed(id) || len(w) != 0 {
		t.Errorf("letters only: %v", w)
	}
}

// Nor does one follow a STOP from a phone that several share.
func TestNoThanksAfterASTOPFromASharedPhone(t *testing.T) {
	d := newDesk(t)
	d.reminded(time.Now().Add(48 * time.Hour))
	d.second(time.Now().Add(72 * time.Hour))
	d.texts("SM1", "C")
	d.texts("SM2", "STOP")
	due, err := d.Store.Due(t.Context(), gateway.AnswerQueue, time.Now(), 10)
	if err != nil || len(due) != 1 || due[0].Template != "stop_confirmation" {
		t.Errorf("%+v, %v", due, err)
	}
}

// Nor does the confirmation of a START.
func TestNoWelcomeAfterASTOP(t *testing.T) {
	d := newDesk(t)
	d.texts("SM1", "STOP")
	d.texts("SM2", "START")
	if w := d.waiting(); !slices.Contains(w, "start_confirmation") {
		t.Fatalf("after the START: %v", w)
	}
	d.texts("SM3", "STOP")
	if w := d.waiting(); slices.Contains(w, "start_confirmation") {
		t.Errorf("after the STOP: %v", w)
	}
}
