package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"harmonize.care/heed/gateway"
)

// vigil looks every second whether the gateway may claim messages.
type vigil struct {
	state atomic.Pointer[error]
	held  atomic.Bool // sends are held, as the database said at the last look
}

var errNotLooked = errors.New("just started")

func newVigil() *vigil {
	v := &vigil{}
	v.state.Store(&errNotLooked)
	return v
}

func (v *vigil) fault() error { return *v.state.Load() }

func (v *vigil) watch(ctx context.Context, look func(context.Context) error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		err := look(ctx)
		v.state.Store(&err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look asks the database for its clock.
func (s *server) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	before := s.hostClock()
	theirs, err := s.db.Clock(ctx, s.hostClock)
	if err != nil {
		return fmt.Errorf("the database does not answer: %w", err)
	}
	after := s.hostClock()
	if theirs.Before(before.Add(-gateway.MaxSkew)) || theirs.After(after.Add(gateway.MaxSkew)) {
		return fmt.Errorf("this machine's clock is %s off the database's: mend it (chrony, ntpd)", theirs.Sub(after).Round(time.Millisecond))
	}
	return s.lookForHold(ctx)
}

// ready says why nothing may be claimed now, or nil.
func (s *server) ready() error {
	if err := s.vigil.fault(); err != nil {
		return err
	}
	return s.db.Hearing()
}
