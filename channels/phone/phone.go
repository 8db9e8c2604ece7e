// Package phone reads the phone numbers and mailboxes that people write, and
// gives each its one form: E.164, or a bare address in lower case. Errors say
// what to do and never repeat the value.
package phone

import (
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"
	"golang.org/x/text/unicode/norm"

	"harmonize.care/heed/preferences"
)

// maxText bounds what is looked at, in bytes.
const maxText = 250

var (
	errUnreadable = errors.New("not a phone number: write ten digits, area code first, such as (303) 555-0143")
	errAbroad     = errors.New("not a phone number of the United States or its territories: write ten digits, area code first, such as (303) 555-0143")
	errArea       = errors.New("the area code is not one of the United States or its territories: check the first three of the ten digits")
	errExchange   = errors.New("no such phone number: after the area code a number goes on with 2 to 9, and never with 211, 311 … 911; check the digits")
)

// tollFree are the codes that belong to no place and that the called party pays
// for: https://www.fcc.gov/consumers/guides/what-toll-free-number-and-how-does-it-work
var tollFree = []string{"800", "833", "844", "855", "866", "877", "888"}

// Parse reads a number of the United States or its territories, as people write
// it, and gives it as E.164. Toll-free numbers are taken: practices send from
// them. An extension is dropped, because no message can dial one.
//
// Whether a number is in service nobody can tell from its digits, so that the
// block kept for fiction (555-0100 to 0199) is taken like any other. What is
// checked is what the numbering plan says of every number:
// https://www.nanpa.com/numbering/geographic-phone-numbers
func Parse(text string) (string, error) {
	if len(text) > maxText {
		return "", errUnreadable
	}
	text = strings.ToLower(strings.TrimSpace(norm.NFKC.String(text)))
	text = strings.TrimPrefix(text, "tel:") // RFC 3966, as contact cards write it
	number, err := phonenumbers.Parse(text, "US")
	if err != nil || !plainlyWritten(text, number.GetExtension()) {
		return "", errUnreadable
	}
	if number.GetCountryCode() != 1 {
		return "", errAbroad
	}
	if !phonenumbers.IsPossibleNumber(number) {
		return "", errUnreadable
	}
	e164 := phonenumbers.Format(number, phonenumbers.E164)
	if len(e164) != len("+13035550143") {
		return "", errUnreadable
	}
	if err := check(e164); err != nil {
		return "", err
	}
	return e164, nil
}

// plainlyWritten refuses letters other than those of an extension: a letter
// among the digits is a slip, and leaving it out would give somebody else's number.
func plainlyWritten(text, extension string) bool {
	letters := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return r
		}
		return -1
	}, text)
	return letters == "" || extension != "" && slices.Contains([]string{"x", "ext", "extn", "extension"}, letters)
}

// check holds a number of country code 1 against the numbering plan. Canada and
// the Caribbean share the code and are left out with their area codes.
func check(e164 string) error {
	area, exchange := e164[2:5], e164[5:8]
	switch {
	case !slices.Contains(tollFree, area) && preferences.ZonesOfNumber(e164) == nil:
		return errArea
	case exchange[0] < '2' || exchange[1:] == "11":
		return errExchange
	}
	return nil
}
