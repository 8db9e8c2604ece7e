-- +goose Up
CREATE TABLE page_codes (                 -- the code that opens a patient's preference page: one at most
  patient BIGINT NOT NULL PRIMARY KEY REFERENCES patients (id),
  address BIGINT NOT NULL DEFAULT 0,
  digest BYTEA,                           -- NULL once it was used
  tries SMALLINT NOT NULL DEFAULT 0,
  at BIGINT NOT NULL DEFAULT 0,           -- when the code was made
  recent TEXT NOT NULL DEFAULT '[]'       -- when codes were made lately, so that no more are made than may be
);
CREATE INDEX page_codes_at ON page_codes (at);
