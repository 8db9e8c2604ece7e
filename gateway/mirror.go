package gateway

import (
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// Mirror is one address, as it stands on the lists that providers keep of opt-outs.
// The store makes it due in the transaction of every word that may change what belongs
// on a list; what belongs there is judged anew when the provider is called.
type Mirror struct {
	Key    string // the keyed hash of the address
	Kind   channels.Kind
	Gen    int64               // moves with every word
	Lift   channels.ProgramSet // that may be taken off a list: asked for with proof, and not refused since
	Listed []string            // lists the provider has it on, as far as we know
	Tries  int                 // failed calls in a row
	Code   string              // what came of the last call, where it failed

	Changed time.Time // the last word
	Called  time.Time // the last call that came to something
	Due     time.Time // zero: nothing is to be done

	Address string // "": nobody has it any more, so that it stands nowhere
	Number  Number // phones
	Owners  []Owner
}

// Owner is a patient who has an address now.
type Owner struct {
	Snapshot *preferences.Snapshot
	Address  *preferences.Address
}

// On says whether the provider has it on a list, as far as we know.
func (m *Mirror) On(list string) bool { return slices.Contains(m.Listed, list) }

// Put notes that the provider has it on a list.
func (m *Mirror) Put(list string) {
	if !m.On(list) {
		m.Listed = append(m.Listed, list)
	}
}

// Take notes that the provider does not have it on a list.
func (m *Mirror) Take(list string) {
	m.Listed = slices.DeleteFunc(m.Listed, func(l string) bool { return l == list })
}

// MirrorFigures are how far the lists are behind.
type MirrorFigures struct {
	Waiting int       // addresses whose words are not at the provider yet
	Failing int       // of these, those whose last call failed
	Listed  int       // addresses on a list by our doing
	Oldest  time.Time // the oldest word that waits; zero: none
}
