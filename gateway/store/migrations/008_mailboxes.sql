-- +goose Up
-- A mailbox has a row in numbers too, under its key: a spam report binds whoever has
-- it, and outlives erasure.
ALTER TABLE numbers ADD COLUMN opted_out BIGINT NOT NULL DEFAULT 0; -- when the last spam report was made; 0: never
