-- +goose Up
-- LOCK ORDER, with campaigns: shards, slices -> numbers -> patients -> usage -> messages -> recipients -> campaigns.
CREATE TABLE campaigns (
  id BIGINT NOT NULL PRIMARY KEY,
  status SMALLINT NOT NULL,
  revision BIGINT NOT NULL,
  name TEXT NOT NULL,
  category TEXT NOT NULL,
  template TEXT NOT NULL,
  rate INTEGER NOT NULL,
  people BIGINT NOT NULL,                 -- the last position of the audience
  wording TEXT NOT NULL DEFAULT '',       -- digest of the text that was approved
  persons TEXT NOT NULL,                  -- who made it, changed it last and approved it
  created_at BIGINT NOT NULL,
  approved_at BIGINT NOT NULL,
  started_at BIGINT NOT NULL,
  ended_at BIGINT NOT NULL,
  hold_until BIGINT NOT NULL DEFAULT 0,
  trouble SMALLINT NOT NULL DEFAULT 0,
  sealed BYTEA                            -- variables and channels; NULL when their retention is over
);
CREATE INDEX campaigns_running ON campaigns (hold_until) WHERE status = 2;
CREATE TABLE recipients (
  campaign BIGINT NOT NULL,
  pos BIGINT NOT NULL,
  patient BIGINT NOT NULL,                -- below 0: nobody had the id that stood at this position
  state SMALLINT NOT NULL DEFAULT 0,      -- 0 ahead of the cursor, or, behind it, claimed 1 waits 2 claimed: its message tells 3 held back: the code tells
  code TEXT NOT NULL DEFAULT '',
  due_at BIGINT NOT NULL DEFAULT 0,
  version BIGINT NOT NULL DEFAULT 0,      -- of the snapshot it was judged on last
  message BIGINT NOT NULL DEFAULT 0,
  tries SMALLINT NOT NULL DEFAULT 0,
  split SMALLINT NOT NULL DEFAULT 0,
  PRIMARY KEY (campaign, pos)
);
CREATE UNIQUE INDEX recipients_once ON recipients (campaign, patient);
CREATE INDEX recipients_waiting ON recipients (campaign, due_at, pos) WHERE state = 1;
CREATE TABLE shards (                     -- positions after cursor up to last are ahead
  campaign BIGINT NOT NULL, no SMALLINT NOT NULL, cursor BIGINT NOT NULL, last BIGINT NOT NULL, PRIMARY KEY (campaign, no)
);
CREATE TABLE slices (                     -- one claim of many: lease, state and the provider's answer stand here once
  id BIGINT NOT NULL PRIMARY KEY,
  campaign BIGINT NOT NULL,
  channel SMALLINT NOT NULL,
  program SMALLINT NOT NULL,
  batch BOOLEAN NOT NULL,
  status SMALLINT NOT NULL,               -- 1 claimed 2 begun 3 sent 4 unknown 5 given up 6 unsent
  lease BIGINT NOT NULL,
  at BIGINT NOT NULL,
  provider_id TEXT NOT NULL DEFAULT '',
  provider TEXT NOT NULL DEFAULT '',
  form TEXT NOT NULL DEFAULT '',          -- a letter's: what everybody in it got alike
  discreet BOOLEAN NOT NULL DEFAULT FALSE,
  wording TEXT NOT NULL DEFAULT '',
  asked TEXT NOT NULL DEFAULT '',         -- what was asked of the policy for all of them: nothing of anybody
  people INTEGER NOT NULL,                -- how many messages are in it, those that left it for news of their own too
  items BYTEA NOT NULL                    -- what it tells of each: ids and versions alone
);
CREATE INDEX slices_open ON slices (lease) WHERE status < 3;
CREATE INDEX slices_unknown ON slices (at) WHERE status = 4;
CREATE INDEX slices_campaign ON slices (campaign, status);
-- A message of a campaign is written once, at the claim, with status 10: as its slice says. With 11 it was surely not
-- sent, and its recipient waits. With every other status it is a message like any other.
ALTER TABLE messages ADD COLUMN campaign BIGINT;
ALTER TABLE messages ADD COLUMN slice BIGINT;
ALTER TABLE messages ADD COLUMN facts BYTEA; -- what its first decision stood on, sealed under the patient's key; the slice holds what was asked
CREATE INDEX messages_campaign ON messages (campaign, status) WHERE campaign IS NOT NULL AND status <> 10; -- those that ride are counted by slice
-- The first attempt of a letter has its message's id, and no row until something is heard of it alone: the slice
-- tells all of it. Every other attempt of a slice stays claimed, which means: as its slice says.
ALTER TABLE attempts ADD COLUMN slice BIGINT;
