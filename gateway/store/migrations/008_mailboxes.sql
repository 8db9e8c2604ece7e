-- +goose Up
-- A mailbox has a row in numbers too, under its key: a spam report binds whoever has
-- it, and outlives erasure.
ALTER TABLE numbers ADD COLUMN opted_out BIGINT NOT NULL DEFAULT 0; -- when the last spam report was made; 0: never

-- What a decision was made on is sealed under the patient's key: of somebody erased,
-- only the outcome and the code are left.
ALTER TABLE decisions DROP COLUMN body;
ALTER TABLE decisions ADD COLUMN outcome TEXT NOT NULL DEFAULT '';
ALTER TABLE decisions ADD COLUMN code TEXT NOT NULL DEFAULT '';
ALTER TABLE decisions ADD COLUMN sealed BYTEA;

-- Tasks about a patient are sealed under the patient's key from here on.
UPDATE tasks SET sealed = NULL WHERE patient IS NOT NULL;

-- Keys and bodies of calls stand here as keyed hashes from here on.
DELETE FROM answers;
CREATE TABLE answers_about (              -- whom a kept answer tells of: it goes with them
  patient BIGINT NOT NULL, caller TEXT NOT NULL, key TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (patient, caller, key)
);
