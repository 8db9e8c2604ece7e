package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/api"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// asked are the flags that a message and a dry run share.
type asked struct {
	category, template, channels, sendAt, expires string
	urgent                                        bool
}

func (a *asked) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&a.category, "category", "", "what kind of message it is (required)")
	f.StringVar(&a.template, "template", "", "the text; default: the one named as the category")
	f.StringVar(&a.channels, "channels", "", "narrow the ways: sms,email")
	f.StringVar(&a.sendAt, "send-at", "", "when, RFC 3339; default: now")
	f.StringVar(&a.expires, "expires-at", "", "until when it is of use, RFC 3339")
	f.BoolVar(&a.urgent, "urgent", false, "do not wait for hours or caps (essential categories)")
	_ = cmd.MarkFlagRequired("category") // it fails only for a flag that is not there
}

func (a *asked) ways() ([]channels.Channel, error) {
	var list []channels.Channel
	for name := range strings.SplitSeq(a.channels, ",") {
		if name == "" {
			continue
		}
		ch, err := channels.ParseChannel(strings.TrimSpace(name))
		if err != nil {
			return nil, usageError{fmt.Errorf("--channels: %w", err)}
		}
		list = append(list, ch)
	}
	return list, nil
}

// moment reads a flag's time; "" is the zero time.
func moment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, usageError{fmt.Errorf("--%s: write a time as 2027-01-31T15:00:00-07:00", flag)}
	}
	return t, nil
}

func sendCommand(c *command) *cobra.Command {
	a := &asked{}
	var vars []string
	var reference, override string
	cmd := &cobra.Command{
		Use: "send PATIENT", Short: "Send, or schedule, one message to a patient", Args: cobra.ExactArgs(1),
		Example: "  heed send 100001 --category follow_up --var text='Your letter is ready at the front desk.'",
		RunE: func(cmd *cobra.Command, args []string) error {
			ways, err1 := a.ways()
			sendAt, err2 := moment("send-at", a.sendAt)
			expires, err3 := moment("expires-at", a.expires)
			variables, err4 := pairs("var", vars)
			if err := errors.Join(err1, err2, err3, err4); err != nil {
				return usageError{err}
			}
			if a.template == "" {
				a.template = a.category
			}
			return c.inHouse(cmd.Context(), func(h *house) error {
				got, _, err := h.dispatcher.Accept(cmd.Context(), actor(), []dispatch.Request{{
					Patient: args[0], Category: a.category, Template: a.template, Variables: variables, Channels: ways, SendAt: sendAt, Expires: expires,
					Urgent: a.urgent, Reference: reference, Override: override,
				}}, nil, nil)
				if err == nil {
					err = got[0].Err
				}
				if err != nil {
					return inWords(err)
				}
				return c.tellSent(cmd.Context(), h, got[0])
			})
		},
	}
	a.flags(cmd)
	cmd.Flags().StringArrayVar(&vars, "var", nil, "a variable of the text, NAME=VALUE; again for each")
	cmd.Flags().StringVar(&reference, "reference", "", "an appointment's id: everything that waits for it can be cancelled together")
	cmd.Flags().StringVar(&override, "override", "", "a written reason: passes declined channels, hours and caps for an essential message")
	return cmd
}

func (c *command) tellSent(ctx context.Context, h *house, got dispatch.Accepted) error {
	running, err := h.gatewayRuns(ctx)
	if err != nil {
		return err
	}
	decision, err := h.view().Decision(ctx, got.Decision)
	if err != nil {
		return err
	}
	type sent struct {
		api.MessageOut
		Running bool `json:"gateway_running"` // as far as the database tells
	}
	out := sent{api.MessageOut{
		ID: strconv.FormatInt(got.ID, 10), Status: gateway.Waiting.Name(got.Due, h.now()), DueAt: got.Due.UTC(), Decision: decision,
	}, running}
	err = c.answer(out, func(w io.Writer) {
		fmt.Fprintf(w, "message %d, due %s\n", got.ID, got.Due.Local().Format(time.RFC1123))
		writeDecision(w, decision)
		if !running {
			fmt.Fprintln(w, "No gateway seems to be running on this database: the message waits until `heed serve` or `heed demo` is.")
		}
	})
	if err == nil && (got.Decision.Outcome == policy.Suppress || got.Decision.Outcome == policy.NeedsStaff) {
		err = errRefused
	}
	return err
}

// inWords says of a refusal what was wrong.
func inWords(err error) error {
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		return errors.New("no patient has this id; `heed import patients` or PUT /v1/patients/{id} puts one on file")
	case errors.Is(err, gateway.ErrStale):
		return errors.New("it has changed meanwhile, or no longer waits; look again")
	case errors.Is(err, gateway.ErrErased):
		return errors.New("this patient was erased; the id is not used again")
	}
	var wrong gateway.Invalid
	if errors.As(err, &wrong) {
		return usageError{err}
	}
	return err
}

func pointer(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}

// writeDecision tells a decision to people, without any address.
func writeDecision(w io.Writer, d api.DecisionOut) {
	fmt.Fprintf(w, "%s", d.Outcome)
	if d.Channel != "" {
		fmt.Fprintf(w, " by %s (%s)", d.Channel, d.Content)
	}
	if d.Until != nil {
		fmt.Fprintf(w, " at %s", d.Until.Local().Format(time.RFC1123))
	}
	fmt.Fprintf(w, ". %s\n", d.Reason)
	if d.MovedTo != nil {
		fmt.Fprintf(w, "  It would go at %s instead: earlier rather than too late.\n", d.MovedTo.Local().Format(time.RFC1123))
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, c := range d.Considered {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", c.Channel, c.Verdict, c.Code, c.Reason)
	}
	_ = t.Flush() // the writer underneath says it at its own end
}

func decideCommand(c *command) *cobra.Command {
	a := &asked{}
	var at string
	var replay int64
	cmd := &cobra.Command{
		Use: "decide PATIENT", Short: "Ask whether a message may go, by which way, and why; nothing is sent",
		Long:    "Ask whether a message may go, by which way, and why; nothing is sent or kept.\nWith --replay ID the decisions of a message are made again from the facts that were kept.",
		Example: "  heed decide 100001 --category marketing\n  heed decide --replay 713202455961600",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if replay != 0 {
				return c.inHouse(cmd.Context(), func(h *house) error { return c.replay(cmd.Context(), h, replay) })
			}
			if len(args) != 1 || a.category == "" {
				return usageError{errors.New("name a patient and a --category, or give --replay ID")}
			}
			ways, err1 := a.ways()
			when, err2 := moment("at", at)
			sendAt, err3 := moment("send-at", a.sendAt)
			expires, err4 := moment("expires-at", a.expires)
			if err := errors.Join(err1, err2, err3, err4); err != nil {
				return usageError{err}
			}
			return c.inHouse(cmd.Context(), func(h *house) error {
				id, err := h.db.PatientID(cmd.Context(), args[0])
				if err != nil && !errors.Is(err, gateway.ErrNotFound) {
					return err
				}
				d, err := h.dispatcher.DryRun(cmd.Context(), dispatch.Ask{
					Patient: id, Category: a.category, Template: a.template, Channels: ways, At: when, SendAt: sendAt, Expires: expires, Urgent: a.urgent,
				})
				if err != nil {
					return inWords(err)
				}
				told, err := h.view().Decision(cmd.Context(), d)
				if err != nil {
					return err
				}
				if err := h.sawPatient(cmd.Context(), "decision.ask", id); err != nil {
					return err
				}
				if err := c.answer(told, func(w io.Writer) { writeDecision(w, told) }); err != nil {
					return err
				}
				if d.Outcome == policy.Suppress || d.Outcome == policy.NeedsStaff {
					return errRefused
				}
				return nil
			})
		},
	}
	a.flags(cmd)
	delete(cmd.Flags().Lookup("category").Annotations, cobra.BashCompOneRequiredFlag)
	cmd.Flags().StringVar(&at, "at", "", "a moment that stands in for the clock, RFC 3339")
	cmd.Flags().Int64Var(&replay, "replay", 0, "a message's id: make its decisions again")
	return cmd
}

// replayed is one kept decision, made again.
type replayed struct {
	ID       string          `json:"id"`
	Decision api.DecisionOut `json:"decision"`
	Same     bool            `json:"same"`
	Erased   bool            `json:"erased,omitempty"` // it cannot be made again
	Again    api.DecisionOut `json:"again"`
	Note     string          `json:"note,omitempty"`
}

// replay makes the kept decisions of a message again: the same facts and policy
// give the same outcome, code and pairs.
func (c *command) replay(ctx context.Context, h *house, message int64) error {
	kept, err := h.db.Decisions(ctx, message, 0, 1000)
	if err != nil {
		return err
	}
	if len(kept) == 0 {
		return errors.New("no decision was kept for this message: nothing was decided yet, or it is no message's id")
	}
	var list []replayed
	differs := false
	for _, record := range kept {
		r, err := h.replayOne(ctx, record)
		if err != nil {
			return err
		}
		differs = differs || !r.Same && !r.Erased
		list = append(list, r)
	}
	if err := h.saw(ctx, "message.read", fmt.Sprintf("message:%d", message)); err != nil {
		return err
	}
	if err := c.answer(list, func(w io.Writer) {
		for _, r := range list {
			fmt.Fprintf(w, "decision %s of %s: ", r.ID, r.Decision.At.Local().Format(time.RFC1123))
			writeDecision(w, r.Decision)
			switch {
			case r.Erased:
			case r.Same:
				fmt.Fprintln(w, "  made again: the same.")
			default:
				fmt.Fprint(w, "  made again, it differs: ")
				writeDecision(w, r.Again)
			}
			if r.Note != "" {
				fmt.Fprintln(w, "  "+r.Note)
			}
		}
	}); err != nil {
		return err
	}
	if differs {
		return errors.New("a decision differs from what was kept")
	}
	return nil
}

func (h *house) replayOne(ctx context.Context, record gateway.DecisionRecord) (replayed, error) {
	told, err := h.view().KeptDecision(ctx, record)
	if err != nil {
		return replayed{}, err
	}
	out := replayed{ID: strconv.FormatInt(record.ID, 10), Decision: told, Again: told, Erased: record.Body == nil}
	if out.Erased {
		out.Note = "The patient was erased: what it was decided on is gone, and it cannot be made again."
		return out, nil
	}
	kept, err := h.dispatcher.Kept(ctx, record)
	if err != nil {
		return replayed{}, err
	}
	p, err := h.dispatcher.PolicyAt(ctx, kept.Decision.PolicyVersion)
	if err != nil {
		return replayed{}, fmt.Errorf("the policy %s of decision %d: %w", kept.Decision.PolicyVersion, record.ID, err)
	}
	again := p.Decide(kept.Snapshot, kept.Question)
	out.Same = policy.Same(kept.Decision, again)
	if out.Again, err = h.view().Decision(ctx, dispatch.Answer{Decision: again, FactsFrom: kept.FactsFrom}); err != nil {
		return replayed{}, err
	}
	if zones := preferences.ZonesFingerprint(); kept.Zones != zones {
		out.Note = "The time-zone database has changed since: hours may be judged differently."
	}
	return out, nil
}
