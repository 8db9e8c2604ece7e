package gateway

import (
	"sync"
	"time"
)

// IDEpoch keeps ids in 63 bits until 2092.
const IDEpoch = 1577836800_000000 // 2020-01-01, Unix microseconds

// Nodes is how many processes can make ids beside each other.
const Nodes = 1 << 11

// IDs makes ids that are ordered in time and known before the row is written: microseconds
// in the upper bits, of which no two ids of a process are the same, and in the lower
// eleven who makes them, so that two processes never meet.
type IDs struct {
	Now  func() time.Time
	Rand func() uint64 // draws who we are, until Is says it

	mu    sync.Mutex
	known bool
	node  int64
	last  int64 // microseconds
}

// Is says who makes the ids from here on: a number that no other process has now.
func (g *IDs) Is(node int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known, g.node = true, node%Nodes
}

// New gives the next id.
func (g *IDs) New() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.known {
		g.known, g.node = true, int64(g.Rand()%Nodes)
	}
	g.last = max(g.last+1, g.Now().UnixMicro()-IDEpoch)
	return g.last*Nodes + g.node
}
