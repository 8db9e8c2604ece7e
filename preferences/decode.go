package preferences

import (
	"slices"
	"time"

	"harmonize.care/heed/channels"
)

// UnmarshalBinary reads what AppendBinary wrote; anything else is ErrEncoded.
func (s *Snapshot) UnmarshalBinary(b []byte) error {
	*s = Snapshot{}
	return s.Refill(b)
}

// Refill reads as UnmarshalBinary does, into the memory that s holds already: who
// reads many snapshots one after the other asks for no more. No list that was taken
// out of s before may still be in use.
func (s *Snapshot) Refill(b []byte) error {
	version, in := input{b: b}.byte()
	if version != codecVersion {
		*s = Snapshot{}
		return ErrEncoded
	}
	var n int
	s.Patient, in = in.int()
	s.Version, in = in.int()
	standing, in := in.enum(uint8(Erased))
	s.Standing = Standing(standing)
	s.AdultFrom, in = in.int()
	s.Locale, in = in.word(codecTopics)
	in = s.Zones.read(in)
	n, in = in.len()
	s.Addresses = sized(s.Addresses, n)
	for i := range s.Addresses {
		in = s.Addresses[i].read(in)
	}
	n, in = in.len()
	s.Choices = sized(s.Choices, n)
	for i := range s.Choices {
		in = s.Choices[i].read(in)
	}
	n, in = in.len()
	s.Care.Order = sized(s.Care.Order, n)
	for i := range s.Care.Order {
		s.Care.Order[i], in = in.channel()
	}
	n, in = in.len()
	s.Care.Declined = sized(s.Care.Declined, n)
	for i := range s.Care.Declined {
		s.Care.Declined[i], in = in.channel()
	}
	s.Confidential, in = s.Confidential.read(in)
	n, in = in.len()
	s.Restrictions = sized(s.Restrictions, n)
	for i := range s.Restrictions {
		in = s.Restrictions[i].read(in)
	}
	n, in = in.len()
	s.Authorizations = sized(s.Authorizations, n)
	for i := range s.Authorizations {
		in = s.Authorizations[i].read(in)
	}
	s.UnencryptedOK, in = in.bool()
	if !in.ended() {
		*s = Snapshot{}
		return ErrEncoded
	}
	return nil
}

// sized gives a list of n, in the memory that the list has already where it is enough.
func sized[T any](list []T, n int) []T { return slices.Grow(list[:0], n)[:n] }

func (a *Address) read(in input) input {
	a.ID, in = in.int()
	kind, in := in.enum(uint8(channels.Mailbox))
	state, in := in.enum(uint8(WrongPerson))
	line, in := in.enum(uint8(VoIP))
	a.OnRecord, in = in.bool()
	rank, in := in.int()
	consent, in := in.enum(uint8(Written))
	stops, in := in.enum(uint8(channels.AllPrograms))
	a.OptedOut, in = in.int()
	a.Kind, a.State, a.Line, a.Rank = channels.Kind(kind), AddressState(state), LineType(line), int16(rank)
	a.Consent, a.Stops = Consent(consent), channels.ProgramSet(stops)
	return a.Zones.read(in)
}

func (c *Choice) read(in input) input {
	c.Topic, in = in.word(codecTopics)
	c.Channel, in = in.channel()
	c.In, in = in.bool()
	consent, in := in.enum(uint8(Written))
	c.Consent = Consent(consent)
	c.At, in = in.int()
	return in
}

func (c *Confidential) read(in input) (*Confidential, input) {
	there, in := in.bool()
	if !there {
		return nil, in
	}
	if c == nil {
		c = &Confidential{Only: []Pair{}}
	}
	n, in := in.len()
	c.Only = sized(c.Only, n)
	for i := range c.Only {
		c.Only[i].Channel, in = in.channel()
		c.Only[i].Address, in = in.int()
	}
	c.Discreet, in = in.bool()
	c.Hold, in = in.bool()
	return c, in
}

func (r *Restriction) read(in input) input {
	r.ID, in = in.int()
	r.Category, in = in.word(codecTopics)
	r.Purpose, in = in.word(codecTopics)
	return in
}

func (a *Authorization) read(in input) input {
	a.ID, in = in.int()
	a.Category, in = in.word(codecTopics)
	a.SignedOn, in = in.date()
	a.ExpiresOn, in = in.date()
	return in
}

// input is what is read, and how far. To read gives a value and the input behind it;
// after a fault that is empty, and gives zeros. It is passed on by value and stays in
// the registers: a reader with a place of its own in memory took twice the time.
type input struct {
	b  []byte
	at int
}

func (in input) left() bool  { return uint(in.at) < uint(len(in.b)) }
func (in input) ended() bool { return in.b != nil && in.at == len(in.b) }

func (in input) byte() (uint8, input) { return in.enum(255) }

func (in input) enum(most uint8) (uint8, input) {
	if !in.left() || in.b[in.at] > most {
		return 0, input{}
	}
	return in.b[in.at], input{in.b, in.at + 1}
}

func (in input) bool() (bool, input) {
	v, in := in.enum(1)
	return v == 1, in
}

func (in input) channel() (channels.Channel, input) {
	v, in := in.enum(uint8(channels.Email))
	return channels.Channel(v), in
}

// uint reads a varint: seven bits a byte, the low ones first.
func (in input) uint() (v uint64, rest input) {
	for n := 0; in.left() && n < 64; n += 7 {
		c := uint64(in.b[in.at])
		in.at++
		if c < 0x80 {
			return v | c<<n, in
		}
		v |= c & 0x7f << n
	}
	return 0, input{}
}

func (in input) int() (int64, input) {
	v, in := in.uint()
	return int64(v>>1) ^ -int64(v&1), in
}

// len reads the length of a list: a varint of one or two bytes.
func (in input) len() (int, input) {
	n := 0
	for i := 0; i < 14 && in.left(); i += 7 {
		c := int(in.b[in.at])
		in.at++
		if n |= c & 0x7f << i; c < 0x80 && n <= maxList {
			return n, in
		}
	}
	return 0, input{}
}

// word reads a known word by its place, and another one letter by letter.
func (in input) word(known []string) (string, input) {
	place, in := in.enum(uint8(len(known)))
	if place > 0 {
		return known[place-1], in
	}
	return in.text()
}

func (in input) text() (string, input) {
	n, in := in.len()
	if n > len(in.b)-in.at {
		return "", input{}
	}
	return string(in.b[in.at : in.at+n]), input{in.b, in.at + n}
}

func (z *ZoneSet) read(in input) input {
	n, in := in.len()
	z.Known = 0
	known := uint32(0)
	if z.Others != nil {
		z.Others = nil
	}
	for ; n > 0; n-- {
		var place uint8
		if place, in = in.enum(uint8(len(codecZones))); place > 0 {
			known |= 1 << (place - 1)
			continue
		}
		var name string
		name, in = in.text()
		z.add(name)
	}
	z.Known |= known // beside what add knew by its name
	return in
}

func (in input) date() (Date, input) {
	year, in := in.int()
	month, in := in.byte()
	day, in := in.byte()
	return Date{int16(year), time.Month(month), int8(day)}, in
}
