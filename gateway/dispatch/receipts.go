package dispatch

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// tries is how often a receipt is judged again when its message moves meanwhile.
const tries = 8

// Deliveries takes in all that one call of a provider tells.
func (d *Dispatcher) Deliveries(ctx context.Context, source string, list []channels.Delivery) error {
	if len(list) > 1 {
		var err error
		if list, err = d.Store.HearMany(ctx, source, d.Now(), list); err != nil {
			return err
		}
	}
	for _, e := range list {
		if err := d.Delivery(ctx, source, e); err != nil {
			return err
		}
	}
	return nil
}

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
		return d.stray(ctx, source, e)
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
		c, err := d.delivered(ctx, source, e, m, a)
		if err != nil {
			return err
		}
		c.Whole = true
		kept, err := d.commitFacts(ctx, c)
		if err == nil {
			return d.Fence.Settle(ctx, c, kept)
		}
		if !errors.Is(err, gateway.ErrStale) {
			return err
		}
	}
	return gateway.ErrStale
}

// stray is a receipt of a message that is not known: not ours, or older than the
// retention. That the number opted out is true all the same.
func (d *Dispatcher) stray(ctx context.Context, source string, e channels.Delivery) error {
	if e.Kind != channels.PersonOptedOut || !strings.HasPrefix(e.To, "+") {
		return nil
	}
	now := d.Now()
	var stops channels.ProgramSet
	for _, p := range channels.Programs {
		if from := d.Senders[p]; from == "" || from == e.From || e.From == "" {
			stops |= d.Policy.Stops(p, false, now)
		}
	}
	c := gateway.Change{At: now, Actor: source, Seen: &gateway.Seen{Source: source, Event: e.EventID}, Numbers: []gateway.NumberFact{{
		Number: e.To, Event: preferences.Event{
			ID: d.NewID(), Kind: preferences.NumberStopped, At: now.UnixMicro(), Said: e.At.UnixMicro(), Source: preferences.FromProvider, Actor: source,
			Programs: stops, Evidence: map[string]string{"provider_code": e.Code},
		},
	}}}
	kept, err := d.commitFacts(ctx, c)
	if err != nil {
		return err
	}
	return d.Fence.Settle(ctx, c, kept)
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
	if m.Body.Answer != nil && a.Pair.Address == 0 {
		return strings.EqualFold(m.Body.Answer.To, to), nil
	}
	texts, err := d.Store.AddressTexts(ctx, []int64{a.Pair.Address})
	return strings.EqualFold(texts[a.Pair.Address], to), err
}

// delivered says what one word of the provider changes.
func (d *Dispatcher) delivered(ctx context.Context, source string, e channels.Delivery, m *gateway.Message, a *gateway.Attempt) (gateway.Change, error) {
	now := d.Now()
	c := gateway.Change{At: now, Actor: source, Seen: &gateway.Seen{Source: source, Event: e.EventID}}
	if a.Pair.Channel == channels.Voice {
		e = outcomeOfCall(m, a, e)
	}
	c.Heard = heard(m.ID, now, gateway.NewsWord(e.Status), e.Code)
	edit := gateway.Edit{Attempt: a.ID, Status: gateway.AttemptTaken, Code: e.Code}
	if a.ProviderID == "" && a.Pair.Channel != channels.Email {
		edit.ProviderID = e.ProviderID
	}
	latest := a.Number == m.Attempts
	open := m.Status == gateway.Sending || m.Status == gateway.Unknown || m.Status == gateway.Sent
	// We had given up on it, or wait to try once more, and now hear that it was taken after all.
	late := (m.Code == outcomeUnknown || m.Code == neverConfirmed) && (m.Status == gateway.Waiting || m.Status == gateway.NeedsStaff || m.Status == gateway.Failed)
	switch {
	case e.Status == channels.Delivered:
		edit.Status = gateway.AttemptDelivered
		if latest && (open || late) {
			c.Steps = []gateway.Step{{Message: m.ID, From: m.Status, To: gateway.Delivered, Try: a.Number}}
		}
	case e.Status == channels.Failed:
		// A server may take a mail and send it back later: a bounce after `delivered` is true.
		// Of a text and a call, what was confirmed stays so: they come out of order.
		if a.Status == gateway.AttemptDelivered && a.Pair.Channel != channels.Email {
			break
		}
		edit.Status = gateway.AttemptFailed
		if latest && (open || m.Status == gateway.Delivered) {
			d.fallback(&c, m, a, m.Status, e.Code)
		}
		texts, err := d.Store.AddressTexts(ctx, []int64{a.Pair.Address})
		if err != nil {
			return c, err
		}
		// The provider names the number itself: the stop of somebody erased is kept too.
		d.learn(&c, a, m.Patient, cmp.Or(texts[a.Pair.Address], e.To), e.Kind, e.Code)
	case latest && (m.Status == gateway.Unknown || m.Status == gateway.Sending || late):
		c.Steps = []gateway.Step{d.sent(m, a, m.Status, now)}
	}
	c.Edits = []gateway.Edit{edit}
	return c, nil
}

// complaint takes a spam report or the provider's own unsubscribe in: an opt-out
// of everything non-essential, bound to the mailbox, for everyone who has it now or
// is given it later. SendGrid tells the time in whole seconds: it was said by the
// end of that second.
func (d *Dispatcher) complaint(ctx context.Context, source string, e channels.Delivery) error {
	if e.To == "" {
		return nil
	}
	now := d.Now()
	said := e.At.Add(time.Second)
	if said.After(now) {
		said = now
	}
	c := gateway.Change{
		At: now, Actor: source, Seen: &gateway.Seen{Source: source, Event: "opt_out:" + e.EventID}, // its news of the mail are another thing
		Numbers: []gateway.NumberFact{{Number: e.To, Event: preferences.Event{
			ID: d.NewID(), Kind: preferences.SpamReported, At: now.UnixMicro(), Said: said.UnixMicro(), Source: preferences.FromProvider, Actor: source,
		}}},
	}
	kept, err := d.commitFacts(ctx, c)
	if err != nil {
		return err
	}
	return d.Fence.Settle(ctx, c, kept)
}
