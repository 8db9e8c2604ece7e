package templates

import (
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"
)

// TestCount: what sms-segments-calculator, the carrier's own tool, says of the same
// texts. It keeps whole graphemes together, carriers only promise that for surrogate
// pairs, so texts of joined emoji are not compared.
func TestCount(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       Segments
	}{
		{"empty", "", Segments{GSM7, 0}},
		{"one", "a", Segments{GSM7, 1}},
		{"a full one", strings.Repeat("a", 160), Segments{GSM7, 1}},
		{"one over", strings.Repeat("a", 161), Segments{GSM7, 2}},
		{"two full ones", strings.Repeat("a", 306), Segments{GSM7, 2}},
		{"one over two", strings.Repeat("a", 307), Segments{GSM7, 3}},
		{"Spanish that is in GSM-7", "¿Qué tal, señor Núñez? ¡Olé, àèìòù, Ñandú!"[:16], Segments{GSM7, 1}},
		{"line breaks", "a\r\nb\nc", Segments{GSM7, 1}},
		{"a full one of the extension", strings.Repeat("€", 80), Segments{GSM7, 1}},
		{"the extension, one over", strings.Repeat("€", 80) + "a", Segments{GSM7, 2}},
		{"an escape is not torn from its character", strings.Repeat("€", 153), Segments{GSM7, 3}},
		{"the same places without escapes fit into two", strings.Repeat("a", 306), Segments{GSM7, 2}},
		{"an escape at the border", strings.Repeat("a", 152) + "€" + strings.Repeat("a", 152), Segments{GSM7, 3}},
		{"a form feed is in the extension", strings.Repeat("\f", 81), Segments{GSM7, 2}},
		{"a backtick is not in it", "`", Segments{UCS2, 1}},
		{"a small ç is not in it, a large one is", "ç", Segments{UCS2, 1}},
		{"Ç", "Ç", Segments{GSM7, 1}},
		{"á", "á", Segments{UCS2, 1}},
		{"one curly quote", strings.Repeat("a", 70) + "’", Segments{UCS2, 2}},
		{"a full one", strings.Repeat("á", 70), Segments{UCS2, 1}},
		{"one over", strings.Repeat("á", 71), Segments{UCS2, 2}},
		{"two full ones", strings.Repeat("á", 134), Segments{UCS2, 2}},
		{"one over two", strings.Repeat("á", 135), Segments{UCS2, 3}},
		{"emoji take two places", strings.Repeat("😀", 35), Segments{UCS2, 1}},
		{"one emoji over", strings.Repeat("😀", 36), Segments{UCS2, 2}},
		{"surrogate pairs are not torn", strings.Repeat("😀", 67), Segments{UCS2, 3}},
		{"a pair at the border", strings.Repeat("á", 66) + "😀" + strings.Repeat("á", 66), Segments{UCS2, 3}},
	} {
		if got := Count(c.text); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestCountIsWithinItsBounds: never fewer segments than the places need, and at
// most one place lost in each.
func TestCountIsWithinItsBounds(t *testing.T) {
	gsm := rapid.StringOfN(rapid.SampledFrom([]rune(gsmBasic+gsmExtended)), 0, 600, -1)
	any := rapid.StringN(0, 300, -1)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(gsm, any).Draw(t, "text")
		s := Count(text)
		size, whole, part := len(utf16.Encode([]rune(text))), ucs2Whole, ucs2Part
		if s.Encoding == GSM7 {
			size, whole, part = 0, gsmWhole, gsmPart
			for _, r := range text {
				size += gsmSize(r)
			}
		}
		least, most := min(size, 1), min(size, 1)
		if size > whole {
			least, most = (size+part-1)/part, (size+part-2)/(part-1)
		}
		if s.Count < least || s.Count > most {
			t.Fatalf("%d places in %s are %d segments, want %d to %d", size, s.Encoding, s.Count, least, most)
		}
	})
}
