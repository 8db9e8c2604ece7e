package dispatch

import (
	"context"
	"errors"
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// maxTries is how often one way is tried before another is looked for.
const maxTries = 6

// send takes the last look, makes the call and keeps what came of it. The call
// ends with the lease at the latest, so that an acknowledgement never waits longer.
func (d *Dispatcher) send(ctx context.Context, j *job) error {
	// What was claimed is recorded even while the process is being stopped.
	keep := context.WithoutCancel(ctx)
	now := d.Now()
	if j.over(now) || ctx.Err() != nil {
		return d.unsent(keep, j, now)
	}
	done, ok := d.Fence.Begin(j.message.Patient, j.version)
	if j.version == 0 && !ok {
		done, ok = func() {}, true // an answer to a stop goes out after the stop: it is the one named exception
	}
	if !ok {
		d.Cache.Delete(keep, j.message.Patient)
		return d.unsent(keep, j, now)
	}
	if now = d.Now(); j.over(now) { // the machine may have slept since
		done()
		return d.unsent(keep, j, now)
	}
	// A process that is being stopped lets its calls end: they end with their lease.
	call, cancel := context.WithTimeout(keep, j.lease.Sub(now))
	receipt, err := j.way.Adapter.Send(call, j.out)
	cancel()
	done()
	if err == nil {
		return d.taken(keep, j, receipt)
	}
	var failed *channels.SendError
	if !errors.As(err, &failed) {
		failed = &channels.SendError{Kind: channels.OutcomeUnknown, Err: err}
	}
	return d.failed(keep, j, failed)
}

// over says whether no call may start any more. Both clocks are asked: the monotonic
// one stands still while a machine sleeps, and the other one can be set back.
func (j *job) over(now time.Time) bool {
	return !now.Before(j.lease) || !now.Round(0).Before(j.lease.Round(0)) || !j.notAfter.IsZero() && !now.Before(j.notAfter)
}

// taken keeps that the provider has it. What the sweep was quicker with stays: it
// finds the attempt as it is kept here.
func (d *Dispatcher) taken(ctx context.Context, j *job, r channels.Receipt) error {
	now := d.Now()
	_, err := d.Store.Commit(ctx, gateway.Change{
		At: now, Actor: "heed",
		Steps: []gateway.Step{d.sent(j.message, &j.attempt, gateway.Sending, now)},
		Edits: []gateway.Edit{{Attempt: j.attempt.ID, Status: gateway.AttemptTaken, ProviderID: r.ProviderID}},
		Heard: heard(j.message.ID, now, "sent", ""),
	})
	return err
}

// sent is the step of a message that the provider has. When no receipt of an
// essential one comes, the provider is asked, and in the end a person.
func (d *Dispatcher) sent(m *gateway.Message, a *gateway.Attempt, from gateway.Status, now time.Time) gateway.Step {
	step := gateway.Step{Message: m.ID, From: from, To: gateway.Sent, Try: a.Number}
	if way, ok := d.way(a.Program, a.Pair.Channel); ok && way.Receipts && m.Essential {
		step.Due = now.Add(d.ConfirmAfter)
	}
	return step
}

// unsent gives a claimed message back to the queue: no call was made.
func (d *Dispatcher) unsent(ctx context.Context, j *job, due time.Time) error {
	c := gateway.Change{At: d.Now(), Actor: "heed"}
	j.giveBack(&c, due, "")
	_, err := d.Store.Commit(ctx, c)
	return err
}

func (j *job) giveBack(c *gateway.Change, due time.Time, code string) {
	c.Steps = append(c.Steps, gateway.Step{Message: j.message.ID, From: gateway.Sending, To: gateway.Waiting, Try: j.attempt.Number, Due: due, Code: code})
	c.Edits = append(c.Edits, j.unsentEdit(gateway.AttemptUnsent, code))
}

func (j *job) unsentEdit(status gateway.AttemptStatus, code string) gateway.Edit {
	return gateway.Edit{Attempt: j.attempt.ID, Status: status, Code: code, Unsent: &gateway.Unsent{
		Patient: j.message.Patient, Program: j.attempt.Program, At: j.attempt.At,
	}}
}

// failed keeps a send error: what may be sent again waits, what is unknown is
// never sent blindly again, and everything else looks for another way.
func (d *Dispatcher) failed(ctx context.Context, j *job, e *channels.SendError) error {
	now := d.Now()
	c := gateway.Change{At: now, Actor: "heed"}
	code := codeOf(e)
	c.Heard = heard(j.message.ID, now, "error", code)
	retry := e.Kind == channels.TryLater || e.Kind == channels.OperatorMustAct
	switch {
	case e.Kind == channels.OutcomeUnknown:
		c.Steps = []gateway.Step{{Message: j.message.ID, From: gateway.Sending, To: gateway.Unknown, Try: j.attempt.Number, Due: now.Add(d.LookupAfter), Code: code}}
		c.Edits = []gateway.Edit{{Attempt: j.attempt.ID, Status: gateway.AttemptUnknown, Code: code}}
	case retry && j.attempt.Number < maxTries && j.message.Body.Answer == nil:
		j.giveBack(&c, now.Add(backoff(j.attempt.Number, e)), code)
	case j.message.Body.Answer != nil && retry:
		j.giveBack(&c, now.Add(backoff(1, e)), code) // until its five minutes are over
	default:
		d.fallback(&c, j.message, &j.attempt, gateway.Sending, code)
		c.Edits = []gateway.Edit{j.unsentEdit(gateway.AttemptFailed, code)}
		d.learn(&c, &j.attempt, j.message.Patient, j.out.To, e.Kind, code)
	}
	_, err := d.commitFacts(ctx, c)
	return err
}

// commitFacts keeps a change that may bring in facts about patients.
func (d *Dispatcher) commitFacts(ctx context.Context, c gateway.Change) (gateway.Kept, error) {
	kept, err := d.Store.Commit(ctx, c)
	if err != nil {
		return kept, err
	}
	for patient, version := range kept.Versions {
		d.Fence.Revoke(patient, version)
		d.Cache.Delete(ctx, patient)
	}
	if len(c.Accepts) > 0 || len(kept.Versions) > 0 || slices.ContainsFunc(c.Steps, func(s gateway.Step) bool { return s.To == gateway.Waiting }) {
		d.Wake() // most receipts make nothing due
	}
	return kept, nil
}

// backoff doubles from two seconds to five minutes; the provider's own word wins.
func backoff(try int, e *channels.SendError) time.Duration {
	if e.RetryAfter > 0 {
		return min(e.RetryAfter, 5*time.Minute)
	}
	wait := time.Second << min(try, 8)
	if e.Kind == channels.OperatorMustAct {
		wait *= 10
	}
	return min(wait, 5*time.Minute)
}

// fallback puts a message back with the failed pair passed over: a new decision,
// which can never reach a pair the rules refuse. An answer has no other way.
func (d *Dispatcher) fallback(c *gateway.Change, m *gateway.Message, a *gateway.Attempt, from gateway.Status, code string) {
	step := gateway.Step{Message: m.ID, From: from, To: gateway.Waiting, Try: a.Number, Due: c.At, Code: code, Failed: &a.Pair}
	if m.Body.Answer != nil {
		step.To, step.Failed = gateway.Failed, nil
	}
	c.Steps = append(c.Steps, step)
}

// learn turns what a provider said of an address into facts. A provider's refusal
// is an opt-out we had not heard of.
func (d *Dispatcher) learn(c *gateway.Change, a *gateway.Attempt, patient int64, to string, kind channels.SendErrorKind, code string) {
	e := preferences.Event{
		ID: d.NewID(), At: c.At.UnixMicro(), Said: c.At.UnixMicro(), Source: preferences.FromProvider, Actor: c.Actor,
		Address: a.Pair.Address, Evidence: map[string]string{"provider_code": code},
	}
	switch kind {
	case channels.PersonOptedOut:
		e.Kind, e.Programs, e.Address = preferences.NumberStopped, d.Policy.Stops(a.Program, false, c.At), 0
		if a.Pair.Channel != channels.Email && to != "" {
			c.Numbers = append(c.Numbers, gateway.NumberFact{Number: to, Event: e})
		}
		return
	case channels.AddressIsBad:
		e.Kind = preferences.AddressBad
	case channels.NotTextable:
		e.Kind = preferences.AddressLandline
	default:
		return
	}
	if patient != 0 && a.Pair.Address != 0 {
		c.Patients = append(c.Patients, gateway.PatientFact{Patient: patient, Expect: -1, Events: []preferences.Event{e}})
	}
}

func codeOf(e *channels.SendError) string {
	if e.Code != "" {
		return e.Code
	}
	return e.Kind.String()
}

func heard(message int64, at time.Time, kind, code string) []gateway.MessageHeard {
	return []gateway.MessageHeard{{Message: message, Event: gateway.MessageEvent{At: at, Kind: kind, Code: code}}}
}
