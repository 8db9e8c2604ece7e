package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// A database may not be the one it was a moment ago: a standby took over, or a backup was
// put in its place. It may have forgotten refusals that were acknowledged, and messages
// that went out. So PostgreSQL is asked who it is on every new connection, before a claim
// can be made on it, and a stranger holds all sends until a person has released them.

// The names of these marks say what the database was known by.
const (
	servedMark = "database "
	secretMark = "secret "
)

// whoIs asks PostgreSQL for the cluster, its timeline (a new one begins with every
// promotion and every restore to a point in time) and the database in it (a dump that is
// read back makes another one). A server that does not tell keeps no commit from others:
// those are services whose replicas share their storage.
const whoIs = `SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())::text,
	substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)`

// Takeover says what a new timeline of the same database means.
type Takeover uint8

const (
	HoldAfterTakeover Takeover = iota // commits may be missing
	SendAfterTakeover                 // whoever takes over has every commit
)

// recognise is called with every new connection, before it is used.
func (d *DB) recognise(ctx context.Context, conn *pgx.Conn) error {
	var database, timeline string
	err := conn.QueryRow(ctx, whoIs).Scan(&database, &timeline)
	if told := (*pgconn.PgError)(nil); errors.As(err, &told) {
		if told.Code == "55000" { // a standby: nothing can be written here
			return errors.New("this PostgreSQL is a standby: name the primary in database.url")
		}
		return nil // it does not say
	}
	if err != nil {
		return err
	}
	return d.known(ctx, conn, servedMark+database+"/", timeline)
}

// introduce makes a database known whose first connections came before its tables.
func (d *DB) introduce(ctx context.Context) error {
	if !d.pg {
		return nil
	}
	conn, err := d.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(c any) error { return d.recognise(ctx, c.(*stdlib.Conn).Conn()) })
}

// known keeps who the database is. Where it was known as another, all sends are held in
// the same transaction; of several connections one finds the old mark.
func (d *DB) known(ctx context.Context, conn *pgx.Conn, database, timeline string) error {
	var before string
	err := conn.QueryRow(ctx, "SELECT COALESCE(max(name), '') FROM marks WHERE name LIKE $1", servedMark+"%").Scan(&before)
	if told := (*pgconn.PgError)(nil); errors.As(err, &told) && told.Code == "42P01" {
		return nil // not a table yet: Migrate comes back to it
	}
	if err != nil || before == database+timeline {
		return err
	}
	hold := before != "" && (d.takeover == HoldAfterTakeover || !strings.HasPrefix(before, database))
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		at := micros(d.now())
		old, err := tx.Exec(ctx, "DELETE FROM marks WHERE name = $1", before)
		if err == nil {
			_, err = tx.Exec(ctx, "INSERT INTO marks (name, at) VALUES ($1, $2) ON CONFLICT DO NOTHING", database+timeline, at)
		}
		if err != nil || !hold || old.RowsAffected() == 0 {
			return err
		}
		if _, err := tx.Exec(ctx, keepHold, heldMark, at); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO audit (id, at, actor, verb, object, detail) VALUES ($1, $2, 'heed', 'sending.hold', 'sending', $3)", d.newID(), at,
			"another server took over, or a backup was put in its place")
		return err
	})
}

// ownSecret refuses another secret than the one that the database was made with. Under
// another, a number's stops would not be found, and what is said of it kept elsewhere.
func (d *DB) ownSecret(ctx context.Context) error {
	mine := secretMark + base64.RawURLEncoding.EncodeToString(d.keys.print)
	if _, err := d.write.ExecContext(ctx, "INSERT INTO marks (name, at) SELECT $1, $2 WHERE NOT EXISTS (SELECT 1 FROM marks WHERE name LIKE $3) ON CONFLICT DO NOTHING",
		mine, micros(d.now()), secretMark+"%"); err != nil {
		return err
	}
	list, err := d.write.QueryContext(ctx, "SELECT name FROM marks WHERE name LIKE $1", secretMark+"%")
	if err != nil {
		return err
	}
	return scan(list, func(s scanner) error {
		var name string
		err := s.Scan(&name)
		if err == nil && name != mine {
			err = fmt.Errorf("%w: bring back the secret that this database was made with; every replica has the same", ErrOtherSecret)
		}
		return err
	})
}

// ErrOtherSecret ends the start with a secret that is not the database's.
var ErrOtherSecret = errors.New("keys.secret is another one than this database's")
