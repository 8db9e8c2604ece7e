package store

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	// The listener needs a connection of its own, below database/sql.
	"github.com/jackc/pgx/v5"
)

// Revocations heard from other replicas shorten their messages' way to a refusal:
// the last look of every replica knows them. They are told after the commit, many
// in one NOTIFY, on a connection of their own. What holds the promise is the lock
// in the claim and the acknowledgement that waits; a NOTIFY that is lost or late
// costs time, never a wrong send.

// channel is what the replicas listen on.
const channel = "heed_revoked"

// maxTold is how many revocations one NOTIFY carries: its payload ends at 8000 bytes.
const maxTold = 150

// lookBack is how far back a replica reads when its listener is new: longer than
// any claim that could have missed a word meanwhile.
const lookBack = 2 * time.Minute

// ErrDeaf says that the listener is not there: what was revoked elsewhere may be
// unknown here, so nothing is claimed.
var ErrDeaf = errors.New("the database connection that hears of revocations is not there; trying again")

// news tells and hears of revocations.
type news struct {
	address string
	stop    context.CancelFunc
	ctx     context.Context
	running sync.WaitGroup

	mu    sync.Mutex
	queue map[int64]int64
	bell  chan struct{}
	heard bool // the listener is there and has caught up
}

func newNews(address string) *news {
	n := &news{address: address, queue: map[int64]int64{}, bell: make(chan struct{}, 1)}
	n.ctx, n.stop = context.WithCancel(context.Background())
	return n
}

func (n *news) close() {
	n.stop()
	n.running.Wait()
}

// tell puts revocations in the queue; it never blocks.
func (n *news) tell(versions map[int64]int64) {
	if len(versions) == 0 {
		return
	}
	n.mu.Lock()
	for patient, version := range versions {
		n.queue[patient] = max(n.queue[patient], version)
	}
	n.mu.Unlock()
	select {
	case n.bell <- struct{}{}:
	default:
	}
}

func (n *news) take() map[int64]int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	batch := map[int64]int64{}
	for patient, version := range n.queue {
		if len(batch) == maxTold {
			break
		}
		batch[patient] = version
		delete(n.queue, patient)
	}
	return batch
}

// Listen hears of revocations, this process's own included, until the store is
// closed. SQLite has one process and needs none.
func (d *DB) Listen(hear func(patient, version int64)) {
	if d.news == nil {
		return
	}
	d.news.running.Go(func() { d.again(func(ctx context.Context) error { return d.listen(ctx, hear) }) })
	d.news.running.Go(func() { d.again(d.announce) })
}

// Hearing says why revocations of other replicas may be missed now, or nil.
func (d *DB) Hearing() error {
	if d.news == nil {
		return nil
	}
	d.news.mu.Lock()
	defer d.news.mu.Unlock()
	if !d.news.heard {
		return ErrDeaf
	}
	return nil
}

func (d *DB) deaf() {
	d.news.mu.Lock()
	d.news.heard = false
	d.news.mu.Unlock()
}

// again runs work until the store is closed, with a short breath after a fault.
func (d *DB) again(work func(context.Context) error) {
	for d.news.ctx.Err() == nil {
		if err := work(d.news.ctx); err != nil {
			select {
			case <-time.After(200 * time.Millisecond):
			case <-d.news.ctx.Done():
			}
		}
	}
}

func (d *DB) listen(ctx context.Context, hear func(patient, version int64)) error {
	conn, err := pgx.Connect(ctx, d.news.address)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	defer d.deaf()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	// First listen, then read: nothing falls between.
	if err := d.catchUp(ctx, hear); err != nil {
		return err
	}
	d.news.mu.Lock()
	d.news.heard = true
	d.news.mu.Unlock()
	for {
		// A connection that died without a word is found by a question every few seconds.
		wait, cancel := context.WithTimeout(ctx, 5*time.Second)
		note, err := conn.WaitForNotification(wait)
		cancel()
		switch {
		case err == nil:
			var list [][2]int64
			if err := json.Unmarshal([]byte(note.Payload), &list); err != nil {
				return err
			}
			for _, r := range list {
				hear(r[0], r[1])
			}
		case wait.Err() != nil && ctx.Err() == nil && !conn.IsClosed():
			if err := d.alive(ctx, conn); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

func (d *DB) alive(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return conn.Ping(ctx)
}

func (d *DB) catchUp(ctx context.Context, hear func(patient, version int64)) error {
	list, err := d.read.QueryContext(ctx, "SELECT patient, version FROM revocations WHERE at > $1 ORDER BY at", micros(d.now().Add(-lookBack)))
	if err != nil {
		return err
	}
	return scan(list, func(s scanner) error {
		var patient, version int64
		err := s.Scan(&patient, &version)
		if err == nil {
			hear(patient, version)
		}
		return err
	})
}

func (d *DB) announce(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, d.news.address)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for {
		batch := d.news.take()
		if len(batch) == 0 {
			select {
			case <-d.news.bell:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		var list [][2]int64
		for patient, version := range batch {
			list = append(list, [2]int64{patient, version})
		}
		payload, err := json.Marshal(list)
		if err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, "SELECT pg_notify($1, $2)", channel, string(payload)); err != nil {
			d.news.tell(batch)
			return err
		}
	}
}
