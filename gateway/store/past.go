package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/campaign"
	"harmonize.care/heed/preferences"
)

// Past is what a database that is measured has behind it: People who were put on file and
// got Messages between two years and a day ago.
type Past struct {
	People   int `json:"people"`
	Messages int `json:"messages"`
}

// Check says what a past cannot be.
func (p Past) Check() error {
	if p.People < 100 || p.Messages < 1000 || p.People > 50_000_000 || p.Messages > 500_000_000 || p.People%pastStride == 0 {
		return errors.New("a past has 100 to 50,000,000 people, though no multiple of 1,000,003, and 1,000 to 500,000,000 messages")
	}
	return nil
}

// pastCampaign is how many people a past campaign went to at most.
const pastCampaign = 1_000_000

// pastStride scatters messages over people. It is prime, so that nobody is twice in a
// campaign unless People is a multiple of it.
const pastStride = 1_000_003

// ErrNoPast: only PostgreSQL can be filled.
var ErrNoPast = errors.New("a past is made on PostgreSQL alone: name a server in database.url")

// MakePast fills a database that was made to be measured, by the database's own means:
// nothing goes through a gateway. Nine in ten messages are a campaign's and ride in their
// slices, one in ten is a single one with its try, its decision and its news. Rows are as
// narrow as the schema allows: nothing is sealed, a slice names nobody, and the chain over
// ledger and audit log is one of length alone, so that it does not stand a verification. A
// database in use must not be filled.
func (d *DB) MakePast(ctx context.Context, p Past, tell func(what string)) error {
	if !d.pg {
		return ErrNoPast
	}
	if err := p.Check(); err != nil {
		return err
	}
	steps, err := pastSteps(p, d.now())
	if err != nil {
		return err
	}
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	// Indexes are built at the end: row by row they cost ten times as much.
	back, err := withoutIndexes(ctx, tx)
	if err != nil {
		return err
	}
	for _, step := range append(steps, back...) {
		tell(step.what)
		if _, err := tx.ExecContext(ctx, step.query, step.args...); err != nil {
			return fmt.Errorf("making a past, %s: %w", step.what, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	tell("vacuum")
	_, err = d.write.ExecContext(ctx, "VACUUM (ANALYZE)")
	return err
}

// pastStep is one statement.
type pastStep struct {
	what  string
	query string
	args  []any
}

// Whose past rows these are.
var pastTables = "'patients', 'numbers', 'addresses', 'ledger', 'audit', 'seals', 'usage', 'campaigns', 'recipients', 'slices', 'messages', 'attempts', 'decisions', 'message_events', 'seen', 'tasks', 'answers'"

// withoutIndexes drops keys and indexes of the tables that are filled, and gives what brings
// them back: keys before what refers to them.
func withoutIndexes(ctx context.Context, tx *sql.Tx) ([]pastStep, error) {
	list, err := tx.QueryContext(ctx, `SELECT 'ALTER TABLE ' || conrelid::regclass || ' DROP CONSTRAINT ' || conname, 'ALTER TABLE ' || conrelid::regclass || ' ADD CONSTRAINT ' || conname || ' ' || pg_get_constraintdef(oid),
			CASE contype WHEN 'f' THEN 2 ELSE 0 END AS turn
		FROM pg_constraint WHERE contype IN ('p', 'u', 'f') AND (conrelid IN (SELECT CAST(t AS regclass) FROM unnest(ARRAY[`+pastTables+`]) t) OR confrelid IN (SELECT CAST(t AS regclass) FROM unnest(ARRAY[`+pastTables+`]) t))
		UNION ALL SELECT 'DROP INDEX ' || indexrelid::regclass, pg_get_indexdef(indexrelid), 1 FROM pg_index
		WHERE indrelid IN (SELECT CAST(t AS regclass) FROM unnest(ARRAY[`+pastTables+`]) t) AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = indexrelid)
		ORDER BY turn`)
	if err != nil {
		return nil, err
	}
	var drops []string
	var back []pastStep
	if err := scan(list, func(s scanner) error {
		var drop, make string
		var turn int
		err := s.Scan(&drop, &make, &turn)
		drops, back = append(drops, drop), append(back, pastStep{what: make, query: make})
		return err
	}); err != nil {
		return nil, err
	}
	for i := len(drops) - 1; i >= 0; i-- {
		if _, err := tx.ExecContext(ctx, drops[i]); err != nil {
			return nil, err
		}
	}
	_, err = tx.ExecContext(ctx, "SET LOCAL maintenance_work_mem = '512MB'; SET LOCAL work_mem = '64MB'")
	return back, err
}

// pastSteps are the statements. Ids are those that would have been given at the time
// (gateway.IDs): patient i has its id, its phone's and its mailbox' one after the other.
func pastSteps(p Past, now time.Time) ([]pastStep, error) {
	const day = int64(24 * time.Hour / time.Microsecond)
	start := micros(now) - 730*day
	mass := p.Messages / 10 * 9
	crowd := min(p.People, pastCampaign, mass)
	snapshot, err := pastSnapshot(start)
	if err != nil {
		return nil, err
	}
	// pat(i) and msg(k) give the instant of a person and a message; id() an instant's id.
	id := func(at string) string {
		return fmt.Sprintf("((%s - %d) * %d)", at, gateway.IDEpoch, gateway.Nodes)
	}
	pat := func(i string) string {
		return fmt.Sprintf("(%d + %s * %d)", start, i, 180*day/int64(p.People))
	}
	msg := func(k string) string {
		return fmt.Sprintf("(%d + %s * %d)", start+181*day, k, max(8, 540*day/int64(p.Messages)))
	}
	whose := func(k string) string { // the person of message k: every campaign begins with somebody else
		return fmt.Sprintf("((%s * %d) %% %d + 1)", k, int64(pastStride), int64(p.People))
	}
	key := func(text string) string {
		return "translate(rtrim(encode(sha256(convert_to(" + text + ", 'UTF8')), 'base64'), '='), '+/', '-_')"
	}
	people := fmt.Sprintf(" FROM generate_series(CAST(1 AS BIGINT), %d) i", p.People)
	masses := fmt.Sprintf(" FROM generate_series(CAST(0 AS BIGINT), %d) k", mass-1)
	singles := fmt.Sprintf(" FROM generate_series(CAST(%d AS BIGINT), %d) k", mass, p.Messages-1)
	campaignOf := fmt.Sprintf("%s + 1", id(msg(fmt.Sprintf("(k / %d * %d)", crowd, crowd))))
	sliceOf := fmt.Sprintf("%s + 2", id(msg(fmt.Sprintf("(k / %d * %d)", channels.MaxBatch, channels.MaxBatch))))
	patientOf := id(pat(whose("k")))
	return []pastStep{
		{"patients", "INSERT INTO patients (id, ref, version, snapshot) SELECT " + id(pat("i")) + ", 'past-' || i, " + pat("i") + ", $1" + people, []any{snapshot}},
		{"addresses", "INSERT INTO addresses (id, patient, kind, key) SELECT " + id("("+pat("i")+" + n)") + ", " + id(pat("i")) + ", n, " + key("'past' || n || '-' || i") + people + ", generate_series(1, 2) n", nil},
		{"numbers", "INSERT INTO numbers (key, stops, said) SELECT key, 0, '{}' FROM addresses ON CONFLICT DO NOTHING", nil},
		{"ledger", "INSERT INTO ledger (id, subject, seq, kind, at, digest) SELECT " + id("("+pat("i")+" + 3)") + ", 'p' || " + id(pat("i")) + ", 1, '" + string(preferences.ContactSet) + "', " + pat("i") + ", sha256(convert_to('e' || i, 'UTF8'))" + people, nil},
		{"audit", "INSERT INTO audit (id, at, actor, verb, object, detail) SELECT " + id("("+pat("i")+" + 4)") + ", " + pat("i") + ", 'past', 'patient.put', 'patient:' || " + id(pat("i")) + ", '{}'" + people + " WHERE i % 4 = 0", nil},
		{"seals", fmt.Sprintf("INSERT INTO seals (no, kind, row_id, hash) SELECT row_number() OVER (ORDER BY id), kind, id, sha256(convert_to('s' || id, 'UTF8')) FROM (SELECT id, %d AS kind FROM ledger UNION ALL SELECT id, %d FROM audit) r", ledgerRows, auditRows), nil},
		{"usage", "INSERT INTO usage (patient, program, recent) SELECT " + id(pat("i")) + ", 1, '[' || " + pat("i") + " || ']'" + people + " WHERE i % 2 = 0", nil},
		{"campaigns", fmt.Sprintf(`INSERT INTO campaigns (id, status, revision, name, category, template, rate, people, persons, created_at, approved_at, started_at, ended_at)
			SELECT %s, %d, 1, 'Past', 'newsletter', 'newsletter', 0, count(*), '{}', min(%s), min(%s), min(%s), max(%s)%s GROUP BY 1`, campaignOf, gateway.CampaignCompleted, msg("k"), msg("k"), msg("k"), msg("k"), masses), nil},
		{"recipients", fmt.Sprintf("INSERT INTO recipients (campaign, pos, patient, version) SELECT %s, k %% %d + 1, %s, %s%s", campaignOf, crowd, patientOf, pat(whose("k")), masses), nil},
		{"shards", fmt.Sprintf("INSERT INTO shards (campaign, no, cursor, last) SELECT id, 0, people, people FROM campaigns WHERE name = 'Past' AND status = %d", gateway.CampaignCompleted), nil},
		{"slices", fmt.Sprintf(`INSERT INTO slices (id, campaign, channel, program, batch, status, lease, at, provider_id, provider, form, wording, people, items)
			SELECT %s, min(%s), %d, %d, TRUE, %d, min(%s), min(%s), 'past', 'sendgrid', 'full', '', count(*), '\x00'%s GROUP BY 1`, sliceOf, campaignOf, channels.Email, channels.Marketing, campaign.SliceSent, msg("k"), msg("k"), masses), nil},
		{"messages of campaigns", fmt.Sprintf(`INSERT INTO messages (id, patient, queue, category, template, essential, status, due_at, expires_at, attempts, created_at, campaign, slice)
			SELECT %s, %s, %d, 'newsletter', 'newsletter', FALSE, %d, %s, 0, 1, %s, %s, %s%s`, id(msg("k")), patientOf, gateway.CampaignQueue, riding, msg("k"), msg("k"), campaignOf, sliceOf, masses), nil},
		{"single messages", fmt.Sprintf(`INSERT INTO messages (id, patient, queue, category, template, essential, status, due_at, expires_at, attempts, created_at)
			SELECT %s, %s, %d, 'appointment_reminder', 'appointment_reminder', TRUE, CASE WHEN k %% 4 = 0 THEN %d ELSE %d END, %s, %s, 1, %s%s`, id(msg("k")), patientOf, gateway.SingleQueue, gateway.Sent, gateway.Delivered, msg("k"), msg("k"), msg("k"), singles), nil},
		{"attempts", fmt.Sprintf(`INSERT INTO attempts (id, message, number, channel, address, version, status, provider_id, at, program, form, discreet, provider)
			SELECT %s + 3, %s, 1, %d, %s, %s, CASE WHEN k %% 4 = 0 THEN %d ELSE %d END, 'SM' || md5('a' || k), %s, %d, 'full', FALSE, 'twilio'%s`, id(msg("k")), id(msg("k")), channels.SMS, id("("+pat(whose("k"))+" + 1)"), pat(whose("k")), gateway.AttemptTaken, gateway.AttemptDelivered, msg("k"), channels.Care, singles), nil},
		{"decisions", "INSERT INTO decisions (id, message, at, outcome) SELECT " + id(msg("k")) + " + 4, " + id(msg("k")) + ", " + msg("k") + ", 'send'" + singles, nil},
		{"message events", "INSERT INTO message_events (id, message, at, kind, code) SELECT " + id(msg("k")) + " + 4 + n, " + id(msg("k")) + ", " + msg("k") + ", CASE n WHEN 1 THEN 'accepted' ELSE 'delivered' END, ''" + singles + ", generate_series(1, 2) n", nil},
		{"tasks", "INSERT INTO tasks (id, kind, patient, message, created_at, due_at, done_at) SELECT " + id(msg("k")) + " + 7, 'needs_staff', " + patientOf + ", " + id(msg("k")) + ", " + msg("k") + ", " + msg("k") + ", " + msg("k") + singles + " WHERE k % 10 = 0", nil},
		{"answers", "INSERT INTO answers (caller, key, body_hash, status, sealed, at) SELECT 'past', " + key("'a' || k") + ", '', 202, '', " + strconv.FormatInt(micros(now), 10) + " - k % 86400 * 1000000" + singles + fmt.Sprintf(" WHERE k >= %d", p.Messages-p.Messages/500), nil},
		{"seen", "INSERT INTO seen (source, event, at) SELECT 'twilio', 'SM' || md5('a' || k) || '/delivered', " + msg("k") + singles + fmt.Sprintf(" WHERE %s > %d", msg("k"), micros(now)-33*day), nil},
	}, nil
}

// pastSnapshot is what is known of everybody, always the same.
func pastSnapshot(at int64) ([]byte, error) {
	s := preferences.Snapshot{Patient: math.MaxInt64, Version: at, Locale: "en", Addresses: []preferences.Address{
		{ID: 1, Kind: channels.Phone, Line: preferences.Mobile, OnRecord: true, Rank: 1}, {ID: 2, Kind: channels.Mailbox, OnRecord: true, Rank: 1},
	}, Choices: []preferences.Choice{{Topic: preferences.TopicMarketing, Channel: channels.SMS, In: true, Consent: preferences.Written, At: at}}}
	return s.AppendBinary(nil)
}
