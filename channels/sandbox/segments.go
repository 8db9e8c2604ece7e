package sandbox

import (
	"strings"
	"unicode/utf16"
)

// The GSM 03.38 alphabet. Characters of the extension table take two places.
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡" +
		"ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtended = "^{}\\[~]|€\f"
)

// segments counts the parts a text is billed as: 160 places, or 153 each when
// split, in GSM-7; 70 and 67 once any character is outside that alphabet.
func segments(body string) int {
	size := 0
	for _, r := range body {
		switch {
		case strings.ContainsRune(gsmBasic, r):
			size++
		case strings.ContainsRune(gsmExtended, r):
			size += 2
		default:
			return parts(len(utf16.Encode([]rune(body))), 70, 67)
		}
	}
	return parts(size, 160, 153)
}

func parts(size, whole, part int) int {
	if size <= whole {
		return 1
	}
	return (size + part - 1) / part
}
