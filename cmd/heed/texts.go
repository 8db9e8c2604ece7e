package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/api"
	"harmonize.care/heed/gateway/wording"
	"harmonize.care/heed/templates"
)

func templatesCommand(c *command) *cobra.Command {
	cmd := &cobra.Command{Use: "templates", Short: "The texts, built in and the practice's own: list, show, preview, add, approve, retire"}
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "What goes out now, and what waits for approval", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return c.inHouse(cmd.Context(), func(h *house) error { return c.listTemplates(cmd.Context(), h) })
			},
		},
		showCommand(c), previewCommand(c), addTemplateCommand(c),
		templateStepCommand(c, "approve", "Put a version in force; somebody else than its author does it", (*wording.Service).Approve),
		templateStepCommand(c, "retire", "Take a version out for good; the one before it goes out again", (*wording.Service).Retire),
	)
	return cmd
}

func (c *command) listTemplates(ctx context.Context, h *house) error {
	list, err := h.view().TemplateList(ctx, "")
	if err != nil {
		return err
	}
	return c.answer(list, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		for _, r := range list {
			waits := ""
			if len(r.Waiting) > 0 {
				waits = "to approve: " + strings.Trim(fmt.Sprint(r.Waiting), "[]")
			}
			fmt.Fprintf(t, "%s\tversion %d\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.Version, r.Origin, r.Status, r.Content, variablesOf(h.wording.Current(), r), waits)
		}
		_ = t.Flush() // the writer underneath says it at its own end
	})
}

// variablesOf names the variables of a text, those that may be absent with a mark.
func variablesOf(set *templates.Set, r api.TemplateOut) string {
	t, ok := set.Get(r.Name)
	if !ok {
		return strings.Join(r.Variables, " ")
	}
	var names []string
	for _, v := range t.Variables {
		if v.Required {
			names = append(names, v.Name)
		} else {
			names = append(names, v.Name+"?")
		}
	}
	return strings.Join(names, " ")
}

func showCommand(c *command) *cobra.Command {
	version := 0
	cmd := &cobra.Command{
		Use: "show NAME", Short: "A text as it is written down: a file to start a new version from", Args: cobra.ExactArgs(1),
		Example: "  heed templates show appointment_reminder > reminder.txt",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.inHouse(cmd.Context(), func(h *house) error {
				d, err := draftOf(cmd.Context(), h, args[0], version)
				if err != nil {
					return err
				}
				return c.answer(d, func(w io.Writer) { fmt.Fprint(w, d.File()) })
			})
		},
	}
	cmd.Flags().IntVar(&version, "version", 0, "one of the practice's own versions; default: the one that goes out")
	return cmd
}

// maxTextFile bounds a file of texts: more than any draft may hold.
const maxTextFile = 1 << 20

func readText(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTextFile+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxTextFile {
		return "", usageError{errors.New("FILE is longer than a megabyte, so it is no file of texts")}
	}
	if problem := gateway.TextProblem(string(text), true); problem != "" {
		return "", usageError{errors.New("FILE " + problem)}
	}
	return string(text), nil
}

var errNoText = errors.New("no such text, or none of it in force; `heed templates list` lists them, and which versions wait (--version N shows one)")

// draftOf gives what goes out, or a version of the practice's own.
func draftOf(ctx context.Context, h *house, name string, version int) (templates.Draft, error) {
	list, err := h.wording.Versions(ctx, name)
	if err != nil {
		return templates.Draft{}, err
	}
	for _, v := range list {
		if v.Version == version || version == 0 && v.State == wording.InForce {
			return v.Draft, nil
		}
	}
	if d, ok := h.templates.Draft(name); ok && version == 0 {
		return d, nil
	}
	if _, ok := h.templates.Get(name); ok && version == 0 {
		return templates.Draft{}, errors.New("this is an answer of the gateway's own, which nothing replaces; `heed templates preview` shows it")
	}
	return templates.Draft{}, errNoText
}

func addTemplateCommand(c *command) *cobra.Command {
	return &cobra.Command{
		Use: "add FILE", Short: "Write a new version from a file; it waits for a second person", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := readText(args[0])
			if err != nil {
				return err
			}
			d, err := templates.ReadDraft(file)
			if err != nil {
				return textInWords(err)
			}
			return c.inHouse(cmd.Context(), func(h *house) error {
				v, err := h.wording.Add(cmd.Context(), actor(), d)
				if err != nil {
					return textInWords(err)
				}
				out, err := h.view().TemplateVersion(cmd.Context(), d.Name, v.Version)
				if err != nil {
					return err
				}
				return c.answer(out, func(w io.Writer) {
					fmt.Fprintf(w, "%s version %d waits for a second person: heed templates approve %s %d\n", d.Name, v.Version, d.Name, v.Version)
				})
			})
		},
	}
}

func templateStepCommand(c *command, verb, short string, do func(*wording.Service, context.Context, string, string, int) error) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME VERSION", Short: short, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			version, err := strconv.Atoi(args[1])
			if err != nil || version < 1 {
				return usageError{errors.New("VERSION is a number: `heed templates list` shows it")}
			}
			return c.inHouse(cmd.Context(), func(h *house) error {
				if err := do(h.wording, cmd.Context(), actor(), args[0], version); err != nil {
					return textInWords(err)
				}
				out, err := h.view().TemplateVersion(cmd.Context(), args[0], version)
				if err != nil {
					return err
				}
				return c.answer(out, func(w io.Writer) {
					fmt.Fprintf(w, "%s version %d: %s. A running gateway follows within seconds.\n", args[0], version, strings.ReplaceAll(out.Status, "_", " "))
				})
			})
		},
	}
}

// textInWords says of a refusal what was wrong. What a rule refuses ends with the exit
// code for it.
func textInWords(err error) error {
	var found templates.Findings
	switch {
	case errors.As(err, &found):
		return ruleError{fmt.Errorf("the text breaks these rules; nothing was changed:\n%w", found)}
	case errors.Is(err, wording.ErrSamePerson), errors.Is(err, wording.ErrOlder):
		return ruleError{err}
	case errors.Is(err, gateway.ErrNotFound):
		return errNoText
	case errors.Is(err, gateway.ErrStale):
		return errors.New("this version does not wait for it: `heed templates list` shows where it stands")
	}
	return inWords(err)
}

func previewCommand(c *command) *cobra.Command {
	var in api.PreviewIn
	var vars []string
	cmd := &cobra.Command{
		Use: "preview NAME", Short: "A text as it would go out, with its segments", Args: cobra.ExactArgs(1),
		Example: "  heed templates preview appointment_reminder --locale es --var appointment_time=2027-01-07T10:30:00-07:00 --var location='Denver office'",
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if in.Variables, err = pairs("var", vars); err != nil {
				return err
			}
			return c.inHouse(cmd.Context(), func(h *house) error {
				out, err := h.view().Preview(cmd.Context(), args[0], in)
				if err != nil {
					return textInWords(err)
				}
				return c.answer(out, func(w io.Writer) { writeText(w, out) })
			})
		},
	}
	f := cmd.Flags()
	f.IntVar(&in.Version, "version", 0, "one of the practice's own versions, approved or not; default: the one that goes out")
	f.StringVar(&in.Channel, "channel", "sms", "sms, voice or email")
	f.StringVar(&in.Locale, "locale", "en", "en or es")
	f.StringVar(&in.Content, "content", "full", "full, secure_link, or by voice call_back or voicemail")
	f.BoolVar(&in.Discreet, "discreet", false, "never name the practice")
	f.StringArrayVar(&vars, "var", nil, "a variable of the text, NAME=VALUE; again for each")
	return cmd
}

func writeText(w io.Writer, text api.PreviewOut) {
	if text.Subject != "" {
		fmt.Fprintf(w, "Subject: %s\n\n", text.Subject)
	}
	fmt.Fprintln(w, text.Text)
	if text.Segments > 0 {
		fmt.Fprintf(w, "\n%d segments, %s\n", text.Segments, text.Encoding)
	}
	if text.Warning != "" {
		fmt.Fprintln(w, text.Warning)
	}
}
