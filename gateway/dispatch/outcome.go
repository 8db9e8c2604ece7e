package dispatch

import (
	"context"
	"errors"
	"strings"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// Sweep looks after messages whose claim ran out and whose outcome is unknown.
// It runs at start and every second, and gives how many it moved.
func (d *Dispatcher) Sweep(ctx context.Context) (int, error) {
	now := d.Now()
	open, err := d.Store.Open(ctx, now, 200)
	if err != nil {
		return 0, err
	}
	moved := 0
	for i := range open {
		m := &open[i]
		if len(m.Tries) == 0 {
			continue
		}
		last := &m.Tries[len(m.Tries)-1]
		switch {
		case m.Status == gateway.Sending:
			err = d.abandoned(ctx, m, last, now)
		case now.Before(m.Due):
			continue
		default:
			err = d.resolve(ctx, m, last, now)
		}
		if err != nil {
			return moved, err
		}
		moved++
	}
	return moved, nil
}

// abandoned takes back a claim whose lease ran out: surely unsent when the call
// was never begun, else unknown.
func (d *Dispatcher) abandoned(ctx context.Context, m *gateway.Message, a *gateway.Attempt, now time.Time) error {
	j := &job{message: m, attempt: *a}
	c := gateway.Change{At: now, Actor: "heed"}
	if a.Status == gateway.AttemptClaimed {
		j.giveBack(&c, now, "lease_ended")
	} else {
		c.Steps = []gateway.Step{{Message: m.ID, From: gateway.Sending, To: gateway.Unknown, Due: now.Add(d.LookupAfter), Code: "lease_ended"}}
		c.Edits = []gateway.Edit{{Attempt: a.ID, Status: gateway.AttemptUnknown, Code: "lease_ended"}}
	}
	c.Heard = heard(m.ID, now, "lease_ended", "")
	_, err := d.Store.Commit(ctx, c)
	d.Wake()
	return err
}

// resolve looks an unknown outcome up, and ends it when its time is over.
func (d *Dispatcher) resolve(ctx context.Context, m *gateway.Message, a *gateway.Attempt, now time.Time) error {
	found, err := d.lookUp(ctx, m, a)
	if err == nil && found != nil {
		return d.foundAgain(ctx, m, a, found, now)
	}
	// An error and an empty list say the same: nothing is known yet. Nothing found
	// proves nothing on accounts that redact.
	if now.Sub(a.At) < d.UnknownAfter {
		_, err := d.Store.Commit(ctx, gateway.Change{At: now, Actor: "heed", Steps: []gateway.Step{{
			Message: m.ID, From: gateway.Unknown, To: gateway.Unknown, Due: now.Add(d.LookupAfter), Code: m.Code,
		}}})
		return err
	}
	return d.giveUp(ctx, m, a, now)
}

// outcomeUnknown is the code of a message whose provider never said what became of it.
const outcomeUnknown = "outcome_unknown"

// giveUp ends an unknown outcome: a non-essential message is not tried again, an
// essential one once more, and after that a person takes over. Each is recorded.
func (d *Dispatcher) giveUp(ctx context.Context, m *gateway.Message, a *gateway.Attempt, now time.Time) error {
	c := gateway.Change{At: now, Actor: "heed"}
	c.Edits = []gateway.Edit{{Attempt: a.ID, Status: gateway.AttemptUnknown, Code: outcomeUnknown}}
	step := gateway.Step{Message: m.ID, From: gateway.Unknown, Code: outcomeUnknown}
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
		return nil, err
	}
	from := d.Senders[a.Program]
	for i := range list {
		f := &list[i]
		if f.To != out.To || f.Body != out.Text || from != "" && f.From != from || f.Created.Before(since) {
			continue
		}
		_, err := d.Store.AttemptByProvider(ctx, f.ProviderID)
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
// the same text, whatever is in force by now.
func (d *Dispatcher) again(ctx context.Context, m *gateway.Message, a *gateway.Attempt) (channels.Outgoing, Way, error) {
	if m.Body.Answer != nil {
		return d.renderAnswer(m)
	}
	cat, ok := d.Policy.Category(m.Category)
	t, known := d.Templates().At(m.Template, a.Wording)
	if !ok || !known || t.Category != m.Category {
		return channels.Outgoing{}, Way{}, gateway.ErrNotFound
	}
	ks, err := d.snapshots(ctx, []int64{m.Patient}, false)
	if err != nil || ks[m.Patient].Snapshot == nil {
		return channels.Outgoing{}, Way{}, errors.Join(err, gateway.ErrNotFound)
	}
	form := policy.Full
	for _, f := range []policy.Form{policy.SecureLink, policy.CallBack} {
		if a.Form == f.String() {
			form = f
		}
	}
	out, err := d.render(m, t, cat, ks[m.Patient].Snapshot, policy.Decision{Pair: a.Pair, Form: form, Discreet: a.Discreet})
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
	c := d.delivered(ctx, "heed", channels.Delivery{ProviderID: f.ProviderID, Status: f.Status, Kind: f.Kind, Code: f.Code, To: f.To, At: now}, m, a)
	c.Seen = nil // the receipt itself may still come
	c.Heard = append(heard(m.ID, now, "looked_up", ""), c.Heard...)
	_, err := d.commitFacts(ctx, c)
	return err
}

// tries is how often a receipt is judged again when its message moves meanwhile.
const tries = 8

// Delivery takes a provider's word on a message in. It may come early, late, twice
// and out of order: it only moves things forward.
func (d *Dispatcher) Delivery(ctx context.Context, source string, e channels.Delivery) error {
	if e.SpamReport || e.Unsub {
		if err := d.complaint(ctx, source, e); err != nil || e.Status == 0 {
			return err
		}
	}
	a, err := d.attemptOf(ctx, e)
	if errors.Is(err, gateway.ErrNotFound) {
		return nil // not ours, or older than the retention
	}
	if err != nil {
		return err
	}
	for range tries {
		m, err := d.Store.Message(ctx, a.Message)
		if err != nil {
			return err
		}
		if e.Claimed {
			if ours, err := d.wentTo(ctx, m, a, e.To); err != nil || !ours {
				return err // made up, or about somebody that it was forwarded to
			}
		}
		// Whole: a receipt that crosses our own record of the call is judged again, and must
		// not count as heard before it took effect.
		c := d.delivered(ctx, source, e, m, a)
		c.Whole = true
		kept, err := d.commitFacts(ctx, c)
		if err == nil {
			return d.Fence.Acknowledge(ctx, kept.Versions)
		}
		if !errors.Is(err, gateway.ErrStale) {
			return err
		}
	}
	return gateway.ErrStale
}

func (d *Dispatcher) attemptOf(ctx context.Context, e channels.Delivery) (*gateway.Attempt, error) {
	if e.Attempt != 0 {
		a, err := d.Store.Attempt(ctx, e.Attempt)
		if err == nil && a.ProviderID != "" && e.ProviderID != "" && a.Pair.Channel != channels.Email && a.ProviderID != e.ProviderID {
			return nil, gateway.ErrNotFound
		}
		return a, err
	}
	return d.Store.AttemptByProvider(ctx, e.ProviderID)
}

// wentTo says whether an attempt went to this mailbox. Servers change the case.
func (d *Dispatcher) wentTo(ctx context.Context, m *gateway.Message, a *gateway.Attempt, to string) (bool, error) {
	if a.Pair.Channel != channels.Email || to == "" {
		return false, nil
	}
	if m.Body.Answer != nil {
		return strings.EqualFold(m.Body.Answer.To, to), nil
	}
	texts, err := d.Store.AddressTexts(ctx, []int64{a.Pair.Address})
	return strings.EqualFold(texts[a.Pair.Address], to), err
}

// delivered says what one word of the provider changes.
func (d *Dispatcher) delivered(ctx context.Context, source string, e channels.Delivery, m *gateway.Message, a *gateway.Attempt) gateway.Change {
	now := d.Now()
	c := gateway.Change{At: now, Actor: source, Seen: &gateway.Seen{Source: source, Event: e.EventID}}
	c.Heard = heard(m.ID, now, deliveryWord(e.Status), e.Code)
	edit := gateway.Edit{Attempt: a.ID, Status: gateway.AttemptTaken, Code: e.Code}
	if a.ProviderID == "" && a.Pair.Channel != channels.Email {
		edit.ProviderID = e.ProviderID
	}
	latest := a.Number == m.Attempts
	open := m.Status == gateway.Sending || m.Status == gateway.Unknown || m.Status == gateway.Sent
	// We had given up on it, or wait to try once more, and now hear that it was taken after all.
	late := m.Code == outcomeUnknown && (m.Status == gateway.Waiting || m.Status == gateway.NeedsStaff || m.Status == gateway.Failed)
	switch {
	case e.Status == channels.Delivered:
		edit.Status = gateway.AttemptDelivered
		if latest && (open || late) {
			c.Steps = []gateway.Step{{Message: m.ID, From: m.Status, To: gateway.Delivered}}
		}
	case e.Status == channels.Failed:
		if a.Status == gateway.AttemptDelivered {
			break // out of order: what was confirmed stays so
		}
		edit.Status = gateway.AttemptFailed
		if latest && open {
			d.fallback(&c, m, a, m.Status, e.Code)
		}
		texts, _ := d.Store.AddressTexts(ctx, []int64{a.Pair.Address})
		d.learn(&c, a, m.Patient, texts[a.Pair.Address], e.Kind, e.Code)
	case latest && (m.Status == gateway.Unknown || m.Status == gateway.Sending || late):
		c.Steps = []gateway.Step{{Message: m.ID, From: m.Status, To: gateway.Sent}}
	}
	c.Edits = []gateway.Edit{edit}
	return c
}

func deliveryWord(s channels.DeliveryStatus) string {
	return [...]string{"heard", "accepted", "on_its_way", "delivered", "failed"}[s]
}

// complaint takes a spam report or the provider's own unsubscribe in: an opt-out
// of everything non-essential, bound to the mailbox, for everyone who has it.
func (d *Dispatcher) complaint(ctx context.Context, source string, e channels.Delivery) error {
	holders, err := d.Store.Mailbox(ctx, e.To)
	if err != nil {
		return err
	}
	now := d.Now()
	c := gateway.Change{At: now, Actor: source, Seen: &gateway.Seen{Source: source, Event: "opt_out:" + e.EventID}} // its news of the mail are another thing
	for _, h := range holders {
		c.Patients = append(c.Patients, gateway.PatientFact{Patient: h.Patient, Expect: -1, Events: []preferences.Event{{
			ID: d.NewID(), Kind: preferences.SpamReported, At: now.UnixMicro(), Said: e.At.UnixMicro(),
			Source: preferences.FromProvider, Actor: source, Address: h.Address,
		}}})
	}
	kept, err := d.commitFacts(ctx, c)
	if err != nil {
		return err
	}
	return d.Fence.Acknowledge(ctx, kept.Versions)
}
