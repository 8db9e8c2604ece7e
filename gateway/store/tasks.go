package store

import (
	"context"
	"crypto/cipher"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"harmonize.care/heed/gateway"
)

// tasks keeps what is said of tasks.
func (u *unit) tasks() error {
	for i := range u.c.Tasks {
		if err := u.insertTask(&u.c.Tasks[i]); err != nil {
			return err
		}
	}
	for _, done := range u.c.Done {
		if err := u.closeTask(done); err != nil {
			return err
		}
	}
	for _, a := range u.c.Assigns {
		if err := u.assign(a); err != nil {
			return err
		}
	}
	for _, t := range u.c.Told {
		if err := u.told(t); err != nil {
			return err
		}
	}
	return nil
}

func (u *unit) insertTask(t *gateway.Task) error {
	if u.refused[t.Message] {
		return nil
	}
	key, err := u.taskSealer(t.Patient)
	if err != nil {
		return err
	}
	sealed, err := seal(key, t.Detail)
	if err != nil {
		return err
	}
	// A message has one task of a kind: one that comes again opens it again.
	opened := *t
	err = u.tx.QueryRowContext(u.ctx, `INSERT INTO tasks (id, kind, patient, message, created_at, due_at, tell_at, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (kind, message) DO UPDATE SET created_at = excluded.created_at, due_at = excluded.due_at, tell_at = excluded.tell_at, told = 0, told_at = 0,
			done_at = NULL, sealed = excluded.sealed
		WHERE tasks.done_at IS NOT NULL RETURNING id`,
		t.ID, string(t.Kind), null(t.Patient), null(t.Message), micros(t.Created), micros(t.Due), micros(t.TellAt()), sealed).Scan(&opened.ID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // it is open
	}
	if err != nil {
		return fmt.Errorf("keeping a change: %w", err)
	}
	u.taskMoved(gateway.TaskOpened, opened, "")
	return nil
}

// taskSealer gives the key under which a task is sealed: the patient's, or, of nobody
// and of somebody erased, the general one.
func (u *unit) taskSealer(patient int64) (cipher.AEAD, error) {
	key, err := u.sealer(patient)
	if errors.Is(err, gateway.ErrErased) || errors.Is(err, gateway.ErrNotFound) {
		return u.keys.general, nil
	}
	return key, err
}

// closeTask writes the outcome into the sealed detail; a task that is done stays as it is.
func (u *unit) closeTask(done gateway.TaskDone) error {
	var patient int64
	err := u.tx.QueryRowContext(u.ctx, "SELECT COALESCE(patient, 0) FROM tasks WHERE id = $1", done.ID).Scan(&patient)
	if errors.Is(err, sql.ErrNoRows) {
		return gateway.ErrStale
	}
	if err != nil {
		return err
	}
	key, err := u.taskSealer(patient) // before the task's lock: patients come first
	if err != nil {
		return err
	}
	var sealed []byte
	t := gateway.Task{ID: done.ID, Patient: patient}
	err = u.tx.QueryRowContext(u.ctx, "SELECT kind, COALESCE(message, 0), sealed FROM tasks WHERE id = $1 AND done_at IS NULL"+u.lock("UPDATE"),
		done.ID).Scan(&t.Kind, &t.Message, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return gateway.ErrStale
	}
	if err != nil {
		return err
	}
	var detail gateway.TaskDetail
	if err := open(key, sealed, &detail); err != nil {
		return err
	}
	detail.Outcome, detail.Note, detail.DoneBy = done.Outcome, done.Note, u.c.Actor
	if sealed, err = seal(key, detail); err != nil {
		return err
	}
	u.taskMoved(gateway.TaskClosed, t, done.Code)
	return u.run("UPDATE tasks SET done_at = $2, sealed = $3 WHERE id = $1", done.ID, micros(u.c.At), sealed)
}

// assign writes who looks after an open task.
func (u *unit) assign(a gateway.TaskAssign) error {
	n, err := u.exec("UPDATE tasks SET assignee = $2 WHERE id = $1 AND done_at IS NULL", a.ID, a.To)
	if err == nil && n == 0 {
		err = gateway.ErrStale
	}
	return err
}

// told notes that an open task was told of. The count is asked for, so that of several
// replicas one tells: the others find that it has moved on.
func (u *unit) told(told gateway.TaskTold) error {
	t := gateway.Task{ID: told.ID}
	err := u.tx.QueryRowContext(u.ctx, `UPDATE tasks SET told = told + 1, told_at = $2, tell_at = $3 WHERE id = $1 AND done_at IS NULL AND told = $4
		RETURNING kind, COALESCE(patient, 0), COALESCE(message, 0)`, told.ID, micros(u.c.At), micros(told.Next), told.Times).Scan(&t.Kind, &t.Patient, &t.Message)
	if errors.Is(err, sql.ErrNoRows) {
		return gateway.ErrStale
	}
	if err != nil {
		return err
	}
	u.taskMoved(gateway.TaskOverdue, t, "")
	return nil
}

// Untold lists open tasks that are to be told of as overdue, the longest waiting first.
func (d *DB) Untold(ctx context.Context, now time.Time, limit int) ([]gateway.Task, error) {
	list, err := d.read.QueryContext(ctx, `SELECT id, kind, COALESCE(patient, 0), COALESCE(message, 0), created_at, due_at, assignee, told FROM tasks
		WHERE done_at IS NULL AND tell_at <= $1 ORDER BY tell_at, id LIMIT $2`, micros(now), limit)
	if err != nil {
		return nil, err
	}
	var tasks []gateway.Task
	return tasks, scan(list, func(s scanner) error {
		var t gateway.Task
		var created, due int64
		err := s.Scan(&t.ID, &t.Kind, &t.Patient, &t.Message, &created, &due, &t.Assignee, &t.Told)
		t.Created, t.Due = instant(created), instant(due)
		tasks = append(tasks, t)
		return err
	})
}

// CountTasks counts the open tasks, and those of them that are overdue.
func (d *DB) CountTasks(ctx context.Context, now time.Time) (open, overdue int, err error) {
	err = d.read.QueryRowContext(ctx, "SELECT COUNT(*), COALESCE(SUM(CASE WHEN due_at < $1 THEN 1 ELSE 0 END), 0) FROM tasks WHERE done_at IS NULL", micros(now)).Scan(&open, &overdue)
	return open, overdue, err
}
