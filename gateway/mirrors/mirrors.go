// Package mirrors carries opt-outs to the lists that providers keep of their own, and
// compares both sides every night. The lists are a second lock: the gateway decides by
// its own ledger alone, and nothing waits for a provider here.
package mirrors

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// Store reads what is due and keeps what came of it.
type Store interface {
	TakeMirrors(ctx context.Context, kind channels.Kind, limit int, lease time.Duration) ([]gateway.Mirror, error)
	MirrorTried(ctx context.Context, m gateway.Mirror) error
	Mirrors(ctx context.Context, kind channels.Kind, keys []string) ([]gateway.Mirror, error)
	MirrorsAt(ctx context.Context, kind channels.Kind, addresses []string) ([]gateway.Mirror, error)
	MirrorListed(ctx context.Context, kind channels.Kind, keys []string, list string, on bool, read time.Time) error
	Refusers(ctx context.Context, kind channels.Kind, after string, limit int) (keys []string, next string, err error)
	Mark(ctx context.Context, name string) (time.Time, error)
	SetMark(ctx context.Context, name string, at time.Time) error
	ResetMark(ctx context.Context, name string, at time.Time) error
	ClaimMark(ctx context.Context, name string, now, until time.Time) (bool, error)
	Tasks(ctx context.Context, f gateway.TaskFilter) ([]gateway.Task, error)
	Commit(ctx context.Context, c gateway.Change) (gateway.Kept, error)
}

// List is one list at a provider: who opted out of one sender.
type List struct {
	Name     string              // sendgrid:12, twilio:MG…: stands in the database
	Sender   string              // what the adapter calls it; "" where it has one list
	Programs channels.ProgramSet // that write from this sender
}

// Provider is one that keeps lists, and how it likes to be called.
type Provider struct {
	Name   string        // sendgrid, twilio
	Kind   channels.Kind // of the addresses on its lists
	Keeper channels.OptOutKeeper
	Lists  []List
	// Settle is how long a refusal waits before it is told: the answers to it go out first,
	// and a provider that knew already would refuse them.
	Settle time.Duration
	Batch  int // entries in one call
}

// Service mirrors.
type Service struct {
	Store     Store
	Policy    *policy.Policy
	Now       func() time.Time
	NewID     func() int64
	Log       *slog.Logger
	Providers []*Provider
	// Hear takes a provider's word in as its webhooks do: an opt-out that only the provider
	// knew of.
	Hear func(ctx context.Context, source string, d channels.Delivery) error
	// Place is where the practice is: nights are told by its clock.
	Place *time.Location
	Stats Stats
	rests map[string]*rest // by provider; of the one goroutine that works
}

// Stats count what happened since the process began.
type Stats struct {
	Put, Off, Failed    atomic.Int64 // entries
	OnlyThere, OnlyHere atomic.Int64 // differences that were found and repaired
}

// rest is how long a provider is left alone after it did not take a call.
type rest struct {
	until time.Time
	long  time.Duration
}

const (
	// callFor bounds a provider's turn, and takeFor is how long what was taken is in hands:
	// no call outlives it, so that two never cross.
	callFor = 30 * time.Second
	takeFor = time.Minute
	// firstRest doubles with every failed call up to longestRest.
	firstRest   = 2 * time.Second
	longestRest = 5 * time.Minute
	// againAfter is when an entry that was refused by itself, but may be taken later, is
	// tried again.
	againAfter = 10 * time.Minute
)

// Work tells each provider of what is due, one call's worth: who runs it in a loop paces
// the calls by the loop's interval. Twilio takes 100 calls a minute.
// https://www.twilio.com/docs/messaging/features/bulk-upsert-consents-api#rate-limits
func (s *Service) Work(ctx context.Context) (int, error) {
	var errs []error
	for _, p := range s.Providers {
		errs = append(errs, s.turn(ctx, p))
	}
	return 0, errors.Join(errs...)
}

func (s *Service) turn(ctx context.Context, p *Provider) error {
	if s.resting(p) {
		return nil
	}
	due, err := s.Store.TakeMirrors(ctx, p.Kind, max(1, p.Batch/max(1, len(p.Lists))), takeFor)
	if err != nil || len(due) == 0 {
		return err
	}
	batch := s.plan(p, due)
	if len(batch.entries) > 0 {
		s.call(ctx, p, batch)
	}
	kept := context.WithoutCancel(ctx) // the call was made: what came of it is kept in any case
	for i := range due {
		if err := s.Store.MirrorTried(kept, due[i]); err != nil {
			return err
		}
	}
	return nil
}

// batch is what one call says, and of which address and list each entry is.
type batch struct {
	entries []channels.OptOut
	of      []*gateway.Mirror
	list    []string
}

// plan judges what belongs on the lists now. What is not due any more is settled without
// a call.
func (s *Service) plan(p *Provider, due []gateway.Mirror) *batch {
	b, now := &batch{}, s.Now()
	for i := range due {
		m := &due[i]
		m.Due, m.Tries, m.Code = time.Time{}, 0, ""
		for _, l := range p.Lists {
			wanted := s.wanted(m, l)
			if wanted {
				m.Lift &^= l.Programs // what was asked for was refused again
			}
			ready := m.Changed.Add(p.Settle)
			e := channels.OptOut{Address: m.Address, Sender: l.Sender, Said: said(m, l)}
			switch {
			case m.Address == "": // nobody has it, so that nothing is sent there
				continue
			case wanted && !m.On(l.Name) && now.Before(ready):
				m.Due = ready
				continue
			case wanted && !m.On(l.Name):
			case !wanted && m.Lift&l.Programs != 0:
				e.Off = true
			default:
				continue
			}
			b.entries, b.of, b.list = append(b.entries, e), append(b.of, m), append(b.list, l.Name)
		}
	}
	return b
}

// wanted says whether an address belongs on a list. A list knows senders and nothing
// finer, so that it holds an address only where nothing that goes out from this sender
// may reach it: a number that stopped every program of the sender, a mailbox where
// everybody who has it refused every kind of bulk mail.
func (s *Service) wanted(m *gateway.Mirror, l List) bool {
	if m.Kind == channels.Phone {
		return l.Programs != 0 && m.Number.Stops&l.Programs == l.Programs
	}
	return inUse(m) && !slices.ContainsFunc(m.Owners, func(o gateway.Owner) bool {
		return o.Snapshot.Standing == preferences.Active && !s.Policy.RefusesBulk(o.Snapshot, o.Address)
	})
}

// inUse says whether somebody has it to whom anything may be sent.
func inUse(m *gateway.Mirror) bool {
	return m.Address != "" && slices.ContainsFunc(m.Owners, func(o gateway.Owner) bool { return o.Snapshot.Standing == preferences.Active })
}

// said is when the last of the programs was stopped, or asked for again.
func said(m *gateway.Mirror, l List) time.Time {
	var last time.Time
	for _, p := range l.Programs.List() {
		if at := m.Number.Since[p]; at.After(last) {
			last = at
		}
	}
	return last
}

// call tells the provider, and notes what came of it.
func (s *Service) call(ctx context.Context, p *Provider, b *batch) {
	ctx, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	refused, err := p.Keeper.Keep(ctx, b.entries)
	if err != nil {
		until := s.rest(p, err)
		s.Stats.Failed.Add(int64(len(b.entries)))
		for _, m := range b.of {
			m.Tries, m.Code, m.Due = m.Tries+1, codeOf(err), until
		}
		return
	}
	delete(s.rests, p.Name)
	now := s.Now()
	for i, m := range b.of {
		m.Called = now
		switch failed := refused[i]; {
		case failed != nil:
			s.refused(m, failed)
		case b.entries[i].Off:
			s.Stats.Off.Add(1)
			m.Take(b.list[i])
			m.Lift &^= s.programs(p, b.list[i])
		default:
			s.Stats.Put.Add(1)
			m.Put(b.list[i])
			m.Lift &^= s.programs(p, b.list[i])
		}
	}
}

// refused notes an entry that was refused by itself. Where it may be taken later it stays
// due; where not, the next word of it, or the night, tries again.
func (s *Service) refused(m *gateway.Mirror, failed *channels.SendError) {
	s.Stats.Failed.Add(1)
	m.Tries, m.Code = m.Tries+1, codeOf(failed)
	switch failed.Kind {
	case channels.TryNever, channels.AddressIsBad, channels.NotTextable:
		s.Log.Warn("a provider does not take an opt-out", "code", m.Code)
	default:
		m.Due = s.Now().Add(max(failed.RetryAfter, againAfter))
	}
}

func (s *Service) programs(p *Provider, list string) channels.ProgramSet {
	for _, l := range p.Lists {
		if l.Name == list {
			return l.Programs
		}
	}
	return 0
}

// codeOf names a failure without any of the provider's words.
func codeOf(err error) string {
	failed, ok := errors.AsType[*channels.SendError](err)
	switch {
	case !ok:
		return "failed"
	case gateway.PlainCode(failed.Code) != "":
		return gateway.PlainCode(failed.Code)
	}
	return failed.Kind.String()
}

func (s *Service) resting(p *Provider) bool {
	r := s.rests[p.Name]
	if r == nil {
		return false
	}
	now := s.Now()
	// A clock that was moved back must not make it rest for days.
	return now.Before(r.until) && r.until.Sub(now) <= r.long
}

// rest leaves a provider alone for a while: as long as it asks for, else longer with
// every failure.
func (s *Service) rest(p *Provider, err error) time.Time {
	r := s.rests[p.Name]
	if r == nil {
		r = &rest{long: firstRest / 2}
		if s.rests == nil {
			s.rests = map[string]*rest{}
		}
		s.rests[p.Name] = r
	}
	r.long = min(2*r.long, longestRest)
	if failed, ok := errors.AsType[*channels.SendError](err); ok {
		r.long = max(r.long, failed.RetryAfter)
	}
	r.until = s.Now().Add(r.long)
	s.Log.Warn("a provider could not be told of opt-outs; they wait", "provider", p.Name, "error", err)
	return r.until
}
