package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"time"

	"harmonize.care/heed/gateway"
)

// The chain makes any change, gap or reorder of the ledger and the audit log
// visible: every row gets a seal, HMAC-SHA256 over the seal before it and what the
// row says. Bodies are covered by their digests, so that erasing a person's key
// leaves the chain whole. Keyed, so that who can write to the database cannot make
// the chain anew.

// sealed rows by kind; the numbers stand in the database.
const (
	ledgerRows = 1
	auditRows  = 2
)

// sealBatch is how many rows one commit seals.
const sealBatch = 1000

// sealLock keeps a second sealer out, on PostgreSQL, until the transaction ends.
const sealLock = 0x68656564

// link is one row as the chain covers it.
type link struct {
	kind int
	id   int64
	said []byte // a digest of everything the row says
}

var chained = map[int]string{
	ledgerRows: "SELECT id, subject, CAST(seq AS TEXT), kind, CAST(at AS TEXT), digest FROM ledger",
	auditRows:  "SELECT id, actor, verb, object, CAST(at AS TEXT), CAST(detail AS BYTEA) FROM audit",
}

func (k *keys) seal(before []byte, l link) []byte {
	mac := hmac.New(sha256.New, k.chain)
	mac.Write(before)
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(l.kind))
	binary.BigEndian.PutUint64(b[8:], uint64(l.id))
	mac.Write(b[:])
	mac.Write(l.said)
	return mac.Sum(nil)
}

// head vouches for how long the chain is: who cuts its end off cannot say so under
// the key. What was never sealed, at most some 30 s of rows, it does not cover.
func (k *keys) head(no int64, hash []byte) []byte {
	mac := hmac.New(sha256.New, k.chain)
	mac.Write([]byte("head"))
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(no)))
	mac.Write(hash)
	return mac.Sum(nil)
}

// links reads rows of one kind as the chain covers them.
func (d *DB) links(ctx context.Context, q querier, kind int, where string, args ...any) ([]link, error) {
	query := chained[kind]
	if kind == auditRows && d.pg {
		query = "SELECT id, actor, verb, object, CAST(at AS TEXT), convert_to(detail, 'UTF8') FROM audit"
	}
	list, err := q.QueryContext(ctx, query+" r "+where, args...)
	if err != nil {
		return nil, err
	}
	var got []link
	return got, scan(list, func(s scanner) error {
		l := link{kind: kind}
		var a, b, c, at string
		var body []byte
		if err := s.Scan(&l.id, &a, &b, &c, &at, &body); err != nil {
			return err
		}
		h := sha256.New()
		for _, part := range [][]byte{[]byte(a), []byte(b), []byte(c), []byte(at), body} {
			var n [8]byte
			binary.BigEndian.PutUint64(n[:], uint64(len(part)))
			h.Write(n[:]) // the length first, so that no two rows say the same bytes
			h.Write(part)
		}
		l.said = h.Sum(nil)
		got = append(got, l)
		return nil
	})
}

// sealSlack is how far back rows without a seal are looked for, as a span of ids:
// an hour, longer than any transaction lives.
const sealSlack = int64(time.Hour/time.Microsecond) << 11

// sealedMark is when everything was looked at last, and sealAllSlack how far before that it
// is begun from the next time: longer than a process runs with a wrong clock. What is put
// among older rows by somebody's hand is never sealed, and a verification tells of it.
const (
	sealedMark   = "sealed all"
	sealAllSlack = 48 * sealSlack
)

// Seal gives seals to rows that have none, oldest first, and says to how many. It
// asks for rows without a seal, never for rows after the last one: a transaction
// that commits late would be passed over. It looks at the last hour, or, with
// everything set, at what was written since it last did so, two days before that, too: of
// years of rows each is looked at once. One sealer works at a time.
func (d *DB) Seal(ctx context.Context, everything bool) (int, error) {
	began := d.now()
	after, err := d.sealAfter(ctx, everything)
	if err != nil {
		return 0, err
	}
	total := 0
	for {
		n, err := d.sealSome(ctx, after)
		total += n
		if err != nil {
			return total, err
		}
		if n == 0 {
			break
		}
	}
	if !everything {
		return total, nil
	}
	return total, d.SetMark(ctx, sealedMark, began)
}

// sealAfter gives the id, for each kind, after which rows are looked at.
func (d *DB) sealAfter(ctx context.Context, everything bool) (map[int]int64, error) {
	after := map[int]int64{}
	if everything {
		last, err := d.Mark(ctx, sealedMark)
		since := (micros(last)-gateway.IDEpoch)*gateway.Nodes - sealAllSlack
		after[ledgerRows], after[auditRows] = since, since
		return after, err
	}
	for _, kind := range []int{ledgerRows, auditRows} {
		var last int64
		if err := d.read.QueryRowContext(ctx, "SELECT COALESCE(MAX(row_id), 0) FROM seals WHERE kind = $1", kind).Scan(&last); err != nil {
			return nil, err
		}
		after[kind] = last - sealSlack
	}
	return after, nil
}

// sealSome seals one batch, and moves on to the last row of it.
func (d *DB) sealSome(ctx context.Context, after map[int]int64) (int, error) {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	if d.pg {
		// Rows come in the order of their index, or each batch would sort all that is left.
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1), set_config('enable_sort', 'off', true)", sealLock); err != nil {
			return 0, err
		}
	}
	var no int64
	var before []byte
	err = tx.QueryRowContext(ctx, "SELECT no, hash FROM seals ORDER BY no DESC LIMIT 1").Scan(&no, &before)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	seals := d.table("no BIGINT", "kind BIGINT", "row BIGINT", "hash BYTEA")
	for _, kind := range []int{ledgerRows, auditRows} {
		// A question within the question, and no join: before the tables are known to be large,
		// PostgreSQL would join them by looking at every seal for every row.
		open, err := d.links(ctx, tx, kind, "WHERE r.id > $1 AND (SELECT seals.no FROM seals WHERE seals.kind = $2 AND seals.row_id = r.id) IS NULL ORDER BY r.id LIMIT $3",
			after[kind], kind, sealBatch)
		if err != nil {
			return 0, err
		}
		for _, l := range open {
			no, before = no+1, d.keys.seal(before, l)
			seals.row(no, l.kind, l.id, before)
			after[kind] = l.id
		}
	}
	if seals.n > 0 {
		if _, err := tx.ExecContext(ctx, "INSERT INTO seals (no, kind, row_id, hash) SELECT e.no, e.kind, e.row, e.hash FROM "+seals.from(1), seals.args()...); err != nil {
			return 0, err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO chain_head (one, no, mac) VALUES (1, $1, $2) ON CONFLICT (one) DO UPDATE SET no = excluded.no, mac = excluded.mac",
			no, d.keys.head(no, before)); err != nil {
			return 0, err
		}
	}
	return seals.n, tx.Commit()
}
