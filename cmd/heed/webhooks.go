package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/events"
)

func webhooksCommand(c *command) *cobra.Command {
	cmd := &cobra.Command{Use: "webhooks", Short: "Endpoints of outgoing events: list, add, rotate, deliveries"}
	cmd.AddCommand(webhooksList(c), webhooksAdd(c), webhooksRotate(c), webhooksDeliveries(c), webhooksRedeliver(c), webhooksRemove(c))
	return cmd
}

// onEndpoint is the change of a command on an endpoint: who and when.
func onEndpoint(h *house, verb string, id int64) gateway.Change {
	return gateway.Change{At: h.now(), Actor: actor(), Audit: []gateway.Audit{{Verb: verb, Object: fmt.Sprintf("webhook:%d", id)}}}
}

// noEndpoint says in words that an id is none.
func noEndpoint(err error) error {
	if errors.Is(err, gateway.ErrNotFound) {
		return errors.New("no endpoint has this id; `heed webhooks list` shows them")
	}
	return err
}

func idOf(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, usageError{errors.New("give an id, as the lists show it")}
	}
	return id, nil
}

func webhooksList(c *command) *cobra.Command {
	type row struct {
		ID          string              `json:"id"`
		URL         string              `json:"url"`
		Types       []gateway.EventType `json:"types"`
		Description string              `json:"description,omitempty"`
		Created     time.Time           `json:"created_at"`
		Disabled    *time.Time          `json:"disabled_at,omitempty"`
		Why         string              `json:"why,omitempty"`
	}
	return &cobra.Command{
		Use: "list", Short: "The endpoints; never their secrets", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.inHouse(cmd.Context(), func(h *house) error {
				found, err := h.db.Endpoints(cmd.Context())
				if err != nil {
					return err
				}
				list := []row{}
				for _, e := range found {
					list = append(list, row{strconv.FormatInt(e.ID, 10), e.To.URL, append([]gateway.EventType{}, e.Types...), e.To.Description, e.Created.UTC(), pointer(e.Disabled), e.Why})
				}
				return c.answer(list, func(w io.Writer) {
					t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
					for _, e := range list {
						state, types := "in use", "every type"
						if e.Disabled != nil {
							state = "disabled (" + e.Why + ")"
						}
						if len(e.Types) > 0 {
							types = fmt.Sprint(e.Types)
						}
						fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", e.ID, e.URL, types, state, e.Description)
					}
					_ = t.Flush() // the writer underneath says it at its own end
				})
			})
		},
	}
}

func webhooksAdd(c *command) *cobra.Command {
	var types, description string
	cmd := &cobra.Command{
		Use: "add URL", Short: "Register an endpoint; its secret is shown once", Args: cobra.ExactArgs(1),
		Example: "  heed webhooks add https://ehr.practice.example/heed --types message.delivered,preference.changed",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.inHouse(cmd.Context(), func(h *house) error {
				e := gateway.Endpoint{
					ID: h.ids.New(), Created: h.now(),
					To: gateway.EndpointTo{URL: args[0], Description: description, Secrets: []gateway.Secret{{Text: events.NewSecret()}}},
				}
				for name := range strings.SplitSeq(types, ",") {
					if name = strings.TrimSpace(name); name != "" {
						e.Types = append(e.Types, gateway.EventType(name))
					}
				}
				if err := e.Check(); err != nil {
					return usageError{err}
				}
				if _, err := h.db.AddEndpoint(cmd.Context(), onEndpoint(h, "webhook.add", e.ID), e); err != nil {
					return err
				}
				return c.answer(map[string]string{"id": strconv.FormatInt(e.ID, 10), "secret": e.To.Secrets[0].Text}, func(w io.Writer) {
					fmt.Fprintf(w, "%d\n%s\nThe secret is shown once: it verifies what is sent there.\n", e.ID, e.To.Secrets[0].Text)
				})
			})
		},
	}
	cmd.Flags().StringVar(&types, "types", "", "which events, separated by commas; default: every type")
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	return cmd
}

// onOne makes a command that works on the endpoint named by its first argument.
func onOne(c *command, use, short string, args int, work func(context.Context, *house, int64, []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(args),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := idOf(args[0])
			if err != nil {
				return err
			}
			return c.inHouse(cmd.Context(), func(h *house) error { return noEndpoint(work(cmd.Context(), h, id, args)) })
		},
	}
}

func webhooksRotate(c *command) *cobra.Command {
	return onOne(c, "rotate ID", "Put a new secret in force; the one before signs too for 24 hours", 1, func(ctx context.Context, h *house, id int64, args []string) error {
		secret, change := events.NewSecret(), onEndpoint(h, "webhook.rotate", id)
		if _, err := h.db.ChangeEndpoint(ctx, change, id, func(e *gateway.Endpoint) error { return e.Rotate(secret, change.At) }); err != nil {
			return err
		}
		return c.answer(map[string]string{"id": args[0], "secret": secret}, func(w io.Writer) { fmt.Fprintln(w, secret) })
	})
}

func webhooksDeliveries(c *command) *cobra.Command {
	type row struct {
		ID      string            `json:"id"`
		Event   string            `json:"event"`
		Type    gateway.EventType `json:"type"`
		Status  string            `json:"status"`
		Tries   int               `json:"tries"`
		Code    string            `json:"code,omitempty"`
		Created time.Time         `json:"created_at"`
	}
	var status string
	var after int64
	cmd := onOne(c, "deliveries ID", "What is on its way, was delivered, or was given up (--status dead)", 1, func(ctx context.Context, h *house, id int64, _ []string) error {
		f := gateway.DeliveryFilter{Endpoint: id, After: after, Limit: 500}
		if s, ok := gateway.ParseDeliveryStatus(status); ok {
			f.Status = &s
		} else if status != "" {
			return usageError{errors.New("--status: pending, queued, delivered or dead")}
		}
		if _, err := h.db.Endpoint(ctx, id); err != nil {
			return err
		}
		found, err := h.db.Deliveries(ctx, f)
		if err != nil {
			return err
		}
		list := []row{}
		for _, d := range found {
			list = append(list, row{strconv.FormatInt(d.ID, 10), strconv.FormatInt(d.Event, 10), d.Type, d.Status.String(), d.Tries, d.Code, d.Created.UTC()})
		}
		return c.answer(list, func(w io.Writer) {
			t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
			for _, d := range list {
				fmt.Fprintf(t, "%s\t%s\t%s\t%d tries\t%s\n", d.ID, d.Type, d.Status, d.Tries, d.Code)
			}
			_ = t.Flush() // the writer underneath says it at its own end
			if len(list) == f.Limit {
				fmt.Fprintf(w, "There may be more: --after %s\n", list[len(list)-1].ID)
			}
		})
	})
	cmd.Flags().StringVar(&status, "status", "", "pending, queued, delivered or dead")
	cmd.Flags().Int64Var(&after, "after", 0, "go on after this delivery")
	return cmd
}

func webhooksRedeliver(c *command) *cobra.Command {
	return onOne(c, "redeliver ID DELIVERY", "Send a delivery that has ended once more", 2, func(ctx context.Context, h *house, id int64, args []string) error {
		delivery, err := idOf(args[1])
		if err != nil {
			return err
		}
		change := onEndpoint(h, "webhook.redeliver", id)
		change.Audit[0].Detail = fmt.Sprintf("delivery:%d", delivery)
		_, err = h.db.Redeliver(ctx, change, id, delivery)
		switch {
		case errors.Is(err, gateway.ErrNotFound):
			return errors.New("this endpoint has no such delivery; `heed webhooks deliveries` shows them")
		case errors.Is(err, gateway.ErrStale):
			return errors.New("this delivery is still on its way")
		case err != nil:
			return err
		}
		return c.answer(map[string]string{"id": args[1], "status": "pending"}, func(w io.Writer) { fmt.Fprintln(w, "It is sent once more.") })
	})
}

func webhooksRemove(c *command) *cobra.Command {
	return onOne(c, "remove ID", "Remove an endpoint and everything on its way there", 1, func(ctx context.Context, h *house, id int64, args []string) error {
		if _, err := h.db.RemoveEndpoint(ctx, onEndpoint(h, "webhook.remove", id), id); err != nil {
			return err
		}
		return c.answer(map[string]string{"id": args[0], "removed": "true"}, func(w io.Writer) { fmt.Fprintln(w, "The endpoint is removed.") })
	})
}
