package gateway

import (
	"sync"
	"time"
)

// idEpoch keeps ids in 63 bits until 2092.
const idEpoch = 1577836800_000000 // 2020-01-01, Unix microseconds

// IDs makes ids that are ordered in time and known before the row is written:
// microseconds in the upper bits, randomness in the lower eleven, so that two
// replicas do not meet.
type IDs struct {
	Now  func() time.Time
	Rand func() uint64

	mu   sync.Mutex
	last int64
}

// New gives the next id.
func (g *IDs) New() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := (g.Now().UnixMicro()-idEpoch)<<11 | int64(g.Rand()&(1<<11-1))
	if id <= g.last {
		id = g.last + 1
	}
	g.last = id
	return id
}
