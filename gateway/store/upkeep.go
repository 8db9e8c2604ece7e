package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"harmonize.care/heed/gateway"
)

// Retention says how long what need not be kept is kept.
type Retention struct {
	Content time.Duration // what messages said, after their end
	Answers time.Duration // idempotency keys
	Seen    time.Duration // providers' event ids: longer than any provider repeats itself
	Events  time.Duration // outgoing events, and what was delivered of them
	Dead    time.Duration // deliveries that were given up
}

// forgetBatch is how many rows one statement forgets.
const forgetBatch = 5000

// Forget drops what its retention no longer covers, and says how many rows it
// touched. The ledger, the audit log and the outcomes stay.
func (d *DB) Forget(ctx context.Context, r Retention) (int, error) {
	now := d.now()
	total := 0
	for _, step := range []struct {
		query  string
		before time.Time
	}{
		{"UPDATE messages SET sealed = NULL WHERE id IN (SELECT id FROM messages WHERE sealed IS NOT NULL AND status >= 3 AND created_at < $1 AND due_at < $1 LIMIT $2)", now.Add(-r.Content)},
		{"UPDATE campaigns SET sealed = NULL WHERE id IN (SELECT id FROM campaigns WHERE sealed IS NOT NULL AND ended_at > 0 AND ended_at < $1 LIMIT $2)", now.Add(-r.Content)},
		{"DELETE FROM answers WHERE (caller, key) IN (SELECT caller, key FROM answers WHERE at < $1 LIMIT $2)", now.Add(-r.Answers)},
		{"DELETE FROM answers_about WHERE (patient, caller, key) IN (SELECT patient, caller, key FROM answers_about WHERE at < $1 LIMIT $2)", now.Add(-r.Answers)},
		{"DELETE FROM seen WHERE (source, event) IN (SELECT source, event FROM seen WHERE at < $1 AND NOT keep LIMIT $2)", now.Add(-r.Seen)},
		{"DELETE FROM revocations WHERE id IN (SELECT id FROM revocations WHERE at < $1 LIMIT $2)", now.Add(-time.Hour)},
		{"DELETE FROM page_tries WHERE message IN (SELECT t.message FROM page_tries t JOIN messages m ON m.id = t.message WHERE m.sealed IS NULL AND m.created_at < $1 LIMIT $2)", now.Add(-r.Content)},
		{"DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE status >= 2 AND status = 2 AND ended_at < $1 LIMIT $2)", now.Add(-r.Events)},
		{"DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE status >= 2 AND ended_at < $1 LIMIT $2)", now.Add(-r.Dead)},
		{"DELETE FROM happenings WHERE id IN (SELECT h.id FROM happenings h WHERE h.at < $1 AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event = h.id) LIMIT $2)", now.Add(-r.Events)},
		{"DELETE FROM speaking WHERE id IN (SELECT id FROM speaking WHERE at < $1 LIMIT $2)", now.Add(-10 * time.Minute)}, // left by a crash
		{"DELETE FROM page_codes WHERE patient IN (SELECT patient FROM page_codes WHERE at < $1 LIMIT $2)", now.Add(-48 * time.Hour)},
	} {
		n, err := d.forget(ctx, step.query, step.before)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// forget works in batches, so that no statement holds the writer for long.
func (d *DB) forget(ctx context.Context, query string, before time.Time) (int, error) {
	total := 0
	for {
		r, err := d.write.ExecContext(ctx, query, micros(before), forgetBatch)
		if err != nil {
			return total, fmt.Errorf("dropping what is past its retention: %w", err)
		}
		n, err := r.RowsAffected()
		total += int(n)
		if err != nil || n < forgetBatch {
			return total, err
		}
	}
}

// Mark gives how far something was read; zero when it never was.
func (d *DB) Mark(ctx context.Context, name string) (time.Time, error) {
	var at int64
	err := found(d.read.QueryRowContext(ctx, "SELECT at FROM marks WHERE name = $1", name).Scan(&at))
	if errors.Is(err, gateway.ErrNotFound) {
		return time.Time{}, nil
	}
	return instant(at), err
}

// SetMark keeps how far something was read; it never moves back.
func (d *DB) SetMark(ctx context.Context, name string, at time.Time) error {
	_, err := d.write.ExecContext(ctx, "INSERT INTO marks (name, at) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET at = excluded.at WHERE marks.at < excluded.at", name, micros(at))
	return err
}

// ResetMark keeps a moment that may also move back; zero: there is none.
func (d *DB) ResetMark(ctx context.Context, name string, at time.Time) error {
	_, err := d.write.ExecContext(ctx, "INSERT INTO marks (name, at) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET at = excluded.at", name, micros(at))
	return err
}

// Node gives a number to a process that makes ids: the next one, so that no two that run at
// one time have the same.
func (d *DB) Node(ctx context.Context) (n int64, err error) {
	err = d.write.QueryRowContext(ctx, "INSERT INTO marks (name, at) VALUES ('node', 1) ON CONFLICT (name) DO UPDATE SET at = marks.at + 1 RETURNING at").Scan(&n)
	return n, err
}

// KeepPolicy keeps a policy that is in force, so that its decisions can be replayed
// after it is gone.
func (d *DB) KeepPolicy(ctx context.Context, version string, body []byte) error {
	_, err := d.write.ExecContext(ctx, "INSERT INTO policies (version, body, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", version, string(body), micros(d.now()))
	return err
}

// Policy gives a policy that was in force. gateway.ErrNotFound.
func (d *DB) Policy(ctx context.Context, version string) ([]byte, error) {
	var body string
	err := found(d.read.QueryRowContext(ctx, "SELECT body FROM policies WHERE version = $1", version).Scan(&body))
	return []byte(body), err
}

// Clock gives the database's clock: PostgreSQL's, which all replicas share, or the
// host's, given as now, on SQLite.
func (d *DB) Clock(ctx context.Context, now func() time.Time) (time.Time, error) {
	if !d.pg {
		return now(), d.Ping(ctx)
	}
	var us int64
	err := d.read.QueryRowContext(ctx, "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)").Scan(&us)
	return instant(us), err
}

// Backup writes a copy of a SQLite database as of now, while it is in use. Sends are
// held in the copy. A
// PostgreSQL server has better tools of its own.
func (d *DB) Backup(ctx context.Context, path string) error {
	if d.pg {
		return errors.New("this makes a copy of a SQLite database; use pg_dump or your server's own backup for PostgreSQL")
	}
	if _, err := os.Lstat(path); err == nil {
		return errors.New("the file is there already; name one that is not")
	}
	// The file is made first and by itself, so that nobody else can read it for a moment.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if _, err = d.write.ExecContext(ctx, "VACUUM INTO $1", path); err != nil {
		return err
	}
	return holdCopy(ctx, path, d.now())
}

// holdCopy holds the sends of a copy: whoever puts it in the database's place some day
// has forgotten what was refused since, and what went out.
func holdCopy(ctx context.Context, path string, now time.Time) error {
	copied, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String()+"?_pragma=synchronous(FULL)")
	if err != nil {
		return err
	}
	_, err = copied.ExecContext(ctx, keepHold, heldMark, micros(now))
	return errors.Join(err, copied.Close())
}

// SQL gives the writer and, on PostgreSQL, the address: for the jobs that live in
// the same database.
func (d *DB) SQL() (writer *sql.DB, postgres string) {
	if d.pg {
		return d.write, d.news.address
	}
	return d.write, ""
}
