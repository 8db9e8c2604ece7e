package store

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"harmonize.care/heed/gateway"
)

// insertDecision keeps a decision, its body under the patient's key. Nothing is kept
// of a message whose step was refused, and of somebody erased only the outcome and
// the code.
func (u *unit) insertDecision(r *gateway.DecisionRecord) error {
	if u.refused[r.Message] {
		return nil
	}
	var sealed []byte
	key, err := u.sealer(r.Patient)
	switch {
	case errors.Is(err, gateway.ErrErased):
	case err != nil:
		return err
	default:
		sealed = key.Seal(nil, nil, r.Body, nil)
	}
	return u.run("INSERT INTO decisions (id, message, at, outcome, code, sealed) VALUES ($1, $2, $3, $4, $5, $6)",
		r.ID, r.Message, micros(r.At), r.Outcome, r.Code, sealed)
}

// Decisions lists kept decisions after an id, oldest first: of one message, or,
// with message 0, of all.
func (d *DB) Decisions(ctx context.Context, message, after int64, limit int) ([]gateway.DecisionRecord, error) {
	list, err := d.decisions(ctx, "WHERE (CAST($1 AS BIGINT) = 0 OR d.message = $1) AND d.id > $2 ORDER BY d.id LIMIT $3", message, after, limit)
	if err != nil {
		return nil, err
	}
	told, err := d.toldDecisions(ctx, "(CAST($1 AS BIGINT) = 0 OR m.id = $1) AND m.id > $2 ORDER BY m.id LIMIT $3", message, after, limit)
	list = byID(list, told)
	return list[:min(limit, len(list))], err
}

// DecisionsOf lists every kept decision of some messages, oldest first.
func (d *DB) DecisionsOf(ctx context.Context, messages []int64) ([]gateway.DecisionRecord, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	list, err := d.decisions(ctx, "WHERE d.message IN "+d.ids(1), rows(setOf(messages)))
	if err != nil {
		return nil, err
	}
	told, err := d.toldDecisions(ctx, "m.id IN "+d.ids(1), rows(setOf(messages)))
	return byID(list, told), err
}

func byID(list, more []gateway.DecisionRecord) []gateway.DecisionRecord {
	list = append(list, more...)
	slices.SortFunc(list, func(a, b gateway.DecisionRecord) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func (d *DB) decisions(ctx context.Context, where string, args ...any) ([]gateway.DecisionRecord, error) {
	list, err := d.read.QueryContext(ctx, `SELECT d.id, d.message, COALESCE(m.patient, 0), d.at, d.outcome, d.code, d.sealed, p.data_key
		FROM decisions d JOIN messages m ON m.id = d.message LEFT JOIN patients p ON p.id = m.patient `+where, args...)
	if err != nil {
		return nil, err
	}
	var got []gateway.DecisionRecord
	return got, scan(list, func(s scanner) error {
		var r gateway.DecisionRecord
		var at int64
		var sealed, wrapped []byte
		if err := s.Scan(&r.ID, &r.Message, &r.Patient, &at, &r.Outcome, &r.Code, &sealed, &wrapped); err != nil {
			return err
		}
		r.At = instant(at)
		key := d.keys.general
		if r.Patient != 0 {
			if key, err = d.keys.dataKey(wrapped); err != nil {
				return err
			}
		}
		if key != nil && sealed != nil {
			if r.Body, err = key.Open(nil, nil, sealed, nil); err != nil {
				return errSeal
			}
		}
		got = append(got, r)
		return nil
	})
}
