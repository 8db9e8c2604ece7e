package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// reached: what was sent or delivered to an address by text or call lately, and
// nothing that went elsewhere, otherwise, or not at all.
func reached(t *testing.T, b Bench) {
	patient, address := b.enrol(t, "p1", "+13035550111")
	other, otherAddress := b.enrol(t, "p2", "+13035550112")
	version := b.snapshot(t, patient).Version
	send := func(patient, address int64, ch channels.Channel, took gateway.AttemptStatus) int64 {
		id := b.accept(t, patient)
		claim := b.claim(id, patient, address, b.snapshot(t, patient).Version)
		claim.Attempt.Pair.Channel = ch
		b.commit(t, gateway.Change{Steps: []gateway.Step{claim}})
		status := gateway.Sent
		if took == gateway.AttemptFailed {
			status = gateway.Failed
		}
		b.commit(t, gateway.Change{
			Steps: []gateway.Step{{Message: id, From: gateway.Sending, To: status}},
			Edits: []gateway.Edit{{Attempt: claim.Attempt.ID, Status: took}},
		})
		return id
	}
	first := send(patient, address, channels.SMS, gateway.AttemptTaken)
	second := send(patient, address, channels.Voice, gateway.AttemptDelivered)
	send(patient, address, channels.Email, gateway.AttemptTaken)
	send(patient, address, channels.SMS, gateway.AttemptFailed)
	send(other, otherAddress, channels.SMS, gateway.AttemptTaken)
	b.accept(t, patient) // waits
	find := func(categories []string, since time.Time, limit int) []int64 {
		got, err := b.Store.Reached(context.Background(), gateway.Holder{Patient: patient, Address: address}, categories, since, limit)
		if err != nil {
			t.Fatal(err)
		}
		var ids []int64
		for _, m := range got {
			ids = append(ids, m.ID)
			if len(m.Tries) != 1 || m.Tries[0].Pair != (preferences.Pair{Channel: m.Tries[0].Pair.Channel, Address: address}) || m.Body.Variables["text"] != "x" {
				t.Errorf("%+v", m)
			}
		}
		return ids
	}
	hour := b.Now().Add(-time.Hour)
	for name, c := range map[string]struct{ got, want []int64 }{
		"newest first":     {find([]string{"survey", "follow_up"}, hour, 10), []int64{second, first}},
		"another category": {find([]string{"survey"}, hour, 10), nil},
		"too long ago":     {find([]string{"follow_up"}, b.Now().Add(time.Hour), 10), nil},
		"no more":          {find([]string{"follow_up"}, hour, 1), []int64{second}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: %v, wanted %v", name, c.got, c.want)
		}
	}
	if b.snapshot(t, patient).Version != version {
		t.Error("sending moved the patient")
	}
}
