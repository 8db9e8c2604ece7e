package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/campaign"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// The first try of everybody in a slice has its message's id and no row of its own: the
// slice tells all of it, once for 250 people. It gets a row when something is heard of
// it alone, or when its message leaves the slice; one that went by itself, with the
// provider's id of it when its slice ends.

const sliceColumns = "SELECT s.id, s.campaign, s.status, s.batch, s.channel, s.program, s.at, s.provider, s.form, s.discreet, s.wording, s.asked, s.items FROM slices s "

func (d *DB) slices(ctx context.Context, q querier, where string, args ...any) ([]campaign.Open, error) {
	list, err := q.QueryContext(ctx, sliceColumns+where, args...)
	if err != nil {
		return nil, err
	}
	var got []campaign.Open
	return got, scan(list, func(s scanner) error {
		var o campaign.Open
		var at int64
		var asked string
		var items []byte
		if err := s.Scan(&o.ID, &o.Campaign, &o.Status, &o.Batch, &o.Channel, &o.Program, &at, &o.Provider, &o.Form, &o.Discreet, &o.Wording, &asked, &items); err != nil {
			return err
		}
		o.At, o.Asked = instant(at), []byte(asked)
		o.Items, err = readItems(items)
		got = append(got, o)
		return err
	})
}

// fields are an item's numbers, but for its message and patient as what they are close to.
func fields(i *campaign.OpenItem) [7]int64 {
	return [7]int64{i.Message, i.Attempt - i.Message, int64(i.Number), i.Pos, i.Patient, i.Address - i.Patient, i.Version}
}

// writeItems writes items short: of most numbers how far they are from the one before.
func writeItems(list []campaign.OpenItem) []byte {
	b := binary.AppendUvarint(make([]byte, 0, 32*len(list)), uint64(len(list)))
	var last [7]int64
	for n := range list {
		is := fields(&list[n])
		for k := range is {
			b = binary.AppendVarint(b, is[k]-last[k])
		}
		last = is
	}
	return b
}

var errItems = errors.New("the items of a slice cannot be read")

func readItems(b []byte) ([]campaign.OpenItem, error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)) {
		return nil, errItems
	}
	b = b[size:]
	items := make([]campaign.OpenItem, n)
	var is [7]int64
	for i := range items {
		for k := range is {
			step, size := binary.Varint(b)
			if size <= 0 {
				return nil, errItems
			}
			is[k] += step
			b = b[size:]
		}
		items[i] = campaign.OpenItem{Message: is[0], Attempt: is[0] + is[1], Number: int(is[2]), Pos: is[3], Patient: is[4], Address: is[4] + is[5], Version: is[6]}
	}
	return items, nil
}

// tellingSlices are the slices that tell of tries which have no row, with those tries alone. The
// condition is on messages m.
func (d *DB) tellingSlices(ctx context.Context, q querier, where string, args ...any) ([]campaign.Open, error) {
	list, err := q.QueryContext(ctx, "SELECT m.id, m.slice FROM messages m WHERE m.slice IS NOT NULL AND (SELECT a.id FROM attempts a WHERE a.id = m.id) IS NULL AND "+where, args...)
	if err != nil {
		return nil, err
	}
	messages, in := map[int64]bool{}, map[int64]struct{}{}
	if err := scan(list, func(s scanner) error {
		var id, slice int64
		err := s.Scan(&id, &slice)
		messages[id], in[slice] = true, struct{}{}
		return err
	}); err != nil || len(in) == 0 {
		return nil, err
	}
	open, err := d.slices(ctx, q, "WHERE "+d.among("s.id", 1), keysOf(d, in))
	for k := range open {
		var mine []campaign.OpenItem
		for _, i := range open[k].Items {
			if i.Attempt == i.Message && messages[i.Message] {
				mine = append(mine, i)
			}
		}
		open[k].Items = mine
	}
	return open, err
}

// toldTries gives those tries as if they had rows.
func (d *DB) toldTries(ctx context.Context, where string, args ...any) ([]gateway.Attempt, error) {
	open, err := d.tellingSlices(ctx, d.read, where, args...)
	var got []gateway.Attempt
	for k := range open {
		o := &open[k]
		for _, i := range o.Items {
			got = append(got, gateway.Attempt{
				ID: i.Attempt, Message: i.Message, Number: i.Number, Pair: preferences.Pair{Channel: o.Channel, Address: i.Address}, Version: i.Version,
				Status: tried(int(gateway.AttemptClaimed), int(o.Status)), At: o.At, Program: o.Program, Form: o.Form, Discreet: o.Discreet, Wording: o.Wording, Provider: o.Provider,
			})
		}
	}
	return got, err
}

// allTries reads the tries of messages, oldest first: rows, and what slices tell of the
// messages of campaigns (mass). A slice that ends in between has given a try its row after
// the rows were read: then they are read once more.
func (d *DB) allTries(ctx context.Context, ids, mass map[int64]struct{}) ([]gateway.Attempt, error) {
	for again := false; ; again = true {
		tries, err := d.attempts(ctx, "WHERE "+d.among("message", 1)+" ORDER BY message, number", keysOf(d, ids))
		if err != nil || len(mass) == 0 {
			return tries, err
		}
		first, err := d.toldTries(ctx, d.among("m.id", 1), keysOf(d, mass))
		if err != nil {
			return nil, err
		}
		tries = append(first, tries...)
		begun := map[int64]struct{}{}
		for i := range tries {
			if _, ok := mass[tries[i].Message]; ok && tries[i].Number == 1 {
				begun[tries[i].Message] = struct{}{}
			}
		}
		if again || len(begun) == len(mass) {
			return tries, nil
		}
	}
}

// writeTold gives tries of a slice rows, with a status. One that has a row already keeps it
// as it is, or is brought forward if it was only claimed.
func (r *ride) writeTold(o *campaign.Open, items []campaign.OpenItem, status gateway.AttemptStatus) error {
	tries, ids := make([]campaign.Taken, len(items)), map[int64]struct{}{}
	for n, i := range items {
		tries[n].Open, ids[i.Attempt] = i, struct{}{}
	}
	if _, err := r.writeTries(o, tries, status); err != nil || status == gateway.AttemptClaimed || len(ids) == 0 {
		return err
	}
	return r.run("UPDATE attempts SET status = $2 WHERE status = 1 AND "+r.among("id", 1), keysOf(r.DB, ids), int(status))
}

// writeTries writes tries of a slice, in order, and leaves those alone that are written
// already. That is asked of every index: where two write the same row at once, PostgreSQL
// looks at the one that is named alone, and fails at another.
func (r *ride) writeTries(o *campaign.Open, tries []campaign.Taken, status gateway.AttemptStatus) (*table, error) {
	list := r.table("id BIGINT", "message BIGINT", "number BIGINT", "address BIGINT", "version BIGINT", "provider TEXT")
	if len(tries) == 0 {
		return list, nil
	}
	slices.SortFunc(tries, func(a, b campaign.Taken) int { return cmp.Compare(a.Open.Attempt, b.Open.Attempt) })
	for _, t := range tries {
		i := &t.Open
		list.row(i.Attempt, i.Message, i.Number, i.Address, i.Version, t.ProviderID)
	}
	return list, r.run(`INSERT INTO attempts (id, message, number, address, version, form, discreet, slice, channel, program, wording, provider, status, at, provider_id)
		SELECT e.id, e.message, e.number, e.address, e.version, CAST($1 AS TEXT), CAST($2 AS BOOLEAN), CAST($3 AS BIGINT), CAST($4 AS SMALLINT), CAST($5 AS SMALLINT), CAST($6 AS TEXT),
		CAST($7 AS TEXT), CAST($8 AS SMALLINT), CAST($9 AS BIGINT), NULLIF(e.provider, '') FROM `+list.from(10)+" WHERE true ON CONFLICT DO NOTHING",
		list.args(o.Form, o.Discreet, o.ID, int(o.Channel), int(o.Program), o.Wording, o.Provider, int(status), micros(o.At))...)
}

// writeToldOf gives the first tries of these messages rows, where they have none.
func (r *ride) writeToldOf(messages map[int64]struct{}) error {
	open, err := r.tellingSlices(r.ctx, r.tx, r.among("m.id", 1), keysOf(r.DB, messages))
	if err != nil {
		return err
	}
	for k := range open {
		if err := r.writeTold(&open[k], open[k].Items, gateway.AttemptClaimed); err != nil {
			return err
		}
	}
	return nil
}

// toldDecisions are the first decisions of messages of campaigns: their facts stand with
// the message, what was asked with the slice that claimed it first, and the way with the
// try. The condition is on messages m. The id is the message's.
func (d *DB) toldDecisions(ctx context.Context, where string, args ...any) ([]gateway.DecisionRecord, error) {
	list, err := d.read.QueryContext(ctx, `SELECT m.id, COALESCE(m.patient, 0), m.facts, p.data_key, COALESCE(a.slice, m.slice, 0), COALESCE(a.channel, 0), COALESCE(a.address, 0), COALESCE(a.form, ''),
		COALESCE(a.discreet, FALSE) FROM messages m LEFT JOIN attempts a ON a.message = m.id AND a.number = 1 LEFT JOIN patients p ON p.id = m.patient WHERE m.campaign IS NOT NULL AND `+where, args...)
	if err != nil {
		return nil, err
	}
	var got []gateway.DecisionRecord
	var of []int64 // the slices
	if err := scan(list, func(s scanner) error {
		r := gateway.DecisionRecord{Outcome: policy.Send.String()}
		var slice int64
		var facts, wrapped []byte
		if err := s.Scan(&r.ID, &r.Patient, &facts, &wrapped, &slice, &r.Pair.Channel, &r.Pair.Address, &r.Form, &r.Discreet); err != nil {
			return err
		}
		r.Message = r.ID
		key, err := d.keys.dataKey(wrapped)
		if err != nil {
			return err
		}
		if key != nil && facts != nil {
			if r.Body, err = key.Open(nil, nil, facts, nil); err != nil {
				return errSeal
			}
		}
		got, of = append(got, r), append(of, slice)
		return nil
	}); err != nil || len(got) == 0 {
		return nil, err
	}
	open, err := d.slices(ctx, d.read, "WHERE "+d.among("s.id", 1), keysOf(d, setOf(of)))
	by := map[int64]*campaign.Open{}
	for k := range open {
		by[open[k].ID] = &open[k]
	}
	for k := range got {
		if o := by[of[k]]; o != nil {
			tells(o, &got[k])
		}
	}
	return got, err
}

// tells adds what a slice knows of a decision.
func tells(o *campaign.Open, r *gateway.DecisionRecord) {
	r.At, r.Asked = o.At, o.Asked
	if r.Pair.Channel != 0 {
		return // its try has a row
	}
	r.Form, r.Discreet = o.Form, o.Discreet
	for _, i := range o.Items {
		if i.Message == r.Message {
			r.Pair = preferences.Pair{Channel: o.Channel, Address: i.Address}
		}
	}
}
