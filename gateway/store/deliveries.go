package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"harmonize.care/heed/gateway"
)

// Statuses are compared twice in places (status < 2 AND status = 1): SQLite uses a
// partial index only where its condition stands word for word.

// A delivery waits in its table until it is due, by the gateway's own clock; then it
// is handed to the jobs for one try. A try that fails puts it back; one that never
// ends (its process was killed) is over when its time is, and the delivery is due again.

const (
	// tryFor is how long a job may take from being handed over to having tried. One that
	// comes later leaves it: the delivery is handed over again.
	tryFor = time.Minute
	// atOnce is how many tries of one endpoint may be under way: one that does not answer
	// takes no other's place.
	atOnce = 8
	// relayBatch is how many events get their deliveries in one transaction.
	relayBatch = 200
)

// relayLock is the advisory lock of the one replica that relays at a moment.
const relayLock = 0x68656564 // "heed"

// Relay writes the deliveries of what happened, and gives those that are due to
// enqueue, in one transaction. It says how many of both there were.
func (d *DB) Relay(ctx context.Context, enqueue func(ctx context.Context, tx *sql.Tx, deliveries []int64) error) (int, error) {
	var work bool
	if err := d.read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM happenings WHERE relayed = FALSE) OR EXISTS (SELECT 1 FROM endpoints p
		WHERE p.disabled_at = 0 AND EXISTS (SELECT 1 FROM deliveries d WHERE d.endpoint = p.id AND d.status < 2 AND d.due_at <= $1))`, micros(d.now())).Scan(&work); err != nil || !work {
		return 0, err
	}
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	if mine, err := d.relayHere(ctx, tx); err != nil || !mine {
		return 0, err
	}
	// Held until the commit: one that is disabled or removed meanwhile takes its deliveries with it.
	endpoints, err := d.endpoints(ctx, tx, "WHERE disabled_at = 0 ORDER BY id"+d.lock("SHARE"))
	if err != nil {
		return 0, err
	}
	written, err := d.fanOut(ctx, tx, endpoints)
	if err != nil {
		return 0, err
	}
	var due []int64
	for _, e := range endpoints {
		some, err := d.takeDue(ctx, tx, e.ID)
		if err != nil {
			return 0, err
		}
		due = append(due, some...)
	}
	if len(due) > 0 {
		if err := enqueue(ctx, tx, due); err != nil {
			return 0, err
		}
	}
	return written + len(due), tx.Commit()
}

// TakeBack makes everything due again that a killed process had in its hands, at the
// start of the one process that SQLite has. On PostgreSQL it may be in another
// replica's hands: there its time has to run out.
func (d *DB) TakeBack(ctx context.Context) error {
	if d.pg {
		return nil
	}
	_, err := d.write.ExecContext(ctx, "UPDATE deliveries SET status = 0, due_at = $1 WHERE status < 2 AND status = 1", micros(d.now()))
	return err
}

// relayHere: one replica at a time.
func (d *DB) relayHere(ctx context.Context, tx *sql.Tx) (bool, error) {
	if !d.pg {
		return true, nil
	}
	var mine bool
	return mine, tx.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock($1)", relayLock).Scan(&mine)
}

// fanOut writes one delivery for each event and endpoint that asked for it.
func (d *DB) fanOut(ctx context.Context, tx *sql.Tx, endpoints []gateway.Endpoint) (int, error) {
	list, err := tx.QueryContext(ctx, "SELECT id, type, COALESCE(endpoint, 0) FROM happenings WHERE relayed = FALSE ORDER BY id LIMIT $1", relayBatch)
	if err != nil {
		return 0, err
	}
	var deliveries [][3]int64
	events := map[int64]struct{}{}
	if err := scan(list, func(s scanner) error {
		var h gateway.Happening
		if err := s.Scan(&h.ID, &h.Type, &h.Endpoint); err != nil {
			return err
		}
		events[h.ID] = struct{}{}
		for i := range endpoints {
			if e := &endpoints[i]; h.Endpoint == e.ID || h.Endpoint == 0 && e.Wants(h.Type) {
				deliveries = append(deliveries, [3]int64{d.newID(), h.ID, e.ID})
			}
		}
		return nil
	}); err != nil || len(events) == 0 {
		return 0, err
	}
	param, err := json.Marshal(deliveries)
	if err != nil {
		return 0, err
	}
	if len(deliveries) > 0 {
		if _, err := tx.ExecContext(ctx, `INSERT INTO deliveries (id, event, endpoint, status, created_at, due_at) SELECT CAST(e.value ->> 0 AS BIGINT),
			CAST(e.value ->> 1 AS BIGINT), CAST(e.value ->> 2 AS BIGINT), 0, CAST($2 AS BIGINT), CAST($2 AS BIGINT) FROM `+d.each(1)+" WHERE true ON CONFLICT DO NOTHING",
			string(param), micros(d.now())); err != nil {
			return 0, err
		}
	}
	_, err = tx.ExecContext(ctx, "UPDATE happenings SET relayed = TRUE WHERE "+d.among("id", 1), keysOf(d, events))
	return len(events), err
}

// takeDue takes what is due of one endpoint, oldest first, as much as may be under way.
func (d *DB) takeDue(ctx context.Context, tx *sql.Tx, endpoint int64) ([]int64, error) {
	now := d.now()
	var underWay int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM deliveries WHERE endpoint = $1 AND status < 2 AND status = 1 AND due_at > $2", endpoint, micros(now)).Scan(&underWay); err != nil {
		return nil, err
	}
	list, err := tx.QueryContext(ctx, "SELECT id FROM deliveries WHERE endpoint = $1 AND status < 2 AND due_at <= $2 ORDER BY due_at, id LIMIT $3",
		endpoint, micros(now), max(0, atOnce-underWay))
	if err != nil {
		return nil, err
	}
	var ids []int64
	if err := scan(list, func(s scanner) error {
		var id int64
		err := s.Scan(&id)
		ids = append(ids, id)
		return err
	}); err != nil || len(ids) == 0 {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, "UPDATE deliveries SET status = 1, due_at = $2 WHERE "+d.among("id", 1), keysOf(d, setOf(ids)), micros(now.Add(tryFor)))
	return ids, err
}

// Outgoing reads a delivery with its event and its endpoint. gateway.ErrNotFound when
// one of them is gone.
func (d *DB) Outgoing(ctx context.Context, delivery int64) (*gateway.Delivery, *gateway.Happening, *gateway.Endpoint, error) {
	got, err := one(d.deliveries(ctx, "WHERE d.id = $1", delivery))
	if err != nil {
		return nil, nil, nil, err
	}
	event, err := d.Event(ctx, got.Event)
	if err != nil {
		return nil, nil, nil, err
	}
	endpoint, err := d.Endpoint(ctx, got.Endpoint)
	return got, event, endpoint, err
}

// Deliveries lists an endpoint's deliveries, by id upwards.
func (d *DB) Deliveries(ctx context.Context, f gateway.DeliveryFilter) ([]gateway.Delivery, error) {
	args, where := []any{f.Endpoint, f.After}, []string{"d.endpoint = $1", "d.id > $2"}
	if f.Status != nil {
		args = append(args, int(*f.Status))
		where = append(where, "d.status = $3")
	}
	args = append(args, f.Limit)
	return d.deliveries(ctx, fmt.Sprintf("WHERE %s ORDER BY d.id LIMIT $%d", strings.Join(where, " AND "), len(args)), args...)
}

func (d *DB) deliveries(ctx context.Context, where string, args ...any) ([]gateway.Delivery, error) {
	list, err := d.read.QueryContext(ctx, `SELECT d.id, d.event, h.type, d.endpoint, d.status, d.tries, d.code, d.created_at, d.due_at, d.ended_at
		FROM deliveries d JOIN happenings h ON h.id = d.event `+where, args...)
	if err != nil {
		return nil, err
	}
	var got []gateway.Delivery
	return got, scan(list, func(s scanner) error {
		var r gateway.Delivery
		var created, due, ended int64
		err := s.Scan(&r.ID, &r.Event, &r.Type, &r.Endpoint, &r.Status, &r.Tries, &r.Code, &created, &due, &ended)
		r.Created, r.Due, r.Ended = instant(created), instant(due), instant(ended)
		got = append(got, r)
		return err
	})
}

// Tried keeps what came of a try. One that was given up meanwhile stays so, unless
// it arrived after all.
func (d *DB) Tried(ctx context.Context, t gateway.Delivery) error {
	_, err := d.write.ExecContext(ctx, `UPDATE deliveries SET status = $2, tries = $3, code = $4, due_at = $5, ended_at = $6
		WHERE id = $1 AND (status = 1 OR status <> 2 AND $2 = 2)`, t.ID, int(t.Status), t.Tries, t.Code, micros(t.Due), micros(t.Ended))
	return err
}

// Redeliver sends a delivery that has ended once more, from the start.
// gateway.ErrNotFound; gateway.ErrStale when it is still on its way; gateway.Invalid
// when the endpoint is disabled.
func (d *DB) Redeliver(ctx context.Context, c gateway.Change, endpoint, delivery int64) (gateway.Kept, error) {
	return d.keep(ctx, c, func(u *unit) error {
		e, err := u.lockEndpoint(endpoint)
		if err != nil {
			return err
		}
		if !e.Disabled.IsZero() {
			return disabled()
		}
		var status gateway.DeliveryStatus
		if err := found(u.tx.QueryRowContext(u.ctx, "SELECT status FROM deliveries WHERE id = $1 AND endpoint = $2"+u.lock("UPDATE"), delivery, endpoint).Scan(&status)); err != nil {
			return err
		}
		if !slices.Contains([]gateway.DeliveryStatus{gateway.DeliveryDelivered, gateway.DeliveryDead}, status) {
			return gateway.ErrStale
		}
		return u.run("UPDATE deliveries SET status = 0, tries = 0, code = '', due_at = $2, ended_at = 0 WHERE id = $1", delivery, micros(u.c.At))
	})
}
