package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/templates"
)

func templatesCommand(c *command) *cobra.Command {
	cmd := &cobra.Command{Use: "templates", Short: "The texts: list, preview"}
	cmd.AddCommand(&cobra.Command{
		Use: "list", Short: "Texts, their content and their variables", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return c.listTemplates(templates.Builtin()) },
	}, previewCommand(c))
	return cmd
}

func (c *command) listTemplates(set *templates.Set) error {
	type row struct {
		Name      string   `json:"name"`
		Version   int      `json:"version"`
		Content   string   `json:"content"`
		Variables []string `json:"variables"`
	}
	list := []row{}
	for _, name := range set.Names() {
		t, _ := set.Get(name)
		r := row{Name: t.Name, Version: t.Version, Content: t.Content, Variables: []string{}}
		for _, v := range t.Variables {
			name := v.Name
			if !v.Required {
				name += "?"
			}
			r.Variables = append(r.Variables, name)
		}
		list = append(list, r)
	}
	return c.answer(list, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		for _, r := range list {
			fmt.Fprintf(t, "%s\tversion %d\t%s\t%s\n", r.Name, r.Version, r.Content, strings.Join(r.Variables, " "))
		}
		_ = t.Flush() // the writer underneath says it at its own end
	})
}

func previewCommand(c *command) *cobra.Command {
	var channel, locale, form string
	var discreet bool
	var vars map[string]string
	cmd := &cobra.Command{
		Use: "preview NAME", Short: "A text as it would go out, with its segments", Args: cobra.ExactArgs(1),
		Example: "  heed templates preview appointment_reminder --locale es --var appointment_time=2027-01-07T10:30:00-07:00,location='Denver office'",
		RunE: func(_ *cobra.Command, args []string) error {
			ch, err := channels.ParseChannel(channel)
			if err != nil {
				return usageError{fmt.Errorf("--channel: %w", err)}
			}
			t, ok := templates.Builtin().Get(args[0])
			if !ok {
				return errors.New("no text has this name; `heed templates list` lists them")
			}
			if err := t.Check(vars); err != nil {
				return err
			}
			cfg, err := c.config()
			if err != nil {
				return err
			}
			r := templates.Request{Channel: ch, Discreet: discreet, Locale: locale, Vars: vars, Identity: identityOf(cfg), Links: templates.SampleLinks()}
			if r.Form, ok = templates.ParseForm(form); !ok {
				return usageError{errors.New("--content: use full, secure_link, call_back or voicemail")}
			}
			text, err := t.Render(r)
			if err != nil {
				return err
			}
			return c.answer(text, func(w io.Writer) { writeText(w, ch, text) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&channel, "channel", "sms", "sms, voice or email")
	f.StringVar(&locale, "locale", "en", "en or es")
	f.StringVar(&form, "content", "full", "full, secure_link, or by voice call_back or voicemail")
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
