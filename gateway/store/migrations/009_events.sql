-- +goose Up
-- Outgoing events: what happened is written in the transaction of the fact itself, so that no kill falls between.
CREATE TABLE endpoints (
  id BIGINT NOT NULL PRIMARY KEY,
  types TEXT NOT NULL,                    -- a JSON list; empty: every type
  created_at BIGINT NOT NULL,
  disabled_at BIGINT NOT NULL,            -- 0: in use
  why TEXT NOT NULL,
  sealed BYTEA NOT NULL                   -- address and secrets
);
CREATE TABLE happenings (
  id BIGINT NOT NULL PRIMARY KEY,         -- the webhook-id
  at BIGINT NOT NULL,
  type TEXT NOT NULL,
  patient BIGINT,                         -- never in a payload
  endpoint BIGINT,                        -- for this one alone; NULL: for all that asked for the type
  data TEXT NOT NULL,                     -- ids and codes
  relayed BOOLEAN NOT NULL DEFAULT FALSE  -- its deliveries are written
);
CREATE INDEX happenings_waiting ON happenings (id) WHERE relayed = FALSE;
CREATE INDEX happenings_at ON happenings (at);
CREATE TABLE deliveries (
  id BIGINT NOT NULL PRIMARY KEY,
  event BIGINT NOT NULL,
  endpoint BIGINT NOT NULL,
  status SMALLINT NOT NULL,               -- 0 pending 1 queued 2 delivered 3 dead
  tries SMALLINT NOT NULL DEFAULT 0,
  code TEXT NOT NULL DEFAULT '',
  created_at BIGINT NOT NULL,
  due_at BIGINT NOT NULL,                 -- pending: the next try; queued: when the job counts as lost
  ended_at BIGINT NOT NULL DEFAULT 0,
  UNIQUE (event, endpoint)
);
CREATE INDEX deliveries_open ON deliveries (endpoint, due_at, id) WHERE status < 2;
CREATE INDEX deliveries_ended ON deliveries (ended_at) WHERE status >= 2;
CREATE INDEX deliveries_endpoint ON deliveries (endpoint, id);
CREATE INDEX deliveries_dead ON deliveries (endpoint, id) WHERE status = 3;
