// Package wording looks after a practice's own texts: written by one person, held to
// the rules of the built-in ones, approved by a second person, and from then on in
// force beside or in place of the built-in text of their name.
package wording

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// ErrSamePerson is an author who would approve what they wrote. Who holds two keys is
// two people to us: a practice gives each person one.
var ErrSamePerson = errors.New("a text is approved by another person than the one who wrote it")

// ErrOlder is a draft that a newer version in force has overtaken.
var ErrOlder = errors.New("a newer version is in force: add these words as a new version")

// Store keeps the texts.
type Store interface {
	Commit(ctx context.Context, c gateway.Change) (gateway.Kept, error)
	// TemplateVersions lists them by name and version; "" is every name.
	TemplateVersions(ctx context.Context, name string) ([]gateway.TemplateVersion, error)
	// TemplatesMark is another with everything that is done to any of them.
	TemplatesMark(ctx context.Context) (string, error)
}

// Service is the use cases. Reload once before Current is asked.
type Service struct {
	Store    Store
	Builtin  *templates.Set
	Policy   *policy.Policy
	Identity templates.Identity
	Now      func() time.Time
	Fault    func(error) // hears of texts that can no longer be used; no personal data

	current atomic.Pointer[templates.Set]
	mu      sync.Mutex
	mark    string
}

// Current gives the texts in force. It never waits.
func (s *Service) Current() *templates.Set { return s.current.Load() }

// Reload puts in force what was done elsewhere since. Every replica asks again and
// again; as long as nothing was done it is one count. It gives 0: there is never more
// to do at once.
func (s *Service) Reload(ctx context.Context) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mark, err := s.Store.TemplatesMark(ctx)
	if err != nil || mark == s.mark {
		return 0, err
	}
	// What is done between mark and list is read again the next time.
	list, err := s.Store.TemplateVersions(ctx, "")
	if err != nil {
		return 0, err
	}
	s.current.Store(s.Builtin.With(s.own(list)))
	s.mark = mark
	return 0, nil
}

// own reads every version that was ever approved: those in force go out, the others
// are what went out once.
func (s *Service) own(list []gateway.TemplateVersion) []templates.Own {
	newest := inForce(list)
	var own []templates.Own
	for i := range list {
		v := &list[i]
		if v.Approved.IsZero() {
			continue
		}
		t, err := s.parse(v)
		force := newest[v.Draft.Name] == v.Version
		if err != nil && force {
			s.Fault(fmt.Errorf("the practice's text %s, version %d, can no longer be used: essential messages with it go to staff: %w", v.Draft.Name, v.Version, err))
		}
		own = append(own, templates.Own{Name: v.Draft.Name, Text: t, InForce: force})
	}
	return own
}

// inForce gives, by name, the newest version that is approved and not retired.
func inForce(list []gateway.TemplateVersion) map[string]int {
	newest := map[string]int{}
	for _, v := range list {
		if !v.Approved.IsZero() && v.Retired.IsZero() {
			newest[v.Draft.Name] = max(newest[v.Draft.Name], v.Version)
		}
	}
	return newest
}

// parse reads a version as it was kept. One that is no longer what was approved is
// not used.
func (s *Service) parse(v *gateway.TemplateVersion) (*templates.Template, error) {
	if v.Draft.Digest() != v.Digest {
		return nil, errors.New("its words are not those that were kept: compare the audit log")
	}
	t, err := s.check(v.Draft)
	if err != nil {
		return nil, err
	}
	t.Version = v.Version
	return t, nil
}

// check holds a draft to the rules. The error is templates.Findings.
func (s *Service) check(d templates.Draft) (*templates.Template, error) {
	cat, ok := s.Policy.Category(d.Category)
	if !ok {
		return nil, templates.Findings{{Where: "category", Rule: templates.RuleContent, Problem: "is not a category of the policy in force"}}
	}
	t, err := s.Builtin.Parse(d, templates.Category{Name: cat.Name, Essential: cat.Class == policy.Essential, Content: cat.Content.String()}, s.Identity)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(t.Channels(), func(c channels.Channel) bool { return slices.Contains(cat.Channels, c) }) {
		return nil, templates.Findings{{Where: "source", Rule: templates.RuleForms, Problem: "there is no text for any channel of the category"}}
	}
	return t, nil
}

// follows holds a text to what goes out under its name now.
func (s *Service) follows(t *templates.Template) error {
	if older, ok := s.Current().Get(t.Name); ok {
		return t.Follow(older)
	}
	if older, ok := s.Builtin.Get(t.Name); ok {
		return t.Follow(older)
	}
	return nil
}

// tries is how often a new version looks for a free number.
const tries = 8

// Add keeps a new version, which waits for approval. The error is templates.Findings
// where the rules refuse it.
func (s *Service) Add(ctx context.Context, actor string, d templates.Draft) (gateway.TemplateVersion, error) {
	if d.Variables == nil {
		d.Variables = []templates.Variable{}
	}
	if gateway.AlreadyDone(ctx) {
		return s.added(ctx, actor, d)
	}
	t, err := s.check(d)
	if err == nil {
		err = s.follows(t)
	}
	if err != nil {
		return gateway.TemplateVersion{}, err
	}
	for range tries {
		list, err := s.Store.TemplateVersions(ctx, d.Name)
		if err != nil {
			return gateway.TemplateVersion{}, err
		}
		v := gateway.TemplateVersion{Version: 1, Draft: d, Digest: d.Digest(), CreatedBy: actor, Created: s.Now()}
		if n := len(list); n > 0 {
			v.Version = list[n-1].Version + 1
		}
		err = s.keep(ctx, actor, gateway.TemplateStep{Do: gateway.AddTemplate, Name: d.Name, Version: v.Version, Draft: d}, "template.add", v.Digest)
		if !errors.Is(err, gateway.ErrStale) {
			return v, err
		}
	}
	return gateway.TemplateVersion{}, gateway.ErrStale
}

// added finds the version that a call made whose answer was lost.
func (s *Service) added(ctx context.Context, actor string, d templates.Draft) (gateway.TemplateVersion, error) {
	list, err := s.Store.TemplateVersions(ctx, d.Name)
	for _, v := range slices.Backward(list) {
		if v.CreatedBy == actor && v.Digest == d.Digest() {
			return v, nil
		}
	}
	return gateway.TemplateVersion{}, errors.Join(err, gateway.ErrNotFound)
}

// Approve puts a version in force, on the word of a second person. ErrSamePerson,
// ErrOlder, gateway.ErrNotFound, gateway.ErrStale when it does not wait, templates.Findings when
// the rules of today refuse it.
func (s *Service) Approve(ctx context.Context, actor, name string, version int) error {
	v, newest, err := s.find(ctx, name, version)
	switch {
	case err != nil || gateway.AlreadyDone(ctx):
		return err
	case v.CreatedBy == actor:
		return ErrSamePerson
	case !v.Approved.IsZero() || !v.Retired.IsZero():
		return gateway.ErrStale
	case newest > version:
		return ErrOlder
	}
	t, err := s.parse(v)
	if err == nil {
		err = s.follows(t)
	}
	if err != nil {
		return err
	}
	return s.keep(ctx, actor, gateway.TemplateStep{Do: gateway.ApproveTemplate, Name: name, Version: version}, "template.approve", v.Digest)
}

// Retire takes a version out for good. The one approved before it goes out again, or
// the built-in text of the name; with neither, the name has no text. gateway.ErrNotFound,
// gateway.ErrStale when it is retired already.
func (s *Service) Retire(ctx context.Context, actor, name string, version int) error {
	v, _, err := s.find(ctx, name, version)
	switch {
	case err != nil || gateway.AlreadyDone(ctx):
		return err
	case !v.Retired.IsZero():
		return gateway.ErrStale
	}
	return s.keep(ctx, actor, gateway.TemplateStep{Do: gateway.RetireTemplate, Name: name, Version: version}, "template.retire", v.Digest)
}

// find reads a version, and the number of the one in force.
func (s *Service) find(ctx context.Context, name string, version int) (*gateway.TemplateVersion, int, error) {
	list, err := s.Store.TemplateVersions(ctx, name)
	if err != nil || name == "" {
		return nil, 0, errors.Join(err, gateway.ErrNotFound)
	}
	for i := range list {
		if list[i].Version == version {
			return &list[i], inForce(list)[name], nil
		}
	}
	return nil, 0, gateway.ErrNotFound
}

// keep does one thing, with its entry in the audit log, and puts it in force here.
// Other replicas find it when they next ask.
func (s *Service) keep(ctx context.Context, actor string, step gateway.TemplateStep, verb, digest string) error {
	kept, err := s.Store.Commit(ctx, gateway.Change{
		At: s.Now(), Actor: actor, Key: gateway.KeyOf(ctx), Templates: []gateway.TemplateStep{step},
		Audit: []gateway.Audit{{Verb: verb, Object: fmt.Sprintf("template:%s:%d", step.Name, step.Version), Detail: "digest " + digest}},
	})
	if err != nil {
		return err
	}
	if kept.Replayed != nil {
		return gateway.ErrReplayed
	}
	if _, err := s.Reload(context.WithoutCancel(ctx)); err != nil {
		s.Fault(fmt.Errorf("texts were changed, and will be in force a little later: %w", err))
	}
	return nil
}
