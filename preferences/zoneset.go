package preferences

import (
	"encoding/json"
	"math/bits"
	"slices"
)

// ZoneSet is a set of time zones, by their IANA names. In what order they were given
// says nothing: a moment must be right in every one. The zones of the United States
// are one bit each, so that a decision finds them without looking a name up.
type ZoneSet struct {
	Known  uint32   // bit n is zone n of KnownZones
	Others []string // every other name that was given, also one that is no zone
}

// ZoneSetOf makes a set of names.
func ZoneSetOf(names ...string) ZoneSet {
	var z ZoneSet
	for _, name := range names {
		z.add(name)
	}
	return z
}

func (z *ZoneSet) add(name string) {
	if i := slices.Index(codecZones, name); i >= 0 {
		z.Known |= 1 << i
	} else if !slices.Contains(z.Others, name) {
		z.Others = append(z.Others, name)
	}
}

// KnownZones names the zones of a set's bits, the lowest first.
func KnownZones() []string { return slices.Clone(codecZones) }

// Len says how many zones are in the set.
func (z ZoneSet) Len() int { return bits.OnesCount32(z.Known) + len(z.Others) }

// Names lists the set, the known zones first; nil when it is empty.
func (z ZoneSet) Names() []string {
	var names []string
	for known := z.Known; known != 0; known &= known - 1 {
		names = append(names, codecZones[bits.TrailingZeros32(known)])
	}
	return append(names, z.Others...)
}

// MarshalJSON writes the list of names.
func (z ZoneSet) MarshalJSON() ([]byte, error) { return json.Marshal(z.Names()) }

// UnmarshalJSON reads a list of names, in any order.
func (z *ZoneSet) UnmarshalJSON(b []byte) error {
	var names []string
	err := json.Unmarshal(b, &names)
	*z = ZoneSetOf(names...)
	return err
}
