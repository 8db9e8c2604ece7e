-- +goose Up
CREATE TABLE speaking (  -- words that are being handed over in a call: an acknowledgement on any replica waits for them
  id BIGINT NOT NULL PRIMARY KEY, patient BIGINT NOT NULL, at BIGINT NOT NULL
);
CREATE INDEX speaking_patient ON speaking (patient);
