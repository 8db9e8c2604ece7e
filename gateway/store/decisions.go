package store

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"harmonize.care/heed/gateway"
)

// insertDecisions keeps decisions, each body under its patient's key. Nothing is kept
// of a message whose step was refused, and of somebody erased only the outcome and
// the code.
func (r *ride) insertDecisions() error {
	var list [][]any
	for _, u := range r.units {
		for i := range u.c.Decides {
			d := &u.c.Decides[i]
			if u.refused[d.Message] {
				continue
			}
			var sealed []byte
			key, err := r.sealer(d.Patient)
			switch {
			case errors.Is(err, gateway.ErrErased):
			case err != nil:
				return err
			default:
				sealed = key.Seal(nil, nil, d.Body, nil)
			}
			list = append(list, []any{d.ID, d.Message, micros(d.At), d.Outcome, d.Code, sealed})
		}
	}
	return r.insert(into{"decisions", typed("id BIGINT, message BIGINT, at BIGINT, outcome TEXT, code TEXT, sealed BYTEA"), ""}, list)
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
	list, err := d.decisions(ctx, "WHERE "+d.among("d.message", 1), keysOf(d, setOf(messages)))
	if err != nil {
		return nil, err
	}
	told, err := d.toldDecisions(ctx, d.among("m.id", 1), keysOf(d, setOf(messages)))
	return byID(list, told), err
}

func byID(list, more []gateway.DecisionRecord) []gateway.DecisionRecord {
	list = append(list, more...)
	slices.SortFunc(list, func(a, b gateway.DecisionRecord) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func (d *DB) decisions(ctx context.Context, where string, args ...any) ([]gateway.DecisionRecord, error) {
	list, err := d.read.QueryContext(ctx, decisionColumns+where, args...)
	if err != nil {
		return nil, err
	}
	var got []gateway.DecisionRecord
	return got, scan(list, d.decisionRow(&got))
}

const decisionColumns = `SELECT d.id, d.message, COALESCE(m.patient, 0), d.at, d.outcome, d.code, d.sealed, p.data_key
	FROM decisions d JOIN messages m ON m.id = d.message LEFT JOIN patients p ON p.id = m.patient `

func (d *DB) decisionRow(got *[]gateway.DecisionRecord) func(scanner) error {
	return func(s scanner) error {
		var r gateway.DecisionRecord
		var at int64
		var sealed, wrapped []byte
		if err := s.Scan(&r.ID, &r.Message, &r.Patient, &at, &r.Outcome, &r.Code, &sealed, &wrapped); err != nil {
			return err
		}
		r.At = instant(at)
		key := d.keys.general
		if r.Patient != 0 {
			var err error
			if key, err = d.keys.dataKey(wrapped); err != nil {
				return err
			}
		}
		if key != nil && sealed != nil {
			var err error
			if r.Body, err = key.Open(nil, nil, sealed, nil); err != nil {
				return errSeal
			}
		}
		*got = append(*got, r)
		return nil
	}
}
