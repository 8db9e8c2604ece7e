package phone

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"(303) 555-0143":           "+13035550143",
		"303.555.0143":             "+13035550143",
		"303 555 0143":             "+13035550143",
		"3035550143":               "+13035550143",
		"13035550143":              "+13035550143",
		"+13035550143":             "+13035550143",
		"+1 303 555 0143":          "+13035550143",
		"+1 (303) 555-0143":        "+13035550143",
		"1-303-555-0143 x12":       "+13035550143",
		"303-555-0143 ext. 12":     "+13035550143",
		"303-555-0143 Extension 7": "+13035550143",
		"303-555-0143 #12":         "+13035550143",
		"tel:+1-303-555-0143":      "+13035550143",
		"Tel:+13035550143;ext=12":  "+13035550143",
		"  303-555-0143\n":         "+13035550143",
		"３０３－５５５－０１４３":             "+13035550143",
		"＋１３０３５５５０１４３":             "+13035550143",
		"٣٠٣٥٥٥٠١٤٣":               "+13035550143",
		"303–555–0143":             "+13035550143", // dashes of a word processor
		"303\u00a0555\u00a00143":   "+13035550143",
		"+18885550100":             "+18885550100", // toll-free
		"(787) 555-0143":           "+17875550143", // Puerto Rico
		"+16715550143":             "+16715550143", // Guam
		"+13032204567":             "+13032204567",
		"+13038980000":             "+13038980000",
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]error{
		"":                              errUnreadable,
		"12345":                         errUnreadable,
		"911":                           errUnreadable,
		"555-0143":                      errUnreadable, // no area code
		"30355501431":                   errUnreadable,
		"303-555-0143 / 303-555-0144":   errUnreadable,
		"303-555-O143":                  errUnreadable, // the letter O
		"3035550O143":                   errUnreadable, // would be a number without it
		"303-555-CARE":                  errUnreadable,
		"x3035550143":                   errUnreadable,
		"303-555-0143x":                 errUnreadable,
		"3O3-555-0143 x12":              errUnreadable,
		"303-555-0143/x0144":            errUnreadable,
		"*67 303 555 0143":              errUnreadable,
		"not a number":                  errUnreadable,
		"+":                             errUnreadable,
		"tel:":                          errUnreadable,
		strings.Repeat("3", 251):        errUnreadable,
		"+442071838750":                 errAbroad,
		"011 44 20 7183 8750":           errAbroad,
		"+52 55 5555 0143":              errAbroad,
		"+1 416 555 0143":               errArea, // Toronto
		"+1 876 555 0143":               errArea, // Jamaica
		"+1 242 555 0143":               errArea, // Bahamas
		"+1 900 555 0143":               errArea, // premium rate
		"+1 500 555 0143":               errArea, // personal numbers
		"+1 710 555 0143":               errArea,
		"+1 303 155 0143":               errExchange,
		"+1 303 911 0143":               errExchange,
		"+1 800 055 0143":               errExchange,
		"+13035550143;phone-context=+4": errUnreadable,
	} {
		got, err := Parse(text)
		if err != want || got != "" {
			t.Errorf("Parse(%q) = %q, %v; want %v", text, got, err, want)
		}
	}
}

// Any number the acceptance run or a test makes up must pass.
func TestParseTakesMadeUpNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		area := rapid.SampledFrom([]string{"303", "305", "212", "808", "907", "787", "671", "888", "833", "415", "972"}).Draw(t, "area")
		number := fmt.Sprintf("+1%s%d%02d%04d", area, rapid.IntRange(2, 8).Draw(t, "n"), rapid.IntRange(20, 98).Draw(t, "nn"), rapid.IntRange(0, 9999).Draw(t, "nnnn"))
		if got, err := Parse(number); err != nil || got != number {
			t.Fatalf("Parse(%q) = %q, %v", number, got, err)
		}
	})
}

// Errors must not hold what was written, in whole or part.
func TestErrorsHoldNoValue(t *testing.T) {
	for _, text := range []string{"12345", "+442071838750", "4165550143x", "ann@", "ann smith", "ann@localhost"} {
		for name, parse := range map[string]func(string) (string, error){"Parse": Parse, "ParseMailbox": ParseMailbox} {
			if _, err := parse(text); err == nil || strings.Contains(err.Error(), strings.Trim(text, "+@x")) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"(303) 555-0143", "+1 303 555 0143 ext 4", "+442071838750", "３０３", "tel:+1", "12345", ";ext=", "+1+1+1", "\xff303"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once, err := Parse(text)
		if err != nil {
			if once != "" {
				t.Fatalf("Parse(%q) gives %q beside an error", text, once)
			}
			return
		}
		if len(once) != 12 || !strings.HasPrefix(once, "+1") {
			t.Fatalf("Parse(%q) = %q", text, once)
		}
		if digits := phonenumbers.NormalizeDigitsOnly(norm.NFKC.String(text)); !strings.Contains(digits, once[2:]) {
			t.Fatalf("Parse(%q) = %q, which is not what was written", text, once)
		}
		if twice, err := Parse(once); err != nil || twice != once {
			t.Fatalf("Parse(%q) = %q, %v", once, twice, err)
		}
	})
}
