// Package intake turns what patients, staff and providers say into ledger
// events. A word is kept before it is answered, and a refusal is answered only
// when nothing decided before it can still go out.
package intake

import (
	"context"
	"errors"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// Service takes words in.
type Service struct {
	Store  gateway.Store
	Cache  gateway.Cache
	Fence  *gateway.Fence
	Policy *policy.Policy
	Now    func() time.Time
	NewID  func() int64
	// Wake tells the dispatcher that something may be due. It must not block.
	Wake func()
	// Senders gives the programs that share a number of ours, Services those that share
	// a messaging service. A STOP to a number that neither lists is taken for all of
	// them; a START to it lifts nothing.
	Senders  map[string][]channels.Program
	Services map[string][]channels.Program
	// OptOutLine is the toll-free number that people call to stop everything: it is
	// shared by all programs, whatever Senders says of it.
	OptOutLine string
	// Dater tells when a START was said; nil: by its arrival.
	Dater channels.Dater
	// ProviderConfirms is set when the carrier answers STOP, START and HELP itself:
	// there is one confirmer and never two.
	ProviderConfirms bool
	// OnCall are the practice's own phones and mailboxes that hear of a crisis at once.
	OnCall []string
}

// tries is how often a use case reads and judges again when somebody else was quicker.
const tries = 8

// commit keeps a change, brings cache and fence up to date, and waits until
// nothing decided earlier can still go out.
func (s *Service) commit(ctx context.Context, c gateway.Change) (gateway.Kept, error) {
	if gateway.AlreadyDone(ctx) {
		return gateway.Kept{}, nil
	}
	c.Key = gateway.KeyOf(ctx)
	kept, err := s.Store.Commit(ctx, c)
	if err != nil {
		return kept, err
	}
	if kept.Replayed != nil {
		return kept, gateway.ErrReplayed
	}
	for patient := range kept.Versions {
		s.Cache.Delete(ctx, patient)
	}
	s.Wake()
	return kept, s.Fence.Settle(ctx, c, kept)
}

// onPatient reads a patient, lets judge say what follows, and keeps it, again
// from the start when the patient has moved on meanwhile. An empty fact keeps
// nothing.
func (s *Service) onPatient(ctx context.Context, id int64, judge func(*gateway.Patient) (gateway.Change, error)) error {
	if gateway.AlreadyDone(ctx) {
		return nil // what it would be judged on has moved on since
	}
	for range tries {
		p, err := s.Store.Patient(ctx, id)
		if err != nil {
			return err
		}
		c, err := judge(p)
		if err != nil {
			return err
		}
		if len(c.Patients) == 0 {
			return nil
		}
		_, err = s.commit(ctx, c)
		if !errors.Is(err, gateway.ErrStale) {
			return err
		}
	}
	return gateway.ErrStale
}

// fact makes a change of one patient's events, judged on the version read.
func (s *Service) fact(actor string, p *gateway.Patient, verb string, events ...preferences.Event) gateway.Change {
	now := s.Now()
	for i := range events {
		events[i].ID, events[i].At, events[i].Actor = s.NewID(), now.UnixMicro(), actor
	}
	c := gateway.Change{At: now, Actor: actor}
	if len(events) > 0 {
		c.Patients = []gateway.PatientFact{{Patient: p.ID, Expect: p.Snapshot.Version, Events: events}}
		c.Audit = []gateway.Audit{{Verb: verb, Object: object("patient", p.ID)}}
	}
	return c
}
