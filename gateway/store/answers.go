package store

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"maps"
	"slices"

	"harmonize.care/heed/gateway"
)

// erasedAnswer stands in the place of the status of an answer that told of somebody
// who was erased since. The call stays known, so that it is not carried out again.
const erasedAnswer = 410

// Answer gives what a key was answered before, or nil when it is new. Status 0:
// its call was carried out and its answer is not kept yet. gateway.ErrConflict when
// it came with another body, gateway.ErrErased when the answer told of somebody erased.
func (d *DB) Answer(ctx context.Context, k *gateway.Key) (*gateway.Key, error) {
	first, err := d.answer(ctx, d.read, k)
	if errors.Is(found(err), gateway.ErrNotFound) {
		return nil, nil
	}
	return first, err
}

// KeepAnswer keeps the answer of a call with a key; the first one stays.
func (d *DB) KeepAnswer(ctx context.Context, k *gateway.Key) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	kept := *k
	erased, err := d.anyErased(ctx, tx, k.About)
	if err != nil {
		return err
	}
	if erased && len(k.Answer) > 0 { // erased between the call and its answer; that it was done tells nothing
		kept.Status, kept.Answer = erasedAnswer, nil
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO answers (caller, key, body_hash, status, sealed, at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (caller, key) DO UPDATE SET status = excluded.status, sealed = excluded.sealed WHERE answers.status = 0 AND answers.body_hash = excluded.body_hash`,
		k.Caller, d.keys.answerKey(k.Key), d.keys.answerHash(k.BodyHash), kept.Status, d.keys.general.Seal(nil, nil, kept.Answer, nil), micros(d.now())); err != nil {
		return err
	}
	if err := d.linkAnswer(ctx, tx, k, setOf(k.About)); err != nil {
		return err
	}
	return tx.Commit()
}

// anyErased holds patients as they are until the answer is kept, and says whether one
// of them is erased.
func (d *DB) anyErased(ctx context.Context, tx *sql.Tx, patients []int64) (erased bool, err error) {
	if len(patients) == 0 {
		return false, nil
	}
	list, err := tx.QueryContext(ctx, "SELECT data_key FROM patients WHERE "+d.among("id", 1)+" ORDER BY id"+d.lock("KEY SHARE"), keysOf(d, setOf(patients)))
	if err != nil {
		return false, err
	}
	err = scan(list, func(s scanner) error {
		var wrapped []byte
		err := s.Scan(&wrapped)
		erased = erased || wrapped == nil
		return err
	})
	return erased, err
}

// tellsOf notes whom the answers of these changes' calls tell of: whoever each concerns.
func (r *ride) tellsOf() error {
	var list [][]any
	for _, u := range r.units {
		k := u.c.Key
		if k == nil {
			continue
		}
		about := setOf(k.About)
		for id := range u.touched() {
			about[id] = struct{}{}
		}
		for i := range u.c.Accepts {
			about[u.c.Accepts[i].Patient] = struct{}{}
		}
		delete(about, 0)
		for _, id := range slices.Sorted(maps.Keys(about)) {
			list = append(list, []any{id, k.Caller, r.keys.answerKey(k.Key), micros(r.now())})
		}
	}
	return r.insert(into{"answers_about", typed("patient BIGINT, caller TEXT, key TEXT, at BIGINT"), " ON CONFLICT DO NOTHING"}, list)
}

// touched are the patients of whom a change says something, or on whom a step of it was judged.
func (u *unit) touched() map[int64]struct{} {
	got := map[int64]struct{}{}
	for id, p := range u.patients {
		if p.by == u {
			got[id] = struct{}{}
		}
	}
	for _, s := range u.c.Steps {
		if u.patients[s.Patient] != nil {
			got[s.Patient] = struct{}{}
		}
	}
	return got
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func (d *DB) linkAnswer(ctx context.Context, q execer, k *gateway.Key, about map[int64]struct{}) error {
	if len(about) == 0 {
		return nil
	}
	_, err := q.ExecContext(ctx, "INSERT INTO answers_about (patient, caller, key, at) SELECT CAST(e.value ->> 0 AS BIGINT), $2, $3, $4 FROM "+d.each(1)+" WHERE true ON CONFLICT DO NOTHING",
		rows(about), k.Caller, d.keys.answerKey(k.Key), micros(d.now()))
	return err
}

// dropAnswers forgets the answers that tell of a patient.
func (u *unit) dropAnswers(patient int64) error {
	if err := u.run("UPDATE answers SET status = $2, sealed = $3 WHERE (caller, key) IN (SELECT caller, key FROM answers_about WHERE patient = $1)",
		patient, erasedAnswer, []byte{}); err != nil {
		return err
	}
	return u.run("DELETE FROM answers_about WHERE patient = $1", patient)
}

type rower interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (d *DB) answer(ctx context.Context, q rower, k *gateway.Key) (*gateway.Key, error) {
	first := gateway.Key{Caller: k.Caller, Key: k.Key}
	var hash, sealed []byte
	row := q.QueryRowContext(ctx, "SELECT body_hash, status, sealed FROM answers WHERE caller = $1 AND key = $2", k.Caller, d.keys.answerKey(k.Key))
	if err := row.Scan(&hash, &first.Status, &sealed); err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(hash, d.keys.answerHash(k.BodyHash)) != 1 {
		return nil, gateway.ErrConflict
	}
	if first.Status == erasedAnswer {
		return nil, gateway.ErrErased
	}
	first.BodyHash = k.BodyHash
	var err error
	if first.Answer, err = d.keys.general.Open(nil, nil, sealed, nil); err != nil {
		return nil, errSeal
	}
	return &first, nil
}
