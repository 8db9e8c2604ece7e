package dispatch

import (
	"context"
	"fmt"
	"sync"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences/policy"
)

// Messages of a campaign that look for another way keep its pace too. Who finds no place is
// put off, each to a moment of its own: thousands may be due at once in the morning, and none
// of them is looked at again and again.

// waits tell when the last one is due who was put off, by sender.
type waits struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// putOff gives the next moment behind all others, so many a second.
func (q *waits) putOff(sender string, perSecond int, now time.Time) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last == nil {
		q.last = map[string]time.Time{}
	}
	at := later(now, q.last[sender]).Add(time.Second / time.Duration(perSecond))
	q.last[sender] = at
	return at
}

// pacing is what one pass over a queue asks of the pace; after a fault it asks no more.
type pacing struct{ fault error }

// place says whether a message has a place now, or else when it is due.
func (d *Dispatcher) place(ctx context.Context, p *pacing, m *gateway.Message, cat *policy.Category, dec policy.Decision, now time.Time) (due time.Time, ok bool) {
	if m.Rate == 0 {
		return now, true
	}
	sender, n := gateway.Sender(cat.Program, dec.Pair.Channel), 0
	if p.fault == nil {
		n, p.fault = d.Pace.Take(ctx, sender, m.Rate, 1)
	}
	if n > 0 && p.fault == nil {
		return now, true
	}
	return d.waits.putOff(sender, m.Rate, now), false
}

// tell says that the pace could not be asked: nothing that keeps one goes then.
func (p *pacing) tell(d *Dispatcher) {
	if p.fault != nil {
		d.Fault(fmt.Errorf("the pace of senders is not known, so that what keeps one waits: %w", p.fault))
	}
}
