package imports

import (
	"errors"
	"slices"
	"testing"
	"time"

	"harmonize.care/heed/channels"
)

func TestNoValue(t *testing.T) {
	for _, text := range []string{
		"", " ", "-", "--", "?", "declined", "DECLINED", "Declined.", "none", "None", "none@", "n/a", "N/A", "NA", "no email", "No E-mail"[:2], "unknown", "refused",
		"000-000-0000", "(999) 999-9999", "1111111", "ninguno", "not provided", "no cell phone",
	} {
		if !noValue(text) {
			t.Errorf("%q counts as a value", text)
		}
	}
	for _, text := range []string{"303-555-0143", "ann@patients.example", "none@patients.example", "Text", "00601", "99999", "Nona"} {
		if noValue(text) {
			t.Errorf("%q counts as none", text)
		}
	}
}

func TestBirthDate(t *testing.T) {
	now := time.Date(2026, 11, 2, 17, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"09/04/1942": "1942-09-04", "9/4/1942": "1942-09-04", "1942-09-04": "1942-09-04", "1942-9-4": "1942-09-04", "09-04-1942": "1942-09-04",
		"02/29/2000": "2000-02-29", "1/5/44": "1944-01-05", "12/31/99": "1999-12-31", "11/02/2026": "2026-11-02",
	} {
		got, err := birthDate(text, now)
		if err != nil || got.String() != want {
			t.Errorf("%q: %v, %v; want %s", text, got, err, want)
		}
	}
	for text, want := range map[string]error{
		"31/31/1980": errDay, "13/01/1980": errDay, "02/29/1999": errDay, "1980": errDay, "April 2, 1980": errDay, "1980/04/02": errDay, "04/02/1980 extra": errDay,
		"1/5/07": errCentury, "1/5/15": errCentury, "2/29/00": errCentury, "01/01/1900": errTooOld, "1850-01-01": errTooOld, "1/1/0044": errTooOld,
	} {
		got, err := birthDate(text, now)
		if !errors.Is(err, want) || !got.IsZero() {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestMoment(t *testing.T) {
	denver, err := time.LoadLocation("America/Denver")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"02/12/2027 09:30 AM":       "2027-02-12T09:30:00-07:00",
		"06/27/2027 03:00 PM":       "2027-06-27T15:00:00-06:00",
		"6/27/2027 3:00 pm":         "2027-06-27T15:00:00-06:00",
		"6/27/2027 3:00pm":          "2027-06-27T15:00:00-06:00",
		"06/27/2027  15:00":         "2027-06-27T15:00:00-06:00",
		"06/27/2027 15:00:00":       "2027-06-27T15:00:00-06:00",
		"06/27/2027 03:00:00 PM":    "2027-06-27T15:00:00-06:00",
		"2027-06-27 15:00":          "2027-06-27T15:00:00-06:00",
		"2027-06-27 3:00 PM":        "2027-06-27T15:00:00-06:00",
		"2027-06-27T15:00":          "2027-06-27T15:00:00-06:00",
		"2027-06-27T15:00:00Z":      "2027-06-27T09:00:00-06:00",
		"2027-06-27T15:00:00-05:00": "2027-06-27T14:00:00-06:00",
		"6/27/27 15:00":             "2027-06-27T15:00:00-06:00",
		"01/01/2027 12:00 AM":       "2027-01-01T00:00:00-07:00",
		"11/07/2027 01:30 AM":       "2027-11-07T01:30:00-06:00", // twice on that day: the first
	} {
		got, err := moment(text, denver)
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%q: %s, %v; want %s", text, got.Format(time.RFC3339), err, want)
		}
	}
	for text, want := range map[string]error{
		"03/14/2027 02:30 AM": errGap, // the clocks go from 2 to 3
		"":                    errMoment, "06/27/2027": errMoment, "09:30 AM": errMoment, "06/27/2027 13:00 PM": errMoment, "06/27/2027 25:00": errMoment,
		"27/06/2027 10:00": errMoment, "tomorrow 10:00": errMoment,
	} {
		if _, err := moment(text, denver); !errors.Is(err, want) {
			t.Errorf("%q: %v; want %v", text, err, want)
		}
	}
}

func TestZone(t *testing.T) {
	if _, err := zoneOf("America/Denver"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", "Local", "Mountain", "../etc/passwd", "America/Nowhere"} {
		if _, err := zoneOf(name); !errors.Is(err, errZone) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestFlags(t *testing.T) {
	for text, want := range map[string]struct{ no, understood bool }{
		"Y": {false, true}, "yes": {false, true}, "": {false, true}, "?": {false, true}, "Unknown": {false, true}, "1": {false, true}, "X": {false, true},
		"N": {true, true}, "no": {true, true}, "False": {true, true}, "0": {true, true}, "Declined": {true, true}, "do not": {true, true}, "Opt-out": {true, true},
		"only in emergencies": {true, false}, "2026-01-01": {true, false},
	} {
		if no, understood := saysNo(text); no != want.no || understood != want.understood {
			t.Errorf("%q: %v, %v", text, no, understood)
		}
	}
}

func TestDied(t *testing.T) {
	now := time.Date(2026, 11, 2, 17, 0, 0, 0, time.UTC)
	for text, want := range map[string]struct{ dead, understood bool }{
		"": {false, true}, "N": {false, true}, "alive": {false, true}, "0": {false, true},
		"10/03/2026": {true, true}, "2026-10-03": {true, true}, "10/3/26": {true, true}, "Y": {true, true}, "Deceased": {true, true},
		"10/03/2126": {true, false}, "see chart": {true, false},
	} {
		if dead, understood := died(text, now); dead != want.dead || understood != want.understood {
			t.Errorf("%q: %v, %v", text, dead, understood)
		}
	}
}

func TestLocale(t *testing.T) {
	for text, want := range map[string]string{"": "", "English": "en", "EN": "en", "en-US": "en", "Spanish": "es", "Español": "es", "espan\u0303ol": "es", "es": "es", "es_MX": "es"} {
		if got, ok := locale(text); got != want || !ok {
			t.Errorf("%q: %q, %v", text, got, ok)
		}
	}
	for _, text := range []string{"Vietnamese", "Esperanto", "ASL"} {
		if got, ok := locale(text); got != "en" || ok {
			t.Errorf("%q: %q, %v", text, got, ok)
		}
	}
}

func TestPreferredContact(t *testing.T) {
	sms, voice, email := channels.SMS, channels.Voice, channels.Email
	for text, want := range map[string]struct {
		order []channels.Channel
		first field
	}{
		"Text": {[]channels.Channel{sms}, fieldMobile}, "SMS": {[]channels.Channel{sms}, fieldMobile}, "Phone": {[]channels.Channel{voice}, ""}, "E-Mail": {[]channels.Channel{email}, ""},
		"Cell": {[]channels.Channel{sms, voice}, fieldMobile}, "Home Phone": {[]channels.Channel{voice}, fieldHome}, "work": {[]channels.Channel{voice}, fieldWork},
		"Mail": {nil, ""}, "": {nil, ""}, "Patient Portal": {nil, ""},
	} {
		if got, ok := preferenceOf(text); !ok || !slices.Equal(got.order, want.order) || got.first != want.first {
			t.Errorf("%q: %+v, %v", text, got, ok)
		}
	}
	if _, ok := preferenceOf("carrier pigeon"); ok {
		t.Error("a pigeon is understood")
	}
}

func TestZIP(t *testing.T) {
	for text, want := range map[string]bool{
		"80202": true, "80202-1234": true, "802021234": true, "00601": true,
		"8020": false, "802021": false, "8-0202": false, "80202-": false, "-80202": false, "8020212-34": false, "80202-12345": false, "ABCDE": false, "": false,
	} {
		if isZIP(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestIDs(t *testing.T) {
	for _, id := range []string{"100000", "A-17/b", "Ünï", "1E5", "E+5"} {
		if problem := idProblem(id); problem != "" {
			t.Errorf("%q: %s", id, problem)
		}
	}
	for _, id := range []string{"", "1.00E+05", "1e+12", "a\tb", "a\nb", string(make([]byte, 200))} {
		if idProblem(id) == "" {
			t.Errorf("%q is taken", id)
		}
	}
}

func TestNotes(t *testing.T) {
	row := reachable{
		phones:    map[field][]string{fieldMobile: {"+13035550101"}, fieldHome: {"+13035550102"}, fieldWork: {"+13035550103"}},
		mailboxes: []string{"ann@patients.example"},
	}
	const cell, home, work, mail = "+13035550101", "+13035550102", "+13035550103", "ann@patients.example"
	for note, want := range map[string][]string{
		"email only":                  {"email " + mail},
		"E-mail only, please.":        {"email " + mail},
		"EMAIL ONLY!":                 {"email " + mail},
		"text only":                   {"sms " + cell},
		"text cell only":              {"sms " + cell},
		"cell only":                   {"sms " + cell, "voice " + cell},
		"call cell only":              {"voice " + cell},
		"home phone only":             {"voice " + home},
		"call work only":              {"voice " + work},
		"phone only":                  {"voice " + cell, "voice " + home, "voice " + work},
		"email or text only":          {"sms " + cell, "email " + mail},
		"Letters only":                nil,
		"mail only":                   nil,
		"Don't call":                  {"sms " + cell, "sms " + home, "sms " + work, "email " + mail},
		"do not leave voicemail":      {"sms " + cell, "sms " + home, "sms " + work, "email " + mail},
		"no texts":                    {"voice " + cell, "voice " + home, "voice " + work, "email " + mail},
		"please do not email, please": {"sms " + cell, "sms " + home, "sms " + work, "voice " + cell, "voice " + home, "voice " + work},
	} {
		only, unclear := instruction(note, row)
		var got []string
		for _, w := range only {
			got = append(got, w.Channel.String()+" "+w.Address)
		}
		if unclear != "" || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %q; want %v", note, got, unclear, want)
		}
	}
	for _, note := range []string{
		"Do NOT call home - ex-husband", "mail to PO Box 12", "call work # after 3pm only", "not email only", "email only until May", "text only 303-555-0199", "Y", "yes", "cell", "see chart",
	} {
		if only, unclear := instruction(note, row); unclear == "" || only != nil {
			t.Errorf("%q is taken for plain: %v", note, only)
		}
	}
	for _, note := range []string{"email only", "text only", "cell only", "do not call", "work phone only"} {
		if only, unclear := instruction(note, reachable{}); unclear == "" || only != nil {
			t.Errorf("%q without an address is taken for plain: %v", note, only)
		}
	}
}
