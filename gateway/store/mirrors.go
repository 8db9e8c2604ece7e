package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

const mirrorColumns = "key, kind, gen, lift, listed, tries, code, changed_at, called_at, due_at"

func scanMirror(s scanner) (m gateway.Mirror, err error) {
	var changed, called, due int64
	var listed string
	err = s.Scan(&m.Key, &m.Kind, &m.Gen, &m.Lift, &listed, &m.Tries, &m.Code, &changed, &called, &due)
	m.Listed, m.Changed, m.Called, m.Due = strings.Fields(listed), instant(changed), instant(called), instant(due)
	return m, err
}

// TakeMirrors takes addresses of a kind that are due, the oldest first, for as long as
// the lease lasts, with what is known of them now. A process that dies leaves them to
// whoever comes after the lease.
func (d *DB) TakeMirrors(ctx context.Context, kind channels.Kind, limit int, lease time.Duration) ([]gateway.Mirror, error) {
	now := d.now()
	var due bool
	if err := d.read.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM mirrors WHERE kind = $1 AND due_at > 0 AND due_at <= $2)", int(kind), micros(now)).Scan(&due); err != nil || !due {
		return nil, err
	}
	list, err := d.write.QueryContext(ctx, `UPDATE mirrors SET lease = $4 WHERE key IN (SELECT key FROM mirrors WHERE kind = $1 AND due_at > 0 AND due_at <= $2 AND lease <= $2
		ORDER BY due_at LIMIT $3`+d.lock("UPDATE SKIP LOCKED")+") RETURNING "+mirrorColumns, int(kind), micros(now), limit, micros(now.Add(lease)))
	if err != nil {
		return nil, err
	}
	var got []gateway.Mirror
	if err := scan(list, func(s scanner) error {
		m, err := scanMirror(s)
		got = append(got, m)
		return err
	}); err != nil {
		return nil, err
	}
	return got, d.mirrorFacts(ctx, got)
}

// Mirrors reads addresses by their keys, with what is known of them now; one of which
// nothing was ever due comes too.
func (d *DB) Mirrors(ctx context.Context, kind channels.Kind, keys []string) ([]gateway.Mirror, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	list, err := d.read.QueryContext(ctx, "SELECT "+mirrorColumns+" FROM mirrors WHERE "+d.amongTexts("key", 1), keysOf(d, setOf(keys)))
	if err != nil {
		return nil, err
	}
	known := map[string]gateway.Mirror{}
	if err := scan(list, func(s scanner) error {
		m, err := scanMirror(s)
		known[m.Key] = m
		return err
	}); err != nil {
		return nil, err
	}
	var got []gateway.Mirror
	for _, key := range slices.Sorted(maps.Keys(setOf(keys))) {
		m, ok := known[key]
		if !ok {
			m = gateway.Mirror{Key: key, Kind: kind}
		}
		got = append(got, m)
	}
	return got, d.mirrorFacts(ctx, got)
}

// MirrorsAt is Mirrors by the addresses themselves; those that nobody ever had are left out.
func (d *DB) MirrorsAt(ctx context.Context, kind channels.Kind, addresses []string) ([]gateway.Mirror, error) {
	keys := map[string]struct{}{}
	for _, a := range addresses {
		keys[d.keys.addressKey(a)] = struct{}{}
	}
	list, err := d.read.QueryContext(ctx, "SELECT DISTINCT key FROM addresses WHERE "+d.amongTexts("key", 1), keysOf(d, keys))
	if err != nil {
		return nil, err
	}
	known, err := texts(list)
	if err != nil {
		return nil, err
	}
	return d.Mirrors(ctx, kind, known)
}

func texts(list *sql.Rows) ([]string, error) {
	var got []string
	return got, scan(list, func(s scanner) error {
		var text string
		err := s.Scan(&text)
		got = append(got, text)
		return err
	})
}

// mirrorFacts adds what is known of the addresses: who has them, and what was said of them.
func (d *DB) mirrorFacts(ctx context.Context, list []gateway.Mirror) error {
	at := map[string]*gateway.Mirror{}
	for i := range list {
		at[list[i].Key] = &list[i]
	}
	if len(at) == 0 {
		return nil
	}
	param := keysOf(d, at)
	numbers, err := d.read.QueryContext(ctx, "SELECT key, stops, said FROM numbers WHERE "+d.amongTexts("key", 1), param)
	if err != nil {
		return err
	}
	if err := scan(numbers, func(s scanner) error {
		var key, said string
		n := gateway.Number{Since: map[channels.Program]time.Time{}}
		if err := s.Scan(&key, &n.Stops, &said); err != nil {
			return err
		}
		instants := map[channels.Program]int64{}
		err := json.Unmarshal([]byte(said), &instants)
		for p, us := range instants {
			n.Since[p] = instant(us)
		}
		at[key].Number = n
		return err
	}); err != nil {
		return err
	}
	return d.owners(ctx, param, at)
}

func (d *DB) owners(ctx context.Context, param any, at map[string]*gateway.Mirror) error {
	list, err := d.read.QueryContext(ctx, `SELECT a.key, a.id, a.sealed, p.version, p.snapshot, p.data_key FROM addresses a JOIN patients p ON p.id = a.patient
		WHERE `+d.amongTexts("a.key", 1)+" ORDER BY a.key, a.id", param)
	if err != nil {
		return err
	}
	return scan(list, func(s scanner) error {
		var key string
		var id, version int64
		var sealed, body, wrapped []byte
		if err := s.Scan(&key, &id, &sealed, &version, &body, &wrapped); err != nil {
			return err
		}
		o := gateway.Owner{Snapshot: &preferences.Snapshot{}}
		if err := o.Snapshot.UnmarshalBinary(body); err != nil {
			return err
		}
		o.Snapshot.Version = version
		o.Address = o.Snapshot.AddressByID(id)
		if o.Address == nil || !o.Snapshot.Has(o.Address) {
			return nil // erased, or taken from the record
		}
		m := at[key]
		m.Owners = append(m.Owners, o)
		data, err := d.keys.dataKey(wrapped)
		if err != nil {
			return err
		}
		return open(data, sealed, &m.Address)
	})
}

// MirrorTried keeps what came of a call: lists, tries, code, and when it is due again.
// What was said meanwhile stays due.
func (d *DB) MirrorTried(ctx context.Context, m gateway.Mirror) error {
	_, err := d.write.ExecContext(ctx, `UPDATE mirrors SET listed = $3, tries = $4, code = $5, called_at = $6, lease = 0,
		due_at = CASE WHEN gen = $2 THEN $7 ELSE due_at END, lift = CASE WHEN gen = $2 THEN $8 ELSE lift END WHERE key = $1`,
		m.Key, m.Gen, strings.Join(m.Listed, " "), m.Tries, m.Code, micros(m.Called), micros(m.Due), int64(m.Lift))
	return err
}

// MirrorListed notes that a list has addresses (on), or has lost them, in which case they
// are due now. What was said or sent since the list was read is newer, and stays.
func (d *DB) MirrorListed(ctx context.Context, kind channels.Kind, keys []string, list string, on bool, read time.Time) error {
	for chunk := range slices.Chunk(keys, 500) {
		known, err := d.Mirrors(ctx, kind, chunk)
		if err != nil {
			return err
		}
		values := make([][]any, 0, len(known))
		for _, m := range known {
			due := micros(m.Due)
			if m.Take(list); on {
				m.Put(list)
			} else {
				due = micros(d.now())
			}
			values = append(values, []any{m.Key, strings.Join(m.Listed, " "), due})
		}
		param, err := json.Marshal(values)
		if err != nil {
			return err
		}
		if _, err := d.write.ExecContext(ctx, `INSERT INTO mirrors (key, kind, gen, lift, listed, changed_at, due_at) SELECT e.value ->> 0, CAST($2 AS SMALLINT), 1, 0,
			e.value ->> 1, 0, CAST(e.value ->> 2 AS BIGINT) FROM `+d.each(1)+` WHERE true
			ON CONFLICT (key) DO UPDATE SET listed = excluded.listed, due_at = excluded.due_at WHERE mirrors.changed_at < $3 AND mirrors.called_at < $3`,
			string(param), int(kind), micros(read)); err != nil {
			return err
		}
	}
	return nil
}

// Refusers walks over everybody who may belong on a list: the keys of the addresses of a
// kind of which something is refused, a page at a time. The cursor is "" at first, and
// when there is no more.
func (d *DB) Refusers(ctx context.Context, kind channels.Kind, after string, limit int) (keys []string, next string, err error) {
	if kind == channels.Phone {
		list, err := d.read.QueryContext(ctx, "SELECT key FROM numbers WHERE stops <> 0 AND key > $1 ORDER BY key LIMIT $2", after, limit)
		if err != nil {
			return nil, "", err
		}
		if keys, err = texts(list); err == nil && len(keys) == limit {
			next = keys[limit-1]
		}
		return keys, next, err
	}
	return d.refusersByMail(ctx, after, limit)
}

func (d *DB) refusersByMail(ctx context.Context, after string, limit int) (keys []string, next string, err error) {
	list, err := d.read.QueryContext(ctx, `SELECT a.key, a.id, p.snapshot FROM addresses a JOIN patients p ON p.id = a.patient
		WHERE a.kind = $1 AND a.key > $2 ORDER BY a.key LIMIT $3`, int(channels.Mailbox), after, limit)
	if err != nil {
		return nil, "", err
	}
	n, last := 0, ""
	err = scan(list, func(s scanner) error {
		var id int64
		var body []byte
		if err := s.Scan(&last, &id, &body); err != nil {
			return err
		}
		n++
		var snapshot preferences.Snapshot
		if err := snapshot.UnmarshalBinary(body); err != nil {
			return err
		}
		if a := snapshot.AddressByID(id); a != nil && (a.OptedOut != 0 || refuses(&snapshot, nil)) {
			keys = append(keys, last)
		}
		return nil
	})
	// A page may end between two who share a mailbox; what they refuse is read for both, so that one is enough.
	if n == limit {
		next = last
	}
	return keys, next, err
}

// MirrorFigures says how far the lists of a kind are behind.
func (d *DB) MirrorFigures(ctx context.Context, kind channels.Kind) (gateway.MirrorFigures, error) {
	var f gateway.MirrorFigures
	var oldest int64
	if err := d.read.QueryRowContext(ctx, "SELECT count(*), COALESCE(SUM(CASE WHEN tries > 0 THEN 1 ELSE 0 END), 0), COALESCE(MIN(CASE WHEN changed_at > 0 THEN changed_at END), 0) FROM mirrors WHERE kind = $1 AND due_at > 0",
		int(kind)).Scan(&f.Waiting, &f.Failing, &oldest); err != nil {
		return f, err
	}
	f.Oldest = instant(oldest)
	return f, d.read.QueryRowContext(ctx, "SELECT count(*) FROM mirrors WHERE kind = $1 AND listed <> ''", int(kind)).Scan(&f.Listed)
}

// ClaimMark takes a mark that lies in the past and sets it to a moment to come: of several
// replicas one is told true. It is free again when that moment is over, or the mark reset.
func (d *DB) ClaimMark(ctx context.Context, name string, now, until time.Time) (bool, error) {
	r, err := d.write.ExecContext(ctx, "INSERT INTO marks (name, at) VALUES ($1, $3) ON CONFLICT (name) DO UPDATE SET at = excluded.at WHERE marks.at <= $2",
		name, micros(now), micros(until))
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n == 1, err
}
