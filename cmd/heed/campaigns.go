package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	// progressbar: a bar that knows a terminal when it sees one.
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/api"
	"harmonize.care/heed/gateway/campaign"
)

func campaignCommand(c *command) *cobra.Command {
	cmd := &cobra.Command{Use: "campaign", Short: "One text for many: create, audience, screening, approve, start, watch"}
	cmd.AddCommand(
		campaignCreate(c), campaignList(c), campaignShow(c), campaignAudience(c), campaignClear(c), campaignScreening(c), campaignPreview(c), campaignTest(c),
		campaignApprove(c),
		campaignMove(c, "start", "Let an approved campaign go; a running gateway sends", func(s *campaign.Service) mover { return s.Start }),
		campaignMove(c, "pause", "Hold a running campaign", func(s *campaign.Service) mover { return s.Pause }),
		campaignMove(c, "resume", "Let a paused campaign go on", func(s *campaign.Service) mover { return s.Resume }),
		campaignMove(c, "cancel", "End a campaign for good", func(s *campaign.Service) mover { return s.Cancel }),
		campaignWatch(c),
	)
	return cmd
}

type mover = func(context.Context, campaign.Call, int64) (gateway.Kept, error)

// atWork is who works at the command line, as campaigns know people.
func atWork() campaign.Call {
	return campaign.Call{By: gateway.Person{ID: actor(), Name: actor()}}
}

// noCampaign says in words that an id is none.
func noCampaign(err error) error {
	var wrong gateway.Invalid
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		return errors.New("no campaign has this id; `heed campaign list` shows them")
	case errors.As(err, &wrong):
		return usageError{err}
	}
	return err
}

func campaignCreate(c *command) *cobra.Command {
	a := &asked{}
	var vars []string
	var b campaign.Brief
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a draft", Args: cobra.ExactArgs(1),
		Example: "  heed campaign create 'Autumn newsletter' --category newsletter --var title='Autumn groups' --var text='New groups begin in October.'",
		RunE: func(cmd *cobra.Command, args []string) error {
			ways, err1 := a.ways()
			variables, err2 := pairs("var", vars)
			if err := errors.Join(err1, err2); err != nil {
				return usageError{err}
			}
			b.Name, b.Category, b.Template, b.Channels, b.Variables = args[0], a.category, a.template, ways, variables
			if b.Template == "" {
				b.Template = b.Category
			}
			return c.inHouse(cmd.Context(), func(h *house) error {
				made, err := h.campaigns.Draft(atWork().By, b)
				if err == nil {
					_, err = h.campaigns.Create(cmd.Context(), atWork(), made)
				}
				if err != nil {
					return noCampaign(err)
				}
				return c.answer(api.CampaignOf(&made), func(w io.Writer) { fmt.Fprintln(w, made.ID) })
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&a.category, "category", "", "what kind of message it is; not an essential one")
	f.StringVar(&a.template, "template", "", "default: the one with the category's name")
	f.StringVar(&a.channels, "channels", "", "sms, voice or email, separated by commas; default: the category's")
	f.StringArrayVar(&vars, "var", nil, "a variable of the text, NAME=VALUE; again for each")
	f.IntVar(&b.Rate, "rate", 0, "messages a second from each sender, over all gateways; 0: no bound")
	_ = cmd.MarkFlagRequired("category") // the flag is there
	return cmd
}

func campaignList(c *command) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Campaigns, newest last", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.inHouse(cmd.Context(), func(h *house) error {
				list := []api.CampaignOut{}
				for after := int64(0); ; {
					found, err := h.db.Campaigns(cmd.Context(), after, 500)
					if err != nil {
						return err
					}
					for i := range found {
						list, after = append(list, api.CampaignOf(&found[i])), found[i].ID
					}
					if len(found) < 500 {
						break
					}
				}
				return c.answer(list, func(w io.Writer) {
					t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
					for _, row := range list {
						fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", row.ID, row.Status, row.Category, row.Name)
					}
					_ = t.Flush() // the writer underneath says it at its own end
				})
			})
		},
	}
}

// onCampaign makes a command that works on the campaign named by its first argument.
func onCampaign(c *command, use, short string, args int, work func(context.Context, *house, *gateway.Campaign, []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(args),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := idOf(args[0])
			if err != nil {
				return err
			}
			return c.inHouse(cmd.Context(), func(h *house) error {
				found, err := h.db.Campaign(cmd.Context(), id)
				if err == nil {
					err = work(cmd.Context(), h, found, args)
				}
				return noCampaign(err)
			})
		},
	}
}

func campaignShow(c *command) *cobra.Command {
	return onCampaign(c, "show ID", "A campaign, its progress and its report", 1, func(ctx context.Context, h *house, found *gateway.Campaign, _ []string) error {
		return c.tellCampaign(ctx, h, found.ID)
	})
}

func (c *command) tellCampaign(ctx context.Context, h *house, id int64) error {
	found, err := h.db.Campaign(ctx, id)
	if err != nil {
		return err
	}
	r, err := h.campaigns.Report(ctx, found)
	if err != nil {
		return err
	}
	out, counts := api.CampaignOf(found), api.CountsOf(r)
	out.Progress = &counts
	return c.answer(out, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s (%s, %s)\n", out.Name, out.Status, out.Category, out.Template)
		if out.ApprovedBy != "" {
			fmt.Fprintf(w, "made by %s, approved by %s\n", out.CreatedBy, out.ApprovedBy)
		}
		if out.HoldUntil != nil && out.HoldUntil.After(h.now()) {
			fmt.Fprintf(w, "The provider is in trouble, or asked to wait: it goes on at %s.\n", out.HoldUntil.Local().Format(time.TimeOnly))
		}
		writeCounts(w, counts)
	})
}

func writeCounts(w io.Writer, counts api.CampaignCounts) {
	fmt.Fprintf(w, "%d of %d have an outcome.\n", counts.Done, counts.Total)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range counts.Report {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", row.Count, row.Outcome, row.Channel, row.Code, row.Reason)
	}
	_ = t.Flush() // the writer underneath says it at its own end
}

func campaignMove(c *command, verb, short string, of func(*campaign.Service) mover) *cobra.Command {
	return onCampaign(c, verb+" ID", short, 1, func(ctx context.Context, h *house, found *gateway.Campaign, _ []string) error {
		if _, err := of(h.campaigns)(ctx, atWork(), found.ID); err != nil {
			return err
		}
		if err := c.tellCampaign(ctx, h, found.ID); err != nil || c.asJSON || verb != "start" && verb != "resume" {
			return err
		}
		running, err := h.gatewayRuns(ctx)
		if err == nil && !running {
			fmt.Fprintln(c.out, "No gateway seems to be running on this database: it waits until `heed serve` or `heed demo` is.")
		}
		return err
	})
}

func campaignApprove(c *command) *cobra.Command {
	var revision int64
	cmd := campaignMove(c, "approve", "Approve text and audience, as a second person", func(s *campaign.Service) mover {
		return func(ctx context.Context, call campaign.Call, id int64) (gateway.Kept, error) {
			return s.Approve(ctx, call, id, revision)
		}
	})
	cmd.Flags().Int64Var(&revision, "revision", 0, "the revision that was looked at (heed campaign show): another one is not approved")
	return cmd
}

func campaignAudience(c *command) *cobra.Command {
	var from int64
	cmd := onCampaign(c, "audience ID FILE", "Add a list of patients: CSV with a column `patient`, or NDJSON (.ndjson, .jsonl)", 2,
		func(ctx context.Context, h *house, found *gateway.Campaign, args []string) error {
			if from < 1 {
				return usageError{errors.New("--from: the position of the first line, 1 or more")}
			}
			file, err := os.Open(args[1])
			if err != nil {
				return usageError{err}
			}
			defer file.Close()
			format := campaign.CSV
			if ext := strings.ToLower(filepath.Ext(args[1])); ext == ".ndjson" || ext == ".jsonl" {
				format = campaign.NDJSON
			}
			list, finish := c.reading(file)
			added, err := h.campaigns.Upload(ctx, atWork(), found.ID, format, from, list)
			finish()
			if err != nil {
				return err
			}
			out := api.AudienceOf(added)
			return c.answer(out, func(w io.Writer) {
				fmt.Fprintf(w, "%d lines: %d added, %d of them unknown ids; %d were there already, %d stand twice.\n", out.Rows, out.Added, out.Unknown, out.Already, out.Repeated)
			})
		})
	cmd.Flags().Int64Var(&from, "from", 1, "the position of the first line")
	return cmd
}

// reading shows a bar while a file is read, on a terminal.
func (c *command) reading(file *os.File) (io.Reader, func()) {
	info, err := file.Stat()
	out, ok := c.terminal()
	if err != nil || !ok {
		return file, func() {}
	}
	bar := progressbar.NewOptions64(info.Size(), progressbar.OptionSetWriter(out), progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish())
	read := progressbar.NewReader(file, bar)
	return &read, func() { _ = bar.Finish() } // a bar that cannot be drawn stops nothing
}

// terminal is where a bar can be drawn, if anywhere.
func (c *command) terminal() (*os.File, bool) {
	file, ok := c.err.(*os.File)
	if !ok || c.asJSON {
		return nil, false
	}
	info, err := file.Stat()
	return file, err == nil && info.Mode()&os.ModeCharDevice != 0
}

func campaignClear(c *command) *cobra.Command {
	return onCampaign(c, "clear ID", "Empty the audience of a campaign that was not started", 1, func(ctx context.Context, h *house, found *gateway.Campaign, _ []string) error {
		if err := h.campaigns.Clear(ctx, atWork(), found.ID); err != nil {
			return err
		}
		return c.tellCampaign(ctx, h, found.ID)
	})
}

func campaignScreening(c *command) *cobra.Command {
	return onCampaign(c, "screening ID", "Who would get it now: counts by rule and channel; nothing is sent", 1, func(ctx context.Context, h *house, found *gateway.Campaign, _ []string) error {
		r, err := h.campaigns.Screen(ctx, found)
		if err != nil {
			return err
		}
		counts := api.CountsOf(r)
		return c.answer(counts, func(w io.Writer) {
			t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
			for _, row := range counts.Report {
				fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", row.Count, row.Outcome, row.Channel, row.Code, row.Reason)
			}
			_ = t.Flush() // the writer underneath says it at its own end
			fmt.Fprintf(w, "%d people in all, as of now; each send is decided again.\n", counts.Total)
		})
	})
}

func campaignPreview(c *command) *cobra.Command {
	var in api.PreviewIn
	cmd := onCampaign(c, "preview ID", "The text as it would go out", 1, func(ctx context.Context, h *house, found *gateway.Campaign, _ []string) error {
		in.Variables = found.Variables
		out, err := h.view().Preview(ctx, found.Template, in)
		if err != nil {
			return textInWords(err)
		}
		return c.answer(out, func(w io.Writer) { writeText(w, out) })
	})
	f := cmd.Flags()
	f.StringVar(&in.Channel, "channel", "email", "sms, voice or email")
	f.StringVar(&in.Locale, "locale", "en", "en or es")
	f.StringVar(&in.Content, "content", "full", "full, secure_link, or by voice call_back or voicemail")
	f.BoolVar(&in.Discreet, "discreet", false, "never name the practice")
	return cmd
}

func campaignTest(c *command) *cobra.Command {
	var locale string
	cmd := onCampaign(c, "test ID", "Send the text to your own addresses, as campaigns.testers has them", 1, func(ctx context.Context, h *house, found *gateway.Campaign, _ []string) error {
		n, _, err := h.campaigns.Test(ctx, atWork(), found.ID, locale)
		if err != nil {
			return err
		}
		return c.answer(map[string]int{"sent": n}, func(w io.Writer) { fmt.Fprintf(w, "%s to you.\n", counted(n, "message")) })
	})
	cmd.Flags().StringVar(&locale, "locale", "en", "en or es")
	return cmd
}

// watchEvery is how often a campaign is looked at while it is watched.
const watchEvery = time.Second

func campaignWatch(c *command) *cobra.Command {
	return onCampaign(c, "watch ID", "Follow a campaign to its end, with a progress bar", 1, func(ctx context.Context, h *house, found *gateway.Campaign, _ []string) error {
		var bar *progressbar.ProgressBar
		if out, ok := c.terminal(); ok {
			bar = progressbar.NewOptions64(max(found.People, 1), progressbar.OptionSetWriter(out), progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionClearOnFinish())
		}
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			now, err := h.db.Campaign(ctx, found.ID)
			if err != nil {
				return err
			}
			r, err := h.campaigns.Report(ctx, now)
			if err != nil {
				return err
			}
			if bar != nil {
				bar.Describe(now.Status.String())
				bar.ChangeMax64(max(r.People, 1))
				_ = bar.Set64(r.Done) // a bar that cannot be drawn stops nothing
			}
			if now.Status != gateway.CampaignRunning {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if bar != nil {
			_ = bar.Finish() // a bar that cannot be drawn stops nothing
		}
		return c.tellCampaign(ctx, h, found.ID)
	})
}
