package store

import (
	"cmp"
	"context"
	"crypto/cipher"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"harmonize.care/heed/gateway"
)

// errKnown rolls a change back whose provider event was heard before.
var errKnown = errors.New("heard before")

// unit is one change in one transaction. Locks are taken in one order everywhere:
// numbers (by key), patients (by id), usage, messages (by id); each by a statement
// of its own, so that what follows sees what the lock waited for.
type unit struct {
	*DB
	ctx  context.Context
	tx   *sql.Tx
	c    *gateway.Change
	kept gateway.Kept

	numbers  map[string]*number // by key, locked
	patients map[int64]*patient // by id, locked
	usage    map[place]*used    // locked
	refused  map[int64]bool     // messages whose step was refused: nothing else of theirs is kept

	wanted   *wanted             // which outgoing events somebody asked for
	happened []gateway.Happening // those that the change makes

	mirrors map[string]mirrored // by address key: what providers' own lists may have to hear of
}

// Commit keeps a change, all or none; steps may be refused by themselves.
func (d *DB) Commit(ctx context.Context, c gateway.Change) (gateway.Kept, error) {
	return d.commit(ctx, c, nil)
}

// commit keeps a change, and in the same transaction what a small store of its own
// keeps beside it: also is nil, or works on the locked rows.
func (d *DB) commit(ctx context.Context, c gateway.Change, also func(*unit) error) (gateway.Kept, error) {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return gateway.Kept{}, err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	u := newUnit(ctx, d, tx, &c)
	for _, step := range []func() error{
		u.once, u.readWanted, u.lockNumbers, u.lockPatients, u.foldNumbers, u.foldPatients, u.writePatients, u.accept, u.fence, u.lockUsage, u.steps, u.speak, u.edits, u.rest, u.templates,
		func() error {
			if also == nil {
				return nil
			}
			return also(u)
		}, u.writeHappened, u.writeMirrors,
	} {
		switch err := step(); {
		case errors.Is(err, errKnown):
			return gateway.Kept{Known: u.kept.Known, Replayed: u.kept.Replayed}, nil
		case err != nil:
			return gateway.Kept{}, err
		}
	}
	if err := tx.Commit(); err != nil {
		return gateway.Kept{}, err
	}
	if d.news != nil {
		d.news.tell(u.kept.Versions)
	}
	if len(u.happened) > 0 && d.woken != nil {
		d.woken()
	}
	return u.kept, nil
}

func newUnit(ctx context.Context, d *DB, tx *sql.Tx, c *gateway.Change) *unit {
	return &unit{
		DB: d, ctx: ctx, tx: tx, c: c, numbers: map[string]*number{}, patients: map[int64]*patient{}, refused: map[int64]bool{},
		kept: gateway.Kept{Refused: map[int64]gateway.Refusal{}, Versions: map[int64]int64{}, News: map[string]bool{}, Texts: map[int64]string{}},
	}
}

// once refuses what was kept before: a provider's event, an idempotency key.
func (u *unit) once() error {
	if s := u.c.Seen; s != nil {
		n, err := u.exec("INSERT INTO seen (source, event, at, keep) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING", s.Source, s.Event, micros(u.c.At), s.Lasting)
		if err != nil {
			return err
		}
		if n == 0 {
			u.kept.Known = true
			return errKnown
		}
	}
	if err := u.takeTurns(); err != nil {
		return err
	}
	k := u.c.Key
	if k == nil {
		return nil
	}
	n, err := u.exec("INSERT INTO answers (caller, key, body_hash, status, sealed, at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
		k.Caller, u.keys.answerKey(k.Key), u.keys.answerHash(k.BodyHash), k.Status, u.keys.general.Seal(nil, nil, k.Answer, nil), micros(u.c.At))
	if err != nil || n == 1 {
		return err
	}
	if u.kept.Replayed, err = u.answer(u.ctx, u.tx, k); err != nil {
		return err
	}
	return errKnown
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

// accept inserts new messages.
func (u *unit) accept() error {
	for i := range u.c.Accepts {
		if err := u.insertMessage(&u.c.Accepts[i]); err != nil {
			return err
		}
	}
	return nil
}

// speak keeps which words are being handed over, under the lock of the step that they
// were judged in: a stop that is committed later waits for them.
func (u *unit) speak() error {
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
}

// rest keeps what needs no lock. Nothing is kept of a message whose step was refused.
func (u *unit) rest() error {
	for i := range u.c.Decides {
		if err := u.insertDecision(&u.c.Decides[i]); err != nil {
			return err
		}
	}
	if err := u.tellsOf(); err != nil {
		return err
	}
	for _, h := range u.c.Heard {
		if err := u.run("INSERT INTO message_events (id, message, at, kind, code) VALUES ($1, $2, $3, $4, $5)",
			u.newID(), h.Message, micros(h.Event.At), h.Event.Kind, h.Event.Code); err != nil {
			return err
		}
		if err := u.replyUnderstood(h); err != nil {
			return err
		}
	}
	for i := range u.c.Tasks {
		if err := u.insertTask(&u.c.Tasks[i]); err != nil {
			return err
		}
	}
	for _, done := range u.c.Done {
		if err := u.closeTask(done); err != nil {
			return err
		}
	}
	for _, a := range u.c.Assigns {
		if err := u.assign(a); err != nil {
			return err
		}
	}
	for _, t := range u.c.Told {
		if err := u.told(t); err != nil {
			return err
		}
	}
	for _, a := range u.c.Audit {
		if u.refused[a.Step] {
			continue
		}
		if err := u.run("INSERT INTO audit (id, at, actor, verb, object, detail) VALUES ($1, $2, $3, $4, $5, $6)",
			u.newID(), micros(u.c.At), u.c.Actor, a.Verb, a.Object, a.Detail); err != nil {
			return err
		}
	}
	return nil
}

func (u *unit) insertTask(t *gateway.Task) error {
	if u.refused[t.Message] {
		return nil
	}
	key, err := u.taskSealer(t.Patient)
	if err != nil {
		return err
	}
	sealed, err := seal(key, t.Detail)
	if err != nil {
		return err
	}
	// A message has one task of a kind: one that comes again opens it again.
	opened := *t
	err = u.tx.QueryRowContext(u.ctx, `INSERT INTO tasks (id, kind, patient, message, created_at, due_at, tell_at, sealed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (kind, message) DO UPDATE SET created_at = excluded.created_at, due_at = excluded.due_at, tell_at = excluded.tell_at, told = 0, told_at = 0,
			done_at = NULL, sealed = excluded.sealed
		WHERE tasks.done_at IS NOT NULL RETURNING id`,
		t.ID, string(t.Kind), null(t.Patient), null(t.Message), micros(t.Created), micros(t.Due), micros(t.TellAt()), sealed).Scan(&opened.ID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // it is open
	}
	if err != nil {
		return fmt.Errorf("keeping a change: %w", err)
	}
	u.taskMoved(gateway.TaskOpened, opened, "")
	return nil
}

// taskSealer gives the key under which a task is sealed: the patient's, or, of nobody
// and of somebody erased, the general one.
func (u *unit) taskSealer(patient int64) (cipher.AEAD, error) {
	key, err := u.sealer(patient)
	if errors.Is(err, gateway.ErrErased) || errors.Is(err, gateway.ErrNotFound) {
		return u.keys.general, nil
	}
	return key, err
}

// closeTask writes the outcome into the sealed detail; a task that is done stays as it is.
func (u *unit) closeTask(done gateway.TaskDone) error {
	var patient int64
	err := u.tx.QueryRowContext(u.ctx, "SELECT COALESCE(patient, 0) FROM tasks WHERE id = $1", done.ID).Scan(&patient)
	if errors.Is(err, sql.ErrNoRows) {
		return gateway.ErrStale
	}
	if err != nil {
		return err
	}
	key, err := u.taskSealer(patient) // before the task's lock: patients come first
	if err != nil {
		return err
	}
	var sealed []byte
	t := gateway.Task{ID: done.ID, Patient: patient}
	err = u.tx.QueryRowContext(u.ctx, "SELECT kind, COALESCE(message, 0), sealed FROM tasks WHERE id = $1 AND done_at IS NULL"+u.lock("UPDATE"),
		done.ID).Scan(&t.Kind, &t.Message, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return gateway.ErrStale
	}
	if err != nil {
		return err
	}
	var detail gateway.TaskDetail
	if err := open(key, sealed, &detail); err != nil {
		return err
	}
	detail.Outcome, detail.Note, detail.DoneBy = done.Outcome, done.Note, u.c.Actor
	if sealed, err = seal(key, detail); err != nil {
		return err
	}
	u.taskMoved(gateway.TaskClosed, t, done.Code)
	return u.run("UPDATE tasks SET done_at = $2, sealed = $3 WHERE id = $1", done.ID, micros(u.c.At), sealed)
}

func (u *unit) exec(query string, args ...any) (int64, error) {
	r, err := u.tx.ExecContext(u.ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("keeping a change: %w", err)
	}
	return r.RowsAffected()
}

func (u *unit) run(query string, args ...any) error {
	_, err := u.exec(query, args...)
	return err
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
func rows[T cmp.Ordered](set map[T]struct{}) string {
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
