package store

import (
	"strconv"

	"harmonize.care/heed/gateway"
)

// erase drops the data key: everything sealed under it is gone, and what stood
// outside of it goes too. The keyed hashes and the ledger's digests stay. The ref goes
// first: that lock lets nobody seal anything more under the key.
func (u *unit) erase(id int64, p *patient) error {
	if err := u.dropRef(id); err != nil {
		return err
	}
	for _, query := range []string{
		"UPDATE patients SET data_key = NULL, sealed = NULL WHERE id = $1",
		"UPDATE addresses SET sealed = NULL WHERE patient = $1",
		"UPDATE messages SET sealed = NULL, facts = NULL, reference = NULL WHERE patient = $1", // a reference is the practice's id of an appointment
		"UPDATE decisions SET sealed = NULL WHERE message IN (SELECT id FROM messages WHERE patient = $1)",
		"UPDATE tasks SET sealed = NULL WHERE patient = $1",
		"UPDATE page_codes SET digest = NULL WHERE patient = $1",
	} {
		if err := u.run(query, id); err != nil {
			return err
		}
	}
	if err := u.dropSharedTasks(id, p); err != nil {
		return err
	}
	if err := u.dropAnswers(id); err != nil {
		return err
	}
	p.sealed = nil
	return u.run("UPDATE ledger SET sealed = NULL WHERE subject = $1", "p"+strconv.FormatInt(id, 10))
}

// dropSharedTasks drops what stands in tasks of nobody in particular that came from a
// number of the patient's: words from a phone that several shared, or from before it was
// known whose it is. As long as somebody else has the number they may be theirs.
func (u *unit) dropSharedTasks(id int64, p *patient) error {
	mine := map[string]bool{}
	for _, key := range p.keys {
		var others int
		if err := u.tx.QueryRowContext(u.ctx, "SELECT count(*) FROM addresses WHERE key = $1 AND patient <> $2 AND sealed IS NOT NULL", key, id).Scan(&others); err != nil {
			return err
		}
		mine[key] = others == 0
	}
	list, err := u.tx.QueryContext(u.ctx, "SELECT id, sealed FROM tasks WHERE patient IS NULL AND sealed IS NOT NULL")
	if err != nil {
		return err
	}
	theirs := map[int64]struct{}{}
	if err := scan(list, func(s scanner) error {
		var task int64
		var sealed []byte
		if err := s.Scan(&task, &sealed); err != nil {
			return err
		}
		var d gateway.TaskDetail
		if err := open(u.keys.general, sealed, &d); err != nil {
			return err
		}
		if d.Number != "" && mine[u.keys.addressKey(d.Number)] {
			theirs[task] = struct{}{}
		}
		return nil
	}); err != nil || len(theirs) == 0 {
		return err
	}
	return u.run("UPDATE tasks SET sealed = NULL WHERE "+u.among("id", 1), keysOf(u.DB, theirs))
}

// dropRef puts a keyed hash in the place of the practice's id, which is the record
// number as a rule: the id is not given again, and cannot be guessed from what stays.
func (u *unit) dropRef(id int64) error {
	var ref string
	if err := u.tx.QueryRowContext(u.ctx, "SELECT ref FROM patients WHERE id = $1", id).Scan(&ref); err != nil {
		return err
	}
	return u.run("UPDATE patients SET ref = $2 WHERE id = $1", id, u.keys.refKey(ref))
}

// neverErased refuses a ref that somebody erased had. It looks after the insert, which
// waits for an erasure that is under way.
func (u *unit) neverErased(ref string) error {
	var n int
	if err := u.tx.QueryRowContext(u.ctx, "SELECT count(*) FROM patients WHERE ref = $1", u.keys.refKey(ref)).Scan(&n); err != nil {
		return err
	}
	if n > 0 {
		return gateway.ErrStale
	}
	return nil
}
