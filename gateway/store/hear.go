package store

import (
	"context"
	"encoding/json"
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
	// By mail alone: of a text or a call, the provider's id is compared and kept too.
	found, err := d.read.QueryContext(ctx, `SELECT a.id, m.id, m.patient, a.number = m.attempts, s.status FROM attempts a JOIN messages m ON m.id = a.message JOIN slices s ON s.id = m.slice
		WHERE a.id IN `+d.ids(1)+` AND a.slice = m.slice AND m.status = 10 AND s.channel = $2`, rows(want), int(channels.Email))
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
	var param []any
	at := map[string]channels.Delivery{}
	for _, e := range list {
		param = append(param, []any{e.EventID})
		at[e.EventID] = e
	}
	text, err := json.Marshal(param)
	if err != nil {
		return err
	}
	found, err := h.tx.QueryContext(h.ctx, "INSERT INTO seen (source, event, at, keep) SELECT CAST($2 AS TEXT), e.value ->> 0, CAST($3 AS BIGINT), FALSE FROM "+h.each(1)+
		" WHERE true ORDER BY 2 ON CONFLICT DO NOTHING RETURNING event", string(text), source, micros(h.c.At))
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
	found, err := h.tx.QueryContext(h.ctx, "SELECT id, COALESCE((SELECT s.status FROM slices s WHERE s.id = messages.slice), 0) FROM messages WHERE id IN "+h.ids(1)+" AND status = 10 ORDER BY id"+
		h.unit.lock("NO KEY UPDATE"), rows(want))
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
	var messages, attempts []any
	for _, r := range h.riders {
		stands := standing(riding, r.slice)
		if r.status == 0 || r.status < channels.Delivered && stands == gateway.Sent {
			continue
		}
		to, tried := gateway.Sent, gateway.AttemptTaken
		if r.status == channels.Delivered {
			to, tried = gateway.Delivered, gateway.AttemptDelivered
		}
		attempts = append(attempts, []any{r.attempt, int(tried)})
		if r.latest && campaign.SliceStatus(r.slice) != campaign.SliceUnsent {
			messages = append(messages, []any{r.message, int(to)})
			h.rideMoved(r.message, r.patient, to, "")
		}
	}
	if err := h.update("UPDATE messages SET status = x.status FROM (SELECT CAST(e.value ->> 0 AS BIGINT) AS id, CAST(e.value ->> 1 AS SMALLINT) AS status FROM "+h.each(1)+") x WHERE messages.id = x.id", messages); err != nil {
		return err
	}
	return h.update("UPDATE attempts SET status = x.status FROM (SELECT CAST(e.value ->> 0 AS BIGINT) AS id, CAST(e.value ->> 1 AS SMALLINT) AS status FROM "+h.each(1)+
		") x WHERE attempts.id = x.id AND attempts.status < x.status", attempts)
}

func (h *hearing) update(query string, list []any) error {
	if len(list) == 0 {
		return nil
	}
	param, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return h.run(query, string(param))
}

// events keeps what was heard of each.
func (h *hearing) events() error {
	var list []any
	for _, e := range h.heard {
		if r := h.riders[e.Attempt]; r != nil {
			list = append(list, []any{h.newID(), r.message, micros(h.c.At), gateway.NewsWord(e.Status), e.Code})
		}
	}
	return h.update(`INSERT INTO message_events (id, message, at, kind, code) SELECT CAST(e.value ->> 0 AS BIGINT), CAST(e.value ->> 1 AS BIGINT), CAST(e.value ->> 2 AS BIGINT),
		e.value ->> 3, e.value ->> 4 FROM `+h.each(1), list)
}
