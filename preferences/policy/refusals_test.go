package policy

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// refusal is one more no on record: how it changes what is known, and the pairs it
// binds, which must then never be chosen.
type refusal struct {
	name  string
	apply func(*preferences.Snapshot)
	binds func(preferences.Pair) bool
}

func everyPair(preferences.Pair) bool { return true }

// drawRefusal gives one of every kind of refusal there is.
func drawRefusal(t *rapid.T, s *preferences.Snapshot, q *Question, cat *Category) refusal {
	which := drawPair(s).Draw(t, "pair")
	ofAddress := func(change func(*preferences.Address)) func(*preferences.Snapshot) {
		return func(s *preferences.Snapshot) {
			if a := s.AddressByID(which.Address); a != nil {
				change(a)
			}
		}
	}
	thisAddress := func(p preferences.Pair) bool { return p.Address == which.Address }
	topic := rapid.SampledFrom([]string{cat.Name, preferences.TopicNonEssential}).Draw(t, "topic")
	restriction := preferences.Restriction{ID: 9, Category: cat.Name}
	if rapid.Bool().Draw(t, "purpose") {
		restriction = preferences.Restriction{ID: 9, Purpose: string(cat.Purpose)}
	}
	return rapid.SampledFrom([]refusal{
		{"stop", ofAddress(func(a *preferences.Address) {
			if a.Kind == channels.Phone {
				a.Stops |= channels.SetOf(cat.Program)
			}
		}), func(p preferences.Pair) bool {
			return p.Channel != channels.Email && thisAddress(p)
		}},
		{"bad address", ofAddress(func(a *preferences.Address) { a.State = preferences.Bad }), thisAddress},
		{"wrong person", ofAddress(func(a *preferences.Address) { a.State = preferences.WrongPerson }), thisAddress},
		{"spam report", ofAddress(func(a *preferences.Address) { a.OptedOut = 99 }), func(p preferences.Pair) bool {
			return cat.Class == NonEssential && p.Channel == channels.Email && thisAddress(p)
		}},
		{"latest opt-out", func(s *preferences.Snapshot) {
			s.Choices = append(s.Choices, preferences.Choice{Topic: topic, Channel: which.Channel, At: 99})
		}, func(p preferences.Pair) bool { return cat.Class == NonEssential && p.Channel == which.Channel }},
		{"latest opt-out on all channels", func(s *preferences.Snapshot) {
			s.Choices = append(s.Choices, preferences.Choice{Topic: topic, At: 99})
		}, func(preferences.Pair) bool { return cat.Class == NonEssential }},
		{"declined channel", func(s *preferences.Snapshot) { s.Care.Declined = append(s.Care.Declined, which.Channel) }, func(p preferences.Pair) bool {
			return cat.Class == Essential && !q.Override && p.Channel == which.Channel
		}},
		{"restriction", func(s *preferences.Snapshot) { s.Restrictions = append(s.Restrictions, restriction) }, func(preferences.Pair) bool {
			return cat.Purpose != Legal
		}},
		{"authorizations revoked", func(s *preferences.Snapshot) { s.Authorizations = nil }, func(preferences.Pair) bool { return cat.Authorization }},
		{"narrower confidential instruction", func(s *preferences.Snapshot) { narrow(s, which, cat) }, thisExactly(which)},
		{"death", func(s *preferences.Snapshot) { s.Standing = preferences.Deceased }, everyPair},
	}).Draw(t, "refusal")
}

func thisExactly(which preferences.Pair) func(preferences.Pair) bool {
	return func(p preferences.Pair) bool { return p == which }
}

// narrow takes one pair out of what the instruction in force allows, or else out of
// everything on the record. The pair of a stopped number that is off the record is
// only forbidden, by naming its number over another channel: a number that nothing
// names any more is not one of the patient's, and binds no other.
func narrow(s *preferences.Snapshot, out preferences.Pair, cat *Category) {
	next := &preferences.Confidential{Only: []preferences.Pair{}}
	if s.Confidential != nil {
		next.Discreet = s.Confidential.Discreet
		next.Only = append(next.Only, s.Confidential.Only...)
	} else {
		for i := range s.Addresses {
			for _, ch := range channels.Channels {
				if a := &s.Addresses[i]; a.OnRecord && a.Kind.Carries(ch) {
					next.Only = append(next.Only, preferences.Pair{Channel: ch, Address: a.ID})
				}
			}
		}
	}
	next.Only = slices.DeleteFunc(next.Only, thisExactly(out))
	if a := s.AddressByID(out.Address); a != nil && !a.OnRecord && a.Stops.Has(cat.Program) {
		next.Only = append(next.Only, preferences.Pair{Channel: channels.Email, Address: a.ID})
	}
	s.Confidential = next
}

// A refusal only takes ways away: what it binds is never chosen, no pair becomes
// better than it was, and a non-essential message that was held back stays so. (A
// pair that was already allowed may take over from one that was deferred.)
func TestRefusalsOnlyTighten(t *testing.T) {
	p := testPolicy(t)
	rapid.Check(t, func(t *rapid.T) {
		s, q := draw(t)
		cat, _ := p.Category(q.Category)
		r := drawRefusal(t, s, &q, cat)
		before := p.Decide(s, q)
		refused := copied(s)
		r.apply(refused)
		after := p.Decide(refused, q)

		if (after.Outcome == Send || after.Outcome == Defer) && r.binds(after.Pair) {
			t.Fatalf("%s: %s by %v all the same", r.name, after.Outcome, after.Pair)
		}
		for _, c := range after.Considered {
			if c.Verdict == Refused {
				continue
			}
			k := slices.IndexFunc(before.Considered, func(b Considered) bool { return b.Pair == c.Pair })
			if k < 0 {
				t.Fatalf("%s: opened %v", r.name, c.Pair)
			}
			if b := before.Considered[k]; b.Verdict != c.Verdict || b.Form != c.Form || !b.Until.Equal(c.Until) {
				t.Fatalf("%s: %v was %s %s until %s and is %s %s until %s", r.name, c.Pair, b.Verdict, b.Code, b.Until, c.Verdict, c.Code, c.Until)
			}
		}
		if cat.Class == NonEssential && before.Outcome == Suppress && after.Outcome != Suppress {
			t.Fatalf("%s: %s %s became %s", r.name, before.Outcome, before.Code, after.Outcome)
		}
	})
}
