package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
)

// TaskOut is work for a person.
type TaskOut struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind"`
	Patient   string     `json:"patient,omitempty"`
	Message   string     `json:"message,omitempty"`
	Title     string     `json:"title"`
	Reasons   []string   `json:"reasons,omitempty"`
	Quote     string     `json:"quote,omitempty"`
	Number    string     `json:"number,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	DueAt     time.Time  `json:"due_at"`
	Overdue   bool       `json:"overdue"`
	DoneAt    *time.Time `json:"done_at,omitempty"`
	Outcome   string     `json:"outcome,omitempty"`
}

type taskList struct {
	Body struct {
		Tasks []TaskOut `json:"tasks"`
		Next  string    `json:"next,omitempty"`
	}
}

type taskOut struct{ Body TaskOut }

func (a *API) tasks(h huma.API) {
	register(a, h, op(http.MethodGet, "/v1/tasks", "The staff's worklist", auth.WorkTasks),
		func(ctx context.Context, in *struct {
			Page
			Kind    string `query:"kind" maxLength:"40"`
			Patient string `query:"patient" maxLength:"128"`
			Done    bool   `query:"done"`
		}) (*taskList, error) {
			f := gateway.TaskFilter{Kind: gateway.TaskKind(in.Kind), Done: in.Done, Limit: in.Limit}
			var err error
			if f.After, err = cursor(in.After); err != nil {
				return nil, err
			}
			if in.Patient != "" {
				if f.Patient, err = a.patientID(ctx, in.Patient); err != nil {
					return nil, err
				}
			}
			return a.taskPage(ctx, f)
		})
	register(a, h, op(http.MethodPost, "/v1/tasks/{id}/done", "Close a task, saying what came of it", auth.WorkTasks),
		func(ctx context.Context, in *struct {
			MessagePath
			Body struct {
				Outcome string `json:"outcome" minLength:"1" maxLength:"2000"`
			}
		}) (*taskOut, error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			found, err := a.Store.Tasks(ctx, gateway.TaskFilter{ID: id, Limit: 1})
			if err != nil {
				return nil, err
			}
			if len(found) == 0 {
				return nil, gateway.ErrNotFound
			}
			if gateway.AlreadyDone(ctx) {
				out, err := a.task(ctx, found[0])
				return &taskOut{out}, err
			}
			now := a.Now()
			kept, err := a.Store.Commit(ctx, gateway.Change{
				At: now, Actor: caller(ctx).Name, Key: gateway.KeyOf(ctx), Done: []gateway.TaskDone{{ID: id, Outcome: in.Body.Outcome}},
				Audit: []gateway.Audit{{Verb: "task.done", Object: "task:" + in.ID}},
			})
			if err != nil {
				return nil, err
			}
			if kept.Replayed != nil {
				return nil, gateway.ErrReplayed
			}
			found[0].DoneAt, found[0].Detail.Outcome = now, in.Body.Outcome
			out, err := a.task(ctx, found[0])
			return &taskOut{out}, err
		})
}

func (a *API) taskPage(ctx context.Context, f gateway.TaskFilter) (*taskList, error) {
	found, err := a.Store.Tasks(ctx, f)
	if err != nil {
		return nil, err
	}
	out := &taskList{}
	out.Body.Tasks = []TaskOut{}
	for _, t := range found {
		row, err := a.task(ctx, t)
		if err != nil {
			return nil, err
		}
		out.Body.Tasks = append(out.Body.Tasks, row)
	}
	if len(found) == f.Limit {
		out.Body.Next = strconv.FormatInt(found[len(found)-1].ID, 10)
	}
	return out, nil
}

func (a *API) task(ctx context.Context, t gateway.Task) (TaskOut, error) {
	out := TaskOut{
		ID: strconv.FormatInt(t.ID, 10), Kind: string(t.Kind), Title: t.Detail.Title, Reasons: t.Detail.Reasons, Quote: t.Detail.Quote,
		Number: t.Detail.Number, CreatedAt: t.Created.UTC(), DueAt: t.Due.UTC(), DoneAt: instant(t.DoneAt), Outcome: t.Detail.Outcome,
		Overdue: t.DoneAt.IsZero() && a.Now().After(t.Due),
	}
	if t.Message != 0 {
		out.Message = strconv.FormatInt(t.Message, 10)
	}
	if t.Patient != 0 {
		p, err := a.Store.Patient(ctx, t.Patient)
		if err != nil && !errors.Is(err, gateway.ErrNotFound) {
			return out, err
		}
		if p != nil {
			out.Patient = p.Ref
		}
	}
	return out, nil
}
