package intake

import (
	"context"
	"errors"
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences/policy"
)

// Remedy is what may still be done about a task, for one person whom it may be about:
// who may be called, at which number, and what may be said, as things stand now.
type Remedy struct {
	Patient  *gateway.Patient // nil: the number is nobody's on record
	Messages []Candidate      // of this patient, those that may have been answered
	policy.ByHand
	Phones []Phone // as ByHand.Calls, with their numbers
	// Unsure: several patients may be meant. Whoever answers is told nothing before it
	// is known who it is.
	Unsure bool
}

// Phone is one number and what the rules say of it.
type Phone struct {
	policy.HandCall
	Number string
	Shared bool // other patients have it too
}

// Candidate is a message that may have been answered.
type Candidate struct {
	ID          int64
	Reference   string
	Appointment time.Time // zero: it tells none
}

// Nobody says why nobody may be called, or "" when somebody may.
func (r *Remedy) Nobody() policy.Code {
	if slices.ContainsFunc(r.Phones, func(p Phone) bool { return p.Verdict == policy.Allowed }) {
		return ""
	}
	if (r.Code == "" || r.Patient == nil) && len(r.Phones) > 0 {
		return r.Phones[0].Code
	}
	return r.ByHand.Nobody()
}

// Remedies says what may still be done about a task, as the policy decides now, for
// everybody whom it may be about.
func (s *Service) Remedies(ctx context.Context, t *gateway.Task) ([]Remedy, error) {
	var known gateway.Number
	var err error
	if t.Detail.Number != "" {
		if known, err = s.Store.Number(ctx, t.Detail.Number); err != nil {
			return nil, err
		}
	}
	who, candidates, err := s.concerned(ctx, t, known)
	if err != nil {
		return nil, err
	}
	category, err := s.categoryOf(ctx, t)
	if err != nil {
		return nil, err
	}
	var list []Remedy
	for _, id := range who {
		p, err := s.Store.Patient(ctx, id)
		if errors.Is(err, gateway.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		r, err := s.remedy(ctx, t, p, category)
		if err != nil {
			return nil, err
		}
		r.Unsure, r.Messages = len(who) > 1, candidates[id]
		list = append(list, r)
	}
	if len(list) == 0 && t.Detail.Number != "" {
		return []Remedy{s.strange(t, known)}, nil
	}
	bindAll(list, t)
	return list, nil
}

// concerned lists whom a task is about: its patient, or else everybody who has the
// number, and everybody whose message may have been answered.
func (s *Service) concerned(ctx context.Context, t *gateway.Task, known gateway.Number) ([]int64, map[int64][]Candidate, error) {
	var who []int64
	add := func(id int64) {
		if id != 0 && !slices.Contains(who, id) && (t.Patient == 0 || t.Patient == id) {
			who = append(who, id)
		}
	}
	add(t.Patient)
	for _, h := range known.Holders {
		add(h.Patient)
	}
	candidates := map[int64][]Candidate{}
	for _, id := range t.Detail.Candidates {
		m, err := s.Store.Message(ctx, id)
		if errors.Is(err, gateway.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		c := Candidate{ID: m.ID, Reference: m.Reference}
		c.Appointment, _ = appointmentOf(m)
		candidates[m.Patient] = append(candidates[m.Patient], c)
		add(m.Patient)
	}
	return who, candidates, nil
}

// categoryOf is what a person would tell about: the message that found no way. What
// the patient asked for is no message of ours.
func (s *Service) categoryOf(ctx context.Context, t *gateway.Task) (string, error) {
	if t.Message == 0 {
		return "", nil
	}
	m, err := s.Store.Message(ctx, t.Message)
	if errors.Is(err, gateway.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return m.Category, nil
}

func (s *Service) remedy(ctx context.Context, t *gateway.Task, p *gateway.Patient, category string) (Remedy, error) {
	h := policy.Hand{Category: category, Now: s.Now()}
	if t.Kind == gateway.TaskCrisis {
		h.Danger = idOf(p, channels.Phone, t.Detail.Number)
	}
	r := Remedy{Patient: p, ByHand: s.Policy.ByHand(p.Snapshot, h)}
	for _, c := range r.Calls {
		number := p.Text(c.Address)
		if number == "" {
			continue // erased
		}
		known, err := s.Store.Number(ctx, number)
		if err != nil {
			return r, err
		}
		r.Phones = append(r.Phones, Phone{HandCall: c, Number: number, Shared: len(known.Holders) > 1})
	}
	return r, nil
}

// strange is for a number that no patient has: it may be called back, and whoever
// answers is told nothing. Who said that they are somebody else is left in peace.
func (s *Service) strange(t *gateway.Task, known gateway.Number) Remedy {
	r := Remedy{ByHand: s.Policy.ByHand(nil, policy.Hand{Now: s.Now()}), Unsure: true}
	call := policy.HandCall{Verdict: policy.Allowed, ForDanger: t.Kind == gateway.TaskCrisis}
	switch {
	case t.Kind == gateway.TaskWrongNumber:
		call.Verdict, call.Code = policy.Refused, policy.WrongPerson
	case known.Stops.Has(channels.Care):
		call.Mind = []policy.Code{policy.Stopped}
	}
	r.Phones = []Phone{{HandCall: call, Number: t.Detail.Number}}
	return r
}

// bindAll: where it is not certain who wrote, a confidential communication instruction
// of any of them binds the number for all: a call there may be the one that was asked
// not to be made. 45 CFR 164.522(b).
func bindAll(list []Remedy, t *gateway.Task) {
	confidential := func(p Phone) bool {
		return p.Number == t.Detail.Number && p.Verdict == policy.Refused && p.Code == policy.ConfidentialOnly
	}
	bound := slices.ContainsFunc(list, func(r Remedy) bool { return slices.ContainsFunc(r.Phones, confidential) })
	if !bound {
		return
	}
	for i := range list {
		for k := range list[i].Phones {
			if p := &list[i].Phones[k]; p.Number == t.Detail.Number && p.Verdict == policy.Allowed {
				p.Verdict, p.Code, p.Mind = policy.Refused, policy.ConfidentialOnly, nil
			}
		}
	}
}
