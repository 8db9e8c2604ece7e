package policy

import (
	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// longWait: an essential message does not wait longer for one way while another is
// open. In microseconds.
const longWait = 12 * 60 * 60 * second

// choose takes the first pair that is allowed, or deferred to a moment before it
// expires; for an essential message a long wait comes after every allowed pair.
func (i *inquiry) choose(by *ruling, d *Decision) (Outcome, Code) {
	var room [len(channels.Channels)]channels.Channel
	order := i.order(room[:0])
	if d != nil {
		d.Considered = make([]Considered, 0, max(1, 2*len(i.s.Addresses)))
	}
	var tried walk // filled in where it lies: a literal is made elsewhere and copied
	tried.i, tried.order, tried.before = i, order, -1
	var reserve, behind ruling
	r, taken := by, false // judged in its place; once one is taken, the others beside it
	first := NoAddress
	for n := 0; tried.next(r); n++ {
		i.pair(r)
		if d != nil {
			d.Considered = append(d.Considered, r.considered())
		}
		if n == 0 {
			first = r.code
		}
		switch {
		case r.verdict == Refused || taken:
		case !i.cat.essential || r.verdict == Allowed || r.code != FrequencyCap && r.until-i.at <= longWait:
			if d == nil {
				return r.outcome()
			}
			r, taken = &behind, true
		case reserve.address == nil:
			reserve = *r
		}
	}
	if !taken {
		*by = reserve
	}
	if by.address != nil {
		return by.outcome()
	}
	if len(order) == 0 {
		first = ChannelNotOffered
	}
	if d != nil && len(d.Considered) == 0 {
		d.Considered = append(d.Considered, Considered{Verdict: Refused, Code: first})
	}
	return i.refusal(), first
}

// channelSet is a set of channels, one bit each.
type channelSet uint8

func setOf(list ...channels.Channel) channelSet {
	var s channelSet
	for _, ch := range list {
		s |= 1 << ch
	}
	return s
}

// order adds the channels to list, in the order they are tried: for essential messages
// the patient's, completed from the request's, then the category's. Offered are those
// that the category and the request share.
func (i *inquiry) order(list []channels.Channel) []channels.Channel {
	open := i.cat.offers
	if len(i.q.Channels) > 0 {
		open &= setOf(i.q.Channels...)
	}
	if i.cat.essential {
		list, open = pick(list, i.s.Care.Order, open)
	}
	list, open = pick(list, i.q.Channels, open)
	list, _ = pick(list, i.cat.Channels, open)
	return list
}

// pick adds those channels of from that are still open, and closes them.
func pick(list, from []channels.Channel, open channelSet) ([]channels.Channel, channelSet) {
	for _, ch := range from {
		if open&(1<<ch) != 0 {
			list, open = append(list, ch), open&^(1<<ch)
		}
	}
	return list, open
}

// walk goes through the offered pairs in the order they are tried: by channel, within
// it by rank, and else as recorded. An essential message to another number of somebody
// who stopped comes after everything else.
type walk struct {
	i      *inquiry
	order  []channels.Channel
	n      int // the channel in order
	before int // the address that was tried before on it, or -1
	last   bool
}

// next puts the next pair into r, or says that there is none.
func (w *walk) next(r *ruling) bool {
	for {
		for ; w.n < len(w.order); w.n++ {
			if w.before = w.address(w.order[w.n]); w.before >= 0 {
				*r = ruling{ch: w.order[w.n], address: &w.i.s.Addresses[w.before]}
				return true
			}
		}
		if w.last || !w.i.other || !w.i.cat.essential {
			return false
		}
		w.last, w.n = true, 0
	}
}

// address finds the best-ranked address behind the one that was tried before.
func (w *walk) address(ch channels.Channel) int {
	list, best := w.i.s.Addresses, -1
	for k := range list {
		a := &list[k]
		switch {
		case !a.Kind.Carries(ch) || !w.i.offered(a, ch) || w.i.comesLast(ch, a) != w.last:
		case w.before >= 0 && (a.Rank < list[w.before].Rank || a.Rank == list[w.before].Rank && k <= w.before):
		case best < 0 || a.Rank < list[best].Rank:
			best = k
		}
	}
	return best
}

func (i *inquiry) comesLast(ch channels.Channel, a *preferences.Address) bool {
	return i.other && i.cat.essential && ch != channels.Email && !a.Stops.Has(i.cat.Program)
}
