package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
)

// PatientIn is a contact record as it is sent.
type PatientIn struct {
	GivenName  string      `json:"given_name,omitempty" maxLength:"200"`
	FamilyName string      `json:"family_name,omitempty" maxLength:"200"`
	BirthDate  string      `json:"birth_date" format:"date" doc:"YYYY-MM-DD. Required: the service is for adults."`
	Locale     string      `json:"locale,omitempty" maxLength:"35" doc:"en or es; another language gets English."`
	TimeZone   string      `json:"time_zone,omitempty" maxLength:"64" doc:"IANA."`
	PostalCode string      `json:"postal_code,omitempty" maxLength:"10" pattern:"^[0-9]{5}(-?[0-9]{4})?$"`
	State      string      `json:"state,omitempty" pattern:"^[A-Z]{2}$"`
	Deceased   bool        `json:"deceased,omitempty"`
	Addresses  []AddressIn `json:"addresses,omitempty" maxItems:"20" nullable:"false"`
}

// AddressIn is one address as it is sent.
type AddressIn struct {
	Kind     string `json:"kind" enum:"phone,email"`
	Value    string `json:"value" maxLength:"320"`
	LineType string `json:"line_type,omitempty" enum:"mobile,landline,voip,unknown"`
	Rank     int    `json:"rank,omitempty" minimum:"1" maximum:"100" doc:"1 first; without it, the order of the list."`
	Consent  string `json:"consent,omitempty" enum:"provided,express" doc:"Counts when the address is first put on file; later it can only be lowered here."`
}

// PatientOut is a contact record as staff see it.
type PatientOut struct {
	ID         string       `json:"id"`
	GivenName  string       `json:"given_name,omitempty"`
	FamilyName string       `json:"family_name,omitempty"`
	BirthDate  string       `json:"birth_date,omitempty"`
	Locale     string       `json:"locale,omitempty"`
	TimeZone   string       `json:"time_zone,omitempty"`
	PostalCode string       `json:"postal_code,omitempty"`
	State      string       `json:"state,omitempty"`
	Standing   string       `json:"standing" enum:"active,deceased,erased"`
	Addresses  []AddressOut `json:"addresses"`
	Stops      []StopOut    `json:"stops" doc:"Stops that bind its numbers."`
	Version    int64        `json:"version"`
}

// AddressOut is one address on record.
type AddressOut struct {
	Kind     string `json:"kind"`
	Value    string `json:"value"`
	LineType string `json:"line_type,omitempty"`
	Rank     int    `json:"rank"`
	Consent  string `json:"consent"`
	State    string `json:"state"`
}

// StopOut is one stop.
type StopOut struct {
	Number   string            `json:"number"`
	Program  string            `json:"program"`
	At       *time.Time        `json:"at,omitempty" doc:"When it was said; told where stops are listed."`
	Source   string            `json:"source,omitempty"`
	Evidence map[string]string `json:"evidence,omitempty" doc:"Of a patient's stops only while nobody else has ever had the number: it may speak of another person."`
}

type patientOut struct{ Body PatientOut }

func (a *API) patients(h huma.API) {
	register(a, h, op(http.MethodPut, "/v1/patients/{id}", "Create or replace a contact record", auth.WritePatient),
		func(ctx context.Context, in *struct {
			PatientPath
			Body PatientIn
		}) (*patientOut, error) {
			contact, err := a.contact(in.Body)
			if err != nil {
				return nil, err
			}
			out, err := a.Intake.Put(ctx, caller(ctx).Name, in.ID, contact)
			if err != nil {
				return nil, err
			}
			return a.patient(ctx, out.Patient)
		})
	register(a, h, sees("patient.read", op(http.MethodGet, "/v1/patients/{id}", "Read a contact record", auth.ReadPatient)),
		func(ctx context.Context, in *PatientPath) (*patientOut, error) {
			id, err := a.patientID(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			looksAt(ctx, id)
			out, err := a.patient(ctx, id)
			if err == nil {
				out.Body.ID = in.ID // of somebody erased, nobody knows it but who asks
			}
			return out, err
		})
	register(a, h, op(http.MethodDelete, "/v1/patients/{id}", "Erase a patient; stops stay as keyed hashes", auth.ErasePatient),
		func(ctx context.Context, in *struct {
			PatientPath
			Body struct {
				Reason string `json:"reason" enum:"minor,request"`
			}
		}) (*struct{}, error) {
			id, err := a.patientID(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return nil, a.Intake.Erase(ctx, caller(ctx).Name, id, in.Body.Reason)
		})
	a.ledger(h)
	a.disclosures(h)
	a.export(h)
}

// oldest is how far back a birth date may lie, in years; the oldest person on record
// reached 122.
const oldest = 120

// contact normalises what was sent, and says of every field that is not right
// what is wrong with it.
func (a *API) contact(in PatientIn) (intake.Contact, error) {
	var wrong gateway.Invalid
	c := intake.Contact{Record: gateway.Record{
		GivenName: in.GivenName, FamilyName: in.FamilyName, BirthDate: in.BirthDate, Locale: in.Locale, TimeZone: in.TimeZone,
		PostalCode: in.PostalCode, State: in.State, Deceased: in.Deceased,
	}}
	if in.TimeZone == "Local" {
		wrong = append(wrong, gateway.Mistake{Field: "time_zone", Problem: "not an IANA zone such as America/Denver"})
	} else if _, err := time.LoadLocation(in.TimeZone); err != nil {
		wrong = append(wrong, gateway.Mistake{Field: "time_zone", Problem: "not an IANA zone such as America/Denver"})
	}
	if in.State != "" && preferences.ZonesOfState(in.State) == nil {
		wrong = append(wrong, gateway.Mistake{Field: "state", Problem: "not the two letters of a state or territory"})
	}
	if born, err := preferences.ParseDate(in.BirthDate); err == nil && born.In(time.UTC).Before(a.Now().AddDate(-oldest, 0, 0)) {
		wrong = append(wrong, gateway.Mistake{Field: "birth_date", Problem: "more than 120 years ago: a placeholder, or a slip"})
	}
	seen := map[string]bool{}
	for i, address := range in.Addresses {
		value, err := a.normal(address.Kind, address.Value)
		field := fmt.Sprintf("addresses[%d].value", i)
		if err != nil {
			wrong = append(wrong, gateway.Mistake{Field: field, Problem: err.Error()})
			continue
		}
		if seen[value] {
			wrong = append(wrong, gateway.Mistake{Field: field, Problem: "stands twice in this record"})
		}
		seen[value] = true
		rank := address.Rank
		if rank == 0 {
			rank = i + 1
		}
		c.Addresses = append(c.Addresses, intake.ContactAddress{
			Kind: kindOf(address.Kind), Value: value, Line: preferences.ParseLineType(address.LineType),
			Rank: int16(rank), Consent: preferences.ParseConsent(address.Consent),
		})
	}
	return c, wrong.Or()
}

func (a *API) normal(kind, value string) (string, error) {
	if kind == "email" {
		return a.ParseMailbox(value)
	}
	return a.ParsePhone(value)
}

func kindOf(name string) channels.Kind {
	if name == "email" {
		return channels.Mailbox
	}
	return channels.Phone
}

func (a *API) patient(ctx context.Context, id int64) (*patientOut, error) {
	out, err := a.Patient(ctx, id)
	return &patientOut{out}, err
}

// Patient tells a contact record.
func (a *API) Patient(ctx context.Context, id int64) (PatientOut, error) {
	gateway.TellsOf(ctx, id)
	p, err := a.Store.Patient(ctx, id)
	if err != nil {
		return PatientOut{}, err
	}
	r := p.Record
	out := PatientOut{
		ID: p.Ref, GivenName: r.GivenName, FamilyName: r.FamilyName, BirthDate: r.BirthDate, Locale: r.Locale, TimeZone: r.TimeZone,
		PostalCode: r.PostalCode, State: r.State, Standing: p.Snapshot.Standing.String(), Version: p.Snapshot.Version,
		Addresses: []AddressOut{}, Stops: stopsOf(p),
	}
	for _, ad := range p.Snapshot.Addresses {
		if !ad.OnRecord {
			continue
		}
		o := AddressOut{Kind: ad.Kind.String(), Value: p.Text(ad.ID), Rank: int(ad.Rank), Consent: ad.Consent.String(), State: ad.State.String()}
		if ad.Kind == channels.Phone {
			o.LineType = ad.Line.String()
		}
		out.Addresses = append(out.Addresses, o)
	}
	return out, nil
}

func stopsOf(p *gateway.Patient) []StopOut {
	list := []StopOut{}
	for _, ad := range p.Snapshot.Addresses {
		for _, program := range ad.Stops.List() {
			list = append(list, StopOut{Number: p.Text(ad.ID), Program: program.String()})
		}
	}
	return list
}

func cursor(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, problem(http.StatusUnprocessableEntity, "invalid", "after: give the next of the page before.")
	}
	return n, nil
}
