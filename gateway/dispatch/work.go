package dispatch

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// sliceSize is how many messages one claim takes at most.
const sliceSize = 32

// maxCalls is how many provider calls of one queue run side by side. A provider
// that hangs fills them and holds back its own queue alone.
const maxCalls = 64

// passTime is longer than any look at a queue takes. A database whose connection died without
// a word must not stop a gateway that says it is ready: then another connection is asked.
const passTime = time.Minute

// rounds is how often a message whose patient moves on under our hands is decided
// again before it waits for its next turn.
const rounds = 3

// Work takes one slice of a queue: decides, claims and begins to send. It gives
// how many messages it moved; their calls go on when it returns (Drain waits for
// them). One goroutine works a queue.
func (d *Dispatcher) Work(ctx context.Context, q gateway.Queue) (int, error) {
	d.calls[q].full.Store(true) // before the look: a call that ends after it tells of its room
	room := d.calls[q].room(sliceSize)
	if room == sliceSize {
		d.calls[q].full.Store(false)
	}
	if ready := d.Ready() == nil; !ready || room == 0 {
		return 0, nil // a replica that may have missed a revocation claims nothing
	}
	pass, cancel := context.WithTimeout(ctx, passTime)
	defer cancel()
	due, err := d.Store.Due(pass, q, d.Now(), room)
	if err != nil || len(due) == 0 {
		return 0, err
	}
	moved := 0
	for round := 0; round < rounds && len(due) > 0; round++ {
		claimed, stale, n, err := d.claim(pass, due, round > 0)
		if err != nil {
			return moved, err
		}
		moved += n
		if err := d.sendAll(ctx, pass, q, claimed); err != nil {
			return moved, err
		}
		due = stale
	}
	return moved, nil
}

// Drain waits for the calls under way.
func (d *Dispatcher) Drain() {
	for i := range d.calls {
		d.calls[i].running.Wait()
	}
}

// calls are the provider calls of one queue that are under way.
type calls struct {
	running sync.WaitGroup
	count   atomic.Int64
	full    atomic.Bool // fewer were taken than a claim takes
}

// room says how many more may start, at most as many as wanted.
func (c *calls) room(wanted int) int { return max(0, min(wanted, maxCalls-int(c.count.Load()))) }

func (c *calls) start(call func()) {
	c.count.Add(1)
	c.running.Go(func() {
		defer c.count.Add(-1)
		call()
	})
}

// job is a claimed message with everything the call needs.
type job struct {
	message  *gateway.Message
	attempt  gateway.Attempt
	out      channels.Outgoing
	way      Way
	lease    time.Time
	notAfter time.Time
	version  int64
}

// claim decides each message and asks the store to keep the outcome under the
// fence. A message whose patient has moved on comes back as stale, to be decided
// again from the database.
func (d *Dispatcher) claim(ctx context.Context, due []gateway.Message, fresh bool) (jobs []*job, stale []gateway.Message, moved int, err error) {
	ks, err := d.snapshots(ctx, patientsOf(due), fresh)
	if err != nil {
		return nil, nil, 0, err
	}
	usages, err := d.Store.Usages(ctx, patientsOf(due))
	if err != nil {
		return nil, nil, 0, err
	}
	now := d.Now()
	change := gateway.Change{At: now, Actor: "heed"}
	planned, pace := map[int64]*job{}, &pacing{}
	defer pace.tell(d)
	for i := range due {
		m := &due[i]
		if j := d.plan(ctx, pace, m, ks[m.Patient], usages[m.Patient], &change); j != nil {
			planned[m.ID] = j
		}
	}
	kept, err := d.Store.Commit(ctx, change)
	if err != nil {
		return nil, nil, 0, err
	}
	for i := range due {
		m := &due[i]
		refusal, refused := kept.Refused[m.ID]
		switch {
		case refused && refusal.Why == gateway.Stale:
			d.Cache.Delete(ctx, m.Patient)
			stale = append(stale, *m)
		case refused && (refusal.Why == gateway.Capped || refusal.Why == gateway.TooLate):
			stale = append(stale, *m) // decided again: the cap or the window now says so itself
		case refused:
		default:
			moved++
			if j := planned[m.ID]; j != nil {
				if j.out.To == "" {
					j.out.To = kept.Texts[j.attempt.Pair.Address]
				}
				jobs = append(jobs, j)
			}
		}
	}
	return jobs, stale, moved, nil
}

func patientsOf(list []gateway.Message) []int64 {
	var ids []int64
	seen := map[int64]bool{}
	for i := range list {
		if p := list[i].Patient; p != 0 && !seen[p] {
			seen[p] = true
			ids = append(ids, p)
		}
	}
	return ids
}

// plan decides one message and adds what follows to the change. It gives a job
// when the message is to be sent.
func (d *Dispatcher) plan(ctx context.Context, pace *pacing, m *gateway.Message, k known, usage policy.Usage, change *gateway.Change) *job {
	if m.Body.Answer != nil {
		return d.planAnswer(m, k, change)
	}
	if m.Withdrawn {
		change.Steps = append(change.Steps, gateway.Step{Message: m.ID, From: gateway.Waiting, To: gateway.Canceled, Code: gateway.CampaignCanceledCode})
		return nil
	}
	cat, t := d.textFor(m)
	if t == nil || k.Snapshot == nil {
		d.hold(m, k, noTemplate, change)
		return nil
	}
	q := d.question(m, t, usage)
	dec := d.Policy.Decide(k.Snapshot, q)
	if dec.Outcome == policy.Defer {
		change.Steps = append(change.Steps, gateway.Step{
			Message: m.ID, Patient: m.Patient, From: gateway.Waiting, To: gateway.Waiting, Version: k.Version,
			Due: dec.Until, Code: string(dec.Code),
		})
		return nil
	}
	if dec.Outcome == policy.Send {
		if due, ok := d.place(ctx, pace, m, cat, dec, change.At); !ok {
			change.Steps = append(change.Steps, gateway.Step{Message: m.ID, Patient: m.Patient, From: gateway.Waiting, To: gateway.Waiting, Version: k.Version, Due: due, Code: m.Code})
			return nil
		}
	}
	change.Decides = append(change.Decides, d.record(m, q, k, dec))
	if dec.Outcome != policy.Send {
		d.end(m, k, dec, change)
		return nil
	}
	return d.planSend(m, t, cat, k, dec, change)
}

// textRefused is the code of a message whose text the lint refused once it was
// rendered, or that lacks something of the practice's settings.
const textRefused = "text_refused"

// textFor gives the category and the text of a message, or nil when the policy or
// the templates lost them since it was accepted. Of a campaign it is what was approved, also
// where the message looks for another way, and never essential: see bulk.
func (d *Dispatcher) textFor(m *gateway.Message) (*policy.Category, *templates.Template) {
	if m.Campaign != 0 && m.Wording != "" {
		cat, t := d.campaignText(&gateway.Campaign{Category: m.Category, Template: m.Template, Wording: m.Wording})
		if t == nil || cat.Class != policy.NonEssential {
			return nil, nil
		}
		return cat, t
	}
	cat, ok := d.Policy.Category(m.Category)
	t, err := d.template(m.Template, m.Category)
	if !ok || err != nil {
		return nil, nil
	}
	return cat, t
}

// wordedAs is textFor with the wording that went out with an attempt, whatever is in
// force by now; where that is no longer known, or nothing went out, with the one in force.
func (d *Dispatcher) wordedAs(m *gateway.Message, a *gateway.Attempt) (*policy.Category, *templates.Template) {
	cat, ok := d.Policy.Category(m.Category)
	if a != nil && ok {
		if t, known := d.Templates().At(m.Template, a.Wording); known && t.Category == m.Category {
			return cat, t
		}
	}
	return d.textFor(m)
}

// planSend renders the message and adds the claim. What cannot be rendered is held.
func (d *Dispatcher) planSend(m *gateway.Message, t *templates.Template, cat *policy.Category, k known, dec policy.Decision, change *gateway.Change) *job {
	way, _ := d.way(cat.Program, dec.Pair.Channel)
	out, err := d.render(m, t, cat, k.Snapshot, dec)
	if err != nil {
		d.hold(m, k, textRefused, change)
		return nil
	}
	j := d.job(m, way, dec.Pair, k.Version, cat.Program, change.At)
	j.attempt.Form, j.attempt.Discreet, j.attempt.Wording = dec.Form.String(), dec.Discreet, t.Digest
	j.notAfter = earliest(dec.WindowEnds, m.Expires)
	out.Attempt, out.Program = j.attempt.ID, cat.Program
	out.Validity = validity(change.At, j.notAfter)
	out.Attachments = d.attach(m, t, k, dec, way)
	j.out = out
	step := j.step()
	if dec.Pair.Channel != channels.Email && cat.Counted {
		step.Cap = d.cap(m, k.Snapshot, cat, dec.Pair)
	}
	change.Steps = append(change.Steps, step)
	return j
}

func (d *Dispatcher) job(m *gateway.Message, way Way, pair preferences.Pair, version int64, program channels.Program, now time.Time) *job {
	return &job{
		message: m, way: way, version: version, lease: now.Add(d.Lease),
		attempt: gateway.Attempt{
			ID: d.NewID(), Message: m.ID, Number: m.Attempts + 1, Pair: pair, Version: version,
			Status: gateway.AttemptClaimed, At: now, Program: program, Provider: way.Provider,
		},
	}
}

func (j *job) step() gateway.Step {
	return gateway.Step{
		Message: j.message.ID, Patient: j.message.Patient, From: gateway.Waiting, To: gateway.Sending,
		Version: j.version, NotAfter: j.notAfter, Lease: j.lease, Attempt: &j.attempt,
	}
}

// cap asks for a place under the program's cap, on the locked usage. An urgent or
// overridden message takes its place without asking, but is counted.
func (d *Dispatcher) cap(m *gateway.Message, s *preferences.Snapshot, cat *policy.Category, pair preferences.Pair) *gateway.Cap {
	address := s.AddressByID(pair.Address)
	passes := m.Essential && (m.Body.Urgent || m.Body.Override != "")
	return &gateway.Cap{Program: cat.Program, Keep: d.Policy.MaxKept(), Frees: func(sent []int64) (bool, time.Time) {
		if passes {
			return true, time.Time{}
		}
		return d.Policy.CapFrees(s, cat, address, sent, d.Now())
	}}
}

// validity is how long the provider may hold a text: until the window closes or
// the message's time has passed.
func validity(now, until time.Time) time.Duration {
	if until.IsZero() {
		return 0
	}
	return max(until.Sub(now), time.Second)
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// planAnswer claims an answer to what somebody just said. No rule is asked: these
// are the named exceptions, and the number they go to is the one that wrote. What
// goes to an address on record is no exception: it is held to what is known of it.
func (d *Dispatcher) planAnswer(m *gateway.Message, k known, change *gateway.Change) *job {
	now := change.At
	step := gateway.Step{Message: m.ID, Patient: m.Patient, From: gateway.Waiting}
	pair, refused := m.Body.Answer.Pair, policy.Code("")
	if pair.Address != 0 {
		if _, refused = policy.CodeWay(k.Snapshot, pair.Address, now); k.Snapshot != nil {
			step.Version = k.Version
		}
		if refused == "" && k.Snapshot.AddressByID(pair.Address).Stops.Has(m.Body.Answer.Program) {
			refused = policy.Stopped
		}
	}
	out, way, err := d.renderAnswer(m)
	switch {
	case refused != "":
		step.To, step.Code = gateway.Suppressed, string(refused)
	case !m.Expires.IsZero() && !now.Before(m.Expires):
		step.To, step.Code = gateway.Expired, string(policy.TooLate)
	case errors.Is(err, errNoWay):
		step.To, step.Code = gateway.Failed, string(policy.NoAdapter)
	case err != nil:
		step.To, step.Code = gateway.Failed, textRefused
	default:
		pair.Channel = out.Channel
		j := d.job(m, way, pair, step.Version, m.Body.Answer.Program, now)
		j.attempt.Form = templates.Full.String()
		out.Attempt = j.attempt.ID
		out.Validity = validity(now, m.Expires)
		j.out, j.notAfter = out, m.Expires
		change.Steps = append(change.Steps, j.step())
		return j
	}
	change.Steps = append(change.Steps, step)
	return nil
}

// end keeps a refusal: a task for an essential message, never silence.
func (d *Dispatcher) end(m *gateway.Message, k known, dec policy.Decision, change *gateway.Change) {
	step := gateway.Step{Message: m.ID, Patient: m.Patient, From: gateway.Waiting, Version: k.Version, Code: string(dec.Code)}
	switch {
	case dec.Outcome == policy.NeedsStaff:
		step.To = gateway.NeedsStaff
		change.Tasks = append(change.Tasks, d.staffTask(m, reasons(dec)))
	case len(m.Failed) > 0:
		step.To = gateway.Failed
	case dec.Code == policy.TooLate:
		step.To = gateway.Expired
	default:
		step.To = gateway.Suppressed
	}
	change.Steps = append(change.Steps, step)
	if dec.Code == policy.PatientMinor {
		change.Tasks = append(change.Tasks, d.minorTask(m))
	}
}

// minorTask says what was held back, in case the birth date is mistyped.
func (d *Dispatcher) minorTask(m *gateway.Message) gateway.Task {
	now := d.Now()
	return gateway.Task{
		ID: d.NewID(), Kind: gateway.TaskMinor, Patient: m.Patient, Message: m.ID, Created: now, Due: now.Add(gateway.TaskDueIn(gateway.TaskMinor)),
		Detail: gateway.TaskDetail{Title: "A message (" + m.Category + ") was held back: the patient is under 18 on the record. Correct the birth date, or remove the record."},
	}
}

// hold is every failure to know: it holds a non-essential message back and hands
// an essential one to a person.
func (d *Dispatcher) hold(m *gateway.Message, k known, code string, change *gateway.Change) {
	step := gateway.Step{Message: m.ID, Patient: m.Patient, From: gateway.Waiting, To: gateway.Suppressed, Code: code}
	if k.Snapshot != nil {
		step.Version = k.Version
	}
	if m.Essential {
		step.To = gateway.NeedsStaff
		change.Tasks = append(change.Tasks, d.staffTask(m, []string{code}))
	}
	change.Steps = append(change.Steps, step)
}

func (d *Dispatcher) staffTask(m *gateway.Message, reasons []string) gateway.Task {
	now := d.Now()
	due := now.Add(gateway.TaskDueIn(gateway.TaskNeedsStaff))
	if !m.Expires.IsZero() {
		due = later(now, earliest(due, m.Expires))
	}
	return gateway.Task{
		ID: d.NewID(), Kind: gateway.TaskNeedsStaff, Patient: m.Patient, Message: m.ID, Created: now, Due: due,
		Detail: gateway.TaskDetail{Title: "An essential message found no way (" + m.Category + "). A person has to tell it: see what may be done.", Reasons: reasons},
	}
}

func reasons(dec policy.Decision) []string {
	list := []string{dec.Code.Sentence()}
	for _, c := range dec.Considered {
		list = append(list, c.Pair.Channel.String()+": "+c.Code.Sentence())
	}
	return list
}

// sendAll marks a slice as begun, durably, and starts its calls side by side. They go on when
// the pass is over, until the process is stopped (ctx).
func (d *Dispatcher) sendAll(ctx, pass context.Context, q gateway.Queue, jobs []*job) error {
	if len(jobs) == 0 {
		return nil
	}
	begun := gateway.Change{At: d.Now(), Actor: "heed"}
	for _, j := range jobs {
		begun.Steps = append(begun.Steps, gateway.Step{
			Message: j.message.ID, From: gateway.Sending, To: gateway.Sending, Try: j.attempt.Number, Lease: j.lease,
		})
		begun.Edits = append(begun.Edits, gateway.Edit{Attempt: j.attempt.ID, Status: gateway.AttemptBegun})
	}
	kept, err := d.Store.Commit(pass, begun)
	if err != nil {
		return err // claimed without begun: the sweep takes them back when their lease ends
	}
	for _, j := range jobs {
		if _, lost := kept.Refused[j.message.ID]; lost {
			continue // our lease ended before we came to it, and somebody else has it now
		}
		d.calls[q].start(func() {
			// What a call came to and could not be kept is found by the sweep, when its lease ends.
			if err := d.send(ctx, j); err != nil {
				d.Fault(err)
			}
			if d.calls[q].full.Swap(false) {
				d.wake(q) // there is room again
			}
		})
	}
	return nil
}
