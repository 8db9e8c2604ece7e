package store

import (
	"context"
	"time"

	"harmonize.care/heed/gateway"
)

// A hold on all sends stands in the database, so that it outlives every process and binds
// every replica: each claim looks for it in its own transaction. Answers to what a patient
// just asked or must hear now go on: they follow from nothing that a restored database
// could have forgotten.

// heldMark is since when nothing is sent.
const heldMark = "sends held"

// isHeld is the moment of the hold, or 0, inside another statement.
const isHeld = "COALESCE((SELECT k.at FROM marks k WHERE k.name = '" + heldMark + "'), 0)"

// Hold keeps a hold together with the change that tells of it. One that is there already
// keeps its moment.
func (d *DB) Hold(ctx context.Context, c gateway.Change) error {
	_, err := d.commit(ctx, c, func(u *unit) error { return u.holdSends(c.At) })
	return err
}

func (u *unit) holdSends(at time.Time) error {
	return u.run(keepHold, heldMark, micros(at))
}

const keepHold = "INSERT INTO marks (name, at) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET at = excluded.at WHERE marks.at = 0"

// Release ends a hold together with the change that tells of it.
func (d *DB) Release(ctx context.Context, c gateway.Change) error {
	_, err := d.commit(ctx, c, func(u *unit) error { return u.run("UPDATE marks SET at = 0 WHERE name = $1", heldMark) })
	return err
}

// Held gives since when nothing is sent; zero: nothing is held.
func (d *DB) Held(ctx context.Context) (time.Time, error) { return d.Mark(ctx, heldMark) }

// Load is how much stands before the providers.
type Load struct {
	Sending   int // claimed: a call to a provider may be under way
	Due       int // would go now
	Campaigns int // running
}

// Load counts it. Answers are left out, as a hold leaves them out.
func (d *DB) Load(ctx context.Context, now time.Time) (Load, error) {
	var l Load
	err := d.read.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM messages WHERE status = 1 AND queue <> $2) + (SELECT count(*) FROM slices WHERE status < 3),
		(SELECT count(*) FROM messages WHERE status = 0 AND queue <> $2 AND due_at <= $1), (SELECT count(*) FROM campaigns WHERE status = $3)`,
		micros(now), int(gateway.AnswerQueue), int(gateway.CampaignRunning)).Scan(&l.Sending, &l.Due, &l.Campaigns)
	return l, err
}

// DueBefore lists what was accepted before a moment, was due by then, and waits: by id, those
// after one of them. Answers are left out, and what waits inside its campaign.
func (d *DB) DueBefore(ctx context.Context, moment time.Time, after int64, limit int) ([]gateway.Message, error) {
	return d.messages(ctx, "WHERE m.status = 0 AND m.queue <> $1 AND m.due_at <= $2 AND m.created_at < $2 AND m.id > $3 ORDER BY m.id LIMIT $4",
		int(gateway.AnswerQueue), micros(moment), after, limit)
}

// notHeld loses the claim of a slice while sends are held.
func (l *lot) notHeld() error {
	if len(l.claim.Slices) == 0 {
		return nil
	}
	return l.look("SELECT "+isHeld, func(s scanner) error {
		var at int64
		err := s.Scan(&at)
		if err == nil && at > 0 {
			err = errLost
		}
		return err
	})
}
