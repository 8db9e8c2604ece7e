package campaign

import (
	"context"
	"sync"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
)

// slow is a provider of which each call takes its time, on a clock of its own.
type slow struct {
	channels.Adapter
	mu   sync.Mutex
	now  time.Time
	late time.Duration // how far into the lease the last call began
	from time.Time
}

func (s *slow) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *slow) Send(context.Context, channels.Outgoing) (channels.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = max(s.late, s.now.Sub(s.from))
	s.now = s.now.Add(20 * time.Millisecond)
	return channels.Receipt{ProviderID: "SM"}, nil
}

type slowDoor struct {
	Door
	*slow
}

func (d slowDoor) Carrier(channels.Program, channels.Channel) (channels.Adapter, string) {
	return d.slow, "twilio"
}

// A call that begins late is cut off by the lease, and nobody knows what came of it: who is
// not called in time is given back instead.
func TestNoCallBeginsLate(t *testing.T) {
	start := time.Now()
	s := &slow{now: start, from: start}
	r := &Runner{Door: slowDoor{slow: s}, Now: s.clock, Lease: time.Second}
	r.Fence = &gateway.Fence{Now: s.clock, Lease: r.Lease}
	h := &handing{Runner: r, campaign: &gateway.Campaign{}, slice: &Slice{Channel: channels.SMS, Lease: start.Add(r.Lease)}, to: map[int64]string{}}
	for i := range maxCalls {
		h.slice.Items = append(h.slice.Items, Item{Pos: int64(i), Patient: int64(i + 1), Message: int64(i), Attempt: int64(i), Number: 1})
	}
	e := h.callAll(t.Context())
	if e.Status != SliceSent || len(e.Taken)+len(e.Back) != maxCalls || len(e.Taken) == 0 || len(e.Back) == 0 || len(e.Adrift) > 0 {
		t.Errorf("%d taken, %d given back", len(e.Taken), len(e.Back))
	}
	// Those who looked at the clock at the same moment begin together.
	if most := r.Lease/2 + sideBySide*20*time.Millisecond; s.late > most {
		t.Errorf("a call began %s into a lease of %s", s.late, r.Lease)
	}
	for _, b := range e.Back {
		if b.Code != leaseEnded {
			t.Errorf("%+v", b)
		}
	}
}
