package store

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/campaign"
)

// What a claim writes: messages, tries, slices, and what becomes of each recipient. Each
// goes in one statement for all.

// readAddresses reads addresses under the keys that came with the fence's locks.
func (l *lot) readAddresses(want map[int64]struct{}) error {
	return l.read("SELECT id, patient, sealed FROM addresses WHERE "+l.among("id", 1), func(s scanner) error {
		var id, patient int64
		var sealed []byte
		if err := s.Scan(&id, &patient, &sealed); err != nil {
			return err
		}
		key, err := l.sealer(patient)
		if errors.Is(err, gateway.ErrErased) {
			return nil
		}
		if err != nil {
			return err
		}
		var text string
		err = open(key, sealed, &text)
		l.got.Address[id] = text
		return err
	}, keysOf(l.DB, want))
}

// claimedItems are those who are not refused, in the order of their messages: the order of locks.
func (l *lot) claimedItems() []*seat {
	list := make([]*seat, 0, len(l.items))
	for _, i := range l.items {
		if !l.refused[i.Message] {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b *seat) int { return cmp.Compare(a.Message, b.Message) })
	return list
}

// writeMessages writes the messages, and the tries that their slices do not tell. One that
// was taken back by itself meanwhile is not claimed.
func (l *lot) writeMessages() error {
	list := l.claimedItems()
	if len(list) == 0 {
		return nil
	}
	if err := l.insertMessages(list); err != nil {
		return err
	}
	again := map[*campaign.Slice][]campaign.OpenItem{}
	for _, i := range l.claimedItems() {
		if i.Attempt != i.Message {
			again[i.slice] = append(again[i.slice], i.Open())
		}
		if l.claim.Lane.Waiting { // the cursor tells of all others
			l.mark(i.Pos, claimed, "", 0, i.Version, i.Message, i.Number)
		}
		if i.Decision != nil {
			l.c.Decides = append(l.c.Decides, *i.Decision)
		}
		l.rideMoved(i.Message, i.Patient, gateway.Sending, "")
	}
	for k := range l.claim.Slices {
		s := &l.claim.Slices[k]
		o := campaign.Open{ID: s.ID, Channel: s.Channel, Program: s.Program, At: l.c.At, Provider: s.Provider, Form: s.Form, Discreet: s.Discreet, Wording: s.Wording}
		if err := l.writeTold(&o, again[s], gateway.AttemptClaimed); err != nil {
			return err
		}
	}
	return l.insertDecisions()
}

// insertMessages writes the messages of those who are claimed first, and lets those ride
// again whose messages wait.
func (l *lot) insertMessages(list []*seat) error {
	fresh := l.table("id BIGINT", "patient BIGINT", "slice BIGINT", "facts BYTEA")
	again := l.table("id BIGINT", "number BIGINT", "slice BIGINT")
	for _, i := range list {
		if i.Number > 1 {
			again.row(i.Message, i.Number, i.slice.ID)
			continue
		}
		key, err := l.sealer(i.Patient)
		if err != nil {
			return err
		}
		fresh.row(i.Message, i.Patient, i.slice.ID, key.Seal(nil, nil, i.Facts, nil))
	}
	c := l.claim.Campaign
	if fresh.n > 0 {
		if err := l.run(`INSERT INTO messages (id, patient, queue, category, template, essential, status, due_at, expires_at, attempts, created_at, campaign, slice, facts)
			SELECT e.id, e.patient, CAST($1 AS SMALLINT), CAST($2 AS TEXT), CAST($3 AS TEXT), FALSE, 10, CAST($4 AS BIGINT), 0, 1, CAST($4 AS BIGINT), CAST($5 AS BIGINT), e.slice, e.facts
			FROM `+fresh.from(6), fresh.args(int(gateway.CampaignQueue), c.Category, c.Template, micros(l.c.At), c.ID)...); err != nil {
			return err
		}
	}
	if again.n > 0 {
		return l.rideAgain(again)
	}
	return nil
}

func (l *lot) rideAgain(list *table) error {
	found, err := l.tx.QueryContext(l.ctx, "UPDATE messages SET status = 10, attempts = e.number, slice = e.slice, code = '' FROM "+list.from(1)+
		" WHERE messages.id = e.id AND messages.status = 11 RETURNING messages.id", list.args()...)
	if err != nil {
		return fmt.Errorf("keeping a claim: %w", err)
	}
	written := map[int64]bool{}
	if err := scan(found, func(s scanner) error {
		var id int64
		err := s.Scan(&id)
		written[id] = true
		return err
	}); err != nil {
		return err
	}
	for _, i := range l.items {
		if i.Number > 1 && !l.refused[i.Message] && !written[i.Message] {
			l.letGo(i.Item)
			l.mark(i.Pos, claimed, "", 0, i.Version, i.Message, 0) // its message tells
		}
	}
	return nil
}

// endMessages holds back messages of people who were claimed before.
func (l *lot) endMessages() error {
	if l.ended.n == 0 {
		return nil
	}
	return l.run("UPDATE messages SET status = $1, code = e.code FROM "+l.ended.from(2)+" WHERE messages.id = e.id AND messages.status = 11", l.ended.args(int(gateway.Suppressed))...)
}

// openTasks opens a task for each minor, once.
func (l *lot) openTasks() error {
	for i := range l.claim.Minors {
		t := &l.claim.Minors[i]
		if slices.Contains(l.got.Stale, t.Patient) {
			continue // the birth date may be another one by now
		}
		var open int
		err := l.tx.QueryRowContext(l.ctx, "SELECT count(*) FROM tasks WHERE kind = $1 AND patient = $2 AND done_at IS NULL", string(t.Kind), t.Patient).Scan(&open)
		if err == nil && open == 0 {
			err = l.insertTask(t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeSlices writes each slice with those who are in it; one in which nobody is left is none.
func (l *lot) writeSlices() error {
	for k := range l.claim.Slices {
		s := &l.claim.Slices[k]
		var items []campaign.OpenItem
		for i := range s.Items {
			if !l.refused[s.Items[i].Message] {
				items = append(items, s.Items[i].Open())
			}
		}
		if len(items) == 0 {
			continue
		}
		if err := l.run(`INSERT INTO slices (id, campaign, channel, program, batch, status, lease, at, provider, form, discreet, wording, asked, people, items)
			VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
			s.ID, l.claim.Campaign.ID, int(s.Channel), int(s.Program), s.Batch, micros(s.Lease), micros(l.c.At), s.Provider, s.Form, s.Discreet, s.Wording, string(s.Asked), len(items), writeItems(items)); err != nil {
			return err
		}
	}
	return nil
}

// writeRecipients keeps what becomes of everybody, in one statement. The campaign stands in
// the list, or SQLite looks at the whole audience for each of them.
func (l *lot) writeRecipients() error {
	if l.marks.n == 0 {
		return nil
	}
	return l.run(`UPDATE recipients SET state = e.state, code = e.code, due_at = e.due, version = e.version,
		message = CASE WHEN e.message = 0 THEN recipients.message ELSE e.message END, tries = CASE WHEN e.tries = 0 THEN recipients.tries ELSE e.tries END
		FROM `+l.marks.from(1)+" WHERE recipients.campaign = e.campaign AND recipients.pos = e.pos", l.marks.args()...)
}

// rideMoved tells that a message of a slice came to a status.
func (u *unit) rideMoved(message, patient int64, to gateway.Status, code string) {
	u.messageMoved(&gateway.Step{Message: message, From: gateway.Waiting, To: to, Code: code}, waiting{patient: patient})
}
