package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/sendgrid"
	"harmonize.care/heed/config"
	"harmonize.care/heed/gateway/jobs"
	"harmonize.care/heed/gateway/mirrors"
)

// mirrorBatch is how many entries one call to a provider holds: as many as Twilio takes at once,
// and so many a second at most.
const mirrorBatch = 25

// answersFor is a little longer than the five minutes for which a word is still answered.
const answersFor = 6 * time.Minute

// mirrored lists the providers that are told of opt-outs, by the settings.
func (h *house) mirrored() []*mirrors.Provider {
	var list []*mirrors.Provider
	if why := h.noSendGridMirror(); why == "" {
		list = append(list, &mirrors.Provider{
			Name: "sendgrid", Kind: channels.Mailbox, Keeper: h.carriers.sendgrid, Batch: mirrorBatch,
			Lists: []mirrors.List{{Name: "sendgrid:" + strconv.Itoa(h.cfg.Providers.SendGrid.ASMGroup), Programs: channels.SetOf(channels.Marketing)}},
		})
	}
	if why := h.noTwilioMirror(); why == "" {
		list = append(list, &mirrors.Provider{
			Name: "twilio", Kind: channels.Phone, Keeper: h.carriers.twilio, Batch: mirrorBatch, Settle: answersFor, Lists: textLists(h.cfg),
		})
	}
	return list
}

// noSendGridMirror says why SendGrid is not told of opt-outs; "": it is.
func (h *house) noSendGridMirror() string {
	carries := false
	for of, way := range h.carriers.ways {
		_, ours := way.Adapter.(*sendgrid.Adapter)
		carries = carries || of.Channel == channels.Email && ours
	}
	switch {
	case !h.cfg.Mirrors.SendGrid:
		return "mirrors.sendgrid is false"
	case h.cfg.Providers.SendGrid.ASMGroup == 0:
		return "providers.sendgrid.asm_group names no unsubscribe group"
	case !carries:
		return "no program's mail goes through SendGrid"
	case !h.policy.SendsBulk():
		return "the policy has no mail whose purpose is marketing"
	}
	return ""
}

func (h *house) noTwilioMirror() string {
	switch {
	case !h.cfg.Mirrors.Twilio:
		return "mirrors.twilio is false"
	case len(textLists(h.cfg)) == 0:
		return "no program texts through Twilio"
	}
	return ""
}

// textLists gives one list for each sender of texts: a messaging service, or a number.
func textLists(cfg *config.Config) []mirrors.List {
	var list []mirrors.List
	for _, program := range channels.Programs {
		p := cfg.Programs[program]
		sender := p.MessagingService
		if sender == "" {
			sender = p.SMSFrom
		}
		if sender == "" {
			continue
		}
		i := slices.IndexFunc(list, func(l mirrors.List) bool { return l.Sender == sender })
		if i < 0 {
			i, list = len(list), append(list, mirrors.List{Name: "twilio:" + sender, Sender: sender})
		}
		list[i].Programs |= channels.SetOf(program)
	}
	return list
}

// mirrorLoops carry opt-outs to the providers' lists and compare them every night. Where
// every mirror is off there is none, and no call is made.
func (s *server) mirrorLoops() []jobs.Loop {
	providers := s.mirrored()
	if len(providers) == 0 {
		return nil
	}
	place, err := time.LoadLocation(s.cfg.Practice.TimeZone)
	if err != nil { // the settings were checked
		place = time.UTC
	}
	m := &mirrors.Service{
		Store: s.db, Policy: s.policy, Now: s.now, NewID: s.ids.New, Log: s.log, Providers: providers, Place: place, Hear: s.dispatcher.Delivery,
	}
	s.mirrorFigures(m)
	return []jobs.Loop{
		{Name: "mirrors", Interval: time.Second, Log: s.log, Work: m.Work},
		{Name: "mirrors nightly", Interval: 2 * time.Second, Log: s.log, Work: m.Nightly},
	}
}

// mirrorFigures adds what the mirrors can tell.
func (s *server) mirrorFigures(m *mirrors.Service) {
	for _, f := range []struct {
		name, help string
		read       func() int64
	}{
		{"put", "Opt-outs that providers' own lists took.", m.Stats.Put.Load},
		{"taken_off", "Addresses taken off providers' lists: asked for again with proof.", m.Stats.Off.Load},
		{"failed", "Entries and comparisons that a provider did not take; they are tried again.", m.Stats.Failed.Load},
		{"only_there", "Opt-outs that only a provider knew of, and that were recorded here.", m.Stats.OnlyThere.Load},
		{"only_here", "Opt-outs that a provider had lost, and that were put there again.", m.Stats.OnlyHere.Load},
	} {
		s.metrics.Counter("heed_mirrors_"+f.name+"_total", f.help, func() float64 { return float64(f.read()) })
	}
	s.metrics.Gauge("heed_mirrors_waiting", "Addresses whose opt-out is not at the provider yet.", func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		waiting := 0
		for _, p := range m.Providers {
			f, err := s.db.MirrorFigures(ctx, p.Kind)
			if err != nil {
				return -1
			}
			waiting += f.Waiting
		}
		return float64(waiting)
	})
}

func mirrorCommand(c *command) *cobra.Command {
	cmd := &cobra.Command{Use: "mirror", Short: "Opt-outs on the providers' own lists: how far they are, compare them now"}
	cmd.AddCommand(
		&cobra.Command{
			Use: "status", Short: "Which providers are told of opt-outs, and what waits", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return c.inHouse(cmd.Context(), func(h *house) error { return c.mirrorStatus(cmd.Context(), h) })
			},
		},
		&cobra.Command{
			Use: "reconcile", Short: "Let the running gateway compare both sides now, as it does every night", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return c.inHouse(cmd.Context(), func(h *house) error { return c.mirrorReconcile(cmd.Context(), h) })
			},
		},
	)
	return cmd
}

// mirrorState is one provider as `heed mirror status` tells of it.
type mirrorState struct {
	Provider string     `json:"provider"`
	On       bool       `json:"on"`
	Why      string     `json:"why,omitempty"` // it is off
	Waiting  int        `json:"waiting"`
	Failing  int        `json:"failing"`
	Listed   int        `json:"listed"`
	Oldest   *time.Time `json:"oldest_waiting,omitempty"`
	Compared *time.Time `json:"compared_at,omitempty"`
}

func (c *command) mirrorStatus(ctx context.Context, h *house) error {
	var list []mirrorState
	for _, p := range []struct {
		name string
		kind channels.Kind
		why  string
	}{{"sendgrid", channels.Mailbox, h.noSendGridMirror()}, {"twilio", channels.Phone, h.noTwilioMirror()}} {
		f, err := h.db.MirrorFigures(ctx, p.kind)
		if err != nil {
			return err
		}
		compared, err := h.db.Mark(ctx, mirrors.DoneMark(p.name))
		if err != nil {
			return err
		}
		list = append(list, mirrorState{p.name, p.why == "", p.why, f.Waiting, f.Failing, f.Listed, pointer(f.Oldest), pointer(compared)})
	}
	return c.answer(list, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		fmt.Fprintln(t, "PROVIDER\tSTATE\tWAITING\tFAILING\tLISTED\tCOMPARED")
		for _, m := range list {
			state, compared := "on", "never"
			if !m.On {
				state = "off: " + m.Why
			}
			if m.Compared != nil {
				compared = m.Compared.Format(time.RFC3339)
			}
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%s\n", m.Provider, state, m.Waiting, m.Failing, m.Listed, compared)
		}
		_ = t.Flush() // the writer underneath says it at its own end
	})
}

func (c *command) mirrorReconcile(ctx context.Context, h *house) error {
	if len(h.mirrored()) == 0 {
		return errors.New("every mirror is off; `heed mirror status` says why")
	}
	runs, err := h.gatewayRuns(ctx)
	if err != nil {
		return err
	}
	if !runs {
		return errors.New("no gateway seems to run on this database, and this command calls no provider itself: start `heed serve`")
	}
	if err := h.saw(ctx, "mirror.ask", "mirror:all"); err != nil {
		return err
	}
	if err := h.db.ResetMark(ctx, mirrors.AskedMark, h.now()); err != nil {
		return err
	}
	return c.answer(map[string]string{"reconcile": "asked for"}, func(w io.Writer) {
		fmt.Fprintln(w, "The running gateway compares both sides within seconds; the audit log (mirror.compare) tells what it finds.")
	})
}
