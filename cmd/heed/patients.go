package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
)

func patientCommand(c *command) *cobra.Command {
	cmd := &cobra.Command{Use: "patient", Short: "Look at a patient: preferences, ledger, messages; erase"}
	cmd.AddCommand(
		c.onPatient("show ID", "What is on file and in force", c.showPatient),
		c.onPatient("ledger ID", "Everything the patient said, in order", c.showLedger),
		c.onPatient("messages ID", "Everything sent or held back, and why", c.showMessages),
		c.onPatient("hold ID", "Let nothing go out to a patient until the instruction is ended", func(ctx context.Context, h *house, id int64) error {
			return inWords(h.intake.SetConfidential(ctx, actor(), id, intake.Confidential{Hold: true, Source: preferences.FromStaff}))
		}),
		c.onPatient("release ID", "End the confidential communication instruction or hold in force", func(ctx context.Context, h *house, id int64) error {
			return inWords(h.intake.EndConfidential(ctx, actor(), id))
		}),
		eraseCommand(c),
	)
	return cmd
}

func (c *command) onPatient(use, short string, do func(context.Context, *house, int64) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.inHouse(cmd.Context(), func(h *house) error {
				id, err := h.patientID(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return do(cmd.Context(), h, id)
			})
		},
	}
}

func eraseCommand(c *command) *cobra.Command {
	var reason string
	cmd := c.onPatient("erase ID", "Erase a patient's data; stops stay as keyed hashes", func(ctx context.Context, h *house, id int64) error {
		return inWords(h.intake.Erase(ctx, actor(), id, reason))
	})
	cmd.Flags().StringVar(&reason, "reason", "", `"minor" or "request" (required)`)
	_ = cmd.MarkFlagRequired("reason") // it fails only for a flag that is not there
	return cmd
}

// shownAddress is one address with what is known of it.
type shownAddress struct {
	Kind    string   `json:"kind"`
	Value   string   `json:"value"`
	Rank    int      `json:"rank"`
	Consent string   `json:"consent"`
	State   string   `json:"state"`
	Stops   []string `json:"stops,omitempty"`
}

type shownPatient struct {
	ID           string                    `json:"id"`
	Name         string                    `json:"name,omitempty"`
	Standing     string                    `json:"standing"`
	Addresses    []shownAddress            `json:"addresses"`
	Choices      []preferences.Choice      `json:"choices,omitempty"`
	Care         preferences.CareChannels  `json:"care_channels"`
	Confidential *preferences.Confidential `json:"confidential,omitempty"`
	Restrictions []preferences.Restriction `json:"restrictions,omitempty"`
	Version      int64                     `json:"version"`
}

func (c *command) showPatient(ctx context.Context, h *house, id int64) error {
	p, err := h.db.Patient(ctx, id)
	if err != nil {
		return err
	}
	s := p.Snapshot
	out := shownPatient{
		ID: p.Ref, Name: strings.TrimSpace(p.Record.GivenName + " " + p.Record.FamilyName), Standing: s.Standing.String(), Addresses: []shownAddress{},
		Choices: s.Choices, Care: s.Care, Confidential: s.Confidential, Restrictions: s.Restrictions, Version: s.Version,
	}
	for _, a := range s.Addresses {
		row := shownAddress{Kind: a.Kind.String(), Value: p.Text(a.ID), Rank: int(a.Rank), Consent: a.Consent.String(), State: a.State.String()}
		if !a.OnRecord {
			row.State = "not on record"
		}
		for _, program := range a.Stops.List() {
			row.Stops = append(row.Stops, program.String())
		}
		out.Addresses = append(out.Addresses, row)
	}
	return c.answer(out, func(w io.Writer) { out.write(w, p) })
}

func (out shownPatient) write(w io.Writer, p *gateway.Patient) {
	fmt.Fprintf(w, "%s  %s  (%s)\n", out.ID, out.Name, out.Standing)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, a := range out.Addresses {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s", a.Kind, a.Value, a.State, a.Consent)
		if len(a.Stops) > 0 {
			fmt.Fprintf(t, "\tstopped: %s", strings.Join(a.Stops, ", "))
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush() // the writer underneath says it at its own end
	for _, choice := range out.Choices {
		said, on := "opted out of", "everything"
		if choice.In {
			said = "opted in to"
		}
		if choice.Channel != 0 {
			on = choice.Channel.String()
		}
		fmt.Fprintf(w, "  %s %s on %s, %s\n", said, choice.Topic, on, time.UnixMicro(choice.At).Local().Format(time.RFC1123))
	}
	if ways := out.Care.Declined; len(ways) > 0 {
		fmt.Fprintf(w, "  declined for care: %s\n", named(ways))
	}
	if i := out.Confidential; i != nil {
		var ways []string
		for _, pair := range i.Only {
			ways = append(ways, pair.Channel.String()+" to "+p.Text(pair.Address))
		}
		switch {
		case i.Hold:
			fmt.Fprintln(w, "  on hold: nothing goes out until a person has read the note")
		case len(ways) == 0:
			fmt.Fprintln(w, "  confidential communication: letters only")
		default:
			fmt.Fprintf(w, "  confidential communication: only %s\n", strings.Join(ways, ", "))
		}
	}
}

func named(ways []channels.Channel) string {
	var list []string
	for _, ch := range ways {
		list = append(list, ch.String())
	}
	return strings.Join(list, ", ")
}

func (c *command) showLedger(ctx context.Context, h *house, id int64) error {
	type entry struct {
		ID     string            `json:"id"`
		At     time.Time         `json:"at"`
		Kind   string            `json:"kind"`
		Source string            `json:"source,omitempty"`
		Actor  string            `json:"actor,omitempty"`
		Event  preferences.Event `json:"event"`
	}
	list := []entry{}
	for after := int64(0); ; {
		events, err := h.db.Ledger(ctx, id, after, 500)
		if err != nil {
			return err
		}
		for _, e := range events {
			after = e.ID
			list = append(list, entry{fmt.Sprint(e.ID), time.UnixMicro(e.At).UTC(), string(e.Kind), string(e.Source), e.Actor, e})
		}
		if len(events) < 500 {
			break
		}
	}
	return c.answer(list, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		for _, e := range list {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", e.At.Local().Format(time.RFC3339), e.Kind, e.Source, e.Actor)
		}
		_ = t.Flush() // the writer underneath says it at its own end
	})
}

func (c *command) showMessages(ctx context.Context, h *house, id int64) error {
	type row struct {
		ID       string    `json:"id"`
		Category string    `json:"category"`
		Status   string    `json:"status"`
		Code     string    `json:"code,omitempty"`
		Due      time.Time `json:"due_at"`
		Tries    []string  `json:"tries,omitempty"`
	}
	found, err := h.db.Messages(ctx, gateway.MessageFilter{Patient: id, Newest: true, Limit: 100})
	if err != nil {
		return err
	}
	list := []row{}
	for _, m := range found {
		r := row{ID: fmt.Sprint(m.ID), Category: m.Category, Status: m.Status.Name(m.Due, h.now()), Code: m.Code, Due: m.Due.UTC()}
		if r.Category == "" {
			r.Category = m.Template
		}
		for _, try := range m.Tries {
			r.Tries = append(r.Tries, try.Pair.Channel.String()+" "+try.Status.String())
		}
		list = append(list, r)
	}
	return c.answer(list, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		for _, r := range list {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Due.Local().Format(time.RFC3339), r.Category, r.Status, r.Code, strings.Join(r.Tries, ", "))
		}
		_ = t.Flush() // the writer underneath says it at its own end
	})
}

func tasksCommand(c *command) *cobra.Command {
	cmd := &cobra.Command{Use: "tasks", Short: "The staff's worklist"}
	var done bool
	var kind string
	list := &cobra.Command{
		Use: "list", Short: "Tasks that wait for a person, oldest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.inHouse(cmd.Context(), func(h *house) error {
				return c.listTasks(cmd.Context(), h, gateway.TaskFilter{Done: done, Kind: gateway.TaskKind(kind), Limit: 500})
			})
		},
	}
	list.Flags().BoolVar(&done, "done", false, "those that are done")
	list.Flags().StringVar(&kind, "kind", "", "of one kind")
	var outcome string
	var id int64
	close := &cobra.Command{
		Use: "done ID", Short: "Close a task, saying what came of it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := fmt.Sscan(args[0], &id); err != nil || outcome == "" {
				return usageError{errors.New("give the task's id, and --outcome with what came of it")}
			}
			return c.inHouse(cmd.Context(), func(h *house) error {
				_, err := h.db.Commit(cmd.Context(), gateway.Change{
					At: h.now(), Actor: actor(), Done: []gateway.TaskDone{{ID: id, Outcome: outcome}},
					Audit: []gateway.Audit{{Verb: "task.done", Object: "task:" + args[0]}},
				})
				if errors.Is(err, gateway.ErrStale) {
					return errors.New("no open task has this id")
				}
				return err
			})
		},
	}
	close.Flags().StringVar(&outcome, "outcome", "", "what came of it (required)")
	cmd.AddCommand(list, close)
	return cmd
}

func (c *command) listTasks(ctx context.Context, h *house, f gateway.TaskFilter) error {
	type row struct {
		ID      string    `json:"id"`
		Kind    string    `json:"kind"`
		Patient string    `json:"patient,omitempty"`
		Due     time.Time `json:"due_at"`
		Title   string    `json:"title"`
		Reasons []string  `json:"reasons,omitempty"`
		Quote   string    `json:"quote,omitempty"`
	}
	found, err := h.db.Tasks(ctx, f)
	if err != nil {
		return err
	}
	list := []row{}
	for _, t := range found {
		r := row{ID: fmt.Sprint(t.ID), Kind: string(t.Kind), Due: t.Due.UTC(), Title: t.Detail.Title, Reasons: t.Detail.Reasons, Quote: t.Detail.Quote}
		if t.Patient != 0 {
			p, err := h.db.Patient(ctx, t.Patient)
			if err != nil {
				return err
			}
			r.Patient = p.Ref
		}
		list = append(list, r)
	}
	return c.answer(list, func(w io.Writer) {
		for _, r := range list {
			fmt.Fprintf(w, "%s  %s  due %s  patient %s\n  %s\n", r.ID, r.Kind, r.Due.Local().Format(time.RFC1123), r.Patient, r.Title)
			for _, reason := range r.Reasons {
				fmt.Fprintf(w, "  - %s\n", reason)
			}
			if r.Quote != "" {
				fmt.Fprintf(w, "  they wrote: %q\n", r.Quote)
			}
		}
		if len(list) == 0 {
			fmt.Fprintln(w, "Nothing waits.")
		}
	})
}
