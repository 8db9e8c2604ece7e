package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/api"
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
			err := h.intake.SetConfidential(ctx, actor(), id, intake.Confidential{Hold: true, Source: preferences.FromStaff})
			return c.did(err, "on hold", "On hold: nothing goes out until `heed patient release`.")
		}),
		c.onPatient("release ID", "End the confidential communication instruction or hold in force", func(ctx context.Context, h *house, id int64) error {
			return c.did(h.intake.EndConfidential(ctx, actor(), id), "released", "No confidential communication instruction and no hold is in force.")
		}),
		eraseCommand(c),
	)
	return cmd
}

// did tells what was done, or why it was not.
func (c *command) did(err error, result, words string) error {
	if err != nil {
		return inWords(err)
	}
	return c.answer(map[string]string{"result": result}, func(w io.Writer) { fmt.Fprintln(w, words) })
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
		return c.did(h.intake.Erase(ctx, actor(), id, reason), "erased", "Erased. Stops stay, as keyed hashes.")
	})
	cmd.Flags().StringVar(&reason, "reason", "", `"minor" or "request" (required)`)
	_ = cmd.MarkFlagRequired("reason") // it fails only for a flag that is not there
	return cmd
}

// shownPatient is a record and what is in force, as the API tells both.
type shownPatient struct {
	api.PatientOut
	Preferences api.PreferencesOut `json:"preferences"`
}

func (c *command) showPatient(ctx context.Context, h *house, id int64) error {
	var out shownPatient
	var err error
	if out.PatientOut, err = h.view().Patient(ctx, id); err != nil {
		return err
	}
	if out.Preferences, err = h.view().Preferences(ctx, id); err != nil {
		return err
	}
	if err := h.sawPatient(ctx, "patient.read", id); err != nil {
		return err
	}
	return c.answer(out, out.write)
}

func (out shownPatient) write(w io.Writer) {
	fmt.Fprintf(w, "%s  %s  (%s)\n", out.ID, strings.TrimSpace(out.GivenName+" "+out.FamilyName), out.Standing)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, a := range out.Addresses {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", a.Kind, a.Value, a.State, a.Consent)
	}
	for _, s := range out.Stops {
		fmt.Fprintf(t, "  stopped\t%s\t%s\n", s.Number, s.Program)
	}
	_ = t.Flush() // the writer underneath says it at its own end
	p := out.Preferences
	for _, choice := range p.Choices {
		said := "opted out of"
		if choice.Choice == "opt_in" {
			said = "opted in to"
		}
		fmt.Fprintf(w, "  %s %s on %s, %s\n", said, choice.Topic, choice.Channel, choice.SaidAt.Local().Format(time.RFC1123))
	}
	if ways := p.CareChannels.Declined; len(ways) > 0 {
		fmt.Fprintf(w, "  declined for care: %s\n", strings.Join(ways, ", "))
	}
	if i := p.Confidential; i != nil {
		var ways []string
		for _, way := range i.Only {
			ways = append(ways, way.Channel+" to "+way.Address)
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

func (c *command) showLedger(ctx context.Context, h *house, id int64) error {
	list, err := h.view().Ledger(ctx, id, 0, maxShown)
	if err != nil {
		return err
	}
	if err := h.sawPatient(ctx, "ledger.read", id); err != nil {
		return err
	}
	return c.answer(list, func(w io.Writer) {
		for _, e := range list {
			fmt.Fprintf(w, "%s  %s", e.At.Local().Format(time.RFC3339), e.Said)
			if e.Source != "" || e.Actor != "" {
				fmt.Fprintf(w, "  (%s)", strings.TrimSpace(e.Source+" "+e.Actor))
			}
			fmt.Fprintln(w)
			if e.Event.Text != "" {
				fmt.Fprintf(w, "  %q\n", e.Event.Text)
			}
			for _, name := range slices.Sorted(maps.Keys(e.Evidence)) {
				if e.Evidence[name] != "" {
					fmt.Fprintf(w, "  %s: %q\n", name, e.Evidence[name])
				}
			}
		}
	})
}

// maxShown is how much one command shows.
const maxShown = 10_000

func (c *command) showMessages(ctx context.Context, h *house, id int64) error {
	list, err := h.view().Messages(ctx, gateway.MessageFilter{Patient: id, Newest: true, Limit: 100})
	if err != nil {
		return err
	}
	if err := h.sawPatient(ctx, "messages.read", id); err != nil {
		return err
	}
	return c.answer(list, func(w io.Writer) {
		for _, m := range list {
			name := m.Category
			if name == "" {
				name = m.Template // an answer
			}
			fmt.Fprintf(w, "%s  %s  %s  %s", m.ID, m.DueAt.Local().Format(time.RFC3339), name, m.Status)
			if m.Code != "" {
				fmt.Fprintf(w, " (%s)", m.Code)
			}
			for _, try := range m.Attempts {
				fmt.Fprintf(w, ", %s %s", try.Channel, try.Status)
			}
			fmt.Fprintln(w)
			if m.Decision != nil {
				fmt.Fprint(w, "  decided: ")
				writeDecision(w, *m.Decision)
			}
		}
		if len(list) == 0 {
			fmt.Fprintln(w, "Nothing was sent or held back.")
		}
	})
}

func tasksCommand(c *command) *cobra.Command {
	cmd := &cobra.Command{Use: "tasks", Short: "The staff's worklist"}
	var done bool
	var kind string
	list := &cobra.Command{
		Use: "list", Short: "Tasks that wait for a person: a crisis first, then what is due first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			kind, err := gateway.ParseTaskKind(kind)
			if err != nil {
				return usageError{fmt.Errorf("--%w", err)}
			}
			return c.inHouse(cmd.Context(), func(h *house) error {
				return c.listTasks(cmd.Context(), h, gateway.TaskFilter{Done: done, Kind: kind, Limit: 500})
			})
		},
	}
	list.Flags().BoolVar(&done, "done", false, "those that are done")
	list.Flags().StringVar(&kind, "kind", "", "of one kind")
	var outcome string
	close := &cobra.Command{
		Use: "done ID", Short: "Close a task, saying what came of it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || outcome == "" {
				return usageError{errors.New("give the task's id, and --outcome with what came of it")}
			}
			return c.inHouse(cmd.Context(), func(h *house) error {
				_, err := h.db.Commit(cmd.Context(), gateway.Change{
					At: h.now(), Actor: actor(), Done: []gateway.TaskDone{{ID: id, Outcome: outcome}},
					Audit: []gateway.Audit{{Verb: "task.done", Object: "task:" + args[0]}},
				})
				if errors.Is(err, gateway.ErrStale) {
					return errors.New("no open task has this id; `heed tasks list --done` shows what is done")
				}
				return c.did(err, "done", "Done.")
			})
		},
	}
	close.Flags().StringVar(&outcome, "outcome", "", "what came of it (required)")
	_ = close.MarkFlagRequired("outcome") // it fails only for a flag that is not there
	cmd.AddCommand(list, close)
	return cmd
}

func (c *command) listTasks(ctx context.Context, h *house, f gateway.TaskFilter) error {
	list, err := h.view().Tasks(ctx, f)
	if err != nil {
		return err
	}
	if err := h.saw(ctx, "tasks.read", "tasks"); err != nil {
		return err
	}
	return c.answer(list, func(w io.Writer) {
		for _, t := range list {
			writeTask(w, t)
		}
		switch {
		case len(list) == 0 && f.Done:
			fmt.Fprintln(w, "Nothing is done yet.")
		case len(list) == 0:
			fmt.Fprintln(w, "Nothing waits.")
		}
	})
}

func writeTask(w io.Writer, t api.TaskOut) {
	fmt.Fprintf(w, "%s  %s  due %s", t.ID, t.Kind, t.DueAt.Local().Format(time.RFC1123))
	if t.Overdue {
		fmt.Fprint(w, "  OVERDUE")
	}
	for _, part := range []struct{ name, value string }{{"patient", t.Patient}, {"call", t.Number}, {"message", t.Message}} {
		if part.value != "" {
			fmt.Fprintf(w, "  %s %s", part.name, part.value)
		}
	}
	fmt.Fprintf(w, "\n  %s\n", t.Title)
	for _, reason := range t.Reasons {
		fmt.Fprintf(w, "  - %s\n", reason)
	}
	if t.Quote != "" {
		fmt.Fprintf(w, "  they wrote: %q\n", t.Quote)
	}
	if t.DoneAt != nil {
		fmt.Fprintf(w, "  done %s: %q\n", t.DoneAt.Local().Format(time.RFC1123), t.Outcome)
	}
}
