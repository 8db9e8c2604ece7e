package cache

import (
	"sync/atomic"
	"time"
)

// rest is how long Redis is left alone after a call that got no answer.
const rest = time.Second

// breaker keeps callers from waiting, one after the other, for a server that does
// not answer. After a failure everybody is turned away at once; whenever a rest is
// over, one caller may try.
type breaker struct {
	now    func() time.Duration // since some fixed moment, never backwards
	closed atomic.Int64         // nobody may call before this moment, in nanoseconds; 0: all may
}

// allow says whether the caller may try. Of those who come after a rest one may,
// and the others find that a new rest has begun, so that a try which hangs or is
// given up holds nobody.
func (b *breaker) allow() bool {
	until := b.closed.Load()
	if until == 0 {
		return true
	}
	now := b.now()
	return int64(now) >= until && b.closed.CompareAndSwap(until, int64(now+rest))
}

func (b *breaker) answered() {
	if b.closed.Load() != 0 { // the usual case writes nothing that the processors share
		b.closed.Store(0)
	}
}

func (b *breaker) failed() { b.closed.Store(int64(b.now() + rest)) }
