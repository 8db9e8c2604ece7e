package templates

import (
	"strings"
	"unicode/utf16"
)

// Segments is how a text is cut for sending: each is billed by itself.
type Segments struct {
	Encoding string // GSM-7 or UCS-2
	Count    int
}

// The encodings.
const (
	GSM7 = "GSM-7"
	UCS2 = "UCS-2"
)

// The alphabet of 3GPP TS 23.038, sections 6.2.1 and 6.2.1.1. A character of the
// extension table takes two places: an escape and itself.
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡" +
		"ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtended = "^{}\\[~]|€\f"
)

// A text that fits is one segment. A longer one gives up some room in each
// segment to the header that joins them: 3GPP TS 23.040, section 9.2.3.24.1.
const (
	gsmWhole, gsmPart   = 160, 153 // septets
	ucs2Whole, ucs2Part = 70, 67   // UTF-16 units
)

// Count says how a text is cut into segments. One character outside GSM-7 turns
// the whole text into UCS-2. The empty text has none.
func Count(text string) Segments {
	sizes := make([]int, 0, len(text))
	for _, r := range text {
		size := gsmSize(r)
		if size == 0 {
			return Segments{UCS2, ucs2Segments(text)}
		}
		sizes = append(sizes, size)
	}
	return Segments{GSM7, pack(sizes, gsmWhole, gsmPart)}
}

// gsmSize is how many septets a character takes, 0 if it has none.
func gsmSize(r rune) int {
	switch {
	case strings.ContainsRune(gsmBasic, r):
		return 1
	case strings.ContainsRune(gsmExtended, r):
		return 2
	}
	return 0
}

func ucs2Segments(text string) int {
	sizes := make([]int, 0, len(text))
	for _, r := range text {
		sizes = append(sizes, max(1, utf16.RuneLen(r)))
	}
	return pack(sizes, ucs2Whole, ucs2Part)
}

// pack fills segments in order. Neither an escape and its character nor the two
// halves of a surrogate pair are torn apart, so a segment may stay one short.
func pack(sizes []int, whole, part int) int {
	total := 0
	for _, size := range sizes {
		total += size
	}
	if total <= whole {
		return min(total, 1)
	}
	count, room := 0, 0
	for _, size := range sizes {
		if size > room {
			count, room = count+1, part
		}
		room -= size
	}
	return count
}
