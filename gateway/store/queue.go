package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"harmonize.care/heed/gateway"
)

const messageColumns = `SELECT m.id, COALESCE(m.patient, 0), m.queue, m.category, m.template, m.essential, m.status, m.due_at, m.expires_at, m.attempts, m.lease,
	COALESCE(m.reference, ''), m.created_at, m.code, m.failed, m.sealed, p.data_key, COALESCE(m.campaign, 0), COALESCE(s.status, 0), COALESCE(c.status, 0), c.sealed, COALESCE(c.wording, ''), COALESCE(c.rate, 0)
	FROM messages m LEFT JOIN patients p ON p.id = m.patient LEFT JOIN slices s ON s.id = m.slice LEFT JOIN campaigns c ON c.id = m.campaign `

func (d *DB) messages(ctx context.Context, where string, args ...any) ([]gateway.Message, error) {
	list, err := d.read.QueryContext(ctx, messageColumns+where, args...)
	if err != nil {
		return nil, err
	}
	var got []gateway.Message
	return got, scan(list, d.messageRow(&got))
}

func (d *DB) messageRow(got *[]gateway.Message) func(scanner) error {
	return func(s scanner) error {
		var m gateway.Message
		var due, expires, lease, created int64
		var failed string
		var sealed, wrapped, body []byte
		var status, slice int
		var stands gateway.CampaignStatus
		if err := s.Scan(&m.ID, &m.Patient, &m.Queue, &m.Category, &m.Template, &m.Essential, &status, &due, &expires, &m.Attempts, &lease,
			&m.Reference, &created, &m.Code, &failed, &sealed, &wrapped, &m.Campaign, &slice, &stands, &body, &m.Wording, &m.Rate); err != nil {
			return err
		}
		if m.Status = standing(status, slice); status == riding && m.Status == gateway.Failed {
			m.Code = unheard
		}
		if status == returned && stands == gateway.CampaignCanceled {
			m.Status, m.Code = gateway.Canceled, gateway.CampaignCanceledCode
		}
		m.Due, m.Expires, m.Lease, m.Created = instant(due), instant(expires), instant(lease), instant(created)
		if err := json.Unmarshal([]byte(failed), &m.Failed); err != nil {
			return err
		}
		key := d.keys.general
		if m.Patient != 0 {
			var err error
			if key, err = d.keys.dataKey(wrapped); err != nil {
				return err
			}
		}
		if m.Campaign != 0 { // what it says is the campaign's, and nothing of anybody
			m.Withdrawn, key, sealed = stands == gateway.CampaignCanceled, d.keys.general, body
		}
		err := open(key, sealed, &m.Body)
		*got = append(*got, m)
		return err
	}
}

// Due lists waiting messages of a queue, oldest first. Every queue is asked after every
// commit, and as a rule has nothing: that is found out by the index alone, before anything
// is planned that reads a message with all that belongs to it.
func (d *DB) Due(ctx context.Context, q gateway.Queue, now time.Time, limit int) ([]gateway.Message, error) {
	var waits bool
	if err := d.read.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM messages WHERE queue = $1 AND status = 0 AND due_at <= $2)", int(q), micros(now)).Scan(&waits); err != nil || !waits {
		return nil, err
	}
	runs := ""
	if q == gateway.CampaignQueue {
		runs = fmt.Sprintf(" AND c.status <> %d", gateway.CampaignPaused)
	}
	return d.messages(ctx, "WHERE m.queue = $1 AND m.status = 0 AND m.due_at <= $2"+runs+" ORDER BY m.due_at, m.id LIMIT $3", int(q), micros(now), limit)
}

// Message reads one message with everything of it. gateway.ErrNotFound.
func (d *DB) Message(ctx context.Context, id int64) (*gateway.Message, error) {
	var got []gateway.Message
	var m gateway.Message
	var last []gateway.DecisionRecord
	one := []any{id}
	err := d.askAll(ctx, []statement{
		{query: messageColumns + "WHERE m.id = $1", args: one, row: d.messageRow(&got)},
		{query: attemptColumns + "WHERE message = $1 ORDER BY number", args: one, row: attemptRow(&m.Tries)},
		{query: "SELECT at, kind, code FROM message_events WHERE message = $1 ORDER BY id LIMIT 1000", args: one, row: func(s scanner) error {
			var e gateway.MessageEvent
			var at int64
			err := s.Scan(&at, &e.Kind, &e.Code)
			e.At = instant(at)
			m.Events = append(m.Events, e)
			return err
		}},
		{query: decisionColumns + "WHERE d.message = $1 ORDER BY d.id DESC LIMIT 1", args: one, row: d.decisionRow(&last)},
	})
	if err != nil {
		return nil, err
	}
	if len(got) == 0 {
		return nil, gateway.ErrNotFound
	}
	if got[0].Campaign != 0 {
		this := map[int64]struct{}{id: {}}
		m.Tries, err = d.allTries(ctx, this, this)
		if err == nil && len(last) == 0 {
			last, err = d.toldDecisions(ctx, "m.id = $1", id)
		}
		if err != nil {
			return nil, err
		}
	}
	got[0].Tries, got[0].Events = m.Tries, m.Events
	if len(last) > 0 {
		got[0].Last = &last[0]
	}
	return &got[0], nil
}

// Messages lists messages, with their tries. Only the conditions that are set are
// asked, so that each list is read from its own index.
func (d *DB) Messages(ctx context.Context, f gateway.MessageFilter) ([]gateway.Message, error) {
	var args []any
	where := []string{"true"}
	add := func(condition string, value any) {
		args = append(args, value)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	if f.Patient != 0 {
		add("m.patient = $%d", f.Patient)
	}
	if f.Reference != "" {
		add("m.reference = $%d", f.Reference)
	}
	if f.Open {
		add("m.status IN (11, $%d)", int(gateway.Waiting))
	}
	order, next := "m.id", "m.id > $%d"
	if f.Newest {
		order, next = "m.id DESC", "m.id < $%d"
	}
	if f.After != 0 {
		add(next, f.After)
	}
	args = append(args, f.Limit)
	got, err := d.messages(ctx, fmt.Sprintf("WHERE %s ORDER BY %s LIMIT $%d", strings.Join(where, " AND "), order, len(args)), args...)
	if err != nil {
		return nil, err
	}
	return got, d.fill(ctx, got)
}

// Abandoned lists messages whose lease ran out before a moment, oldest first.
func (d *DB) Abandoned(ctx context.Context, before time.Time, limit int) ([]gateway.Message, error) {
	got, err := d.messages(ctx, "WHERE m.status = 1 AND m.lease < $1 ORDER BY m.lease LIMIT $2", micros(before), limit)
	if err != nil {
		return nil, err
	}
	return got, d.fill(ctx, got)
}

// Unresolved lists messages that the provider is to be asked about, oldest first.
func (d *DB) Unresolved(ctx context.Context, now time.Time, limit int) ([]gateway.Message, error) {
	got, err := d.messages(ctx, "WHERE m.status IN (2, 3) AND m.ask_at > 0 AND m.ask_at <= $1 ORDER BY m.ask_at LIMIT $2", micros(now), limit)
	if err != nil {
		return nil, err
	}
	return got, d.fill(ctx, got)
}

// fill puts each message's tries in, oldest first.
func (d *DB) fill(ctx context.Context, list []gateway.Message) error {
	at := map[int64]int{}
	ids, mass := map[int64]struct{}{}, map[int64]struct{}{}
	for i := range list {
		at[list[i].ID] = i
		ids[list[i].ID] = struct{}{}
		if list[i].Campaign != 0 {
			mass[list[i].ID] = struct{}{}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	tries, err := d.allTries(ctx, ids, mass)
	for _, a := range tries {
		m := &list[at[a.Message]]
		m.Tries = append(m.Tries, a)
	}
	return err
}

func (d *DB) attempts(ctx context.Context, where string, args ...any) ([]gateway.Attempt, error) {
	list, err := d.read.QueryContext(ctx, attemptColumns+where, args...)
	if err != nil {
		return nil, err
	}
	var got []gateway.Attempt
	return got, scan(list, attemptRow(&got))
}

const attemptColumns = `SELECT id, message, number, channel, address, version, status, COALESCE(provider_id, ''), code, at, program, form, discreet, wording, provider,
	COALESCE((SELECT s.status FROM slices s WHERE s.id = attempts.slice), 0) FROM attempts `

func attemptRow(got *[]gateway.Attempt) func(scanner) error {
	return func(s scanner) error {
		var a gateway.Attempt
		var at int64
		var status, slice int
		err := s.Scan(&a.ID, &a.Message, &a.Number, &a.Pair.Channel, &a.Pair.Address, &a.Version, &status, &a.ProviderID, &a.Code, &at, &a.Program, &a.Form, &a.Discreet, &a.Wording, &a.Provider, &slice)
		a.Status, a.At = tried(status, slice), instant(at)
		*got = append(*got, a)
		return err
	}
}

// Attempt reads one attempt. gateway.ErrNotFound.
func (d *DB) Attempt(ctx context.Context, id int64) (*gateway.Attempt, error) {
	got, err := d.attempts(ctx, "WHERE id = $1", id)
	if err == nil && len(got) == 0 {
		got, err = d.toldTries(ctx, "m.id = $1", id)
	}
	if err == nil && len(got) == 0 { // its slice has given it a row in between, perhaps
		got, err = d.attempts(ctx, "WHERE id = $1", id)
	}
	return one(got, err)
}

// AttemptByProvider finds an attempt by the provider's id. gateway.ErrNotFound.
func (d *DB) AttemptByProvider(ctx context.Context, providerID string) (*gateway.Attempt, error) {
	return one(d.attempts(ctx, "WHERE provider_id = $1", providerID))
}

func one[T any](list []T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, gateway.ErrNotFound
	}
	return &list[0], nil
}

// Calling counts messages of these patients that are sending. Answers that were
// claimed on no version are left out: the confirmation of a stop goes out after the
// stop. One that was is held by the fence like everything else. Words that are being
// handed over in a call count as well.
func (d *DB) Calling(ctx context.Context, patients []int64) (int, error) {
	var n, slices int
	ids := keysOf(d, setOf(patients))
	err := d.read.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM speaking WHERE "+d.among("patient", 1)+") + (SELECT count(*) FROM messages WHERE "+d.among("patient", 1)+" AND status = 1"+
		" AND (queue <> $2 OR EXISTS (SELECT 1 FROM attempts a WHERE a.message = messages.id AND a.number = messages.attempts AND a.version <> 0)))",
		ids, int(gateway.AnswerQueue)).Scan(&n)
	if err != nil || n > 0 {
		return n, err
	}
	// Messages of a campaign are sending while their slice is.
	if err := d.read.QueryRowContext(ctx, "SELECT count(*) FROM slices WHERE status < 3").Scan(&slices); err != nil || slices == 0 {
		return 0, err
	}
	err = d.read.QueryRowContext(ctx, "SELECT count(*) FROM messages m JOIN slices s ON s.id = m.slice WHERE "+d.among("m.patient", 1)+" AND m.status = 10 AND s.status < 3", ids).Scan(&n)
	return n, err
}
