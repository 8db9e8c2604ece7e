package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/campaign"
	"harmonize.care/heed/preferences/policy"
)

// PatientIDs gives our ids of many patients, of erased ones too; those nobody knows are
// left out.
func (d *DB) PatientIDs(ctx context.Context, refs []string) (map[string]int64, error) {
	asked := map[string]string{}
	for _, ref := range refs {
		asked[ref], asked[d.keys.refKey(ref)] = ref, ref
	}
	set := map[string]struct{}{}
	for key := range asked {
		set[key] = struct{}{}
	}
	list, err := d.read.QueryContext(ctx, "SELECT ref, id FROM patients WHERE "+d.amongTexts("ref", 1), keysOf(d, set))
	if err != nil {
		return nil, err
	}
	got := map[string]int64{}
	return got, scan(list, func(s scanner) error {
		var key string
		var id int64
		err := s.Scan(&key, &id)
		got[asked[key]] = id
		return err
	})
}

// AddRecipients keeps a part of an audience, by position: one that stands there already
// changes nothing. An approval ends with the first row that is new. gateway.NotNow.
func (d *DB) AddRecipients(ctx context.Context, c gateway.Change, id int64, editor gateway.Person, list []campaign.Recipient) (campaign.Added, error) {
	var added campaign.Added
	_, err := d.commit(ctx, c, func(u *unit) error {
		is, err := u.lockCampaign(id)
		if err != nil {
			return err
		}
		if err := campaign.Editable(is); err != nil {
			return err
		}
		if is.People == 0 {
			if err := u.isEmpty(id); err != nil {
				return err
			}
		}
		if added, err = u.addRecipients(id, list); err != nil || added.New == 0 {
			return err
		}
		campaign.Edited(is, editor)
		is.People = max(is.People, added.Last)
		return u.writeCampaign(is)
	})
	return added, err
}

// isEmpty refuses a list while an older one is being taken away.
func (u *unit) isEmpty(id int64) error {
	var left bool
	err := u.tx.QueryRowContext(u.ctx, "SELECT EXISTS (SELECT 1 FROM recipients WHERE campaign = $1)", id).Scan(&left)
	if err == nil && left {
		err = gateway.NotNow{Code: "audience_clearing", Problem: "The audience is being cleared, or clearing it was broken off. Clear it once more, then upload the list."}
	}
	return err
}

func (u *unit) addRecipients(id int64, list []campaign.Recipient) (campaign.Added, error) {
	added := campaign.Added{}
	want := map[int64]int64{}
	param := make([]any, 0, len(list))
	for _, r := range list {
		want[r.Pos], added.Last = r.Patient, max(added.Last, r.Pos)
		state, code := ahead, ""
		if r.Patient < 0 {
			state, code = held, string(policy.PatientUnknown)
		}
		param = append(param, []any{r.Pos, r.Patient, state, code})
	}
	text, err := json.Marshal(param)
	if err != nil {
		return added, err
	}
	found, err := u.tx.QueryContext(u.ctx, `INSERT INTO recipients (campaign, pos, patient, state, code) SELECT CAST($2 AS BIGINT), CAST(e.value ->> 0 AS BIGINT), CAST(e.value ->> 1 AS BIGINT),
		CAST(e.value ->> 2 AS SMALLINT), e.value ->> 3 FROM `+u.each(1)+` WHERE true ON CONFLICT DO NOTHING RETURNING pos, patient`, string(text), id)
	if err != nil {
		return added, err
	}
	if err := scan(found, func(s scanner) error {
		var pos, patient int64
		err := s.Scan(&pos, &patient)
		delete(want, pos)
		added.New++
		if patient < 0 {
			added.Unknown++
		}
		return err
	}); err != nil || len(want) == 0 {
		return added, err
	}
	return added, u.compareRecipients(id, want, &added)
}

// compareRecipients looks at those who were not new: at their position, or at another one.
func (u *unit) compareRecipients(id int64, want map[int64]int64, added *campaign.Added) error {
	at := map[int64]struct{}{}
	for pos := range want {
		at[pos] = struct{}{}
	}
	list, err := u.tx.QueryContext(u.ctx, "SELECT pos, patient FROM recipients WHERE campaign = $1 AND "+u.among("pos", 2), id, keysOf(u.DB, at))
	if err != nil {
		return err
	}
	known := map[int64]int64{}
	if err := scan(list, func(s scanner) error {
		var pos, patient int64
		err := s.Scan(&pos, &patient)
		known[pos] = patient
		return err
	}); err != nil {
		return err
	}
	for pos, patient := range want {
		there, ok := known[pos]
		switch {
		case !ok:
			added.Repeated++
		case there == patient:
			added.Already++
		case there < 0: // put on file since
			if err := u.knownNow(id, pos, patient, added); err != nil {
				return err
			}
		default:
			return gateway.NotNow{Code: "audience_differs", Problem: "Somebody else stands at a position of this list. Clear the audience first, or upload the list that it was made from."}
		}
	}
	return nil
}

func (u *unit) knownNow(id, pos, patient int64, added *campaign.Added) error {
	n, err := u.exec(`UPDATE recipients SET patient = $3, state = 0, code = '' WHERE campaign = $1 AND pos = $2
		AND NOT EXISTS (SELECT 1 FROM recipients WHERE campaign = $1 AND patient = $3)`, id, pos, patient)
	if n == 1 {
		added.New++
	} else {
		added.Repeated++
	}
	return err
}

// ClearRecipients empties an audience, in batches; nothing is added until it is empty. gateway.NotNow.
func (d *DB) ClearRecipients(ctx context.Context, c gateway.Change, id int64, editor gateway.Person) error {
	// The approval ends first: half an audience is never an approved one.
	_, err := d.ChangeCampaign(ctx, c, id, func(is *gateway.Campaign) error {
		if err := campaign.Editable(is); err != nil {
			return err
		}
		campaign.Edited(is, editor)
		is.People = 0
		return nil
	})
	if err != nil {
		return err
	}
	for {
		r, err := d.write.ExecContext(ctx, `DELETE FROM recipients WHERE campaign = $1 AND pos IN (SELECT pos FROM recipients WHERE campaign = $1 LIMIT $2)
			AND EXISTS (SELECT 1 FROM campaigns WHERE id = $1 AND status = 0 AND people = 0)`, id, forgetBatch)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return err
		}
	}
}

// Recipient finds a patient in an audience, with the code and when it was judged.
// gateway.ErrNotFound.
func (d *DB) Recipient(ctx context.Context, id, patient int64) (campaign.Standing, error) {
	var r campaign.Standing
	var due int64
	err := found(d.read.QueryRowContext(ctx, "SELECT pos, state, code, due_at, version, message FROM recipients WHERE campaign = $1 AND patient = $2", id, patient).
		Scan(&r.Pos, &r.State, &r.Code, &due, &r.Version, &r.Message))
	r.Due = instant(due)
	if err != nil || r.State != ahead {
		return r, err
	}
	// Behind the cursor somebody was claimed, and has a message.
	err = d.read.QueryRowContext(ctx, "SELECT id FROM messages WHERE patient = $1 AND campaign = $2", patient, id).Scan(&r.Message)
	if errors.Is(err, sql.ErrNoRows) {
		return r, nil
	}
	r.State = claimed
	return r, err
}

// Tallies counts an audience: by state and code, and those who have a message by how it
// stands, its code and its channel.
func (d *DB) Tallies(ctx context.Context, id int64) ([]campaign.Tally, error) {
	var got []campaign.Tally
	// Who was claimed stands behind a cursor, and is not looked at: of a million they are all
	// but a few in the end, and a report is asked for every second.
	list, err := d.read.QueryContext(ctx, `SELECT state, code, count(*) FROM recipients WHERE campaign = $1 AND state IN (1, 3) GROUP BY state, code
		UNION ALL SELECT r.state, r.code, count(*) FROM shards s JOIN recipients r ON r.campaign = s.campaign AND r.pos > s.cursor AND r.pos <= s.last
		WHERE s.campaign = $1 AND s.cursor < s.last AND r.state = 0 GROUP BY r.state, r.code
		UNION ALL SELECT state, code, count(*) FROM recipients WHERE campaign = $1 AND state = 0 AND NOT EXISTS (SELECT 1 FROM shards WHERE campaign = $1) GROUP BY state, code`, id)
	if err != nil {
		return nil, err
	}
	if err := scan(list, func(s scanner) error {
		var t campaign.Tally
		err := s.Scan(&t.State, &t.Code, &t.Count)
		got = append(got, t)
		return err
	}); err != nil {
		return nil, err
	}
	list, err = d.read.QueryContext(ctx, `SELECT 10, s.status, '', s.channel, 0, CAST(SUM(s.people - COALESCE(x.n, 0)) AS BIGINT) FROM slices s
		LEFT JOIN (SELECT slice, count(*) AS n FROM messages WHERE campaign = $1 AND status <> 10 GROUP BY slice) x ON x.slice = s.id WHERE s.campaign = $1 GROUP BY s.status, s.channel
		UNION ALL SELECT m.status, COALESCE(s.status, 0), m.code, COALESCE(s.channel, 0), CASE WHEN m.status = 0 AND m.due_at > $2 THEN 1 ELSE 0 END, count(*)
		FROM messages m LEFT JOIN slices s ON s.id = m.slice WHERE m.campaign = $1 AND m.status NOT IN (10, 11) GROUP BY 1, 2, 3, 4, 5`, id, micros(d.now()))
	if err != nil {
		return nil, err
	}
	return got, scan(list, func(s scanner) error {
		t := campaign.Tally{State: claimed}
		var status, slice, later int
		if err := s.Scan(&status, &slice, &t.Code, &t.Channel, &later, &t.Count); err != nil || t.Count == 0 {
			return err
		}
		t.Later = later == 1
		if t.Status = standing(status, slice); status == riding && t.Status == gateway.Failed {
			t.Code = unheard
		}
		got = append(got, t)
		return nil
	})
}
