package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
)

// WayIn is an address over one channel.
type WayIn struct {
	Channel string `json:"channel" enum:"sms,voice,email"`
	Address string `json:"address" maxLength:"320"`
}

// ConfidentialIn is a confidential communication instruction: 45 CFR 164.522(b).
type ConfidentialIn struct {
	Only        []WayIn `json:"only" maxItems:"20" nullable:"false" doc:"The only ways that may be used. Empty: letters only."`
	Discreet    bool    `json:"discreet,omitempty" doc:"Never name the practice."`
	RequestedOn string  `json:"requested_on,omitempty" format:"date"`
}

// creates marks an operation that answers 201 with an id.
func creates(o huma.Operation) huma.Operation {
	o.DefaultStatus = http.StatusCreated
	return o
}

type idOut struct {
	Body struct {
		ID string `json:"id"`
	}
}

// create makes something under a new id. Its answer is known before the commit, and
// is kept in it.
func (a *API) create(ctx context.Context, do func(id int64) error) (*idOut, error) {
	id := a.Intake.NewID()
	out := &idOut{}
	out.Body.ID = strconv.FormatInt(id, 10)
	if key := gateway.KeyOf(ctx); key != nil {
		body, err := json.Marshal(out.Body)
		if err != nil {
			return nil, err
		}
		key.Status, key.Answer = http.StatusCreated, append(body, '\n')
	}
	return out, do(id)
}

func (a *API) instructions(h huma.API) {
	register(a, h, op(http.MethodPut, "/v1/patients/{id}/confidential-communication", "Put a confidential communication instruction in force", auth.WritePatient),
		func(ctx context.Context, in *struct {
			PatientPath
			Body ConfidentialIn
		}) (*preferencesOut, error) {
			id, err := a.patientID(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			set := intake.Confidential{Discreet: in.Body.Discreet, RequestedOn: in.Body.RequestedOn, Source: preferences.FromStaff}
			if set.Only, err = a.ways(in.Body.Only); err != nil {
				return nil, err
			}
			if err := a.Intake.SetConfidential(ctx, caller(ctx).Name, id, set); err != nil {
				return nil, err
			}
			return a.preferencesOf(ctx, id)
		})
	register(a, h, op(http.MethodDelete, "/v1/patients/{id}/confidential-communication", "End the instruction", auth.WritePatient),
		func(ctx context.Context, in *PatientPath) (*struct{}, error) {
			id, err := a.patientID(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return nil, a.Intake.EndConfidential(ctx, caller(ctx).Name, id)
		})
	a.restrictions(h)
	a.authorizations(h)
}

func (a *API) ways(in []WayIn) ([]intake.Way, error) {
	var wrong gateway.Invalid
	var list []intake.Way
	for i, w := range in {
		ch, _ := channels.ParseChannel(w.Channel)
		kind := "phone"
		if ch == channels.Email {
			kind = "email"
		}
		value, err := a.normal(kind, w.Address)
		if err != nil {
			wrong = append(wrong, gateway.Mistake{Field: fmt.Sprintf("only[%d].address", i), Problem: err.Error()})
		}
		list = append(list, intake.Way{Channel: ch, Address: value})
	}
	return list, wrong.Or()
}

type ItemPath struct {
	PatientPath
	Item string `path:"item" pattern:"^[0-9]{1,19}$"`
}

// end runs one of the calls that end an item of a patient.
func (a *API) end(ctx context.Context, in *ItemPath, end func(context.Context, string, int64, int64) error) (*struct{}, error) {
	id, err := a.patientID(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	item, err := strconv.ParseInt(in.Item, 10, 64)
	if err != nil {
		return nil, gateway.ErrNotFound
	}
	return nil, end(ctx, caller(ctx).Name, id, item)
}

func (a *API) restrictions(h huma.API) {
	register(a, h, creates(op(http.MethodPost, "/v1/patients/{id}/restrictions", "Record a restriction the practice agreed to", auth.Restrict)),
		func(ctx context.Context, in *struct {
			PatientPath
			Body struct {
				Category string `json:"category,omitempty" maxLength:"64"`
				Purpose  string `json:"purpose,omitempty" enum:"treatment,payment,operations,legal,marketing"`
				Note     string `json:"note,omitempty" maxLength:"2000" lines:"free"`
			}
		}) (*idOut, error) {
			id, err := a.patientID(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return a.create(ctx, func(item int64) error {
				r := preferences.Restriction{ID: item, Category: in.Body.Category, Purpose: in.Body.Purpose}
				return a.Intake.Restrict(ctx, caller(ctx).Name, id, r, in.Body.Note)
			})
		})
	register(a, h, op(http.MethodDelete, "/v1/patients/{id}/restrictions/{item}", "End a restriction", auth.Restrict),
		func(ctx context.Context, in *ItemPath) (*struct{}, error) {
			return a.end(ctx, in, a.Intake.EndRestriction)
		})
}

func (a *API) authorizations(h huma.API) {
	register(a, h, creates(op(http.MethodPost, "/v1/patients/{id}/authorizations", "Record a signed authorization", auth.WritePatient)),
		func(ctx context.Context, in *struct {
			PatientPath
			Body struct {
				Category  string         `json:"category" maxLength:"64"`
				SignedOn  string         `json:"signed_on" format:"date"`
				ExpiresOn string         `json:"expires_on,omitempty" format:"date"`
				Evidence  map[string]any `json:"evidence,omitempty"`
			}
		}) (*idOut, error) {
			id, err := a.patientID(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			auth := preferences.Authorization{Category: in.Body.Category}
			if auth.SignedOn, err = date("signed_on", in.Body.SignedOn); err != nil {
				return nil, err
			}
			if auth.ExpiresOn, err = date("expires_on", in.Body.ExpiresOn); err != nil {
				return nil, err
			}
			return a.create(ctx, func(item int64) error {
				auth.ID = item
				return a.Intake.Authorize(ctx, caller(ctx).Name, id, auth, evidence(in.Body.Evidence))
			})
		})
	register(a, h, op(http.MethodDelete, "/v1/patients/{id}/authorizations/{item}", "Revoke an authorization", auth.WritePatient),
		func(ctx context.Context, in *ItemPath) (*struct{}, error) {
			return a.end(ctx, in, a.Intake.EndAuthorization)
		})
}

func date(field, text string) (preferences.Date, error) {
	var d preferences.Date
	if err := d.UnmarshalText([]byte(text)); err != nil {
		return d, gateway.Wrong(field, err.Error())
	}
	return d, nil
}
