package imports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
)

// reminder is both the category and the template of what is scheduled here.
const reminder = "appointment_reminder"

// callOff is the code of a reminder that an import took back. A later import may
// schedule it anew; what a person took back stays so.
const callOff = "appointment_called_off"

// maxReminders is how many messages one appointment may have had: a handful.
const maxReminders = 1000

// plan is what one appointment needs.
type plan struct {
	*appointment
	covered bool    // there is, or was, a reminder of it as it is now
	cancel  []int64 // waiting messages that no longer hold
	request []dispatch.Request
}

// keep brings the reminders of a batch in line with the file, and settles its lines.
func (a *appointments) keep(ctx context.Context, list []*appointment) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	known, err := a.patientsOf(ctx, list)
	if err != nil {
		return err
	}
	var plans []*plan
	for _, one := range list {
		patient := a.ids[one.patient]
		if why := standing(known[patient], a.now); why != "" {
			a.refuse(one, Note{a.layout.name(fieldPatient), why})
			continue
		}
		old, err := a.Dispatcher.Store.Messages(ctx, gateway.MessageFilter{Reference: one.id, Limit: maxReminders})
		if err != nil {
			return err
		}
		plans = append(plans, a.plan(one, patient, old))
	}
	if err := a.schedule(ctx, plans); err != nil {
		return err
	}
	return a.callOff(ctx, plans)
}

// plan compares the reminders there are with those there should be: one for each of
// the policy's offsets, of this patient, with these words. A waiting one of ours
// that is none of them no longer holds; an offset whose moment has passed gets no
// new one. Reminders that others asked for go only when the appointment does.
func (a *appointments) plan(one *appointment, patient int64, old []gateway.Message) *plan {
	p := &plan{appointment: one}
	future := one.start.After(a.now)
	covered := map[string]bool{}
	for i := range old {
		m := &old[i]
		name := a.slot(m, one.start)
		takenBack := m.Status == gateway.Canceled && (m.Code == callOff || m.Code == dispatch.Replaced)
		switch {
		case m.Category != reminder || takenBack || !future && m.Expires.Equal(one.start):
		case name == "":
			if m.Status == gateway.Waiting && future && !one.takesPlace && m.Patient == patient {
				p.cancel = append(p.cancel, m.ID)
			}
		case future && one.takesPlace && a.holds(m, name, one, patient):
			covered[name], p.covered = true, true
		case m.Status == gateway.Waiting:
			p.cancel = append(p.cancel, m.ID)
		}
	}
	if future && one.takesPlace {
		p.request = a.requests(one, covered)
	}
	if len(p.request) > 0 {
		// One commit takes the old ones back and puts the new ones in.
		p.request[0].Replaces = p.cancel
	}
	return p
}

// requests asks for a reminder at every offset that is ahead and has none.
func (a *appointments) requests(one *appointment, covered map[string]bool) []dispatch.Request {
	var list []dispatch.Request
	for _, offset := range a.Dispatcher.Policy.Offsets {
		at, name := one.start.Add(-offset), offset.String()
		if covered[name] || !at.After(a.now) {
			continue
		}
		covered[name] = true
		list = append(list, dispatch.Request{
			Patient: one.patient, Category: reminder, Template: reminder, Variables: one.variables,
			SendAt: at, Expires: one.start, Reference: one.id, Slot: name,
		})
	}
	return list
}

// holds says whether a message is a reminder of the appointment as it is now. The
// words of an old one may be dropped by the retention; its time still tells.
func (a *appointments) holds(m *gateway.Message, slot string, one *appointment, patient int64) bool {
	known := slices.ContainsFunc(a.Dispatcher.Policy.Offsets, func(o time.Duration) bool { return o.String() == slot })
	return known && m.Patient == patient && m.Expires.Equal(one.start) && (m.Body.Variables == nil || maps.Equal(m.Body.Variables, one.variables))
}

// slot gives the offset that a reminder of ours stands for; "" for one that others
// asked for. Where its words are dropped, it is the one whose moment is nearest to
// when it was due.
func (a *appointments) slot(m *gateway.Message, start time.Time) string {
	if m.Body.Slot != "" || m.Body.Variables != nil || len(a.Dispatcher.Policy.Offsets) == 0 {
		return m.Body.Slot
	}
	away := func(offset time.Duration) time.Duration { return start.Add(-offset).Sub(m.Due).Abs() }
	return slices.MinFunc(a.Dispatcher.Policy.Offsets, func(x, y time.Duration) int { return cmp.Compare(away(x), away(y)) }).String()
}

// schedule asks for the reminders of a batch, and settles the appointments that
// get some.
func (a *appointments) schedule(ctx context.Context, plans []*plan) error {
	var requests []dispatch.Request
	for _, p := range plans {
		requests = append(requests, p.request...)
	}
	if len(requests) == 0 {
		return nil
	}
	got, _, err := a.Dispatcher.Accept(ctx, a.Actor, requests, nil, nil)
	if err != nil {
		return err
	}
	for _, p := range plans {
		n := len(p.request)
		if n == 0 {
			continue
		}
		// The requests of one appointment differ in their moment alone: one judged is all judged.
		err, replaced := got[0].Err, len(p.cancel) > 0
		got = got[n:]
		switch {
		case err != nil:
			if replaced {
				a.report.note(p.rows[0], "", "its waiting reminders were taken back")
			}
			a.refuse(p.appointment, mistakes(err)...)
			continue
		case replaced:
			a.settle(p.appointment, Moved)
		default:
			a.settle(p.appointment, Imported)
		}
		p.cancel = nil // done, in the same commit
	}
	return nil
}

// mistakes tells what is wrong with a request; it says no value.
func mistakes(err error) []Note {
	var wrong gateway.Invalid
	if !errors.As(err, &wrong) {
		return []Note{{Why: err.Error()}}
	}
	var list []Note
	for _, m := range wrong {
		list = append(list, Note{Why: m.Problem}) // its field is the API's, not a column
	}
	return list
}

// callOff takes back what no longer holds and nothing took the place of, and
// settles the rest of the batch.
func (a *appointments) callOff(ctx context.Context, plans []*plan) error {
	c := gateway.Change{At: a.Dispatcher.Now(), Actor: a.Actor}
	for _, p := range plans {
		for _, id := range p.cancel {
			c.Steps = append(c.Steps, gateway.Step{Message: id, From: gateway.Waiting, To: gateway.Canceled, Code: callOff})
			c.Audit = append(c.Audit, gateway.Audit{Verb: "message.cancel", Object: fmt.Sprintf("message:%d", id)})
		}
	}
	if len(c.Steps) > 0 {
		if _, err := a.Dispatcher.Store.Commit(ctx, c); err != nil {
			return err
		}
	}
	for _, p := range plans {
		if a.report.Rows[p.rows[0]].Outcome == "" {
			a.rest(p)
		}
	}
	return nil
}

// rest settles an appointment that got no new reminder.
func (a *appointments) rest(p *plan) {
	when := a.layout.name(fieldStart)
	switch {
	case !p.start.After(a.now):
		a.report.Past++
		a.report.note(p.rows[0], when, "in the past")
		a.settle(p.appointment, Skipped)
	case len(p.cancel) > 0 && !p.takesPlace:
		a.settle(p.appointment, Canceled)
	case len(p.cancel) > 0:
		if !p.covered {
			a.report.note(p.rows[0], when, "no moment for a reminder is left before it: tell the patient of the change")
		}
		a.settle(p.appointment, Moved)
	case p.takesPlace && !p.covered:
		a.report.note(p.rows[0], when, "too near: no moment for a reminder is left before it")
		a.settle(p.appointment, Skipped)
	case !p.takesPlace:
		a.report.note(p.rows[0], a.layout.name(fieldStatus), p.status+": no reminder is due")
		a.settle(p.appointment, Skipped)
	default:
		a.settle(p.appointment, Unchanged)
	}
}

// settle gives an appointment's first line its outcome; the others are merged into it.
func (a *appointments) settle(one *appointment, o Outcome) {
	a.report.settle(one.rows[0], o)
	for _, row := range one.rows[1:] {
		a.report.settle(row, Merged)
	}
}

func (a *appointments) refuse(one *appointment, notes ...Note) {
	for _, row := range one.rows {
		a.report.Rows[row].Notes = append(a.report.Rows[row].Notes, notes...)
		a.report.settle(row, Rejected)
	}
}
