package store

import (
	"context"
	"crypto/cipher"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// PatientID gives our id of a patient, of an erased one too. gateway.ErrNotFound.
func (d *DB) PatientID(ctx context.Context, ref string) (int64, error) {
	id, known, err := d.refs.get(ctx, ref)
	if err == nil && !known {
		err = gateway.ErrNotFound
	}
	return id, err
}

// patientIDs finds patients by the practice's ids, the erased ones by what stands in their
// place.
func (d *DB) patientIDs(ctx context.Context, refs []string) (map[string]int64, error) {
	asked := map[string]string{}
	for _, ref := range refs {
		asked[ref], asked[d.keys.refKey(ref)] = ref, ref
	}
	found, err := d.read.QueryContext(ctx, "SELECT ref, id FROM patients WHERE "+d.amongTexts("ref", 1), keysOf(d, asked))
	if err != nil {
		return nil, err
	}
	got := map[string]int64{}
	return got, scan(found, func(s scanner) error {
		var ref string
		var id int64
		err := s.Scan(&ref, &id)
		if whose, known := asked[ref]; known {
			got[whose] = id
		}
		return err
	})
}

func found(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return gateway.ErrNotFound
	}
	return err
}

// Patient gives the contact record; of somebody erased nothing, not even the ref.
// gateway.ErrNotFound.
func (d *DB) Patient(ctx context.Context, id int64) (*gateway.Patient, error) {
	p := &gateway.Patient{ID: id, Snapshot: &preferences.Snapshot{}}
	var version int64
	var body, wrapped, sealed []byte
	row := d.read.QueryRowContext(ctx, "SELECT ref, version, snapshot, data_key, sealed FROM patients WHERE id = $1", id)
	if err := found(row.Scan(&p.Ref, &version, &body, &wrapped, &sealed)); err != nil {
		return nil, err
	}
	if err := p.Snapshot.UnmarshalBinary(body); err != nil {
		return nil, err
	}
	p.Snapshot.Version = version
	key, err := d.keys.dataKey(wrapped)
	if err != nil {
		return nil, err
	}
	if key == nil {
		p.Ref = ""
	}
	if err := open(key, sealed, &p.Record); err != nil {
		return nil, err
	}
	list, err := d.read.QueryContext(ctx, "SELECT id, kind, sealed FROM addresses WHERE patient = $1 ORDER BY id", id)
	if err != nil {
		return nil, err
	}
	return p, scan(list, func(s scanner) error {
		var a gateway.AddressText
		var text []byte
		if err := s.Scan(&a.ID, &a.Kind, &text); err != nil {
			return err
		}
		err := open(key, text, &a.Value)
		p.Addresses = append(p.Addresses, a)
		return err
	})
}

// Snapshots reads what is known of patients; those nobody knows are left out.
func (d *DB) Snapshots(ctx context.Context, ids []int64) (map[int64]*preferences.Snapshot, error) {
	got := map[int64]*preferences.Snapshot{}
	if len(ids) == 0 {
		return got, nil
	}
	list, err := d.read.QueryContext(ctx, "SELECT id, version, snapshot FROM patients WHERE "+d.among("id", 1), keysOf(d, setOf(ids)))
	if err != nil {
		return nil, err
	}
	return got, scan(list, func(s scanner) error {
		var id, version int64
		var body []byte
		if err := s.Scan(&id, &version, &body); err != nil {
			return err
		}
		p := &preferences.Snapshot{}
		if err := p.UnmarshalBinary(body); err != nil {
			return err
		}
		p.Version = version
		got[id] = p
		return nil
	})
}

// Usage gives when texts and calls of each program went to a patient lately.
func (d *DB) Usage(ctx context.Context, patient int64) (policy.Usage, error) {
	u, _, err := d.usages.get(ctx, patient)
	return u, err
}

// Usages is Usage for many; those who got nothing are left out.
func (d *DB) Usages(ctx context.Context, patients []int64) (map[int64]policy.Usage, error) {
	got := map[int64]policy.Usage{}
	if len(patients) == 0 {
		return got, nil
	}
	found, err := d.read.QueryContext(ctx, "SELECT patient, program, recent FROM usage WHERE "+d.among("patient", 1), keysOf(d, setOf(patients)))
	if err != nil {
		return nil, err
	}
	return got, scan(found, func(s scanner) error {
		var patient int64
		var program int
		var recent string
		if err := s.Scan(&patient, &program, &recent); err != nil {
			return err
		}
		u := got[patient]
		err := json.Unmarshal([]byte(recent), &u[program])
		got[patient] = u
		return err
	})
}

// Number gives what is known of a number; one nobody has is empty.
func (d *DB) Number(ctx context.Context, e164 string) (gateway.Number, error) {
	n := gateway.Number{Since: map[channels.Program]time.Time{}}
	key := d.keys.addressKey(e164)
	var said string
	err := d.read.QueryRowContext(ctx, "SELECT stops, said FROM numbers WHERE key = $1", key).Scan(&n.Stops, &said)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return n, err
	}
	if err == nil {
		instants := map[channels.Program]int64{}
		if err := json.Unmarshal([]byte(said), &instants); err != nil {
			return n, err
		}
		for p, us := range instants {
			n.Since[p] = instant(us)
		}
	}
	n.Holders, err = d.holders(ctx, key)
	return n, err
}

func (d *DB) holders(ctx context.Context, key string) ([]gateway.Holder, error) {
	list, err := d.read.QueryContext(ctx, "SELECT patient, id FROM addresses WHERE key = $1 ORDER BY patient", key)
	if err != nil {
		return nil, err
	}
	var all []gateway.Holder
	if err := scan(list, func(s scanner) error {
		var h gateway.Holder
		err := s.Scan(&h.Patient, &h.Address)
		all = append(all, h)
		return err
	}); err != nil {
		return nil, err
	}
	var ids []int64
	for _, h := range all {
		ids = append(ids, h.Patient)
	}
	snapshots, err := d.Snapshots(ctx, ids)
	return slices.DeleteFunc(all, func(h gateway.Holder) bool {
		s := snapshots[h.Patient]
		if s == nil {
			return true
		}
		a := s.AddressByID(h.Address)
		return a == nil || !s.Has(a)
	}), err
}

// AddressTexts gives the text of addresses, by id.
func (d *DB) AddressTexts(ctx context.Context, ids []int64) (map[int64]string, error) {
	if len(ids) > fewAddresses {
		return d.readTexts(ctx, ids)
	}
	got := map[int64]string{}
	for _, id := range ids {
		text, known, err := d.addressed.get(ctx, id)
		if err != nil {
			return got, err
		}
		if known {
			got[id] = text
		}
	}
	return got, nil
}

// fewAddresses are those of one message: what is asked for many of them at a time is asked
// together.
const fewAddresses = 4

func (d *DB) readTexts(ctx context.Context, ids []int64) (map[int64]string, error) {
	got := map[int64]string{}
	list, err := d.read.QueryContext(ctx, addressTexts+d.among("a.id", 1), keysOf(d, setOf(ids)))
	if err != nil {
		return got, err
	}
	return got, scan(list, d.addressText(func(id int64, text string) { got[id] = text }))
}

const addressTexts = "SELECT a.id, a.sealed, p.data_key FROM addresses a JOIN patients p ON p.id = a.patient WHERE "

// addressText opens a row of addressTexts.
func (d *DB) addressText(got func(id int64, text string)) func(scanner) error {
	return func(s scanner) error {
		var id int64
		var sealed, wrapped []byte
		if err := s.Scan(&id, &sealed, &wrapped); err != nil {
			return err
		}
		key, err := d.keys.dataKey(wrapped)
		if err != nil {
			return err
		}
		var text string
		err = open(key, sealed, &text)
		got(id, text)
		return err
	}
}

// Ledger gives a patient's events after one, oldest first. Of erased ones only
// kind and instant are left.
func (d *DB) Ledger(ctx context.Context, patient, after int64, limit int) ([]preferences.Event, error) {
	key, err := d.patientKey(ctx, patient)
	if err != nil {
		return nil, err
	}
	list, err := d.read.QueryContext(ctx, `SELECT id, kind, at, sealed FROM ledger WHERE subject = $1
		AND seq > COALESCE((SELECT seq FROM ledger WHERE id = $2), 0) ORDER BY seq LIMIT $3`, "p"+strconv.FormatInt(patient, 10), after, limit)
	if err != nil {
		return nil, err
	}
	return opened(list, key)
}

// opened reads rows of the ledger: id, kind, instant, and what is sealed.
func opened(list *sql.Rows, key cipher.AEAD) ([]preferences.Event, error) {
	var events []preferences.Event
	return events, scan(list, func(s scanner) error {
		var e preferences.Event
		var kind string
		var sealed []byte
		if err := s.Scan(&e.ID, &kind, &e.At, &sealed); err != nil {
			return err
		}
		e.Kind = preferences.EventKind(kind)
		err := open(key, sealed, &e)
		events = append(events, e)
		return err
	})
}

func (d *DB) patientKey(ctx context.Context, patient int64) (cipher.AEAD, error) {
	if patient == 0 {
		return d.keys.general, nil
	}
	var wrapped []byte
	if err := found(d.read.QueryRowContext(ctx, "SELECT data_key FROM patients WHERE id = $1", patient).Scan(&wrapped)); err != nil {
		return nil, err
	}
	return d.keys.dataKey(wrapped)
}

// worklist is the order of tasks: a crisis first, then what is due first.
const worklist = "(CASE t.kind WHEN 'crisis' THEN 0 ELSE 1 END), t.due_at, t.id"

// Tasks lists tasks in the worklist's order.
func (d *DB) Tasks(ctx context.Context, f gateway.TaskFilter) ([]gateway.Task, error) {
	var args []any
	where := []string{"true"}
	add := func(condition string, value any) {
		args = append(args, value)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	switch {
	case f.ID != 0:
		add("t.id = $%d", f.ID)
	case f.Done:
		where = append(where, "t.done_at IS NOT NULL")
	default:
		where = append(where, "t.done_at IS NULL")
	}
	if f.Kind != "" {
		add("t.kind = $%d", string(f.Kind))
	}
	if f.Patient != 0 {
		add("t.patient = $%d", f.Patient)
	}
	if f.Assignee != "" {
		add("t.assignee = $%d", f.Assignee)
	}
	if f.Unassigned {
		where = append(where, "t.assignee = ''")
	}
	if !f.DueBefore.IsZero() {
		add("t.due_at < $%d", micros(f.DueBefore))
	}
	if f.After != 0 { // a task never moves in the order, done or not
		add("("+worklist+") > (SELECT "+worklist+" FROM tasks t WHERE id = $%d)", f.After)
	}
	args = append(args, f.Limit)
	list, err := d.read.QueryContext(ctx, fmt.Sprintf(`SELECT t.id, t.kind, COALESCE(t.patient, 0), COALESCE(t.message, 0), t.created_at, t.due_at, COALESCE(t.done_at, 0), t.assignee, t.told, t.told_at, t.sealed, p.data_key
		FROM tasks t LEFT JOIN patients p ON p.id = t.patient WHERE %s ORDER BY %s LIMIT $%d`, strings.Join(where, " AND "), worklist, len(args)), args...)
	if err != nil {
		return nil, err
	}
	var tasks []gateway.Task
	return tasks, scan(list, func(s scanner) error {
		var t gateway.Task
		var kind string
		var created, due, done, told int64
		var sealed, wrapped []byte
		if err := s.Scan(&t.ID, &kind, &t.Patient, &t.Message, &created, &due, &done, &t.Assignee, &t.Told, &told, &sealed, &wrapped); err != nil {
			return err
		}
		key, err := d.keys.dataKey(wrapped)
		if err != nil {
			return err
		}
		if key == nil {
			key = d.keys.general // of nobody, or written after an erasure
		}
		t.Kind, t.Created, t.Due, t.DoneAt, t.ToldAt = gateway.TaskKind(kind), instant(created), instant(due), instant(done), instant(told)
		err = open(key, sealed, &t.Detail)
		tasks = append(tasks, t)
		return err
	})
}

// Audits lists the audit log after an entry, oldest first.
func (d *DB) Audits(ctx context.Context, after int64, limit int) ([]gateway.AuditRow, error) {
	list, err := d.read.QueryContext(ctx, "SELECT id, at, actor, verb, object, detail FROM audit WHERE id > $1 ORDER BY id LIMIT $2", after, limit)
	if err != nil {
		return nil, err
	}
	var got []gateway.AuditRow
	return got, scan(list, func(s scanner) error {
		var r gateway.AuditRow
		var at int64
		err := s.Scan(&r.ID, &at, &r.Actor, &r.Verb, &r.Object, &r.Detail)
		r.At = instant(at)
		got = append(got, r)
		return err
	})
}
