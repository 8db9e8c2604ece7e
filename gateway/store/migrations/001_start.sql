-- +goose Up
-- Instants: Unix microseconds, always passed in. Ids are made by the process. "sealed": AES-256-GCM under the patient's
-- own data key, so that erasing a person drops one key.
CREATE TABLE patients (
  id BIGINT NOT NULL PRIMARY KEY,
  ref TEXT NOT NULL UNIQUE,               -- the practice's id: personal data
  version BIGINT NOT NULL,
  snapshot BYTEA NOT NULL,
  data_key BYTEA,                         -- wrapped; NULL once erased
  sealed BYTEA
);
CREATE TABLE numbers (                    -- every phone number ever seen; the key is never rotated, so a stop outlives erasure
  key TEXT NOT NULL PRIMARY KEY,
  stops BIGINT NOT NULL DEFAULT 0,
  said TEXT NOT NULL DEFAULT '{}'         -- per program: the instant of the last STOP or START, by the provider's clock
);
CREATE TABLE addresses (
  id BIGINT NOT NULL PRIMARY KEY,
  patient BIGINT NOT NULL REFERENCES patients (id),
  kind SMALLINT NOT NULL,
  key TEXT NOT NULL,
  sealed BYTEA,                           -- NULL once erased
  UNIQUE (patient, key)
);
CREATE INDEX addresses_key ON addresses (key);
CREATE TABLE ledger (                     -- append-only
  id BIGINT NOT NULL PRIMARY KEY,
  subject TEXT NOT NULL,                  -- 'p'||patients.id or 'n'||numbers.key
  seq BIGINT NOT NULL,
  kind TEXT NOT NULL,
  at BIGINT NOT NULL,
  digest BYTEA NOT NULL,
  sealed BYTEA,
  UNIQUE (subject, seq)
);
CREATE TABLE audit (id BIGINT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, actor TEXT NOT NULL, verb TEXT NOT NULL, object TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE messages (                   -- this table is the queue
  id BIGINT NOT NULL PRIMARY KEY,
  patient BIGINT REFERENCES patients (id),
  queue SMALLINT NOT NULL,
  category TEXT NOT NULL,
  template TEXT NOT NULL,
  essential BOOLEAN NOT NULL,
  status SMALLINT NOT NULL,
  due_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  attempts SMALLINT NOT NULL DEFAULT 0,
  lease BIGINT NOT NULL DEFAULT 0,
  reference TEXT,
  code TEXT NOT NULL DEFAULT '',
  created_at BIGINT NOT NULL,
  failed TEXT NOT NULL DEFAULT '[]',      -- pairs a delivery failed on
  sealed BYTEA
);
CREATE INDEX messages_due ON messages (queue, due_at, id) WHERE status = 0;
CREATE INDEX messages_open ON messages (lease) WHERE status IN (1, 2);
CREATE INDEX messages_calling ON messages (patient) WHERE status = 1;
CREATE INDEX messages_patient ON messages (patient, id);
CREATE INDEX messages_reference ON messages (reference) WHERE reference IS NOT NULL;
CREATE TABLE attempts (
  id BIGINT NOT NULL PRIMARY KEY,
  message BIGINT NOT NULL REFERENCES messages (id),
  number SMALLINT NOT NULL,
  channel SMALLINT NOT NULL,
  address BIGINT NOT NULL,
  version BIGINT NOT NULL,
  status SMALLINT NOT NULL,
  provider_id TEXT,
  code TEXT NOT NULL DEFAULT '',
  at BIGINT NOT NULL,
  program SMALLINT NOT NULL,
  form TEXT NOT NULL,
  discreet BOOLEAN NOT NULL,
  UNIQUE (message, number)
);
CREATE UNIQUE INDEX attempts_provider ON attempts (provider_id) WHERE provider_id IS NOT NULL;
CREATE TABLE decisions (id BIGINT NOT NULL PRIMARY KEY, message BIGINT NOT NULL, at BIGINT NOT NULL, body TEXT NOT NULL);
CREATE INDEX decisions_message ON decisions (message, id);
CREATE TABLE message_events (id BIGINT NOT NULL PRIMARY KEY, message BIGINT NOT NULL, at BIGINT NOT NULL, kind TEXT NOT NULL, code TEXT NOT NULL);
CREATE INDEX message_events_message ON message_events (message, id);
CREATE TABLE usage (patient BIGINT NOT NULL, program SMALLINT NOT NULL, recent TEXT NOT NULL DEFAULT '[]', PRIMARY KEY (patient, program));
CREATE TABLE seen (source TEXT NOT NULL, event TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (source, event));
CREATE TABLE answers (
  caller TEXT NOT NULL, key TEXT NOT NULL, body_hash BYTEA NOT NULL, status INTEGER NOT NULL, sealed BYTEA NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (caller, key)
);
CREATE TABLE revocations (id BIGINT NOT NULL PRIMARY KEY, patient BIGINT NOT NULL, version BIGINT NOT NULL, at BIGINT NOT NULL);
CREATE INDEX revocations_at ON revocations (at);
CREATE TABLE tasks (
  id BIGINT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, patient BIGINT, message BIGINT, created_at BIGINT NOT NULL, due_at BIGINT NOT NULL, done_at BIGINT, sealed BYTEA,
  UNIQUE (kind, message)
);
CREATE INDEX tasks_open ON tasks (due_at) WHERE done_at IS NULL;
CREATE TABLE api_keys (hash TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL, created_at BIGINT NOT NULL, revoked_at BIGINT);
CREATE TABLE policies (                   -- every policy that was ever in force, so that old decisions can be replayed
  version TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL, at BIGINT NOT NULL
);
CREATE TABLE marks (name TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL); -- how far something that is read again and again was read
CREATE TABLE seals (                      -- written only by the one sealer: a row is sealed once, in the sealer's order
  no BIGINT NOT NULL PRIMARY KEY, kind SMALLINT NOT NULL, row_id BIGINT NOT NULL, hash BYTEA NOT NULL,
  UNIQUE (kind, row_id)
);
CREATE TABLE page_tries (message BIGINT NOT NULL PRIMARY KEY, tries SMALLINT NOT NULL);
