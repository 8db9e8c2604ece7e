package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
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
	cmd := &cobra.Command{Use: "patient", Short: "Look at a patient: preferences, ledger, messages, disclosures; export, erase"}
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
		c.onPatient("disclosures ID", "Accounting of disclosures: what left the gateway, to whom and by whom, in six years", c.showDisclosures),
		exportCommand(c), eraseCommand(c),
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
