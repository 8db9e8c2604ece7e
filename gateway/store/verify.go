package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"harmonize.care/heed/preferences"
)

// Verified is what a walk over the chain found.
type Verified struct {
	Seals    int      `json:"seals"`    // links walked
	Unsealed int      `json:"unsealed"` // rows the sealer has not reached yet
	Patients int      `json:"patients"` // snapshots held against their events
	Faults   []string `json:"faults"`   // every change, gap or reorder, by our own ids
}

// maxFaults is how many faults one walk tells.
const maxFaults = 100

// Verify walks the whole chain, and folds every patient's events again. It changes
// nothing.
func (d *DB) Verify(ctx context.Context) (Verified, error) {
	v := &verifier{DB: d, ctx: ctx}
	for _, walk := range []func() error{v.chain, v.subjects, v.bodies, v.numbers, v.snapshots} {
		if err := walk(); err != nil {
			return v.found, err
		}
	}
	return v.found, nil
}

type verifier struct {
	*DB
	ctx   context.Context
	found Verified
}

func (v *verifier) fault(format string, args ...any) {
	if len(v.found.Faults) < maxFaults {
		v.found.Faults = append(v.found.Faults, fmt.Sprintf(format, args...))
	}
}

type sealRow struct {
	no, row int64
	kind    int
	hash    []byte
}

// chain recomputes every seal in order.
func (v *verifier) chain() error {
	var before, mac []byte
	var length int64 // read first: the sealer may go on while we walk
	err := v.read.QueryRowContext(v.ctx, "SELECT no, mac FROM chain_head WHERE one = 1").Scan(&length, &mac)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	defer func() {
		if int64(v.found.Seals) < length || length == 0 && v.found.Seals > 0 {
			v.fault("the chain has %d seals where %d were made", v.found.Seals, length)
		}
	}()
	next := int64(1)
	for {
		batch, err := v.sealBatch(next)
		if err != nil || len(batch) == 0 {
			return err
		}
		rows, err := v.rowsOf(batch)
		if err != nil {
			return err
		}
		for _, s := range batch {
			if s.no != next {
				v.fault("seal %d is missing", next)
			}
			l, there := rows[[2]int64{int64(s.kind), s.row}]
			switch {
			case !there:
				v.fault("seal %d: its row %d of kind %d is gone", s.no, s.row, s.kind)
			case !bytes.Equal(v.keys.seal(before, l), s.hash):
				v.fault("seal %d: row %d of kind %d, or the order of the chain, was changed", s.no, s.row, s.kind)
			}
			if s.no == length && !bytes.Equal(v.keys.head(s.no, s.hash), mac) {
				v.fault("the chain's end was changed")
			}
			before, next = s.hash, s.no+1
			v.found.Seals++
		}
	}
}

func (v *verifier) sealBatch(from int64) ([]sealRow, error) {
	list, err := v.read.QueryContext(v.ctx, "SELECT no, kind, row_id, hash FROM seals WHERE no >= $1 ORDER BY no LIMIT $2", from, sealBatch)
	if err != nil {
		return nil, err
	}
	var batch []sealRow
	return batch, scan(list, func(s scanner) error {
		var r sealRow
		err := s.Scan(&r.no, &r.kind, &r.row, &r.hash)
		batch = append(batch, r)
		return err
	})
}

func (v *verifier) rowsOf(batch []sealRow) (map[[2]int64]link, error) {
	got := map[[2]int64]link{}
	for _, kind := range []int{ledgerRows, auditRows} {
		ids := map[int64]struct{}{}
		for _, s := range batch {
			if s.kind == kind {
				ids[s.row] = struct{}{}
			}
		}
		links, err := v.links(v.ctx, v.read, kind, "WHERE "+v.among("r.id", 1), keysOf(v.DB, ids))
		if err != nil {
			return nil, err
		}
		for _, l := range links {
			got[[2]int64{int64(kind), l.id}] = l
		}
	}
	return got, nil
}

// subjects finds gaps within one subject's events, and counts rows without a seal.
func (v *verifier) subjects() error {
	list, err := v.read.QueryContext(v.ctx, "SELECT subject, count(*), max(seq) FROM ledger GROUP BY subject HAVING count(*) <> max(seq) OR min(seq) <> 1")
	if err != nil {
		return err
	}
	if err := scan(list, func(s scanner) error {
		var subject string
		var n, last int64
		err := s.Scan(&subject, &n, &last)
		v.fault("the ledger of %s has %d events where %d were written", subject, n, last)
		return err
	}); err != nil {
		return err
	}
	for kind, table := range map[int]string{ledgerRows: "ledger", auditRows: "audit"} {
		var n int
		query := fmt.Sprintf("SELECT count(*) FROM %s r WHERE NOT EXISTS (SELECT 1 FROM seals WHERE seals.kind = %d AND seals.row_id = r.id)", table, kind)
		if err := v.read.QueryRowContext(v.ctx, query).Scan(&n); err != nil {
			return err
		}
		v.found.Unsealed += n
	}
	return nil
}

// bodies holds every sealed body that is still there against its digest.
func (v *verifier) bodies() error {
	last := int64(-1 << 62)
	for {
		list, err := v.read.QueryContext(v.ctx, "SELECT id, digest, sealed FROM ledger WHERE id > $1 AND sealed IS NOT NULL ORDER BY id LIMIT $2", last, sealBatch)
		if err != nil {
			return err
		}
		n := 0
		if err := scan(list, func(s scanner) error {
			var digest, sealed []byte
			if err := s.Scan(&last, &digest, &sealed); err != nil {
				return err
			}
			n++
			if sum := sha256.Sum256(sealed); !bytes.Equal(sum[:], digest) {
				v.fault("the body of event %d was changed", last)
			}
			return nil
		}); err != nil || n == 0 {
			return err
		}
	}
}

// snapshots folds every patient's events again.
func (v *verifier) snapshots() error {
	last := int64(-1 << 62)
	for {
		ids, err := v.patientIDs(last)
		if err != nil || len(ids) == 0 {
			return err
		}
		found, err := v.Snapshots(v.ctx, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			last = id
			if err := v.snapshot(id, found[id]); err != nil {
				return err
			}
		}
	}
}

func (v *verifier) patientIDs(after int64) ([]int64, error) {
	list, err := v.read.QueryContext(v.ctx, "SELECT id FROM patients WHERE id > $1 ORDER BY id LIMIT $2", after, sealBatch)
	if err != nil {
		return nil, err
	}
	var ids []int64
	return ids, scan(list, func(s scanner) error {
		var id int64
		err := s.Scan(&id)
		ids = append(ids, id)
		return err
	})
}

// snapshot holds one patient's snapshot against the fold of the events and the
// stops of the numbers; it is read again when it moved meanwhile.
func (v *verifier) snapshot(id int64, s *preferences.Snapshot) error {
	if s == nil {
		return nil
	}
	if s.Standing == preferences.Erased {
		return v.erased(id) // the events of somebody erased can no longer be read
	}
	folded, unfit := v.fold(id)
	if again, err := v.Snapshots(v.ctx, []int64{id}); err != nil || again[id].Version != s.Version {
		return err // it moved while we looked: what is written now is folded the same way
	}
	if errors.Is(unfit, errSeal) || errors.Is(unfit, errUnfoldable) {
		v.fault("the events of patient %d were changed: they cannot be read or folded any more", id)
		return nil
	}
	if unfit != nil {
		return unfit
	}
	v.found.Patients++
	folded.Version = s.Version
	want, err1 := folded.AppendBinary(nil)
	have, err2 := s.AppendBinary(nil)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if !bytes.Equal(want, have) {
		v.fault("the snapshot of patient %d is not the fold of the events", id)
	}
	return nil
}

// erased holds somebody erased against the ledger: the event is there, and the key is gone.
func (v *verifier) erased(id int64) error {
	var whole bool
	err := v.read.QueryRowContext(v.ctx, "SELECT data_key IS NULL AND EXISTS (SELECT 1 FROM ledger WHERE subject = $2 AND kind = $3) FROM patients WHERE id = $1",
		id, "p"+strconv.FormatInt(id, 10), string(preferences.PatientErased)).Scan(&whole)
	if err == nil && !whole {
		v.fault("patient %d is kept as erased and was not", id)
	}
	return err
}

var errUnfoldable = errors.New("an event lacks what its kind needs")

func (v *verifier) fold(id int64) (s *preferences.Snapshot, err error) {
	defer func() { // an event that was tampered with may lack what every event of its kind has
		if recover() != nil {
			err = errUnfoldable
		}
	}()
	s = &preferences.Snapshot{Patient: id}
	for after := int64(0); ; {
		events, err := v.Ledger(v.ctx, id, after, sealBatch)
		if err != nil {
			return nil, err
		}
		for i := range events {
			s.Apply(&events[i])
			after = events[i].ID
		}
		if len(events) < sealBatch {
			break
		}
	}
	bound, err := v.boundOf(id)
	s.Bind(bound)
	return s, err
}

func (v *verifier) boundOf(id int64) (map[int64]preferences.Bound, error) {
	list, err := v.read.QueryContext(v.ctx, "SELECT a.id, n.stops, n.opted_out FROM addresses a JOIN numbers n ON n.key = a.key WHERE a.patient = $1", id)
	if err != nil {
		return nil, fmt.Errorf("reading the stops of patient %s: %w", strconv.FormatInt(id, 10), err)
	}
	bound := map[int64]preferences.Bound{}
	return bound, scan(list, func(s scanner) error {
		var address int64
		var b preferences.Bound
		err := s.Scan(&address, &b.Stops, &b.OptedOut)
		bound[address] = b
		return err
	})
}
