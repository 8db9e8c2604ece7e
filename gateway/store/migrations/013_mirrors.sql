-- +goose Up
-- Opt-outs on their way to the lists that providers keep of their own: made due in the transaction of the fact itself. What
-- belongs on a list is read when the call is made, so that no address stands here, only its key.
CREATE TABLE mirrors (
  key TEXT NOT NULL PRIMARY KEY,          -- as in numbers
  kind SMALLINT NOT NULL,                 -- 1 phone 2 mailbox
  gen BIGINT NOT NULL,                    -- moves with every fact: a call that was judged on an older one does not settle it
  lift BIGINT NOT NULL,                   -- programs that were asked for again, with proof
  listed TEXT NOT NULL DEFAULT '',        -- the lists that have it, separated by spaces
  tries SMALLINT NOT NULL DEFAULT 0,
  code TEXT NOT NULL DEFAULT '',
  changed_at BIGINT NOT NULL,             -- the last fact
  called_at BIGINT NOT NULL DEFAULT 0,    -- the last call that came to something
  due_at BIGINT NOT NULL,                 -- 0: nothing is to be done
  lease BIGINT NOT NULL DEFAULT 0         -- in somebody's hands until then
);
CREATE INDEX mirrors_due ON mirrors (kind, due_at) WHERE due_at > 0;
