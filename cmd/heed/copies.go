package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/api"
)

// showDisclosures tells all of them, however many: an accounting has no gaps.
func (c *command) showDisclosures(ctx context.Context, h *house, id int64) error {
	if err := h.sawPatient(ctx, "disclosures.read", id); err != nil {
		return err
	}
	list := []api.DisclosureOut{}
	for after := int64(0); ; {
		page, err := h.view().Disclosures(ctx, id, after, maxShown)
		if err != nil {
			return err
		}
		list = append(list, page...)
		if len(page) < maxShown {
			break
		}
		if _, err := fmt.Sscan(page[len(page)-1].ID, &after); err != nil {
			return err
		}
	}
	return c.answer(list, func(w io.Writer) {
		for _, d := range list {
			fmt.Fprintf(w, "%s  %s\n", d.At.Local().Format(time.RFC3339), d.Said)
		}
		if len(list) == 0 {
			fmt.Fprintln(w, "Nothing left the gateway in the last six years.")
		}
	})
}

func exportCommand(c *command) *cobra.Command {
	var out, format string
	cmd := &cobra.Command{
		Use: "export ID", Short: "Everything that is kept of a patient, as one document", Args: cobra.ExactArgs(1),
		Long: "Everything that is kept of a patient, as one document: the copy that a person may ask for (45 CFR 164.524).\n" +
			"It goes to standard output, or with --out into a new file that only you can read.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "json" && format != "csv" {
				return usageError{errors.New("--format: say json or csv")}
			}
			return c.inHouse(cmd.Context(), func(h *house) error {
				id, err := h.patientID(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				e, err := h.view().Export(cmd.Context(), id, args[0])
				if err != nil {
					return err
				}
				write := func(w io.Writer) error {
					if err := h.sawPatient(cmd.Context(), gateway.CopyTaken, id); err != nil {
						return err
					}
					if format == "csv" {
						return e.WriteCSV(cmd.Context(), w)
					}
					return e.Write(cmd.Context(), w)
				}
				if out == "" {
					return write(c.out)
				}
				return c.did(intoNewFile(out, write), "exported", "Exported. Keep the file as you keep the record, and delete it when the patient has it.")
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", "json", "json, or csv: a row for each thing")
	cmd.Flags().StringVar(&out, "out", "", "a new file to write to; without it, standard output")
	return cmd
}

// intoNewFile writes a file that was not there, readable by its owner alone. One that
// cannot be written as a whole is taken away again.
func intoNewFile(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("--out: there is a file of this name already; name another one")
	}
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}
