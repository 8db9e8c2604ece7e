// Package policy is the decision: may this message go now, by which way, and why.
// A message, what is known of the patient, the policy in force and a clock go in;
// a decision with its whole reasoning comes out. No I/O, no hidden clock.
package policy

import (
	"cmp"
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// Question is what is asked about one message.
type Question struct {
	Category      string             `json:"category"`
	Channels      []channels.Channel `json:"channels,omitempty"` // the request's
	Content       Content            `json:"content"`            // the template's
	ContentKnown  bool               `json:"content_known"`      // false: the most that the category may carry
	HasDiscreet   [4][3]bool         `json:"has_discreet"`       // by channel and form
	DiscreetKnown bool               `json:"discreet_known"`     // false: every discreet text is there
	Now           time.Time          `json:"now"`
	SendAt        time.Time          `json:"send_at"`    // zero: now
	ExpiresAt     time.Time          `json:"expires_at"` // zero: never
	Urgent        bool               `json:"urgent,omitempty"`
	Override      bool               `json:"override,omitempty"` // staff, with a written reason
	Excluded      []preferences.Pair `json:"excluded,omitempty"` // fallback: pairs that failed
	AtDispatch    bool               `json:"at_dispatch,omitempty"`
	Adapters      [4]bool            `json:"adapters"`  // by channel; asked at dispatch only
	Agreement     [4]Content         `json:"agreement"` // by channel: the most that the provider's agreement allows
	Usage         Usage              `json:"usage"`
}

// at is the moment the question is judged for.
func (q *Question) at() time.Time {
	if q.SendAt.After(q.Now) {
		return q.SendAt
	}
	return q.Now
}

// overrides: a staff override passes channel_declined, quiet_hours and
// frequency_cap for an essential message, and nothing else.
func (q *Question) overrides(c *Category) bool { return q.Override && c.Class == Essential }

// Considered is one pair and what the rules say of it.
type Considered struct {
	Pair    preferences.Pair `json:"pair"`
	Verdict Verdict          `json:"verdict"`
	Code    Code             `json:"code,omitempty"`
	Until   time.Time        `json:"until,omitzero"`
	Form    Form             `json:"form"`
}

// Decision is the answer, with its reasoning.
type Decision struct {
	Outcome         Outcome          `json:"outcome"`
	Code            Code             `json:"code,omitempty"`
	Pair            preferences.Pair `json:"pair"`
	Form            Form             `json:"form"`
	Discreet        bool             `json:"discreet,omitempty"`
	Until           time.Time        `json:"until,omitzero"`
	WindowEnds      time.Time        `json:"window_ends,omitzero"` // of a text or call that goes now
	Considered      []Considered     `json:"considered"`
	UrgentIgnored   bool             `json:"urgent_ignored,omitempty"`
	PolicyVersion   string           `json:"policy_version"`
	SnapshotVersion int64            `json:"snapshot_version"`
	At              time.Time        `json:"at"`
}

// Decide answers a question. A nil snapshot is an unknown patient.
func (p *Policy) Decide(s *preferences.Snapshot, q Question) Decision {
	var list []Considered
	d := p.judge(s, &q, &list)
	d.Considered, d.PolicyVersion, d.At = list, p.Version, q.Now
	return d
}

// Screen gives the same outcome and code without the explanation.
func (p *Policy) Screen(s *preferences.Snapshot, q Question) (Outcome, Code) {
	d := p.judge(s, &q, nil)
	return d.Outcome, d.Code
}

func (p *Policy) judge(s *preferences.Snapshot, q *Question, list *[]Considered) Decision {
	cat := p.category[q.Category]
	if s == nil {
		return Decision{Outcome: Suppress, Code: PatientUnknown}
	}
	d := Decision{SnapshotVersion: s.Version}
	if cat == nil { // callers check; a category that the policy lost is nobody's consent
		d.Outcome, d.Code = Suppress, ChannelNotOffered
		return d
	}
	d.UrgentIgnored = q.Urgent && cat.Class != Essential
	i := &inquiry{p: p, s: s, q: q, cat: cat, at: q.at()}
	if outcome, code := i.patient(); code != "" {
		d.Outcome, d.Code = outcome, code
		return d
	}
	i.other = i.stoppedSomewhere()
	d.Discreet = i.discreet()
	i.choose(&d, list)
	return d
}

// patient asks the rules that stop everything.
func (i *inquiry) patient() (Outcome, Code) {
	switch {
	case i.s.Standing == preferences.Erased:
		return Suppress, PatientErased
	case i.s.Standing == preferences.Deceased:
		return Suppress, PatientDeceased
	case i.s.AdultFrom > i.at.UnixMicro():
		return Suppress, PatientMinor
	case i.restricted():
		return i.refusal(), PurposeRestricted
	case i.cat.Authorization && !i.authorized():
		return i.refusal(), AuthorizationMissing
	}
	return 0, ""
}

// refusal: an essential message becomes a task for a person and never vanishes.
func (i *inquiry) refusal() Outcome {
	if i.cat.Class == Essential {
		return NeedsStaff
	}
	return Suppress
}

// restricted: 45 CFR 164.522(a); a legal duty is never blocked by an agreement.
func (i *inquiry) restricted() bool {
	return i.cat.Purpose != Legal && slices.ContainsFunc(i.s.Restrictions, func(r preferences.Restriction) bool {
		return r.Category == i.cat.Name || r.Purpose != "" && Purpose(r.Purpose) == i.cat.Purpose
	})
}

// authorized: in force from the signing until the start of the expiry, on the
// patient's calendar; where that is not certain, in every zone. 45 CFR 164.508.
func (i *inquiry) authorized() bool {
	var list [room]*time.Location
	places := i.p.places(list[:0], i.s.Zones, preferences.ZoneSet{})
	return slices.ContainsFunc(i.s.Authorizations, func(a preferences.Authorization) bool {
		if a.Category != i.cat.Name || a.SignedOn.IsZero() || a.ExpiresOn.IsZero() {
			return false
		}
		for _, loc := range places {
			if i.at.Before(a.SignedOn.In(loc)) || !i.at.Before(a.ExpiresOn.In(loc)) {
				return false
			}
		}
		return true
	})
}

func (i *inquiry) stoppedSomewhere() bool {
	return slices.ContainsFunc(i.s.Addresses, func(a preferences.Address) bool {
		return a.Stops.Has(i.cat.Program) && i.offered(&a, 0)
	})
}

// offered: an address on the record, or one that the confidential instruction
// names (for this channel, where one is given).
func (i *inquiry) offered(a *preferences.Address, ch channels.Channel) bool {
	if a.OnRecord {
		return true
	}
	return i.s.Confidential != nil && slices.ContainsFunc(i.s.Confidential.Only, func(p preferences.Pair) bool {
		return p.Address == a.ID && (ch == 0 || p.Channel == ch)
	})
}

// order gives the channels in the order they are tried: for essential messages the
// patient's, completed from the request's, then the category's.
func (i *inquiry) order() []channels.Channel {
	list := make([]channels.Channel, 0, len(channels.Channels))
	add := func(from []channels.Channel) {
		for _, ch := range from {
			shared := slices.Contains(i.cat.Channels, ch) && (len(i.q.Channels) == 0 || slices.Contains(i.q.Channels, ch))
			if shared && !slices.Contains(list, ch) {
				list = append(list, ch)
			}
		}
	}
	if i.cat.Class == Essential {
		add(i.s.Care.Order)
	}
	add(i.q.Channels)
	add(i.cat.Channels)
	return list
}

// candidate is an offered pair with its place in the order.
type candidate struct {
	ch   channels.Channel
	a    *preferences.Address
	last bool // an essential message to another number of somebody who stopped: after everything else
}

func (i *inquiry) candidates(order []channels.Channel) []candidate {
	list := make([]candidate, 0, 8)
	for _, ch := range order {
		from := len(list)
		for k := range i.s.Addresses {
			a := &i.s.Addresses[k]
			if a.Kind.Carries(ch) && i.offered(a, ch) {
				last := i.other && i.cat.Class == Essential && ch != channels.Email && !a.Stops.Has(i.cat.Program)
				list = append(list, candidate{ch, a, last})
			}
		}
		slices.SortStableFunc(list[from:], func(x, y candidate) int { return cmp.Compare(x.a.Rank, y.a.Rank) })
	}
	slices.SortStableFunc(list, func(x, y candidate) int {
		if x.last == y.last {
			return 0
		}
		if x.last {
			return 1
		}
		return -1
	})
	return list
}

// longWait: an essential message does not wait longer for one way while another is open.
const longWait = 12 * time.Hour

// choose takes the first pair that is allowed, or deferred to a moment before it
// expires; for an essential message a long wait comes after every allowed pair.
func (i *inquiry) choose(d *Decision, list *[]Considered) {
	order := i.order()
	candidates := i.candidates(order)
	var best, reserve *ruling
	var first Code
	for n, c := range candidates {
		r := i.pair(c.ch, c.a)
		if list != nil {
			*list = append(*list, r.Considered)
		}
		if n == 0 {
			first = r.Code
		}
		if r.Verdict == Refused || best != nil {
			continue
		}
		patient := i.cat.Class == NonEssential || r.Verdict == Allowed || r.Code != FrequencyCap && r.Until.Sub(i.at) <= longWait
		switch {
		case patient:
			best = &r
		case reserve == nil:
			reserve = &r
		}
	}
	if best == nil {
		best = reserve
	}
	switch {
	case best != nil:
		d.Pair, d.Form, d.Code, d.Until, d.WindowEnds = best.Pair, best.Form, best.Code, best.Until, best.ends
		d.Outcome = Send
		if best.Verdict == Deferred {
			d.Outcome = Defer
		}
		return
	case len(order) == 0:
		first = ChannelNotOffered
	case len(candidates) == 0:
		first = NoAddress
	}
	d.Outcome, d.Code = i.refusal(), first
	if len(candidates) == 0 && list != nil {
		*list = append(*list, Considered{Verdict: Refused, Code: first})
	}
}

// Same says whether two decisions come to the same: outcome, code, the chosen pair
// and its form, and what was said of every pair that was looked at.
func Same(a, b Decision) bool {
	return a.Outcome == b.Outcome && a.Code == b.Code && a.Pair == b.Pair && a.Form == b.Form && a.Discreet == b.Discreet && a.Until.Equal(b.Until) &&
		slices.EqualFunc(a.Considered, b.Considered, func(x, y Considered) bool {
			return x.Pair == y.Pair && x.Verdict == y.Verdict && x.Code == y.Code && x.Form == y.Form && x.Until.Equal(y.Until)
		})
}
