package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"harmonize.care/heed/gateway"
)

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
