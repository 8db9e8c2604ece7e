package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Bell wakes everybody who waits for it. It never blocks the one who rings.
type Bell struct {
	mu   sync.Mutex
	next chan struct{}
}

// NewBell makes a bell.
func NewBell() *Bell { return &Bell{next: make(chan struct{})} }

// Ring wakes everybody who waits.
func (b *Bell) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.next)
	b.next = make(chan struct{})
}

// Next is closed when the bell is rung the next time.
func (b *Bell) Next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.next
}

// Loop does work until there is none left, and then waits for the bell or for the
// interval. A fault is logged and the work goes on after a breath: a database that
// is away for a while must not end the gateway.
type Loop struct {
	Name     string
	Work     func(context.Context) (int, error)
	Bell     *Bell // nil: the interval alone
	Interval time.Duration
	Log      *slog.Logger
}

// breath is how long a loop waits after a fault.
const breath = time.Second

// Run works until the context is done.
func (l Loop) Run(ctx context.Context) {
	for ctx.Err() == nil {
		var rung <-chan struct{}
		if l.Bell != nil {
			rung = l.Bell.Next() // before the work: what is rung for meanwhile is not missed
		}
		n, err := l.Work(ctx)
		wait := l.Interval
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.Log.Error("work failed; trying again", "loop", l.Name, "error", err)
			wait, rung = breath, nil
		case n > 0:
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-rung:
		case <-timer.C:
		}
		timer.Stop()
	}
}
