package templates

import (
	"maps"
	"slices"

	"harmonize.care/heed/channels"
)

// shared is what every template has from the set it was made in.
type shared struct {
	texts  []string
	footer map[string]footer
	layout layout
	voice  voice
}

// Own is one approved version of a practice's template.
type Own struct {
	Name    string
	Text    *Template // nil: it can no longer be used
	InForce bool      // goes out under its name from now on
}

// versionOf picks one wording of a name that was ever approved.
type versionOf struct{ name, digest string }

// With gives a set in which the practice's own templates stand beside the built-in
// ones, or in their place. A version in force that can no longer be used leaves its
// name without a text: nothing else is put in its place, since the practice has
// replaced that.
func (s *Set) With(own []Own) *Set {
	with := &Set{shared: s.shared, byName: maps.Clone(s.byName), byDigest: map[versionOf]*Template{}}
	for _, t := range s.byName {
		with.byDigest[versionOf{t.Name, t.Digest}] = t
	}
	for _, o := range own {
		if o.Text != nil {
			with.byDigest[versionOf{o.Name, o.Text.Digest}] = o.Text
		}
		switch {
		case !o.InForce:
		case o.Text == nil:
			delete(with.byName, o.Name)
		default:
			with.byName[o.Name] = o.Text
		}
	}
	return with
}

// At gives the wording with a digest: what went out, whatever is in force now. An
// empty digest is the one in force.
func (s *Set) At(name, digest string) (*Template, bool) {
	if t, ok := s.byName[name]; ok && (digest == "" || t.Digest == digest) {
		return t, true
	}
	t, ok := s.byDigest[versionOf{name, digest}]
	return t, ok
}

// Languages lists the languages that every text is written in.
func Languages() []string { return languages() }

// Goes says whether the template has words for a channel: a full text, or by voice at
// least those that ask to call back.
func (t *Template) Goes(c channels.Channel) bool {
	return t.Has(c, Full, false) || c == channels.Voice && t.Has(c, CallBack, false)
}

// Channels lists the channels that the template has words for.
func (t *Template) Channels() []channels.Channel {
	return slices.DeleteFunc(slices.Clone(channels.Channels[:]), func(c channels.Channel) bool { return !t.Goes(c) })
}
