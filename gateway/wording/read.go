package wording

import (
	"context"
	"errors"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/templates"
)

// State is where a version stands.
type State string

// The states of a version.
const (
	Draft      State = "draft"      // waits for a second person
	InForce    State = "in_force"   // goes out
	Superseded State = "superseded" // a newer one goes out
	Retired    State = "retired"
	Unusable   State = "unusable" // approved, and the rules of today refuse it: nothing goes out under its name
)

// Version is one version, read.
type Version struct {
	gateway.TemplateVersion
	State State
	Text  *templates.Template // nil: the rules of today refuse it
	Fault error               // why
}

// Versions lists the practice's own texts by name and version; "" is every name.
func (s *Service) Versions(ctx context.Context, name string) ([]Version, error) {
	list, err := s.Store.TemplateVersions(ctx, name)
	if err != nil {
		return nil, err
	}
	newest := inForce(list)
	var got []Version
	for i := range list {
		v := Version{TemplateVersion: list[i]}
		v.Text, v.Fault = s.parse(&list[i])
		switch {
		case !v.Retired.IsZero():
			v.State = Retired
		case v.Approved.IsZero():
			v.State = Draft
		case newest[v.Draft.Name] != v.Version:
			v.State = Superseded
		case v.Text == nil:
			v.State = Unusable
		default:
			v.State = InForce
		}
		got = append(got, v)
	}
	return got, nil
}

// Text gives one version to look at, approved or not; 0 is the one in force.
// gateway.ErrNotFound, or why the rules of today refuse it.
func (s *Service) Text(ctx context.Context, name string, version int) (*templates.Template, error) {
	if version == 0 {
		if t, ok := s.Current().Get(name); ok {
			return t, nil
		}
		return nil, gateway.ErrNotFound
	}
	v, _, err := s.find(ctx, name, version)
	if err != nil {
		return nil, err
	}
	t, err := s.parse(v)
	if found := (templates.Findings)(nil); err != nil && !errors.As(err, &found) {
		return nil, gateway.ErrNotFound
	}
	return t, err
}
