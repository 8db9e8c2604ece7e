package intake

import (
	"context"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// instruction confirms the confidential communication instruction in force, or ends
// the hold of an import. 45 CFR 164.522(b).
func (c *closing) instruction(ctx context.Context) error {
	if c.task.Patient == 0 {
		return gateway.Wrong("outcome", "the task names no patient: say in a sentence of your own what came of it")
	}
	p, err := c.Store.Patient(ctx, c.task.Patient)
	if err != nil {
		return err
	}
	now := p.Snapshot.Confidential
	fact := gateway.PatientFact{Patient: p.ID, Expect: p.Snapshot.Version}
	switch {
	case c.outcome.Does == gateway.KeepsConfidence && now == nil:
		return gateway.Wrong("outcome", "no instruction is in force that could be confirmed")
	case c.outcome.Does == gateway.KeepsConfidence:
		e := c.event(preferences.ConfidentialSet)
		same := *now
		e.Confidential = &same
		fact.Events = []preferences.Event{e}
	case c.outcome.Does == gateway.NeedsNone && now != nil:
		return gateway.Wrong("outcome", "an instruction is still in force: first end it with DELETE /v1/patients/{id}/confidential-communication")
	case now == nil || !now.Hold:
		return nil
	case c.outcome.Does == gateway.NeedsNoHold:
		return gateway.Wrong("outcome", "the hold is still in force: first put in force what the note asks for, with PUT /v1/patients/{id}/confidential-communication")
	default:
		asked, err := c.askedBeside(ctx, p.ID)
		if err != nil {
			return err
		}
		if asked {
			return gateway.Wrong("outcome", "the patient asked to be reached only in certain ways, before the note came or since: put that in force with PUT /v1/patients/{id}/confidential-communication, and close this with instruction_set")
		}
		fact.Events = []preferences.Event{c.event(preferences.ConfidentialEnded)}
	}
	c.change.Patients = append(c.change.Patients, fact)
	return nil
}

// askedBeside says whether somebody else than an import has a part in the hold in force:
// an instruction that it took the place of, or a request that came while it held. To end
// the hold would end these too.
func (c *closing) askedBeside(ctx context.Context, patient int64) (asked bool, err error) {
	var now *preferences.Confidential
	err = c.recount(ctx, patient, func(e *preferences.Event) {
		switch e.Kind {
		case preferences.ConfidentialEnded:
			now, asked = nil, false
		case preferences.ConfidentialSet:
			begins := now == nil || !now.Hold
			asked = e.Confidential.Hold && (e.Source != preferences.FromImport || begins && now != nil || !begins && asked)
			now = e.Confidential
		}
	})
	return asked, err
}
