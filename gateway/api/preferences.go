package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
)

// ChoiceIn is an opt-in or opt-out of a topic on a channel.
type ChoiceIn struct {
	Topic   string    `json:"topic" maxLength:"64" doc:"A non-essential category, marketing or non_essential."`
	Channel string    `json:"channel" enum:"sms,voice,email,all"`
	Choice  string    `json:"choice" enum:"opt_in,opt_out"`
	Consent string    `json:"consent,omitempty" enum:"provided,express,written"`
	SaidAt  time.Time `json:"said_at,omitempty" doc:"When the patient said it; now when absent."`
}

// CareIn is how essential messages are to come.
type CareIn struct {
	Order    []string `json:"order" nullable:"false" required:"false" maxItems:"3" enum:"sms,voice,email"`
	Declined []string `json:"declined" nullable:"false" required:"false" maxItems:"3" enum:"sms,voice,email"`
}

// ConsentIn sets the consent on one address.
type ConsentIn struct {
	Address string `json:"address" maxLength:"320"`
	Consent string `json:"consent" enum:"provided,express"`
}

// PreferencesIn is what a patient said. An absent field changes nothing.
type PreferencesIn struct {
	Choices       []ChoiceIn     `json:"choices,omitempty" maxItems:"100" nullable:"false"`
	Consents      []ConsentIn    `json:"consents,omitempty" maxItems:"20" nullable:"false"`
	Verified      []string       `json:"verified,omitempty" maxItems:"20" nullable:"false"`
	CareChannels  *CareIn        `json:"care_channels,omitempty"`
	UnencryptedOK *bool          `json:"unencrypted_ok,omitempty"`
	Source        string         `json:"source" enum:"staff,web,sms,voice,email,import"`
	Evidence      map[string]any `json:"evidence,omitempty" doc:"Who, when, how, which wording."`
}

// PreferencesOut is what is in force.
type PreferencesOut struct {
	Version        int64              `json:"version"`
	Choices        []ChoiceOut        `json:"choices"`
	CareChannels   CareIn             `json:"care_channels"`
	Confidential   *ConfidentialOut   `json:"confidential,omitempty" doc:"Absent when none is in force."`
	Stops          []StopOut          `json:"stops"`
	Restrictions   []RestrictionOut   `json:"restrictions"`
	Authorizations []AuthorizationOut `json:"authorizations"`
	UnencryptedOK  bool               `json:"unencrypted_ok"`
}

// ChoiceOut is a choice on record.
type ChoiceOut struct {
	Topic   string    `json:"topic"`
	Channel string    `json:"channel"`
	Choice  string    `json:"choice"`
	Consent string    `json:"consent,omitempty"`
	SaidAt  time.Time `json:"said_at"`
	Source  string    `json:"source,omitempty" doc:"spam_report: an opt-out that the mail provider told of. It is bound to the mailbox and to everyone who has it, and nothing lifts it but a later opt-in."`
	Address string    `json:"address,omitempty" doc:"The mailbox that a spam report is bound to."`
}

// ConfidentialOut is the instruction in force.
type ConfidentialOut struct {
	Only     []WayIn `json:"only"`
	Discreet bool    `json:"discreet"`
	Hold     bool    `json:"hold" doc:"Nothing goes out until a person has read an imported note."`
}

// RestrictionOut is a restriction in force.
type RestrictionOut struct {
	ID       string `json:"id"`
	Category string `json:"category,omitempty"`
	Purpose  string `json:"purpose,omitempty"`
}

// AuthorizationOut is an authorization on record.
type AuthorizationOut struct {
	ID        string `json:"id"`
	Category  string `json:"category"`
	SignedOn  string `json:"signed_on"`
	ExpiresOn string `json:"expires_on"`
}

type preferencesOut struct{ Body PreferencesOut }

func (a *API) preferences(h huma.API) {
	register(a, h, sees("preferences.read", op(http.MethodGet, "/v1/patients/{id}/preferences", "What is in force", auth.ReadPatient)),
		func(ctx context.Context, in *PatientPath) (*preferencesOut, error) {
			id, err := a.patientID(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			looksAt(ctx, id)
			return a.preferencesOf(ctx, id)
		})
	register(a, h, op(http.MethodPost, "/v1/patients/{id}/preferences", "Record what a patient said", auth.WritePatient),
		func(ctx context.Context, in *struct {
			PatientPath
			Body PreferencesIn
		}) (*preferencesOut, error) {
			id, err := a.patientID(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			said, err := a.said(in.Body)
			if err != nil {
				return nil, err
			}
			if err := a.Intake.Prefer(ctx, caller(ctx).Name, id, said); err != nil {
				return nil, err
			}
			return a.preferencesOf(ctx, id)
		})
}

func (a *API) said(in PreferencesIn) (intake.Said, error) {
	said := intake.Said{UnencryptedOK: in.UnencryptedOK, Source: preferences.Source(in.Source), Evidence: evidence(in.Evidence)}
	for _, c := range in.Choices {
		ch, _ := channels.ParseChannel(c.Channel) // "all" is the zero channel; the schema knows the rest
		said.Choices = append(said.Choices, intake.Choice{
			Topic: c.Topic, Channel: ch, In: c.Choice == "opt_in", Consent: preferences.ParseConsent(c.Consent), SaidAt: c.SaidAt,
		})
	}
	if in.CareChannels != nil {
		said.CareChannels = &preferences.CareChannels{Order: channelsOf(in.CareChannels.Order), Declined: channelsOf(in.CareChannels.Declined)}
	}
	var wrong gateway.Invalid
	address := func(field, text string) string {
		value, err := a.address(text)
		if err != nil {
			wrong = append(wrong, gateway.Mistake{Field: field, Problem: err.Error()})
		}
		return value
	}
	for i, c := range in.Consents {
		said.Consents = append(said.Consents, intake.ConsentTo{
			Address: address(fmt.Sprintf("consents[%d].address", i), c.Address), Consent: preferences.ParseConsent(c.Consent),
		})
	}
	for i, text := range in.Verified {
		said.Verified = append(said.Verified, address(fmt.Sprintf("verified[%d]", i), text))
	}
	return said, wrong.Or()
}

// address normalises a phone or a mailbox, whichever it is.
func (a *API) address(text string) (string, error) {
	if strings.Contains(text, "@") {
		return a.ParseMailbox(text)
	}
	return a.ParsePhone(text)
}

// evidence keeps what was sent as text, word for word.
func evidence(in map[string]any) map[string]string {
	if len(in) == 0 {
		return nil
	}
	out := map[string]string{}
	for k, v := range in {
		out[k] = fmt.Sprint(v)
	}
	return out
}

// spamReport is the source of an opt-out that belongs to a mailbox.
const spamReport = "spam_report"

func (a *API) preferencesOf(ctx context.Context, id int64) (*preferencesOut, error) {
	out, err := a.Preferences(ctx, id)
	return &preferencesOut{out}, err
}

// Preferences tells what a patient said, as it is in force.
func (a *API) Preferences(ctx context.Context, id int64) (PreferencesOut, error) {
	p, err := a.Store.Patient(ctx, id)
	if err != nil {
		return PreferencesOut{}, err
	}
	s := p.Snapshot
	out := PreferencesOut{
		Version: s.Version, Choices: []ChoiceOut{}, Stops: stopsOf(p), Restrictions: []RestrictionOut{}, Authorizations: []AuthorizationOut{},
		CareChannels:  CareIn{Order: namesOf(s.Care.Order), Declined: namesOf(s.Care.Declined)},
		UnencryptedOK: s.UnencryptedOK,
	}
	for _, c := range s.Choices {
		out.Choices = append(out.Choices, choiceOf(c))
	}
	for i := range s.Addresses {
		if ad := &s.Addresses[i]; ad.OptedOut != 0 && s.Has(ad) {
			out.Choices = append(out.Choices, ChoiceOut{
				Topic: preferences.TopicNonEssential, Channel: channels.Email.String(), Choice: "opt_out", SaidAt: time.UnixMicro(ad.OptedOut).UTC(),
				Source: spamReport, Address: p.Text(ad.ID),
			})
		}
	}
	if s.Confidential != nil {
		out.Confidential = confidentialOf(s.Confidential, p)
	}
	for _, r := range s.Restrictions {
		out.Restrictions = append(out.Restrictions, RestrictionOut{strconv.FormatInt(r.ID, 10), r.Category, r.Purpose})
	}
	for _, r := range s.Authorizations {
		out.Authorizations = append(out.Authorizations, AuthorizationOut{strconv.FormatInt(r.ID, 10), r.Category, r.SignedOn.String(), r.ExpiresOn.String()})
	}
	return out, nil
}

func choiceOf(c preferences.Choice) ChoiceOut {
	o := ChoiceOut{Topic: c.Topic, Channel: "all", Choice: "opt_out", Consent: c.Consent.String(), SaidAt: time.UnixMicro(c.At).UTC()}
	if c.Channel != 0 {
		o.Channel = c.Channel.String()
	}
	if c.In {
		o.Choice = "opt_in"
	}
	return o
}

func confidentialOf(c *preferences.Confidential, p *gateway.Patient) *ConfidentialOut {
	o := &ConfidentialOut{Only: []WayIn{}, Discreet: c.Discreet, Hold: c.Hold}
	for _, pair := range c.Only {
		o.Only = append(o.Only, WayIn{pair.Channel.String(), p.Text(pair.Address)})
	}
	return o
}
