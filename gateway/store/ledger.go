package store

import (
	"crypto/cipher"
	"crypto/sha256"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// line is an event that is still to be written into the ledger.
type line struct {
	subject string
	event   *preferences.Event
	digest  [sha256.Size]byte
	sealed  []byte
}

// appendLedger adds one event; the digest covers the sealed body.
func (r *ride) appendLedger(subject string, key cipher.AEAD, e *preferences.Event) error {
	if key == nil {
		return gateway.ErrErased
	}
	sealed, err := seal(key, e)
	if err != nil {
		return err
	}
	r.ledger = append(r.ledger, line{subject, e, sha256.Sum256(sealed), sealed})
	return nil
}

// writeLedger writes what was added, each after the last event of its subject, whose lock
// is ours.
func (r *ride) writeLedger() error {
	nth := map[string]int{}
	list := r.table("id BIGINT, subject TEXT, nth BIGINT, kind TEXT, at BIGINT, digest BYTEA, sealed BYTEA")
	for i := range r.ledger {
		l := &r.ledger[i]
		nth[l.subject]++
		list.row(l.event.ID, l.subject, nth[l.subject], string(l.event.Kind), l.event.At, l.digest[:], l.sealed)
	}
	r.ledger = nil
	return r.all(list, `INSERT INTO ledger (id, subject, seq, kind, at, digest, sealed) SELECT e.id, e.subject,
		(SELECT COALESCE(MAX(l.seq), 0) FROM ledger l WHERE l.subject = e.subject) + e.nth, e.kind, e.at, e.digest, e.sealed FROM `+list.from(1)+" WHERE true")
}
