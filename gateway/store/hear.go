package store

import (
	"context"
	"errors"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/campaign"
)

// Providers gather their news: one call tells of hundreds of messages. What is plain news
// of messages of a campaign is kept in one transaction.

// rider is a message that still stands as its slice says, and what was heard of it.
type rider struct {
	message, patient, attempt int64
	latest                    bool // the attempt is the message's last
	slice                     int
	status                    channels.DeliveryStatus
}

// HearMany keeps plain news of messages of campaigns, and gives back whatever else there was.
func (d *DB) HearMany(ctx context.Context, source string, at time.Time, list []channels.Delivery) ([]channels.Delivery, error) {
	riders, err := d.riders(ctx, list)
	if err != nil || len(riders) == 0 {
		return list, err
	}
	var mine, rest []channels.Delivery
	for _, e := range list {
		if riders[e.Attempt] != nil && plainNews(&e) {
			mine = append(mine, e)
		} else {
			rest = append(rest, e)
		}
	}
	if len(mine) == 0 {
		return rest, nil
	}
	c := gateway.Change{At: at, Actor: source}
	err = d.within(ctx, &c, func(u *unit) error {
		r := &hearing{unit: u, riders: riders}
		return inOrder(u.readWanted, func() error { return r.fresh(source, mine) }, r.lock, r.move, r.events, u.writeHappened)
	})
	if errors.Is(err, errLost) { // something moved meanwhile: each by itself
		return list, nil
	}
	return rest, err
}

// plainNews is good news that says nothing of the address.
func plainNews(e *channels.Delivery) bool {
	return e.Attempt != 0 && !e.SpamReport && !e.Unsub && e.Kind == 0 && (e.Status == channels.Accepted || e.Status == channels.OnItsWay || e.Status == channels.Delivered)
}

func (d *DB) riders(ctx context.Context, list []channels.Delivery) (map[int64]*rider, error) {
	want := map[int64]struct{}{}
	for i := range list {
		if plainNews(&list[i]) {
			want[list[i].Attempt] = struct{}{}
		}
	}
	if len(want) == 0 {
		return nil, nil
	}
	// By mail alone: of a text or a call, the provider's id is compared and kept too. The
	// first try of a letter has its message's id.
	found, err := d.read.QueryContext(ctx, `SELECT m.id, m.id, m.patient, m.attempts = 1, s.status FROM messages m JOIN slices s ON s.id = m.slice
		WHERE `+d.among("m.id", 1)+` AND m.attempts = 1 AND m.status = 10 AND s.batch
		UNION ALL SELECT a.id, m.id, m.patient, a.number = m.attempts, s.status FROM attempts a JOIN messages m ON m.id = a.message JOIN slices s ON s.id = m.slice
		WHERE `+d.among("a.id", 1)+` AND a.id <> m.id AND a.slice = m.slice AND m.status = 10 AND s.channel = $2`, keysOf(d, want), int(channels.Email))
	if err != nil {
		return nil, err
	}
	riders := map[int64]*rider{}
	return riders, scan(found, func(s scanner) error {
		r := &rider{}
		err := s.Scan(&r.attempt, &r.message, &r.patient, &r.latest, &r.slice)
		riders[r.attempt] = r
		return err
	})
}

// hearing keeps many events in one transaction.
type hearing struct {
	*unit
	riders map[int64]*rider
	heard  []channels.Delivery // those not heard before
}

// fresh leaves out what was heard before.
func (h *hearing) fresh(source string, list []channels.Delivery) error {
	param := h.table("event TEXT")
	at := map[string]channels.Delivery{}
	for _, e := range list {
		param.row(e.EventID)
		at[e.EventID] = e
	}
	found, err := h.tx.QueryContext(h.ctx, "INSERT INTO seen (source, event, at, keep) SELECT CAST($1 AS TEXT), e.event, CAST($2 AS BIGINT), FALSE FROM "+param.from(3)+
		" WHERE true ORDER BY 2 ON CONFLICT DO NOTHING RETURNING event", param.args(source, micros(h.c.At))...)
	if err != nil {
		return err
	}
	return scan(found, func(s scanner) error {
		var event string
		err := s.Scan(&event)
		e := at[event]
		h.heard = append(h.heard, e)
		if r := h.riders[e.Attempt]; r != nil {
			r.status = max(r.status, e.Status)
		}
		return err
	})
}

// lock locks the messages; all of them must still ride.
func (h *hearing) lock() error {
	want := map[int64]struct{}{}
	for _, r := range h.riders {
		if r.status != 0 {
			want[r.message] = struct{}{}
		}
	}
	found, err := h.tx.QueryContext(h.ctx, "SELECT id, COALESCE((SELECT s.status FROM slices s WHERE s.id = messages.slice), 0) FROM messages WHERE "+h.among("id", 1)+" AND status = 10 ORDER BY id"+
		h.unit.lock("NO KEY UPDATE"), keysOf(h.DB, want))
	if err != nil {
		return err
	}
	slice := map[int64]int{}
	if err := scan(found, func(s scanner) error {
		var id int64
		var status int
		err := s.Scan(&id, &status)
		slice[id] = status
		return err
	}); err != nil {
		return err
	}
	if len(slice) != len(want) {
		return errLost
	}
	for _, r := range h.riders {
		if status, ok := slice[r.message]; ok {
			r.slice = status
		}
	}
	return nil
}

// move brings messages and attempts forward. That a message was accepted is no news where
// its slice says so.
func (h *hearing) move() error {
	messages, attempts := h.table("id BIGINT", "status BIGINT"), h.table("id BIGINT", "status BIGINT")
	untold := map[int64]struct{}{} // first tries of letters, which may have no row yet
	for _, r := range h.riders {
		stands := standing(riding, r.slice)
		if r.status == 0 || r.status < channels.Delivered && stands == gateway.Sent {
			continue
		}
		to, tried := gateway.Sent, gateway.AttemptTaken
		if r.status == channels.Delivered {
			to, tried = gateway.Delivered, gateway.AttemptDelivered
		}
		if r.attempt == r.message {
			untold[r.message] = struct{}{}
		}
		attempts.row(r.attempt, int(tried))
		if r.latest && campaign.SliceStatus(r.slice) != campaign.SliceUnsent {
			messages.row(r.message, int(to))
			h.rideMoved(r.message, r.patient, to, "")
		}
	}
	if attempts.n == 0 {
		return nil
	}
	if err := h.writeToldOf(untold); err != nil {
		return err
	}
	if err := h.run("UPDATE messages SET status = e.status FROM "+messages.from(1)+" WHERE messages.id = e.id", messages.args()...); err != nil {
		return err
	}
	return h.run("UPDATE attempts SET status = e.status FROM "+attempts.from(1)+" WHERE attempts.id = e.id AND attempts.status < e.status", attempts.args()...)
}

// events keeps what was heard of each.
func (h *hearing) events() error {
	list := h.table("id BIGINT", "message BIGINT", "kind TEXT", "code TEXT")
	for _, e := range h.heard {
		if r := h.riders[e.Attempt]; r != nil {
			list.row(h.newID(), r.message, gateway.NewsWord(e.Status), e.Code)
		}
	}
	return h.run("INSERT INTO message_events (id, message, at, kind, code) SELECT e.id, e.message, CAST($1 AS BIGINT), e.kind, e.code FROM "+list.from(2)+" WHERE true",
		list.args(micros(h.c.At))...)
}
