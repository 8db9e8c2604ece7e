package dispatch

import (
	"context"
	"errors"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences/policy"
)

// sweepBatch is how many messages one pass looks after.
const sweepBatch = 200

// Sweep takes back claims whose lease ran out. It runs at start and every second, and
// gives how many it moved. A gateway that is not ready sweeps nothing: its clock,
// which leases are compared by, may be wrong.
func (d *Dispatcher) Sweep(ctx context.Context) (int, error) {
	if ready := d.Ready() == nil; !ready {
		return 0, nil
	}
	now := d.Now()
	// The claim was made by another gateway, whose clock may be behind ours.
	list, err := d.Store.Abandoned(ctx, now.Add(-2*gateway.MaxSkew), sweepBatch)
	if err != nil {
		return 0, err
	}
	var errs []error
	for i := range list {
		if m := &list[i]; len(m.Tries) > 0 {
			errs = append(errs, d.abandoned(ctx, m, &m.Tries[len(m.Tries)-1], now))
		}
	}
	return len(list), errors.Join(errs...)
}

// Resolve asks for outcomes that are not known, and for receipts that never came. It
// gives how many it looked at.
func (d *Dispatcher) Resolve(ctx context.Context) (int, error) {
	if ready := d.Ready() == nil; !ready {
		return 0, nil
	}
	now := d.Now()
	list, err := d.Store.Unresolved(ctx, now, sweepBatch)
	if err != nil {
		return 0, err
	}
	var errs []error
	answers := true // a provider that does not answer is asked once in a pass
	for i := range list {
		if m := &list[i]; len(m.Tries) > 0 {
			errs = append(errs, d.resolve(ctx, m, &m.Tries[len(m.Tries)-1], now, &answers))
		}
	}
	return len(list), errors.Join(errs...)
}

// abandoned takes back a claim whose lease ran out: surely unsent when the call
// was never begun, else as its attempt says, else unknown.
func (d *Dispatcher) abandoned(ctx context.Context, m *gateway.Message, a *gateway.Attempt, now time.Time) error {
	if a.Status >= gateway.AttemptTaken && a.Status <= gateway.AttemptFailed {
		return d.asKept(ctx, m, a, now)
	}
	j := &job{message: m, attempt: *a}
	c := gateway.Change{At: now, Actor: "heed"}
	if a.Status == gateway.AttemptBegun || a.Status == gateway.AttemptUnknown {
		c.Steps = []gateway.Step{{Message: m.ID, From: gateway.Sending, To: gateway.Unknown, Try: a.Number, Due: now.Add(d.LookupAfter), Code: "lease_ended"}}
		c.Edits = []gateway.Edit{{Attempt: a.ID, Status: gateway.AttemptUnknown, Code: "lease_ended"}}
	} else {
		j.giveBack(&c, now, "lease_ended")
	}
	c.Heard = heard(m.ID, now, "lease_ended", "")
	_, err := d.Store.Commit(ctx, c)
	d.Wake()
	return err
}

// asKept moves a message to where its attempt says it is: the call's record came when
// the sweep had been quicker with the message.
func (d *Dispatcher) asKept(ctx context.Context, m *gateway.Message, a *gateway.Attempt, now time.Time) error {
	c := gateway.Change{At: now, Actor: "heed"}
	switch a.Status {
	case gateway.AttemptDelivered:
		c.Steps = []gateway.Step{{Message: m.ID, From: m.Status, To: gateway.Delivered, Try: a.Number}}
	case gateway.AttemptFailed:
		d.fallback(&c, m, a, m.Status, a.Code)
	default:
		c.Steps = []gateway.Step{d.sent(m, a, m.Status, now)}
	}
	_, err := d.Store.Commit(ctx, c)
	d.Wake()
	return err
}

// lookUpTime is how long a provider may take to say what it knows.
const lookUpTime = 5 * time.Second

// resolve looks a message up, and ends what stays unknown when its time is over.
func (d *Dispatcher) resolve(ctx context.Context, m *gateway.Message, a *gateway.Attempt, now time.Time, answers *bool) error {
	if m.Status == gateway.Unknown && a.Status >= gateway.AttemptTaken && a.Status <= gateway.AttemptFailed {
		return d.asKept(ctx, m, a, now)
	}
	var found *channels.Found
	if *answers {
		call, cancel := context.WithTimeout(ctx, lookUpTime)
		var err error
		found, err = d.lookUp(call, m, a)
		cancel()
		// An error and an empty list say the same: nothing is known yet. Nothing found
		// proves nothing on accounts that redact.
		*answers = !errors.Is(err, errNoAnswer)
	}
	switch {
	case found != nil && (m.Status == gateway.Unknown || found.Status >= channels.Delivered):
		return d.foundAgain(ctx, m, a, found, now)
	case m.Status == gateway.Sent:
		return d.unconfirmed(ctx, m, a, now)
	case now.Sub(a.At) < d.UnknownAfter:
		_, err := d.Store.Commit(ctx, gateway.Change{At: now, Actor: "heed", Steps: []gateway.Step{{
			Message: m.ID, From: gateway.Unknown, To: gateway.Unknown, Try: a.Number, Due: now.Add(d.LookupAfter), Code: m.Code,
		}}})
		return err
	}
	return d.giveUp(ctx, m, a, now)
}

// neverConfirmed is the code of an essential message that the provider took and of
// which no receipt came.
const neverConfirmed = "never_confirmed"

// unconfirmed hands an essential message without a receipt to a person: it may have
// arrived, and nobody knows.
func (d *Dispatcher) unconfirmed(ctx context.Context, m *gateway.Message, a *gateway.Attempt, now time.Time) error {
	_, err := d.Store.Commit(ctx, gateway.Change{
		At: now, Actor: "heed",
		Steps: []gateway.Step{{Message: m.ID, From: gateway.Sent, To: gateway.NeedsStaff, Try: a.Number, Code: neverConfirmed}},
		Tasks: []gateway.Task{d.staffTask(m, []string{"The provider took it and never said that it arrived. It may have."})},
		Heard: heard(m.ID, now, "given_up", neverConfirmed),
	})
	return err
}

// outcomeUnknown is the code of a message whose provider never said what became of it.
const outcomeUnknown = "outcome_unknown"

// giveUp ends an unknown outcome: a non-essential message is not tried again, an
// essential one once more, and after that a person takes over. Each is recorded.
func (d *Dispatcher) giveUp(ctx context.Context, m *gateway.Message, a *gateway.Attempt, now time.Time) error {
	c := gateway.Change{At: now, Actor: "heed"}
	c.Edits = []gateway.Edit{{Attempt: a.ID, Status: gateway.AttemptUnknown, Code: outcomeUnknown}}
	step := gateway.Step{Message: m.ID, From: gateway.Unknown, Try: a.Number, Code: outcomeUnknown}
	switch {
	case !m.Essential:
		step.To = gateway.Failed
		c.Heard = heard(m.ID, now, "given_up", outcomeUnknown)
	case unknowns(m) < 2:
		step.To, step.Due = gateway.Waiting, now
		c.Heard = heard(m.ID, now, "tried_once_more", outcomeUnknown)
	default:
		step.To = gateway.NeedsStaff
		c.Tasks = []gateway.Task{d.staffTask(m, []string{"The provider never said what became of it. It may have arrived."})}
		c.Heard = heard(m.ID, now, "given_up", outcomeUnknown)
	}
	c.Steps = []gateway.Step{step}
	_, err := d.Store.Commit(ctx, c)
	d.Wake()
	return err
}

// unknowns counts the tries whose outcome was never known, this one included.
func unknowns(m *gateway.Message) int {
	n := 0
	for _, a := range m.Tries {
		if a.Status == gateway.AttemptUnknown || a.Status == gateway.AttemptBegun {
			n++
		}
	}
	return n
}

// errNoAnswer: the provider did not say what it knows.
var errNoAnswer = errors.New("the provider does not answer")

// lookUp asks the provider for the message. It counts only if sender, address and
// body agree, it is not older than the attempt, and its id is nobody else's.
func (d *Dispatcher) lookUp(ctx context.Context, m *gateway.Message, a *gateway.Attempt) (*channels.Found, error) {
	out, way, err := d.again(ctx, m, a)
	if err != nil {
		return nil, err
	}
	finder, ok := way.Adapter.(channels.Finder)
	if !ok {
		return nil, nil
	}
	// Providers tell the time in whole seconds, by a clock of their own.
	since := a.At.Add(-2 * time.Second)
	list, err := finder.Find(ctx, out, since)
	if err != nil {
		return nil, errors.Join(errNoAnswer, err)
	}
	from := d.Senders[a.Program]
	if a.Pair.Channel == channels.Voice {
		from = "" // the adapter looks for calls of the program's own number alone
	}
	for i := range list {
		f := &list[i]
		if a.ProviderID != "" { // it was taken: only this one is asked about
			if f.ProviderID == a.ProviderID {
				return f, nil
			}
			continue
		}
		if f.To != out.To || f.Body != out.Text || from != "" && f.From != from || f.Created.Before(since) {
			continue
		}
		_, err := d.Store.AttemptByProvider(ctx, f.ProviderID) // its receipt would have named it
		if errors.Is(err, gateway.ErrNotFound) {
			return f, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// again renders an attempt as it was sent: the same decision and the same wording give
// the same text, whatever is in force by now. One that the provider took is asked about
// by its id, so there any wording will do.
func (d *Dispatcher) again(ctx context.Context, m *gateway.Message, a *gateway.Attempt) (channels.Outgoing, Way, error) {
	if m.Body.Answer != nil {
		out, way, err := d.renderAnswer(m)
		if err == nil && a.Pair.Address != 0 {
			var texts map[int64]string
			texts, err = d.Store.AddressTexts(ctx, []int64{a.Pair.Address})
			out.To = texts[a.Pair.Address]
		}
		return out, way, err
	}
	cat, t := d.wordedAs(m, a)
	if t == nil || a.ProviderID == "" && a.Wording != "" && t.Digest != a.Wording {
		return channels.Outgoing{}, Way{}, gateway.ErrNotFound
	}
	ks, err := d.snapshots(ctx, []int64{m.Patient}, false)
	if err != nil || ks[m.Patient].Snapshot == nil {
		return channels.Outgoing{}, Way{}, errors.Join(err, gateway.ErrNotFound)
	}
	out, err := d.render(m, t, cat, ks[m.Patient].Snapshot, policy.Decision{Pair: a.Pair, Form: formOf(a.Form), Discreet: a.Discreet})
	if err != nil {
		return out, Way{}, err
	}
	texts, err := d.Store.AddressTexts(ctx, []int64{a.Pair.Address})
	out.To, out.Program, out.Attempt = texts[a.Pair.Address], a.Program, a.ID
	way, _ := d.way(a.Program, a.Pair.Channel)
	return out, way, err
}

// foundAgain takes what the provider says of a found message as if its receipt had come.
func (d *Dispatcher) foundAgain(ctx context.Context, m *gateway.Message, a *gateway.Attempt, f *channels.Found, now time.Time) error {
	c, err := d.delivered(ctx, "heed", channels.Delivery{ProviderID: f.ProviderID, Status: f.Status, Kind: f.Kind, Code: f.Code, To: f.To, At: now}, m, a)
	if err != nil {
		return err
	}
	c.Seen = nil // the receipt itself may still come
	c.Heard = append(heard(m.ID, now, "looked_up", ""), c.Heard...)
	_, err = d.commitFacts(ctx, c)
	return err
}
