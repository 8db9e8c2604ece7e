package store

import (
	"harmonize.care/heed/gateway"
)

// tryRow is the new try of a step.
func tryRow(s *gateway.Step) []any {
	a := s.Attempt
	return []any{
		a.ID, s.Message, a.Number, int(a.Pair.Channel), a.Pair.Address, a.Version, int(a.Status), micros(a.At), int(a.Program), a.Form, a.Discreet, a.Wording, a.Provider,
	}
}

func (r *ride) insertTries(list [][]any) error {
	return r.insert(into{"attempts", typed("id BIGINT, message BIGINT, number SMALLINT, channel SMALLINT, address BIGINT, version BIGINT, status SMALLINT, at BIGINT, " +
		"program SMALLINT, form TEXT, discreet BOOLEAN, wording TEXT, provider TEXT"), ""}, list)
}

// edits moves attempts forward, never back. Several are locked first, in order.
func (r *ride) edits() error {
	var list []*gateway.Edit
	for _, u := range r.units {
		for i := range u.c.Edits {
			list = append(list, &u.c.Edits[i])
		}
	}
	for len(list) > 0 { // what is said of one attempt twice is kept one after the other
		first, again := map[int64]*gateway.Edit{}, []*gateway.Edit(nil)
		for _, e := range list {
			if first[e.Attempt] != nil {
				again = append(again, e)
			} else {
				first[e.Attempt] = e
			}
		}
		if err := r.edit(first); err != nil {
			return err
		}
		list = again
	}
	return r.writeUsage()
}

func (r *ride) edit(edits map[int64]*gateway.Edit) error {
	unsent := 0
	moved := r.table("id BIGINT, status SMALLINT, provider TEXT, code TEXT")
	for _, e := range edits {
		if e.Unsent != nil {
			unsent++
		}
		moved.row(e.Attempt, int(e.Status), e.ProviderID, e.Code)
	}
	if err := r.tellLetters(edits); err != nil {
		return err
	}
	if len(edits) > 1 || unsent > 0 {
		if err := r.lockAttempts(edits, unsent); err != nil {
			return err
		}
	}
	return r.all(moved, `UPDATE attempts SET status = CASE WHEN attempts.status < e.status THEN e.status ELSE attempts.status END,
		provider_id = CASE WHEN e.provider = '' THEN attempts.provider_id ELSE e.provider END, code = CASE WHEN e.code = '' THEN attempts.code ELSE e.code END
		FROM `+moved.from(1)+" WHERE attempts.id = e.id")
}

// tellLetters gives first tries of letters a row before something is kept of them alone. They
// have their messages' ids, which the change names too: in a step, or in what was heard.
func (r *ride) tellLetters(edits map[int64]*gateway.Edit) error {
	first := map[int64]struct{}{}
	for _, u := range r.units {
		for i := range u.c.Steps {
			if id := u.c.Steps[i].Message; edits[id] != nil {
				first[id] = struct{}{}
			}
		}
		for i := range u.c.Heard {
			if id := u.c.Heard[i].Message; edits[id] != nil {
				first[id] = struct{}{}
			}
		}
	}
	if len(first) == 0 {
		return nil
	}
	return r.writeToldOf(first)
}

// lockAttempts locks attempts, and gives the places back of those that are unsent now.
func (r *ride) lockAttempts(edits map[int64]*gateway.Edit, unsent int) error {
	places := unsent > 0
	err := r.look("SELECT id, status FROM attempts WHERE "+r.among("id", 1)+" ORDER BY id"+r.lock("NO KEY UPDATE"), func(s scanner) error {
		var id int64
		var was gateway.AttemptStatus
		err := s.Scan(&id, &was)
		if e := edits[id]; err == nil && e.Unsent != nil {
			unsent--
			if was < gateway.AttemptTaken {
				r.givePlace(e.Unsent)
			}
		}
		return err
	}, keysOf(r.DB, edits))
	if err != nil || !places {
		return err
	}
	if err := r.tx.flush(); err != nil {
		return err
	}
	if unsent > 0 {
		return gateway.ErrNotFound
	}
	return nil
}
