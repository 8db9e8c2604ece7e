package store

import (
	"context"
	"encoding/hex"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
)

// APIKey is a caller's key as staff see it: the key itself is nowhere kept.
type APIKey struct {
	Name    string
	Role    auth.Role
	Created time.Time
	Revoked time.Time // zero: in force
}

// CallerByKey finds a caller by the hash of the key. gateway.ErrNotFound for a key
// that is unknown or revoked.
func (d *DB) CallerByKey(ctx context.Context, hash []byte) (auth.Caller, error) {
	c, known, err := d.callers.get(ctx, hex.EncodeToString(hash))
	if err == nil && !known {
		err = gateway.ErrNotFound
	}
	return c, err
}

func (d *DB) callersByKey(ctx context.Context, hashes []string) (map[string]auth.Caller, error) {
	found, err := d.read.QueryContext(ctx, "SELECT hash, name, role FROM api_keys WHERE "+d.amongTexts("hash", 1)+" AND revoked_at IS NULL", keysOf(d, setOf(hashes)))
	if err != nil {
		return nil, err
	}
	got := map[string]auth.Caller{}
	return got, scan(found, func(s scanner) error {
		var c auth.Caller
		err := s.Scan(&c.ID, &c.Name, &c.Role)
		got[c.ID] = c
		return err
	})
}

// AddAPIKey keeps the hash of a new key. gateway.ErrConflict when the name is taken.
func (d *DB) AddAPIKey(ctx context.Context, name string, role auth.Role, hash []byte) error {
	r, err := d.write.ExecContext(ctx, "INSERT INTO api_keys (hash, name, role, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
		hex.EncodeToString(hash), name, string(role), micros(d.now()))
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return gateway.ErrConflict
	}
	return nil
}

// RevokeAPIKey ends a key. gateway.ErrNotFound when none in force has the name.
func (d *DB) RevokeAPIKey(ctx context.Context, name string) error {
	r, err := d.write.ExecContext(ctx, "UPDATE api_keys SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL", name, micros(d.now()))
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return gateway.ErrNotFound
	}
	return nil
}

// APIKeys lists the keys, by name.
func (d *DB) APIKeys(ctx context.Context) ([]APIKey, error) {
	list, err := d.read.QueryContext(ctx, "SELECT name, role, created_at, COALESCE(revoked_at, 0) FROM api_keys ORDER BY name LIMIT 1000")
	if err != nil {
		return nil, err
	}
	var keys []APIKey
	return keys, scan(list, func(s scanner) error {
		var k APIKey
		var created, revoked int64
		err := s.Scan(&k.Name, &k.Role, &created, &revoked)
		k.Created, k.Revoked = instant(created), instant(revoked)
		keys = append(keys, k)
		return err
	})
}
