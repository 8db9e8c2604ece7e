package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/api"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/gateway/jobs"
)

func tasksCommand(c *command) *cobra.Command {
	cmd := &cobra.Command{Use: "tasks", Short: "The staff's worklist"}
	cmd.AddCommand(listTasksCommand(c), showTaskCommand(c), closeTaskCommand(c), assignTaskCommand(c), unassignTaskCommand(c))
	return cmd
}

func listTasksCommand(c *command) *cobra.Command {
	var f gateway.TaskFilter
	var kind string
	var overdue bool
	cmd := &cobra.Command{
		Use: "list", Short: "Tasks that wait for a person: a crisis first, then what is due first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if f.Kind, err = gateway.ParseTaskKind(kind); err != nil {
				return usageError{fmt.Errorf("--%w", err)}
			}
			return c.inHouse(cmd.Context(), func(h *house) error {
				if overdue {
					f.DueBefore = h.now()
				}
				f.Limit = 500
				return c.listTasks(cmd.Context(), h, f)
			})
		},
	}
	cmd.Flags().BoolVar(&f.Done, "done", false, "those that are done")
	cmd.Flags().StringVar(&kind, "kind", "", "of one kind")
	cmd.Flags().StringVar(&f.Assignee, "assignee", "", "those that somebody looks after")
	cmd.Flags().BoolVar(&f.Unassigned, "unassigned", false, "those that nobody looks after")
	cmd.Flags().BoolVar(&overdue, "overdue", false, "those that are past their time")
	return cmd
}

// onTask is a command about one task.
func (c *command) onTask(use, short string, do func(ctx context.Context, h *house, task int64) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return usageError{errors.New("give the task's id, as `heed tasks list` shows it")}
			}
			return c.inHouse(cmd.Context(), func(h *house) error { return taskInWords(do(cmd.Context(), h, id)) })
		},
	}
}

// taskInWords says of a refusal what was wrong with the task.
func taskInWords(err error) error {
	switch {
	case errors.Is(err, gateway.ErrNotFound), errors.Is(err, gateway.ErrClosed):
		return errors.New("no open task has this id; `heed tasks list --done` shows what is done")
	case err == nil:
		return nil
	}
	return inWords(err)
}

func showTaskCommand(c *command) *cobra.Command {
	return c.onTask("show ID", "One task: who may be called, what may be said, how it can be closed", func(ctx context.Context, h *house, id int64) error {
		t, err := h.view().Task(ctx, id)
		if errors.Is(err, gateway.ErrNotFound) {
			return errors.New("no task has this id")
		}
		if err != nil {
			return err
		}
		if err := h.saw(ctx, "task.read", fmt.Sprintf("task:%d", id)); err != nil {
			return err
		}
		return c.answer(t, func(w io.Writer) {
			writeTask(w, t.TaskOut)
			if t.Decision != nil {
				fmt.Fprint(w, "  decided now: ")
				writeDecision(w, *t.Decision)
			}
			for i, o := range t.Outcomes {
				if i == 0 {
					fmt.Fprintf(w, "  close it with `heed tasks done %s --outcome …`:\n", t.ID)
				}
				note := ""
				if o.Note {
					note = " (with --note)"
				}
				fmt.Fprintf(w, "    %s%s: %s\n", o.Code, note, o.Means)
			}
		})
	})
}

func closeTaskCommand(c *command) *cobra.Command {
	var in intake.Closing
	var patient, message, saidAt string
	cmd := c.onTask("done ID", "Close a task, saying what came of it", func(ctx context.Context, h *house, id int64) error {
		if in.Outcome == "" {
			return usageError{errors.New("--outcome: say what came of it, with a code of `heed tasks show` or in a sentence of your own")}
		}
		in.Task = id
		var err error
		if message != "" {
			if in.Message, err = strconv.ParseInt(message, 10, 64); err != nil {
				return usageError{errors.New("--message: is not the id of a message")}
			}
		}
		if saidAt != "" {
			if in.SaidAt, err = time.Parse(time.RFC3339, saidAt); err != nil {
				return usageError{errors.New("--said-at: write a time as 2026-11-24T10:00:00-07:00")}
			}
		}
		if patient != "" {
			if in.Patient, err = h.patientID(ctx, patient); err != nil {
				return err
			}
		}
		if err := h.intake.CloseTask(ctx, actor(), in); err != nil {
			return err
		}
		return c.did(nil, "done", "Done.")
	})
	f := cmd.Flags()
	f.StringVar(&in.Outcome, "outcome", "", "what came of it: a code, or a sentence of your own, which records nothing (required)")
	f.StringVar(&in.Note, "note", "", "how the patient put it")
	f.StringVar(&patient, "patient", "", "who it was, where several patients share the number")
	f.StringVar(&message, "message", "", "which message was meant, where several fit")
	f.StringVar(&saidAt, "said-at", "", "when the patient said it (default now)")
	_ = cmd.MarkFlagRequired("outcome") // it fails only for a flag that is not there
	return cmd
}

func assignTaskCommand(c *command) *cobra.Command {
	var to string
	cmd := c.onTask("assign ID", "Give a task to somebody", func(ctx context.Context, h *house, id int64) error {
		if to == "" {
			return usageError{errors.New("--to: say who looks after it")}
		}
		if err := h.intake.AssignTask(ctx, actor(), id, to); err != nil {
			return err
		}
		return c.did(nil, "assigned", "Assigned to "+to+".")
	})
	cmd.Flags().StringVar(&to, "to", "", "a name that the practice uses: a person's, or a key's (required)")
	_ = cmd.MarkFlagRequired("to") // it fails only for a flag that is not there
	return cmd
}

func unassignTaskCommand(c *command) *cobra.Command {
	return c.onTask("unassign ID", "Give a task back to everybody", func(ctx context.Context, h *house, id int64) error {
		if err := h.intake.AssignTask(ctx, actor(), id, ""); err != nil {
			return err
		}
		return c.did(nil, "unassigned", "Nobody in particular looks after it.")
	})
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
	for _, part := range []struct{ name, value string }{{"assigned to", t.Assignee}, {"patient", t.Patient}, {"from", t.Number}, {"message", t.Message}} {
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
	for _, m := range t.May {
		writeMay(w, m)
	}
	if t.DoneAt != nil {
		fmt.Fprintf(w, "  done %s: %q", t.DoneAt.Local().Format(time.RFC1123), t.Outcome)
		if t.Note != "" {
			fmt.Fprintf(w, ", %q", t.Note)
		}
		fmt.Fprintln(w)
	}
}

// writeMay tells what may still be done for one person whom a task may be about.
func writeMay(w io.Writer, m api.MayOut) {
	who := "a number of nobody on record"
	if m.Patient != "" {
		who = m.Patient
	}
	for _, fits := range m.Messages {
		fmt.Fprintf(w, "  it may answer message %s of %s", fits.ID, who)
		if fits.AppointmentAt != nil {
			fmt.Fprintf(w, ", about %s", fits.AppointmentAt.Local().Format(time.RFC1123))
		}
		fmt.Fprintln(w)
	}
	if !m.Call {
		fmt.Fprintf(w, "  %s: nobody may be called. %s\n", who, m.Reason)
	}
	for _, c := range m.Calls {
		switch {
		case c.Verdict == "allowed":
			fmt.Fprintf(w, "  %s: call %s", who, c.Number)
			var mind []string
			for _, rule := range c.Mind {
				mind = append(mind, rule.Reason)
			}
			if len(mind) > 0 {
				fmt.Fprintf(w, " by hand. For machines: %s", strings.Join(mind, " "))
			}
			fmt.Fprintln(w)
		case m.Call:
			fmt.Fprintf(w, "  %s: do not call %s. %s\n", who, c.Number, c.Reason)
		}
	}
	if m.Letter {
		fmt.Fprintf(w, "  %s: a letter may be posted.\n", who)
	}
	for _, line := range m.Say {
		fmt.Fprintf(w, "    %s\n", line)
	}
}

// tellOverdue looks for tasks that are overdue, again and again. Which replica tells is
// settled in the database, so that every one may look; a crisis cannot wait for whoever
// leads the jobs.
func (s *server) tellOverdue() jobs.Loop {
	return jobs.Loop{
		Name: "overdue", Interval: time.Second, Log: s.log,
		Work: func(ctx context.Context) (int, error) {
			told, err := s.intake.TellOverdue(ctx)
			for _, t := range told {
				s.log.Warn("a task is overdue", "task", t.ID, "kind", string(t.Kind), "due", t.Due, "told", t.Told, "assigned", t.Assignee != "")
			}
			return len(told), err
		},
	}
}

// taskFigures tells how many tasks wait, and how many of them are past their time.
func (s *server) taskFigures() {
	count := func(pick func(open, overdue int) int) func() float64 {
		return func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			open, overdue, err := s.db.CountTasks(ctx, s.now())
			if err != nil {
				return -1
			}
			return float64(pick(open, overdue))
		}
	}
	s.metrics.Gauge("heed_tasks_open", "Tasks that wait for a person.", count(func(open, _ int) int { return open }))
	s.metrics.Gauge("heed_tasks_overdue", "Tasks that wait for a person and are past their time.", count(func(_, overdue int) int { return overdue }))
}
