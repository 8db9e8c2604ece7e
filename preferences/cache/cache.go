// Package cache holds snapshots close at hand: in this process, or in a Redis that
// replicas share. Both fill the port gateway.Cache. Neither can cause a wrong send:
// what is cached may be stale, lost, poisoned or out of reach, and the claim still
// compares versions in the database. A cache only saves the database a question.
//
// What lies in a cache is a snapshot's binary form under our own patient id: flags
// and opaque ids, no personal data.
package cache

import (
	"sync/atomic"

	"harmonize.care/heed/preferences"
)

// Stats counts what was asked of a cache since it was made.
type Stats struct {
	Hits   uint64 // snapshots given
	Misses uint64 // snapshots not given, for whatever reason
	Errors uint64 // calls that failed, and values that could not be read; each is a miss, or a write that did not happen
}

type counters struct {
	hits, misses, errors atomic.Uint64
}

// Stats tells what was asked so far.
func (c *counters) Stats() Stats {
	return Stats{Hits: c.hits.Load(), Misses: c.misses.Load(), Errors: c.errors.Load()}
}

// asked counts the patients that were asked for and how many were found.
func (c *counters) asked(patients, hits int) {
	c.hits.Add(uint64(hits))
	c.misses.Add(uint64(patients - hits))
}

// read gives the snapshot in a value, or nil when it is none of this patient: a
// value under the wrong key must not lend one patient's yes to another.
func read(patient int64, body []byte) *preferences.Snapshot {
	s := &preferences.Snapshot{}
	if s.UnmarshalBinary(body) != nil || s.Patient != patient {
		return nil
	}
	return s
}
