package preferences

import (
	"encoding/binary"
	"math/bits"
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
	s.Patient, in = in.long()
	s.Version, in = in.long()
	standing, in := in.enum(uint8(Erased))
	s.Standing = Standing(standing)
	s.AdultFrom, in = in.int()
	s.Locale, in = in.word(codecTopics)
	in = s.Zones.read(in)
	n, in = in.len()
	s.Addresses = sized(s.Addresses, n)
	in = readAddresses(s.Addresses, in)
	if in = s.readWords(in); !in.ended() {
		*s = Snapshot{}
		return ErrEncoded
	}
	return nil
}

// readWords reads what the patient said beyond the contact record. Most said nothing: six
// empty lists and one answer.
func (s *Snapshot) readWords(in input) input {
	if len(in.b)-in.at == 7 && binary.LittleEndian.Uint32(in.b[in.at:])|uint32(binary.LittleEndian.Uint16(in.b[in.at+4:])) == 0 {
		s.Choices = s.Choices[:0]
		s.Care.Order = s.Care.Order[:0]
		s.Care.Declined = s.Care.Declined[:0]
		s.Restrictions = s.Restrictions[:0]
		s.Authorizations = s.Authorizations[:0]
		if s.Confidential != nil {
			s.Confidential = nil
		}
		in.at += 6
	} else {
		in = s.readLists(in)
	}
	s.UnencryptedOK, in = in.bool()
	return in
}

func (s *Snapshot) readLists(in input) input {
	var n int
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
	return in
}

// sized gives a list of n, in the memory that the list has already where it is enough.
func sized[T any](list []T, n int) []T { return slices.Grow(list[:0], n)[:n] }

// readAddresses reads addresses. As a rule each fact of one is a byte: then all are held
// against what they may be at once.
func readAddresses(list []Address, in input) input {
	for i := range list {
		a := &list[i]
		a.ID, in = in.long()
		if v, ok := in.eight(); ok && (v|(v+factsRoom))&tops == 0 {
			a.Kind, a.State, a.Line, a.OnRecord = channels.Kind(v), AddressState(v>>8), LineType(v>>16), v>>24&1 == 1
			a.Rank, a.Consent, a.Stops, a.OptedOut = int16(signed(v>>32&127)), Consent(v>>40), channels.ProgramSet(v>>48), signed(v>>56)
			in.at += 8
		} else {
			in = a.readFacts(in)
		}
		in = a.Zones.read(in)
	}
	return in
}

// factsRoom has, for each of the eight facts of an address, what its largest value lacks of 127.
const factsRoom = (127 - uint64(channels.Mailbox)) | (127-uint64(WrongPerson))<<8 | (127-uint64(VoIP))<<16 | 126<<24 | // on record
	0<<32 | (127-uint64(Written))<<40 | (127-uint64(channels.AllPrograms))<<48 | 0<<56 // rank and opt-out are varints

// tops are the highest bits of eight bytes.
const tops = 0x8080808080808080

// readFacts reads what stands between an address's id and its zones, one by one.
func (a *Address) readFacts(in input) input {
	var kind, state, line, consent, stops uint8
	kind, in = in.enum(uint8(channels.Mailbox))
	state, in = in.enum(uint8(WrongPerson))
	line, in = in.enum(uint8(VoIP))
	a.Kind, a.State, a.Line = channels.Kind(kind), AddressState(state), LineType(line)
	a.OnRecord, in = in.bool()
	var rank int64
	rank, in = in.int()
	a.Rank = int16(rank)
	consent, in = in.enum(uint8(Written))
	stops, in = in.enum(uint8(channels.AllPrograms))
	a.Consent, a.Stops = Consent(consent), channels.ProgramSet(stops)
	a.OptedOut, in = in.int()
	return in
}

func (c *Choice) read(in input) input {
	c.Topic, in = in.word(codecTopics)
	c.Channel, in = in.channel()
	c.In, in = in.bool()
	consent, in := in.enum(uint8(Written))
	c.Consent = Consent(consent)
	c.At, in = in.long()
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
		c.Only[i].Address, in = in.long()
	}
	c.Discreet, in = in.bool()
	c.Hold, in = in.bool()
	return c, in
}

func (r *Restriction) read(in input) input {
	r.ID, in = in.long()
	r.Category, in = in.word(codecTopics)
	r.Purpose, in = in.word(codecTopics)
	return in
}

func (a *Authorization) read(in input) input {
	a.ID, in = in.long()
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

// eight gives the next eight bytes, without going on.
func (in input) eight() (uint64, bool) {
	if len(in.b)-in.at < 8 {
		return 0, false
	}
	return binary.LittleEndian.Uint64(in.b[in.at:]), true
}

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

// long reads a varint as int does, and faster where it is long, as ids and instants are: it
// takes eight bytes at once and moves the groups of seven bits together, two by two.
func (in input) long() (int64, input) {
	if len(in.b)-in.at < 9 {
		return in.int()
	}
	v := binary.LittleEndian.Uint64(in.b[in.at:])
	last := ^v & tops
	n := bits.TrailingZeros64(last) / 8 // bytes before the last one; 8: none of these is
	v &= last ^ (last - 1)              // up to the last; all of it where there is none
	v = v&0x007f007f007f007f | v&0x7f007f007f007f00>>1
	v = v&0x00003fff00003fff | v&0x3fff00003fff0000>>2
	v = v&0x000000000fffffff | v&0x0fffffff00000000>>4
	if n == 8 {
		more := in.b[in.at+8]
		if more >= 0x80 {
			return in.int()
		}
		v |= uint64(more) << 56
	}
	return signed(v), input{in.b, in.at + n + 1}
}

// signed undoes the zigzag of varints: 0, -1, 1, -2, …
func signed(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

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
	return signed(v), in
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
	if z.Others != nil {
		z.Others = nil
	}
	if z.Known = 0; len(in.b)-in.at >= 2 && in.b[in.at] == 1 { // one zone, as most places have
		if place := in.b[in.at+1]; uint(place-1) < uint(len(codecZones)) {
			z.Known = 1 << (place - 1)
			return input{in.b, in.at + 2}
		}
	}
	n, in := in.len()
	for ; n > 0 && in.left(); n-- {
		place := in.b[in.at]
		if place == 0 || place > uint8(len(codecZones)) {
			break
		}
		z.Known |= 1 << (place - 1)
		in.at++
	}
	if n > 0 {
		return z.readOthers(n, in)
	}
	return in
}

// readOthers reads n more zones, of which some are written letter by letter.
func (z *ZoneSet) readOthers(n int, in input) input {
	for ; n > 0; n-- {
		var name string
		name, in = in.word(codecZones)
		z.add(name)
	}
	return in
}

func (in input) date() (Date, input) {
	year, in := in.int()
	month, in := in.byte()
	day, in := in.byte()
	return Date{int16(year), time.Month(month), int8(day)}, in
}
