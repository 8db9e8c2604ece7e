package campaign

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
)

// maxTries is how often a call that the provider put off is claimed, while it takes others.
const maxTries = 6

// sendAll sends what was claimed, one slice after the other, within the one lease.
func (r *Runner) sendAll(ctx context.Context, c *gateway.Campaign, slices []Slice, claimed Claimed) error {
	var errs []error
	for i := range slices {
		s := &slices[i]
		var items []Item
		for _, item := range s.Items {
			if !claimed.Gone[item.Pos] {
				items = append(items, item)
			}
		}
		if s.Items = items; len(items) > 0 {
			errs = append(errs, r.send(ctx, c, s, claimed.Address))
		}
	}
	return errors.Join(errs...)
}

// send marks a slice as begun, durably, and sends it. What could not be kept of it is
// found by the sweep when its lease ends.
func (r *Runner) send(ctx context.Context, c *gateway.Campaign, s *Slice, to map[int64]string) error {
	// What was claimed is recorded even while the process is being stopped.
	keep := context.WithoutCancel(ctx)
	h := &handing{Runner: r, campaign: c, slice: s, to: to}
	now := r.Now()
	if ctx.Err() != nil || over(now, s.Lease, time.Time{}) {
		h.allBack(now, leaseEnded, false)
		return r.Store.EndSlice(keep, h.end(SliceUnsent))
	}
	ours, err := r.Store.BeginSlice(keep, s.ID, now)
	if err != nil || !ours {
		return err
	}
	if s.Batch {
		return r.Store.EndSlice(keep, h.post(keep))
	}
	return r.Store.EndSlice(keep, h.callAll(keep))
}

// over says whether no call may start any more. Both clocks are asked: the monotonic
// one stands still while a machine sleeps, and the other one can be set back.
func over(now, lease, notAfter time.Time) bool {
	return !now.Before(lease) || !now.Round(0).Before(lease.Round(0)) || !notAfter.IsZero() && !now.Before(notAfter)
}

// handing is one slice on its way to the provider, and what came of it.
type handing struct {
	*Runner
	campaign *gateway.Campaign
	slice    *Slice
	to       map[int64]string

	mu     sync.Mutex
	back   []Back
	taken  []Taken
	adrift []OpenItem            // what came of them could not be kept
	works  bool                  // the provider said something of its own about somebody
	faults []*channels.SendError // which may be the provider's own
}

func (h *handing) end(status SliceStatus) End {
	e := End{At: h.Now(), Campaign: h.campaign.ID, Slice: h.slice.ID, Status: status, Taken: h.taken, Back: h.back, Adrift: h.adrift, Ask: h.Now().Add(h.LookupAfter)}
	switch {
	case len(h.faults) > 0:
		e.Trouble = h.campaign.Trouble + 1
		e.Hold = e.At.Add(backoff(e.Trouble, h.faults[0]))
		for i := range e.Back {
			if e.Back[i].Due.Before(e.Hold) {
				e.Back[i].Due = e.Hold
			}
		}
	case status != SliceSent:
		e.Trouble = h.campaign.Trouble // no news of the provider
	}
	return e
}

func (h *handing) giveBack(i *Item, due time.Time, code string, split bool) {
	h.back = append(h.back, Back{Open: i.Open(), Due: due, Code: code, Split: split})
}

func (h *handing) allBack(due time.Time, code string, split bool) {
	h.back = nil
	for i := range h.slice.Items {
		h.giveBack(&h.slice.Items[i], due, code, split)
	}
}

// movedOn is the code of somebody who moved on between the claim and the call.
const movedOn = "moved_on"

// post makes the one request of a letter, for everybody who passes the last look.
func (h *handing) post(ctx context.Context) End {
	s, letter := h.slice, h.slice.letter
	people, last, done := h.lastLook(ctx)
	now := h.Now() // the machine may have slept since
	if len(people) == 0 || over(now, s.Lease, time.Time{}) {
		done()
		h.allBack(now, leaseEnded, false)
		return h.end(SliceUnsent)
	}
	letter.People = people
	adapter, _ := h.Door.Carrier(s.Program, s.Channel)
	call, cancel := context.WithTimeout(ctx, s.Lease.Sub(now))
	receipt, err := adapter.(channels.BatchSender).SendBatch(call, letter)
	cancel()
	done()
	if err == nil {
		e := h.end(SliceSent)
		e.ProviderID = receipt.ProviderID
		return e
	}
	return h.refused(ctx, failure(err), people, last)
}

// lastLook gives those who may still get the letter; the fence holds each until done is
// called. Who moved on is given back.
func (h *handing) lastLook(ctx context.Context) (people []channels.Person, last *Item, done func()) {
	var held []func()
	for i := range h.slice.Items {
		item := &h.slice.Items[i]
		end, ok := h.Fence.Begin(item.Patient, item.Version)
		if !ok {
			h.Door.Forget(ctx, item.Patient)
			h.giveBack(item, h.Now(), movedOn, false)
			continue
		}
		held = append(held, end)
		item.person.To, last = h.to[item.Pair.Address], item
		people = append(people, item.person)
	}
	return people, last, func() {
		for _, end := range held {
			end()
		}
	}
}

// refused says what follows from a letter that was not taken, or perhaps not.
func (h *handing) refused(ctx context.Context, e *channels.SendError, people []channels.Person, last *Item) End {
	switch {
	case e.Kind == channels.OutcomeUnknown:
		h.faults = append(h.faults, e)
		return h.end(SliceUnknown)
	case e.Kind == channels.TryLater || e.Kind == channels.OperatorMustAct:
		h.faults = append(h.faults, e)
		h.allBack(h.Now(), codeOf(e), false)
	case len(people) > 1: // one of them, and nobody says who: the next letters go to fewer
		h.allBack(h.Now(), codeOf(e), true)
	default:
		if err := h.fail(ctx, last, people[0].To, e); err != nil {
			h.Fault(err)
			h.giveBack(last, h.Now(), codeOf(e), true)
		}
	}
	return h.end(SliceUnsent)
}

// fail makes one recipient a message like any other, with what the provider said of it.
func (h *handing) fail(ctx context.Context, i *Item, to string, e *channels.SendError) error {
	return h.Door.Failed(ctx, h.campaign, gateway.Attempt{
		ID: i.Attempt, Message: i.Message, Number: i.Number, Pair: i.Pair, Version: i.Version, At: h.slice.At(h.Lease), Program: h.slice.Program, Provider: h.slice.Provider,
	}, i.Patient, to, e)
}

// At is when the slice was claimed.
func (s *Slice) At(lease time.Duration) time.Time { return s.Lease.Add(-lease) }

// callAll makes the calls of a slice, so many side by side.
func (h *handing) callAll(ctx context.Context) End {
	var running sync.WaitGroup
	next := atomic.Int64{}
	for range min(sideBySide, len(h.slice.Items)) {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(h.slice.Items)); i = next.Add(1) - 1 {
				h.call(ctx, &h.slice.Items[i])
			}
		})
	}
	running.Wait()
	if h.works {
		h.faults = nil // those of single calls
	}
	return h.end(SliceSent)
}

// call takes the last look and makes one call.
func (h *handing) call(ctx context.Context, i *Item) {
	done, ok := h.Fence.Begin(i.Patient, i.Version)
	if !ok {
		h.Door.Forget(ctx, i.Patient)
		h.note(func() { h.giveBack(i, h.Now(), movedOn, false) })
		return
	}
	now := h.Now()
	// What starts late is cut off by the lease, and nobody knows what came of it.
	if over(now, h.slice.Lease.Add(-h.Lease/2), i.NotAfter) {
		done()
		h.note(func() { h.giveBack(i, now, leaseEnded, false) })
		return
	}
	adapter, _ := h.Door.Carrier(h.slice.Program, h.slice.Channel)
	i.out.To = h.to[i.Pair.Address]
	call, cancel := context.WithTimeout(ctx, h.slice.Lease.Sub(now))
	receipt, err := adapter.Send(call, i.out)
	cancel()
	done()
	if err == nil {
		h.note(func() {
			h.works = true
			h.taken = append(h.taken, Taken{Open: i.Open(), ProviderID: receipt.ProviderID})
		})
		return
	}
	h.failed(ctx, i, failure(err))
}

// failed says what follows from one call that was not taken, or perhaps not. A person who
// was put off often enough, while others are not, is told as failed.
func (h *handing) failed(ctx context.Context, i *Item, e *channels.SendError) {
	later := e.Kind == channels.TryLater || e.Kind == channels.OperatorMustAct
	h.note(func() {
		if later || e.Kind == channels.OutcomeUnknown {
			h.faults = append(h.faults, e)
		} else {
			h.works = true
		}
		if later && i.Number < maxTries {
			h.giveBack(i, h.Now().Add(backoff(i.Number, e)), codeOf(e), false)
		}
	})
	if later && i.Number < maxTries {
		return
	}
	if err := h.fail(ctx, i, i.out.To, e); err != nil {
		h.Fault(err)
		h.note(func() { h.adrift = append(h.adrift, i.Open()) })
	}
}

func (h *handing) note(what func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	what()
}

func failure(err error) *channels.SendError {
	var failed *channels.SendError
	if !errors.As(err, &failed) {
		failed = &channels.SendError{Kind: channels.OutcomeUnknown, Err: err}
	}
	return failed
}

func codeOf(e *channels.SendError) string {
	if code := gateway.PlainCode(strings.TrimSpace(e.Code)); code != "" {
		return code
	}
	return e.Kind.String()
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
