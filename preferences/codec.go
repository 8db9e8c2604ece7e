package preferences

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"

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
	w.zones(s.Zones)
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

func (w *writer) zones(z ZoneSet) {
	w.len(z.Len())
	for known := z.Known; known != 0; known &= known - 1 {
		w.byte(uint8(bits.TrailingZeros32(known) + 1))
	}
	for _, name := range z.Others {
		w.word(name, nil)
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
	w.zones(a.Zones)
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
