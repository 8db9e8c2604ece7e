package intake

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strconv"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// Contact is a contact record as it comes in, its addresses already normalised
// (E.164, lower-case mailboxes).
type Contact struct {
	Record    gateway.Record
	Addresses []ContactAddress
}

// ContactAddress is one address of it. Consent 0: not stated.
type ContactAddress struct {
	Kind    channels.Kind
	Value   string
	Line    preferences.LineType
	Rank    int16
	Consent preferences.Consent
}

// PutOutcome says what a Put came to.
type PutOutcome struct {
	Patient int64
	Created bool
	Changed bool
}

// Put creates or replaces a contact record. Nothing changed: nothing is written,
// so that a nightly import leaves every version alone. ErrErased for a patient
// who was erased.
func (s *Service) Put(ctx context.Context, actor, ref string, in Contact) (PutOutcome, error) {
	born, err := preferences.ParseDate(in.Record.BirthDate)
	if err != nil {
		return PutOutcome{}, gateway.Wrong("birth_date", err.Error())
	}
	if born.In(s.Now().Location()).After(s.Now()) {
		return PutOutcome{}, gateway.Wrong("birth_date", "lies in the future")
	}
	for range tries {
		p, err := s.known(ctx, ref)
		if err != nil {
			return PutOutcome{}, err
		}
		out, c := s.put(actor, ref, p, in, born)
		if !out.Changed {
			return out, nil
		}
		if _, err = s.commit(ctx, c); !errors.Is(err, gateway.ErrStale) {
			return out, err
		}
	}
	return PutOutcome{}, gateway.ErrStale
}

// known reads a patient by the practice's id; nil when there is none yet.
func (s *Service) known(ctx context.Context, ref string) (*gateway.Patient, error) {
	id, err := s.Store.PatientID(ctx, ref)
	if errors.Is(err, gateway.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := s.Store.Patient(ctx, id)
	if err == nil && p.Snapshot.Standing == preferences.Erased {
		return nil, gateway.ErrErased
	}
	return p, err
}

func (s *Service) put(actor, ref string, p *gateway.Patient, in Contact, born preferences.Date) (PutOutcome, gateway.Change) {
	out := PutOutcome{Created: p == nil}
	if p == nil {
		p = &gateway.Patient{ID: s.NewID(), Ref: ref, Snapshot: &preferences.Snapshot{}}
		p.Snapshot.Patient = p.ID
	}
	out.Patient = p.ID
	contact, texts := s.contact(p, in, born)
	event := preferences.Event{Kind: preferences.ContactSet, Contact: contact}
	c := s.fact(actor, p, "patient.put", event)
	fact := &c.Patients[0]
	fact.Ref, fact.Texts = ref, texts
	if out.Created {
		fact.Expect = 0
	}
	record := in.Record
	fact.Record = &record

	next := *p.Snapshot
	next.Addresses = slices.Clone(p.Snapshot.Addresses)
	next.Apply(&fact.Events[0])
	out.Changed = out.Created || record != p.Record || !reflect.DeepEqual(&next, p.Snapshot)
	if next.AdultFrom != 0 && (out.Created || p.Snapshot.AdultFrom == 0) {
		c.Tasks = append(c.Tasks, s.task(gateway.TaskMinor, p.ID, gateway.TaskDetail{
			Title: "A minor's record: the service is for adults. Remove it, or mend the birth date.",
		}))
	}
	return out, c
}

// contact gives every address our own id: the old one where the patient ever had
// it, so that a bad address does not come back clean.
func (s *Service) contact(p *gateway.Patient, in Contact, born preferences.Date) (*preferences.Contact, []gateway.AddressText) {
	contact := &preferences.Contact{
		Deceased: in.Record.Deceased, BirthDate: born, Locale: in.Record.Locale, Zones: zonesOf(in.Record),
	}
	var texts []gateway.AddressText
	for _, a := range in.Addresses {
		id := idOf(p, a.Kind, a.Value)
		if id == 0 {
			id = s.NewID()
			texts = append(texts, gateway.AddressText{ID: id, Kind: a.Kind, Value: a.Value})
		}
		contact.Addresses = append(contact.Addresses, preferences.ContactAddress{
			ID: id, Kind: a.Kind, Line: a.Line, Rank: a.Rank, Consent: a.Consent, Zones: zonesOfAddress(a.Kind, a.Value),
		})
	}
	return contact, texts
}

func idOf(p *gateway.Patient, kind channels.Kind, value string) int64 {
	for _, a := range p.Addresses {
		if a.Kind == kind && a.Value == value {
			return a.ID
		}
	}
	return 0
}

// zonesOf gives the patient's own zone, or every zone of the postal code or state.
func zonesOf(r gateway.Record) []string {
	if r.TimeZone != "" {
		return []string{r.TimeZone}
	}
	if zones := preferences.ZonesOfPostalCode(r.PostalCode); len(zones) > 0 {
		return zones
	}
	return preferences.ZonesOfState(r.State)
}

func zonesOfAddress(kind channels.Kind, value string) []string {
	if kind == channels.Phone {
		return preferences.ZonesOfNumber(value)
	}
	return nil
}

// Erase drops everything that names a patient; stops stay as keyed hashes.
// 45 CFR 164.526 gives no right to erasure: this is the practice's own decision,
// or the removal of a minor's record, and its reason is kept.
func (s *Service) Erase(ctx context.Context, actor string, patient int64, reason string) error {
	if reason != "minor" && reason != "request" {
		return gateway.Wrong("reason", `say "minor" or "request"`)
	}
	return s.onPatient(ctx, patient, func(p *gateway.Patient) (gateway.Change, error) {
		if p.Snapshot.Standing == preferences.Erased {
			return gateway.Change{}, nil
		}
		c := s.fact(actor, p, "patient.erase", preferences.Event{Kind: preferences.PatientErased})
		c.Patients[0].Erase = true
		c.Audit[0].Detail = reason
		return c, nil
	})
}

// task makes a task that is due within a working day, a crisis at once.
func (s *Service) task(kind gateway.TaskKind, patient int64, d gateway.TaskDetail) gateway.Task {
	now := s.Now()
	due := now.Add(gateway.TaskDueIn(kind))
	return gateway.Task{ID: s.NewID(), Kind: kind, Patient: patient, Created: now, Due: due, Detail: d}
}

func object(kind string, id int64) string { return kind + ":" + strconv.FormatInt(id, 10) }
