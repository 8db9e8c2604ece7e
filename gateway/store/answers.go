package store

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"

	"harmonize.care/heed/gateway"
)

// Answer gives what a key was answered before, or nil when it is new. Status 0:
// its call was carried out and its answer is not kept yet. gateway.ErrConflict when
// it came with another body.
func (d *DB) Answer(ctx context.Context, k *gateway.Key) (*gateway.Key, error) {
	first, err := d.answer(ctx, d.read, k)
	if errors.Is(found(err), gateway.ErrNotFound) {
		return nil, nil
	}
	return first, err
}

// KeepAnswer keeps the answer of a call with a key; the first one stays.
func (d *DB) KeepAnswer(ctx context.Context, k *gateway.Key) error {
	_, err := d.write.ExecContext(ctx, `INSERT INTO answers (caller, key, body_hash, status, sealed, at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (caller, key) DO UPDATE SET status = excluded.status, sealed = excluded.sealed WHERE answers.status = 0 AND answers.body_hash = excluded.body_hash`,
		k.Caller, k.Key, k.BodyHash, k.Status, d.keys.general.Seal(nil, nil, k.Answer, nil), micros(d.now()))
	return err
}

type rower interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (d *DB) answer(ctx context.Context, q rower, k *gateway.Key) (*gateway.Key, error) {
	first := gateway.Key{Caller: k.Caller, Key: k.Key}
	var sealed []byte
	row := q.QueryRowContext(ctx, "SELECT body_hash, status, sealed FROM answers WHERE caller = $1 AND key = $2", k.Caller, k.Key)
	if err := row.Scan(&first.BodyHash, &first.Status, &sealed); err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(first.BodyHash, k.BodyHash) != 1 {
		return nil, gateway.ErrConflict
	}
	var err error
	if first.Answer, err = d.keys.general.Open(nil, nil, sealed, nil); err != nil {
		return nil, errSeal
	}
	return &first, nil
}
