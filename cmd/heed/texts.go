package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/api"
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
	var in api.PreviewIn
	var vars []string
	cmd := &cobra.Command{
		Use: "preview NAME", Short: "A text as it would go out, with its segments", Args: cobra.ExactArgs(1),
		Example: "  heed templates preview appointment_reminder --locale es --var appointment_time=2027-01-07T10:30:00-07:00 --var location='Denver office'",
		RunE: func(_ *cobra.Command, args []string) error {
			var err error
			if in.Variables, err = pairs("var", vars); err != nil {
				return err
			}
			cfg, err := c.config()
			if err != nil {
				return err
			}
			out, err := api.Preview(templates.Builtin(), identityOf(cfg), args[0], in)
			if errors.Is(err, gateway.ErrNotFound) {
				return errors.New("no text has this name; `heed templates list` lists them")
			}
			if err != nil {
				return inWords(err)
			}
			return c.answer(out, func(w io.Writer) { writeText(w, out) })
		},
	}
	f := cmd.Flags()
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
