package policy

import (
	"math"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// inquiry is one question about one patient while it is judged.
type inquiry struct {
	p       *Policy
	s       *preferences.Snapshot
	q       *Question
	cat     *Category
	at      int64 // the moment it is judged for, Unix microseconds
	expires int64 // the first moment that is too late
	waits   bool  // for windows and caps
	other   bool  // some number of the patient stopped this program
}

// instant gives a moment counted in microseconds as a time.
func instant(at int64) time.Time { return time.UnixMicro(at).UTC() }

// judge asks every rule, in order, and leaves in by the pair that the message goes by.
// It fills in d's reasoning while it goes along; d is nil where nobody wants to read
// it, and then what cannot change the answer any more is left out.
func (i *inquiry) judge(by *ruling, d *Decision) (Outcome, Code) {
	i.cat = i.p.find(i.q.Category)
	switch {
	case i.s == nil:
		return Suppress, PatientUnknown
	case i.cat == nil: // callers check; a category that the policy lost is nobody's consent
		return Suppress, ChannelNotOffered
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
		return outcome, code
	}
	i.other = i.stoppedSomewhere()
	if d != nil {
		d.Discreet = i.discreet()
	}
	return i.choose(by, d)
}

// patient asks the rules that stop everything.
func (i *inquiry) patient() (Outcome, Code) {
	if code := i.standing(); code != "" {
		return Suppress, code
	}
	if code := i.agreements(); code != "" {
		return i.refusal(), code
	}
	return 0, ""
}

// standing: whom no message of any class reaches.
func (i *inquiry) standing() Code {
	switch {
	case i.s.Standing == preferences.Erased:
		return PatientErased
	case i.s.Standing == preferences.Deceased:
		return PatientDeceased
	case i.s.AdultFrom > i.at:
		return PatientMinor
	}
	return ""
}

// agreements: what the practice agreed to, and what it needs the patient's agreement for.
func (i *inquiry) agreements() Code {
	switch {
	case i.restricted():
		return PurposeRestricted
	case i.cat.Authorization && !i.authorized():
		return AuthorizationMissing
	}
	return ""
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
	for k := range i.s.Restrictions {
		r := &i.s.Restrictions[k]
		if r.Category == i.cat.Name || r.Purpose != "" && Purpose(r.Purpose) == i.cat.Purpose {
			return i.cat.Purpose != Legal
		}
	}
	return false
}

// authorized: in force from the signing until the start of the expiry, on the
// patient's calendar; where that is not certain, in every zone. 45 CFR 164.508.
func (i *inquiry) authorized() bool {
	var list [room]*zone
	places := i.p.zones.places(list[:0], &i.s.Zones, &preferences.ZoneSet{})
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
	return a.OnRecord || i.s.Confidential != nil && names(i.s.Confidential.Only, a.ID, ch)
}

func names(only []preferences.Pair, address int64, ch channels.Channel) bool {
	for _, p := range only {
		if p.Address == address && (ch == 0 || p.Channel == ch) {
			return true
		}
	}
	return false
}
