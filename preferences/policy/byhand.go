package policy

import (
	"cmp"
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// Hand asks what a person may still do for a patient by hand: dial a phone and speak,
// or post a letter.
type Hand struct {
	// Category is that of the message that the person would tell; "": what is talked
	// about is what the patient asked for or said, so that no agreement stands against it.
	Category string
	Now      time.Time
	// Danger is the phone from which words of danger have just come; 0: from none.
	Danger int64
}

// ByHand is the answer. It is made of the rules that bind a message, but for those
// that the law gives for machines: a stop, a consent and an hour are about automated
// texts and calls (47 CFR 64.1200), and a person who dials is none. A confidential
// communication instruction binds a person as well: 45 CFR 164.522(b).
type ByHand struct {
	Code     Code       // a rule on the patient forbids everything; "": none does
	Calls    []HandCall // every phone of the patient, those that may be called first
	Letter   Code       // why no letter may be posted; "": one may
	Content  Content    // the most that may be told to the patient
	Discreet bool       // the practice is not named to anybody but the patient
	// Of what it was made.
	PolicyVersion   string
	SnapshotVersion int64
}

// HandCall is what the rules say of one phone.
type HandCall struct {
	Address int64
	Verdict Verdict // Allowed or Refused
	Code    Code    // why it is refused
	// Mind is what stands against a machine's text or call to this phone: the person who
	// dials should know it.
	Mind  []Code
	Until time.Time // with QuietHours in Mind: when the hours begin again
	// ForDanger: it may be called only because of the words that came from it. Whoever
	// answers is told nothing: not who the patient is, nor what the practice does.
	ForDanger bool
}

// Nobody says why nobody may be called, or "" when somebody may.
func (b *ByHand) Nobody() Code {
	for i := range b.Calls {
		if b.Calls[i].Verdict == Allowed {
			return ""
		}
	}
	switch {
	case b.Code != "":
		return b.Code
	case len(b.Calls) > 0:
		return b.Calls[0].Code
	}
	return NoAddress
}

// ByHand answers a question. A nil snapshot is an unknown patient.
func (p *Policy) ByHand(s *preferences.Snapshot, h Hand) ByHand {
	b := ByHand{Content: Minimal, PolicyVersion: p.Version}
	if s == nil {
		b.Code, b.Letter = PatientUnknown, PatientUnknown
		return b
	}
	i := &inquiry{p: p, s: s, q: &Question{Now: h.Now}, cat: &Category{Program: channels.Care}, at: h.Now.UnixMicro()}
	b.SnapshotVersion, b.Discreet, b.Code = s.Version, i.discreet(), i.standing()
	if cat := p.find(h.Category); cat != nil {
		i.cat, b.Content = cat, cat.Content
		// What was restricted may still be used in an emergency: 45 CFR 164.522(a)(1)(iii).
		if b.Code == "" && h.Danger == 0 {
			b.Code = i.agreements()
		}
	}
	for k := range s.Addresses {
		a := &s.Addresses[k]
		if a.Kind.Carries(channels.Voice) && (i.offered(a, channels.Voice) || a.ID == h.Danger) {
			b.Calls = append(b.Calls, i.handCall(a, b.Code, h))
		}
	}
	slices.SortStableFunc(b.Calls, func(x, y HandCall) int {
		return cmp.Or(cmp.Compare(place(x, h), place(y, h)), cmp.Compare(s.AddressByID(x.Address).Rank, s.AddressByID(y.Address).Rank))
	})
	b.Letter = i.letter(b.Code)
	return b
}

// place: the phone that words of danger came from, then what is freely allowed, then
// what a machine could not reach, then what is refused.
func place(c HandCall, h Hand) int {
	switch {
	case c.Verdict == Refused:
		return 3
	case c.Address == h.Danger:
		return 0
	case len(c.Mind) == 0 || len(c.Mind) == 1 && c.Mind[0] == QuietHours: // the hour is the same everywhere, or nearly
		return 1
	}
	return 2
}

func (i *inquiry) handCall(a *preferences.Address, code Code, h Hand) HandCall {
	c := HandCall{Address: a.ID, Verdict: Allowed}
	if code == "" {
		code = i.address(preferences.Pair{Channel: channels.Voice, Address: a.ID}, a)
	}
	switch {
	case code == "":
	case a.ID == h.Danger:
		// The one exception that the crisis text has too: back to the number that has just
		// written. 45 CFR 164.512(j): to lessen a serious and imminent threat.
		c.ForDanger = true
	default:
		c.Verdict, c.Code = Refused, code
		return c
	}
	if a.Stops.Has(i.cat.Program) {
		c.Mind = append(c.Mind, Stopped)
	}
	if slices.Contains(i.s.Care.Declined, channels.Voice) {
		c.Mind = append(c.Mind, ChannelDeclined)
	}
	if h.Danger != 0 {
		return c
	}
	var list [room]*zone
	open, ok := i.p.programs[i.cat.Program].next(h.Now.Unix(), i.p.zones.places(list[:0], &i.s.Zones, &a.Zones))
	if !ok || open > h.Now.Unix() {
		c.Mind = append(c.Mind, QuietHours)
	}
	if open > h.Now.Unix() {
		c.Until = time.Unix(open, 0).UTC()
	}
	return c
}

// letter: an instruction that names phones or mailboxes names no letter box; an empty
// one asks for letters, unless it only holds everything back until its note is read.
func (i *inquiry) letter(code Code) Code {
	if c := i.s.Confidential; code == "" && c != nil && (len(c.Only) > 0 || c.Hold) {
		return ConfidentialOnly
	}
	return code
}
