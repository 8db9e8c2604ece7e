package store

import (
	"maps"
	"slices"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// What may have to go to a provider's list of opt-outs is derived from the change, as
// events are: no use case can forget it, and no kill falls between. The change is never
// held up by it: it writes one row, and a loop of its own makes the call.

// mirrored is what a change says about one address.
type mirrored struct {
	kind      channels.Kind
	lift, out channels.ProgramSet // asked for again with proof; refused
}

func (u *unit) mirror(key string, m mirrored) {
	if u.mirrors == nil {
		u.mirrors = map[string]mirrored{}
	}
	old := u.mirrors[key]
	m.lift, m.out = m.lift|old.lift, m.out|old.out
	u.mirrors[key] = m
}

// mirrorNumber: something new was said of a number or a mailbox. A START from the number
// itself is proof, and staff lift a stop only on evidence.
func (u *unit) mirrorNumber(key string, e *preferences.Event) {
	switch e.Kind {
	case preferences.NumberStopped:
		u.mirror(key, mirrored{kind: channels.Phone, out: e.Programs})
	case preferences.NumberStarted:
		u.mirror(key, mirrored{kind: channels.Phone, lift: e.Programs})
	case preferences.SpamReported:
		u.mirror(key, mirrored{kind: channels.Mailbox, out: channels.SetOf(channels.Marketing)})
	}
}

// mirrorPatient: something was said by, or of, a patient. Of somebody who never refused
// anything, and asks for nothing, there is nothing to tell.
func (u *unit) mirrorPatient(f *gateway.PatientFact, p *patient) {
	m, touched := mirrored{kind: channels.Mailbox}, false
	for i := range f.Events {
		switch e := &f.Events[i]; e.Kind {
		case preferences.ContactSet, preferences.ConfidentialSet, preferences.ConfidentialEnded:
			touched = true
		case preferences.ChoiceMade:
			touched = true
			switch {
			case e.Choice.Channel != 0 && e.Choice.Channel != channels.Email:
			case e.Choice.In && proven(e):
				m.lift = channels.SetOf(channels.Marketing)
			case !e.Choice.In && (e.Choice.Topic == preferences.TopicMarketing || e.Choice.Topic == preferences.TopicNonEssential):
				m.out = channels.SetOf(channels.Marketing)
			}
		}
	}
	if !touched {
		return
	}
	for id, key := range p.keys {
		a := p.snapshot.AddressByID(id)
		if a != nil && a.Kind == channels.Mailbox && (m.lift != 0 || refuses(p.snapshot, u.numbers[key])) {
			u.mirror(key, m)
		}
	}
	for _, t := range f.Texts { // a number whose stop came before anybody had it
		key := u.keys.addressKey(t.Value)
		if n := u.numbers[key]; t.Kind == channels.Phone && n != nil && n.stops != 0 {
			u.mirror(key, mirrored{kind: channels.Phone})
		}
	}
}

// proven: an opt-in takes somebody off a provider's list only where it is shown how it was
// given, and never where it came with an import, which only tightens. 15 U.S.C.
// 7704(a)(4)(B): affirmative consent after the opt-out.
func proven(e *preferences.Event) bool {
	return e.Source != preferences.FromImport && len(e.Evidence) > 0
}

// refuses says whether anything was ever refused on email. n is the mailbox's row, or nil.
func refuses(s *preferences.Snapshot, n *number) bool {
	return n != nil && n.optedOut != 0 || slices.ContainsFunc(s.Choices, func(c preferences.Choice) bool {
		return !c.In && (c.Channel == 0 || c.Channel == channels.Email)
	})
}

// writeMirrors makes what was said due, all in one statement and in the keys' order. A
// wish with proof counts until a refusal; in one change the wish, because what belongs on
// the list is judged by the snapshot in any case.
func (r *ride) writeMirrors() error {
	by := map[string]*unit{}
	for _, u := range r.units {
		for key := range u.mirrors {
			by[key] = u
		}
	}
	list := r.table("key TEXT, kind SMALLINT, lift BIGINT, stays BIGINT, at BIGINT")
	for _, key := range slices.Sorted(maps.Keys(by)) {
		m := by[key].mirrors[key]
		list.row(key, int(m.kind), int(m.lift), int(channels.AllPrograms&^m.out), micros(by[key].c.At))
	}
	return r.all(list, `INSERT INTO mirrors (key, kind, gen, lift, changed_at, due_at) SELECT e.key, e.kind, 1, e.lift, e.at, e.at FROM `+list.from(1)+` WHERE true
		ON CONFLICT (key) DO UPDATE SET gen = mirrors.gen + 1, tries = 0, changed_at = excluded.changed_at, due_at = excluded.due_at,
		lift = (mirrors.lift & (SELECT e.stays FROM `+list.from(1)+` WHERE e.key = mirrors.key)) | excluded.lift`)
}
