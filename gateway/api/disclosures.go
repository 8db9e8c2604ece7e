package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/preferences"
)

// DisclosureOut is one entry of an accounting of disclosures, with what 45 CFR
// 164.528(b)(2) asks of one: when, to whom, what, and for which purpose. It tells more
// than must be accounted for: what is sent to the patient, and for treatment, payment
// and operations, is exempt (164.528(a)(1)). Whether an entry is, a person judges.
type DisclosureOut struct {
	ID           string    `json:"id"`
	At           time.Time `json:"at"`
	What         string    `json:"what" enum:"message,copy" doc:"message: handed to a provider. copy: everything that is kept was exported."`
	Said         string    `json:"said" doc:"In words."`
	To           string    `json:"to,omitempty" doc:"The number or mailbox. Absent once the patient is erased."`
	AddressState string    `json:"address_state,omitempty" enum:"ok,bad,wrong_person" doc:"As it is known now. wrong_person: somebody else answers there."`
	Provider     string    `json:"provider,omitempty" enum:"twilio,sendgrid,smtp" doc:"Who carried it; absent of messages from before this was kept."`
	ProviderID   string    `json:"provider_id,omitempty"`
	Channel      string    `json:"channel,omitempty"`
	Status       string    `json:"status,omitempty" enum:"begun,unknown,sent,delivered,failed" doc:"begun, unknown: it may have reached the provider."`
	Message      string    `json:"message,omitempty"`
	Category     string    `json:"category,omitempty" doc:"Absent of an answer to what the patient wrote."`
	Purpose      string    `json:"purpose,omitempty" doc:"The category's, by the policy in force."`
	Template     string    `json:"template,omitempty"`
	Content      string    `json:"content,omitempty" doc:"full, secure_link or call_back."`
	Discreet     bool      `json:"discreet,omitempty"`
	TakenBy      string    `json:"taken_by,omitempty" doc:"Of a copy: the key, or the user at the command line."`
}

func (a *API) disclosures(h huma.API) {
	type disclosureList struct {
		Body struct {
			Disclosures []DisclosureOut `json:"disclosures"`
			Next        string          `json:"next,omitempty"`
		}
	}
	register(a, h, sees("disclosures.read", op(http.MethodGet, "/v1/patients/{id}/disclosures",
		"Accounting of disclosures: what was handed to providers and exported in the last six years, oldest first", auth.ReadDisclosures)),
		func(ctx context.Context, in *struct {
			PatientPath
			Page
		}) (*disclosureList, error) {
			id, err := a.patientID(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			after, err := cursor(in.After)
			if err != nil {
				return nil, err
			}
			looksAt(ctx, id)
			out := &disclosureList{}
			if out.Body.Disclosures, err = a.Disclosures(ctx, id, after, in.Limit); err != nil {
				return nil, err
			}
			if n := len(out.Body.Disclosures); n == in.Limit {
				out.Body.Next = out.Body.Disclosures[n-1].ID
			}
			return out, nil
		})
}

// Disclosures tells what left the gateway about a patient after an entry.
func (a *API) Disclosures(ctx context.Context, patient, after int64, limit int) ([]DisclosureOut, error) {
	p, err := a.Store.Patient(ctx, patient)
	if err != nil {
		return nil, err
	}
	return a.disclosed(ctx, p, after, limit)
}

func (a *API) disclosed(ctx context.Context, p *gateway.Patient, after int64, limit int) ([]DisclosureOut, error) {
	found, err := a.Store.Disclosures(ctx, p.ID, a.Now().AddDate(-gateway.DisclosureYears, 0, 0), after, limit)
	if err != nil {
		return nil, err
	}
	list := []DisclosureOut{}
	for i := range found {
		list = append(list, a.disclosure(p, &found[i]))
	}
	return list, nil
}

func (a *API) disclosure(p *gateway.Patient, d *gateway.Disclosure) DisclosureOut {
	out := DisclosureOut{ID: strconv.FormatInt(d.ID, 10), At: d.At.UTC()}
	try := d.Attempt
	if try == nil {
		out.What, out.TakenBy = "copy", d.TakenBy
		out.Said = "A copy of everything that is kept was taken by " + d.TakenBy + "."
		return out
	}
	out.What, out.To, out.Provider, out.ProviderID = "message", d.To, try.Provider, try.ProviderID
	out.Channel, out.Status, out.Message = try.Pair.Channel.String(), try.Status.String(), strconv.FormatInt(try.Message, 10)
	out.Category, out.Template, out.Content, out.Discreet = d.Category, d.Template, try.Form, try.Discreet
	if c, known := a.Policy.Category(d.Category); known {
		out.Purpose = string(c.Purpose)
	}
	if address := p.Snapshot.AddressByID(try.Pair.Address); address != nil {
		out.AddressState = address.State.String()
	}
	out.Said = out.inWords()
	return out
}

// inWords is the brief statement of 45 CFR 164.528(b)(2)(iii) and (iv).
func (d *DisclosureOut) inWords() string {
	what, to, by := "The answer "+d.Template, "an address that was erased", "a provider"
	if d.Category != "" {
		what = "A message of category " + d.Category
	}
	if d.Purpose != "" {
		what += ", for " + d.Purpose + ","
	}
	if d.To != "" {
		to = d.To
	}
	if d.Provider != "" {
		by = d.Provider
	}
	said := what + " went by " + d.Channel + " to " + to + " through " + by + ": " + d.Status + "."
	if d.AddressState == preferences.WrongPerson.String() {
		said += " Somebody else answers there."
	}
	return said
}
