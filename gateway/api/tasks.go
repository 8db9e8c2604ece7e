package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/gateway/intake"
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
	Heard     string     `json:"heard,omitempty" enum:"confirmed,reschedule_asked,call_back_asked" doc:"What the person asked for, where that was understood."`
	Number    string     `json:"number,omitempty" doc:"Where it came from. Whether it may be called stands in may."`
	CreatedAt time.Time  `json:"created_at"`
	DueAt     time.Time  `json:"due_at"`
	Overdue   bool       `json:"overdue"`
	Told      int        `json:"told,omitempty" doc:"How often it was told that it is overdue."`
	ToldAt    *time.Time `json:"told_at,omitempty"`
	Assignee  string     `json:"assignee,omitempty"`
	May       []MayOut   `json:"may,omitempty" doc:"While it is open: what may still be done, for everybody whom it may be about."`
	DoneAt    *time.Time `json:"done_at,omitempty"`
	DoneBy    string     `json:"done_by,omitempty"`
	Outcome   string     `json:"outcome,omitempty"`
	Note      string     `json:"note,omitempty"`
}

// TaskFull is a task with how it can be closed.
type TaskFull struct {
	TaskOut
	Outcomes []OutcomeOut `json:"outcomes,omitempty" doc:"While it is open: the codes with which it can be closed. Staff's own words close it too, and record nothing."`
	Decision *DecisionOut `json:"decision,omitempty" doc:"What would be decided now about the message that found no way."`
}

// OutcomeOut is one code with which a task can be closed.
type OutcomeOut struct {
	Code  string `json:"code"`
	Means string `json:"means"`
	Note  bool   `json:"note_needed,omitempty"`
}

type taskList struct {
	Body struct {
		Tasks []TaskOut `json:"tasks"`
		Next  string    `json:"next,omitempty"`
	}
}

type taskOut struct{ Body TaskOut }

func (a *API) tasks(h huma.API) {
	register(a, h, sees("tasks.read", op(http.MethodGet, "/v1/tasks", "The staff's worklist: a crisis first, then what is due first", auth.WorkTasks)),
		func(ctx context.Context, in *struct {
			Page
			Kind       string `query:"kind" maxLength:"40"`
			Patient    string `query:"patient" maxLength:"128"`
			Done       bool   `query:"done"`
			Assignee   string `query:"assignee" maxLength:"64"`
			Unassigned bool   `query:"unassigned"`
			Overdue    bool   `query:"overdue"`
		}) (*taskList, error) {
			f := gateway.TaskFilter{Done: in.Done, Limit: in.Limit, Assignee: in.Assignee, Unassigned: in.Unassigned}
			var err error
			if f.Kind, err = gateway.ParseTaskKind(in.Kind); err != nil {
				return nil, problem(http.StatusUnprocessableEntity, "invalid", err.Error()+".")
			}
			if in.Overdue {
				f.DueBefore = a.Now()
			}
			looks(ctx, "tasks")
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
	register(a, h, sees("task.read", op(http.MethodGet, "/v1/tasks/{id}", "One task: what may still be done about it, and how it can be closed", auth.WorkTasks)),
		func(ctx context.Context, in *MessagePath) (*struct{ Body TaskFull }, error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			looks(ctx, "task:"+strconv.FormatInt(id, 10))
			out, err := a.Task(ctx, id)
			return &struct{ Body TaskFull }{out}, err
		})
	a.closeTasks(h)
	a.assignTasks(h)
}

func (a *API) closeTasks(h huma.API) {
	register(a, h, op(http.MethodPost, "/v1/tasks/{id}/done", "Close a task, saying what came of it", auth.WorkTasks),
		func(ctx context.Context, in *struct {
			MessagePath
			Body struct {
				Outcome string    `json:"outcome" minLength:"1" maxLength:"2000" lines:"free" doc:"One of the task's outcomes, whose meaning is recorded, or a sentence of your own, which records nothing."`
				Note    string    `json:"note,omitempty" maxLength:"2000" lines:"free" doc:"How the patient put it."`
				Patient string    `json:"patient,omitempty" maxLength:"128" doc:"Who it was, where several patients share the number."`
				Message string    `json:"message,omitempty" maxLength:"24" doc:"Which message was meant, where several fit."`
				SaidAt  time.Time `json:"said_at,omitempty" doc:"When the patient said it; else now."`
			}
		}) (*taskOut, error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			c := intake.Closing{Task: id, Outcome: in.Body.Outcome, Note: in.Body.Note, SaidAt: in.Body.SaidAt}
			if c.Patient, c.Message, err = a.meant(ctx, in.Body.Patient, in.Body.Message); err != nil {
				return nil, err
			}
			if err := a.Intake.CloseTask(ctx, caller(ctx).Name, c); err != nil {
				return nil, err
			}
			return a.taskAfter(ctx, id)
		})
}

// meant reads whom and which message staff name on closing a task.
func (a *API) meant(ctx context.Context, patient, message string) (who, which int64, err error) {
	if patient != "" {
		who, err = a.patientID(ctx, patient)
		if errors.Is(err, gateway.ErrNotFound) {
			return 0, 0, gateway.Wrong("patient", "no patient has this id")
		}
		if err != nil {
			return 0, 0, err
		}
	}
	if message != "" {
		if which, err = strconv.ParseInt(message, 10, 64); err != nil {
			return 0, 0, gateway.Wrong("message", "is not the id of a message")
		}
	}
	return who, which, nil
}

func (a *API) assignTasks(h huma.API) {
	register(a, h, op(http.MethodPost, "/v1/tasks/{id}/assign", "Give a task to somebody", auth.WorkTasks),
		func(ctx context.Context, in *struct {
			MessagePath
			Body struct {
				Assignee string `json:"assignee" minLength:"1" maxLength:"64" doc:"A name that the practice uses: a person's, or a key's."`
			}
		}) (*taskOut, error) {
			return a.assign(ctx, in.MessagePath, in.Body.Assignee)
		})
	register(a, h, op(http.MethodDelete, "/v1/tasks/{id}/assign", "Give a task back to everybody", auth.WorkTasks),
		func(ctx context.Context, in *MessagePath) (*taskOut, error) { return a.assign(ctx, *in, "") })
}

func (a *API) assign(ctx context.Context, p MessagePath, to string) (*taskOut, error) {
	id, err := p.id()
	if err != nil {
		return nil, err
	}
	if err := a.Intake.AssignTask(ctx, caller(ctx).Name, id, to); err != nil {
		return nil, err
	}
	return a.taskAfter(ctx, id)
}

// taskAfter tells a task as it stands after a call.
func (a *API) taskAfter(ctx context.Context, id int64) (*taskOut, error) {
	t, err := a.oneTask(ctx, id)
	if err != nil {
		return nil, err
	}
	out, err := a.task(ctx, *t)
	return &taskOut{out}, err
}

func (a *API) oneTask(ctx context.Context, id int64) (*gateway.Task, error) {
	found, err := a.Store.Tasks(ctx, gateway.TaskFilter{ID: id, Limit: 1})
	if err == nil && len(found) == 0 {
		err = gateway.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return &found[0], nil
}

func (a *API) taskPage(ctx context.Context, f gateway.TaskFilter) (*taskList, error) {
	out := &taskList{}
	var err error
	if out.Body.Tasks, err = a.Tasks(ctx, f); err != nil {
		return nil, err
	}
	if n := len(out.Body.Tasks); n == f.Limit {
		out.Body.Next = out.Body.Tasks[n-1].ID
	}
	return out, nil
}

// Task tells one task in full.
func (a *API) Task(ctx context.Context, id int64) (TaskFull, error) {
	t, err := a.oneTask(ctx, id)
	if err != nil {
		return TaskFull{}, err
	}
	var out TaskFull
	if out.TaskOut, err = a.task(ctx, *t); err != nil || !t.DoneAt.IsZero() {
		return out, err
	}
	for _, o := range t.Kind.Outcomes() {
		out.Outcomes = append(out.Outcomes, OutcomeOut{o.Code, o.Means, o.Note})
	}
	out.Decision, err = a.again(ctx, t)
	return out, err
}

// Tasks tells a list of tasks.
func (a *API) Tasks(ctx context.Context, f gateway.TaskFilter) ([]TaskOut, error) {
	found, err := a.Store.Tasks(ctx, f)
	if err != nil {
		return nil, err
	}
	list := []TaskOut{}
	for _, t := range found {
		row, err := a.task(ctx, t)
		if err != nil {
			return nil, err
		}
		list = append(list, row)
	}
	return list, nil
}

func (a *API) task(ctx context.Context, t gateway.Task) (TaskOut, error) {
	out, err := a.taskWords(ctx, &t)
	if err != nil || !t.DoneAt.IsZero() {
		return out, err
	}
	out.May, err = a.may(ctx, &t)
	return out, err
}

// taskWords tells a task without what may be done about it, which tells of everybody
// whom it may be about.
func (a *API) taskWords(ctx context.Context, t *gateway.Task) (TaskOut, error) {
	d := t.Detail
	out := TaskOut{
		ID: strconv.FormatInt(t.ID, 10), Kind: string(t.Kind), Title: d.Title, Reasons: d.Reasons, Quote: d.Quote, Heard: string(d.Heard),
		Number: d.Number, CreatedAt: t.Created.UTC(), DueAt: t.Due.UTC(), DoneAt: instant(t.DoneAt), DoneBy: d.DoneBy, Outcome: d.Outcome, Note: d.Note,
		Overdue: t.DoneAt.IsZero() && a.Now().After(t.Due), Told: t.Told, ToldAt: instant(t.ToldAt), Assignee: t.Assignee,
	}
	if about := cmp.Or(t.Message, d.Reminder); about != 0 {
		out.Message = strconv.FormatInt(about, 10)
	}
	if t.Patient != 0 {
		gateway.TellsOf(ctx, t.Patient)
		p, err := a.Store.Patient(ctx, t.Patient)
		if err != nil && !errors.Is(err, gateway.ErrNotFound) {
			return out, err
		}
		if p != nil {
			out.Patient = p.Ref
			alsoShows(ctx, t.Patient)
		}
	}
	return out, nil
}
