package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/campaign"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences"
)

// mostRead is how many rows of one table, its indexes' entries among them, an operation
// may look at: nothing here speaks of more than a few dozen.
const mostRead = 1500

// A statement that reads a table from end to end, by its rows or by an index of it, is
// quick in a test and slow in a practice. PostgreSQL counts what it read: behind 100,000
// messages every operation looks at a few rows, whatever its plan.
func TestNothingGrowsWithThePast(t *testing.T) {
	address, counts := newCountedDatabase(t)
	p := &present{}
	t.Run("a past", func(t *testing.T) { p.begin(t, address) })
	for _, o := range p.operations() {
		before := readSoFar(t, counts)
		if !t.Run(o.name, func(t *testing.T) {
			p.db, p.ids = open(t, address)
			if err := o.do(t.Context()); err != nil {
				t.Fatal(err)
			}
		}) {
			return // the next ones go on from it
		}
		for table, now := range readSoFar(t, counts) {
			if scans, rows := now[0]-before[table][0], now[1]-before[table][1]; rows > mostRead {
				t.Errorf("%s looked at %d rows of %s, in %d scans of the whole table", o.name, rows, table, scans)
			}
		}
	}
}

// A practice that moves in puts everybody on file within a minute: PostgreSQL knows nothing
// of its tables yet, and plans as if they were empty. Sealing looks at each row once all
// the same.
func TestSealingAFreshImport(t *testing.T) {
	address, counts := newCountedDatabase(t)
	const rows = 20_000
	t.Run("import", func(t *testing.T) {
		db, _ := open(t, address)
		if _, err := db.Seal(t.Context(), false); err != nil { // planned now
			t.Fatal(err)
		}
		if _, err := counts.Exec("ALTER TABLE ledger SET (autovacuum_enabled = off); ALTER TABLE seals SET (autovacuum_enabled = off)"); err != nil {
			t.Fatal(err)
		}
		if _, err := counts.Exec("INSERT INTO ledger (id, subject, seq, kind, at, digest) SELECT n, 'p1', n, 'contact.set', n, '' FROM generate_series(1, $1) n", rows); err != nil {
			t.Fatal(err)
		}
		if n, err := db.Seal(t.Context(), false); err != nil || n != rows {
			t.Fatalf("%d were sealed: %v", n, err)
		}
	})
	for table, n := range readSoFar(t, counts) {
		if n[1] > 4*rows {
			t.Errorf("it looked at %d rows of %s", n[1], table)
		}
	}
}

// newCountedDatabase makes a database, and gives a connection of its own that asks what was
// read in it.
func newCountedDatabase(t *testing.T) (address string, counts *sql.DB) {
	t.Helper()
	address = newDatabase(t)
	counts, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { counts.Close() })
	counts.SetMaxOpenConns(1)
	return address, counts
}

// readSoFar gives how often each table was read from end to end, and how many rows and
// entries of indexes were read of it. PostgreSQL knows when everybody has gone.
func readSoFar(t *testing.T, db *sql.DB) map[string][2]int64 {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		var others int
		if err := db.QueryRow("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'").Scan(&others); err != nil {
			t.Fatal(err)
		}
		if others == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are left", others)
		}
	}
	list, err := db.Query(`SELECT t.relname, t.seq_scan, t.seq_tup_read + GREATEST(COALESCE(t.idx_tup_fetch, 0), COALESCE((SELECT sum(i.idx_tup_read) FROM pg_stat_user_indexes i WHERE i.relid = t.relid), 0)) FROM pg_stat_user_tables t`)
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	got := map[string][2]int64{}
	for list.Next() {
		var name string
		var n [2]int64
		if err := list.Scan(&name, &n[0], &n[1]); err != nil {
			t.Fatal(err)
		}
		got[name] = n
	}
	if err := list.Err(); err != nil || len(got) == 0 {
		t.Fatalf("%d tables: %v", len(got), err)
	}
	return got
}

// present is what goes on in a database with a past.
type present struct {
	db       *store.DB
	ids      *gateway.IDs
	old      struct{ patient, single, rides, campaign int64 }
	people   []int64 // who is put on file now
	phones   []int64 // their addresses
	messages []int64
	campaign *gateway.Campaign
	claim    campaign.Claim
}

const pastReference = "Appointment/past"

func (p *present) begin(t *testing.T, address string) {
	db, ids := open(t, address)
	if err := db.MakePast(t.Context(), store.Past{People: 20_000, Messages: 100_000}, func(string) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Seal(t.Context(), true); err != nil { // once, of everything
		t.Fatal(err)
	}
	writer, _ := db.SQL()
	for query, into := range map[string]*int64{
		"SELECT patient FROM messages WHERE campaign IS NULL ORDER BY id OFFSET 5000 LIMIT 1": &p.old.patient,
		"SELECT id FROM messages WHERE campaign IS NULL ORDER BY id OFFSET 5000 LIMIT 1":      &p.old.single,
		"SELECT id FROM messages WHERE status = 10 ORDER BY id OFFSET 50000 LIMIT 1":          &p.old.rides,
		"SELECT max(id) FROM campaigns": &p.old.campaign,
	} {
		if err := writer.QueryRow(query).Scan(into); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 12 {
		patient := enrol(t, db, ids, fmt.Sprint("now", i), fmt.Sprintf("+1303555%04d", 4000+i))
		found, err := db.Patient(t.Context(), patient)
		if err != nil {
			t.Fatal(err)
		}
		p.people, p.phones = append(p.people, patient), append(p.phones, found.Addresses[0].ID)
	}
}

type operation struct {
	name string
	do   func(context.Context) error
}

// looked is an operation that only reads.
func looked[T any](read func(context.Context) (T, error)) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := read(ctx)
		return err
	}
}

func (p *present) operations() []operation {
	return append(append(append(p.single(), p.words()...), p.mass()...), p.office()...)
}

func (p *present) commit(ctx context.Context, c gateway.Change) error {
	c.At, c.Actor = time.Now(), "test"
	kept, err := p.db.Commit(ctx, c)
	if err == nil && len(kept.Refused) > 0 {
		err = fmt.Errorf("refused: %v", kept.Refused)
	}
	return err
}

// single is the way of single messages.
func (p *present) single() []operation {
	free := func([]int64) (bool, time.Time) { return true, time.Time{} }
	return []operation{
		{"accept", func(ctx context.Context) error {
			var c gateway.Change
			for _, patient := range p.people {
				p.messages = append(p.messages, p.ids.New())
				c.Accepts = append(c.Accepts, gateway.Message{
					ID: p.messages[len(p.messages)-1], Patient: patient, Queue: gateway.SingleQueue, Category: "follow_up", Template: "follow_up", Essential: true,
					Due: time.Now(), Created: time.Now(), Reference: pastReference,
				})
			}
			return p.commit(ctx, c)
		}},
		{"who a reference means", looked(func(ctx context.Context) (int64, error) { return p.db.PatientID(ctx, "now1") })},
		{"due", func(ctx context.Context) error {
			for _, q := range gateway.Queues {
				got, err := p.db.Due(ctx, q, time.Now(), 100)
				if err != nil || (q == gateway.SingleQueue) != (len(got) == len(p.messages)) {
					return fmt.Errorf("%d due: %w", len(got), err)
				}
			}
			return nil
		}},
		{"usage", looked(func(ctx context.Context) (any, error) { return p.db.Usages(ctx, p.people) })},
		{"claim", func(ctx context.Context) error {
			known, err := p.db.Snapshots(ctx, p.people)
			if err != nil {
				return err
			}
			var c gateway.Change
			for i, m := range p.messages {
				c.Steps = append(c.Steps, gateway.Step{
					Message: m, Patient: p.people[i], From: gateway.Waiting, To: gateway.Sending, Version: known[p.people[i]].Version, Lease: time.Now().Add(time.Minute),
					NotAfter: time.Now().Add(time.Hour), Cap: &gateway.Cap{Program: channels.Care, Keep: 10, Frees: free},
					Attempt: &gateway.Attempt{ID: m + 1, Message: m, Number: 1, Pair: preferences.Pair{Channel: channels.SMS, Address: p.phones[i]}, At: time.Now(), Form: "full", Program: channels.Care},
				})
			}
			return p.commit(ctx, c)
		}},
		{"record", func(ctx context.Context) error {
			var c gateway.Change
			for i, m := range p.messages {
				c.Edits = append(c.Edits, gateway.Edit{Attempt: m + 1, Status: gateway.AttemptTaken, ProviderID: fmt.Sprint("now", i)})
				c.Steps = append(c.Steps, gateway.Step{Message: m, Patient: p.people[i], From: gateway.Sending, To: gateway.Sent})
			}
			return p.commit(ctx, c)
		}},
		{"a receipt", func(ctx context.Context) error {
			if _, err := p.db.AttemptByProvider(ctx, "now1"); err != nil {
				return err
			}
			a, err := p.db.Attempt(ctx, p.messages[1]+1)
			if err != nil {
				return err
			}
			return p.commit(ctx, gateway.Change{
				Seen: &gateway.Seen{Source: "twilio", Event: "now1"}, Edits: []gateway.Edit{{Attempt: a.ID, Status: gateway.AttemptDelivered}},
				Steps: []gateway.Step{{Message: a.Message, From: gateway.Sent, To: gateway.Delivered}}, Heard: []gateway.MessageHeard{{Message: a.Message, Event: gateway.MessageEvent{At: time.Now(), Kind: "delivered"}}},
			})
		}},
		{"a receipt of nobody", func(ctx context.Context) error {
			if _, err := p.db.Attempt(ctx, 1); !errors.Is(err, gateway.ErrNotFound) {
				return err
			}
			_, err := p.db.AttemptByProvider(ctx, "nobody's")
			if errors.Is(err, gateway.ErrNotFound) {
				err = nil
			}
			return err
		}},
		{"sweeps", func(ctx context.Context) error {
			if _, err := p.db.Abandoned(ctx, time.Now(), 100); err != nil {
				return err
			}
			if _, err := p.db.Unresolved(ctx, time.Now(), 100); err != nil {
				return err
			}
			if _, err := p.db.AbandonedSlices(ctx, time.Now(), 100); err != nil {
				return err
			}
			_, err := p.db.UnresolvedSlices(ctx, time.Now(), 100)
			return err
		}},
		{"what stands before the providers", looked(func(ctx context.Context) (any, error) { return p.db.Load(ctx, time.Now()) })},
		{"what waited before a hold", looked(func(ctx context.Context) (any, error) { return p.db.DueBefore(ctx, time.Now(), 0, 100) })},
	}
}

// words is what people and providers say.
func (p *present) words() []operation {
	return []operation{
		{"a number", looked(func(ctx context.Context) (any, error) { return p.db.Number(ctx, "+13035554001") })},
		{"a stop", func(ctx context.Context) error {
			now := time.Now().UnixMicro()
			return p.commit(ctx, gateway.Change{Seen: &gateway.Seen{Source: "twilio", Event: "stop"}, Numbers: []gateway.NumberFact{{
				Number: "+13035554011", Event: preferences.Event{ID: p.ids.New(), Kind: preferences.NumberStopped, At: now, Said: now, Programs: channels.SetOf(channels.Care)},
			}}})
		}},
		{"calls under way", looked(func(ctx context.Context) (any, error) {
			return p.db.Calling(ctx, append([]int64{p.old.patient}, p.people...))
		})},
		{"a patient", looked(func(ctx context.Context) (any, error) { return p.db.Patient(ctx, p.people[0]) })},
		{"a patient's ledger", looked(func(ctx context.Context) (any, error) { return p.db.Ledger(ctx, p.people[0], 0, 100) })},
		{"a patient's history", looked(func(ctx context.Context) (any, error) {
			return p.db.History(ctx, p.people[0], []string{"+13035554000"}, 0, 100)
		})},
		{"a number's words", looked(func(ctx context.Context) (any, error) { return p.db.NumberWords(ctx, "+13035554011") })},
		{"who ever had a number", looked(func(ctx context.Context) (any, error) { return p.db.EverHad(ctx, "+13035554011") })},
		{"addresses", looked(func(ctx context.Context) (any, error) { return p.db.AddressTexts(ctx, p.phones) })},
	}
}
