package policy

import (
	"math"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// inquiry is one question about one patient while it is judged.
type inquiry struct {
	p        *Policy
	s        *preferences.Snapshot
	q        *Question
	cat      *Category
	at       int64 // the moment it is judged for, Unix microseconds
	expires  int64 // the first moment that is too late
	waits    bool  // for windows and caps
	discreet bool
	other    bool // some number of the patient stopped this program
}

// answer is what the rules come to, and by which pair.
type answer struct {
	outcome Outcome
	code    Code
	by      ruling // the zero ruling where nothing goes
}

// instant gives a moment counted in microseconds as a time.
func instant(at int64) time.Time { return time.UnixMicro(at).UTC() }

// judge asks every rule, in order. It fills in d's reasoning while it goes along; d is
// nil where nobody wants to read it, and then what cannot change the answer any more
// is left out.
func (i *inquiry) judge(d *Decision) answer {
	i.cat = i.p.category[i.q.Category]
	switch {
	case i.s == nil:
		return answer{outcome: Suppress, code: PatientUnknown}
	case i.cat == nil: // callers check; a category that the policy lost is nobody's consent
		return answer{outcome: Suppress, code: ChannelNotOffered}
	}
	i.at, i.expires = i.q.at().UnixMicro(), math.MaxInt64
	if !i.q.ExpiresAt.IsZero() {
		i.expires = i.q.ExpiresAt.UnixMicro()
	}
	i.waits = !i.cat.essential || !i.q.Urgent && !i.q.Override
	if d != nil {
		d.UrgentIgnored = i.q.Urgent && !i.cat.essential
	}
	if outcome, code := i.patient(); code != "" {
		return answer{outcome: outcome, code: code}
	}
	i.other = i.stoppedSomewhere()
	i.discreet = i.s.Confidential != nil && i.s.Confidential.Discreet
	if d != nil {
		d.Discreet = i.discreet
	}
	return i.choose(d)
}

// patient asks the rules that stop everything.
func (i *inquiry) patient() (Outcome, Code) {
	switch {
	case i.s.Standing == preferences.Erased:
		return Suppress, PatientErased
	case i.s.Standing == preferences.Deceased:
		return Suppress, PatientDeceased
	case i.s.AdultFrom > i.at:
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
	if i.cat.essential {
		return NeedsStaff
	}
	return Suppress
}

// restricted: 45 CFR 164.522(a); a legal duty is never blocked by an agreement.
func (i *inquiry) restricted() bool {
	if len(i.s.Restrictions) == 0 || i.cat.Purpose == Legal {
		return false
	}
	for k := range i.s.Restrictions {
		r := &i.s.Restrictions[k]
		if r.Category == i.cat.Name || r.Purpose != "" && Purpose(r.Purpose) == i.cat.Purpose {
			return true
		}
	}
	return false
}

// authorized: in force from the signing until the start of the expiry, on the
// patient's calendar; where that is not certain, in every zone. 45 CFR 164.508.
func (i *inquiry) authorized() bool {
	var list [room]*zone
	places := i.p.zones.places(list[:0], i.s.Zones, preferences.ZoneSet{})
	for k := range i.s.Authorizations {
		a := &i.s.Authorizations[k]
		if a.Category == i.cat.Name && !a.SignedOn.IsZero() && !a.ExpiresOn.IsZero() && i.inForce(a, places) {
			return true
		}
	}
	return false
}

func (i *inquiry) inForce(a *preferences.Authorization, places []*zone) bool {
	signed, expires := dayOf(a.SignedOn), dayOf(a.ExpiresOn)
	for _, z := range places {
		if i.at < z.dayStart(signed)*second || i.at >= z.dayStart(expires)*second {
			return false
		}
	}
	return true
}

// stoppedSomewhere says whether a number that may be offered stopped the program.
func (i *inquiry) stoppedSomewhere() bool {
	for k := range i.s.Addresses {
		if a := &i.s.Addresses[k]; a.Stops.Has(i.cat.Program) && i.offered(a, 0) {
			return true
		}
	}
	return false
}

// offered: an address on the record, or one that the confidential instruction
// names (for this channel, where one is given).
func (i *inquiry) offered(a *preferences.Address, ch channels.Channel) bool {
	if a.OnRecord || i.s.Confidential == nil {
		return a.OnRecord
	}
	for _, p := range i.s.Confidential.Only {
		if p.Address == a.ID && (ch == 0 || p.Channel == ch) {
			return true
		}
	}
	return false
}

// longWait: an essential message does not wait longer for one way while another is
// open. In microseconds.
const longWait = 12 * 60 * 60 * second

// choose takes the first pair that is allowed, or deferred to a moment before it
// expires; for an essential message a long wait comes after every allowed pair.
func (i *inquiry) choose(d *Decision) answer {
	var ways [len(channels.Channels)]channels.Channel
	var pairs [room]candidate
	order := i.order(ways[:0])
	candidates := i.candidates(pairs[:0], order)
	if d != nil {
		d.Considered = make([]Considered, 0, max(len(candidates), 1))
	}
	var best, reserve ruling
	var first Code
	for n, c := range candidates {
		r := i.pair(c.ch, &i.s.Addresses[c.address])
		if d != nil {
			d.Considered = append(d.Considered, r.considered())
		}
		if n == 0 {
			first = r.code
		}
		if r.verdict == Refused || best.verdict != 0 {
			continue
		}
		switch patient := !i.cat.essential || r.verdict == Allowed || r.code != FrequencyCap && r.until-i.at <= longWait; {
		case patient && d == nil:
			return r.answer()
		case patient:
			best = r
		case reserve.verdict == 0:
			reserve = r
		}
	}
	switch {
	case best.verdict != 0:
		return best.answer()
	case reserve.verdict != 0:
		return reserve.answer()
	case len(order) == 0:
		first = ChannelNotOffered
	case len(candidates) == 0:
		first = NoAddress
	}
	if d != nil && len(candidates) == 0 {
		d.Considered = append(d.Considered, Considered{Verdict: Refused, Code: first})
	}
	return answer{outcome: i.refusal(), code: first}
}
