package mirrors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
)

// Report is what comparing one provider's lists with ours came to, in addresses.
type Report struct {
	Provider  string
	There     int // on the provider's list; -1: it cannot be read
	Strangers int // of these, those that nobody here has
	OnlyThere int // opt-outs we had not heard of: recorded here
	OnlyHere  int // ours that the provider had lost: put there again
	New       int // ours that it never had, and those it cannot tell us of: put there
}

// Drifted says whether anything differed that should not have.
func (r Report) Drifted() bool { return r.OnlyThere+r.OnlyHere > 0 }

func (r Report) String() string {
	return fmt.Sprintf("there=%d strangers=%d only_there=%d only_here=%d new=%d", r.There, r.Strangers, r.OnlyThere, r.OnlyHere, r.New)
}

const (
	// nightly is the hour of the practice's clock at which the lists are compared.
	nightly = 3
	// reconcileFor is how long one replica has it in hands.
	reconcileFor = 30 * time.Minute
	// retryAfter is when it is tried again after it failed.
	retryAfter = 5 * time.Minute
	// page is how many addresses are looked at together.
	page = 500
)

// AskedMark is set by who wants the lists compared now.
const AskedMark = "mirrors asked"

// DoneMark says when a provider's lists were last compared.
func DoneMark(provider string) string { return "mirrors compared " + provider }

func leaseMark(provider string) string { return "mirrors lease " + provider }

// Nightly compares the lists of each provider that were not compared since the last night,
// or since somebody asked. Of several replicas one does it.
func (s *Service) Nightly(ctx context.Context) (int, error) {
	asked, err := s.Store.Mark(ctx, AskedMark)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, p := range s.Providers {
		done, err := s.Store.Mark(ctx, DoneMark(p.Name))
		if err != nil {
			return 0, err
		}
		if now := s.Now(); done.Before(s.lastNight(now)) || done.Before(asked) && !asked.After(now) {
			errs = append(errs, s.once(ctx, p))
		}
	}
	return 0, errors.Join(errs...)
}

// lastNight is the last time that the nightly hour struck at the practice.
func (s *Service) lastNight(now time.Time) time.Time {
	local := now.In(s.Place)
	at := time.Date(local.Year(), local.Month(), local.Day(), nightly, 0, 0, 0, s.Place)
	if at.After(now) {
		at = at.AddDate(0, 0, -1)
	}
	return at
}

func (s *Service) once(ctx context.Context, p *Provider) error {
	began := s.Now()
	mine, err := s.Store.ClaimMark(ctx, leaseMark(p.Name), began, began.Add(reconcileFor))
	if err != nil || !mine {
		return err
	}
	report, err := s.Reconcile(ctx, p)
	if err != nil {
		return errors.Join(s.failed(ctx, p, err), s.Store.ResetMark(context.WithoutCancel(ctx), leaseMark(p.Name), s.Now().Add(retryAfter)))
	}
	if err := s.report(ctx, p, report); err != nil {
		return err
	}
	if err := s.Store.ResetMark(ctx, DoneMark(p.Name), began); err != nil {
		return err
	}
	return s.Store.ResetMark(ctx, leaseMark(p.Name), time.Time{})
}

// Reconcile compares a provider's lists with what is known here, and repairs to the
// stricter side; nothing is ever loosened. Done twice it finds nothing the second time.
func (s *Service) Reconcile(ctx context.Context, p *Provider) (Report, error) {
	r, began := Report{Provider: p.Name, There: -1}, s.Now()
	reader, readable := p.Keeper.(channels.OptOutReader)
	if !readable {
		// What the provider has cannot be asked for: all of ours are put there again.
		return r, s.ours(ctx, p, p.Lists, nil, began, &r)
	}
	for _, l := range p.Lists {
		call, cancel := context.WithTimeout(ctx, 2*time.Minute) // the list comes in one piece
		addresses, err := reader.OptedOut(call)
		cancel()
		if err != nil {
			return r, err
		}
		there, err := s.theirs(ctx, p, l, addresses, began, &r)
		if err != nil {
			return r, err
		}
		if err := s.ours(ctx, p, []List{l}, there, began, &r); err != nil {
			return r, err
		}
	}
	return r, nil
}

// theirs walks over what stands on the provider's list, and gives the keys of those whom
// somebody here has.
func (s *Service) theirs(ctx context.Context, p *Provider, l List, addresses []string, began time.Time, r *Report) (map[string]bool, error) {
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	r.There = len(addresses)
	there := map[string]bool{}
	for chunk := range slices.Chunk(addresses, page) {
		known, err := s.Store.MirrorsAt(ctx, p.Kind, chunk)
		if err != nil {
			return nil, err
		}
		r.Strangers += len(chunk) - len(known)
		var agreed []string
		for i := range known {
			m := &known[i]
			there[m.Key] = true
			switch {
			case s.wanted(m, l):
				if !m.On(l.Name) {
					agreed = append(agreed, m.Key)
				}
			case !inUse(m) || s.newer(m, began) || m.Lift&l.Programs != 0:
				// Nobody has it now; or something was said since the list was read; or its
				// removal is on its way, asked for with proof.
			default:
				if err := s.hear(ctx, p, m); err != nil {
					return nil, err
				}
				r.OnlyThere++
				s.Stats.OnlyThere.Add(1)
			}
		}
		if err := s.Store.MirrorListed(ctx, p.Kind, agreed, l.Name, true, began); err != nil {
			return nil, err
		}
	}
	return there, nil
}

// newer: the list was read before the last word, or the last call.
func (s *Service) newer(m *gateway.Mirror, began time.Time) bool {
	return !m.Changed.Before(began) || !m.Called.Before(began)
}

// hear takes in an opt-out that only the provider knew of, as if its own event had come:
// it binds the mailbox, whoever has it.
func (s *Service) hear(ctx context.Context, p *Provider, m *gateway.Mirror) error {
	return s.Hear(ctx, p.Name, channels.Delivery{
		EventID: "list:" + strconv.FormatInt(s.NewID(), 10), To: m.Address, Unsub: true, At: s.Now(),
	})
}

// ours walks over what is refused here, and makes due what the provider does not have.
// there nil: it cannot be known.
func (s *Service) ours(ctx context.Context, p *Provider, lists []List, there map[string]bool, began time.Time, r *Report) error {
	for after := ""; ; {
		keys, next, err := s.Store.Refusers(ctx, p.Kind, after, page)
		if err != nil {
			return err
		}
		known, err := s.Store.Mirrors(ctx, p.Kind, keys)
		if err != nil {
			return err
		}
		for _, l := range lists {
			if err := s.missing(ctx, p, l, known, there, began, r); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		after = next
	}
}

func (s *Service) missing(ctx context.Context, p *Provider, l List, known []gateway.Mirror, there map[string]bool, began time.Time, r *Report) error {
	var missing []string
	for i := range known {
		m := &known[i]
		if there[m.Key] || m.Address == "" || !s.wanted(m, l) || s.newer(m, began) || !m.Due.IsZero() {
			continue // what is due goes there anyway
		}
		if there != nil && m.On(l.Name) {
			r.OnlyHere++
			s.Stats.OnlyHere.Add(1)
		} else {
			r.New++
		}
		missing = append(missing, m.Key)
	}
	return s.Store.MirrorListed(ctx, p.Kind, missing, l.Name, false, began)
}

// report writes down what was found: figures only. Where the sides differed a person looks
// for who changes the list.
func (s *Service) report(ctx context.Context, p *Provider, r Report) error {
	log := s.Log.Info
	if r.Drifted() {
		log = s.Log.Warn
	}
	log("opt-outs were compared with a provider's list", "provider", p.Name, "there", r.There, "strangers", r.Strangers, "only_there", r.OnlyThere, "only_here", r.OnlyHere, "new", r.New)
	c := gateway.Change{At: s.Now(), Actor: "heed", Audit: []gateway.Audit{{Verb: "mirror.compare", Object: "mirror:" + p.Name, Detail: r.String()}}}
	if r.Drifted() {
		task, err := s.task(ctx, fmt.Sprintf("The opt-outs here and on the list of %s differed: %d stood only there and are kept here now, %d stood only here and are put there again. Find out who changes that list.",
			p.Name, r.OnlyThere, r.OnlyHere))
		if err != nil {
			return err
		}
		c.Tasks = task
	}
	_, err := s.Store.Commit(ctx, c)
	return err
}

// failed tells of a comparison that came to nothing. Where only a person can mend it, one
// is told, once.
func (s *Service) failed(ctx context.Context, p *Provider, err error) error {
	failed, ok := errors.AsType[*channels.SendError](err)
	if !ok || ctx.Err() != nil {
		return err
	}
	s.Stats.Failed.Add(1)
	if failed.Kind != channels.OperatorMustAct {
		return err
	}
	task, wrong := s.task(ctx, "The opt-outs could not be compared with the list of "+p.Name+", and somebody must act: look at its key, and at what the settings say of its list. The provider said: "+codeOf(failed)+".")
	if wrong != nil || task == nil {
		return errors.Join(err, wrong)
	}
	_, wrong = s.Store.Commit(ctx, gateway.Change{
		At: s.Now(), Actor: "heed", Tasks: task, Audit: []gateway.Audit{{Verb: "mirror.failed", Object: "mirror:" + p.Name, Detail: codeOf(failed)}},
	})
	return errors.Join(err, wrong)
}

// task makes a task of this title, or none where one is open already.
func (s *Service) task(ctx context.Context, title string) ([]gateway.Task, error) {
	open, err := s.Store.Tasks(ctx, gateway.TaskFilter{Kind: gateway.TaskMirror, Limit: 50})
	if err != nil || slices.ContainsFunc(open, func(t gateway.Task) bool { return t.Detail.Title == title }) {
		return nil, err
	}
	now := s.Now()
	return []gateway.Task{{ID: s.NewID(), Kind: gateway.TaskMirror, Created: now, Due: now.Add(gateway.TaskDueIn(gateway.TaskMirror)), Detail: gateway.TaskDetail{Title: title}}}, nil
}
