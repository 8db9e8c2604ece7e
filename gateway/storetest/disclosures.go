package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"harmonize.care/heed/gateway"
)

// disclosures: what reached a provider, or may have, and the copies that were taken are
// told in the order in time; what surely went nowhere, what is older, and what is
// another patient's is not.
func disclosures(t *testing.T, b Bench) {
	ctx := context.Background()
	patient, address := b.enrol(t, "p1", "+13035550111")
	other, elsewhere := b.enrol(t, "p2", "+13035550112")
	object := fmt.Sprintf("patient:%d", patient)
	var want []int64
	for _, try := range []struct {
		of, to int64
		status gateway.AttemptStatus
		counts bool
	}{
		{patient, address, gateway.AttemptClaimed, false}, {patient, address, gateway.AttemptBegun, true}, {patient, address, gateway.AttemptDelivered, true},
		{patient, address, gateway.AttemptUnsent, false}, {other, elsewhere, gateway.AttemptTaken, false}, {patient, address, gateway.AttemptFailed, true},
	} {
		message := b.accept(t, try.of)
		step := b.claim(message, try.of, try.to, 0)
		step.Attempt.Provider = "twilio"
		b.commit(t, gateway.Change{Steps: []gateway.Step{step}})
		b.commit(t, gateway.Change{Edits: []gateway.Edit{{Attempt: step.Attempt.ID, Status: try.status, ProviderID: fmt.Sprint("SM", message)}}})
		if try.counts {
			want = append(want, step.Attempt.ID)
		}
	}
	b.commit(t, gateway.Change{Actor: "dana", Audit: []gateway.Audit{
		{Verb: gateway.CopyTaken, Object: object}, {Verb: "ledger.read", Object: object}, {Verb: gateway.CopyTaken, Object: object + "0"},
	}})
	hour := b.Now().Add(-time.Hour)
	all, err := b.Store.Disclosures(ctx, patient, hour, 0, 100)
	if err != nil || len(all) != len(want)+1 {
		t.Fatalf("%+v, %v", all, err)
	}
	for i, id := range want {
		if d := all[i]; d.ID != id || d.Attempt.Provider != "twilio" || d.To != "+13035550111" || d.Category != "follow_up" || d.Template != "follow_up" || d.At.IsZero() {
			t.Errorf("%d: %+v", i, d)
		}
	}
	if last := all[len(want)]; last.Attempt != nil || last.TakenBy != "dana" || last.At.IsZero() {
		t.Errorf("the copy: %+v", last)
	}
	if page, err := b.Store.Disclosures(ctx, patient, hour, want[1], 2); err != nil || len(page) != 2 || page[0].ID != want[2] || page[1].TakenBy != "dana" {
		t.Errorf("a page: %+v, %v", page, err)
	}
	if none, err := b.Store.Disclosures(ctx, patient, b.Now().Add(time.Hour), 0, 100); err != nil || len(none) != 0 {
		t.Errorf("older ones: %+v, %v", none, err)
	}
	b.commit(t, gateway.Change{Patients: []gateway.PatientFact{b.erasure(patient)}})
	if left, err := b.Store.Disclosures(ctx, patient, hour, 0, 100); err != nil || len(left) != len(want)+1 || left[0].To != "" {
		t.Errorf("of somebody erased: %+v, %v", left, err)
	}
}

// everyDecision: all decisions of some messages are told, in their order, and no others.
func everyDecision(t *testing.T, b Bench) {
	patient, _ := b.enrol(t, "p1", "+13035550111")
	one, two := b.accept(t, patient), b.accept(t, patient)
	var c gateway.Change
	for _, of := range []int64{one, two, one} {
		c.Decides = append(c.Decides, gateway.DecisionRecord{ID: b.NewID(), Message: of, Patient: patient, At: b.Now(), Outcome: "send", Body: []byte(`{}`)})
	}
	b.commit(t, c)
	got, err := b.Store.DecisionsOf(context.Background(), []int64{one})
	if err != nil || len(got) != 2 || got[0].ID != c.Decides[0].ID || got[1].ID != c.Decides[2].ID {
		t.Errorf("%+v, %v", got, err)
	}
	if none, err := b.Store.DecisionsOf(context.Background(), nil); err != nil || len(none) != 0 {
		t.Errorf("of no message: %v, %v", none, err)
	}
}
