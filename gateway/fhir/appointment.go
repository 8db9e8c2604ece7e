package fhir

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
)

// farthest is how many years ahead an appointment may lie: beyond it, a year is mistyped.
const farthest = 5

// takesPlace are the statuses under which an appointment is expected to be kept. A
// proposed one has no time yet, and who is on the waiting list has none either.
var takesPlace = []r4.AppointmentStatus{
	r4.AppointmentStatusBooked, r4.AppointmentStatusPending, r4.AppointmentStatusArrived, r4.AppointmentStatusCheckedIn,
}

// visit is an Appointment as the gateway understands it.
type visit struct {
	path string
	said dispatch.Appointment
	// notes: what was left out of its reminders, and whatever else is to be told.
	notes []issue
}

// visit reads an Appointment.
func (r *reading) visit(in *r4.Appointment, raw []byte, key string) *visit {
	v := &visit{path: r.path}
	v.said.Apart = true
	v.said.Reference = referenceOf(in.Id, in.Identifier, key)
	switch problem := idProblem(v.said.Reference); {
	case v.said.Reference == "":
		r.wrong(r4.IssueTypeRequired, ".identifier", "Nothing says which appointment this is: send an identifier or its id, or no later word could move or cancel it.")
	case problem != "":
		r.wrong(r4.IssueTypeTooLong, ".identifier", problem)
	}
	if !given(raw, "status") {
		r.wrong(r4.IssueTypeRequired, ".status", "Say whether the appointment takes place.")
	}
	v.said.TakesPlace = slices.Contains(takesPlace, in.Status)
	location, clinician := r.participants(in, v)
	if problem := cmp.Or(gateway.TextProblem(location, false), gateway.TextProblem(clinician, false)); problem != "" {
		r.wrong(r4.IssueTypeValue, ".participant", "The name of a place or person "+problem+".")
	}
	v.said.Start = r.start(in, v.said.TakesPlace)
	words, left := r.Dispatcher.AppointmentWords(v.said.Start, location, clinician)
	v.said.Words = words
	for _, m := range left {
		r.note(".participant", "The "+m.Field+" "+m.Problem+".")
	}
	v.notes = r.issues
	return v
}

// referenceOf is what an appointment's reminders stand under: its identifier, the
// official one first, because that is what a file of appointments names it by; else
// its id.
func referenceOf(id *string, identifiers []r4.Identifier, key string) string {
	best := ""
	for i := range identifiers {
		value := text(identifiers[i].Value)
		if use := identifiers[i].Use; value != "" && use != nil && *use == r4.IdentifierUseOfficial {
			return value
		}
		if best == "" {
			best = value
		}
	}
	if best == "" {
		best = text(id)
	}
	if best == "" {
		best = key
	}
	return best
}

// start is needed of one that takes place. A time in UTC is shown by the practice's
// clock, any other by the clock that it was written with.
func (r *reading) start(in *r4.Appointment, takesPlace bool) time.Time {
	if in.Start == nil {
		if takesPlace {
			r.wrong(r4.IssueTypeRequired, ".start", "Say when it is.")
		}
		return time.Time{}
	}
	at := r.moment(*in.Start, ".start")
	if at.After(r.Dispatcher.Now().AddDate(farthest, 0, 0)) {
		r.wrong(r4.IssueTypeValue, ".start", fmt.Sprintf("More than %d years ahead: a slip.", farthest))
	}
	return at
}

// participants finds the patient, and what the reminder says of where and with whom.
func (r *reading) participants(in *r4.Appointment, v *visit) (location, clinician string) {
	for i := range in.Participant {
		p := &in.Participant[i]
		element := fmt.Sprintf(".participant[%d]", i)
		if p.Actor == nil {
			continue // a part that nobody has taken yet
		}
		declined := p.Status == r4.ParticipationStatusDeclined
		switch kind := r.world.kindOf(p.Actor); {
		case kind == "Patient":
			r.patient(p.Actor, element, declined, v)
		case declined:
		case kind == "Location" && location == "":
			location = r.world.display(p.Actor)
		case (kind == "Practitioner" || kind == "PractitionerRole") && clinician == "":
			clinician = text(p.Actor.Display)
		}
	}
	if v.said.Patient == "" && !hasErrors(r.issues) {
		r.wrong(r4.IssueTypeRequired, ".participant", "None of them is a Patient with the practice's id.")
	}
	return location, clinician
}

func (r *reading) patient(actor *r4.Reference, element string, declined bool, v *visit) {
	id, problem := r.world.patient(actor)
	switch {
	case problem != "":
		r.wrong(r4.IssueTypeValue, element+".actor", problem)
	case v.said.Patient != "" && v.said.Patient != id:
		r.wrong(r4.IssueTypeNotSupported, element, "An appointment has one patient here: send one Appointment for each, with an identifier of its own.")
	default:
		v.said.Patient = id
		if declined && v.said.TakesPlace {
			v.said.TakesPlace = false
			r.note(element+".status", "The patient declined: no reminder.")
		}
	}
}

// display is how a Location is shown: as the reference says, else by its own name.
func (w world) display(ref *r4.Reference) string {
	if shown := text(ref.Display); shown != "" {
		return shown
	}
	var name string
	if s, ok := w.find(text(ref.Reference)); ok {
		_ = json.Unmarshal(s.Name, &name) // no text, no name
	}
	return name
}

// keep brings the reminders of an Appointment in line with it.
func (s *Server) keep(ctx context.Context, b *dispatch.Batch, v *visit) (result, error) {
	got, err := b.Remind(ctx, &v.said)
	if err != nil {
		return result{}, err
	}
	res := result{status: http.StatusOK, messages: got.Messages, issues: slices.Clone(v.notes)}
	if len(got.Messages) > 0 {
		res.status = http.StatusCreated
	}
	if got.Outcome == dispatch.RemindersRefused {
		res.status, res.messages = http.StatusUnprocessableEntity, nil
		if errors.Is(got.Err, gateway.ErrErased) || errors.Is(got.Err, dispatch.ErrAnothers) {
			res.status = http.StatusConflict
		}
		res.issues = append(res.issues, unreminded(got, v.path)...)
		return res, nil
	}
	res.issues = append(res.issues, told(got, v))
	return res, nil
}

// unreminded tells why an appointment gets no reminders.
func unreminded(got dispatch.Reminded, path string) []issue {
	switch {
	case got.Why != "":
		return []issue{wrong(r4.IssueTypeBusinessRule, path+".participant", "No reminder: "+got.Why+".")}
	case errors.Is(got.Err, gateway.ErrNotFound):
		return []issue{wrong(r4.IssueTypeNotFound, path+".participant", saidNobody)}
	case errors.Is(got.Err, gateway.ErrErased):
		return []issue{wrong(r4.IssueTypeDeleted, path+".participant", saidErased)}
	case errors.Is(got.Err, dispatch.ErrAnothers):
		return []issue{wrong(r4.IssueTypeConflict, path+".identifier", "Reminders of another patient wait under this id, and stay. If the appointment changed hands, cancel that one first; if it is another system's, give it an identifier of its own.")}
	}
	var list []issue
	var wrongs gateway.Invalid
	if errors.As(got.Err, &wrongs) {
		for _, m := range wrongs {
			list = append(list, wrong(r4.IssueTypeBusinessRule, path+".participant", "The reminder's "+m.Field+": "+m.Problem+"."))
		}
	} else {
		list = append(list, wrong(r4.IssueTypeProcessing, path, "It cannot be reminded of."))
	}
	if got.TakenBack > 0 {
		list = append(list, warn(path, "The reminders that waited no longer held and were taken back."))
	}
	return list
}

// told tells what became of the reminders.
func told(got dispatch.Reminded, v *visit) issue {
	switch n := len(got.Messages); got.Outcome {
	case dispatch.RemindersScheduled:
		return note(v.path, fmt.Sprintf("Reminders scheduled: %d.", n))
	case dispatch.RemindersMoved:
		if got.Untold {
			return warn(v.path+".start", "No moment for a reminder is left before it: tell the patient of the change.")
		}
		return note(v.path, fmt.Sprintf("Reminders moved: %d scheduled in the place of %d.", n, got.TakenBack))
	case dispatch.RemindersCalledOff:
		return note(v.path, fmt.Sprintf("Reminders taken back: %d.", got.TakenBack))
	case dispatch.RemindersPast:
		return note(v.path+".start", "It lies in the past: no reminder.")
	case dispatch.RemindersTooNear:
		return warn(v.path+".start", "It is too near: no moment for a reminder is left before it.")
	}
	if !v.said.TakesPlace {
		return note(v.path, "It does not take place, and no reminder waits.")
	}
	return note(v.path, "This was told before: nothing changed.")
}
