-- +goose Up
-- What only the past of a database makes slow: each of these was read from end to end, by an hourly or daily job or by a page.
CREATE INDEX messages_content ON messages (created_at) WHERE sealed IS NOT NULL AND status >= 3; -- content that is still to be dropped: none of it is older than its retention
CREATE INDEX seen_at ON seen (at) WHERE NOT keep;
CREATE INDEX answers_at ON answers (at);
CREATE INDEX answers_about_at ON answers_about (at);
CREATE INDEX tasks_done ON tasks ((CASE kind WHEN 'crisis' THEN 0 ELSE 1 END), due_at, id) WHERE done_at IS NOT NULL; -- the worklist's order
CREATE INDEX tasks_patient ON tasks (patient);
CREATE INDEX recipients_told ON recipients (campaign, state, code) WHERE state IN (1, 3); -- who waits or was held back: a report counts them beside the slices
