-- +goose Up
-- A START that is played to us again must stay known for as long as it could lift anything: its id is never forgotten.
ALTER TABLE seen ADD COLUMN keep BOOLEAN NOT NULL DEFAULT FALSE;
