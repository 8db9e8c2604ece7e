-- +goose Up
-- When the provider is to be asked what became of a message: an unknown outcome, or a receipt that never came. 0: never.
ALTER TABLE messages ADD COLUMN ask_at BIGINT NOT NULL DEFAULT 0;
UPDATE messages SET ask_at = due_at WHERE status = 2;
DROP INDEX messages_open;
CREATE INDEX messages_lease ON messages (lease) WHERE status = 1;
CREATE INDEX messages_ask ON messages (ask_at) WHERE ask_at > 0;
-- How long the chain is, under the chain's key: its end cannot be cut off unseen.
CREATE TABLE chain_head (one SMALLINT NOT NULL PRIMARY KEY, no BIGINT NOT NULL, mac BYTEA NOT NULL);
