package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"harmonize.care/heed/gateway"
)

// Disclosures lists what left the gateway about a patient since a moment, by id upwards,
// which is the order in time.
func (d *DB) Disclosures(ctx context.Context, patient int64, since time.Time, after int64, limit int) ([]gateway.Disclosure, error) {
	sent, err := d.handedOver(ctx, patient, since, after, limit)
	if err != nil {
		return nil, fmt.Errorf("listing what was handed to providers: %w", err)
	}
	list, err := d.read.QueryContext(ctx, "SELECT id, at, actor FROM audit WHERE object = $1 AND verb = '"+gateway.CopyTaken+"' AND id > $2 AND at >= $3 ORDER BY id LIMIT $4",
		"patient:"+strconv.FormatInt(patient, 10), after, micros(since), limit)
	if err != nil {
		return nil, err
	}
	if err := scan(list, func(s scanner) error {
		var taken gateway.Disclosure
		var at int64
		err := s.Scan(&taken.ID, &at, &taken.TakenBy)
		taken.At = instant(at)
		sent = append(sent, taken)
		return err
	}); err != nil {
		return nil, err
	}
	slices.SortFunc(sent, func(a, b gateway.Disclosure) int { return cmp.Compare(a.ID, b.ID) })
	return sent[:min(limit, len(sent))], nil
}

// reached are the statuses of a slice that was handed to its provider, or may have been.
const reached = "IN (2, 3, 4, 5)"

// handedOver lists tries that reached a provider, or may have: from the mark that is
// made before the call, and without those that surely went nowhere.
func (d *DB) handedOver(ctx context.Context, patient int64, since time.Time, after int64, limit int) ([]gateway.Disclosure, error) {
	// A slice that ends in between gives a try its row: it is read both times then, and never not at all.
	first, err := d.toldTries(ctx, `m.patient = $1 AND m.id > $2 AND m.created_at >= $3 AND EXISTS (SELECT 1 FROM slices s WHERE s.id = m.slice AND s.status `+reached+`) ORDER BY m.id LIMIT $4`,
		patient, after, micros(since), limit)
	if err != nil {
		return nil, err
	}
	tries, err := d.attempts(ctx, `WHERE message IN (SELECT id FROM messages WHERE patient = $1) AND id > $2 AND at >= $3 AND (status BETWEEN $4 AND $5
		OR status = 1 AND EXISTS (SELECT 1 FROM slices s WHERE s.id = attempts.slice AND s.status `+reached+`)) ORDER BY id LIMIT $6`,
		patient, after, micros(since), int(gateway.AttemptBegun), int(gateway.AttemptFailed), limit)
	if err != nil {
		return nil, err
	}
	for _, a := range first {
		if !slices.ContainsFunc(tries, func(b gateway.Attempt) bool { return b.ID == a.ID }) {
			tries = append(tries, a)
		}
	}
	if len(tries) == 0 {
		return nil, nil
	}
	messages, addresses := map[int64]struct{}{}, []int64{}
	for i := range tries {
		messages[tries[i].Message] = struct{}{}
		addresses = append(addresses, tries[i].Pair.Address)
	}
	of := map[int64]*gateway.Message{}
	found, err := d.messages(ctx, "WHERE "+d.among("m.id", 1), keysOf(d, messages))
	if err != nil {
		return nil, err
	}
	for i := range found {
		of[found[i].ID] = &found[i]
	}
	texts, err := d.AddressTexts(ctx, addresses)
	if err != nil {
		return nil, err
	}
	list := make([]gateway.Disclosure, len(tries))
	for i := range tries {
		try := &tries[i]
		m := of[try.Message]
		list[i] = gateway.Disclosure{ID: try.ID, At: try.At, Attempt: try, Category: m.Category, Template: m.Template, To: texts[try.Pair.Address]}
		if list[i].To == "" && m.Body.Answer != nil {
			list[i].To = m.Body.Answer.To // an answer goes to the number that wrote, whether or not it is on record
		}
	}
	return list, nil
}
