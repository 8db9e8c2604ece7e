package policy

import (
	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

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

// candidate is an offered pair with its place in the order.
type candidate struct {
	place   int32
	ch      channels.Channel
	address int // in the snapshot
}

// candidates adds every offered pair to list: by channel, by rank, and else as recorded.
func (i *inquiry) candidates(list []candidate, order []channels.Channel) []candidate {
	for n, ch := range order {
		for k := range i.s.Addresses {
			a := &i.s.Addresses[k]
			if !a.Kind.Carries(ch) || !i.offered(a, ch) {
				continue
			}
			c := candidate{int32(n)<<16 + int32(a.Rank), ch, k}
			if i.comesLast(ch, a) {
				c.place += 1 << 24
			}
			list = append(list, c)
			for m := len(list) - 1; m > 0 && list[m-1].place > c.place; m-- {
				list[m-1], list[m] = list[m], list[m-1]
			}
		}
	}
	return list
}

// comesLast: an essential message to another number of somebody who stopped, after
// everything else.
func (i *inquiry) comesLast(ch channels.Channel, a *preferences.Address) bool {
	return i.other && i.cat.essential && ch != channels.Email && !a.Stops.Has(i.cat.Program)
}
