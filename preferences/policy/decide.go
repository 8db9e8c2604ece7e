// Package policy is the decision: may this message go now, by which way, and why.
// A message, what is known of the patient, the policy in force and a clock go in;
// a decision with its whole reasoning comes out. No I/O, no hidden clock.
package policy

import (
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
	d := Decision{PolicyVersion: p.Version, At: q.Now}
	if s != nil {
		d.SnapshotVersion = s.Version
	}
	i := inquiry{p: p, s: s, q: &q}
	var by ruling
	d.Outcome, d.Code = i.judge(&by, &d)
	d.Pair, d.Form, d.Until, d.WindowEnds = by.pair(), by.form, by.deferredTo(), i.windowEnds(&by)
	return d
}

// Screen gives the same outcome, code and pair without the explanation. It asks the
// same rules, stops as soon as they are settled, and asks for no memory.
func (p *Policy) Screen(s *preferences.Snapshot, q Question) (Outcome, Code, preferences.Pair) {
	i := inquiry{p: p, s: s, q: &q}
	var by ruling
	outcome, code := i.judge(&by, nil)
	return outcome, code, by.pair()
}

// Same says whether two decisions come to the same: outcome, code, the chosen pair
// and its form, and what was said of every pair that was looked at.
func Same(a, b Decision) bool {
	return a.Outcome == b.Outcome && a.Code == b.Code && a.Pair == b.Pair && a.Form == b.Form && a.Discreet == b.Discreet && a.Until.Equal(b.Until) &&
		slices.EqualFunc(a.Considered, b.Considered, func(x, y Considered) bool {
			return x.Pair == y.Pair && x.Verdict == y.Verdict && x.Code == y.Code && x.Form == y.Form && x.Until.Equal(y.Until)
		})
}
