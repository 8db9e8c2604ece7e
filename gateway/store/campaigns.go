package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/campaign"
)

// persons are the people behind a campaign, as its row keeps them.
type persons struct {
	Author   gateway.Person `json:"author"`
	Editor   gateway.Person `json:"editor"`
	Approver gateway.Person `json:"approver,omitzero"`
}

const campaignColumns = `SELECT id, status, revision, name, category, template, rate, people, wording, persons, created_at, approved_at, started_at, ended_at,
	hold_until, trouble, sealed FROM campaigns `

func (d *DB) campaigns(ctx context.Context, q querier, where string, args ...any) ([]gateway.Campaign, error) {
	list, err := q.QueryContext(ctx, campaignColumns+where, args...)
	if err != nil {
		return nil, err
	}
	var got []gateway.Campaign
	return got, scan(list, func(s scanner) error {
		var c gateway.Campaign
		var who string
		var created, approved, started, ended, hold int64
		var sealed []byte
		if err := s.Scan(&c.ID, &c.Status, &c.Revision, &c.Name, &c.Category, &c.Template, &c.Rate, &c.People, &c.Wording, &who, &created, &approved, &started, &ended,
			&hold, &c.Trouble, &sealed); err != nil {
			return err
		}
		var p persons
		if err := json.Unmarshal([]byte(who), &p); err != nil {
			return err
		}
		c.Author, c.Editor, c.Approver = p.Author, p.Editor, p.Approver
		c.Created, c.Approved, c.Started, c.Ended, c.Hold = instant(created), instant(approved), instant(started), instant(ended), instant(hold)
		var body gateway.Body
		err := open(d.keys.general, sealed, &body)
		c.Variables, c.Channels = body.Variables, body.Channels
		got = append(got, c)
		return err
	})
}

// Campaign reads one campaign. gateway.ErrNotFound.
func (d *DB) Campaign(ctx context.Context, id int64) (*gateway.Campaign, error) {
	return one(d.campaigns(ctx, d.read, "WHERE id = $1", id))
}

// Campaigns lists campaigns after one, by id.
func (d *DB) Campaigns(ctx context.Context, after int64, limit int) ([]gateway.Campaign, error) {
	return d.campaigns(ctx, d.read, "WHERE id > $1 ORDER BY id LIMIT $2", after, limit)
}

// AddCampaign keeps a new campaign. The change holds who made it and the call's key.
func (d *DB) AddCampaign(ctx context.Context, c gateway.Change, made gateway.Campaign) (gateway.Kept, error) {
	return d.commit(ctx, c, func(u *unit) error {
		if err := u.run(`INSERT INTO campaigns (id, status, revision, name, category, template, rate, people, persons, created_at, approved_at, started_at, ended_at)
			VALUES ($1, 0, 0, '', '', '', 0, 0, '{}', $2, 0, 0, 0)`, made.ID, micros(made.Created)); err != nil {
			return err
		}
		return u.writeCampaign(&made)
	})
}

func (u *unit) writeCampaign(c *gateway.Campaign) error {
	who, err := json.Marshal(persons{c.Author, c.Editor, c.Approver})
	if err != nil {
		return err
	}
	sealed, err := seal(u.keys.general, c.Body())
	if err != nil {
		return err
	}
	return u.run(`UPDATE campaigns SET status = $2, revision = $3, name = $4, category = $5, template = $6, rate = $7, people = $8, persons = $9,
		approved_at = $10, started_at = $11, ended_at = $12, sealed = $13, wording = $14 WHERE id = $1`,
		c.ID, int(c.Status), c.Revision, c.Name, c.Category, c.Template, c.Rate, c.People, string(who), micros(c.Approved), micros(c.Started), micros(c.Ended), sealed, c.Wording)
}

func (u *unit) lockCampaign(id int64) (*gateway.Campaign, error) {
	return one(u.campaigns(u.ctx, u.tx, "WHERE id = $1"+u.lock("UPDATE"), id))
}

// ChangeCampaign lets judge change a locked campaign. One that starts gets its shards; one
// that is canceled takes back what waits. gateway.ErrNotFound.
func (d *DB) ChangeCampaign(ctx context.Context, c gateway.Change, id int64, judge func(*gateway.Campaign) error) (gateway.Kept, error) {
	kept, err := d.commit(ctx, c, func(u *unit) error {
		was, err := u.lockCampaign(id)
		if err != nil {
			return err
		}
		is := *was
		if err := judge(&is); err != nil {
			return err
		}
		if was.Status == gateway.CampaignApproved && is.Status == gateway.CampaignRunning {
			if err := u.makeShards(&is); err != nil {
				return err
			}
		}
		if is.Status == gateway.CampaignRunning && was.Status == gateway.CampaignPaused {
			if err := u.run("UPDATE campaigns SET hold_until = 0, trouble = 0 WHERE id = $1", id); err != nil {
				return err
			}
		}
		return u.writeCampaign(&is)
	})
	return kept, err
}

// minShard is how many positions a shard has at least: one letter's worth.
const minShard = channels.MaxBatch

// makeShards cuts the audience into parts of consecutive positions.
func (u *unit) makeShards(c *gateway.Campaign) error {
	n := max(1, min(campaign.MaxShards, c.People/minShard))
	from := int64(0)
	for no := range n {
		to := c.People * (no + 1) / n
		if err := u.run("INSERT INTO shards (campaign, no, cursor, last) VALUES ($1, $2, $3, $4)", c.ID, no, from, to); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// WithdrawMessages takes back what waits of a canceled campaign, in batches, each locked in
// the order of ids. What begins to wait later is taken back when its turn comes.
func (d *DB) WithdrawMessages(ctx context.Context, id int64) error {
	for {
		r, err := d.write.ExecContext(ctx, "UPDATE messages SET status = $2, code = $3 WHERE id IN (SELECT id FROM messages WHERE campaign = $1 AND status = 0 ORDER BY id LIMIT 1000"+
			d.lock("NO KEY UPDATE")+")", id, int(gateway.Canceled), gateway.CampaignCanceledCode)
		if err != nil {
			return fmt.Errorf("taking back the messages of a campaign: %w", err)
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return err
		}
	}
}

// RunnableCampaigns lists the campaigns that may send now.
func (d *DB) RunnableCampaigns(ctx context.Context, now time.Time) ([]gateway.Campaign, error) {
	return d.campaigns(ctx, d.read, "WHERE status = 2 AND hold_until <= $1 ORDER BY id", micros(now))
}

// CampaignShards lists the parts of an audience that are not at their end.
func (d *DB) CampaignShards(ctx context.Context, id int64) ([]campaign.Shard, error) {
	list, err := d.read.QueryContext(ctx, "SELECT no, cursor, last FROM shards WHERE campaign = $1 AND cursor < last ORDER BY no", id)
	if err != nil {
		return nil, err
	}
	var got []campaign.Shard
	return got, scan(list, func(s scanner) error {
		var part campaign.Shard
		err := s.Scan(&part.No, &part.Cursor, &part.Last)
		got = append(got, part)
		return err
	})
}

// RecipientsAhead gives the next recipients of a shard, by position.
func (d *DB) RecipientsAhead(ctx context.Context, id int64, s campaign.Shard, limit int) ([]campaign.Recipient, error) {
	return d.recipients(ctx, "WHERE campaign = $1 AND pos > $2 AND pos <= $3 AND state = 0 ORDER BY pos LIMIT $4", id, s.Cursor, s.Last, limit)
}

// RecipientsWaiting gives recipients whose turn has come, the longest due first.
func (d *DB) RecipientsWaiting(ctx context.Context, id int64, now time.Time, limit int) ([]campaign.Recipient, error) {
	return d.recipients(ctx, "WHERE campaign = $1 AND state = 1 AND due_at <= $2 ORDER BY due_at, pos LIMIT $3", id, micros(now), limit)
}

// Recipients gives an audience after a position, those left out whom nobody knows.
func (d *DB) Recipients(ctx context.Context, id, after int64, limit int) ([]campaign.Recipient, error) {
	return d.recipients(ctx, "WHERE campaign = $1 AND pos > $2 AND patient > 0 ORDER BY pos LIMIT $3", id, after, limit)
}

func (d *DB) recipients(ctx context.Context, where string, args ...any) ([]campaign.Recipient, error) {
	list, err := d.read.QueryContext(ctx, "SELECT pos, patient, message, tries, split FROM recipients "+where, args...)
	if err != nil {
		return nil, err
	}
	var got []campaign.Recipient
	return got, scan(list, func(s scanner) error {
		var r campaign.Recipient
		err := s.Scan(&r.Pos, &r.Patient, &r.Message, &r.Tries, &r.Split)
		got = append(got, r)
		return err
	})
}

// FinishCampaign ends a campaign in which nothing is left to do.
func (d *DB) FinishCampaign(ctx context.Context, id int64, now time.Time) (bool, error) {
	r, err := d.write.ExecContext(ctx, `UPDATE campaigns SET status = $3, ended_at = $2 WHERE id = $1 AND status = 2
		AND NOT EXISTS (SELECT 1 FROM shards WHERE campaign = $1 AND cursor < last)
		AND NOT EXISTS (SELECT 1 FROM recipients WHERE campaign = $1 AND state = 1)
		AND NOT EXISTS (SELECT 1 FROM slices WHERE campaign = $1 AND status IN (1, 2, 4) AND (batch OR status < 3))
		AND NOT EXISTS (SELECT 1 FROM messages WHERE campaign = $1 AND status IN (0, 1, 2, 11))`, id, micros(now), int(gateway.CampaignCompleted))
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n == 1, err
}
