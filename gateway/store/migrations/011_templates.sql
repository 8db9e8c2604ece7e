-- +goose Up
CREATE TABLE template_versions (          -- the practice's own texts; a row is never deleted, so that what went out can be shown again
  name TEXT NOT NULL,
  version INTEGER NOT NULL,
  draft TEXT NOT NULL,                    -- JSON: category, content, variables and source
  digest TEXT NOT NULL,                   -- of the draft; the audit log holds it too, under the chain
  created_by TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  approved_by TEXT NOT NULL DEFAULT '',
  approved_at BIGINT,
  retired_by TEXT NOT NULL DEFAULT '',
  retired_at BIGINT,
  PRIMARY KEY (name, version)
);
ALTER TABLE attempts ADD COLUMN wording TEXT NOT NULL DEFAULT ''; -- digest of the text that went out; '': before this was kept
