package sandbox

import (
	"sync"
	"time"
)

// Clock is a clock that can be moved: the base clock plus an offset. It is safe
// for concurrent use.
type Clock struct {
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
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

// Set moves the clock so that it shows t now, and goes on from there.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset = t.Sub(c.base())
}

// Offset says how far the clock is moved.
func (c *Clock) Offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset
}
