package store

import (
	"context"
	"database/sql"
	"errors"

	"harmonize.care/heed/gateway"
)

// TakeTry takes one of the tries that the page of a message has, and says which
// one it is, 1 first; 0: none is left. One statement looks and counts, so that
// guesses made side by side never get more than there are.
func (d *DB) TakeTry(ctx context.Context, message int64, most int) (int, error) {
	var n int
	err := d.write.QueryRowContext(ctx, `INSERT INTO page_tries (message, tries) VALUES ($1, 1)
		ON CONFLICT (message) DO UPDATE SET tries = page_tries.tries + 1 WHERE page_tries.tries < $2 RETURNING tries`, message, most).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

// GiveTryBack takes back a try that did not fail.
func (d *DB) GiveTryBack(ctx context.Context, message int64) error {
	_, err := d.write.ExecContext(ctx, "UPDATE page_tries SET tries = tries - 1 WHERE message = $1 AND tries > 0", message)
	return err
}

// TriesTaken counts the tries that the page of a message has used up.
func (d *DB) TriesTaken(ctx context.Context, message int64) (int, error) {
	var n int
	err := found(d.read.QueryRowContext(ctx, "SELECT tries FROM page_tries WHERE message = $1", message).Scan(&n))
	if errors.Is(err, gateway.ErrNotFound) {
		return 0, nil
	}
	return n, err
}
