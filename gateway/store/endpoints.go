package store

import (
	"context"
	"encoding/json"
	"fmt"

	"harmonize.care/heed/gateway"
)

// Endpoints are kept with who changed them and with the idempotency key of the call,
// in one transaction: the change given to each method holds these, and no more.

const endpointColumns = "SELECT id, types, created_at, disabled_at, why, sealed FROM endpoints "

func (d *DB) endpoints(ctx context.Context, q querier, where string, args ...any) ([]gateway.Endpoint, error) {
	list, err := q.QueryContext(ctx, endpointColumns+where, args...)
	if err != nil {
		return nil, err
	}
	var got []gateway.Endpoint
	return got, scan(list, func(s scanner) error {
		var e gateway.Endpoint
		var types string
		var created, disabled int64
		var sealed []byte
		if err := s.Scan(&e.ID, &types, &created, &disabled, &e.Why, &sealed); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(types), &e.Types); err != nil {
			return err
		}
		e.Created, e.Disabled = instant(created), instant(disabled)
		err := open(d.keys.general, sealed, &e.To)
		got = append(got, e)
		return err
	})
}

// Endpoints lists every endpoint, by id.
func (d *DB) Endpoints(ctx context.Context) ([]gateway.Endpoint, error) {
	return d.endpoints(ctx, d.read, "ORDER BY id")
}

// Endpoint reads one endpoint. gateway.ErrNotFound.
func (d *DB) Endpoint(ctx context.Context, id int64) (*gateway.Endpoint, error) {
	return one(d.endpoints(ctx, d.read, "WHERE id = $1", id))
}

// keep commits what is kept of endpoints, and makes it known in this process at once.
func (d *DB) keep(ctx context.Context, c gateway.Change, what func(*unit) error) (gateway.Kept, error) {
	kept, err := d.commit(ctx, c, what)
	d.forgetWanted()
	if err == nil && d.woken != nil {
		d.woken()
	}
	return kept, err
}

// AddEndpoint keeps a new endpoint. gateway.Invalid when there are too many.
func (d *DB) AddEndpoint(ctx context.Context, c gateway.Change, e gateway.Endpoint) (gateway.Kept, error) {
	return d.keep(ctx, c, func(u *unit) error {
		var n int
		if err := u.tx.QueryRowContext(u.ctx, "SELECT count(*) FROM endpoints").Scan(&n); err != nil {
			return err
		}
		if n >= gateway.MaxEndpoints {
			return gateway.Wrong("url", fmt.Sprintf("cannot be added: there are %d endpoints already; remove one first", gateway.MaxEndpoints))
		}
		if err := u.run("INSERT INTO endpoints (id, types, created_at, disabled_at, why, sealed) VALUES ($1, '[]', $2, 0, '', $3)", e.ID, micros(e.Created), []byte{}); err != nil {
			return err
		}
		return u.writeEndpoint(&e)
	})
}

func (u *unit) writeEndpoint(e *gateway.Endpoint) error {
	types, err := json.Marshal(append([]gateway.EventType{}, e.Types...))
	if err != nil {
		return err
	}
	sealed, err := seal(u.keys.general, e.To)
	if err != nil {
		return err
	}
	return u.run("UPDATE endpoints SET types = $2, disabled_at = $3, why = $4, sealed = $5 WHERE id = $1", e.ID, string(types), micros(e.Disabled), e.Why, sealed)
}

// lockEndpoint reads an endpoint and keeps it as it is until the commit.
func (u *unit) lockEndpoint(id int64) (*gateway.Endpoint, error) {
	return one(u.endpoints(u.ctx, u.tx, "WHERE id = $1"+u.lock("UPDATE"), id))
}

// ChangeEndpoint lets judge change a locked endpoint. What still waits for one that
// is out of use then is given up: it can be sent again later. gateway.ErrNotFound.
func (d *DB) ChangeEndpoint(ctx context.Context, c gateway.Change, id int64, judge func(*gateway.Endpoint) error) (gateway.Kept, error) {
	return d.keep(ctx, c, func(u *unit) error {
		e, err := u.lockEndpoint(id)
		if err != nil {
			return err
		}
		if err := judge(e); err != nil {
			return err
		}
		if err := u.writeEndpoint(e); err != nil || e.Disabled.IsZero() {
			return err
		}
		return u.run("UPDATE deliveries SET status = 3, code = 'disabled', ended_at = $2 WHERE endpoint = $1 AND status < 2", id, micros(u.c.At))
	})
}

// RemoveEndpoint forgets an endpoint and everything on its way there.
// gateway.ErrNotFound.
func (d *DB) RemoveEndpoint(ctx context.Context, c gateway.Change, id int64) (gateway.Kept, error) {
	return d.keep(ctx, c, func(u *unit) error {
		n, err := u.exec("DELETE FROM endpoints WHERE id = $1", id)
		if err != nil {
			return err
		}
		if n == 0 {
			return gateway.ErrNotFound
		}
		return u.run("DELETE FROM deliveries WHERE endpoint = $1", id)
	})
}

// disabled is what is told of an endpoint that takes nothing now.
func disabled() error {
	return gateway.Wrong("disabled", "must be false first: this endpoint takes nothing now")
}

// PingEndpoint makes a test event for one endpoint. gateway.ErrNotFound, gateway.Invalid when
// it is disabled.
func (d *DB) PingEndpoint(ctx context.Context, c gateway.Change, endpoint, event int64) (gateway.Kept, error) {
	return d.keep(ctx, c, func(u *unit) error {
		e, err := u.lockEndpoint(endpoint)
		if err != nil {
			return err
		}
		if !e.Disabled.IsZero() {
			return disabled()
		}
		u.happened = append(u.happened, gateway.Happening{ID: event, At: u.c.At, Type: gateway.Ping, Endpoint: endpoint})
		return nil
	})
}
