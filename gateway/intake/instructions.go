package intake

import (
	"context"
	"fmt"
	"slices"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// Confidential is a confidential communication instruction as it comes in.
// 45 CFR 164.522(b).
type Confidential struct {
	Only        []Way
	Discreet    bool
	RequestedOn string // YYYY-MM-DD
	Hold        bool   // from an import, until a person has read the note
	Source      preferences.Source
	Note        string
}

// Way is a normalised address over one channel.
type Way struct {
	Channel channels.Channel
	Address string
}

// SetConfidential puts an instruction in force, in place of any other.
func (s *Service) SetConfidential(ctx context.Context, actor string, patient int64, in Confidential) error {
	return s.onPatient(ctx, patient, func(p *gateway.Patient) (gateway.Change, error) {
		return s.confidential(actor, p, in)
	})
}

func (s *Service) confidential(actor string, p *gateway.Patient, in Confidential) (gateway.Change, error) {
	if p.Snapshot.Standing == preferences.Erased {
		return gateway.Change{}, gateway.ErrErased
	}
	if in.RequestedOn != "" {
		if _, err := preferences.ParseDate(in.RequestedOn); err != nil {
			return gateway.Change{}, gateway.Wrong("requested_on", err.Error())
		}
	}
	set := &preferences.Confidential{Only: []preferences.Pair{}, Discreet: in.Discreet, Hold: in.Hold}
	var extra []preferences.ContactAddress
	var texts []gateway.AddressText
	new := map[string]int64{}
	for i, w := range in.Only {
		kind := channels.Phone
		if w.Channel == channels.Email {
			kind = channels.Mailbox
		}
		if w.Channel == 0 {
			return gateway.Change{}, gateway.Wrong(fmt.Sprintf("only[%d].channel", i), "say sms, voice or email")
		}
		id := idOf(p, kind, w.Address)
		if id == 0 {
			id = new[w.Address]
		}
		if id == 0 {
			id = s.NewID()
			new[w.Address] = id
			extra = append(extra, preferences.ContactAddress{ID: id, Kind: kind, Rank: 1, Zones: zonesOfAddress(kind, w.Address)})
			texts = append(texts, gateway.AddressText{ID: id, Kind: kind, Value: w.Address})
		}
		pair := preferences.Pair{Channel: w.Channel, Address: id}
		if !slices.Contains(set.Only, pair) {
			set.Only = append(set.Only, pair)
		}
	}
	c := s.fact(actor, p, "confidential.set", preferences.Event{
		Kind: preferences.ConfidentialSet, Confidential: set, Extra: extra, Source: in.Source, Note: in.Note,
		Evidence: map[string]string{"requested_on": in.RequestedOn},
	})
	c.Patients[0].Texts = texts
	return c, nil
}

// EndConfidential ends the instruction in force; without one it changes nothing.
func (s *Service) EndConfidential(ctx context.Context, actor string, patient int64) error {
	return s.onPatient(ctx, patient, func(p *gateway.Patient) (gateway.Change, error) {
		if p.Snapshot.Confidential == nil {
			return gateway.Change{}, nil
		}
		return s.fact(actor, p, "confidential.end", preferences.Event{Kind: preferences.ConfidentialEnded}), nil
	})
}

// Restrict records a restriction the practice agreed to, under an id of the caller's.
func (s *Service) Restrict(ctx context.Context, actor string, patient int64, r preferences.Restriction, note string) error {
	if (r.Category == "") == (r.Purpose == "") {
		return gateway.Wrong("category", "name either a category or a purpose")
	}
	if _, known := s.Policy.Category(r.Category); r.Category != "" && !known {
		return gateway.Wrong("category", "not a category of the policy in force")
	}
	if r.Purpose != "" && !slices.Contains(policy.Purposes, policy.Purpose(r.Purpose)) {
		return gateway.Wrong("purpose", "say treatment, payment, operations, legal or marketing")
	}
	return s.onPatient(ctx, patient, func(p *gateway.Patient) (gateway.Change, error) {
		return s.fact(actor, p, "restriction.agreed", preferences.Event{
			Kind: preferences.RestrictionAgreed, Note: note, Restriction: &r,
		}), nil
	})
}

// Authorize records a signed authorization, under an id of the caller's. One without an
// expiry is not valid: 45 CFR 164.508(c)(1)(v).
func (s *Service) Authorize(ctx context.Context, actor string, patient int64, a preferences.Authorization, evidence map[string]string) error {
	var wrong gateway.Invalid
	if _, known := s.Policy.Category(a.Category); !known {
		wrong = append(wrong, gateway.Mistake{Field: "category", Problem: "not a category of the policy in force"})
	}
	if a.SignedOn.IsZero() {
		wrong = append(wrong, gateway.Mistake{Field: "signed_on", Problem: "say when it was signed, as YYYY-MM-DD"})
	}
	if a.ExpiresOn.IsZero() {
		wrong = append(wrong, gateway.Mistake{Field: "expires_on", Problem: "an authorization without an expiry is not valid (45 CFR 164.508(c)(1)(v))"})
	}
	if len(evidence) == 0 {
		wrong = append(wrong, gateway.Mistake{Field: "evidence", Problem: "say where the signed paper is kept"})
	}
	if err := wrong.Or(); err != nil {
		return err
	}
	return s.onPatient(ctx, patient, func(p *gateway.Patient) (gateway.Change, error) {
		return s.fact(actor, p, "authorization.signed", preferences.Event{
			Kind: preferences.AuthorizationSigned, Authorization: &a, Evidence: evidence,
		}), nil
	})
}

// EndRestriction ends a restriction; ErrNotFound when there is none with this id.
func (s *Service) EndRestriction(ctx context.Context, actor string, patient, id int64) error {
	return s.onPatient(ctx, patient, func(p *gateway.Patient) (gateway.Change, error) {
		if !slices.ContainsFunc(p.Snapshot.Restrictions, func(r preferences.Restriction) bool { return r.ID == id }) {
			return gateway.Change{}, gateway.ErrNotFound
		}
		return s.fact(actor, p, "restriction.ended", preferences.Event{Kind: preferences.RestrictionEnded, Ended: id}), nil
	})
}

// EndAuthorization revokes an authorization; ErrNotFound when there is none with
// this id. 45 CFR 164.508(b)(5).
func (s *Service) EndAuthorization(ctx context.Context, actor string, patient, id int64) error {
	return s.onPatient(ctx, patient, func(p *gateway.Patient) (gateway.Change, error) {
		if !slices.ContainsFunc(p.Snapshot.Authorizations, func(a preferences.Authorization) bool { return a.ID == id }) {
			return gateway.Change{}, gateway.ErrNotFound
		}
		return s.fact(actor, p, "authorization.revoked", preferences.Event{Kind: preferences.AuthorizationRevoked, Ended: id}), nil
	})
}
