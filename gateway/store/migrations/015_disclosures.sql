-- +goose Up
-- Who carried a message, kept with the try: settings change, and an accounting of disclosures (45 CFR 164.528) asks who
-- it was then. '' before this was kept.
ALTER TABLE attempts ADD COLUMN provider TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_copies ON audit (object, id) WHERE verb = 'patient.export';
