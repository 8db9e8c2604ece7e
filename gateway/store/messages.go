package store

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// accept inserts new messages.
func (r *ride) accept() error {
	var list [][]any
	for _, u := range r.units {
		for i := range u.c.Accepts {
			m := &u.c.Accepts[i]
			key, err := r.sealer(m.Patient)
			if err != nil {
				return err
			}
			sealed, err := seal(key, m.Body)
			if err != nil {
				return err
			}
			list = append(list, []any{
				m.ID, null(m.Patient), int(m.Queue), m.Category, m.Template, m.Essential, int(m.Status), micros(m.Due), micros(m.Expires), nullText(m.Reference),
				micros(m.Created), sealed,
			})
		}
	}
	return r.insert(into{"messages", typed("id BIGINT, patient BIGINT, queue SMALLINT, category TEXT, template TEXT, essential BOOLEAN, status SMALLINT, due_at BIGINT, " +
		"expires_at BIGINT, reference TEXT, created_at BIGINT, sealed BYTEA"), ""}, list)
}

// fence refuses every step that was judged on a version its patient has moved on
// from, or whose window has closed.
func (r *ride) fence() error {
	for _, u := range r.units {
		for i := range u.c.Steps {
			s := &u.c.Steps[i]
			if p := r.patients[s.Patient]; s.Version != 0 && (p == nil || p.snapshot.Version != s.Version) {
				u.refuse(s, gateway.Refusal{Why: gateway.Stale})
			} else if !s.NotAfter.IsZero() && !r.now().Before(s.NotAfter) {
				u.refuse(s, gateway.Refusal{Why: gateway.TooLate})
			}
		}
	}
	return nil
}

// steps moves messages. Each may be refused by itself.
func (r *ride) steps() error {
	free, err := r.lockMessages()
	if err != nil {
		return err
	}
	var moved, tries [][]any
	stale := map[*unit]bool{}
	for _, u := range r.units {
		moves, begun, err := u.moves(free)
		if err != nil {
			return err
		}
		if u.c.Whole && len(u.refused) > 0 {
			stale[u] = true
			continue
		}
		moved, tries = append(moved, moves...), append(tries, begun...)
	}
	if err := r.unhear(stale); err != nil || len(r.units) == 0 {
		return err
	}
	return inOrder(func() error { return r.moveMessages(moved) }, func() error { return r.insertTries(tries) }, r.claimedTexts)
}

// moves are the rows of a change's steps, and of the tries that they begin.
func (u *unit) moves(free map[int64]waiting) (moved, tries [][]any, err error) {
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
		move, err := moveRow(s, row)
		if err != nil {
			return nil, nil, err
		}
		moved = append(moved, move)
		if s.Attempt != nil {
			tries = append(tries, tryRow(s))
		}
		u.messageMoved(s, row)
	}
	return moved, tries, nil
}

// unhear lets changes go that do not hold any more. What has no company is rolled back;
// one that rides has done nothing yet but to note its event, which was not heard then.
func (r *ride) unhear(stale map[*unit]bool) error {
	if len(stale) == 0 {
		return nil
	}
	r.leave(stale)
	for u := range stale {
		u.failed = gateway.ErrStale
		if s := u.c.Seen; s != nil && len(r.units) > 0 {
			if err := r.run("DELETE FROM seen WHERE source = $1 AND event = $2", s.Source, s.Event); err != nil {
				return err
			}
		}
	}
	return nil
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
func (r *ride) lockUsage() error {
	want := map[place]*used{}
	for _, u := range r.units {
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
	}
	r.usage = want
	if len(want) == 0 {
		return nil
	}
	pairs := slices.SortedFunc(maps.Keys(want), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.Patient, b.Patient), cmp.Compare(a.Program, b.Program))
	})
	list := r.table("patient BIGINT, program SMALLINT")
	for _, k := range pairs {
		list.row(k.Patient, int(k.Program))
	}
	if err := r.run("INSERT INTO usage (patient, program) SELECT e.patient, e.program FROM "+list.from(1)+" WHERE true ON CONFLICT DO NOTHING", list.args()...); err != nil {
		return err
	}
	return r.look("SELECT patient, program, recent FROM usage WHERE (patient, program) IN (SELECT e.patient, e.program FROM "+list.from(1)+") ORDER BY patient, program"+r.lock("NO KEY UPDATE"), func(s scanner) error {
		var k place
		var recent string
		if err := s.Scan(&k.Patient, &k.Program, &recent); err != nil {
			return err
		}
		return json.Unmarshal([]byte(recent), &want[k].recent)
	}, list.args()...)
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
func (r *ride) givePlace(e *gateway.Unsent) {
	row := r.usage[place{e.Patient, e.Program}]
	if row == nil {
		return
	}
	if i := slices.Index(row.recent, micros(e.At)); i >= 0 {
		row.recent, row.changed = slices.Delete(row.recent, i, i+1), true
	}
}

func (r *ride) writeUsage() error {
	list := r.table("patient BIGINT, program SMALLINT, recent TEXT")
	for k, row := range r.usage {
		if !row.changed {
			continue
		}
		recent, err := json.Marshal(row.recent)
		if err != nil {
			return err
		}
		list.row(k.Patient, int(k.Program), string(recent))
	}
	return r.all(list, "UPDATE usage SET recent = e.recent FROM "+list.from(1)+" WHERE usage.patient = e.patient AND usage.program = e.program")
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
// and is refused as taken; whatever else happens to a message waits its turn. Those who
// wait come first: a claim holds nothing while it waits for somebody.
func (r *ride) lockMessages() (map[int64]waiting, error) {
	turn, claims := map[int64]struct{}{}, map[int64]struct{}{}
	for _, u := range r.units {
		want := turn
		if slices.ContainsFunc(u.c.Steps, func(s gateway.Step) bool { return s.Attempt != nil }) {
			want = claims
		}
		for _, s := range u.c.Steps {
			if !u.refused[s.Message] {
				want[s.Message] = struct{}{}
			}
		}
	}
	free := map[int64]waiting{}
	if len(turn) == 0 && len(claims) == 0 {
		return free, nil
	}
	return free, inOrder(
		func() error { return r.lockThese(turn, "NO KEY UPDATE", free) },
		func() error { return r.lockThese(claims, "NO KEY UPDATE SKIP LOCKED", free) },
		r.tx.flush,
	)
}

func (r *ride) lockThese(want map[int64]struct{}, lock string, free map[int64]waiting) error {
	if len(want) == 0 {
		return nil
	}
	return r.look(`SELECT id, status, attempts, failed, COALESCE(patient, 0), COALESCE((SELECT s.status FROM slices s WHERE s.id = messages.slice), 0),
		COALESCE((SELECT c.status FROM campaigns c WHERE c.id = messages.campaign), 0), queue <> $2 AND `+isHeld+" > 0 FROM messages WHERE "+r.among("id", 1)+" ORDER BY id"+r.lock(lock), func(s scanner) error {
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
	}, keysOf(r.DB, want), int(gateway.AnswerQueue))
}

// moveRow is what a step makes of a message.
func moveRow(s *gateway.Step, row waiting) ([]any, error) {
	if s.Failed != nil && !slices.Contains(row.failed, *s.Failed) {
		row.failed = append(row.failed, *s.Failed)
	}
	failed, err := json.Marshal(append([]preferences.Pair{}, row.failed...))
	if err != nil {
		return nil, err
	}
	claims := 0
	if s.Attempt != nil {
		claims = 1
	}
	due, ask := s.Due, time.Time{}
	if s.To == gateway.Unknown || s.To == gateway.Sent {
		due, ask = time.Time{}, s.Due
	}
	return []any{s.Message, int(s.To), micros(due), micros(s.Expires), micros(s.Lease), s.Code, string(failed), claims, micros(ask)}, nil
}

func (r *ride) moveMessages(moved [][]any) error {
	list := r.table("id BIGINT, status SMALLINT, due BIGINT, expires BIGINT, lease BIGINT, code TEXT, failed TEXT, claims SMALLINT, ask BIGINT")
	for _, m := range moved {
		list.row(m...)
	}
	return r.all(list, `UPDATE messages SET status = e.status, due_at = CASE WHEN e.due = 0 THEN messages.due_at ELSE e.due END,
		expires_at = CASE WHEN e.expires = 0 THEN messages.expires_at ELSE e.expires END,
		lease = e.lease, code = e.code, failed = e.failed, attempts = messages.attempts + e.claims, ask_at = e.ask
		FROM `+list.from(1)+" WHERE messages.id = e.id")
}

// claimedTexts reads where the claimed messages go: here, and never from a cache.
func (r *ride) claimedTexts() error {
	want := map[int64]struct{}{}
	for _, u := range r.units {
		for _, s := range u.c.Steps {
			if s.Attempt != nil && s.Attempt.Pair.Address != 0 && !u.refused[s.Message] {
				u.kept.Texts[s.Attempt.Pair.Address] = ""
				want[s.Attempt.Pair.Address] = struct{}{}
			}
		}
	}
	if len(want) == 0 {
		return nil
	}
	// By the end of the transaction is soon enough.
	return r.look(addressTexts+r.among("a.id", 1), r.addressText(func(id int64, text string) {
		for _, u := range r.units {
			if _, asked := u.kept.Texts[id]; asked {
				u.kept.Texts[id] = text
			}
		}
	}), keysOf(r.DB, want))
}
