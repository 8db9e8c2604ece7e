package store

import (
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"

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
	list := make([]any, 0, len(r.ledger))
	for i := range r.ledger {
		l := &r.ledger[i]
		nth[l.subject]++
		list = append(list, []any{l.event.ID, l.subject, nth[l.subject], string(l.event.Kind), l.event.At, hex.EncodeToString(l.digest[:]), hex.EncodeToString(l.sealed)})
	}
	r.ledger = nil
	return r.all(`INSERT INTO ledger (id, subject, seq, kind, at, digest, sealed) SELECT CAST(e.value ->> 0 AS BIGINT), e.value ->> 1,
		(SELECT COALESCE(MAX(l.seq), 0) FROM ledger l WHERE l.subject = e.value ->> 1) + CAST(e.value ->> 2 AS BIGINT), e.value ->> 3, CAST(e.value ->> 4 AS BIGINT), `+
		r.unhex("e.value ->> 5")+", "+r.unhex("e.value ->> 6")+" FROM "+r.each(1), list)
}
