package preferences

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"harmonize.care/heed/channels"
)

// codecVersion stands first in every encoded snapshot.
const codecVersion = 2

// ErrEncoded is a text that is no encoded snapshot of this version: a cache takes
// it for a miss.
var ErrEncoded = errors.New("not an encoded snapshot")

// maxList bounds every list of an encoded snapshot.
const maxList = 4096

// codecZones and codecTopics are written as one byte. The lists only ever grow.
var (
	codecZones = []string{
		"America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Anchorage", "America/Adak", "Pacific/Honolulu",
		"America/Phoenix", "America/Boise", "America/Indiana/Indianapolis", "America/Detroit", "America/Kentucky/Louisville", "America/Puerto_Rico",
		"Pacific/Guam", "Pacific/Pago_Pago",
	}
	codecTopics = []string{
		TopicMarketing, TopicNonEssential, "newsletter", "survey", "symptom_check_in", "sponsored_marketing", "appointment_reminder",
		"appointment_change", "follow_up", "treatment_update", "legal_notice", "billing_notice", "treatment", "payment", "operations", "legal", "en", "es",
	}
)

// AppendBinary writes the snapshot in its compact form.
func (s *Snapshot) AppendBinary(b []byte) ([]byte, error) {
	w := writer(append(b, codecVersion))
	w.int(s.Patient)
	w.int(s.Version)
	w.byte(uint8(s.Standing))
	w.int(s.AdultFrom)
	w.word(s.Locale, codecTopics)
	w.words(s.Zones, codecZones)
	w.len(len(s.Addresses))
	for i := range s.Addresses {
		w.address(&s.Addresses[i])
	}
	w.len(len(s.Choices))
	for _, c := range s.Choices {
		w.word(c.Topic, codecTopics)
		w.byte(uint8(c.Channel))
		w.bool(c.In)
		w.byte(uint8(c.Consent))
		w.int(c.At)
	}
	w.channels(s.Care.Order)
	w.channels(s.Care.Declined)
	w.confidential(s.Confidential)
	w.len(len(s.Restrictions))
	for _, r := range s.Restrictions {
		w.int(r.ID)
		w.word(r.Category, codecTopics)
		w.word(r.Purpose, codecTopics)
	}
	w.len(len(s.Authorizations))
	for _, a := range s.Authorizations {
		w.int(a.ID)
		w.word(a.Category, codecTopics)
		w.date(a.SignedOn)
		w.date(a.ExpiresOn)
	}
	w.bool(s.UnencryptedOK)
	return w, nil
}

// UnmarshalBinary reads what AppendBinary wrote; anything else is ErrEncoded.
func (s *Snapshot) UnmarshalBinary(b []byte) error {
	r := &reader{b: b}
	if r.byte() != codecVersion {
		return ErrEncoded
	}
	*s = Snapshot{Patient: r.int(), Version: r.int(), Standing: Standing(r.enum(uint8(Erased))), AdultFrom: r.int()}
	s.Locale = r.word(codecTopics)
	s.Zones = r.words(codecZones)
	for range r.len() {
		s.Addresses = append(s.Addresses, r.address())
	}
	for range r.len() {
		s.Choices = append(s.Choices, Choice{
			Topic: r.word(codecTopics), Channel: channels.Channel(r.enum(uint8(channels.Email))), In: r.bool(),
			Consent: Consent(r.enum(uint8(Written))), At: r.int(),
		})
	}
	s.Care.Order, s.Care.Declined = r.channels(), r.channels()
	s.Confidential = r.confidential()
	for range r.len() {
		s.Restrictions = append(s.Restrictions, Restriction{r.int(), r.word(codecTopics), r.word(codecTopics)})
	}
	for range r.len() {
		s.Authorizations = append(s.Authorizations, Authorization{r.int(), r.word(codecTopics), r.date(), r.date()})
	}
	s.UnencryptedOK = r.bool()
	if r.bad || len(r.b) > 0 {
		*s = Snapshot{}
		return ErrEncoded
	}
	return nil
}

type writer []byte

func (w *writer) int(v int64)  { *w = binary.AppendVarint(*w, v) }
func (w *writer) len(n int)    { *w = binary.AppendUvarint(*w, uint64(n)) }
func (w *writer) byte(v uint8) { *w = append(*w, v) }

func (w *writer) bool(v bool) {
	if v {
		w.byte(1)
	} else {
		w.byte(0)
	}
}

// word writes a known word as its place plus one, another as 0, length and text.
func (w *writer) word(v string, known []string) {
	if i := slices.Index(known, v); i >= 0 {
		w.byte(uint8(i + 1))
		return
	}
	w.byte(0)
	w.len(len(v))
	*w = append(*w, v...)
}

func (w *writer) words(list, known []string) {
	w.len(len(list))
	for _, v := range list {
		w.word(v, known)
	}
}

func (w *writer) channels(list []channels.Channel) {
	w.len(len(list))
	for _, c := range list {
		w.byte(uint8(c))
	}
}

func (w *writer) date(d Date) {
	w.int(int64(d.Year))
	w.byte(uint8(d.Month))
	w.byte(uint8(d.Day))
}

func (w *writer) address(a *Address) {
	w.int(a.ID)
	w.byte(uint8(a.Kind))
	w.byte(uint8(a.State))
	w.byte(uint8(a.Line))
	w.bool(a.OnRecord)
	w.int(int64(a.Rank))
	w.byte(uint8(a.Consent))
	w.byte(uint8(a.Stops))
	w.int(a.OptedOut)
	w.words(a.Zones, codecZones)
}

func (w *writer) confidential(c *Confidential) {
	w.bool(c != nil)
	if c == nil {
		return
	}
	w.len(len(c.Only))
	for _, p := range c.Only {
		w.byte(uint8(p.Channel))
		w.int(p.Address)
	}
	w.bool(c.Discreet)
	w.bool(c.Hold)
}

// reader reads strictly; after the first fault it gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() { r.b, r.bad = nil, true }

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) len() int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > maxList {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

func (r *reader) byte() uint8 {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) enum(most uint8) uint8 {
	v := r.byte()
	if v > most {
		r.fail()
		return 0
	}
	return v
}

func (r *reader) bool() bool { return r.enum(1) == 1 }

func (r *reader) word(known []string) string {
	i := int(r.byte())
	if i > 0 {
		if i > len(known) {
			r.fail()
			return ""
		}
		return known[i-1]
	}
	n := r.len()
	if n > len(r.b) {
		r.fail()
		return ""
	}
	v := string(r.b[:n])
	r.b = r.b[n:]
	return v
}

func (r *reader) words(known []string) []string {
	var list []string
	for range r.len() {
		list = append(list, r.word(known))
	}
	return list
}

func (r *reader) channels() []channels.Channel {
	var list []channels.Channel
	for range r.len() {
		list = append(list, channels.Channel(r.enum(uint8(channels.Email))))
	}
	return list
}

func (r *reader) date() Date {
	return Date{int16(r.int()), time.Month(r.byte()), int8(r.byte())}
}

func (r *reader) address() Address {
	return Address{
		ID: r.int(), Kind: channels.Kind(r.enum(uint8(channels.Mailbox))), State: AddressState(r.enum(uint8(WrongPerson))),
		Line: LineType(r.enum(uint8(VoIP))), OnRecord: r.bool(), Rank: int16(r.int()), Consent: Consent(r.enum(uint8(Written))),
		Stops: channels.ProgramSet(r.enum(uint8(channels.AllPrograms))), OptedOut: r.int(), Zones: r.words(codecZones),
	}
}

func (r *reader) confidential() *Confidential {
	if !r.bool() {
		return nil
	}
	c := &Confidential{Only: []Pair{}}
	for range r.len() {
		c.Only = append(c.Only, Pair{channels.Channel(r.enum(uint8(channels.Email))), r.int()})
	}
	c.Discreet, c.Hold = r.bool(), r.bool()
	return c
}
