package gateway

import (
	"context"
	"sync"
	"time"

	"harmonize.care/heed/preferences"
)

// MaxSkew is how far the clock of a gateway may be from the database's before it is
// not ready. Two gateways are at most twice as far apart.
const MaxSkew = time.Second

// Fence keeps a message from leaving after its patient's refusal was
// acknowledged. It knows the revocations heard here and the provider calls under
// way here; the store knows the leases of every replica.
type Fence struct {
	Store Store
	Now   func() time.Time
	Lease time.Duration // the longest a claim may hold
	// Pause waits a little between two looks at the leases of other replicas.
	Pause func(ctx context.Context) error

	mu      sync.Mutex
	revoked map[int64]int64         // patient -> newest version heard
	calls   map[int64]int           // patient -> provider calls under way
	idle    map[int64]chan struct{} // closed when a patient's last call returns
	pruned  time.Time
}

// Revoke notes that a patient has moved on to a version: a call decided on an
// older one does not start.
func (f *Fence) Revoke(patient, version int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.revoked == nil {
		f.revoked = map[int64]int64{}
	}
	f.revoked[patient] = max(f.revoked[patient], version)
	f.prune()
}

// prune forgets revocations so old that every claim which could still miss them
// has run out of its lease. The caller holds the lock.
func (f *Fence) prune() {
	now := f.Now()
	if now.Sub(f.pruned) < f.Lease {
		return
	}
	f.pruned = now
	old := now.Add(-4 * f.Lease).UnixMicro()
	for patient, version := range f.revoked {
		if version < old {
			delete(f.revoked, patient)
		}
	}
}

// Begin is the last look before a provider call. When it gives ok, the caller
// makes the call and then done; otherwise the call must not start.
func (f *Fence) Begin(patient, version int64) (done func(), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if version < f.revoked[patient] {
		return nil, false
	}
	if f.calls == nil {
		f.calls, f.idle = map[int64]int{}, map[int64]chan struct{}{}
	}
	if f.calls[patient]++; f.calls[patient] == 1 {
		f.idle[patient] = make(chan struct{})
	}
	return func() { f.end(patient) }, true
}

func (f *Fence) end(patient int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls[patient]--; f.calls[patient] == 0 {
		close(f.idle[patient])
		delete(f.calls, patient)
		delete(f.idle, patient)
	}
}

// Settle is the end of every change that may hold a refusal: see Acknowledge. A stop
// that changes nothing, because it was heard before, is answered no sooner than the
// first one: it waits for whoever has the number.
func (f *Fence) Settle(ctx context.Context, c Change, kept Kept) error {
	versions := map[int64]int64{}
	for i := range c.Numbers {
		n := &c.Numbers[i]
		refusal := n.Event.Kind == preferences.NumberStopped || n.Event.Kind == preferences.SpamReported
		if !refusal || kept.News[n.Number] {
			continue
		}
		number, err := f.Store.Number(ctx, n.Number)
		if err != nil {
			return err
		}
		for _, h := range number.Holders {
			versions[h.Patient] = 0
		}
	}
	if kept.Known {
		for i := range c.Patients {
			versions[c.Patients[i].Patient] = 0
		}
	}
	for patient, version := range kept.Versions {
		versions[patient] = version
	}
	return f.Acknowledge(ctx, versions)
}

// Acknowledge returns when no message of these patients can reach a provider any
// more on a decision older than the given versions: the calls under way here have
// returned and no replica has claimed any. It takes at most one lease by this
// machine's own clock, whatever the others' show: a claim made before the refusal
// has run out by then, and later claims are refused by the store.
func (f *Fence) Acknowledge(ctx context.Context, versions map[int64]int64) error {
	if len(versions) == 0 {
		return nil
	}
	end := f.Now().Add(f.Lease)
	patients := make([]int64, 0, len(versions))
	for patient, version := range versions {
		f.Revoke(patient, version)
		patients = append(patients, patient)
	}
	for _, patient := range patients {
		f.mu.Lock()
		idle := f.idle[patient]
		f.mu.Unlock()
		if idle == nil {
			continue
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for f.Now().Before(end) {
		n, err := f.Store.Calling(ctx, patients)
		if err != nil || n == 0 {
			return err
		}
		if err := f.Pause(ctx); err != nil {
			return err
		}
	}
	return nil
}
