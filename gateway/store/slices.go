package store

import (
	"cmp"
	"context"
	"errors"
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
	marks *table          // what becomes of the recipients
	ended *table          // messages that were surely not sent, and are held back now
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
	l := &lot{claim: &c, items: map[int64]*seat{}, ended: d.table("id BIGINT", "code TEXT"), marks: d.table("pos BIGINT", "state BIGINT", "code TEXT", "due BIGINT",
		"version BIGINT", "message BIGINT", "tries BIGINT", "campaign BIGINT"), got: campaign.Claimed{Gone: map[int64]bool{}, Address: map[int64]string{}}}
	l.plead(&change)
	err := d.within(ctx, &change, func(u *unit) error {
		l.unit = u
		return inOrder(l.notHeld, l.moveCursor, u.readWanted, u.lockPatients, u.fence, u.lockUsage, l.lockWaiting, u.tx.flush, l.takePlaces, l.addresses,
			l.writeMessages, l.endMessages, l.openTasks, l.writeSlices, l.writeRecipients, u.writeUsage, u.writeHappened)
	})
	if errors.Is(err, errLost) {
		return campaign.Claimed{Lost: true}, nil
	}
	return l.got, err
}

var errLost = errors.New("somebody else was quicker")

// within runs a change that is kept by statements of its own.
func (d *DB) within(ctx context.Context, c *gateway.Change, what func(*unit) error) error {
	ctx, cancel := context.WithTimeout(ctx, keepTime)
	defer cancel()
	tx, err := d.begin(ctx, false)
	if err != nil {
		return err
	}
	defer tx.end()
	u := newRide(ctx, d, tx).add(c)
	if err := what(u); err != nil {
		return cmp.Or(tx.fault, err)
	}
	if _, err := tx.commit(); err != nil {
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
	want, items, held := map[int64]struct{}{}, map[int64]*campaign.Item{}, map[int64]*campaign.Held{}
	for _, i := range l.items {
		want[i.Pos], items[i.Pos] = struct{}{}, i.Item
	}
	for i := range l.claim.Held {
		h := &l.claim.Held[i]
		want[h.Pos], held[h.Pos] = struct{}{}, h
	}
	for _, w := range l.claim.Later {
		want[w.Pos] = struct{}{}
	}
	l.mine = map[int64]bool{}
	list, err := l.tx.QueryContext(l.ctx, "SELECT pos, message, tries FROM recipients WHERE campaign = $1 AND state = 1 AND "+l.among("pos", 2)+" ORDER BY pos"+l.lock("NO KEY UPDATE SKIP LOCKED"),
		l.claim.Campaign.ID, keysOf(l.DB, want))
	if err != nil {
		return err
	}
	return scan(list, func(s scanner) error {
		var pos, message int64
		var tries int
		err := s.Scan(&pos, &message, &tries)
		i, h := items[pos], held[pos]
		// A message that was made meanwhile would not be ended with them, and wait for ever.
		l.mine[pos] = (i == nil || (message == 0 || message == i.Message) && tries == i.Number-1) && (h == nil || message == h.Message)
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
			l.ended.row(h.Message, h.Code)
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

// letGo lets somebody go who was to be claimed; a place that was taken under a cap is free again.
func (l *lot) letGo(i *campaign.Item) {
	l.got.Gone[i.Pos], l.refused[i.Message] = true, true
	if i.Cap != nil {
		l.givePlace(&gateway.Unsent{Patient: i.Patient, Program: i.Cap.Program, At: l.claim.At})
	}
}

// mark notes a recipient's row; message 0 and tries 0 leave them as they are.
func (l *lot) mark(pos int64, state int, code string, due, version, message int64, tries int) {
	l.marks.row(pos, state, code, due, version, message, tries, l.claim.Campaign.ID)
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
	if err := l.readAddresses(want); err != nil {
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
				l.letGo(item)
				l.mark(item.Pos, held, string(policy.NoAddress), 0, item.Version, 0, 0)
			case s.Batch && taken[text]:
				l.letGo(item)
				l.mark(item.Pos, waits, sameAddress, micros(l.c.At), item.Version, 0, 0)
			default:
				taken[text] = true
			}
		}
	}
	return nil
}
