// Package store keeps changes in SQL, on SQLite and PostgreSQL with one set of
// queries, and answers questions. It decides nothing.
package store

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // PostgreSQL
	"github.com/pressly/goose/v3"      // migrations, with a lock so that several replicas may start together
	"github.com/pressly/goose/v3/lock"
	_ "modernc.org/sqlite" // SQLite without cgo: one static binary

	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/preferences/policy"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options say which database, and what the process passes in.
type Options struct {
	URL    string // sqlite:PATH, or postgres://…
	Secret []byte // what every key is derived from; 32 bytes or more
	Now    func() time.Time
	NewID  func() int64
	// SkipMigrations leaves the schema as it is: `heed migrate` does the work by itself.
	SkipMigrations bool
	// Woken is called after a commit that something happened in which others asked to be
	// told of; nil: nobody waits. It must not block.
	Woken func()
}

// DB is the store. Close it.
type DB struct {
	write *sql.DB // SQLite: one connection, as it has one writer
	read  *sql.DB
	pg    bool
	keys  keys
	now   func() time.Time
	newID func() int64
	news  *news // PostgreSQL: tells and hears of revocations; nil on SQLite, which has one process

	wanted atomic.Pointer[wanted] // which outgoing events somebody asked for, as read lately
	woken  func()

	words, work lane // where changes wait to ride together

	// What is asked for with every call, gathered.
	refs    gather[string, int64]
	callers gather[string, auth.Caller]
	usages  gather[int64, policy.Usage]
}

// Open opens the database and brings its schema up to date.
func Open(ctx context.Context, o Options) (*DB, error) {
	k, err := deriveKeys(o.Secret)
	if err != nil {
		return nil, err
	}
	d := &DB{keys: k, now: o.Now, newID: o.NewID, woken: o.Woken}
	d.wanted.Store(&wanted{})
	switch path, isFile := strings.CutPrefix(o.URL, "sqlite:"); {
	case isFile:
		err = d.openSQLite(path)
	case strings.HasPrefix(o.URL, "postgres://"), strings.HasPrefix(o.URL, "postgresql://"):
		err = d.openPostgres(o.URL)
	default:
		err = errors.New("database.url: write sqlite:PATH or postgres://user@host/db")
	}
	if err != nil {
		return nil, err
	}
	d.words, d.work = lane{db: d, most: 1}, lane{db: d, most: 1}
	if d.pg {
		d.words.most, d.work.most = ridesPostgres, ridesPostgres
	}
	d.refs.ask, d.callers.ask, d.usages.ask = d.patientIDs, d.callersByKey, d.Usages
	if o.SkipMigrations {
		return d, nil
	}
	if err := d.Migrate(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *DB) openSQLite(path string) error {
	pragmas := "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	dsn := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String()
	var err error
	if d.write, err = sql.Open("sqlite", dsn+"?_txlock=immediate&"+pragmas); err != nil {
		return err
	}
	d.write.SetMaxOpenConns(1)
	if d.read, err = sql.Open("sqlite", dsn+"?"+pragmas); err != nil {
		return err
	}
	d.read.SetMaxOpenConns(8)
	return nil
}

func (d *DB) openPostgres(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return errors.New("database.url: not an address")
	}
	q := u.Query()
	// A generic plan made while a table was empty costs a factor of two to four.
	q.Set("plan_cache_mode", "force_custom_plan")
	u.RawQuery = q.Encode()
	if d.write, err = sql.Open("pgx", u.String()); err != nil {
		return err
	}
	d.write.SetMaxOpenConns(24)
	d.write.SetMaxIdleConns(24)
	d.read, d.pg = d.write, true
	d.news = newNews(u.String())
	return nil
}

// Migrate brings the schema up to date.
func (d *DB) Migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	dialect := goose.DialectSQLite3
	var options []goose.ProviderOption
	if d.pg {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	p, err := goose.NewProvider(dialect, d.write, files, options...)
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bringing the database up to date: %w", err)
	}
	return nil
}

// Ping says whether the database answers.
func (d *DB) Ping(ctx context.Context) error { return d.write.PingContext(ctx) }

// Close closes the database.
func (d *DB) Close() error {
	if d.news != nil {
		d.news.close()
	}
	err := d.write.Close()
	if !d.pg {
		err = errors.Join(err, d.read.Close())
	}
	return err
}

// each is a JSON parameter as rows; a row's members are e.value ->> 0 and on.
func (d *DB) each(n int) string {
	if d.pg {
		return fmt.Sprintf("jsonb_array_elements(CAST($%d AS jsonb)) AS e(value)", n)
	}
	return fmt.Sprintf("json_each($%d) AS e", n)
}

// ids is a sub-select of the numbers in a JSON parameter.
func (d *DB) ids(n int) string {
	return "(SELECT CAST(e.value ->> 0 AS BIGINT) FROM " + d.each(n) + ")"
}

// among is a condition that holds for the keys in list. An array is planned faster than a
// sub-select, and never looks at a whole table.
func (d *DB) among(column string, n int) string {
	if d.pg {
		return fmt.Sprintf("%s = ANY(CAST($%d AS BIGINT[]))", column, n)
	}
	return column + " IN " + d.ids(n)
}

// amongTexts is among for texts.
func (d *DB) amongTexts(column string, n int) string {
	if d.pg {
		return fmt.Sprintf("%s = ANY(CAST($%d AS TEXT[]))", column, n)
	}
	return column + " IN " + d.texts(n)
}

// list is the parameter of among and amongTexts, in order.
func list[T cmp.Ordered, V any](d *DB, set map[T]V) any {
	keys := slices.Sorted(maps.Keys(set))
	if d.pg {
		return keys
	}
	all := make([][1]T, len(keys))
	for i, k := range keys {
		all[i][0] = k
	}
	b, _ := json.Marshal(all) // numbers and texts always marshal
	return string(b)
}

// texts is a sub-select of the texts in a JSON parameter.
func (d *DB) texts(n int) string { return "(SELECT e.value ->> 0 FROM " + d.each(n) + ")" }

// lock is the suffix that locks rows; SQLite has one writer and needs none.
func (d *DB) lock(strength string) string {
	if d.pg {
		return " FOR " + strength
	}
	return ""
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
