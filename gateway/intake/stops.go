package intake

import (
	"context"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// Stop records a stop that staff were told of, or that a patient made by any
// other way. It covers the programs that the policy says.
func (s *Service) Stop(ctx context.Context, actor, number string, program channels.Program, everything bool, evidence map[string]string) error {
	now := s.Now()
	return s.onNumber(ctx, actor, number, "stop.recorded", preferences.Event{
		Kind: preferences.NumberStopped, Said: now.UnixMicro(), Source: preferences.FromStaff,
		Programs: s.Policy.Stops(program, everything, now), Evidence: evidence,
	})
}

// Lift lifts a stop on evidence dated after it. Where the stop is newer than the
// consent, nothing is lifted and the caller is told.
func (s *Service) Lift(ctx context.Context, actor, number string, program channels.Program, consented time.Time, evidence map[string]string) error {
	if len(evidence) == 0 {
		return gateway.Wrong("evidence", "say how the patient agreed, in their own words or on which paper")
	}
	if consented.After(s.Now()) {
		return gateway.Wrong("consented_on", "lies in the future")
	}
	known, err := s.Store.Number(ctx, number)
	if err != nil {
		return err
	}
	if !known.Stops.Has(program) {
		return gateway.Wrong("number", "has no stop for this program")
	}
	if !consented.After(known.Since[program]) {
		return gateway.Wrong("consented_on", "is not after the stop: a consent given before a stop does not lift it")
	}
	return s.onNumber(ctx, actor, number, "stop.lifted", preferences.Event{
		Kind: preferences.NumberStarted, Said: consented.UnixMicro(), Source: preferences.FromStaff,
		Programs: channels.SetOf(program), Evidence: evidence,
	})
}

func (s *Service) onNumber(ctx context.Context, actor, number, verb string, e preferences.Event) error {
	now := s.Now()
	e.ID, e.At, e.Actor = s.NewID(), now.UnixMicro(), actor
	_, err := s.commit(ctx, gateway.Change{
		At: now, Actor: actor,
		Numbers: []gateway.NumberFact{{Number: number, Event: e}},
		Audit:   []gateway.Audit{{Verb: verb, Object: object("event", e.ID)}},
	})
	return err
}
