package intake

import (
	"context"
	"slices"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// Care is what a patient changes about how essential messages come, told as a
// difference: two pages that are open side by side must not take each other's no back.
type Care struct {
	Order    []channels.Channel // nil: as it was
	Decline  []channels.Channel // added to what was declined
	Restore  []channels.Channel // taken from it
	Evidence map[string]string
}

// ChangeCare changes the care channels. The channels that reach the patient may not
// all be declined: essential messages need a way. A gateway.Invalid says so.
func (s *Service) ChangeCare(ctx context.Context, actor string, patient int64, in Care) error {
	return s.onPatient(ctx, patient, func(p *gateway.Patient) (gateway.Change, error) {
		old := p.Snapshot.Care
		next := preferences.CareChannels{Order: old.Order}
		if in.Order != nil {
			next.Order = in.Order
		}
		for _, ch := range append(slices.Clone(old.Declined), in.Decline...) {
			if !slices.Contains(next.Declined, ch) && !slices.Contains(in.Restore, ch) {
				next.Declined = append(next.Declined, ch)
			}
		}
		if slices.Equal(next.Order, old.Order) && slices.Equal(next.Declined, old.Declined) {
			return gateway.Change{}, nil
		}
		problem := careProblem(next)
		if problem == "" && CareReaches(p.Snapshot, old.Declined) && !CareReaches(p.Snapshot, next.Declined) {
			problem = "at least one channel stays on: essential messages need a way"
		}
		if problem != "" {
			return gateway.Change{}, gateway.Wrong("care_channels", problem)
		}
		return s.fact(actor, p, "preferences.set", preferences.Event{
			Kind: preferences.CareChannelsSet, Care: &next, Source: preferences.FromWeb, Evidence: in.Evidence,
		}), nil
	})
}

// CareReaches says whether essential messages still have a way when these channels
// are declined.
func CareReaches(s *preferences.Snapshot, declined []channels.Channel) bool {
	for _, a := range s.Addresses {
		for _, ch := range channels.Channels {
			pair := preferences.Pair{Channel: ch, Address: a.ID}
			if !a.Kind.Carries(ch) || slices.Contains(declined, ch) || ch != channels.Email && a.Stops.Has(channels.Care) {
				continue
			}
			named := s.Confidential != nil && slices.Contains(s.Confidential.Only, pair)
			allowed := named || s.Confidential == nil && a.OnRecord
			if allowed && a.State == preferences.OK && !(ch == channels.SMS && a.Line == preferences.Landline) {
				return true
			}
		}
	}
	return false
}

// ConfidentialRequest asks to be reached only in certain ways: 45 CFR 164.522(b).
// Nobody is asked why (164.522(b)(2)(iii)).
type ConfidentialRequest struct {
	Channels  []channels.Channel // the ways to any address on record; with no Only either: letters only
	Only      []preferences.Pair // single addresses
	Discreet  bool
	Elsewhere string // in their own words, an address we may not know: for staff, never used before they confirm
	Proved    bool   // they showed that they read what comes to their link's address
	Evidence  map[string]string
}

// maxRequests is how many requests of one kind wait for staff at once: whoever has
// the link could fill the worklist otherwise.
const maxRequests = 5

// RequestConfidential puts a request in force at once, as the stricter of old and
// new: the ways that both allow, and discreet where either is. Staff get a task to
// confirm it. It gives false when so many requests wait already that this one opened
// no task; what it tightens is in force all the same.
func (s *Service) RequestConfidential(ctx context.Context, actor string, patient int64, in ConfidentialRequest) (told bool, err error) {
	err = s.onPatient(ctx, patient, func(p *gateway.Patient) (gateway.Change, error) {
		if p.Snapshot.Standing == preferences.Erased {
			return gateway.Change{}, gateway.ErrErased
		}
		task := s.task(gateway.TaskConfidential, patient, requestDetail(in))
		open, err := s.Store.Tasks(ctx, gateway.TaskFilter{Kind: task.Kind, Patient: patient, Limit: maxRequests})
		if err != nil {
			return gateway.Change{}, err
		}
		same := slices.ContainsFunc(open, func(t gateway.Task) bool {
			return t.Detail.Quote == task.Detail.Quote && slices.Equal(t.Detail.Reasons, task.Detail.Reasons)
		})
		told = same || len(open) < maxRequests
		next := stricter(p.Snapshot, in)
		unchanged := p.Snapshot.Confidential != nil && slices.Equal(next.Only, p.Snapshot.Confidential.Only) && next.Discreet == p.Snapshot.Confidential.Discreet
		if unchanged && (same || !told) {
			return gateway.Change{}, nil
		}
		c := s.fact(actor, p, "confidential.request", preferences.Event{
			Kind: preferences.ConfidentialSet, Confidential: next, Source: preferences.FromWeb, Evidence: in.Evidence,
		})
		if told && !same {
			c.Tasks = []gateway.Task{task}
		}
		return c, nil
	})
	return told, err
}

// stricter is what both the instruction in force and the request allow.
func stricter(s *preferences.Snapshot, in ConfidentialRequest) *preferences.Confidential {
	old := s.Confidential
	next := &preferences.Confidential{Only: []preferences.Pair{}, Discreet: in.Discreet}
	if old != nil {
		next.Discreet, next.Hold = in.Discreet || old.Discreet, old.Hold
	}
	for _, a := range s.Addresses {
		for _, ch := range channels.Channels {
			pair := preferences.Pair{Channel: ch, Address: a.ID}
			asked := slices.Contains(in.Channels, ch) || slices.Contains(in.Only, pair)
			if !a.Kind.Carries(ch) || !asked {
				continue
			}
			if old == nil && a.OnRecord || old != nil && slices.Contains(old.Only, pair) {
				next.Only = append(next.Only, pair)
			}
		}
	}
	return next
}

func requestDetail(in ConfidentialRequest) gateway.TaskDetail {
	d := gateway.TaskDetail{
		Title: "Asked to be reached only in certain ways. The stricter of old and new is in force: confirm it with the patient, and do not ask why (45 CFR 164.522(b)).",
		Quote: in.Elsewhere,
	}
	for _, ch := range in.Channels {
		d.Reasons = append(d.Reasons, "Asked for: "+ch.String()+".")
	}
	for _, pair := range in.Only {
		d.Reasons = append(d.Reasons, "Asked for: "+pair.Channel.String()+", only at the address that their link was sent to.")
	}
	if len(in.Channels)+len(in.Only) == 0 {
		d.Reasons = append(d.Reasons, "Asked for letters only.")
	}
	if in.Discreet {
		d.Reasons = append(d.Reasons, "Asked that messages never name the practice.")
	}
	if in.Elsewhere != "" {
		d.Reasons = append(d.Reasons, "Named another address, which is not used until you confirm it with the patient.")
	}
	return withProof(d, in.Proved)
}

// withProof tells staff how sure it is who asked. 45 CFR 164.514(h).
func withProof(d gateway.TaskDetail, proved bool) gateway.TaskDetail {
	how := "Asked through a link, without a code: make sure who asked."
	if proved {
		how = "Asked through a link, with a code that was sent to the same address."
	}
	d.Reasons = append(d.Reasons, how)
	return d
}

// RequestData opens a task to give the patient a copy of their data (45 CFR 164.524);
// while one is open, no second.
func (s *Service) RequestData(ctx context.Context, actor string, patient int64, proved bool) error {
	open, err := s.Store.Tasks(ctx, gateway.TaskFilter{Kind: gateway.TaskData, Patient: patient, Limit: 1})
	if err != nil || len(open) > 0 {
		return err
	}
	detail := withProof(gateway.TaskDetail{
		Title: "Asked for a copy of their data. Give it within 30 days (45 CFR 164.524), to the patient alone.",
	}, proved)
	_, err = s.commit(ctx, gateway.Change{
		At: s.Now(), Actor: actor, Tasks: []gateway.Task{s.task(gateway.TaskData, patient, detail)},
		Audit: []gateway.Audit{{Verb: "data.request", Object: object("patient", patient)}},
	})
	return err
}

// SendCode sends a code to an address of the patient who asked for it on a page, in
// discreet form. Why it may not go there comes back as the code of a rule, "" when it
// goes; the claim asks the same once more, under the fence.
func (s *Service) SendCode(ctx context.Context, actor string, to *preferences.Snapshot, address int64, digits, locale string) (policy.Code, error) {
	now := s.Now()
	pair, refused := policy.CodeWay(to, address, now)
	if refused != "" {
		return refused, nil
	}
	_, err := s.commit(ctx, gateway.Change{
		At: now, Actor: actor,
		Accepts: []gateway.Message{{
			ID: s.NewID(), Patient: to.Patient, Queue: gateway.AnswerQueue, Template: "page_code", Due: now, Expires: now.Add(answerFor), Created: now,
			Body: gateway.Body{
				Variables: map[string]string{"code": digits}, Actor: actor,
				Answer: &gateway.Answer{Pair: pair, Program: channels.Care, Locale: locale, Discreet: true},
			},
		}},
		Audit: []gateway.Audit{{Verb: "page.code", Object: object("patient", to.Patient)}},
	})
	return "", err
}

// Looked keeps that somebody saw, or was let see, what is kept of a patient.
// 45 CFR 164.312(b).
func (s *Service) Looked(ctx context.Context, actor string, patient int64, verb string) error {
	_, err := s.commit(ctx, gateway.Change{
		At: s.Now(), Actor: actor, Audit: []gateway.Audit{{Verb: verb, Object: object("patient", patient)}},
	})
	return err
}

// Chosen records choices that a patient made on the preference page, all at one
// instant: where they contradict each other, the refusal wins.
func (s *Service) Chosen(ctx context.Context, actor string, patient int64, list []Choice, evidence map[string]string) error {
	at := s.Now()
	for i := range list {
		list[i].SaidAt = at
	}
	return s.Prefer(ctx, actor, patient, Said{Choices: list, Source: preferences.FromWeb, Evidence: evidence})
}
