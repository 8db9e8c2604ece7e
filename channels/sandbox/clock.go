package sandbox

import (
	"sync"
	"time"
)

// Clock is a clock that can be moved: the base clock plus an offset. It is safe
// for concurrent use.
type Clock struct {
	// Moved hears of every move, before it is answered; nil: nobody does. Set it first.
	Moved func(offset time.Duration)

	base   func() time.Time
	mu     sync.Mutex
	offset time.Duration
}

// NewClock makes a clock that shows what base shows until it is moved.
func NewClock(base func() time.Time) *Clock { return &Clock{base: base} }

// Now gives the moved time.
func (c *Clock) Now() time.Time {
	return c.base().Add(c.Offset())
}

// Add moves the clock by d, forwards or back.
func (c *Clock) Add(d time.Duration) {
	c.move(func(offset time.Duration) time.Duration { return offset + d })
}

// Set moves the clock so that it shows t now, and goes on from there.
func (c *Clock) Set(t time.Time) {
	c.move(func(time.Duration) time.Duration { return t.Sub(c.base()) })
}

// Restore moves the clock to an offset that was kept; nobody hears of it.
func (c *Clock) Restore(offset time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset = offset
}

func (c *Clock) move(to func(time.Duration) time.Duration) {
	c.mu.Lock()
	c.offset = to(c.offset)
	offset := c.offset
	c.mu.Unlock()
	if c.Moved != nil {
		c.Moved(offset)
	}
}

// Offset says how far the clock is moved.
func (c *Clock) Offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset
}
