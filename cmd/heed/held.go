package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"harmonize.care/heed/gateway"
)

// lookForHold asks whether sends are held. The claim itself asks again: this keeps a
// replica from deciding what it may not send anyway, and tells people.
func (s *server) lookForHold(ctx context.Context) error {
	since, err := s.db.Held(ctx)
	if err != nil {
		return fmt.Errorf("the database does not say whether sends are held: %w", err)
	}
	if held := !since.IsZero(); s.vigil.held.Swap(held) != held {
		if held {
			s.log.Warn("sends are held; what patients ask and answer goes on", "since", since, "to end it", "heed sending release")
		} else {
			s.log.Info("sends go on")
			s.ring()
		}
	}
	return nil
}

// unlessHeld leaves work undone while sends are held. What patients write is answered.
func (s *server) unlessHeld(q gateway.Queue, work func(context.Context) (int, error)) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		if q != gateway.AnswerQueue && s.vigil.held.Load() {
			return 0, nil
		}
		return work(ctx)
	}
}

func (s *server) holdFigure() {
	s.metrics.Gauge("heed_held", "1 while sends are held (heed sending hold).", func() float64 {
		if s.vigil.held.Load() {
			return 1
		}
		return 0
	})
}

func sendingCommand(c *command) *cobra.Command {
	cmd := &cobra.Command{Use: "sending", Short: "Hold all sends on every replica, and let them go on"}
	var why string
	hold := &cobra.Command{
		Use: "hold", Short: "Send nothing more, on any replica, until released", Args: cobra.NoArgs,
		Long: "Send nothing more, on any replica, until `heed sending release`. It holds through restarts. What patients text and click is\ntaken in and answered as always; requests are accepted and wait.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.inHouse(cmd.Context(), func(h *house) error { return c.holdSends(cmd.Context(), h, why) })
		},
	}
	hold.Flags().StringVar(&why, "reason", "", "why, for the audit log; name no patient (required)")
	_ = hold.MarkFlagRequired("reason") // it fails only for a flag that is not there
	var lost bool
	release := &cobra.Command{
		Use: "release", Short: "Let sends go on", Args: cobra.NoArgs,
		Long: "Let sends go on. With --lost, after a restore or a failover that may have lost commits: what was due when the hold began may\nhave gone out already. It is given up where it is not essential, and goes once more where it is; running campaigns are paused.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.inHouse(cmd.Context(), func(h *house) error { return c.releaseSends(cmd.Context(), h, lost) })
		},
	}
	release.Flags().BoolVar(&lost, "lost", false, "the database may have forgotten what went out just before the hold")
	status := &cobra.Command{
		Use: "status", Short: "Whether sends are held, and what waits", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.inHouse(cmd.Context(), func(h *house) error { return c.tellSending(cmd.Context(), h) })
		},
	}
	cmd.AddCommand(hold, release, status)
	return cmd
}

// heardAfter is how long every replica needs to hear of a hold at most: it looks every second,
// for two seconds at most. What it claimed before ends with its lease.
const heardAfter = 3 * time.Second

// holdSends holds sends, and waits until no call to a provider is under way any more.
func (c *command) holdSends(ctx context.Context, h *house, why string) error {
	if err := h.db.Hold(ctx, h.sendingChange("sending.hold", why)); err != nil {
		return err
	}
	began, end := time.Now(), heardAfter+h.cfg.Sending.Lease+2*gateway.MaxSkew
	for {
		load, err := h.db.Load(ctx, h.now())
		if err != nil {
			return fmt.Errorf("sends are held, but what is under way cannot be told: %w", err)
		}
		passed := time.Since(began)
		if load.Sending == 0 && passed > heardAfter {
			return c.tellSending(ctx, h)
		}
		if passed > end { // left by a process that died; a running gateway takes them back
			return c.tellSending(ctx, h)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return errors.New("sends are held; whether a call is still under way was not waited for: see `heed sending status`")
		}
	}
}

func (c *command) releaseSends(ctx context.Context, h *house, lost bool) error {
	since, err := h.db.Held(ctx)
	if err != nil {
		return err
	}
	if since.IsZero() {
		return errors.New("sends are not held")
	}
	detail := "held since " + since.Format(time.RFC3339)
	if lost {
		told, err := h.settleForgotten(ctx, since)
		if err != nil {
			return fmt.Errorf("sends stay held: %w", err)
		}
		detail += "; " + told
		if !c.asJSON {
			fmt.Fprintf(c.out, "What may have gone out before: %s.\n", told)
		}
	}
	if err := h.db.Release(ctx, h.sendingChange("sending.release", detail)); err != nil {
		return err
	}
	return c.tellSending(ctx, h)
}

// settleForgotten ends what may have gone out before a restore: it can be done again, and
// finds what is left.
func (h *house) settleForgotten(ctx context.Context, since time.Time) (string, error) {
	const batch = 200
	paused := 0
	for after := int64(0); ; {
		list, err := h.db.Campaigns(ctx, after, batch)
		if err != nil {
			return "", err
		}
		for i := range list {
			if after = list[i].ID; list[i].Status != gateway.CampaignRunning {
				continue
			}
			if _, err := h.campaigns.Pause(ctx, atWork(), list[i].ID); err != nil {
				return "", err
			}
			paused++
		}
		if len(list) < batch {
			break
		}
	}
	given, again := 0, 0
	for after := int64(0); ; {
		list, err := h.db.DueBefore(ctx, since, after, batch)
		if err != nil {
			return "", err
		}
		g, a, err := h.dispatcher.Forgotten(ctx, actor(), list)
		if err != nil {
			return "", err
		}
		if given, again = given+g, again+a; len(list) < batch {
			return fmt.Sprintf("%d given up, %d essential go once more, %d campaigns paused", given, again, paused), nil
		}
		after = list[len(list)-1].ID
	}
}

func (h *house) sendingChange(verb, detail string) gateway.Change {
	return gateway.Change{At: h.now(), Actor: actor(), Audit: []gateway.Audit{{Verb: verb, Object: "sending", Detail: detail}}}
}

func (c *command) tellSending(ctx context.Context, h *house) error {
	since, err := h.db.Held(ctx)
	if err != nil {
		return err
	}
	load, err := h.db.Load(ctx, h.now())
	if err != nil {
		return err
	}
	type state struct {
		Held      bool       `json:"held"`
		Since     *time.Time `json:"held_since,omitempty"`
		Sending   int        `json:"sending"`
		Due       int        `json:"due"`
		Campaigns int        `json:"campaigns_running"`
	}
	return c.answer(state{!since.IsZero(), pointer(since), load.Sending, load.Due, load.Campaigns}, func(w io.Writer) {
		if since.IsZero() {
			fmt.Fprint(w, "Sends are not held.")
		} else {
			fmt.Fprintf(w, "Sends are held since %s.", since.Local().Format(time.RFC1123))
		}
		fmt.Fprintf(w, " Under way: %d. Due: %d. Campaigns running: %d.\n", load.Sending, load.Due, load.Campaigns)
	})
}
