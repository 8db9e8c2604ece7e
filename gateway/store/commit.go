package store

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"

	"harmonize.care/heed/gateway"
)

// ride is changes that are kept in one transaction, as a rule one, phase by phase. Locks are
// taken over all of them in one order everywhere: numbers (by key), patients (by id), usage,
// messages (by id), attempts (by id); each by a statement of its own, so that what follows
// sees what the lock waited for. What each phase writes is one statement, however many
// rows and changes it is for.
type ride struct {
	*DB
	ctx   context.Context
	tx    *transaction
	units []*unit // one for each change that is still to be kept

	numbers  map[string]*number // by key, locked
	patients map[int64]*patient // by id, locked
	sealers  map[int64]sealer   // keys of patients who are not locked for anything else
	usage    map[place]*used    // locked
	ledger   []line             // what is still to be written
	wanted   *wanted            // which outgoing events somebody asked for
}

// unit is one change of a ride, and what becomes of it.
type unit struct {
	*ride
	c        *gateway.Change
	kept     gateway.Kept
	refused  map[int64]bool      // messages whose step was refused: nothing else of theirs is kept
	failed   error               // why nothing of it is kept; the others of the ride are
	happened []gateway.Happening // those that the change makes
	mirrors  map[string]mirrored // by address key: what providers' own lists may have to hear of
}

// commit keeps a change in a transaction of its own, and with it what a small store of its
// own keeps beside it: also is nil, or works on the locked rows.
func (d *DB) commit(ctx context.Context, c gateway.Change, also func(*unit) error) (gateway.Kept, error) {
	came, _, err := d.keepAll(ctx, []*gateway.Change{&c}, also)
	if err != nil {
		return gateway.Kept{}, err
	}
	return came[0].kept, came[0].err
}

// keepAll keeps changes that touch nothing in common in one transaction: all or none, but
// for those that were kept before or do not hold any more.
// Unsure: the database was asked to commit, and did not say that it has.
func (d *DB) keepAll(ctx context.Context, changes []*gateway.Change, also func(*unit) error) (came []outcome, unsure bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, keepTime)
	defer cancel()
	tx, err := d.begin(ctx, len(changes) > 1)
	if err != nil {
		return nil, false, err
	}
	defer tx.end()
	r := newRide(ctx, d, tx)
	for _, c := range changes {
		r.add(c)
	}
	units := slices.Clone(r.units)
	if err := r.keep(also); err != nil {
		return nil, false, cmp.Or(tx.fault, err)
	}
	if len(r.units) > 0 { // else there was nothing to keep, and what was looked at is let go
		if unsure, err := tx.commit(); err != nil {
			return nil, unsure, err
		}
	}
	d.tell(r.units)
	came = make([]outcome, len(units))
	for i, u := range units {
		if came[i].err = u.failed; u.failed == nil {
			came[i].kept = u.kept
		}
	}
	return came, false, nil
}

// tell says what was kept to those who wait for it.
func (d *DB) tell(units []*unit) {
	happened := false
	for _, u := range units {
		if d.news != nil {
			d.news.tell(u.kept.Versions)
		}
		happened = happened || len(u.happened) > 0
	}
	if happened && d.woken != nil {
		d.woken()
	}
}

func newRide(ctx context.Context, d *DB, tx *transaction) *ride {
	return &ride{DB: d, ctx: ctx, tx: tx, numbers: map[string]*number{}, patients: map[int64]*patient{}, sealers: map[int64]sealer{}}
}

func (r *ride) add(c *gateway.Change) *unit {
	u := &unit{
		ride: r, c: c, refused: map[int64]bool{},
		kept: gateway.Kept{Refused: map[int64]gateway.Refusal{}, Versions: map[int64]int64{}, News: map[string]bool{}, Texts: map[int64]string{}},
	}
	r.units = append(r.units, u)
	return u
}

func (r *ride) keep(also func(*unit) error) error {
	if err := r.once(); err != nil || len(r.units) == 0 {
		return err
	}
	return inOrder(
		r.readWanted, r.lockNumbers, r.lockPatients, r.foldNumbers, r.foldPatients, r.writeLedger, r.writePatients, r.readSealers, r.accept,
		r.fence, r.lockUsage, r.steps, r.speak, r.edits, r.rest, r.templates,
		func() error {
			if also == nil || len(r.units) == 0 {
				return nil
			}
			return also(r.units[0])
		}, r.writeHappened, r.writeMirrors,
	)
}

// perUnit runs a phase that is kept change by change.
func (r *ride) perUnit(phase func(*unit) error) error {
	for _, u := range r.units {
		if err := phase(u); err != nil {
			return err
		}
	}
	return nil
}

// leave lets changes go of which nothing is kept.
func (r *ride) leave(gone map[*unit]bool) {
	r.units = slices.DeleteFunc(r.units, func(u *unit) bool { return gone[u] })
}

// once lets go what was kept before: a provider's event, an idempotency key.
func (r *ride) once() error {
	return inOrder(r.hearOnce, func() error { return r.perUnit((*unit).takeTurns) }, r.answerOnce)
}

// hearOnce notes the providers' events, in order: whoever has the same one waits for us, and
// never in a circle.
func (r *ride) hearOnce() error {
	by := map[[2]string]*unit{}
	for _, u := range r.units {
		if s := u.c.Seen; s != nil {
			by[[2]string{s.Source, s.Event}] = u
		}
	}
	if len(by) == 0 {
		return nil
	}
	gone := map[*unit]bool{}
	var list [][]any
	for _, k := range slices.SortedFunc(maps.Keys(by), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		u := by[k]
		gone[u] = true
		list = append(list, []any{k[0], k[1], micros(u.c.At), u.c.Seen.Lasting})
	}
	to := into{"seen", typed("source TEXT, event TEXT, at BIGINT, keep BOOLEAN"), " ON CONFLICT DO NOTHING RETURNING source, event"}
	if err := r.inserted(to, list, func(s scanner) error {
		var k [2]string
		err := s.Scan(&k[0], &k[1])
		delete(gone, by[k])
		return err
	}); err != nil {
		return err
	}
	for u := range gone {
		u.kept.Known = true
	}
	r.leave(gone)
	return nil
}

// answerOnce notes the idempotency keys, in order.
func (r *ride) answerOnce() error {
	by := map[[2]string]*unit{}
	for _, u := range r.units {
		if k := u.c.Key; k != nil {
			by[[2]string{k.Caller, r.keys.answerKey(k.Key)}] = u
		}
	}
	if len(by) == 0 {
		return nil
	}
	gone := map[*unit]bool{}
	var list [][]any
	for _, k := range slices.SortedFunc(maps.Keys(by), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		u := by[k]
		gone[u] = true
		list = append(list, []any{k[0], k[1], r.keys.answerHash(u.c.Key.BodyHash), u.c.Key.Status, r.keys.general.Seal(nil, nil, u.c.Key.Answer, nil), micros(u.c.At)})
	}
	to := into{"answers", typed("caller TEXT, key TEXT, body_hash BYTEA, status INTEGER, sealed BYTEA, at BIGINT"), " ON CONFLICT DO NOTHING RETURNING caller, key"}
	if err := r.inserted(to, list, func(s scanner) error {
		var k [2]string
		err := s.Scan(&k[0], &k[1])
		delete(gone, by[k])
		return err
	}); err != nil {
		return err
	}
	for u := range gone {
		u.kept.Replayed, u.failed = u.answer(u.ctx, u.tx, u.c.Key)
	}
	r.leave(gone)
	return nil
}

// takeTurns locks the row of every reference, which stands for it by a keyed hash, and
// then looks whether it still has what it was judged with. In one order everywhere: two
// changes that want the same turns wait for each other and never in a circle.
func (u *unit) takeTurns() error {
	turns := slices.SortedFunc(slices.Values(u.c.Turns), func(x, y gateway.Turn) int { return cmp.Compare(x.Reference, y.Reference) })
	for _, t := range turns {
		if err := u.run("INSERT INTO seen (source, event, at) VALUES ('turn', $1, $2) ON CONFLICT (source, event) DO UPDATE SET at = excluded.at",
			u.keys.addressKey("turn\x00"+t.Reference), micros(u.c.At)); err != nil {
			return err
		}
		var has int
		if err := u.tx.QueryRowContext(u.ctx, "SELECT count(*) FROM messages WHERE reference = $1", t.Reference).Scan(&has); err != nil {
			return err
		}
		if has != t.Had {
			return gateway.ErrStale
		}
	}
	return nil
}

// speak keeps which words are being handed over, under the lock of the step that they
// were judged in: a stop that is committed later waits for them.
func (r *ride) speak() error {
	return r.perUnit(func(u *unit) error {
		for _, id := range u.c.Speaks {
			if err := u.run("INSERT INTO speaking (id, patient, at) VALUES ($1, $2, $3)", id, u.c.Steps[0].Patient, micros(u.c.At)); err != nil {
				return err
			}
		}
		for _, id := range u.c.Spoken {
			if err := u.run("DELETE FROM speaking WHERE id = $1", id); err != nil {
				return err
			}
		}
		return nil
	})
}

// rest keeps what needs no lock. Nothing is kept of a message whose step was refused.
func (r *ride) rest() error {
	return inOrder(r.insertDecisions, r.tellsOf, r.insertHeard, func() error { return r.perUnit((*unit).tasks) }, r.insertAudit)
}

// insertHeard keeps what was heard of messages.
func (r *ride) insertHeard() error {
	var list [][]any
	for _, u := range r.units {
		for _, h := range u.c.Heard {
			list = append(list, []any{r.newID(), h.Message, micros(h.Event.At), h.Event.Kind, h.Event.Code})
			if err := u.replyUnderstood(h); err != nil {
				return err
			}
		}
	}
	return r.insert(into{"message_events", typed("id BIGINT, message BIGINT, at BIGINT, kind TEXT, code TEXT"), ""}, list)
}

func (r *ride) insertAudit() error {
	var list [][]any
	for _, u := range r.units {
		for _, a := range u.c.Audit {
			if !u.refused[a.Step] {
				list = append(list, []any{r.newID(), micros(u.c.At), u.c.Actor, a.Verb, a.Object, a.Detail})
			}
		}
	}
	return r.insert(into{"audit", typed("id BIGINT, at BIGINT, actor TEXT, verb TEXT, object TEXT, detail TEXT"), ""}, list)
}

// exec runs a statement at once, and says how many rows it was about.
func (r *ride) exec(query string, args ...any) (n int64, err error) {
	err = r.tx.later(statement{query: query, args: args, count: &n})
	if err == nil {
		err = r.tx.flush()
	}
	return n, err
}

// run runs a statement whose outcome nobody asks for, but that it was kept.
func (r *ride) run(query string, args ...any) error {
	return r.tx.later(statement{query: query, args: args})
}

// look asks for rows that are wanted by the time that everything asked so far is there.
func (r *ride) look(query string, row func(scanner) error, args ...any) error {
	return r.tx.later(statement{query: query, args: args, row: row})
}

// read asks for rows that are wanted now.
func (r *ride) read(query string, row func(scanner) error, args ...any) error {
	if err := r.look(query, row, args...); err != nil {
		return err
	}
	return r.tx.flush()
}

// all runs a statement once for a whole list; for an empty one not at all.
func (r *ride) all(list *table, query string) error {
	if list.n == 0 {
		return nil
	}
	return r.run(query, list.args()...)
}

func null(id int64) any {
	if id == 0 {
		return nil
	}
	return id
}

func nullText(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// rows writes sorted values as a JSON parameter for each: [[1],[2]].
func rows[T cmp.Ordered, V any](set map[T]V) string {
	list := make([][1]T, 0, len(set))
	for _, v := range slices.Sorted(maps.Keys(set)) {
		list = append(list, [1]T{v})
	}
	b, _ := json.Marshal(list) // numbers and texts always marshal
	return string(b)
}

func setOf[T comparable](list []T) map[T]struct{} {
	set := map[T]struct{}{}
	for _, v := range list {
		set[v] = struct{}{}
	}
	return set
}
