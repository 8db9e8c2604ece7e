package policy

import (
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// ruling is what the rules say of one pair.
type ruling struct {
	address *preferences.Address
	ch      channels.Channel
	verdict Verdict
	form    Form
	code    Code
	until   int64 // where it is deferred, Unix microseconds
}

func (r *ruling) pair() preferences.Pair {
	if r.address == nil {
		return preferences.Pair{}
	}
	return preferences.Pair{Channel: r.ch, Address: r.address.ID}
}

func (r *ruling) deferredTo() time.Time {
	if r.verdict != Deferred {
		return time.Time{}
	}
	return instant(r.until)
}

func (r *ruling) considered() Considered {
	return Considered{Pair: r.pair(), Verdict: r.verdict, Code: r.code, Until: r.deferredTo(), Form: r.form}
}

// outcome is what becomes of a message that goes by this pair.
func (r *ruling) outcome() (Outcome, Code) {
	if r.verdict == Deferred {
		return Defer, r.code
	}
	return Send, r.code
}

func (r *ruling) refuse(code Code) { r.verdict, r.code = Refused, code }

// postpone keeps the code of what deferred it first.
func (r *ruling) postpone(code Code) {
	if r.verdict != Deferred {
		r.verdict, r.code = Deferred, code
	}
}

// pair asks the rules, in order; the first that stops it gives the code.
func (i *inquiry) pair(r *ruling) {
	if code := i.address(r.pair(), r.address); code != "" {
		r.refuse(code)
		return
	}
	if code := i.words(r.ch, r.address); code != "" {
		r.refuse(code)
		return
	}
	form, code := i.content(r.ch)
	if code != "" {
		r.refuse(code)
		return
	}
	r.form, r.verdict = form, Allowed
	i.timing(r)
}

// address: the confidential instruction first. No class, consent, opt-in, staff
// override or fallback ever passes it: 45 CFR 164.522(b).
func (i *inquiry) address(pair preferences.Pair, a *preferences.Address) Code {
	switch {
	case i.s.Confidential != nil && !slices.Contains(i.s.Confidential.Only, pair):
		return ConfidentialOnly
	case slices.Contains(i.q.Excluded, pair):
		return DeliveryFailed
	case a.State == preferences.Bad:
		return AddressBad
	case a.State == preferences.WrongPerson:
		return WrongPerson
	case pair.Channel == channels.SMS && a.Line == preferences.Landline:
		return NotTextable
	}
	return ""
}

// words: what the person said. A stop binds whoever has the number, and a
// patient's other numbers for what is not essential: 47 CFR 64.1200(a)(10).
func (i *inquiry) words(ch channels.Channel, a *preferences.Address) Code {
	if ch != channels.Email && (a.Stops.Has(i.cat.Program) || i.other && !i.cat.essential) {
		return Stopped
	}
	have := min(a.Consent, preferences.Express) // written comes only from a choice
	if !i.cat.essential {
		last, said := lastWord(i.s, i.cat, ch, a)
		if said && !last.in {
			return OptedOut
		}
		if said {
			have = last.level
		}
	}
	if have < i.cat.Consent[ch] {
		return ConsentMissing
	}
	if i.cat.essential && !i.q.Override && slices.Contains(i.s.Care.Declined, ch) {
		return ChannelDeclined
	}
	return ""
}

// content picks the form in which the text may go: 45 CFR 164.502(b), 164.504(e).
func (i *inquiry) content(ch channels.Channel) (Form, Code) {
	content := i.cat.Content
	if i.q.ContentKnown {
		content = i.q.Content
	}
	form := Full
	tooMuch := content > i.q.Agreement[ch]
	switch {
	case content > i.cat.Content:
		return Full, ContentNotAllowed // a template that exceeds its category
	case tooMuch && !i.cat.SecureLink:
		return Full, ContentNotAllowed // less than the whole may not go in its place
	case ch == channels.Voice && (tooMuch || content == Clinical):
		form = CallBack // clinical content is never spoken
	case ch == channels.Voice:
	case tooMuch || content == Clinical && !i.s.UnencryptedOK:
		form = SecureLink
	}
	if form == SecureLink && !i.cat.SecureLink {
		return Full, ContentNotAllowed
	}
	if i.discreet() && i.q.DiscreetKnown && !i.q.HasDiscreet[ch][form] {
		return Full, ContentNotAllowed
	}
	return form, ""
}

func (i *inquiry) discreet() bool { return i.s.Confidential != nil && i.s.Confidential.Discreet }

// timing: windows and caps defer; a missing adapter and a missed time refuse.
func (i *inquiry) timing(r *ruling) {
	if i.waits && r.ch != channels.Email {
		i.wait(r)
	}
	switch {
	case r.verdict == Refused:
	case i.q.AtDispatch && !i.q.Adapters[r.ch]:
		r.refuse(NoAdapter)
	case i.at >= i.expires, r.verdict == Deferred && r.until >= i.expires:
		r.refuse(TooLate)
	}
}

// wait finds the first moment at which window and cap both allow.
func (i *inquiry) wait(r *ruling) {
	var list [room]*zone
	g, places := &i.p.programs[i.cat.Program], i.p.zones.places(list[:0], &i.s.Zones, &r.address.Zones)
	for at := i.at; ; {
		from := floorDiv(at, second)
		open, ok := g.next(from, places)
		if !ok {
			r.refuse(QuietHours)
			return
		}
		if open > from {
			at = open * second
			r.postpone(QuietHours)
		}
		free := i.p.capFrees(i.s, i.cat, r.address, i.q.Usage[i.cat.Program], at)
		if free == at {
			r.until = at
			return
		}
		at = free
		r.postpone(FrequencyCap)
	}
}

// windowEnds gives when the window of a text or call that goes now ends, and the zero
// time where it goes at any hour.
func (i *inquiry) windowEnds(r *ruling) time.Time {
	if r.verdict != Allowed || r.ch == channels.Email || !i.waits {
		return time.Time{}
	}
	var list [room]*zone
	g, places := &i.p.programs[i.cat.Program], i.p.zones.places(list[:0], &i.s.Zones, &r.address.Zones)
	return instant(g.closing(floorDiv(i.at, second), places) * second)
}
