package store

import (
	"context"
	"errors"

	"harmonize.care/heed/gateway"
)

// KeepTogether keeps changes in one transaction, as those that ride together are. Crossed:
// they turned out to speak of the same patient, and nothing was kept.
func (d *DB) KeepTogether(ctx context.Context, changes []gateway.Change) (kept []gateway.Kept, failed []error, crossed bool, err error) {
	list := make([]*gateway.Change, len(changes))
	for i := range changes {
		c := changes[i]
		list[i] = &c
	}
	came, _, err := d.keepAll(ctx, list, nil)
	for _, one := range came {
		kept, failed = append(kept, one.kept), append(failed, one.err)
	}
	return kept, failed, errors.Is(err, errCross), err
}

// KeepAlone keeps a change in a transaction of its own.
func (d *DB) KeepAlone(ctx context.Context, c gateway.Change) (gateway.Kept, error) {
	return d.commit(ctx, c, nil)
}

// MayRide says whether changes would be taken into one ride.
func (d *DB) MayRide(changes []gateway.Change) bool {
	taken := map[thing]bool{}
	for i := range changes {
		c := &changes[i]
		if l := d.laneOf(c); l == nil || l != d.laneOf(&changes[0]) {
			return false
		}
		for _, t := range things(c) {
			if taken[t] {
				return false
			}
		}
		for _, t := range things(c) {
			taken[t] = true
		}
	}
	return true
}

// Rows reads rows as text.
func (d *DB) Rows(ctx context.Context, query string) ([][]string, error) {
	list, err := d.read.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	columns, err := list.Columns()
	if err != nil {
		return nil, err
	}
	var got [][]string
	return got, scan(list, func(s scanner) error {
		row, into := make([]string, len(columns)), make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		err := s.Scan(into...)
		got = append(got, row)
		return err
	})
}
