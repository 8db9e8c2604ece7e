package main

import (
	"context"
	"fmt"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/api"
	"harmonize.care/heed/gateway/jobs"
)

// What the running gateway tells the other processes on its database, by marks.
const (
	clockMark = "sandbox clock" // how far the pretend carrier's clock is moved
	aliveMark = "gateway alive" // when a gateway was last at work, by the host's clock
)

// beat is how often a gateway says that it is at work; silent is after how long without
// a word none seems to be.
const (
	beat   = 10 * time.Second
	silent = 3 * beat
)

// restoreClock sets the sandbox's clock to what the running gateway's shows, or the last
// one's did: the same time for every process that looks at the same messages.
func (h *house) restoreClock(ctx context.Context) error {
	if h.clock == nil {
		return nil
	}
	mark, err := h.db.Mark(ctx, clockMark)
	if err != nil {
		return err
	}
	if !mark.IsZero() {
		h.clock.Restore(time.Duration(mark.UnixMicro()) * time.Microsecond)
	}
	return nil
}

// keepClock keeps every move of the sandbox's clock.
func (s *server) keepClock() {
	s.clock.Moved = func(offset time.Duration) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.db.ResetMark(ctx, clockMark, time.UnixMicro(offset.Microseconds())); err != nil {
			s.log.Error("the sandbox's clock could not be kept", "error", err)
		}
	}
}

// pulse tells the other processes that a gateway is at work.
func (s *server) pulse() jobs.Loop {
	return jobs.Loop{Name: "pulse", Interval: beat, Log: s.log, Work: func(ctx context.Context) (int, error) {
		return 0, s.db.ResetMark(ctx, aliveMark, s.hostClock())
	}}
}

// rest tells them that this one is not any more; another one says otherwise at its next beat.
func (s *server) rest(ctx context.Context) error {
	return s.db.ResetMark(ctx, aliveMark, time.Time{})
}

// gatewayRuns says whether a gateway seems to be at work on this database.
func (h *house) gatewayRuns(ctx context.Context) (bool, error) {
	last, err := h.db.Mark(ctx, aliveMark)
	return !last.IsZero() && h.hostClock().Sub(last) < silent, err
}

// view tells what is on record as the API does.
func (h *house) view() *api.API {
	return &api.API{
		Store: h.db, Intake: h.intake, Dispatcher: h.dispatcher, Campaigns: h.campaigns, Policy: h.policy, Wording: h.wording, Identity: h.identity,
		Keys: h.db, Answers: h.db, Now: h.now, Log: h.log, ParsePhone: parsePhone, ParseMailbox: parseMailbox,
	}
}

// saw writes down what somebody at the command line is about to see: before it is
// shown, as the API does.
func (h *house) saw(ctx context.Context, verb, object string) error {
	_, err := h.db.Commit(ctx, gateway.Change{At: h.now(), Actor: actor(), Audit: []gateway.Audit{{Verb: verb, Object: object}}})
	if err != nil {
		return fmt.Errorf("what you asked for could not be written into the audit log, so it is not shown: %w", err)
	}
	return nil
}

// sawPatient is saw for all that belongs to one patient.
func (h *house) sawPatient(ctx context.Context, verb string, patient int64) error {
	object := "patient:unknown"
	if patient != 0 {
		object = fmt.Sprintf("patient:%d", patient)
	}
	return h.saw(ctx, verb, object)
}
