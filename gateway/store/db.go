// Package store keeps changes in SQL, on SQLite and PostgreSQL with one set of
// queries, and answers questions. It decides nothing.
package store

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib" // PostgreSQL
	"github.com/pressly/goose/v3"    // migrations, with a lock so that several replicas may start together
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
	Takeover       Takeover
	// Woken is called after a commit that something happened in which others asked to be
	// told of; nil: nobody waits. It must not block.
	Woken func()
}

// DB is the store. Close it.
type DB struct {
	write    *sql.DB // SQLite: one connection, as it has one writer
	read     *sql.DB
	pg       bool
	keys     keys
	now      func() time.Time
	newID    func() int64
	takeover Takeover
	news     *news // PostgreSQL: tells and hears of revocations; nil on SQLite, which has one process

	wanted atomic.Pointer[wanted] // which outgoing events somebody asked for, as read lately
	woken  func()

	words, work lane // where changes wait to ride together

	// What is asked for with every call, gathered.
	refs      gather[string, int64]
	callers   gather[string, auth.Caller]
	usages    gather[int64, policy.Usage]
	addressed gather[int64, string] // the texts of addresses
}

// Open opens the database and brings its schema up to date.
func Open(ctx context.Context, o Options) (*DB, error) {
	k, err := deriveKeys(o.Secret)
	if err != nil {
		return nil, err
	}
	d := &DB{keys: k, now: o.Now, newID: o.NewID, woken: o.Woken, takeover: o.Takeover}
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
	d.refs.ask, d.callers.ask, d.usages.ask, d.addressed.ask = d.patientIDs, d.callersByKey, d.Usages, d.readTexts
	if o.SkipMigrations {
		return d, nil
	}
	if err := d.Migrate(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if err := d.ownSecret(ctx); err != nil {
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
	// Planning anew was two fifths of what a single message costs the database. Every list goes
	// as an array, so that a plan holds for any of them; what would make one wrong is to be made
	// while a table is empty, when reading it from end to end looks cheap: that is never done
	// where there is an index.
	q.Set("plan_cache_mode", "force_generic_plan")
	q.Set("enable_seqscan", "off")
	// Compiling a statement takes a second, and PostgreSQL thinks it worth while for a report
	// of a large campaign that is there in 10 ms.
	q.Set("jit", "off")
	// A machine that loses its power says nothing: the locks of what it had begun would be held
	// until PostgreSQL's system misses it, two hours by default, and nobody could say STOP.
	q.Set("idle_in_transaction_session_timeout", strconv.FormatInt(2*keepTime.Milliseconds(), 10))
	u.RawQuery = q.Encode()
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		return errors.New("database.url: not an address of a PostgreSQL database")
	}
	d.write = stdlib.OpenDB(*config, stdlib.OptionAfterConnect(d.recognise))
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
		// Replicas that start together take turns; the library's own breath between two looks is 5 s.
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
		if err != nil {
			return err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	options = append(options, goose.WithGoMigrations(goose.NewGoMigration(21, &goose.GoFunc{RunTx: d.suitPostgres}, nil)))
	p, err := goose.NewProvider(dialect, d.write, files, options...)
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bringing the database up to date: %w", err)
	}
	return d.introduce(ctx)
}

// suitPostgres is migration 21, of PostgreSQL alone. A foreign key costs it a query for
// every row that is written, a third of what a campaign's message takes; what these held
// is held anyway: a message is written under the lock of its patient, whose row is never
// deleted, and an attempt beside its message. And what stands in a slice, ids alone, is
// not worth pressing.
func (d *DB) suitPostgres(ctx context.Context, tx *sql.Tx) error {
	if !d.pg {
		return nil
	}
	_, err := tx.ExecContext(ctx, `ALTER TABLE messages DROP CONSTRAINT messages_patient_fkey; ALTER TABLE attempts DROP CONSTRAINT attempts_message_fkey;
		ALTER TABLE slices ALTER COLUMN items SET STORAGE EXTERNAL`)
	return err
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

// keysOf is the parameter of among and amongTexts, in order.
func keysOf[T cmp.Ordered, V any](d *DB, set map[T]V) any {
	if d.pg {
		return slices.Sorted(maps.Keys(set))
	}
	return rows(set)
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
