package main

import (
	"context"
	"net/netip"
	"time"

	"harmonize.care/heed/config"
	"harmonize.care/heed/gateway/events"
	"harmonize.care/heed/gateway/jobs"
)

// keepEvents and keepDead: a week to look an event up or to send it once more, and a
// month for what was given up. An event stays as long as a delivery of it.
var (
	keepEvents = days(7)
	keepDead   = days(30)
)

// relay hands what happened, and what is due again, to the jobs.
func (s *server) relay(river *jobs.River) jobs.Loop {
	return jobs.Loop{
		Name: "events", Bell: s.happened, Interval: time.Second, Log: s.log,
		Work: func(ctx context.Context) (int, error) { return s.db.Relay(ctx, river.Enqueue) },
	}
}

// deliver makes one try of a delivery, and lets the relay hand over the next.
func (s *server) deliver() func(context.Context, int64) error {
	sender := events.New(s.db, guardOf(s.cfg), s.now, s.hostClock, version())
	return func(ctx context.Context, id int64) error {
		defer s.happened.Ring()
		return sender.Deliver(ctx, id)
	}
}

func guardOf(cfg *config.Config) events.Guard {
	g := events.Guard{Loopback: cfg.Providers.Mode == config.Sandbox}
	for _, network := range cfg.Events.Networks {
		if p, err := netip.ParsePrefix(network); err == nil { // the settings were checked
			g.Networks = append(g.Networks, p)
		}
	}
	return g
}
