package dispatch

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/templates"
)

// Reminder is both the category and the template of what an appointment gets.
const Reminder = "appointment_reminder"

// Replaced is the code of a message that another one took the place of. CalledOff is
// that of a reminder whose appointment no longer takes place as it stood: a later
// word may schedule it anew; what a person took back stays so.
const (
	Replaced  = "replaced"
	CalledOff = "appointment_called_off"
)

// MaxReference is how many messages one reference may have had: an appointment has a
// handful.
const MaxReference = 1000

// Appointment is what a scheduling system says of one, whichever way it says it.
type Appointment struct {
	Reference  string // its id there
	Patient    string // the practice's id
	Start      time.Time
	TakesPlace bool
	Words      map[string]string // what its reminders say: AppointmentWords
	// Apart: it comes from one of several systems, whose ids may meet. It is refused with
	// ErrAnothers where reminders of another patient wait under its id, which would
	// otherwise be taken for reminders of this appointment before it changed hands.
	Apart bool
}

// ErrAnothers refuses an appointment under whose id reminders of another patient wait.
var ErrAnothers = errors.New("reminders of another patient wait under this id")

// ReminderOutcome is what became of the reminders of one appointment.
type ReminderOutcome uint8

// The outcomes.
const (
	RemindersUnchanged ReminderOutcome = iota
	RemindersScheduled
	RemindersMoved     // waiting ones were replaced, or taken back without another
	RemindersCalledOff // waiting ones were taken back: it does not take place
	RemindersPast      // it lies in the past
	RemindersTooNear   // no moment for one is left before it
	RemindersRefused   // Why, or Err
)

// Reminded tells it.
type Reminded struct {
	Outcome   ReminderOutcome
	Messages  []int64 // the new ones
	TakenBack int     // waiting ones that no longer held
	Untold    bool    // moved, and nothing will tell the patient
	Why       string  // refused for who the patient is: a sentence without a value
	// Err: refused because there is no such patient (gateway.ErrNotFound), because the
	// patient was erased (gateway.ErrErased), or for what it says (a gateway.Invalid, by the
	// fields of a message).
	Err error
}

// AppointmentWords gives what a reminder says of an appointment, and what of it was
// left out and why. Its type is not among it: what kind of care somebody gets is no
// matter for a text. 45 CFR 164.502(b).
func (d *Dispatcher) AppointmentWords(start time.Time, location, clinician string) (map[string]string, gateway.Invalid) {
	words := map[string]string{"appointment_time": start.Format(time.RFC3339)}
	var left gateway.Invalid
	switch discreet := d.Identity.DiscreetName; {
	case location == "":
	case templates.NamesMentalHealth(location) && discreet != "":
		left = append(left, gateway.Mistake{Field: "location", Problem: "names mental health, which no text message may: the reminder says the practice's discreet name instead"})
		words["location"] = discreet
	default:
		words["location"] = location
	}
	switch {
	case clinician == "":
	case templates.NamesMentalHealth(clinician):
		left = append(left, gateway.Mistake{Field: "clinician", Problem: "names mental health, which no text message may: left out of the reminder"})
	default:
		words["clinician"] = clinician
	}
	return words, left
}

// Remind brings the reminders of appointments in line with what is said of them, in
// one commit; each reference may stand once. One that is refused refuses itself alone.
func (d *Dispatcher) Remind(ctx context.Context, actor string, list []Appointment) ([]Reminded, error) {
	var err error
	for range tries {
		b := d.NewBatch(actor)
		out := make([]Reminded, len(list))
		for i := range list {
			if out[i], err = b.Remind(ctx, &list[i]); err != nil {
				return nil, err
			}
		}
		if err = b.Commit(ctx); !MovedOn(err) {
			return out, err
		}
	}
	return nil, err
}

// Remind brings the reminders of one appointment in line with what is said of it: one
// for each of the policy's offsets, of this patient, with these words. A waiting one
// that is none of them no longer holds; an offset whose moment has passed gets no new one.
func (b *Batch) Remind(ctx context.Context, a *Appointment) (Reminded, error) {
	patient, why, err := b.mayBeReminded(ctx, a.Patient)
	switch {
	case errors.Is(err, gateway.ErrNotFound), errors.Is(err, gateway.ErrErased):
		return Reminded{Outcome: RemindersRefused, Err: err}, nil
	case err != nil:
		return Reminded{}, err
	case why != "":
		return Reminded{Outcome: RemindersRefused, Why: why}, nil
	}
	old, err := b.d.Store.Messages(ctx, gateway.MessageFilter{Reference: a.Reference, Limit: MaxReference})
	if err != nil {
		return Reminded{}, err
	}
	if len(old) == MaxReference {
		return Reminded{Outcome: RemindersRefused, Err: gateway.Wrong("reference", "has had too many messages to be reminded of")}, nil
	}
	if a.Apart && slices.ContainsFunc(old, func(m gateway.Message) bool {
		return m.Category == Reminder && m.Status == gateway.Waiting && m.Patient != patient
	}) {
		return Reminded{Outcome: RemindersRefused, Err: ErrAnothers}, nil
	}
	p := b.plan(a, patient, old)
	var refused error
	var messages []int64
	for _, r := range p.requests {
		got, err := b.Accept(ctx, r)
		if err != nil {
			return Reminded{}, err
		}
		if refused = got.Err; refused != nil {
			break // they differ in their moment alone: one judged is all judged
		}
		messages = append(messages, got.ID)
	}
	code := CalledOff
	if len(messages) > 0 {
		code = Replaced
		b.Turn(a.Reference, len(old))
	}
	for _, id := range p.cancel {
		b.Cancel(id, code)
	}
	return p.tell(messages, refused), nil
}

// mayBeReminded gives our id of a patient, or says why appointments get no reminders.
// gateway.ErrNotFound, gateway.ErrErased.
func (b *Batch) mayBeReminded(ctx context.Context, ref string) (int64, string, error) {
	id, err := b.d.Store.PatientID(ctx, ref)
	if err != nil {
		return 0, "", err
	}
	known, err := b.d.Store.Snapshots(ctx, []int64{id})
	if err != nil {
		return 0, "", err
	}
	switch s := known[id]; {
	case s == nil:
		return 0, "", gateway.ErrNotFound
	case s.Standing == preferences.Erased:
		return 0, "", gateway.ErrErased
	case s.Standing == preferences.Deceased:
		return 0, "this patient has died", nil
	case s.AdultFrom > b.At().UnixMicro():
		return 0, "this patient is under 18: the service is for adults", nil
	}
	return id, "", nil
}

// plan is what one appointment needs.
type plan struct {
	*Appointment
	now      time.Time
	covered  bool    // there is, or was, a reminder of it as it is now
	cancel   []int64 // waiting messages that no longer hold
	requests []Request
}

// past says that it is over. A cancelled one may come without its time.
func (p *plan) past() bool { return !p.Start.IsZero() && !p.Start.After(p.now) }

// plan compares the reminders there are with those there should be. Reminders that
// others asked for go only when the appointment does.
func (b *Batch) plan(a *Appointment, patient int64, old []gateway.Message) *plan {
	p := &plan{Appointment: a, now: b.At()}
	future := !p.past()
	covered := map[string]bool{}
	for i := range old {
		m := &old[i]
		name := b.slot(m, a.Start)
		takenBack := m.Status == gateway.Canceled && (m.Code == CalledOff || m.Code == Replaced)
		switch {
		case m.Category != Reminder || takenBack || !future && m.Expires.Equal(a.Start):
		case name == "":
			if m.Status == gateway.Waiting && future && !a.TakesPlace && m.Patient == patient {
				p.cancel = append(p.cancel, m.ID)
			}
		case future && a.TakesPlace && b.holds(m, name, a, patient):
			covered[name], p.covered = true, true
		case m.Status == gateway.Waiting:
			p.cancel = append(p.cancel, m.ID)
		}
	}
	if future && a.TakesPlace {
		p.requests = b.remindersOf(a, covered)
	}
	return p
}

// remindersOf asks for a reminder at every offset that is ahead and has none.
func (b *Batch) remindersOf(a *Appointment, covered map[string]bool) []Request {
	var list []Request
	for _, offset := range b.d.Policy.Offsets {
		at, name := a.Start.Add(-offset), offset.String()
		if covered[name] || !at.After(b.At()) {
			continue
		}
		covered[name] = true
		list = append(list, Request{
			Patient: a.Patient, Category: Reminder, Template: Reminder, Variables: a.Words,
			SendAt: at, Expires: a.Start, Reference: a.Reference, Slot: name,
		})
	}
	return list
}

// holds says whether a message is a reminder of the appointment as it is now. The
// words of an old one may be dropped by the retention; its time still tells.
func (b *Batch) holds(m *gateway.Message, slot string, a *Appointment, patient int64) bool {
	known := slices.ContainsFunc(b.d.Policy.Offsets, func(o time.Duration) bool { return o.String() == slot })
	return known && m.Patient == patient && m.Expires.Equal(a.Start) && (m.Body.Variables == nil || maps.Equal(m.Body.Variables, a.Words))
}

// slot gives the offset that a reminder of ours stands for; "" for one that others
// asked for. Where its words are dropped, it is the one whose moment is nearest to
// when it was due.
func (b *Batch) slot(m *gateway.Message, start time.Time) string {
	if m.Body.Slot != "" || m.Body.Variables != nil || len(b.d.Policy.Offsets) == 0 {
		return m.Body.Slot
	}
	away := func(offset time.Duration) time.Duration { return start.Add(-offset).Sub(m.Due).Abs() }
	return slices.MinFunc(b.d.Policy.Offsets, func(x, y time.Duration) int { return cmp.Compare(away(x), away(y)) }).String()
}

// tell says what became of the appointment.
func (p *plan) tell(messages []int64, refused error) Reminded {
	r := Reminded{Messages: messages, TakenBack: len(p.cancel), Err: refused}
	switch {
	case refused != nil:
		r.Outcome = RemindersRefused
	case len(messages) > 0 && r.TakenBack > 0:
		r.Outcome = RemindersMoved
	case len(messages) > 0:
		r.Outcome = RemindersScheduled
	case p.past():
		r.Outcome = RemindersPast
	case r.TakenBack > 0 && !p.TakesPlace:
		r.Outcome = RemindersCalledOff
	case r.TakenBack > 0:
		r.Outcome, r.Untold = RemindersMoved, !p.covered
	case p.TakesPlace && !p.covered:
		r.Outcome = RemindersTooNear
	}
	return r
}
