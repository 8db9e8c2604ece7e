package imports

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// nothings are what people write where there is nothing to write.
var nothings = []string{
	"declined", "declines", "decline", "refused", "refuses", "none", "nil", "null", "na", "nan", "notapplicable", "unknown", "unk", "noemail", "noemailaddress", "nophone",
	"nocell", "nocellphone", "nomobile", "nohomephone", "nohome", "noworkphone", "nonumber", "no", "nogiven", "notgiven", "notprovided", "noanswer", "noneprovided", "nonegiven",
	"donothave", "doesnothave", "doesnthave", "x", "xx", "xxx", "tbd", "pending", "ninguno", "notiene", "blank", "empty",
}

// noValue says whether a field says that there is nothing: empty, marks alone,
// "declined" and its like, or one digit over and over.
func noValue(text string) bool {
	key := squeeze(text)
	return key == "" || slices.Contains(nothings, key) || len(key) >= 7 && strings.Trim(key, key[:1]) == "" && key[0] >= '0' && key[0] <= '9'
}

var (
	errDay       = errors.New("not a calendar day: write it as MM/DD/YYYY or YYYY-MM-DD")
	errCentury   = errors.New("the year has two digits and could be in either century: write four")
	errTooOld    = errors.New("more than 120 years ago: a placeholder, or a slip")
	errMoment    = errors.New("not a day and time: write MM/DD/YYYY HH:MM AM or YYYY-MM-DD HH:MM")
	errSaid      = errors.New("not a day: write it as MM/DD/YYYY or YYYY-MM-DD, with the time behind it if it is known")
	errAhead     = errors.New("lies in the future")
	errGap       = errors.New("no such time on that day: the clocks are set forward over it")
	errZone      = errors.New("not an IANA time zone such as America/Denver")
	errRewritten = errors.New("a spreadsheet has rewritten this number (1.0E+05): export the file again without opening it there")
)

// oldest is how far back a birth date may lie; the oldest person on record reached 122.
const oldest = 120

var dayLayouts = []string{"1/2/2006", "2006-1-2", "1-2-2006"}

// birthDate reads a day in the past. A year of two digits counts only where the
// other century would lie ahead.
func birthDate(text string, now time.Time) (preferences.Date, error) {
	day, err := anyLayout(text, dayLayouts, time.UTC)
	if err != nil {
		short, err := time.Parse("1/2/06", text)
		if err != nil {
			return preferences.Date{}, errDay
		}
		y, m, d := short.Date()
		if day = time.Date(2000+y%100, m, d, 0, 0, 0, 0, time.UTC); !day.After(now) {
			return preferences.Date{}, errCentury
		}
		if day = time.Date(1900+y%100, m, d, 0, 0, 0, 0, time.UTC); day.Day() != d {
			return preferences.Date{}, errDay
		}
	}
	if day.Before(now.AddDate(-oldest, 0, 0)) {
		return preferences.Date{}, errTooOld
	}
	return preferences.DateOf(day), nil
}

func anyLayout(text string, layouts []string, in *time.Location) (time.Time, error) {
	for _, l := range layouts {
		if t, err := time.ParseInLocation(l, text, in); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errMoment
}

// clocks are the ways to write a time of day beside a day.
var clocks = []string{"3:04 PM", "3:04PM", "15:04", "3:04:05 PM", "15:04:05"}

// moment reads a day and time on the clocks of a zone. A time that a day has twice
// is its first: a reminder too early is better than one too late.
func moment(text string, zone *time.Location) (time.Time, error) {
	text = strings.ToUpper(strings.Join(strings.Fields(text), " "))
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.In(zone), nil
	}
	day, clock, found := strings.Cut(text, " ")
	if !found {
		day, clock, _ = strings.Cut(text, "T")
	}
	d, err := anyLayout(day, append(slices.Clone(dayLayouts), "1/2/06"), time.UTC)
	if err != nil {
		return d, errMoment
	}
	c, err := anyLayout(clock, clocks, time.UTC)
	if err != nil {
		return c, errMoment
	}
	at := time.Date(d.Year(), d.Month(), d.Day(), c.Hour(), c.Minute(), c.Second(), 0, zone)
	if at.Hour() != c.Hour() || at.Minute() != c.Minute() {
		return at, errGap
	}
	if first := at.Add(-time.Hour); first.Format(time.DateTime) == at.Format(time.DateTime) {
		at = first
	}
	return at, nil
}

// zoneOf reads an IANA name.
func zoneOf(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, errZone
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, errZone
	}
	return zone, nil
}

// maxID is how long an id may be: of a patient as the API takes it, and of an
// appointment, which is a message's reference.
const maxID = 128

// idProblem says what is wrong with an id, or "".
func idProblem(id string) string {
	switch {
	case id == "":
		return "missing: nothing says whose line this is"
	case len(id) > maxID:
		return "longer than " + strconv.Itoa(maxID) + " bytes"
	case gateway.TextProblem(id, false) != "":
		return gateway.TextProblem(id, false)
	}
	if number, _, ok := strings.Cut(strings.ToUpper(id), "E+"); ok && number != "" && strings.Trim(id, "0123456789.eE+") == "" {
		return errRewritten.Error()
	}
	return ""
}

// saysNo reads a flag such as "OK to Text". What it does not understand counts as
// a no: every failure to know holds back.
func saysNo(text string) (no, understood bool) {
	switch key := squeeze(text); key {
	case "", "y", "yes", "true", "t", "1", "ok", "okay", "x", "si", "allowed", "granted", "optin", "in", "consented", "unknown", "unk", "na", "notasked", "notapplicable":
		return false, true
	case "n", "no", "false", "f", "0", "declined", "refused", "denied", "donot", "dont", "notallowed", "notok", "never", "optout", "out", "stop", "revoked", "nook":
		return true, true
	}
	return true, false
}

// died reads a deceased column: a date, or a flag.
func died(text string, now time.Time) (dead, understood bool) {
	switch squeeze(text) {
	case "", "n", "no", "false", "f", "0", "alive", "living", "none", "na", "null":
		return false, true
	case "y", "yes", "true", "t", "1", "deceased", "dead", "x":
		return true, true
	}
	day, err := anyLayout(text, append(slices.Clone(dayLayouts), "1/2/06"), time.UTC)
	return true, err == nil && !day.After(now.AddDate(0, 0, 1))
}

// locale gives en or es; other languages get English.
func locale(text string) (name string, understood bool) {
	switch squeeze(text) {
	case "":
		return "", true
	case "en", "eng", "engl", "english", "enus", "ingles", "inglés", "americanenglish":
		return "en", true
	case "es", "esp", "spa", "span", "spanish", "espanol", "español", "esmx", "esus", "castellano", "spanishcastilian":
		return "es", true
	}
	return "en", false
}

// preference is a preferred way of contact: the order of channels for essential
// messages, and the phone that comes first.
type preference struct {
	order []channels.Channel
	first field
	names []string
}

// preferences by how exports write them. Letters and portals are no channel of
// ours and change nothing.
var preferred = []preference{
	{[]channels.Channel{channels.SMS}, fieldMobile, []string{"text", "texts", "sms", "textmessage", "txt", "textcell", "celltext"}},
	{[]channels.Channel{channels.Voice}, "", []string{"phone", "call", "phonecall", "voice", "telephone", "calls"}},
	{[]channels.Channel{channels.SMS, channels.Voice}, fieldMobile, []string{"cell", "mobile", "cellphone", "mobilephone", "c", "m"}},
	{[]channels.Channel{channels.Voice}, fieldHome, []string{"home", "homephone", "h"}},
	{[]channels.Channel{channels.Voice}, fieldWork, []string{"work", "workphone", "office", "w"}},
	{[]channels.Channel{channels.Email}, "", []string{"email", "e", "emails", "electronicmail"}},
	{nil, "", []string{"", "mail", "letter", "letters", "usmail", "postalmail", "post", "portal", "patientportal", "any", "none", "nopreference", "other", "fax"}},
}

func preferenceOf(text string) (p preference, understood bool) {
	key := squeeze(text)
	for _, p := range preferred {
		if slices.Contains(p.names, key) {
			return p, true
		}
	}
	return preference{}, false
}

// isZIP takes five digits, or nine with or without a hyphen.
func isZIP(text string) bool {
	digits := strings.Replace(text, "-", "", 1)
	if strings.Trim(digits, "0123456789") != "" {
		return false
	}
	return len(digits) == 5 && text == digits || len(digits) == 9 && (text == digits || text[5] == '-')
}
