package imports

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// tooLong finds a known column that is over the limit; except is not looked at.
func tooLong(l *layout, fields []string, except field) (name string, bad bool) {
	for f, i := range l.at {
		if f != except && i < len(fields) && len(fields[i]) > maxField {
			return l.name(f), true
		}
	}
	return "", false
}

// notText finds a known column that holds what no text may; what people write freely may
// go on over several lines.
func notText(l *layout, fields []string) (name, problem string) {
	for _, f := range slices.Sorted(maps.Keys(l.at)) {
		if problem := gateway.TextProblem(l.get(fields, f), f == fieldNote || f == fieldEvidence); problem != "" {
			return l.name(f), problem
		}
	}
	return "", ""
}

// patientLine is one line while it is read into its patient. Of two lines the later
// one's fields win, but an empty one never; addresses and refusals add up.
type patientLine struct {
	*patients
	row    int
	fields []string
	one    *patient
}

func (l *patientLine) note(f field, why string) { l.report.note(l.row, l.layout.name(f), why) }

func (l *patientLine) value(f field) string { return l.layout.value(l.fields, f) }

var isState = regexp.MustCompile(`^[A-Z]{2}$`)

func (l *patientLine) readRecord() {
	r := &l.one.record
	set := func(to *string, value string) {
		if value != "" {
			*to = value
		}
	}
	set(&r.GivenName, l.layout.get(l.fields, fieldGiven))
	set(&r.FamilyName, l.layout.get(l.fields, fieldFamily))
	l.readBirthDate()
	name, ok := locale(l.value(fieldLanguage))
	set(&r.Locale, name)
	if !ok {
		l.note(fieldLanguage, "no texts in this language: they come in English")
	}
	if zone := l.value(fieldZone); zone != "" {
		if _, err := zoneOf(zone); err != nil {
			l.note(fieldZone, err.Error()+"; left out")
			zone = ""
		}
		set(&r.TimeZone, zone)
	}
	if zip := l.value(fieldPostal); zip != "" && !isZIP(zip) {
		l.note(fieldPostal, "not a ZIP code of five or nine digits; left out")
	} else {
		set(&r.PostalCode, zip)
	}
	if state := strings.ToUpper(l.value(fieldState)); state != "" && (!isState.MatchString(state) || preferences.ZonesOfState(state) == nil) {
		l.note(fieldState, "not the two letters of a state or territory; left out")
	} else {
		set(&r.State, state)
	}
	dead, ok := died(l.layout.get(l.fields, fieldDeceased), l.Intake.Now())
	r.Deceased = r.Deceased || dead
	if !ok {
		l.note(fieldDeceased, "neither a day up to today nor yes or no: taken as deceased")
	}
}

func (l *patientLine) readBirthDate() {
	text := l.value(fieldBirth)
	if text == "" {
		return
	}
	born, err := birthDate(text, l.Intake.Now())
	switch day := born.String(); {
	case err != nil:
		l.one.undated = err.Error()
	case l.one.record.BirthDate != "" && l.one.record.BirthDate != day:
		l.one.undated = "the lines of this id have different birth dates: which one is right?"
	default:
		l.one.record.BirthDate = day
	}
}

// readAddresses takes what can be read; a bad number costs the number, not the patient.
func (l *patientLine) readAddresses() {
	for _, f := range phoneFields {
		if number, ok := l.address(f, l.ParsePhone); ok && !slices.Contains(l.one.address.phones[f], number) {
			l.one.address.phones[f] = append(l.one.address.phones[f], number)
		}
	}
	if mailbox, ok := l.address(fieldMailbox, l.ParseMailbox); ok && !slices.Contains(l.one.address.mailboxes, mailbox) {
		l.one.address.mailboxes = append(l.one.address.mailboxes, mailbox)
	}
}

func (l *patientLine) address(f field, parse func(string) (string, error)) (string, bool) {
	text := l.value(f)
	if text == "" {
		return "", false
	}
	value, err := parse(text)
	if err != nil {
		l.note(f, err.Error()+"; left out")
		return "", false
	}
	return value, true
}

// readWords reads what the line says of how the patient may be reached.
func (l *patientLine) readWords() {
	for _, f := range flags {
		no, ok := saysNo(l.layout.get(l.fields, f.field))
		l.one.no[f.said] = l.one.no[f.said] || no
		if !ok {
			l.note(f.field, "neither yes nor no: taken as a no")
		}
	}
	p, ok := preferenceOf(l.value(fieldPreferred))
	switch {
	case !ok:
		l.note(fieldPreferred, "not understood; left out")
	case len(p.order) > 0:
		l.one.preferred = p
	}
	note := l.layout.get(l.fields, fieldNote)
	if !isNoNote(note) && !slices.Contains(l.one.notes, note) {
		l.one.notes = append(l.one.notes, note)
	}
}
