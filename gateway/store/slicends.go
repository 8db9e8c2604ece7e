package store

import (
	"context"
	"database/sql"
	"encoding/json"
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

// endsFrom are the statuses that a slice may come from. What the provider said counts
// also when the sweep was quicker.
var endsFrom = map[campaign.SliceStatus]string{
	campaign.SliceSent:    "(2, 4, 5)",
	campaign.SliceUnknown: "(2)",
	campaign.SliceGivenUp: "(4)",
	campaign.SliceUnsent:  "(1, 2, 4)",
}

// EndSlice keeps what came of a slice. One that ended otherwise meanwhile stays as it is.
func (d *DB) EndSlice(ctx context.Context, e campaign.End) error {
	c := gateway.Change{At: e.At, Actor: "heed"}
	return d.within(ctx, &c, func(u *unit) error {
		var o campaign.Open
		var items string
		row := u.tx.QueryRowContext(u.ctx, "UPDATE slices SET status = $2, provider_id = $3 WHERE id = $1 AND status IN "+endsFrom[e.Status]+" RETURNING channel, program, at, items",
			e.Slice, int(e.Status), e.ProviderID)
		var at int64
		switch err := row.Scan(&o.Channel, &o.Program, &at, &items); {
		case errors.Is(err, sql.ErrNoRows):
			return nil
		case err != nil:
			return err
		}
		if err := json.Unmarshal([]byte(items), &o.Items); err != nil {
			return err
		}
		o.ID, o.Campaign, o.At = e.Slice, e.Campaign, instant(at)
		f := &finale{unit: u, end: &e, open: &o}
		return inOrder(u.readWanted, f.giveBack, f.drift, f.taken, f.tell, u.writeHappened, f.hold)
	})
}

// finale is the end of one slice in one transaction.
type finale struct {
	*unit
	end  *campaign.End
	open *campaign.Open
	gone map[int64]bool // messages that do not ride any more
}

// giveBack lets those wait who surely did not get it. Places under a cap are given back too.
func (f *finale) giveBack() error {
	f.gone = map[int64]bool{}
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
	var rows []any
	for _, b := range f.end.Back {
		if moved[b.Open.Message] {
			rows = append(rows, []any{b.Open.Pos, micros(b.Due), b.Code, b2i(b.Split), f.end.Campaign})
		}
	}
	param, err := json.Marshal(rows)
	if err != nil || len(rows) == 0 {
		return err
	}
	return f.run(`UPDATE recipients SET state = 1, due_at = x.due, code = x.code, split = recipients.split + x.split
		FROM (SELECT CAST(e.value ->> 0 AS BIGINT) AS pos, CAST(e.value ->> 1 AS BIGINT) AS due, e.value ->> 2 AS code, CAST(e.value ->> 3 AS SMALLINT) AS split,
		CAST(e.value ->> 4 AS BIGINT) AS campaign FROM `+f.each(1)+`) x
		WHERE recipients.campaign = x.campaign AND recipients.pos = x.pos AND recipients.state = 2`, string(param))
}

// places gives back what the attempts took under a cap, and marks them as unsent.
func (f *finale) places() error {
	for _, b := range f.end.Back {
		edit := gateway.Edit{Attempt: b.Open.Attempt, Status: gateway.AttemptUnsent, Code: b.Code}
		if f.open.Channel != channels.Email {
			edit.Unsent = &gateway.Unsent{Patient: b.Open.Patient, Program: f.open.Program, At: f.open.At}
		}
		f.c.Edits = append(f.c.Edits, edit)
	}
	if f.open.Channel != channels.Email {
		return inOrder(f.lockUsage, f.edits)
	}
	var rows []any
	for _, b := range f.end.Back {
		rows = append(rows, []any{b.Open.Attempt})
	}
	param, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	return f.run("UPDATE attempts SET status = $2 WHERE status = 1 AND id IN "+f.ids(1), string(param), int(gateway.AttemptUnsent))
}

// leave takes messages out of the slice, those that still ride in it, and says which.
func (f *finale) leave(messages map[int64]struct{}, status int, code string) (map[int64]bool, error) {
	list, err := f.tx.QueryContext(f.ctx, "UPDATE messages SET status = $3, code = $4 WHERE id IN (SELECT id FROM messages WHERE id IN "+f.ids(1)+
		" AND status = 10 AND slice = $2 ORDER BY id"+f.lock("NO KEY UPDATE")+") RETURNING id", rows(messages), f.open.ID, status, code)
	if err != nil {
		return nil, fmt.Errorf("ending a slice: %w", err)
	}
	moved := map[int64]bool{}
	return moved, scan(list, func(s scanner) error {
		var id int64
		err := s.Scan(&id)
		moved[id], f.gone[id] = true, true
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
	for id := range messages {
		if !moved[id] {
			delete(messages, id)
		}
	}
	if err := f.run("UPDATE attempts SET status = $2, code = $3 WHERE status = 1 AND id IN "+f.ids(1), rows(attempts), int(gateway.AttemptUnknown), leaseEnded); err != nil {
		return err
	}
	return f.run("UPDATE messages SET ask_at = $2 WHERE id IN "+f.ids(1), rows(messages), micros(f.end.Ask))
}

const leaseEnded = "lease_ended"

// taken keeps the provider's ids of calls that were taken.
func (f *finale) taken() error {
	if len(f.end.Taken) == 0 {
		return nil
	}
	var rows []any
	for _, t := range f.end.Taken {
		rows = append(rows, []any{t.Attempt, t.ProviderID})
	}
	param, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	return f.run(`UPDATE attempts SET provider_id = COALESCE(attempts.provider_id, x.provider), status = CASE WHEN attempts.status < 4 THEN 4 ELSE attempts.status END
		FROM (SELECT CAST(e.value ->> 0 AS BIGINT) AS id, e.value ->> 1 AS provider FROM `+f.each(1)+`) x WHERE attempts.id = x.id`, string(param))
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
	ids := map[int64]struct{}{}
	for _, i := range f.open.Items {
		ids[i.Message] = struct{}{}
	}
	list, err := f.tx.QueryContext(f.ctx, "SELECT id, patient FROM messages WHERE status = 10 AND slice = $2 AND id IN "+f.ids(1), rows(ids), f.open.ID)
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
	return d.openSlices(ctx, "WHERE status < 3 AND lease < $1 ORDER BY lease LIMIT $2", micros(before), limit)
}

// UnresolvedSlices lists letters whose outcome is not known, claimed before a moment.
func (d *DB) UnresolvedSlices(ctx context.Context, before time.Time, limit int) ([]campaign.Open, error) {
	return d.openSlices(ctx, "WHERE status = 4 AND batch AND at < $1 ORDER BY at LIMIT $2", micros(before), limit)
}

func (d *DB) openSlices(ctx context.Context, where string, args ...any) ([]campaign.Open, error) {
	list, err := d.read.QueryContext(ctx, "SELECT id, campaign, status, batch, channel, program, at, items FROM slices "+where, args...)
	if err != nil {
		return nil, err
	}
	var got []campaign.Open
	return got, scan(list, func(s scanner) error {
		var o campaign.Open
		var at int64
		var items string
		if err := s.Scan(&o.ID, &o.Campaign, &o.Status, &o.Batch, &o.Channel, &o.Program, &at, &items); err != nil {
			return err
		}
		o.At = instant(at)
		err := json.Unmarshal([]byte(items), &o.Items)
		got = append(got, o)
		return err
	})
}
