package store

import (
	"crypto/cipher"
	"crypto/sha256"
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
	isNew    bool
}

// lockNumbers locks every number and mailbox of which the change says something, or
// that it may give to a patient, in key order. One nobody had gets its row first:
// whoever comes second waits, and then sees.
func (u *unit) lockNumbers() error {
	want := map[string]struct{}{}
	for _, f := range u.c.Numbers {
		want[u.keys.addressKey(f.Number)] = struct{}{}
	}
	patients := map[int64]struct{}{}
	for _, f := range u.c.Patients {
		patients[f.Patient] = struct{}{}
		for _, t := range f.Texts {
			want[u.keys.addressKey(t.Value)] = struct{}{}
		}
	}
	if len(patients) > 0 {
		list, err := u.tx.QueryContext(u.ctx, "SELECT key FROM addresses WHERE patient IN "+u.ids(1), rows(patients))
		if err != nil {
			return err
		}
		if err := scan(list, func(s scanner) error {
			var key string
			err := s.Scan(&key)
			want[key] = struct{}{}
			return err
		}); err != nil {
			return err
		}
	}
	if len(want) == 0 {
		return nil
	}
	if err := u.run("INSERT INTO numbers (key) SELECT e.value ->> 0 FROM "+u.each(1)+" WHERE true ON CONFLICT DO NOTHING", rows(want)); err != nil {
		return err
	}
	list, err := u.tx.QueryContext(u.ctx, "SELECT key, stops, said, opted_out FROM numbers WHERE key IN "+u.texts(1)+" ORDER BY key"+u.lock("NO KEY UPDATE"), rows(want))
	if err != nil {
		return err
	}
	return scan(list, func(s scanner) error {
		var key, said string
		n := &number{said: map[channels.Program]int64{}}
		if err := s.Scan(&key, &n.stops, &said, &n.optedOut); err != nil {
			return err
		}
		u.numbers[key] = n
		return json.Unmarshal([]byte(said), &n.said)
	})
}

// lockPatients locks every patient that the change names or that has a number it
// changes. The second look at who has a number is after the number's lock.
func (u *unit) lockPatients() error {
	want, facts := map[int64]struct{}{}, len(u.c.Patients) > 0
	for _, f := range u.c.Patients {
		want[f.Patient] = struct{}{}
	}
	changed := map[string]struct{}{}
	for _, f := range u.c.Numbers {
		if f.Event.Kind != preferences.TextReceived {
			changed[u.keys.addressKey(f.Number)] = struct{}{}
		}
	}
	if len(changed) > 0 {
		facts = true
		list, err := u.tx.QueryContext(u.ctx, "SELECT patient FROM addresses WHERE key IN "+u.texts(1), rows(changed))
		if err != nil {
			return err
		}
		if err := scan(list, func(s scanner) error {
			var id int64
			err := s.Scan(&id)
			want[id] = struct{}{}
			return err
		}); err != nil {
			return err
		}
	}
	for _, s := range u.c.Steps {
		if s.Patient != 0 && s.Version != 0 {
			want[s.Patient] = struct{}{}
		}
	}
	if len(want) == 0 {
		return nil
	}
	if !facts {
		return u.lockVersions(want)
	}
	return u.readPatients(want)
}

// lockVersions is the fence: it keeps the patients' versions as they are until the
// claim is committed.
func (u *unit) lockVersions(want map[int64]struct{}) error {
	list, err := u.tx.QueryContext(u.ctx, "SELECT id, version, data_key FROM patients WHERE id IN "+u.ids(1)+" ORDER BY id"+u.lock("SHARE"), rows(want))
	if err != nil {
		return err
	}
	return scan(list, func(s scanner) error {
		p := &patient{snapshot: &preferences.Snapshot{}}
		if err := s.Scan(&p.snapshot.Patient, &p.snapshot.Version, &p.wrapped); err != nil {
			return err
		}
		u.patients[p.snapshot.Patient] = p
		p.key, err = u.DB.keys.dataKey(p.wrapped) // seals the decision that goes with the claim
		return err
	})
}

func (u *unit) readPatients(want map[int64]struct{}) error {
	list, err := u.tx.QueryContext(u.ctx,
		"SELECT id, version, snapshot, data_key FROM patients WHERE id IN "+u.ids(1)+" ORDER BY id"+u.lock("NO KEY UPDATE"), rows(want))
	if err != nil {
		return err
	}
	if err := scan(list, func(s scanner) error {
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
		u.patients[id] = p
		p.key, err = u.DB.keys.dataKey(p.wrapped)
		return err
	}); err != nil {
		return err
	}
	list, err = u.tx.QueryContext(u.ctx, "SELECT patient, id, key FROM addresses WHERE patient IN "+u.ids(1), rows(want))
	if err != nil {
		return err
	}
	return scan(list, func(s scanner) error {
		var owner, id int64
		var key string
		err := s.Scan(&owner, &id, &key)
		if p := u.patients[owner]; p != nil {
			p.keys[id] = key
		}
		return err
	})
}

// foldNumbers applies what was said of numbers and mailboxes, in the order in which
// it was said: by the provider's clock, a tie goes to STOP.
func (u *unit) foldNumbers() error {
	for i := range u.c.Numbers {
		f := &u.c.Numbers[i]
		key := u.keys.addressKey(f.Number)
		if err := u.appendLedger("n"+key, u.keys.general, &f.Event); err != nil {
			return err
		}
		if f.Event.Kind == preferences.TextReceived {
			if err := u.replyReceived(key, f.Event.ID); err != nil {
				return err
			}
			continue
		}
		n := u.numbers[key]
		news := n.apply(&f.Event)
		u.kept.News[f.Number] = u.kept.News[f.Number] || news
		// The instants are kept even where the bits are what they were: a second STOP
		// holds against a START said between the two.
		said, err := json.Marshal(n.said)
		if err != nil {
			return err
		}
		if err := u.run("UPDATE numbers SET stops = $2, said = $3, opted_out = $4 WHERE key = $1", key, n.stops, string(said), n.optedOut); err != nil {
			return err
		}
		if !news {
			continue
		}
		u.mirrorNumber(key, &f.Event)
		for _, p := range u.patients {
			for id, k := range p.keys {
				// One whose record it was taken from moves too: an address that comes back is
				// as bound as it ever was.
				a := p.snapshot.AddressByID(id)
				p.moved = p.moved || k == key && a != nil
				if k == key && a != nil && p.snapshot.Has(a) { // others are told nothing of who has it now
					u.preferenceChanged(p.snapshot.Patient, f.Event.Kind)
				}
			}
		}
		if f.Reply != nil {
			u.c.Accepts = append(u.c.Accepts, *f.Reply)
		}
	}
	return nil
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
func (u *unit) foldPatients() error {
	for i := range u.c.Patients {
		f := &u.c.Patients[i]
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
			continue // what a provider says of somebody erased concerns nobody
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
		if f.Erase {
			if err := u.erase(f.Patient, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (u *unit) insertPatient(f *gateway.PatientFact) (*patient, error) {
	if f.Expect > 0 {
		return nil, gateway.ErrStale
	}
	p := &patient{snapshot: &preferences.Snapshot{Patient: f.Patient}, keys: map[int64]string{}, isNew: true}
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
func (u *unit) writePatients() error {
	for id, p := range u.patients {
		if !p.moved && p.sealed == nil {
			continue
		}
		bound := map[int64]preferences.Bound{}
		for address, key := range p.keys {
			if n := u.numbers[key]; n != nil {
				bound[address] = preferences.Bound{Stops: n.stops, OptedOut: n.optedOut}
			} else if a := p.snapshot.AddressByID(address); a != nil {
				bound[address] = preferences.Bound{Stops: a.Stops, OptedOut: a.OptedOut} // not locked: not changed
			}
		}
		p.snapshot.Bind(bound)
		p.snapshot.Version = max(p.snapshot.Version+1, micros(u.c.At))
		body, err := p.snapshot.AppendBinary(nil)
		if err != nil {
			return err
		}
		if err := u.run("UPDATE patients SET version = $2, snapshot = $3 WHERE id = $1", id, p.snapshot.Version, body); err != nil {
			return err
		}
		if p.sealed != nil {
			if err := u.run("UPDATE patients SET sealed = $2 WHERE id = $1", id, p.sealed); err != nil {
				return err
			}
		}
		if err := u.run("INSERT INTO revocations (id, patient, version, at) VALUES ($1, $2, $3, $4)", u.newID(), id, p.snapshot.Version, micros(u.c.At)); err != nil {
			return err
		}
		u.kept.Versions[id] = p.snapshot.Version
	}
	return nil
}

// appendLedger adds one event; the digest covers the sealed body.
func (u *unit) appendLedger(subject string, key cipher.AEAD, e *preferences.Event) error {
	if key == nil {
		return gateway.ErrErased
	}
	sealed, err := seal(key, e)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(sealed)
	var seq int64
	if err := u.tx.QueryRowContext(u.ctx, "SELECT COALESCE(MAX(seq), 0) + 1 FROM ledger WHERE subject = $1", subject).Scan(&seq); err != nil {
		return err
	}
	return u.run("INSERT INTO ledger (id, subject, seq, kind, at, digest, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7)",
		e.ID, subject, seq, string(e.Kind), e.At, digest[:], sealed)
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
