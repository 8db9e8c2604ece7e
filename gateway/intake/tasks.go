package intake

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// Closing says what came of a task.
type Closing struct {
	Task    int64
	Outcome string // a code of the task's kind, or staff's own words, which record nothing
	Note    string
	Patient int64     // who it was, where several patients share the number; 0: not said
	Message int64     // which of the messages that fit; 0: not said
	SaidAt  time.Time // when the patient said it; zero: now
}

// CloseTask closes a task. What its outcome means is recorded in the same commit, with
// the task and staff's note as evidence; what it means cannot be recorded, and nothing
// is closed. Errors: gateway.ErrNotFound, ErrClosed, ErrErased, a gateway.Invalid.
func (s *Service) CloseTask(ctx context.Context, actor string, in Closing) error {
	if gateway.AlreadyDone(ctx) {
		return nil
	}
	for range tries {
		c, err := s.closing(ctx, actor, in)
		if err != nil {
			return err
		}
		_, err = s.commit(ctx, c.change)
		if !errors.Is(err, gateway.ErrStale) {
			return err
		}
	}
	return gateway.ErrStale
}

// closing is one task while it is closed.
type closing struct {
	*Service
	Closing
	task     gateway.Task
	outcome  gateway.TaskOutcome
	actor    string
	now      time.Time
	saidAt   time.Time
	evidence map[string]string
	change   gateway.Change
}

func (s *Service) closing(ctx context.Context, actor string, in Closing) (*closing, error) {
	t, err := s.openTask(ctx, in.Task)
	if err != nil {
		return nil, err
	}
	c := &closing{Service: s, Closing: in, task: *t, actor: actor, now: s.Now()}
	if c.outcome, err = t.Kind.Outcome(in.Outcome); err != nil {
		return nil, err
	}
	if c.saidAt = in.SaidAt; c.saidAt.IsZero() {
		c.saidAt = c.now
	}
	switch {
	case c.outcome.Note && in.Note == "":
		return nil, gateway.Wrong("note", "say how the patient put it: what loosens a preference needs evidence")
	case c.saidAt.After(c.now):
		return nil, gateway.Wrong("said_at", "lies in the future")
	case !in.SaidAt.IsZero() && in.SaidAt.Before(t.Created):
		return nil, gateway.Wrong("said_at", "lies before the task was opened")
	case in.Patient != 0 && t.Patient != 0 && in.Patient != t.Patient:
		return nil, gateway.Wrong("patient", "the task is about another patient")
	}
	id := strconv.FormatInt(t.ID, 10)
	c.evidence = map[string]string{"task": id, "outcome": c.outcome.Code}
	if in.Note != "" {
		c.evidence["note"] = in.Note
	}
	c.change = gateway.Change{
		At: c.now, Actor: actor, Done: []gateway.TaskDone{{ID: t.ID, Outcome: in.Outcome, Note: in.Note, Code: c.outcome.Code}},
		Audit: []gateway.Audit{{Verb: "task.done", Object: object("task", t.ID), Detail: c.outcome.Code}},
	}
	if t.Message != 0 && c.outcome.Code != "" {
		c.heard(t.Message, c.outcome.Code)
	}
	return c, c.record(ctx)
}

// openTask reads a task that is open.
func (s *Service) openTask(ctx context.Context, id int64) (*gateway.Task, error) {
	found, err := s.Store.Tasks(ctx, gateway.TaskFilter{ID: id, Limit: 1})
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, gateway.ErrNotFound
	case !found[0].DoneAt.IsZero():
		return nil, gateway.ErrClosed
	}
	return &found[0], nil
}

// record adds what the outcome means.
func (c *closing) record(ctx context.Context) error {
	switch c.outcome.Does {
	case gateway.RecordsStop:
		return c.stop()
	case gateway.LiftsStop:
		return c.lift(ctx)
	case gateway.MarksWrong:
		return c.number(ctx, preferences.AddressWrong)
	case gateway.MarksRight:
		return c.number(ctx, preferences.AddressVerified)
	case gateway.Confirms:
		m, err := c.meant(ctx)
		if err == nil && m == nil {
			err = gateway.Wrong("outcome", "no reminder is known that this could confirm: say in a sentence of your own what came of it")
		}
		if err == nil {
			c.heard(m.ID, string(gateway.Confirmed))
		}
		return err
	case gateway.TakesBack:
		return c.takeBack(ctx)
	case gateway.KeepsConfidence, gateway.EndsHold, gateway.NeedsNoHold, gateway.NeedsNone:
		return c.instruction(ctx)
	}
	return nil
}

func (c *closing) heard(message int64, what string) {
	c.change.Heard = append(c.change.Heard, gateway.MessageHeard{Message: message, Event: gateway.MessageEvent{At: c.now, Kind: what}})
}

// event is one that staff heard from the patient.
func (c *closing) event(kind preferences.EventKind) preferences.Event {
	return preferences.Event{
		ID: c.NewID(), Kind: kind, At: c.now.UnixMicro(), Said: c.saidAt.UnixMicro(), Source: preferences.FromStaff, Actor: c.actor, Evidence: c.evidence,
	}
}

func (c *closing) onNumber(kind preferences.EventKind, programs channels.ProgramSet) {
	e := c.event(kind)
	e.Programs = programs
	c.change.Numbers = append(c.change.Numbers, gateway.NumberFact{Number: c.task.Detail.Number, Event: e})
}

// stop records the stop that the patient said was meant, of the programs that the
// person wrote to; of all of them where that is not known.
func (c *closing) stop() error {
	if c.task.Detail.Number == "" {
		return gateway.Wrong("outcome", "the task names no number: record the stop with POST /v1/stops, and say here in a sentence that you did")
	}
	programs := c.task.Detail.Programs
	if programs == 0 {
		programs = channels.AllPrograms
	}
	var stops channels.ProgramSet
	for _, p := range programs.List() {
		stops |= c.Policy.Stops(p, false, c.now)
	}
	c.onNumber(preferences.NumberStopped, stops)
	return nil
}

// sameWord is how far the instant of a stop may lie after the task that it opened:
// providers tell whole seconds.
const sameWord = time.Second

// lift lifts the stop that the task is about, as START would: of the programs that the
// person wrote to, and nothing else. A stop that came after the task stays: whoever
// spoke with the patient may not have known of it. The versions of everybody who has the
// number are read before, and asked for in the commit, so that a stop cannot fall
// between.
func (c *closing) lift(ctx context.Context) error {
	programs, number := c.task.Detail.Programs, c.task.Detail.Number
	if programs == 0 || number == "" {
		return gateway.Wrong("outcome", "it is not known what was stopped: lift it with POST /v1/stops/lift, and say here in a sentence that you did")
	}
	before, err := c.Store.Number(ctx, number)
	if err != nil {
		return err
	}
	holders, err := c.holders(ctx, before)
	if err != nil {
		return err
	}
	for _, s := range holders {
		c.change.Patients = append(c.change.Patients, gateway.PatientFact{Patient: s.Patient, Expect: s.Version})
	}
	known, err := c.Store.Number(ctx, number)
	if err != nil {
		return err
	}
	last := c.task.Created
	for _, p := range (known.Stops & programs).List() {
		since := known.Since[p]
		if since.After(c.task.Created.Add(sameWord)) {
			return gateway.Wrong("outcome", "a newer stop came after this task was opened; it stays. Ask the patient again, and lift it with POST /v1/stops/lift")
		}
		if since.After(last) {
			last = since
		}
	}
	// When the patient said it is not known but that it was after the stop: the earliest
	// moment counts, so that a stop which is still on its way to us is the later word.
	if c.SaidAt.IsZero() {
		c.saidAt = last.Add(time.Microsecond)
	}
	if !c.saidAt.After(last) {
		return gateway.Wrong("said_at", "is not after the stop: what was said before a stop does not lift it")
	}
	if known.Stops&programs != 0 {
		c.onNumber(preferences.NumberStarted, known.Stops&programs)
	}
	return nil
}

// number marks the number as somebody else's, or as the patient's after all. Where
// several patients share it, the second has to be said of one.
func (c *closing) number(ctx context.Context, kind preferences.EventKind) error {
	known, err := c.Store.Number(ctx, c.task.Detail.Number)
	if err != nil {
		return err
	}
	who, err := c.who(known)
	if err != nil {
		return err
	}
	if who == 0 && kind == preferences.AddressVerified {
		return gateway.Wrong("patient", "several patients have this number, or none: say whose it is")
	}
	for _, h := range known.Holders {
		if who != 0 && h.Patient != who {
			continue
		}
		e := c.event(kind)
		e.Address = h.Address
		fact := gateway.PatientFact{Patient: h.Patient, Expect: -1, Events: []preferences.Event{e}}
		if kind == preferences.AddressVerified {
			if fact.Expect, err = c.disowned(ctx, h); err != nil {
				return err
			}
		}
		c.change.Patients = append(c.change.Patients, fact)
	}
	return nil
}

// disowned refuses to verify a number whose owner said after the task was opened that it
// is theirs: whoever spoke with the patient may not have known of it. It gives the
// version that this was read on, so that such a word cannot fall between.
func (c *closing) disowned(ctx context.Context, h gateway.Holder) (version int64, err error) {
	found, err := c.Store.Snapshots(ctx, []int64{h.Patient})
	if err != nil {
		return 0, err
	}
	if s := found[h.Patient]; s != nil {
		version = s.Version
	}
	var last int64
	err = c.recount(ctx, h.Patient, func(e *preferences.Event) {
		if e.Kind == preferences.AddressWrong && e.Address == h.Address {
			last = max(last, e.At)
		}
	})
	if err == nil && last > c.task.Created.UnixMicro() {
		err = gateway.Wrong("outcome", "somebody said after this task was opened that the number is not the patient's; it stays. Ask the patient again, and close the newest task about it so")
	}
	return version, err
}

// recount goes through a patient's ledger, oldest first.
func (s *Service) recount(ctx context.Context, patient int64, hear func(*preferences.Event)) error {
	for after := int64(0); ; {
		events, err := s.Store.Ledger(ctx, patient, after, recallBatch)
		if err != nil {
			return err
		}
		for i := range events {
			hear(&events[i])
			after = events[i].ID
		}
		if len(events) < recallBatch {
			return nil
		}
	}
}

// who is the patient whom the task is about, as it says itself or as staff say; 0 where
// nobody does.
func (c *closing) who(n gateway.Number) (int64, error) {
	switch {
	case c.Patient == 0 || c.Patient == c.task.Patient:
		return c.task.Patient, nil
	case !slices.ContainsFunc(n.Holders, func(h gateway.Holder) bool { return h.Patient == c.Patient }):
		return 0, gateway.Wrong("patient", "does not have this number")
	}
	return c.Patient, nil
}

// meant gives the message that the person answered, as the task says or as staff say,
// by the message or by the patient; nil where none is known.
func (c *closing) meant(ctx context.Context) (*gateway.Message, error) {
	d := c.task.Detail
	fit := d.Candidates
	switch {
	case c.Message != 0 && c.Message != d.Reminder && !slices.Contains(d.Candidates, c.Message):
		return nil, gateway.Wrong("message", "is not one of those that the task names")
	case c.Message != 0:
		fit = []int64{c.Message}
	case len(fit) == 0 && d.Reminder != 0:
		fit = []int64{d.Reminder}
	}
	var found []*gateway.Message
	for _, id := range fit {
		m, err := c.Store.Message(ctx, id)
		if err != nil {
			return nil, err
		}
		if c.Patient == 0 || m.Patient == c.Patient {
			found = append(found, m)
		}
	}
	switch {
	case len(fit) == 0:
		return nil, nil
	case len(found) == 0:
		return nil, gateway.Wrong("message", "went to another patient than the one that you name")
	case len(found) > 1, len(fit) == 1 && c.Message == 0 && c.Patient == 0 && d.Reminder == 0:
		return nil, gateway.Wrong("message", "several fit: say which one was meant; GET /v1/tasks/{id} lists them")
	}
	return found[0], nil
}

// maxTakenBack bounds how many reminders of one appointment are taken back.
const maxTakenBack = 200

// takeBack cancels what still waits for the appointment. Without a reference nothing is
// known to wait.
func (c *closing) takeBack(ctx context.Context) error {
	m, err := c.meant(ctx)
	if err != nil || m == nil {
		return err
	}
	c.heard(m.ID, "appointment_canceled")
	if m.Reference == "" {
		return nil
	}
	waiting, err := c.Store.Messages(ctx, gateway.MessageFilter{Reference: m.Reference, Open: true, Limit: maxTakenBack})
	for i := range waiting {
		if w := &waiting[i]; w.Patient == m.Patient {
			c.change.Steps = append(c.change.Steps, gateway.Step{Message: w.ID, From: gateway.Waiting, To: gateway.Canceled})
			c.change.Audit = append(c.change.Audit, gateway.Audit{Verb: "message.cancel", Object: object("message", w.ID), Step: w.ID})
		}
	}
	return err
}
