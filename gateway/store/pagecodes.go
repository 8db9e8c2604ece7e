package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"harmonize.care/heed/gateway"
)

// maxRecentCodes is how many instants are worth keeping of the codes made for a patient.
const maxRecentCodes = 100

// KeepCode keeps a code in place of the patient's last, when the caller says that one
// more may be made after those that were made lately, oldest first. The row is locked
// before it is looked at, so that codes asked for side by side are counted one by one.
func (d *DB) KeepCode(ctx context.Context, c gateway.PageCode, free func(made []time.Time) bool) (kept bool, err error) {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	if _, err := tx.ExecContext(ctx, "INSERT INTO page_codes (patient) VALUES ($1) ON CONFLICT DO NOTHING", c.Patient); err != nil {
		return false, err
	}
	var text string
	if err := tx.QueryRowContext(ctx, "SELECT recent FROM page_codes WHERE patient = $1"+d.lock("NO KEY UPDATE"), c.Patient).Scan(&text); err != nil {
		return false, err
	}
	var recent []int64
	if err := json.Unmarshal([]byte(text), &recent); err != nil {
		return false, err
	}
	made := make([]time.Time, len(recent))
	for i, us := range recent {
		made[i] = instant(us)
	}
	if !free(made) {
		return false, nil
	}
	recent = append(recent, micros(c.At))
	keep, err := json.Marshal(recent[max(0, len(recent)-maxRecentCodes):])
	if err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE page_codes SET address = $2, digest = $3, tries = 0, at = $4, recent = $5 WHERE patient = $1",
		c.Patient, c.Address, c.Digest, micros(c.At), string(keep)); err != nil {
		return false, err
	}
	return true, tx.Commit()
}

// TryCode takes one of the most tries that the code of a patient and an address has,
// and gives its digest and which try this is, 1 first; 0: there is no code that was
// made after since and has one left. One statement looks and counts, so that guesses
// made side by side never get more than there are.
func (d *DB) TryCode(ctx context.Context, patient, address int64, since time.Time, most int) (digest []byte, try int, err error) {
	err = d.write.QueryRowContext(ctx, `UPDATE page_codes SET tries = tries + 1
		WHERE patient = $1 AND address = $2 AND at > $3 AND tries < $4 AND digest IS NOT NULL RETURNING digest, tries`,
		patient, address, micros(since), most).Scan(&digest, &try)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, nil
	}
	return digest, try, err
}

// UseCode takes a code out of use and says whether it still was there: a code opens
// the page once.
func (d *DB) UseCode(ctx context.Context, patient int64, digest []byte) (bool, error) {
	r, err := d.write.ExecContext(ctx, "UPDATE page_codes SET digest = NULL WHERE patient = $1 AND digest = $2", patient, digest)
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n == 1, err
}
