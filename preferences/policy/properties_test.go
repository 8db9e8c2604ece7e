package policy

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// The generators reach every outcome and every rule, or the properties say little.
func TestGeneratorsReachEveryRule(t *testing.T) {
	p := testPolicy(t)
	seen, outcomes := map[Code]int{}, map[Outcome]int{}
	type drawn struct {
		s *preferences.Snapshot
		q Question
	}
	gen := rapid.Custom(func(t *rapid.T) drawn { s, q := draw(t); return drawn{s, q} })
	for seed := range 4000 {
		g := gen.Example(seed)
		d := p.Decide(g.s, g.q)
		outcomes[d.Outcome]++
		seen[d.Code]++
		for _, c := range d.Considered {
			seen[c.Code]++
		}
	}
	for code := range sentences {
		if code != PatientUnknown && seen[code] == 0 {
			t.Errorf("no question met %q", code)
		}
	}
	for o := Send; o <= NeedsStaff; o++ {
		if outcomes[o] < 100 {
			t.Errorf("%s came out %d times of 4000", o, outcomes[o])
		}
	}
}

// 45 CFR 164.522(b): nothing ever passes a confidential communication instruction.
func TestConfidentialCommunicationIsNeverPassed(t *testing.T) {
	p := testPolicy(t)
	rapid.Check(t, func(t *rapid.T) {
		s, q := draw(t)
		if s.Confidential == nil {
			s.Confidential = &preferences.Confidential{Only: []preferences.Pair{drawPair(s).Draw(t, "only")}}
		}
		d := p.Decide(s, q)
		if (d.Outcome == Send || d.Outcome == Defer) && !slices.Contains(s.Confidential.Only, d.Pair) {
			t.Fatalf("%s by %v", d.Outcome, d.Pair)
		}
		for _, c := range d.Considered {
			if c.Verdict != Refused && !slices.Contains(s.Confidential.Only, c.Pair) {
				t.Fatalf("%v is %s", c.Pair, c.Verdict)
			}
		}
		if (d.Outcome == Send || d.Outcome == Defer) && d.Discreet != s.Confidential.Discreet {
			t.Fatal("discreet is not what the patient asked for")
		}
	})
}

// The same facts give the same answer: in whatever order they stand on record,
// whatever zone a clock shows, and however often the policy is compiled.
func TestOrderAndClockFaceChangeNothing(t *testing.T) {
	policies := []*Policy{testPolicy(t), testPolicy(t)}
	faces := []*time.Location{time.UTC, load("Asia/Kathmandu"), load("America/St_Johns"), time.FixedZone("west", -12*3600)}
	rapid.Check(t, func(t *rapid.T) {
		s, q := draw(t)
		want := policies[0].Decide(s, q)
		o := copied(s)
		o.Zones = preferences.ZoneSetOf(rapid.Permutation(o.Zones.Names()).Draw(t, "zones")...)
		o.Choices = rapid.Permutation(o.Choices).Draw(t, "choices")
		o.Restrictions = rapid.Permutation(o.Restrictions).Draw(t, "restrictions")
		o.Authorizations = rapid.Permutation(o.Authorizations).Draw(t, "authorizations")
		if o.Confidential != nil {
			o.Confidential.Only = rapid.Permutation(o.Confidential.Only).Draw(t, "only")
		}
		for i := range q.Usage {
			q.Usage[i] = rapid.Permutation(q.Usage[i]).Draw(t, "usage")
		}
		face := rapid.SampledFrom(faces).Draw(t, "face")
		for _, moment := range []*time.Time{&q.Now, &q.SendAt, &q.ExpiresAt} {
			if !moment.IsZero() {
				*moment = moment.In(face)
			}
		}
		got := policies[1].Decide(o, q)
		if !Same(want, got) || !want.WindowEnds.Equal(got.WindowEnds) || want.PolicyVersion != got.PolicyVersion || want.UrgentIgnored != got.UrgentIgnored {
			t.Fatalf("was %+v\nis  %+v", want, got)
		}
	})
}

// A patient's safety: an essential message never vanishes quietly.
func TestEssentialNeverVanishes(t *testing.T) {
	p := testPolicy(t)
	rapid.Check(t, func(t *rapid.T) {
		s, q := draw(t)
		cat, _ := p.Category(q.Category)
		d := p.Decide(s, q)
		switch d.Outcome {
		case Send, Defer:
			if d.Pair.Channel == 0 || d.Pair.Address == 0 {
				t.Fatalf("%s by nothing", d.Outcome)
			}
		case NeedsStaff:
			if cat.Class != Essential || d.Code == "" {
				t.Fatalf("a task for a %s message, code %q", cat.Class, d.Code)
			}
		case Suppress:
			if cat.Class == Essential && !slices.Contains([]Code{PatientUnknown, PatientErased, PatientDeceased, PatientMinor}, d.Code) {
				t.Fatalf("suppressed by %s", d.Code)
			}
			if d.Code == "" {
				t.Fatal("suppressed for no reason")
			}
		default:
			t.Fatalf("outcome %d", d.Outcome)
		}
	})
}

func TestScreeningAgreesWithTheDecision(t *testing.T) {
	p := testPolicy(t)
	rapid.Check(t, func(t *rapid.T) {
		s, q := draw(t)
		d := p.Decide(s, q)
		if outcome, code, by := p.Screen(s, q); outcome != d.Outcome || code != d.Code || by != d.Pair {
			t.Fatalf("screening says %s %q by %v, the decision %s %q by %v", outcome, code, by, d.Outcome, d.Code, d.Pair)
		}
	})
}

// 47 CFR 64.1200(c)(1): a text or call goes inside the window wherever its person
// may be, and is over when the window ends.
func TestNothingGoesOutsideItsWindow(t *testing.T) {
	p := testPolicy(t)
	rapid.Check(t, func(t *rapid.T) {
		s, q := draw(t)
		d := p.Decide(s, q)
		cat, _ := p.Category(q.Category)
		passes := cat.Class == Essential && (q.Urgent || q.Override)
		if d.Pair.Channel == channels.Email || d.Pair.Channel == 0 || passes {
			return
		}
		a := s.AddressByID(d.Pair.Address)
		switch moment := q.at(); d.Outcome {
		case Send:
			if !inside(cat.Program, moment, s, a) {
				t.Fatalf("sent at %s", moment)
			}
			if !inside(cat.Program, d.WindowEnds.Add(-time.Second), s, a) || inside(cat.Program, d.WindowEnds, s, a) || !d.WindowEnds.After(moment) {
				t.Fatalf("the window does not end at %s", d.WindowEnds)
			}
		case Defer:
			if !inside(cat.Program, d.Until, s, a) || !d.Until.After(moment) {
				t.Fatalf("deferred from %s to %s", moment, d.Until)
			}
			if earlier := d.Until.Add(-time.Second); d.Code == QuietHours && len(q.Usage[cat.Program]) == 0 && inside(cat.Program, earlier, s, a) {
				t.Fatalf("deferred to %s, a second earlier was open too", d.Until)
			}
		}
	})
}

// What was deferred goes when its time has come, by the way that was named. One
// pair may take over: an essential message that would have waited more than 12
// hours for a better-ranked pair may have only little left to wait for it.
func TestADeferralEndsInASend(t *testing.T) {
	p := testPolicy(t)
	rapid.Check(t, func(t *rapid.T) {
		s, q := draw(t)
		s.AdultFrom, s.Authorizations = 0, slices.DeleteFunc(s.Authorizations, func(a preferences.Authorization) bool {
			return a.ExpiresOn.In(time.UTC).Before(q.at().AddDate(0, 0, 20))
		})
		d := p.Decide(s, q)
		if d.Outcome != Defer {
			return
		}
		place := func(d Decision) int {
			return slices.IndexFunc(d.Considered, func(c Considered) bool { return c.Pair == d.Pair })
		}
		for d.Outcome == Defer {
			q.Now, q.SendAt = d.Until, time.Time{}
			next := p.Decide(s, q)
			if next.Outcome == Send && next.Pair == d.Pair {
				return
			}
			cat, _ := p.Category(q.Category)
			if i := place(next); cat.Class == NonEssential || i < 0 || i >= place(d) || d.Considered[i].Verdict != Deferred {
				t.Fatalf("at %s it is %s by %v instead of a send by %v", q.Now, next.Outcome, next.Pair, d.Pair)
			}
			d = next
		}
	})
}

// A non-essential message goes by no pair whose last word is a no, or whose number
// or its neighbour stopped the program; an essential one never to a stopped number.
func TestNothingPassesANo(t *testing.T) {
	p := testPolicy(t)
	rapid.Check(t, func(t *rapid.T) {
		s, q := draw(t)
		d := p.Decide(s, q)
		if d.Outcome != Send && d.Outcome != Defer {
			return
		}
		cat, _ := p.Category(q.Category)
		a := s.AddressByID(d.Pair.Address)
		phone := d.Pair.Channel != channels.Email
		switch {
		case phone && a.Stops.Has(cat.Program):
			t.Fatalf("%s to a stopped number", d.Outcome)
		case cat.Class == Essential:
		case refusedByWord(s, cat, d.Pair.Channel, a):
			t.Fatalf("%s against the last word", d.Outcome)
		case phone && stoppedFor(s, cat.Program):
			t.Fatalf("%s to another number of somebody who stopped", d.Outcome)
		}
	})
}

// A decision can be made again from what was kept of it.
func TestAKeptDecisionReplays(t *testing.T) {
	p := testPolicy(t)
	type kept struct {
		Question Question
		Decision Decision
		Snapshot *preferences.Snapshot
	}
	rapid.Check(t, func(t *rapid.T) {
		s, q := draw(t)
		body, err := json.Marshal(kept{q, p.Decide(s, q), s})
		if err != nil {
			t.Fatal(err)
		}
		var k kept
		if err := json.Unmarshal(body, &k); err != nil {
			t.Fatal(err)
		}
		if again := p.Decide(k.Snapshot, k.Question); !Same(k.Decision, again) {
			t.Fatalf("was %+v\nis  %+v", k.Decision, again)
		}
	})
}
