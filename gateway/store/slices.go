package store

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/campaign"
	"harmonize.care/heed/preferences/policy"
)

// A message of a campaign stands as its slice says (riding), or waits with its
// recipient (returned), until something is heard of it alone.
const (
	riding   = 10
	returned = 11
)

// The states of a recipient.
const (
	ahead = iota
	waits
	claimed
	held
)

// standing is how a message stands, by its own row and its slice's.
func standing(status, slice int) gateway.Status {
	switch {
	case status == returned:
		return gateway.Waiting
	case status != riding:
		return gateway.Status(status)
	}
	switch campaign.SliceStatus(slice) {
	case campaign.SliceClaimed, campaign.SliceBegun:
		return gateway.Sending
	case campaign.SliceSent:
		return gateway.Sent
	case campaign.SliceUnknown:
		return gateway.Unknown
	case campaign.SliceUnsent:
		return gateway.Waiting
	}
	return gateway.Failed // nothing was ever heard
}

// tried is how far an attempt got, by its own row and its slice's.
func tried(status, slice int) gateway.AttemptStatus {
	if gateway.AttemptStatus(status) != gateway.AttemptClaimed {
		return gateway.AttemptStatus(status)
	}
	switch campaign.SliceStatus(slice) {
	case campaign.SliceBegun:
		return gateway.AttemptBegun
	case campaign.SliceSent:
		return gateway.AttemptTaken
	case campaign.SliceUnknown, campaign.SliceGivenUp:
		return gateway.AttemptUnknown
	case campaign.SliceUnsent:
		return gateway.AttemptUnsent
	}
	return gateway.AttemptClaimed
}

// unheard is the code of a message whose slice was given up: the dispatcher's own word.
const unheard = "outcome_unknown"

// lot is one claim in one transaction.
type lot struct {
	*unit
	claim *campaign.Claim
	got   campaign.Claimed
	mine  map[int64]bool  // those who wait and are ours, by position
	marks []any           // what becomes of the recipients
	ended []any           // messages that were surely not sent, and are held back now
	items map[int64]*seat // by message
}

// seat is one recipient who is claimed, and in which slice.
type seat struct {
	*campaign.Item
	slice *campaign.Slice
}

// ClaimSlices keeps what was decided of a part of an audience.
func (d *DB) ClaimSlices(ctx context.Context, c campaign.Claim) (campaign.Claimed, error) {
	change := gateway.Change{At: c.At, Actor: "heed"}
	l := &lot{claim: &c, items: map[int64]*seat{}, got: campaign.Claimed{Gone: map[int64]bool{}, Address: map[int64]string{}}}
	l.plead(&change)
	err := d.within(ctx, &change, func(u *unit) error {
		l.unit = u
		return inOrder(l.moveCursor, u.readWanted, u.lockPatients, u.fence, u.lockUsage, l.lockWaiting, l.takePlaces, l.addresses,
			l.writeMessages, l.endMessages, l.openTasks, l.writeSlices, l.writeRecipients, u.writeUsage, u.writeHappened)
	})
	if errors.Is(err, errLost) {
		return campaign.Claimed{Lost: true}, nil
	}
	return l.got, err
}

var (
	errLost       = errors.New("somebody else was quicker")
	errDrawnTwice = errors.New("keeping a claim: a new message's id is another one's already; trying again with a new one")
)

// within runs a change that is kept by statements of its own.
func (d *DB) within(ctx context.Context, c *gateway.Change, what func(*unit) error) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	u := newUnit(ctx, d, tx, c)
	if err := what(u); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if len(u.happened) > 0 && d.woken != nil {
		d.woken()
	}
	return nil
}

func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// plead makes a step of everything that was judged, so that the fence sees it like any
// other: a stale "no" is refused as much as a stale "yes". A step without a message goes
// by its position, below 0.
func (l *lot) plead(c *gateway.Change) {
	for i := range l.claim.Slices {
		s := &l.claim.Slices[i]
		for k := range s.Items {
			item := &s.Items[k]
			l.items[item.Message] = &seat{item, s}
			c.Steps = append(c.Steps, gateway.Step{
				Message: item.Message, Patient: item.Patient, From: gateway.Waiting, To: gateway.Sending, Version: item.Version, NotAfter: item.NotAfter,
				Lease: s.Lease, Cap: item.Cap, Attempt: &gateway.Attempt{ID: item.Attempt, At: l.claim.At, Pair: item.Pair},
			})
		}
	}
	for _, h := range l.claim.Held {
		c.Steps = append(c.Steps, gateway.Step{Message: -h.Pos, Patient: h.Patient, Version: h.Version})
	}
	for _, w := range l.claim.Later {
		c.Steps = append(c.Steps, gateway.Step{Message: -w.Pos, Patient: w.Patient, Version: w.Version})
	}
}

// moveCursor takes the part of the audience for us, or nothing at all.
func (l *lot) moveCursor() error {
	id, lane := l.claim.Campaign.ID, l.claim.Lane
	if lane.Waiting {
		var n int
		err := l.tx.QueryRowContext(l.ctx, "SELECT count(*) FROM campaigns WHERE id = $1 AND status = $2", id, int(gateway.CampaignRunning)).Scan(&n)
		if err == nil && n == 0 {
			err = errLost
		}
		return err
	}
	n, err := l.exec(`UPDATE shards SET cursor = $4 WHERE campaign = $1 AND no = $2 AND cursor = $3
		AND EXISTS (SELECT 1 FROM campaigns WHERE id = $1 AND status = $5)`, id, lane.Shard, lane.From, lane.To, int(gateway.CampaignRunning))
	if err == nil && n == 0 {
		err = errLost
	}
	return err
}

// lockWaiting locks those who wait. Whom somebody else has, or had since they were read, is
// passed over.
func (l *lot) lockWaiting() error {
	if !l.claim.Lane.Waiting {
		return nil
	}
	want, items := map[int64]struct{}{}, map[int64]*campaign.Item{}
	for _, i := range l.items {
		want[i.Pos], items[i.Pos] = struct{}{}, i.Item
	}
	for _, h := range l.claim.Held {
		want[h.Pos] = struct{}{}
	}
	for _, w := range l.claim.Later {
		want[w.Pos] = struct{}{}
	}
	l.mine = map[int64]bool{}
	list, err := l.tx.QueryContext(l.ctx, "SELECT pos, message, tries FROM recipients WHERE campaign = $1 AND state = 1 AND pos IN "+l.ids(2)+" ORDER BY pos"+l.lock("NO KEY UPDATE SKIP LOCKED"),
		l.claim.Campaign.ID, rows(want))
	if err != nil {
		return err
	}
	return scan(list, func(s scanner) error {
		var pos, message int64
		var tries int
		err := s.Scan(&pos, &message, &tries)
		i := items[pos]
		l.mine[pos] = i == nil || (message == 0 || message == i.Message) && tries == i.Number-1
		return err
	})
}

func (l *lot) ours(pos int64) bool { return l.mine == nil || l.mine[pos] }

// takePlaces sorts out who is refused, and says of everybody else what becomes of them.
func (l *lot) takePlaces() error {
	for i := range l.c.Steps {
		s := &l.c.Steps[i]
		item := l.items[s.Message]
		if item == nil {
			continue
		}
		if !l.ours(item.Pos) {
			l.got.Gone[item.Pos], l.refused[s.Message] = true, true
			continue
		}
		if !l.refused[s.Message] && l.takePlace(s) {
			continue
		}
		l.refuseItem(item.Item, l.kept.Refused[s.Message])
	}
	for _, h := range l.claim.Held {
		if h.Message != 0 && l.ours(h.Pos) && !l.refused[-h.Pos] { // its message tells
			l.ended = append(l.ended, []any{h.Message, h.Code})
			l.mark(h.Pos, claimed, "", 0, h.Version, h.Message, 0)
			continue
		}
		l.settle(h.Pos, h.Patient, held, h.Code, 0, h.Version)
	}
	for _, w := range l.claim.Later {
		l.settle(w.Pos, w.Patient, waits, w.Code, micros(w.Until), w.Version)
	}
	return nil
}

// settle notes what becomes of somebody who is not sent to; one whom a newer word
// concerns is judged again.
func (l *lot) settle(pos, patient int64, state int, code string, due, version int64) {
	if !l.ours(pos) {
		return
	}
	if l.refused[-pos] {
		l.got.Stale = append(l.got.Stale, patient)
		state, code, due = waits, "", micros(l.c.At)
	}
	l.mark(pos, state, code, due, version, 0, 0)
}

// refuseItem lets somebody who is not claimed after all wait to be judged again.
func (l *lot) refuseItem(i *campaign.Item, why gateway.Refusal) {
	l.got.Gone[i.Pos], l.refused[i.Message] = true, true
	due, code := l.c.At, ""
	switch why.Why {
	case gateway.Stale:
		l.got.Stale = append(l.got.Stale, i.Patient)
	case gateway.Capped:
		due, code = why.Until, string(policy.FrequencyCap)
	}
	l.mark(i.Pos, waits, code, micros(due), i.Version, 0, 0)
}

// mark notes a recipient's row; message 0 and tries 0 leave them as they are.
func (l *lot) mark(pos int64, state int, code string, due, version, message int64, tries int) {
	l.marks = append(l.marks, []any{pos, state, code, due, version, message, tries, l.claim.Campaign.ID})
}

// sameAddress is the code of somebody who waits for the next letter: another one in the
// household has a place in this one.
const sameAddress = "same_address"

// addresses reads where the claimed ones go: here, and never from a cache. In a letter an
// address stands once: households share them, and a provider refuses the whole letter.
func (l *lot) addresses() error {
	want := map[int64]struct{}{}
	for _, i := range l.items {
		if !l.refused[i.Message] {
			want[i.Pair.Address] = struct{}{}
		}
	}
	if len(want) == 0 {
		return nil
	}
	if err := l.addressTexts(l.ctx, l.tx, rows(want), l.got.Address); err != nil {
		return err
	}
	for k := range l.claim.Slices {
		s := &l.claim.Slices[k]
		taken := map[string]bool{}
		for i := range s.Items {
			item := &s.Items[i]
			text := strings.ToLower(l.got.Address[item.Pair.Address])
			switch {
			case l.refused[item.Message]:
			case text == "":
				l.got.Gone[item.Pos], l.refused[item.Message] = true, true
				l.mark(item.Pos, held, string(policy.NoAddress), 0, item.Version, 0, 0)
			case s.Batch && taken[text]:
				l.got.Gone[item.Pos], l.refused[item.Message] = true, true
				l.mark(item.Pos, waits, sameAddress, micros(l.c.At), item.Version, 0, 0)
			default:
				taken[text] = true
			}
		}
	}
	return nil
}

// writeMessages writes the messages, their attempts and the decisions. One that was taken
// back by itself meanwhile is not claimed.
func (l *lot) writeMessages() error {
	var messages, attempts, decisions []any
	for k := range l.claim.Slices {
		s := &l.claim.Slices[k]
		for i := range s.Items {
			item := &s.Items[i]
			if l.refused[item.Message] {
				continue
			}
			messages = append(messages, []any{item.Message, item.Patient, item.Number, s.ID})
		}
	}
	if len(messages) == 0 {
		return nil
	}
	slices.SortFunc(messages, func(a, b any) int { return cmp.Compare(a.([]any)[0].(int64), b.([]any)[0].(int64)) }) // the order of locks
	if err := l.insertMessages(messages); err != nil {
		return err
	}
	for k := range l.claim.Slices {
		s := &l.claim.Slices[k]
		for i := range s.Items {
			item := &s.Items[i]
			if l.refused[item.Message] {
				continue
			}
			attempts = append(attempts, []any{item.Attempt, item.Message, item.Number, int(item.Pair.Channel), item.Pair.Address, item.Version, int(s.Program), item.Form, b2i(item.Discreet), s.ID, item.Wording})
			l.mark(item.Pos, claimed, "", 0, item.Version, item.Message, item.Number)
			if d := item.Decision; d != nil {
				sealed, err := l.sealDecision(item.Patient, d.Body)
				if err != nil {
					return err
				}
				decisions = append(decisions, []any{d.ID, d.Message, micros(d.At), d.Outcome, d.Code, sealed})
			}
			l.rideMoved(item.Message, item.Patient, gateway.Sending, "")
		}
	}
	if err := l.insertAttempts(attempts); err != nil {
		return err
	}
	return l.insertDecisions(decisions)
}

// endMessages holds back messages of people who were claimed before.
func (l *lot) endMessages() error {
	if len(l.ended) == 0 {
		return nil
	}
	param, err := json.Marshal(l.ended)
	if err != nil {
		return err
	}
	return l.run(`UPDATE messages SET status = $2, code = x.code FROM (SELECT CAST(e.value ->> 0 AS BIGINT) AS id, e.value ->> 1 AS code FROM `+l.each(1)+`) x
		WHERE messages.id = x.id AND messages.status = 11`, string(param), int(gateway.Suppressed))
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

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (l *lot) insertMessages(list []any) error {
	c := l.claim.Campaign
	param, err := json.Marshal(list)
	if err != nil {
		return err
	}
	found, err := l.tx.QueryContext(l.ctx, `INSERT INTO messages (id, patient, queue, category, template, essential, status, due_at, expires_at, attempts, created_at, campaign, slice)
		SELECT CAST(e.value ->> 0 AS BIGINT), CAST(e.value ->> 1 AS BIGINT), CAST($2 AS SMALLINT), CAST($3 AS TEXT), CAST($4 AS TEXT), FALSE, 10, CAST($5 AS BIGINT), 0,
		CAST(e.value ->> 2 AS SMALLINT), CAST($5 AS BIGINT), CAST($6 AS BIGINT), CAST(e.value ->> 3 AS BIGINT) FROM `+l.each(1)+` WHERE true
		ON CONFLICT (id) DO UPDATE SET status = 10, attempts = excluded.attempts, slice = excluded.slice, code = ''
		WHERE messages.status = 11 AND messages.patient = excluded.patient AND messages.campaign = excluded.campaign RETURNING id`,
		string(param), int(gateway.CampaignQueue), c.Category, c.Template, micros(l.c.At), c.ID)
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
		if !l.refused[i.Message] && !written[i.Message] {
			if i.Number == 1 {
				// Two replicas drew the same id. Nothing of the claim is kept: they are judged anew.
				return errDrawnTwice
			}
			l.got.Gone[i.Pos], l.refused[i.Message] = true, true
			l.mark(i.Pos, claimed, "", 0, i.Version, i.Message, 0) // its message tells
		}
	}
	return nil
}

func (l *lot) insertAttempts(list []any) error {
	param, err := json.Marshal(list)
	if err != nil || len(list) == 0 {
		return err
	}
	return l.run(`INSERT INTO attempts (id, message, number, channel, address, version, status, at, program, form, discreet, slice, wording)
		SELECT CAST(e.value ->> 0 AS BIGINT), CAST(e.value ->> 1 AS BIGINT), CAST(e.value ->> 2 AS SMALLINT), CAST(e.value ->> 3 AS SMALLINT), CAST(e.value ->> 4 AS BIGINT),
		CAST(e.value ->> 5 AS BIGINT), 1, CAST($2 AS BIGINT), CAST(e.value ->> 6 AS SMALLINT), e.value ->> 7, CAST(e.value ->> 8 AS INTEGER) = 1, CAST(e.value ->> 9 AS BIGINT), e.value ->> 10 FROM `+l.each(1),
		string(param), micros(l.c.At))
}

// sealDecision gives a decision's body sealed under the patient's key, in hex: it travels
// in a JSON list.
func (u *unit) sealDecision(patient int64, body []byte) (string, error) {
	key, err := u.sealer(patient)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(key.Seal(nil, nil, body, nil)), nil
}

func (l *lot) insertDecisions(list []any) error {
	param, err := json.Marshal(list)
	if err != nil || len(list) == 0 {
		return err
	}
	return l.run(`INSERT INTO decisions (id, message, at, outcome, code, sealed) SELECT CAST(e.value ->> 0 AS BIGINT), CAST(e.value ->> 1 AS BIGINT), CAST(e.value ->> 2 AS BIGINT),
		e.value ->> 3, e.value ->> 4, `+l.unhex("e.value ->> 5")+` FROM `+l.each(1), string(param))
}

// unhex reads hex inside the database.
func (d *DB) unhex(expression string) string {
	if d.pg {
		return "decode(" + expression + ", 'hex')"
	}
	return "unhex(" + expression + ")"
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
		text, err := json.Marshal(items)
		if err != nil {
			return err
		}
		if err := l.run("INSERT INTO slices (id, campaign, channel, program, batch, status, lease, at, items) VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $8)",
			s.ID, l.claim.Campaign.ID, int(s.Channel), int(s.Program), s.Batch, micros(s.Lease), micros(l.c.At), string(text)); err != nil {
			return err
		}
	}
	return nil
}

// writeRecipients keeps what becomes of everybody, in one statement. The campaign stands in
// the list, or SQLite looks at the whole audience for each of them.
func (l *lot) writeRecipients() error {
	if len(l.marks) == 0 {
		return nil
	}
	param, err := json.Marshal(l.marks)
	if err != nil {
		return err
	}
	return l.run(`UPDATE recipients SET state = x.state, code = x.code, due_at = x.due, version = x.version,
		message = CASE WHEN x.message = 0 THEN recipients.message ELSE x.message END, tries = CASE WHEN x.tries = 0 THEN recipients.tries ELSE x.tries END
		FROM (SELECT CAST(e.value ->> 0 AS BIGINT) AS pos, CAST(e.value ->> 1 AS SMALLINT) AS state, e.value ->> 2 AS code, CAST(e.value ->> 3 AS BIGINT) AS due,
		CAST(e.value ->> 4 AS BIGINT) AS version, CAST(e.value ->> 5 AS BIGINT) AS message, CAST(e.value ->> 6 AS SMALLINT) AS tries, CAST(e.value ->> 7 AS BIGINT) AS campaign FROM `+l.each(1)+`) x
		WHERE recipients.campaign = x.campaign AND recipients.pos = x.pos`, string(param))
}

// rideMoved tells that a message of a slice came to a status.
func (u *unit) rideMoved(message, patient int64, to gateway.Status, code string) {
	u.messageMoved(&gateway.Step{Message: message, From: gateway.Waiting, To: to, Code: code}, waiting{patient: patient})
}
