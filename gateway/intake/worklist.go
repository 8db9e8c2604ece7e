package intake

import (
	"context"
	"errors"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
)

// maxAssignee bounds how long the name of somebody who looks after a task is.
const maxAssignee = 64

// AssignTask gives an open task to somebody, or, with "", to nobody. Errors:
// gateway.ErrNotFound, ErrClosed, a gateway.Invalid.
func (s *Service) AssignTask(ctx context.Context, actor string, task int64, to string) error {
	if gateway.AlreadyDone(ctx) {
		return nil
	}
	if len(to) > maxAssignee {
		return gateway.Wrong("assignee", "is longer than 64 bytes")
	}
	if _, err := s.openTask(ctx, task); err != nil {
		return err
	}
	a := gateway.Audit{Verb: "task.assign", Object: object("task", task), Detail: to}
	if to == "" {
		a.Verb = "task.unassign"
	}
	_, err := s.commit(ctx, gateway.Change{At: s.Now(), Actor: actor, Assigns: []gateway.TaskAssign{{ID: task, To: to}}, Audit: []gateway.Audit{a}})
	if errors.Is(err, gateway.ErrStale) {
		return gateway.ErrClosed // meanwhile
	}
	return err
}

// tellAtOnce bounds how many tasks are looked at in one go.
const tellAtOnce = 50

// TellOverdue tells once more of every open task that is overdue and whose turn it is,
// and gives those it told of. Of several replicas one tells. A crisis goes to the
// phones on call again as well.
func (s *Service) TellOverdue(ctx context.Context) ([]gateway.Task, error) {
	now := s.Now()
	list, err := s.Store.Untold(ctx, now, tellAtOnce)
	if err != nil {
		return nil, err
	}
	var told []gateway.Task
	for _, t := range list {
		c := gateway.Change{At: now, Actor: "heed", Told: []gateway.TaskTold{{ID: t.ID, Times: t.Told, Next: now.Add(t.Kind.TellAgain(t.Told))}}}
		if t.Kind == gateway.TaskCrisis {
			c.Accepts = s.alerts(now)
		}
		switch _, err := s.Store.Commit(ctx, c); {
		case errors.Is(err, gateway.ErrStale): // done, or told by another replica
		case err != nil:
			return told, err
		default:
			t.Told++
			told = append(told, t)
		}
	}
	if len(told) > 0 {
		s.Wake()
	}
	return told, nil
}

// alerts tell the people on call that a task waits, and nothing else: their phones are
// not covered by any agreement.
func (s *Service) alerts(now time.Time) []gateway.Message {
	var list []gateway.Message
	for _, to := range s.OnCall {
		list = append(list, gateway.Message{
			ID: s.NewID(), Queue: gateway.AnswerQueue, Template: "staff_alert", Due: now, Expires: now.Add(alertFor), Created: now,
			Body: gateway.Body{Answer: &gateway.Answer{To: to, Program: channels.Care, Locale: "en"}},
		})
	}
	return list
}

// alertFor is how long an alert to the people on call may wait to go out.
const alertFor = time.Hour
