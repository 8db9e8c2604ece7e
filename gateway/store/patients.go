package store

import (
	"crypto/cipher"
	"encoding/json"
	"errors"
	"strconv"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// patient is a locked row of patients with its addresses.
type patient struct {
	snapshot *preferences.Snapshot
	key      cipher.AEAD
	wrapped  []byte
	keys     map[int64]string // address id -> address key
	sealed   []byte
	moved    bool
	by       *unit // the one change that says something of the patient
}

// errCross ends a ride in which two changes turn out to speak of the same patient or number:
// each is kept by itself then.
var errCross = errors.New("two changes of one ride speak of the same patient or number")

// lockNumbers locks every number and mailbox of which the changes say something, or
// that they may give to a patient, in key order. One nobody had gets its row first:
// whoever comes second waits, and then sees.
func (r *ride) lockNumbers() error {
	want := map[string]struct{}{}
	patients := map[int64]struct{}{}
	for _, u := range r.units {
		for _, f := range u.c.Numbers {
			want[r.keys.addressKey(f.Number)] = struct{}{}
		}
		for _, f := range u.c.Patients {
			patients[f.Patient] = struct{}{}
			for _, t := range f.Texts {
				want[r.keys.addressKey(t.Value)] = struct{}{}
			}
		}
	}
	if len(patients) > 0 {
		if err := r.read("SELECT key FROM addresses WHERE "+r.among("patient", 1), func(s scanner) error {
			var key string
			err := s.Scan(&key)
			want[key] = struct{}{}
			return err
		}, keysOf(r.DB, patients)); err != nil {
			return err
		}
	}
	if len(want) == 0 {
		return nil
	}
	if err := r.run("INSERT INTO numbers (key) SELECT e.value ->> 0 FROM "+r.each(1)+" WHERE true ON CONFLICT DO NOTHING", rows(want)); err != nil {
		return err
	}
	return r.look("SELECT key, stops, said, opted_out FROM numbers WHERE "+r.amongTexts("key", 1)+" ORDER BY key"+r.lock("NO KEY UPDATE"), func(s scanner) error {
		var key, said string
		n := &number{said: map[channels.Program]int64{}}
		if err := s.Scan(&key, &n.stops, &said, &n.optedOut); err != nil {
			return err
		}
		r.numbers[key] = n
		return json.Unmarshal([]byte(said), &n.said)
	}, keysOf(r.DB, want))
}

// lockPatients locks every patient that the changes name or that has a number they
// change. The second look at who has a number is after the number's lock.
func (r *ride) lockPatients() error {
	by := map[int64]*unit{} // who says something of whom; nil: a step was judged on what was said before
	claim := func(id int64, u *unit) error {
		if was := by[id]; was != nil && was != u {
			return errCross
		}
		by[id] = u
		return nil
	}
	changed, said := map[string]*unit{}, false
	for _, u := range r.units {
		said = said || len(u.c.Numbers) > 0
		for _, f := range u.c.Patients {
			if err := claim(f.Patient, u); err != nil {
				return err
			}
		}
		for _, f := range u.c.Numbers {
			if f.Event.Kind != preferences.TextReceived {
				changed[r.keys.addressKey(f.Number)] = u
			}
		}
	}
	if err := r.holdersOf(changed, claim); err != nil {
		return err
	}
	facts := len(by) > 0
	for _, u := range r.units {
		for _, s := range u.c.Steps {
			if _, said := by[s.Patient]; !said && s.Patient != 0 && s.Version != 0 {
				by[s.Patient] = nil
			}
		}
	}
	switch {
	case len(by) == 0 && !said:
		return nil
	case len(by) == 0:
		return r.tx.flush() // what is known of the numbers is wanted now
	case !facts:
		return r.lockVersions(by)
	}
	return r.readPatients(by)
}

// holdersOf looks who has, or had, numbers.
func (r *ride) holdersOf(numbers map[string]*unit, claim func(int64, *unit) error) error {
	if len(numbers) == 0 {
		return nil
	}
	return r.read("SELECT key, patient FROM addresses WHERE "+r.amongTexts("key", 1), func(s scanner) error {
		var key string
		var id int64
		if err := s.Scan(&key, &id); err != nil {
			return err
		}
		return claim(id, numbers[key])
	}, keysOf(r.DB, numbers))
}

// lockVersions is the fence: it keeps the patients' versions as they are until the
// claim is committed.
func (r *ride) lockVersions(by map[int64]*unit) error {
	param := keysOf(r.DB, by)
	return r.read("SELECT id, version, data_key FROM patients WHERE "+r.among("id", 1)+" ORDER BY id"+r.lock("SHARE"), func(s scanner) error {
		p := &patient{snapshot: &preferences.Snapshot{}}
		if err := s.Scan(&p.snapshot.Patient, &p.snapshot.Version, &p.wrapped); err != nil {
			return err
		}
		r.patients[p.snapshot.Patient] = p
		var err error
		p.key, err = r.DB.keys.dataKey(p.wrapped) // seals the decision that goes with the claim
		return err
	}, param)
}

func (r *ride) readPatients(by map[int64]*unit) error {
	param := keysOf(r.DB, by)
	if err := r.look("SELECT id, version, snapshot, data_key FROM patients WHERE "+r.among("id", 1)+" ORDER BY id"+r.lock("NO KEY UPDATE"), func(s scanner) error {
		p := &patient{snapshot: &preferences.Snapshot{}, keys: map[int64]string{}}
		var id, version int64
		var body []byte
		if err := s.Scan(&id, &version, &body, &p.wrapped); err != nil {
			return err
		}
		if err := p.snapshot.UnmarshalBinary(body); err != nil {
			return err
		}
		p.snapshot.Version = version
		r.patients[id], p.by = p, by[id]
		var err error
		p.key, err = r.DB.keys.dataKey(p.wrapped)
		return err
	}, param); err != nil {
		return err
	}
	return r.read("SELECT patient, id, key FROM addresses WHERE "+r.among("patient", 1), func(s scanner) error {
		var owner, id int64
		var key string
		err := s.Scan(&owner, &id, &key)
		if p := r.patients[owner]; p != nil {
			p.keys[id] = key
		}
		return err
	}, param)
}

// foldPatients applies what was said by, or of, patients.
func (r *ride) foldPatients() error {
	return r.perUnit(func(u *unit) error {
		for i := range u.c.Patients {
			if err := u.foldPatient(&u.c.Patients[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (u *unit) foldPatient(f *gateway.PatientFact) error {
	p := u.patients[f.Patient]
	switch {
	case p == nil && f.Ref == "":
		return gateway.ErrNotFound
	case p == nil:
		var err error
		if p, err = u.insertPatient(f); err != nil {
			return err
		}
	case f.Expect >= 0 && f.Expect != p.snapshot.Version:
		return gateway.ErrStale
	case p.snapshot.Standing == preferences.Erased && f.Expect >= 0:
		return gateway.ErrErased
	case p.snapshot.Standing == preferences.Erased:
		return nil // what a provider says of somebody erased concerns nobody
	}
	for k := range f.Events {
		if err := u.appendLedger("p"+strconv.FormatInt(f.Patient, 10), p.key, &f.Events[k]); err != nil {
			return err
		}
		p.snapshot.Apply(&f.Events[k])
		u.preferenceChanged(f.Patient, f.Events[k].Kind)
	}
	p.moved = p.moved || len(f.Events) > 0
	if err := u.keepTexts(f, p); err != nil {
		return err
	}
	u.mirrorPatient(f, p)
	if !f.Erase {
		return nil
	}
	if err := u.writeLedger(); err != nil { // what was said last goes with the rest
		return err
	}
	return u.erase(f.Patient, p)
}

func (u *unit) insertPatient(f *gateway.PatientFact) (*patient, error) {
	if f.Expect > 0 {
		return nil, gateway.ErrStale
	}
	p := &patient{snapshot: &preferences.Snapshot{Patient: f.Patient}, keys: map[int64]string{}, by: u}
	p.key, p.wrapped = u.DB.keys.newDataKey()
	n, err := u.exec("INSERT INTO patients (id, ref, version, snapshot, data_key) VALUES ($1, $2, 0, $3, $4) ON CONFLICT DO NOTHING", f.Patient, f.Ref, []byte{}, p.wrapped)
	if err == nil && n == 0 {
		err = gateway.ErrStale // somebody else was quicker with this ref
	}
	u.patients[f.Patient] = p
	if err != nil {
		return nil, err
	}
	return p, u.neverErased(f.Ref)
}

func (u *unit) keepTexts(f *gateway.PatientFact, p *patient) error {
	for _, t := range f.Texts {
		sealed, err := seal(p.key, t.Value)
		if err != nil {
			return err
		}
		key := u.DB.keys.addressKey(t.Value)
		if err := u.run("INSERT INTO addresses (id, patient, kind, key, sealed) VALUES ($1, $2, $3, $4, $5)", t.ID, f.Patient, int(t.Kind), key, sealed); err != nil {
			return err
		}
		p.keys[t.ID] = key
	}
	if f.Record == nil {
		return nil
	}
	sealed, err := seal(p.key, f.Record)
	p.sealed = sealed
	return err
}

// writePatients gives every patient that moved a new version: never one that was
// used before, not even after a restore.
func (r *ride) writePatients() error {
	moved := r.table("id BIGINT, version BIGINT, snapshot BYTEA")
	var revoked [][]any
	for id, p := range r.patients {
		if !p.moved && p.sealed == nil {
			continue
		}
		bound := map[int64]preferences.Bound{}
		for address, key := range p.keys {
			if n := r.numbers[key]; n != nil {
				bound[address] = preferences.Bound{Stops: n.stops, OptedOut: n.optedOut}
			} else if a := p.snapshot.AddressByID(address); a != nil {
				bound[address] = preferences.Bound{Stops: a.Stops, OptedOut: a.OptedOut} // not locked: not changed
			}
		}
		p.snapshot.Bind(bound)
		p.snapshot.Version = max(p.snapshot.Version+1, micros(p.by.c.At))
		body, err := p.snapshot.AppendBinary(nil)
		if err != nil {
			return err
		}
		moved.row(id, p.snapshot.Version, body)
		if p.sealed != nil {
			if err := r.run("UPDATE patients SET sealed = $2 WHERE id = $1", id, p.sealed); err != nil {
				return err
			}
		}
		revoked = append(revoked, []any{r.newID(), id, p.snapshot.Version, micros(p.by.c.At)})
		p.by.kept.Versions[id] = p.snapshot.Version
	}
	if err := r.all(moved, "UPDATE patients SET version = e.version, snapshot = e.snapshot FROM "+moved.from(1)+" WHERE patients.id = e.id"); err != nil {
		return err
	}
	return r.insert(into{"revocations", typed("id BIGINT, patient BIGINT, version BIGINT, at BIGINT"), ""}, revoked)
}

type scanner interface{ Scan(...any) error }

type cursor interface {
	scanner
	Next() bool
	Err() error
	Close() error
}

// scan reads every row and closes the list.
func scan(list cursor, row func(scanner) error) error {
	for list.Next() {
		if err := row(list); err != nil {
			return errors.Join(err, list.Close())
		}
	}
	return errors.Join(list.Err(), list.Close())
}
