package dispatch

import (
	"context"
	"fmt"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// Request asks for one message.
type Request struct {
	Patient   string // the practice's id
	Category  string
	Template  string
	Variables map[string]string
	Channels  []channels.Channel
	SendAt    time.Time
	Expires   time.Time
	Urgent    bool
	Reference string
	Override  string // staff's written reason
	Slot      string // which of the messages of its reference it is
}

// Accepted is what one request came to. Err is a gateway.Invalid,
// gateway.ErrNotFound or gateway.ErrErased; then nothing was kept of it.
type Accepted struct {
	ID       int64
	Due      time.Time
	Decision Answer
	Err      error
}

// Accept takes requests in: durable when it returns. Key, when given, gets its
// answer from the function, in the same commit, and without one nothing is kept;
// Replayed is the first answer of a key that was used before. One bad request refuses
// itself alone.
func (d *Dispatcher) Accept(ctx context.Context, actor string, requests []Request, key *gateway.Key, answer func([]Accepted) (int, []byte, error)) ([]Accepted, *gateway.Key, error) {
	list, first, err := d.acceptAll(ctx, actor, requests, key, answer)
	if MovedOn(err) {
		list, first, err = d.acceptAll(ctx, actor, requests, key, answer)
	}
	return list, first, err
}

func (d *Dispatcher) acceptAll(ctx context.Context, actor string, requests []Request, key *gateway.Key, answer func([]Accepted) (int, []byte, error)) ([]Accepted, *gateway.Key, error) {
	b := d.NewBatch(actor)
	list := make([]Accepted, len(requests))
	for i := range requests {
		var err error
		if list[i], err = b.Accept(ctx, requests[i]); err != nil {
			return nil, nil, err
		}
	}
	if b.Empty() {
		return list, nil, nil
	}
	if key != nil {
		var err error
		if key.Status, key.Answer, err = answer(list); err != nil {
			return nil, nil, err
		}
		b.change.Key = key
	}
	kept, err := b.commit(ctx)
	if err != nil {
		return nil, nil, err
	}
	return list, kept.Replayed, nil
}

// accept judges one request. What it decides is told to the caller; the message
// is decided again when it is due.
func (d *Dispatcher) accept(ctx context.Context, actor string, r Request, now time.Time) (gateway.Message, Accepted, error) {
	cat, ok := d.Policy.Category(r.Category)
	if !ok {
		return gateway.Message{}, Accepted{}, gateway.Wrong("category", "not a category of the policy in force")
	}
	t, err := d.template(r.Template, r.Category)
	if err != nil {
		return gateway.Message{}, Accepted{}, err
	}
	if err := t.Check(r.Variables); err != nil {
		return gateway.Message{}, Accepted{}, gateway.Wrong("variables", err.Error())
	}
	if at, ok := t.Expires(r.Variables); ok && r.Expires.IsZero() {
		r.Expires = at
	}
	if !r.Expires.IsZero() && !r.Expires.After(later(now, r.SendAt)) {
		return gateway.Message{}, Accepted{}, gateway.Wrong("expires_at", "lies before the moment it would be sent")
	}
	if r.Override != "" && cat.Class != policy.Essential {
		return gateway.Message{}, Accepted{}, gateway.Wrong("override", "staff may override only for an essential category")
	}
	patient, err := d.Store.PatientID(ctx, r.Patient)
	if err != nil {
		return gateway.Message{}, Accepted{}, err
	}
	return d.schedule(ctx, actor, r, t, cat, patient, now)
}

func (d *Dispatcher) schedule(ctx context.Context, actor string, r Request, t *templates.Template, cat *policy.Category, patient int64, now time.Time) (gateway.Message, Accepted, error) {
	m := gateway.Message{
		ID: d.NewID(), Patient: patient, Category: r.Category, Template: r.Template, Essential: cat.Class == policy.Essential,
		Due: later(now, r.SendAt), Expires: r.Expires, Reference: r.Reference, Created: now,
		Body: gateway.Body{Variables: r.Variables, Channels: r.Channels, Urgent: r.Urgent, Override: r.Override, Actor: actor, Slot: r.Slot},
	}
	m.Queue = queueOf(&m, now)
	ks, err := d.snapshots(ctx, []int64{patient}, false)
	if err != nil {
		return m, Accepted{}, err
	}
	usage, err := d.Store.Usage(ctx, patient)
	if err != nil {
		return m, Accepted{}, err
	}
	q := d.question(&m, t, usage)
	q.AtDispatch, q.SendAt = false, r.SendAt
	k := ks[patient]
	if k.Snapshot != nil && k.Standing == preferences.Erased {
		return m, Accepted{}, gateway.ErrErased // here, or the store would refuse everything beside it too
	}
	if m.Queue == gateway.ReminderQueue {
		m.Due = later(now, d.Policy.ScheduleAt(k.Snapshot, q))
		q.SendAt = m.Due
	}
	return m, Accepted{ID: m.ID, Due: m.Due, Decision: Answer{Decision: d.Policy.Decide(k.Snapshot, q), FactsFrom: k.from}}, nil
}

func queueOf(m *gateway.Message, now time.Time) gateway.Queue {
	switch {
	case m.Due.After(now):
		return gateway.ReminderQueue
	case m.Body.Urgent && m.Essential:
		return gateway.UrgentQueue
	}
	return gateway.SingleQueue
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Cancel takes a waiting message back; ErrStale when it is no longer waiting.
func (d *Dispatcher) Cancel(ctx context.Context, actor string, id int64) error {
	return d.move(ctx, actor, id, "message.cancel", gateway.Step{To: gateway.Canceled})
}

// Move changes when a waiting message is due and until when it may go.
func (d *Dispatcher) Move(ctx context.Context, actor string, id int64, sendAt, expires time.Time) error {
	m, err := d.Store.Message(ctx, id)
	if err != nil {
		return err
	}
	until := m.Expires
	if !expires.IsZero() {
		until = expires
	}
	due := m.Due
	if !sendAt.IsZero() {
		due = later(d.Now(), sendAt)
	}
	if !until.IsZero() && !until.After(due) {
		return gateway.Wrong("expires_at", "lies before the moment it would be sent")
	}
	due, err = d.reschedule(ctx, m, due, until)
	if err != nil {
		return err
	}
	defer d.Wake()
	return d.move(ctx, actor, id, "message.move", gateway.Step{To: gateway.Waiting, Due: due, Expires: until})
}

// reschedule applies "earlier rather than too late" to the new time.
func (d *Dispatcher) reschedule(ctx context.Context, m *gateway.Message, due, expires time.Time) (time.Time, error) {
	ks, err := d.snapshots(ctx, []int64{m.Patient}, false)
	if err != nil {
		return due, err
	}
	t, ok := d.Templates().Get(m.Template)
	if !ok {
		return due, nil
	}
	q := d.question(m, t, policy.Usage{})
	q.AtDispatch, q.SendAt, q.ExpiresAt = false, due, expires
	return later(d.Now(), d.Policy.ScheduleAt(ks[m.Patient].Snapshot, q)), nil
}

func (d *Dispatcher) move(ctx context.Context, actor string, id int64, verb string, step gateway.Step) error {
	if gateway.AlreadyDone(ctx) {
		return nil
	}
	step.Message, step.From = id, gateway.Waiting
	kept, err := d.Store.Commit(ctx, gateway.Change{
		At: d.Now(), Actor: actor, Key: gateway.KeyOf(ctx), Steps: []gateway.Step{step}, Whole: true,
		Audit: []gateway.Audit{{Verb: verb, Object: fmt.Sprintf("message:%d", id)}},
	})
	if err == nil && kept.Replayed != nil {
		err = gateway.ErrReplayed
	}
	return err
}

// maxReference is how many waiting messages one reference may have: an appointment
// has a handful.
const maxReference = 1000

// CancelReference takes back everything that waits for a reference, in one
// commit, and counts it. One that has just been claimed is not counted.
func (d *Dispatcher) CancelReference(ctx context.Context, actor, reference string) (int, error) {
	list, err := d.Store.Messages(ctx, gateway.MessageFilter{Reference: reference, Open: true, Limit: maxReference})
	if err != nil || len(list) == 0 {
		return 0, err
	}
	c := gateway.Change{At: d.Now(), Actor: actor, Key: gateway.KeyOf(ctx)}
	for i := range list {
		c.Steps = append(c.Steps, gateway.Step{Message: list[i].ID, From: gateway.Waiting, To: gateway.Canceled})
		c.Audit = append(c.Audit, gateway.Audit{Verb: "message.cancel", Object: fmt.Sprintf("message:%d", list[i].ID), Step: list[i].ID})
	}
	kept, err := d.Store.Commit(ctx, c)
	if err == nil && kept.Replayed != nil {
		err = gateway.ErrReplayed
	}
	return len(list) - len(kept.Refused), err
}
