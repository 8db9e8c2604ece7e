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

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/wording"
	"harmonize.care/heed/templates"
)

func templatesCommand(c *command) *cobra.Command {
	cmd := &cobra.Command{Use: "templates", Short: "The texts, built in and the practice's own: list, show, preview, add, approve, retire"}
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "What goes out now, and what waits for approval", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return c.inHouse(cmd.Context(), func(h *house) error { return c.listTemplates(cmd.Context(), h.wording) })
			},
		},
		showCommand(c), previewCommand(c), addTemplateCommand(c),
		templateStepCommand(c, "approve", "Put a version in force; somebody else than its author does it", (*wording.Service).Approve),
		templateStepCommand(c, "retire", "Take a version out for good; the one before it goes out again", (*wording.Service).Retire),
	)
	return cmd
}

// templateRow is a template as the list shows it.
type templateRow struct {
	Name      string   `json:"name"`
	Version   int      `json:"version"`
	Origin    string   `json:"origin"`
	Status    string   `json:"status"`
	Category  string   `json:"category"`
	Content   string   `json:"content"`
	Variables []string `json:"variables"`
}

func rowOfTemplate(t *templates.Template, state wording.State) templateRow {
	r := templateRow{Name: t.Name, Version: t.Version, Origin: "built_in", Status: string(state), Category: t.Category, Content: t.Content, Variables: []string{}}
	if t.Practice {
		r.Origin = "practice"
	}
	for _, v := range t.Variables {
		name := v.Name
		if !v.Required {
			name += "?"
		}
		r.Variables = append(r.Variables, name)
	}
	return r
}

func (c *command) listTemplates(ctx context.Context, s *wording.Service) error {
	own, err := s.Versions(ctx, "")
	if err != nil {
		return err
	}
	list := []templateRow{}
	set := s.Current()
	for _, name := range set.Names() {
		t, _ := set.Get(name)
		list = append(list, rowOfTemplate(t, wording.InForce))
	}
	for _, v := range own {
		if v.State == wording.Draft || v.State == wording.Unusable {
			list = append(list, rowOfTemplate(&templates.Template{
				Name: v.Draft.Name, Version: v.Version, Category: v.Draft.Category, Content: v.Draft.Content, Variables: v.Draft.Variables, Practice: true,
			}, v.State))
		}
	}
	return c.answer(list, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		for _, r := range list {
			fmt.Fprintf(t, "%s\tversion %d\t%s\t%s\t%s\t%s\n", r.Name, r.Version, r.Origin, r.Status, r.Content, strings.Join(r.Variables, " "))
		}
		_ = t.Flush() // the writer underneath says it at its own end
	})
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
	if len(text) > maxTextFile {
		return "", errors.New("the file is longer than a megabyte, so it is no file of texts")
	}
	return string(text), err
}

var errNoText = errors.New("no such text; `heed templates list` lists them")

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
				return c.refusedText(err)
			}
			return c.inHouse(cmd.Context(), func(h *house) error {
				v, err := h.wording.Add(cmd.Context(), actor(), d)
				if err != nil {
					return c.refusedText(err)
				}
				return c.answer(map[string]any{"name": d.Name, "version": v.Version, "status": wording.Draft}, func(w io.Writer) {
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
					return c.refusedText(err)
				}
				return c.answer(map[string]any{"name": args[0], "version": version, "done": verb}, func(w io.Writer) {
					fmt.Fprintf(w, "%s version %d: done. A running gateway follows within seconds.\n", args[0], version)
				})
			})
		},
	}
}

// refusedText tells what a text broke. What a rule refuses ends with the exit code for it.
func (c *command) refusedText(err error) error {
	var found templates.Findings
	switch {
	case errors.As(err, &found):
		return errors.Join(errRefused, c.answer(map[string]any{"refused": found}, func(w io.Writer) { fmt.Fprintln(w, found) }))
	case errors.Is(err, wording.ErrSamePerson):
		return errors.Join(errRefused, c.answer(map[string]any{"refused": "same_person"}, func(w io.Writer) { fmt.Fprintln(w, err) }))
	case errors.Is(err, gateway.ErrNotFound):
		return errNoText
	case errors.Is(err, gateway.ErrStale):
		return errors.New("this version does not wait for it: `heed templates list` shows where it stands")
	}
	return err
}

func previewCommand(c *command) *cobra.Command {
	var channel, locale, form string
	var discreet bool
	var vars map[string]string
	version := 0
	cmd := &cobra.Command{
		Use: "preview NAME", Short: "A text as it would go out, with its segments", Args: cobra.ExactArgs(1),
		Example: "  heed templates preview appointment_reminder --locale es --var appointment_time=2027-01-07T10:30:00-07:00,location='Denver office'",
		RunE: func(cmd *cobra.Command, args []string) error {
			ch, err := channels.ParseChannel(channel)
			if err != nil {
				return usageError{fmt.Errorf("--channel: %w", err)}
			}
			return c.inHouse(cmd.Context(), func(h *house) error {
				t, err := h.wording.Text(cmd.Context(), args[0], version)
				if err != nil {
					return c.refusedText(err)
				}
				if err := t.Check(vars); err != nil {
					return err
				}
				r := templates.Request{Channel: ch, Discreet: discreet, Locale: locale, Vars: vars, Identity: h.identity, Links: templates.SampleLinks()}
				for _, f := range []templates.Form{templates.SecureLink, templates.CallBack} {
					if form == f.String() {
						r.Form = f
					}
				}
				text, err := t.Render(r)
				if err != nil {
					return err
				}
				return c.answer(text, func(w io.Writer) { writeText(w, ch, text) })
			})
		},
	}
	f := cmd.Flags()
	f.IntVar(&version, "version", 0, "one of the practice's own versions, approved or not; default: the one that goes out")
	f.StringVar(&channel, "channel", "sms", "sms or email")
	f.StringVar(&locale, "locale", "en", "en or es")
	f.StringVar(&form, "content", "full", "full or secure_link")
	f.BoolVar(&discreet, "discreet", false, "never name the practice")
	f.StringToStringVar(&vars, "var", nil, "a variable of the text, NAME=VALUE")
	return cmd
}

func writeText(w io.Writer, ch channels.Channel, text templates.Text) {
	if text.Subject != "" {
		fmt.Fprintf(w, "Subject: %s\n\n", text.Subject)
	}
	fmt.Fprintln(w, text.Text)
	if ch == channels.SMS {
		fmt.Fprintf(w, "\n%d segments, %s\n", text.Segments.Count, text.Segments.Encoding)
	}
}
