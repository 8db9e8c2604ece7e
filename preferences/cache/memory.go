package cache

import (
	"context"
	"time"

	// otter: a bounded cache with expiry that many readers can use at once.
	"github.com/maypok86/otter/v2"

	"harmonize.care/heed/preferences"
)

// Memory is the cache inside this process. It keeps snapshots in their binary form:
// that takes less than half of the memory, and nobody can change by mistake what the next
// reader is given.
type Memory struct {
	counters
	held *otter.Cache[int64, held]
}

type held struct {
	version int64
	body    []byte
}

// NewMemory makes a cache of at most so many snapshots (a size below one counts as
// one), each forgotten when the expiry has passed since it was written.
func NewMemory(size int, expiry time.Duration) *Memory {
	return newMemory(size, expiry, nil)
}

func newMemory(size int, expiry time.Duration, clock otter.Clock) *Memory {
	return &Memory{held: otter.Must(&otter.Options[int64, held]{
		MaximumSize:      max(size, 1), // 0 would be a cache without bounds
		ExpiryCalculator: otter.ExpiryWriting[int64, held](expiry),
		Clock:            clock,
	})}
}

// GetMany gives the snapshots that are held. They are the caller's own.
func (m *Memory) GetMany(_ context.Context, patients []int64) map[int64]*preferences.Snapshot {
	found := make(map[int64]*preferences.Snapshot, len(patients))
	hits := 0
	for _, patient := range patients {
		h, ok := m.held.GetIfPresent(patient)
		if !ok {
			continue
		}
		s := read(patient, h.body)
		if s == nil { // a list longer than the binary form can be read with
			m.errors.Add(1)
			m.held.Invalidate(patient)
			continue
		}
		found[patient] = s
		hits++
	}
	m.asked(len(patients), hits)
	return found
}

// Put keeps snapshots, each unless one at least as new is held.
func (m *Memory) Put(_ context.Context, list ...*preferences.Snapshot) {
	for _, s := range list {
		body, err := s.AppendBinary(nil)
		if err != nil {
			m.errors.Add(1)
			continue
		}
		m.held.Compute(s.Patient, func(old held, found bool) (held, otter.ComputeOp) {
			if found && old.version >= s.Version {
				return old, otter.CancelOp
			}
			return held{s.Version, body}, otter.WriteOp
		})
	}
}

// Delete forgets a patient's snapshot.
func (m *Memory) Delete(_ context.Context, patient int64) {
	m.held.Invalidate(patient)
}
