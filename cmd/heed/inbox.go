package main

import (
	"context"
	"time"

	"harmonize.care/heed/channels"
)

const (
	// firstLook is how far back the first reading of the inbox goes: a STOP of the last
	// day binds even when it came before the gateway did.
	firstLook = 24 * time.Hour
	// overlap is read again each time: a provider may list a text a little late. What is
	// known already changes nothing.
	overlap = 10 * time.Minute
)

// fetchMissed takes inbound texts that no webhook told us of: a provider tries once
// more within seconds, and then never again, so that a STOP during an outage would
// be lost.
func (s *server) fetchMissed(ctx context.Context) error {
	var reader channels.InboxReader = s.carriers.twilio
	began := s.now()
	mark, err := s.db.Mark(ctx, "inbox twilio")
	if err != nil {
		return err
	}
	since := began.Add(-firstLook)
	if !mark.IsZero() {
		since = mark.Add(-overlap)
	}
	texts, err := reader.Inbox(ctx, since)
	if err != nil {
		return err
	}
	for _, in := range texts {
		if from, err := parsePhone(in.From); err == nil {
			in.From = from
		}
		if err := s.intake.Listed(ctx, "twilio", in); err != nil {
			return err
		}
	}
	return s.db.SetMark(ctx, "inbox twilio", began)
}
