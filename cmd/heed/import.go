package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	// progressbar: how far a long file is, on a terminal.
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"harmonize.care/heed/gateway/imports"
)

func importCommand(c *command) *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "Take a practice's export in: it only tightens, and a second run changes nothing"}
	cmd.AddCommand(
		importOne(c, "patients FILE", "Contact records, flags and confidential notes", imports.Patients, imports.PatientFields()),
		importOne(c, "appointments FILE", "Appointments: reminders at the policy's offsets, moved and cancelled with them", imports.Appointments, imports.AppointmentFields()),
		importOne(c, "stops FILE", "Numbers that are not to be texted or called", imports.Stops, imports.StopFields()),
		importOne(c, "choices FILE", "Opt-ins and opt-outs of patients on file", imports.Choices, imports.ChoiceFields()),
	)
	return cmd
}

type importFunc func(context.Context, io.Reader, imports.Options) (imports.Report, error)

func importOne(c *command, use, short string, run importFunc, fields []string) *cobra.Command {
	var mapped []string
	var all bool
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		Long: short + ".\nUsual column names are recognised. --map names others: --map 'Pt No=id'.\nFields: " + strings.Join(fields, ", ") + ".",
		RunE: func(cmd *cobra.Command, args []string) error {
			columns, err := pairs("map", mapped)
			if err != nil {
				return err
			}
			for _, to := range columns {
				if !slices.Contains(fields, to) {
					return usageError{fmt.Errorf("--map: after = stands one of %s", strings.Join(fields, ", "))}
				}
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			return c.inNewHouse(cmd.Context(), func(h *house) error {
				o := h.importOptions(columns)
				bar := c.progress(&o)
				report, err := run(cmd.Context(), f, o)
				bar()
				if err != nil && report.Lines == 0 {
					return err // nothing was done: there is nothing to report
				}
				if told := c.answer(report, func(w io.Writer) { writeReport(w, report, all) }); err == nil {
					err = told
				}
				return err
			})
		},
	}
	cmd.Flags().StringArrayVar(&mapped, "map", nil, "a column of the file and the field it holds, COLUMN=FIELD; again for each")
	cmd.Flags().BoolVar(&all, "all", false, "list every row, also those without a note")
	return cmd
}

// progress shows a bar on a terminal, and nothing elsewhere. It gives what ends it.
func (c *command) progress(o *imports.Options) func() {
	file, ok := c.err.(*os.File)
	if !ok || c.asJSON {
		return func() {}
	}
	if info, err := file.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func() {}
	}
	var bar *progressbar.ProgressBar
	o.Progress = func(done, total int64) {
		if bar == nil {
			bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(file), progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish())
		}
		_ = bar.Set64(done) // a bar that cannot be drawn stops nothing
	}
	return func() {
		if bar != nil {
			_ = bar.Finish() // a bar that cannot be drawn stops nothing
		}
	}
}

func (h *house) importOptions(columns map[string]string) imports.Options {
	return imports.Options{
		Intake: h.intake, Dispatcher: h.dispatcher, Actor: "import", ParsePhone: parsePhone, ParseMailbox: parseMailbox,
		Columns: columns, Zone: h.practiceZone(),
	}
}

// counted writes how many there are of something.
func counted(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// writeReport tells every row that has a note, and the sums. Rows are told by their
// line in the file: never by what stands there.
func writeReport(w io.Writer, r imports.Report, all bool) {
	for _, row := range r.Rows {
		if len(row.Notes) == 0 && all {
			fmt.Fprintf(w, "line %d: %s\n", row.Line, row.Outcome)
		}
		for _, note := range row.Notes {
			where := note.Field
			if where != "" {
				where += ": "
			}
			fmt.Fprintf(w, "line %d: %s. %s%s\n", row.Line, row.Outcome, where, note.Why)
		}
	}
	var sums []string
	for _, outcome := range imports.Outcomes {
		if n := r.Counts[outcome]; n > 0 {
			sums = append(sums, fmt.Sprintf("%d %s", n, outcome))
		}
	}
	if len(sums) > 0 {
		fmt.Fprintf(w, "%s: %s.\n", counted(r.Lines, "line"), strings.Join(sums, ", "))
	} else {
		fmt.Fprintln(w, "No line stands below the header.")
	}
	if r.Minors > 0 {
		fmt.Fprintf(w, "Refused and not stored, as minors: %d.\n", r.Minors)
	}
	if r.Past > 0 {
		fmt.Fprintf(w, "Appointments that have passed: %d.\n", r.Past)
	}
	if len(r.Ignored) > 0 {
		fmt.Fprintf(w, "Columns not used: %s.\n", strings.Join(r.Ignored, ", "))
	}
}
