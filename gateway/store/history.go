package store

import (
	"context"
	"fmt"
	"strconv"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// LastDecisions gives the newest decision of each message that has one.
func (d *DB) LastDecisions(ctx context.Context, messages []int64) (map[int64]gateway.DecisionRecord, error) {
	got := map[int64]gateway.DecisionRecord{}
	if len(messages) == 0 {
		return got, nil
	}
	list, err := d.decisions(ctx, "WHERE d.id IN (SELECT MAX(id) FROM decisions WHERE "+d.among("message", 1)+" GROUP BY message)", keysOf(d, setOf(messages)))
	if err != nil {
		return nil, err
	}
	rest := setOf(messages)
	for _, r := range list {
		got[r.Message] = r
		delete(rest, r.Message)
	}
	if len(rest) == 0 {
		return got, nil
	}
	list, err = d.toldDecisions(ctx, d.among("m.id", 1), keysOf(d, rest))
	for _, r := range list {
		got[r.Message] = r
	}
	return got, err
}

// maxHeard is how much of what was heard of one message a list tells.
const maxHeard = 1000

// MessageEvents gives what was heard of each message, oldest first.
func (d *DB) MessageEvents(ctx context.Context, messages []int64) (map[int64][]gateway.MessageEvent, error) {
	got := map[int64][]gateway.MessageEvent{}
	if len(messages) == 0 {
		return got, nil
	}
	list, err := d.read.QueryContext(ctx, "SELECT message, at, kind, code FROM message_events WHERE "+d.among("message", 1)+" ORDER BY message, id", keysOf(d, setOf(messages)))
	if err != nil {
		return nil, err
	}
	return got, scan(list, func(s scanner) error {
		var message, at int64
		var e gateway.MessageEvent
		err := s.Scan(&message, &at, &e.Kind, &e.Code)
		e.At = instant(at)
		if len(got[message]) < maxHeard {
			got[message] = append(got[message], e)
		}
		return err
	})
}

// History gives a patient's events and those of numbers together, by id upwards. Of an
// erased patient only kind and instant are left.
func (d *DB) History(ctx context.Context, patient int64, numbers []string, after int64, limit int) ([]gateway.HistoryRow, error) {
	own, err := d.patientKey(ctx, patient)
	if err != nil {
		return nil, err
	}
	subjects := map[string]string{"p" + strconv.FormatInt(patient, 10): ""}
	for _, number := range numbers {
		subjects["n"+d.keys.addressKey(number)] = number
	}
	names := map[string]struct{}{}
	for name := range subjects {
		names[name] = struct{}{}
	}
	list, err := d.read.QueryContext(ctx, "SELECT id, subject, kind, at, sealed FROM ledger WHERE "+d.amongTexts("subject", 1)+" AND id > $2 ORDER BY id LIMIT $3", keysOf(d, names), after, limit)
	if err != nil {
		return nil, err
	}
	var got []gateway.HistoryRow
	return got, scan(list, func(s scanner) error {
		var r gateway.HistoryRow
		var subject, kind string
		var sealed []byte
		if err := s.Scan(&r.ID, &subject, &kind, &r.At, &sealed); err != nil {
			return err
		}
		r.Kind, r.Number = preferences.EventKind(kind), subjects[subject]
		key := own
		if r.Number != "" {
			key = d.keys.general
		}
		err := open(key, sealed, &r.Event)
		got = append(got, r)
		return err
	})
}

// maxWords is how many stops and starts of one number are looked through.
const maxWords = 1000

// NumberWords gives the stops and starts of a number, the newest first.
func (d *DB) NumberWords(ctx context.Context, number string) ([]preferences.Event, error) {
	list, err := d.read.QueryContext(ctx, "SELECT id, kind, at, sealed FROM ledger WHERE subject = $1 AND kind IN ($2, $3) ORDER BY seq DESC LIMIT $4",
		"n"+d.keys.addressKey(number), string(preferences.NumberStopped), string(preferences.NumberStarted), maxWords)
	if err != nil {
		return nil, err
	}
	return opened(list, d.keys.general)
}

// EverHad counts the patients who have, or ever had, an address, the erased among them.
func (d *DB) EverHad(ctx context.Context, address string) (int, error) {
	var n int
	if err := d.read.QueryRowContext(ctx, "SELECT count(DISTINCT patient) FROM addresses WHERE key = $1", d.keys.addressKey(address)).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting who had an address: %w", err)
	}
	return n, nil
}
