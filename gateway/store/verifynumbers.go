package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// numbers holds what is kept of every number against the fold of its events, and finds
// bodies that were taken out: only an erased patient's may be gone.
func (v *verifier) numbers() error {
	for _, look := range []struct{ fault, query string }{
		{"the body of event %s was taken out", `SELECT CAST(id AS TEXT) FROM ledger l WHERE sealed IS NULL AND NOT EXISTS (
			SELECT 1 FROM patients p WHERE p.data_key IS NULL AND p.id = CASE WHEN l.subject LIKE 'p%' THEN CAST(substr(l.subject, 2) AS BIGINT) END)`},
		{"a number (%s…) has stops and no events", `SELECT substr(key, 1, 8) FROM numbers WHERE (stops <> 0 OR said <> '{}' OR opted_out <> 0) AND NOT EXISTS (SELECT 1 FROM ledger WHERE subject = 'n' || numbers.key)`},
		{"a number (%s…) has events and is gone", `SELECT DISTINCT substr(subject, 2, 8) FROM ledger WHERE subject LIKE 'n%' AND NOT EXISTS (SELECT 1 FROM numbers WHERE key = substr(ledger.subject, 2))`},
	} {
		list, err := v.read.QueryContext(v.ctx, look.query)
		if err != nil {
			return err
		}
		if err := scan(list, func(s scanner) error {
			var what string
			err := s.Scan(&what)
			v.fault(look.fault, what)
			return err
		}); err != nil {
			return err
		}
	}
	for last := ""; ; {
		keys, err := v.numberKeys(last)
		if err != nil || len(keys) == 0 {
			return err
		}
		for _, key := range keys {
			last = key
			if err := v.number(key); err != nil {
				return err
			}
		}
	}
}

func (v *verifier) numberKeys(after string) ([]string, error) {
	list, err := v.read.QueryContext(v.ctx, "SELECT key FROM numbers WHERE key > $1 AND (stops <> 0 OR said <> '{}' OR opted_out <> 0 OR EXISTS (SELECT 1 FROM ledger WHERE subject = 'n' || numbers.key)) ORDER BY key LIMIT $2", after, sealBatch)
	if err != nil {
		return nil, err
	}
	var keys []string
	return keys, scan(list, func(s scanner) error {
		var key string
		err := s.Scan(&key)
		keys = append(keys, key)
		return err
	})
}

// number folds one number's events again; it is passed over when it moved meanwhile.
func (v *verifier) number(key string) error {
	before, err := v.kept(key)
	if err != nil {
		return err
	}
	folded := number{said: map[channels.Program]int64{}}
	list, err := v.read.QueryContext(v.ctx, "SELECT kind, sealed FROM ledger WHERE subject = $1 ORDER BY seq", "n"+key)
	if err != nil {
		return err
	}
	err = scan(list, func(s scanner) error {
		var sealed []byte
		var e preferences.Event
		if err := s.Scan(&e.Kind, &sealed); err != nil {
			return err
		}
		if err := open(v.keys.general, sealed, &e); err != nil {
			return errors.Join(errUnfoldable, err)
		}
		if e.Kind != preferences.TextReceived {
			folded.apply(&e)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errUnfoldable) {
		return err
	}
	after, again := v.kept(key)
	if again != nil || !after.equal(before) {
		return again
	}
	if err != nil || !after.equal(folded) {
		v.fault("what is kept of a number (%.8s…) is not the fold of its events", key)
	}
	return nil
}

func (n number) equal(o number) bool {
	return n.stops == o.stops && n.optedOut == o.optedOut && maps.Equal(n.said, o.said)
}

func (v *verifier) kept(key string) (number, error) {
	n := number{said: map[channels.Program]int64{}}
	var said string
	if err := v.read.QueryRowContext(v.ctx, "SELECT stops, said, opted_out FROM numbers WHERE key = $1", key).Scan(&n.stops, &said, &n.optedOut); err != nil {
		return n, fmt.Errorf("reading what is kept of a number: %w", err)
	}
	return n, json.Unmarshal([]byte(said), &n.said)
}
