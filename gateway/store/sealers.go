package store

import (
	"crypto/cipher"

	"harmonize.care/heed/gateway"
)

// sealer is the key that a patient's things are sealed under; nil: erased.
type sealer struct{ cipher.AEAD }

// readSealers reads, in order and in one statement, the keys that new messages and
// decisions are sealed under, of patients who are not locked for something else. An
// erasure waits for us, or was before.
func (r *ride) readSealers() error {
	want := map[int64]struct{}{}
	need := func(id int64) {
		if p := r.patients[id]; id != 0 && (p == nil || p.key == nil) {
			want[id] = struct{}{}
		}
	}
	for _, u := range r.units {
		for i := range u.c.Accepts {
			need(u.c.Accepts[i].Patient)
		}
		for i := range u.c.Decides {
			need(u.c.Decides[i].Patient)
		}
		for i := range u.c.Tasks {
			need(u.c.Tasks[i].Patient)
		}
	}
	return r.lockSealers(want)
}

func (r *ride) lockSealers(want map[int64]struct{}) error {
	if len(want) == 0 {
		return nil
	}
	return r.read("SELECT id, data_key FROM patients WHERE "+r.among("id", 1)+" ORDER BY id"+r.lock("KEY SHARE"), func(s scanner) error {
		var id int64
		var wrapped []byte
		if err := s.Scan(&id, &wrapped); err != nil {
			return err
		}
		key, err := r.keys.dataKey(wrapped)
		r.sealers[id] = sealer{key}
		return err
	}, keysOf(r.DB, want))
}

// sealer gives the key under which a patient's things are sealed; the general one
// where there is no patient.
func (r *ride) sealer(id int64) (cipher.AEAD, error) {
	if id == 0 {
		return r.keys.general, nil
	}
	if p := r.patients[id]; p != nil && p.key != nil {
		return p.key, nil
	}
	if _, read := r.sealers[id]; !read {
		if err := r.lockSealers(map[int64]struct{}{id: {}}); err != nil {
			return nil, err
		}
	}
	switch key, there := r.sealers[id]; {
	case !there:
		return nil, gateway.ErrNotFound
	case key.AEAD == nil:
		return nil, gateway.ErrErased
	default:
		return key.AEAD, nil
	}
}
