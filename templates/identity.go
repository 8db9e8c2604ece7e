package templates

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Identity is how the practice names itself.
type Identity struct {
	Name          string // "Cedar Practice"
	DiscreetName  string // "Your provider": stands in its place in discreet texts
	Phone         string // E.164: the number to call
	OptOutPhone   string // E.164, toll-free
	PostalAddress string // 15 U.S.C. 7704(a)(5)(A)(iii)
	CrisisText    string // goes out word for word, in every language; "" for the built-in one
	TimeZone      string // IANA: what appointment times are shown in when they carry no zone of their own
}

// maxCrisisText keeps the crisis text within four segments: it is read in distress.
const maxCrisisText = 600

// Check finds what would get texts refused later, so that it is known at the
// start. The error joins every mistake, each with its setting and how to mend it.
func (i Identity) Check() error {
	var errs []error
	bad := func(setting, problem string) {
		errs = append(errs, fmt.Errorf("practice.%s: %s", setting, problem))
	}
	for _, s := range []struct{ setting, value string }{{"name", i.Name}, {"discreet_name", i.DiscreetName}, {"phone", i.Phone}, {"postal_address", i.PostalAddress}} {
		if strings.TrimSpace(s.value) == "" {
			bad(s.setting, "is missing: texts need it")
		}
	}
	for _, s := range []struct{ setting, value string }{{"name", i.Name}, {"discreet_name", i.DiscreetName}, {"crisis_text", i.CrisisText}} {
		if NamesMentalHealth(s.value) {
			bad(s.setting, "names mental health, and would stand in texts and subject lines: use words that do not")
		}
	}
	if i.Name != "" && contains(i.DiscreetName, i.Name) {
		bad("discreet_name", "names the practice: say something that anybody could be called, such as “Your provider”")
	}
	if i.Name != "" && contains(i.PostalAddress, i.Name) {
		bad("postal_address", "names the practice, so discreet newsletters could not carry it: leave the name out")
	}
	if places(i.CrisisText) > maxCrisisText {
		bad("crisis_text", fmt.Sprintf("is too long: at most %d characters", maxCrisisText))
	}
	if invitesKeyword(i.CrisisText) {
		bad("crisis_text", inviteProblem)
	}
	if _, err := time.LoadLocation(i.TimeZone); err != nil || i.TimeZone == "Local" {
		bad("time_zone", "is not a time zone: use a name such as America/Denver")
	}
	return errors.Join(errs...)
}

// CheckLinks finds what every link would show to whoever sees a phone: its host
// name stands in SMS, and in the texts of patients who asked that the practice
// never be named.
func (i Identity) CheckLinks(publicURL string) error {
	u, err := url.Parse(publicURL)
	switch {
	case err != nil:
		return errors.New("http.public_url: is not a URL")
	case NamesMentalHealth(u.Host):
		return errors.New("http.public_url: its host name names mental health, and every link in an SMS shows it: use another")
	case i.Name != "" && strings.Contains(letters(u.Host), letters(i.Name)):
		return errors.New("http.public_url: its host name names the practice, and every link in a discreet text shows it: use another")
	}
	return nil
}

// letters leaves only letters and digits, folded: "Cedar Practice" as "cedarpractice".
func letters(text string) string {
	return closeUp.Replace(padded(text))
}

// written writes a US number as people write it; another stays as it is.
func written(e164 string) string {
	if len(e164) == 12 && strings.HasPrefix(e164, "+1") {
		return e164[2:5] + "-" + e164[5:8] + "-" + e164[8:]
	}
	return e164
}

// closeUp is made once: every text that is written is looked at.
var closeUp = strings.NewReplacer(" ", "", sentenceEnd, "")
