package store

import (
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// number is a locked row of numbers.
type number struct {
	stops    channels.ProgramSet
	said     map[channels.Program]int64
	optedOut int64 // a mailbox has a row too: the last spam report
}

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

// foldNumbers applies what was said of numbers and mailboxes, in the order in which
// it was said: by the provider's clock, a tie goes to STOP.
func (r *ride) foldNumbers() error {
	heard := map[string]*number{}
	holders := r.holders()
	for _, u := range r.units {
		for i := range u.c.Numbers {
			f := &u.c.Numbers[i]
			key := r.keys.addressKey(f.Number)
			if err := r.appendLedger("n"+key, r.keys.general, &f.Event); err != nil {
				return err
			}
			if f.Event.Kind == preferences.TextReceived {
				if err := u.replyReceived(key, f.Event.ID); err != nil {
					return err
				}
				continue
			}
			// The instants are kept even where the bits are what they were: a second STOP
			// holds against a START said between the two.
			heard[key] = r.numbers[key]
			u.foldNumber(f, key, holders[key])
		}
	}
	var list []any
	for key, n := range heard {
		said, err := json.Marshal(n.said)
		if err != nil {
			return err
		}
		list = append(list, []any{key, n.stops, string(said), n.optedOut})
	}
	return r.all(`UPDATE numbers SET stops = x.stops, said = x.said, opted_out = x.opted_out FROM (SELECT e.value ->> 0 AS key, CAST(e.value ->> 1 AS BIGINT) AS stops,
		e.value ->> 2 AS said, CAST(e.value ->> 3 AS BIGINT) AS opted_out FROM `+r.each(1)+`) x WHERE numbers.key = x.key`, list)
}

func (u *unit) foldNumber(f *gateway.NumberFact, key string, holders []holder) {
	news := u.numbers[key].apply(&f.Event)
	u.kept.News[f.Number] = u.kept.News[f.Number] || news
	if !news {
		return
	}
	u.mirrorNumber(key, &f.Event)
	for _, h := range holders {
		// One whose record it was taken from moves too: an address that comes back is
		// as bound as it ever was.
		a := h.snapshot.AddressByID(h.address)
		h.moved = h.moved || a != nil
		if a != nil && h.snapshot.Has(a) { // others are told nothing of who has it now
			u.preferenceChanged(h.snapshot.Patient, f.Event.Kind)
		}
	}
	if f.Reply != nil {
		u.c.Accepts = append(u.c.Accepts, *f.Reply)
	}
}

// holder is a locked patient who has, or had, an address.
type holder struct {
	*patient
	address int64
}

// holders lists the locked patients by the keys of their addresses.
func (r *ride) holders() map[string][]holder {
	got := map[string][]holder{}
	for _, p := range r.patients {
		for id, key := range p.keys {
			got[key] = append(got[key], holder{p, id})
		}
	}
	return got
}

// apply says whether what binds the number or mailbox changed. The instants of stops
// move even where the bits do not, so that an older START stays without effect.
func (n *number) apply(e *preferences.Event) bool {
	if e.Kind == preferences.SpamReported {
		news := e.Said > n.optedOut
		n.optedOut = max(n.optedOut, e.Said)
		return news
	}
	before := n.stops
	for _, p := range e.Programs.List() {
		stop := e.Kind == preferences.NumberStopped
		last, spoken := n.said[p]
		if spoken && (e.Said < last || e.Said == last && !stop) {
			continue
		}
		n.said[p] = e.Said
		if stop {
			n.stops |= channels.SetOf(p)
		} else {
			n.stops &^= channels.SetOf(p)
		}
	}
	return n.stops != before
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
	var moved []any
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
		moved = append(moved, []any{id, p.snapshot.Version, hex.EncodeToString(body)})
		if p.sealed != nil {
			if err := r.run("UPDATE patients SET sealed = $2 WHERE id = $1", id, p.sealed); err != nil {
				return err
			}
		}
		revoked = append(revoked, []any{r.newID(), id, p.snapshot.Version, micros(p.by.c.At)})
		p.by.kept.Versions[id] = p.snapshot.Version
	}
	if err := r.all("UPDATE patients SET version = x.version, snapshot = "+r.unhex("x.snapshot")+" FROM (SELECT CAST(e.value ->> 0 AS BIGINT) AS id, CAST(e.value ->> 1 AS BIGINT) AS version, e.value ->> 2 AS snapshot FROM "+
		r.each(1)+") x WHERE patients.id = x.id", moved); err != nil {
		return err
	}
	return r.insert(into{"revocations", typed("id BIGINT, patient BIGINT, version BIGINT, at BIGINT"), ""}, revoked)
}

// line is an event that is still to be written into the ledger.
type line struct {
	subject string
	event   *preferences.Event
	digest  [sha256.Size]byte
	sealed  []byte
}

// appendLedger adds one event; the digest covers the sealed body.
func (r *ride) appendLedger(subject string, key cipher.AEAD, e *preferences.Event) error {
	if key == nil {
		return gateway.ErrErased
	}
	sealed, err := seal(key, e)
	if err != nil {
		return err
	}
	r.ledger = append(r.ledger, line{subject, e, sha256.Sum256(sealed), sealed})
	return nil
}

// writeLedger writes what was added, each after the last event of its subject, whose lock
// is ours.
func (r *ride) writeLedger() error {
	nth := map[string]int{}
	list := make([]any, 0, len(r.ledger))
	for i := range r.ledger {
		l := &r.ledger[i]
		nth[l.subject]++
		list = append(list, []any{l.event.ID, l.subject, nth[l.subject], string(l.event.Kind), l.event.At, hex.EncodeToString(l.digest[:]), hex.EncodeToString(l.sealed)})
	}
	r.ledger = nil
	return r.all(`INSERT INTO ledger (id, subject, seq, kind, at, digest, sealed) SELECT CAST(e.value ->> 0 AS BIGINT), e.value ->> 1,
		(SELECT COALESCE(MAX(l.seq), 0) FROM ledger l WHERE l.subject = e.value ->> 1) + CAST(e.value ->> 2 AS BIGINT), e.value ->> 3, CAST(e.value ->> 4 AS BIGINT), `+
		r.unhex("e.value ->> 5")+", "+r.unhex("e.value ->> 6")+" FROM "+r.each(1), list)
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
