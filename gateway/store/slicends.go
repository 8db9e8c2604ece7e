package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/campaign"
)

// BeginSlice marks a slice as begun, durably.
func (d *DB) BeginSlice(ctx context.Context, slice int64, now time.Time) (bool, error) {
	r, err := d.write.ExecContext(ctx, "UPDATE slices SET status = 2 WHERE id = $1 AND status = 1 AND lease > $2", slice, micros(now))
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n == 1, err
}

// comesFrom are the statuses that a slice may end from. What the provider said counts also
// when the sweep was quicker; the sweep itself takes back only what was never begun.
func comesFrom(e campaign.End) string {
	switch {
	case e.Status == campaign.SliceSent:
		return "(2, 4, 5)"
	case e.Status == campaign.SliceUnknown:
		return "(2)"
	case e.Status == campaign.SliceGivenUp:
		return "(4)"
	case e.Swept:
		return "(1)"
	}
	return "(1, 2, 4)"
}

// EndSlice keeps what came of a slice. One that ended otherwise meanwhile stays as it is.
func (d *DB) EndSlice(ctx context.Context, e campaign.End) error {
	c := gateway.Change{At: e.At, Actor: "heed"}
	return d.within(ctx, &c, func(u *unit) error {
		o := campaign.Open{ID: e.Slice, Campaign: e.Campaign}
		var at int64
		row := u.tx.QueryRowContext(u.ctx, "UPDATE slices SET status = $2, provider_id = $3 WHERE id = $1 AND status IN "+comesFrom(e)+" RETURNING batch, channel, program, at, provider, form, discreet, wording",
			e.Slice, int(e.Status), e.ProviderID)
		switch err := row.Scan(&o.Batch, &o.Channel, &o.Program, &at, &o.Provider, &o.Form, &o.Discreet, &o.Wording); {
		case errors.Is(err, sql.ErrNoRows):
			return nil
		case err != nil:
			return err
		}
		o.At = instant(at)
		f := &finale{unit: u, end: &e, open: &o}
		return inOrder(u.readWanted, f.giveBack, f.drift, f.taken, f.tell, u.writeHappened, f.hold)
	})
}

// finale is the end of one slice in one transaction.
type finale struct {
	*unit
	end  *campaign.End
	open *campaign.Open
}

// giveBack lets those wait who surely did not get it. Places under a cap are given back too.
func (f *finale) giveBack() error {
	if len(f.end.Back) == 0 {
		return nil
	}
	back := map[int64]struct{}{}
	for _, b := range f.end.Back {
		back[b.Open.Message] = struct{}{}
	}
	if err := f.places(); err != nil {
		return err
	}
	moved, err := f.leave(back, returned, "")
	if err != nil {
		return err
	}
	list := f.table("pos BIGINT", "due BIGINT", "code TEXT", "split BIGINT", "message BIGINT", "tries BIGINT", "campaign BIGINT")
	var unsent []campaign.OpenItem
	for _, b := range f.end.Back {
		if moved[b.Open.Message] {
			list.row(b.Open.Pos, micros(b.Due), b.Code, b.Split, b.Open.Message, b.Open.Number, f.end.Campaign)
			unsent = append(unsent, b.Open)
		}
	}
	if len(unsent) == 0 {
		return nil
	}
	if err := f.run("UPDATE slices SET people = people - $2 WHERE id = $1", f.open.ID, len(unsent)); err != nil {
		return err
	}
	if err := f.writeTold(f.open, unsent, gateway.AttemptUnsent); err != nil {
		return err
	}
	return f.run(`UPDATE recipients SET state = 1, due_at = e.due, code = e.code, split = recipients.split + e.split, message = e.message, tries = e.tries
		FROM `+list.from(1)+" WHERE recipients.campaign = e.campaign AND recipients.pos = e.pos AND recipients.state IN (0, 2)", list.args()...)
}

// places gives back what the attempts of calls took under a cap, and marks them as unsent.
func (f *finale) places() error {
	if f.open.Batch {
		return nil
	}
	var told []campaign.OpenItem
	for _, b := range f.end.Back {
		told = append(told, b.Open)
		edit := gateway.Edit{Attempt: b.Open.Attempt, Status: gateway.AttemptUnsent, Code: b.Code}
		if f.open.Channel != channels.Email {
			edit.Unsent = &gateway.Unsent{Patient: b.Open.Patient, Program: f.open.Program, At: f.open.At}
		}
		f.c.Edits = append(f.c.Edits, edit)
	}
	if err := f.writeTold(f.open, told, gateway.AttemptClaimed); err != nil {
		return err
	}
	return inOrder(f.lockUsage, f.edits)
}

// leave takes messages out of the slice, those that still ride in it, and says which.
func (f *finale) leave(messages map[int64]struct{}, status int, code string) (map[int64]bool, error) {
	slice := "slice"
	if status == returned {
		slice = "NULL" // it is counted with its recipient again
	}
	list, err := f.tx.QueryContext(f.ctx, "UPDATE messages SET status = $3, code = $4, slice = "+slice+" WHERE id IN (SELECT id FROM messages WHERE "+f.among("id", 1)+
		" AND status = 10 AND slice = $2 ORDER BY id"+f.lock("NO KEY UPDATE")+") RETURNING id", keysOf(f.DB, messages), f.open.ID, status, code)
	if err != nil {
		return nil, fmt.Errorf("ending a slice: %w", err)
	}
	moved := map[int64]bool{}
	return moved, scan(list, func(s scanner) error {
		var id int64
		err := s.Scan(&id)
		moved[id] = true
		return err
	})
}

// drift makes messages of which nothing could be kept such that each is looked up by itself.
func (f *finale) drift() error {
	if len(f.end.Adrift) == 0 {
		return nil
	}
	messages, attempts := map[int64]struct{}{}, map[int64]struct{}{}
	for _, i := range f.end.Adrift {
		messages[i.Message], attempts[i.Attempt] = struct{}{}, struct{}{}
	}
	moved, err := f.leave(messages, int(gateway.Unknown), leaseEnded)
	if err != nil {
		return err
	}
	var adrift []campaign.OpenItem // who still rode in the slice; of the others it is known
	for _, i := range f.end.Adrift {
		if moved[i.Message] {
			adrift = append(adrift, i)
		} else {
			delete(messages, i.Message)
		}
	}
	if err := f.writeTold(f.open, adrift, gateway.AttemptClaimed); err != nil {
		return err
	}
	if err := f.run("UPDATE attempts SET status = $2, code = $3 WHERE status = 1 AND "+f.among("id", 1), keysOf(f.DB, attempts), int(gateway.AttemptUnknown), leaseEnded); err != nil {
		return err
	}
	return f.run("UPDATE messages SET ask_at = $2 WHERE "+f.among("id", 1), keysOf(f.DB, messages), micros(f.end.Ask))
}

const leaseEnded = "lease_ended"

// taken keeps the provider's ids of calls that were taken: as a rule with the rows of their
// tries, else in those that are there.
func (f *finale) taken() error {
	list, err := f.writeTries(f.open, f.end.Taken, gateway.AttemptTaken)
	if err != nil {
		return err
	}
	return f.all(list, `UPDATE attempts SET provider_id = COALESCE(attempts.provider_id, NULLIF(e.provider, '')), status = CASE WHEN attempts.status < 4 THEN 4 ELSE attempts.status END
		FROM `+list.from(1)+" WHERE attempts.id = e.id AND (attempts.status < 4 OR attempts.provider_id IS NULL AND e.provider <> '')")
}

// tell makes the outgoing events of those who still ride in the slice.
func (f *finale) tell() error {
	to := standing(riding, int(f.end.Status))
	if to == gateway.Waiting || !f.wanted.wants(gateway.MessageMoved(to)) {
		return nil
	}
	code := ""
	if to == gateway.Failed {
		code = unheard
	}
	open, err := f.slices(f.ctx, f.tx, "WHERE s.id = $1", f.open.ID)
	if err != nil || len(open) == 0 {
		return err
	}
	ids := map[int64]struct{}{}
	for _, i := range open[0].Items {
		ids[i.Message] = struct{}{}
	}
	list, err := f.tx.QueryContext(f.ctx, "SELECT id, patient FROM messages WHERE status = 10 AND slice = $2 AND "+f.among("id", 1), keysOf(f.DB, ids), f.open.ID)
	if err != nil {
		return err
	}
	return scan(list, func(s scanner) error {
		var id, patient int64
		err := s.Scan(&id, &patient)
		f.rideMoved(id, patient, to, code)
		return err
	})
}

// hold lets the campaign wait as long as the provider is in trouble.
func (f *finale) hold() error {
	if f.end.Trouble > 0 && !f.end.Hold.IsZero() {
		return f.run("UPDATE campaigns SET hold_until = CASE WHEN hold_until < $2 THEN $2 ELSE hold_until END, trouble = $3 WHERE id = $1",
			f.end.Campaign, micros(f.end.Hold), min(f.end.Trouble, 100))
	}
	if f.end.Status == campaign.SliceSent && f.end.Trouble == 0 {
		return f.run("UPDATE campaigns SET trouble = 0 WHERE id = $1 AND trouble > 0", f.end.Campaign)
	}
	return nil
}

// ScatterSlice makes the messages of a slice of calls such that each is looked up by itself.
func (d *DB) ScatterSlice(ctx context.Context, o campaign.Open, now, ask time.Time) error {
	return d.EndSlice(ctx, campaign.End{At: now, Campaign: o.Campaign, Slice: o.ID, Status: campaign.SliceUnknown, Adrift: o.Items, Ask: ask, Trouble: 1})
}

// AbandonedSlices lists slices that were never ended, with a lease before a moment.
func (d *DB) AbandonedSlices(ctx context.Context, before time.Time, limit int) ([]campaign.Open, error) {
	return d.slices(ctx, d.read, "WHERE s.status < 3 AND s.lease < $1 ORDER BY s.lease LIMIT $2", micros(before), limit)
}

// UnresolvedSlices lists letters whose outcome is not known, claimed before a moment.
func (d *DB) UnresolvedSlices(ctx context.Context, before time.Time, limit int) ([]campaign.Open, error) {
	return d.slices(ctx, d.read, "WHERE s.status = 4 AND s.batch AND s.at < $1 ORDER BY s.at LIMIT $2", micros(before), limit)
}
