package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	// On PostgreSQL statements are sent many at a time, which database/sql cannot do.
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// transaction is one on either database. On PostgreSQL statements whose outcome nobody has
// asked for yet are gathered and sent together: each of them still sees what the one before
// it waited for, and one that fails leaves out the rest. What costs time there is not the
// statement but the way to the server and back.
type transaction struct {
	ctx   context.Context
	tx    *sql.Tx   // SQLite, and where somebody else began it; nil: conn
	conn  *sql.Conn // PostgreSQL
	waits []statement
	began bool
	fault error // of statements that were sent because somebody else wanted to ask something
}

// statement is one that waits to be sent. row, if it is not nil, gets every row that it gives.
type statement struct {
	query string
	args  []any
	row   func(scanner) error
	count *int64 // gets how many rows it was about
}

// lockTime is how long those who ride together wait for a lock that somebody else has: then
// each goes by itself, and only the one that needs it waits. A single change waits as long
// as its caller does.
const lockTime = "250ms"

// keepTime bounds every change, also one that is kept while the process is being stopped: a
// connection may die without a word.
const keepTime = 30 * time.Second

func (d *DB) begin(ctx context.Context, several bool) (*transaction, error) {
	if !d.pg {
		tx, err := d.write.BeginTx(ctx, nil)
		return &transaction{ctx: ctx, tx: tx}, err
	}
	conn, err := d.write.Conn(ctx)
	t := &transaction{ctx: ctx, conn: conn, waits: []statement{{query: "BEGIN"}}}
	if several {
		t.waits = append(t.waits, statement{query: "SET LOCAL lock_timeout = '" + lockTime + "'"})
	}
	return t, err
}

// later runs a statement before anything that comes after it is asked, or the end.
func (t *transaction) later(s statement) error {
	if t.tx == nil {
		t.waits = append(t.waits, s)
		return nil
	}
	if s.row != nil {
		list, err := t.tx.QueryContext(t.ctx, s.query, s.args...)
		if err != nil {
			return kept(err)
		}
		return scan(list, s.row)
	}
	done, err := t.tx.ExecContext(t.ctx, s.query, s.args...)
	if err == nil && s.count != nil {
		*s.count, err = done.RowsAffected()
	}
	return kept(err)
}

func kept(err error) error {
	if err != nil {
		return fmt.Errorf("keeping a change: %w", err)
	}
	return nil
}

// flush sends what waits, and returns when all of it has run.
func (t *transaction) flush() error {
	if t.tx != nil || len(t.waits) == 0 {
		return nil
	}
	list := t.waits
	t.waits, t.began = nil, true
	return kept(t.conn.Raw(func(c any) error { return send(t.ctx, c.(*stdlib.Conn).Conn(), list) }))
}

func send(ctx context.Context, conn *pgx.Conn, list []statement) error {
	batch := &pgx.Batch{}
	for i := range list {
		batch.Queue(list[i].query, list[i].args...)
	}
	results := conn.SendBatch(ctx, batch)
	for i := range list {
		if err := read(results, &list[i]); err != nil {
			return errors.Join(err, results.Close())
		}
	}
	return results.Close()
}

func read(results pgx.BatchResults, s *statement) error {
	if s.row == nil {
		done, err := results.Exec()
		if s.count != nil {
			*s.count = done.RowsAffected()
		}
		if err == nil && s.query == commits && done.String() != commits {
			return errNotKept // a broken transaction ends without an error
		}
		return err
	}
	list, err := results.Query()
	if err != nil {
		return err
	}
	defer list.Close()
	for list.Next() {
		if err := s.row(list); err != nil {
			return err
		}
	}
	return list.Err()
}

const commits = "COMMIT"

// errNotKept: something of the transaction had failed, and nobody told.
var errNotKept = errors.New("the database kept nothing of it")

// commit keeps it all. Unsure: the database was asked and did not say that it has.
func (t *transaction) commit() (unsure bool, err error) {
	if t.tx != nil {
		err := t.tx.Commit()
		return err != nil, err
	}
	if t.fault != nil {
		return false, t.fault
	}
	t.waits = append(t.waits, statement{query: commits})
	if err = t.flush(); err == nil {
		t.began = false
		return false, nil
	}
	if errors.Is(err, errNotKept) {
		return false, err
	}
	var said *pgconn.PgError // it did say something, of this statement or one before it: nothing was kept
	return !errors.As(err, &said), err
}

// rollbackTime is how long the database may take to let a transaction go, before its
// connection is thrown away.
const rollbackTime = 5 * time.Second

// end lets go what was not committed, and the connection.
func (t *transaction) end() {
	if t.tx != nil {
		_ = t.tx.Rollback() // after a commit it does nothing
		return
	}
	if t.began {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), rollbackTime)
		defer cancel()
		_ = t.conn.Raw(func(c any) error {
			if _, err := c.(*stdlib.Conn).Conn().Exec(ctx, "ROLLBACK"); err != nil {
				return driver.ErrBadConn
			}
			return nil
		})
	}
	_ = t.conn.Close() // back to the pool, or thrown away
}

// askAll asks several things outside of any transaction: on PostgreSQL in one go.
func (d *DB) askAll(ctx context.Context, list []statement) error {
	if d.pg {
		conn, err := d.read.Conn(ctx)
		if err != nil {
			return err
		}
		err = conn.Raw(func(c any) error { return send(ctx, c.(*stdlib.Conn).Conn(), list) })
		return errors.Join(err, conn.Close())
	}
	for i := range list {
		found, err := d.read.QueryContext(ctx, list[i].query, list[i].args...)
		if err != nil {
			return err
		}
		if err := scan(found, list[i].row); err != nil {
			return err
		}
	}
	return nil
}

// QueryContext asks at once, after everything that waits.
func (t *transaction) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if t.tx != nil {
		return t.tx.QueryContext(ctx, query, args...)
	}
	if err := t.flush(); err != nil {
		return nil, err
	}
	return t.conn.QueryContext(ctx, query, args...)
}

// QueryRowContext asks at once, after everything that waits. A row cannot hold a fault of
// what waited: the transaction remembers it.
func (t *transaction) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if t.tx != nil {
		return t.tx.QueryRowContext(ctx, query, args...)
	}
	if t.fault = errors.Join(t.fault, t.flush()); t.fault != nil {
		gone, cancel := context.WithCancel(ctx)
		cancel()
		ctx = gone
	}
	return t.conn.QueryRowContext(ctx, query, args...)
}
