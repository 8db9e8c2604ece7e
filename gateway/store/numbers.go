package store

import (
	"encoding/json"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// number is a locked row of numbers.
type number struct {
	stops    channels.ProgramSet
	said     map[channels.Program]int64
	optedOut int64 // a mailbox has a row too: the last spam report
}

// foldNumbers applies what was said of numbers and mailboxes, in the order in which
// it was said: by the provider's clock, a tie goes to STOP.
func (r *ride) foldNumbers() error {
	heard := map[string]*number{}
	holders := r.holders()
	for _, u := range r.units {
		for i := range u.c.Numbers {
			f := &u.c.Numbers[i]
			key := r.keys.addressKey(f.Number)
			if err := r.appendLedger("n"+key, r.keys.general, &f.Event); err != nil {
				return err
			}
			if f.Event.Kind == preferences.TextReceived {
				if err := u.replyReceived(key, f.Event.ID); err != nil {
					return err
				}
				continue
			}
			// The instants are kept even where the bits are what they were: a second STOP
			// holds against a START said between the two.
			heard[key] = r.numbers[key]
			u.foldNumber(f, key, holders[key])
		}
	}
	list := r.table("key TEXT, stops BIGINT, said TEXT, opted_out BIGINT")
	for key, n := range heard {
		said, err := json.Marshal(n.said)
		if err != nil {
			return err
		}
		list.row(key, n.stops, string(said), n.optedOut)
	}
	return r.all(list, "UPDATE numbers SET stops = e.stops, said = e.said, opted_out = e.opted_out FROM "+list.from(1)+" WHERE numbers.key = e.key")
}

func (u *unit) foldNumber(f *gateway.NumberFact, key string, holders []holder) {
	news := u.numbers[key].apply(&f.Event)
	u.kept.News[f.Number] = u.kept.News[f.Number] || news
	if !news {
		return
	}
	u.mirrorNumber(key, &f.Event)
	for _, h := range holders {
		// One whose record it was taken from moves too: an address that comes back is
		// as bound as it ever was.
		a := h.snapshot.AddressByID(h.address)
		h.moved = h.moved || a != nil
		if a != nil && h.snapshot.Has(a) { // others are told nothing of who has it now
			u.preferenceChanged(h.snapshot.Patient, f.Event.Kind)
		}
	}
	if f.Reply != nil {
		u.c.Accepts = append(u.c.Accepts, *f.Reply)
	}
}

// holder is a locked patient who has, or had, an address.
type holder struct {
	*patient
	address int64
}

// holders lists the locked patients by the keys of their addresses.
func (r *ride) holders() map[string][]holder {
	got := map[string][]holder{}
	for _, p := range r.patients {
		for id, key := range p.keys {
			got[key] = append(got[key], holder{p, id})
		}
	}
	return got
}

// apply says whether what binds the number or mailbox changed. The instants of stops
// move even where the bits do not, so that an older START stays without effect.
func (n *number) apply(e *preferences.Event) bool {
	if e.Kind == preferences.SpamReported {
		news := e.Said > n.optedOut
		n.optedOut = max(n.optedOut, e.Said)
		return news
	}
	before := n.stops
	for _, p := range e.Programs.List() {
		stop := e.Kind == preferences.NumberStopped
		last, spoken := n.said[p]
		if spoken && (e.Said < last || e.Said == last && !stop) {
			continue
		}
		n.said[p] = e.Said
		if stop {
			n.stops |= channels.SetOf(p)
		} else {
			n.stops &^= channels.SetOf(p)
		}
	}
	return n.stops != before
}
