package imports

import (
	"context"
	"errors"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
)

// keep brings the reminders of a batch in line with the file, and settles its lines.
func (a *appointments) keep(ctx context.Context, list []*appointment) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	said := make([]dispatch.Appointment, len(list))
	for i, one := range list {
		said[i] = dispatch.Appointment{Reference: one.id, Patient: one.patient, Start: one.start, TakesPlace: one.takesPlace, Words: one.variables}
	}
	got, err := a.Dispatcher.Remind(ctx, a.Actor, said)
	if err != nil {
		return err
	}
	for i, one := range list {
		a.tell(one, got[i])
	}
	return nil
}

// tell settles the lines of one appointment.
func (a *appointments) tell(one *appointment, r dispatch.Reminded) {
	when := a.layout.name(fieldStart)
	switch r.Outcome {
	case dispatch.RemindersRefused:
		a.refused(one, r)
	case dispatch.RemindersScheduled:
		a.settle(one, Imported)
	case dispatch.RemindersMoved:
		if r.Untold {
			a.report.note(one.rows[0], when, "no moment for a reminder is left before it: tell the patient of the change")
		}
		a.settle(one, Moved)
	case dispatch.RemindersCalledOff:
		a.settle(one, Canceled)
	case dispatch.RemindersPast:
		a.report.Past++
		a.report.note(one.rows[0], when, "in the past")
		a.settle(one, Skipped)
	case dispatch.RemindersTooNear:
		a.report.note(one.rows[0], when, "too near: no moment for a reminder is left before it")
		a.settle(one, Skipped)
	default:
		a.rest(one)
	}
}

// rest settles an appointment of which nothing had to change.
func (a *appointments) rest(one *appointment) {
	if one.takesPlace {
		a.settle(one, Unchanged)
		return
	}
	a.report.note(one.rows[0], a.layout.name(fieldStatus), one.status+": no reminder is due")
	a.settle(one, Skipped)
}

func (a *appointments) refused(one *appointment, r dispatch.Reminded) {
	why := r.Why
	switch {
	case errors.Is(r.Err, gateway.ErrNotFound):
		why = "no patient on file has this id: the patients' import has not been run, or its report says why it kept nothing of this one"
	case errors.Is(r.Err, gateway.ErrErased):
		why = gateway.ErrErased.Error()
	}
	if why != "" {
		a.refuse(one, Note{a.layout.name(fieldPatient), why})
		return
	}
	if r.TakenBack > 0 {
		a.report.note(one.rows[0], "", "its waiting reminders were taken back")
	}
	a.refuse(one, mistakes(r.Err)...)
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
