package store

import (
	"crypto/cipher"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// sealer gives the key under which a patient's things are sealed; the general one
// where there is no patient.
func (u *unit) sealer(id int64) (cipher.AEAD, error) {
	if id == 0 {
		return u.keys.general, nil
	}
	if p := u.patients[id]; p != nil && p.key != nil {
		return p.key, nil
	}
	var wrapped []byte
	err := u.tx.QueryRowContext(u.ctx, "SELECT data_key FROM patients WHERE id = $1"+u.lock("KEY SHARE"), id).Scan(&wrapped) // an erasure waits, or was before
	if errors.Is(err, sql.ErrNoRows) {
		return nil, gateway.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if wrapped == nil {
		return nil, gateway.ErrErased
	}
	return u.DB.keys.dataKey(wrapped)
}

func (u *unit) insertMessage(m *gateway.Message) error {
	key, err := u.sealer(m.Patient)
	if err != nil {
		return err
	}
	sealed, err := seal(key, m.Body)
	if err != nil {
		return err
	}
	return u.run(`INSERT INTO messages (id, patient, queue, category, template, essential, status, due_at, expires_at, reference, created_at, sealed)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		m.ID, null(m.Patient), int(m.Queue), m.Category, m.Template, m.Essential, int(m.Status), micros(m.Due), micros(m.Expires), nullText(m.Reference),
		micros(m.Created), sealed)
}

// fence refuses every step that was judged on a version its patient has moved on
// from, or whose window has closed.
func (u *unit) fence() error {
	for i := range u.c.Steps {
		s := &u.c.Steps[i]
		if p := u.patients[s.Patient]; s.Version != 0 && (p == nil || p.snapshot.Version != s.Version) {
			u.refuse(s, gateway.Refusal{Why: gateway.Stale})
		} else if !s.NotAfter.IsZero() && !u.now().Before(s.NotAfter) {
			u.refuse(s, gateway.Refusal{Why: gateway.TooLate})
		}
	}
	return nil
}

// steps moves messages. Each may be refused by itself.
func (u *unit) steps() error {
	if len(u.c.Steps) == 0 {
		return nil
	}
	free, err := u.lockMessages()
	if err != nil {
		return err
	}
	for i := range u.c.Steps {
		s := &u.c.Steps[i]
		if u.refused[s.Message] {
			continue
		}
		row, there := free[s.Message]
		if !there || row.status != s.From || s.Try != 0 && s.Try != row.attempts || s.Attempt != nil && !row.mayGo() {
			u.refuse(s, gateway.Refusal{Why: gateway.Taken})
			continue
		}
		if !u.takePlace(s) {
			continue
		}
		if err := u.step(s, row); err != nil {
			return err
		}
	}
	if u.c.Whole && len(u.refused) > 0 {
		return gateway.ErrStale
	}
	return u.claimedTexts()
}

func (u *unit) refuse(s *gateway.Step, r gateway.Refusal) {
	u.kept.Refused[s.Message] = r
	u.refused[s.Message] = true
}

// place is where a patient's usage of a program is kept.
type place struct {
	Patient int64
	Program channels.Program
}

type used struct {
	recent  []int64
	changed bool
}

// lockUsage locks the usage rows that claims ask for and that unsent attempts give
// back, in order.
func (u *unit) lockUsage() error {
	want := map[place]*used{}
	for _, s := range u.c.Steps {
		if s.Cap != nil && !u.refused[s.Message] {
			want[place{s.Patient, s.Cap.Program}] = &used{}
		}
	}
	for _, e := range u.c.Edits {
		if e.Unsent != nil && e.Unsent.Patient != 0 {
			want[place{e.Unsent.Patient, e.Unsent.Program}] = &used{}
		}
	}
	u.usage = want
	if len(want) == 0 {
		return nil
	}
	var pairs [][2]int64
	for k := range want {
		pairs = append(pairs, [2]int64{k.Patient, int64(k.Program)})
	}
	slices.SortFunc(pairs, func(a, b [2]int64) int { return slices.Compare(a[:], b[:]) })
	param, err := json.Marshal(pairs)
	if err != nil {
		return err
	}
	both := "SELECT CAST(e.value ->> 0 AS BIGINT), CAST(e.value ->> 1 AS BIGINT) FROM " + u.each(1)
	if err := u.run("INSERT INTO usage (patient, program) "+both+" WHERE true ON CONFLICT DO NOTHING", string(param)); err != nil {
		return err
	}
	list, err := u.tx.QueryContext(u.ctx,
		"SELECT patient, program, recent FROM usage WHERE (patient, program) IN ("+both+") ORDER BY patient, program"+u.lock("NO KEY UPDATE"), string(param))
	if err != nil {
		return err
	}
	return scan(list, func(s scanner) error {
		var k place
		var recent string
		if err := s.Scan(&k.Patient, &k.Program, &recent); err != nil {
			return err
		}
		return json.Unmarshal([]byte(recent), &want[k].recent)
	})
}

// takePlace lets the policy's own function decide on the locked usage.
func (u *unit) takePlace(s *gateway.Step) bool {
	if s.Cap == nil {
		return true
	}
	row := u.usage[place{s.Patient, s.Cap.Program}]
	free, until := s.Cap.Frees(row.recent)
	if !free {
		u.refuse(s, gateway.Refusal{Why: gateway.Capped, Until: until})
		return false
	}
	row.recent, row.changed = append(row.recent, micros(s.Attempt.At)), true
	if over := len(row.recent) - s.Cap.Keep; over > 0 {
		row.recent = row.recent[over:]
	}
	return true
}

// givePlace gives the place of a try that surely did not go out back.
func (u *unit) givePlace(e *gateway.Unsent) {
	row := u.usage[place{e.Patient, e.Program}]
	if row == nil {
		return
	}
	if i := slices.Index(row.recent, micros(e.At)); i >= 0 {
		row.recent, row.changed = slices.Delete(row.recent, i, i+1), true
	}
}

func (u *unit) writeUsage() error {
	for k, row := range u.usage {
		if !row.changed {
			continue
		}
		recent, err := json.Marshal(row.recent)
		if err != nil {
			return err
		}
		if err := u.run("UPDATE usage SET recent = $3 WHERE patient = $1 AND program = $2", k.Patient, int(k.Program), string(recent)); err != nil {
			return err
		}
	}
	return nil
}

type waiting struct {
	status   gateway.Status
	attempts int
	failed   []preferences.Pair
	patient  int64
	campaign gateway.CampaignStatus
	returned bool // it waits inside its campaign, and is claimed there
	held     bool // nothing is sent now, this message neither
}

// mayGo: a message of a campaign goes while its campaign does, or has.
func (w *waiting) mayGo() bool {
	return !w.held && !w.returned && w.campaign != gateway.CampaignPaused && w.campaign != gateway.CampaignCanceled
}

// lockMessages locks the messages. A claim passes over what another worker holds,
// and is refused as taken; whatever else happens to a message waits its turn.
func (u *unit) lockMessages() (map[int64]waiting, error) {
	want, lock := map[int64]struct{}{}, "NO KEY UPDATE"
	for _, s := range u.c.Steps {
		if s.Attempt != nil {
			lock = "NO KEY UPDATE SKIP LOCKED"
		}
		if !u.refused[s.Message] {
			want[s.Message] = struct{}{}
		}
	}
	free := map[int64]waiting{}
	list, err := u.tx.QueryContext(u.ctx, `SELECT id, status, attempts, failed, COALESCE(patient, 0), COALESCE((SELECT s.status FROM slices s WHERE s.id = messages.slice), 0),
		COALESCE((SELECT c.status FROM campaigns c WHERE c.id = messages.campaign), 0), queue <> $2 AND `+isHeld+` > 0 FROM messages WHERE id IN `+u.ids(1)+" ORDER BY id"+u.lock(lock),
		rows(want), int(gateway.AnswerQueue))
	if err != nil {
		return nil, err
	}
	return free, scan(list, func(s scanner) error {
		var id int64
		var w waiting
		var failed string
		var status, slice int
		if err := s.Scan(&id, &status, &w.attempts, &failed, &w.patient, &slice, &w.campaign, &w.held); err != nil {
			return err
		}
		w.status = standing(status, slice)
		w.returned = status == returned
		err := json.Unmarshal([]byte(failed), &w.failed)
		free[id] = w
		return err
	})
}

func (u *unit) step(s *gateway.Step, row waiting) error {
	if s.Failed != nil && !slices.Contains(row.failed, *s.Failed) {
		row.failed = append(row.failed, *s.Failed)
	}
	failed, err := json.Marshal(append([]preferences.Pair{}, row.failed...))
	if err != nil {
		return err
	}
	claims := 0
	if s.Attempt != nil {
		claims = 1
	}
	due, ask := s.Due, time.Time{}
	if s.To == gateway.Unknown || s.To == gateway.Sent {
		due, ask = time.Time{}, s.Due
	}
	if err := u.run(`UPDATE messages SET status = $2, due_at = CASE WHEN CAST($3 AS BIGINT) = 0 THEN due_at ELSE CAST($3 AS BIGINT) END, expires_at = CASE WHEN CAST($4 AS BIGINT) = 0 THEN expires_at ELSE CAST($4 AS BIGINT) END,
		lease = $5, code = $6, failed = $7, attempts = attempts + $8, ask_at = $9 WHERE id = $1`,
		s.Message, int(s.To), micros(due), micros(s.Expires), micros(s.Lease), s.Code, string(failed), claims, micros(ask)); err != nil {
		return err
	}
	u.messageMoved(s, row)
	a := s.Attempt
	if a == nil {
		return nil
	}
	return u.run(`INSERT INTO attempts (id, message, number, channel, address, version, status, at, program, form, discreet, wording, provider)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		a.ID, s.Message, a.Number, int(a.Pair.Channel), a.Pair.Address, a.Version, int(a.Status), micros(a.At), int(a.Program), a.Form, a.Discreet, a.Wording, a.Provider)
}

// claimedTexts reads where the claimed messages go: here, and never from a cache.
func (u *unit) claimedTexts() error {
	want := map[int64]struct{}{}
	for _, s := range u.c.Steps {
		if s.Attempt != nil && s.Attempt.Pair.Address != 0 && !u.refused[s.Message] {
			want[s.Attempt.Pair.Address] = struct{}{}
		}
	}
	if len(want) == 0 {
		return nil
	}
	return u.addressTexts(u.ctx, u.tx, rows(want), u.kept.Texts)
}

// edits moves attempts forward, never back.
func (u *unit) edits() error {
	for _, e := range u.c.Edits {
		if e.Unsent != nil {
			var was gateway.AttemptStatus
			if err := u.tx.QueryRowContext(u.ctx, "SELECT status FROM attempts WHERE id = $1"+u.lock("NO KEY UPDATE"), e.Attempt).Scan(&was); err != nil {
				return found(err)
			}
			if was < gateway.AttemptTaken {
				u.givePlace(e.Unsent)
			}
		}
		if err := u.run(`UPDATE attempts SET status = CASE WHEN status < $2 THEN $2 ELSE status END,
			provider_id = CASE WHEN $3 = '' THEN provider_id ELSE $3 END, code = CASE WHEN $4 = '' THEN code ELSE $4 END WHERE id = $1`,
			e.Attempt, int(e.Status), e.ProviderID, e.Code); err != nil {
			return err
		}
	}
	return u.writeUsage()
}
