package policy

import (
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// ruling is what the rules say of one pair.
type ruling struct {
	Considered
	ends time.Time // of the window it is inside of; zero where none applies
}

// inquiry is one question about one patient while it is judged.
type inquiry struct {
	p     *Policy
	s     *preferences.Snapshot
	q     *Question
	cat   *Category
	at    time.Time
	other bool // some number of the patient stopped this program
}

func refused(c Considered, code Code) ruling {
	c.Verdict, c.Code = Refused, code
	return ruling{Considered: c}
}

// pair asks the rules, in order; the first that stops it gives the code.
func (i *inquiry) pair(ch channels.Channel, a *preferences.Address) ruling {
	c := Considered{Pair: preferences.Pair{Channel: ch, Address: a.ID}}
	if code := i.address(c.Pair, a); code != "" {
		return refused(c, code)
	}
	if code := i.words(ch, a); code != "" {
		return refused(c, code)
	}
	form, code := i.content(ch)
	if code != "" {
		return refused(c, code)
	}
	c.Form = form
	return i.timing(c, a)
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
	if ch != channels.Email && (a.Stops.Has(i.cat.Program) || i.other && i.cat.Class == NonEssential) {
		return Stopped
	}
	have := min(a.Consent, preferences.Express) // written comes only from a choice
	if i.cat.Class == NonEssential {
		last, said := lastWord(i.s, i.cat, ch, a)
		if said && !last.In {
			return OptedOut
		}
		if said {
			have = level(&last)
		}
	}
	if have < i.cat.Consent[ch] {
		return ConsentMissing
	}
	if i.cat.Class == Essential && !i.q.overrides(i.cat) && slices.Contains(i.s.Care.Declined, ch) {
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
func (i *inquiry) timing(c Considered, a *preferences.Address) ruling {
	r := ruling{Considered: c}
	r.Verdict = Allowed
	if c.Pair.Channel != channels.Email && !(i.q.Urgent && i.cat.Class == Essential) && !i.q.overrides(i.cat) {
		i.wait(&r, a)
	}
	switch {
	case r.Verdict == Refused:
	case i.q.AtDispatch && !i.q.Adapters[c.Pair.Channel]:
		return refused(c, NoAdapter)
	case i.q.ExpiresAt.IsZero():
	case !i.at.Before(i.q.ExpiresAt), r.Verdict == Deferred && !r.Until.Before(i.q.ExpiresAt):
		return refused(c, TooLate)
	}
	return r
}

// wait finds the first moment at which window and cap both allow.
func (i *inquiry) wait(r *ruling, a *preferences.Address) {
	g := &i.p.programs[i.cat.Program]
	var list [room]*time.Location
	places := i.p.places(list[:0], i.s.Zones, a.Zones)
	at, code := i.at, Code("")
	for {
		open, ok := g.next(at, places)
		if !ok {
			*r = refused(r.Considered, QuietHours)
			return
		}
		if open.After(at) && code == "" {
			code = QuietHours
		}
		at = open
		free, until := i.p.CapFrees(i.s, i.cat, a, i.q.Usage[i.cat.Program], at)
		if free {
			break
		}
		if code == "" {
			code = FrequencyCap
		}
		at = until
	}
	if code == "" {
		r.ends = g.closing(at, places)
		return
	}
	r.Verdict, r.Code, r.Until = Deferred, code, at
}
