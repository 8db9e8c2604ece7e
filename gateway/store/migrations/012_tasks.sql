-- +goose Up
-- Who looks after a task, and when it is told of as overdue. What is open now is told of anew: the instant of each
-- kind's first telling is its due date.
ALTER TABLE tasks ADD COLUMN assignee TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN told SMALLINT NOT NULL DEFAULT 0;      -- how often it was told that it is overdue
ALTER TABLE tasks ADD COLUMN told_at BIGINT NOT NULL DEFAULT 0;     -- the last time; 0: never
ALTER TABLE tasks ADD COLUMN tell_at BIGINT NOT NULL DEFAULT 0;     -- the next time
UPDATE tasks SET tell_at = due_at;
CREATE INDEX tasks_tell ON tasks (tell_at) WHERE done_at IS NULL;
