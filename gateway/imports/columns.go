package imports

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"harmonize.care/heed/gateway"
)

// field is one column as we name it.
type field string

// The fields of all files.
const (
	fieldID        field = "id"
	fieldGiven     field = "given_name"
	fieldFamily    field = "family_name"
	fieldBirth     field = "birth_date"
	fieldLanguage  field = "locale"
	fieldZone      field = "time_zone"
	fieldPostal    field = "postal_code"
	fieldState     field = "state"
	fieldHome      field = "home_phone"
	fieldMobile    field = "mobile_phone"
	fieldWork      field = "work_phone"
	fieldPhone     field = "phone" // a phone of no stated kind
	fieldMailbox   field = "email"
	fieldPreferred field = "preferred_contact"
	fieldText      field = "ok_to_text"
	fieldEmail     field = "ok_to_email"
	fieldVoicemail field = "ok_to_leave_voicemail"
	fieldNote      field = "confidential"
	fieldDeceased  field = "deceased"
	fieldPatient   field = "patient"
	fieldStart     field = "start"
	fieldStatus    field = "status"
	fieldLocation  field = "location"
	fieldClinician field = "clinician"
	fieldProgram   field = "program"
	fieldTopic     field = "topic"
	fieldChannel   field = "channel"
	fieldChoice    field = "choice"
	fieldConsent   field = "consent"
	fieldSaid      field = "said_on"
	fieldEvidence  field = "evidence"
)

// column is a field with the names that exports give it, compared without case,
// spaces and marks.
type column struct {
	field    field
	required bool
	names    string // separated by |
}

var patientColumns = []column{
	{fieldID, true, "MRN|Patient ID|Patient No|Patient Number|Chart|Chart No|Chart Number|Chart ID|Account No|Account Number|Medical Record Number|Record Number|Pt ID|ID"},
	{fieldGiven, false, "First Name|Given Name|Fname|First|Patient First Name|Pt First Name"},
	{fieldFamily, false, "Last Name|Surname|Family Name|Lname|Last|Patient Last Name|Pt Last Name"},
	{fieldBirth, true, "DOB|Birth Date|Date of Birth|Birthday|Patient DOB"},
	{fieldLanguage, false, "Preferred Language|Language|Primary Language|Lang|Locale"},
	{fieldZone, false, "Time Zone|TZ"},
	{fieldPostal, false, "ZIP|Postal Code|Zip Code|Zip/Postal Code"},
	{fieldState, false, "State|St|State/Province"},
	{fieldHome, false, "Home Phone|Phone (Home)|Home|Home Number|Home Phone Number|Home Tel"},
	{fieldMobile, false, "Cell Phone|Mobile Phone|Cell|Mobile|Phone (Cell)|Phone (Mobile)|Cell Number|Mobile Number|Cell Phone Number|Mobile Phone Number"},
	{fieldWork, false, "Work Phone|Phone (Work)|Work|Work Number|Work Phone Number|Business Phone|Office Phone"},
	{fieldPhone, false, "Phone|Phone Number|Telephone|Primary Phone|Tel|Main Phone"},
	{fieldMailbox, false, "Email|Email Address|Patient Email"},
	{fieldPreferred, false, "Preferred Contact|Preferred Contact Method|Contact Preference|Preferred Communication|Contact Method|Preferred Method of Contact"},
	{fieldText, false, "OK to Text|Text Consent|SMS OK|Text OK|OK to SMS|SMS Consent|OK Text|Allow Text|Allow SMS|Can Text|Texting OK"},
	{fieldEmail, false, "OK to Email|Email Consent|Email OK|OK Email|Allow Email|Can Email"},
	{fieldVoicemail, false, "OK to Leave VM|OK to Leave Voicemail|Voicemail OK|VM OK|OK to Leave Message|Leave Message OK|Leave VM"},
	{fieldNote, false, "Confidential Comm|Confidential Communication|Confidential Communications|Conf Comm|Confidential Contact|Confidential Communication Request"},
	{fieldDeceased, false, "Deceased Date|Deceased|DOD|Date of Death|Death Date|Is Deceased"},
}

var appointmentColumns = []column{
	{fieldID, true, "Appt ID|Appointment ID|Appt No|Appt Number|Appointment Number|Visit ID|Encounter ID|ID"},
	{fieldPatient, true, "MRN|Patient ID|Patient No|Patient Number|Chart|Chart No|Chart Number|Chart ID|Medical Record Number|Record Number|Pt ID"},
	{fieldStart, true, "Start|Start Time|Start Date|Start Date/Time|Appt Start|Appointment Start|Date/Time|Appt Date/Time|Appointment Date/Time|Appt Time|Appointment Time"},
	{fieldStatus, true, "Status|Appt Status|Appointment Status|Visit Status"},
	{fieldLocation, true, "Location|Office|Site|Facility|Place|Appt Location|Appointment Location"},
	{fieldClinician, false, "Clinician|Provider|Doctor|Therapist|Provider Name|Clinician Name|Resource"},
	{fieldZone, false, "Time Zone|TZ"},
}

const (
	saidNames     = "Date|Said On|Opt Out Date|Opted Out On|Stop Date|Stopped On|Unsubscribed At|Date Opted Out|Revoked On"
	evidenceNames = "Evidence|Note|Notes|Reason|Comment|Comments|How"
)

var stopColumns = []column{
	{fieldPhone, true, "Phone|Number|Phone Number|Cell Phone|Mobile Phone|Cell|Mobile|Telephone|Mobile Number|Cell Number"},
	{fieldProgram, false, "Program|Sender|Opted Out Of"},
	{fieldChoice, false, "Choice|Action|Status|Opt Status|Opt Out Status|Subscription Status"},
	{fieldSaid, false, saidNames},
	{fieldEvidence, false, evidenceNames},
}

var choiceColumns = []column{
	{fieldID, true, "MRN|Patient|Patient ID|Patient No|Patient Number|Chart|Chart No|Chart Number|Chart ID|Account No|Account Number|Medical Record Number|Record Number|Pt ID|ID"},
	{fieldTopic, false, "Topic|List|Category|Message Type|Type|Subject"},
	{fieldChannel, false, "Channel|Method|Contact Method|Medium"},
	{fieldChoice, true, "Choice|Action|Status|Opt Status|Opt In/Out|Preference|Subscription Status"},
	{fieldConsent, false, "Consent|Consent Level|Level"},
	{fieldSaid, false, saidNames + "|Opt In Date|Opted In On|Choice Date|Consent Date|Subscribed At"},
	{fieldEvidence, false, evidenceNames},
}

// PatientFields, AppointmentFields, StopFields and ChoiceFields list what a column may
// be mapped to.
func PatientFields() []string     { return fieldNames(patientColumns) }
func AppointmentFields() []string { return fieldNames(appointmentColumns) }
func StopFields() []string        { return fieldNames(stopColumns) }
func ChoiceFields() []string      { return fieldNames(choiceColumns) }

func fieldNames(known []column) []string {
	var list []string
	for _, c := range known {
		list = append(list, string(c.field))
	}
	return list
}

// layout says where each field stands in a file.
type layout struct {
	at     map[field]int
	header []string
}

// squeeze drops everything but letters and digits, and the case.
func squeeze(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, norm.NFKC.String(text))
}

// readHeader finds the columns, and gives the names of those that nobody reads. The
// error lists every mistake; it repeats no column's name, because the first line of
// a file without a header is a patient.
func readHeader(header []string, known []column, mapped map[string]string) (layout, []string, error) {
	l := layout{at: map[field]int{}, header: make([]string, len(header))}
	var wrong gateway.Invalid
	bad := func(where, format string, args ...any) {
		wrong = append(wrong, gateway.Mistake{Field: where, Problem: fmt.Sprintf(format, args...)})
	}
	seen := map[string]int{}
	for i, name := range header {
		l.header[i] = strings.TrimSpace(name)
		key := squeeze(name)
		if first, twice := seen[key]; twice && key != "" {
			bad("header", "columns %d and %d have the same name: rename or remove one", first+1, i+1)
			continue
		}
		seen[key] = i
	}
	l.explicit(seen, known, mapped, bad)
	for _, c := range known {
		l.find(c, seen, bad)
	}
	return l, l.unread(), wrong.Or()
}

// explicit takes the operator's own mapping, which wins over every usual name.
func (l *layout) explicit(seen map[string]int, known []column, mapped map[string]string, bad func(string, string, ...any)) {
	for _, name := range slices.Sorted(maps.Keys(mapped)) {
		to := field(mapped[name])
		i, there := seen[squeeze(name)]
		_, taken := l.at[to]
		switch {
		case !slices.Contains(fieldNames(known), string(to)):
			bad("--map", "%q is no field: use one of %s", to, strings.Join(fieldNames(known), ", "))
		case !there:
			bad("--map", "the file has no column %q", name)
		case taken:
			bad("--map", "two columns are mapped to %s", to)
		default:
			l.at[to] = i
		}
	}
}

func (l *layout) find(c column, seen map[string]int, bad func(string, string, ...any)) {
	if _, mapped := l.at[c.field]; mapped {
		return
	}
	var found []int
	for name := range strings.SplitSeq(c.names, "|") {
		if i, ok := seen[squeeze(name)]; ok && !l.used(i) && !slices.Contains(found, i) {
			found = append(found, i)
		}
	}
	switch {
	case len(found) == 1:
		l.at[c.field] = found[0]
	case len(found) > 1:
		slices.Sort(found)
		bad(string(c.field), "columns %d and %d can both be meant: say which with --map COLUMN=%s", found[0]+1, found[1]+1, c.field)
	case c.required:
		bad(string(c.field), "no column has one of its usual names (%s): name it with --map COLUMN=%s, and check that commas separate the columns",
			strings.ReplaceAll(c.names, "|", ", "), c.field)
	}
}

func (l *layout) used(i int) bool {
	for _, at := range l.at {
		if at == i {
			return true
		}
	}
	return false
}

func (l *layout) unread() []string {
	var list []string
	for i, name := range l.header {
		if !l.used(i) && name != "" {
			list = append(list, name)
		}
	}
	return list
}

func (l *layout) has(f field) bool {
	_, ok := l.at[f]
	return ok
}

// name gives the file's own name of a field.
func (l *layout) name(f field) string {
	if i, ok := l.at[f]; ok {
		return l.header[i]
	}
	return string(f)
}

// get gives a row's field without the space around it.
func (l *layout) get(fields []string, f field) string {
	if i, ok := l.at[f]; ok && i < len(fields) {
		return strings.TrimSpace(fields[i])
	}
	return ""
}

// value is get, where "declined" and its like are no value.
func (l *layout) value(fields []string, f field) string {
	if text := l.get(fields, f); !noValue(text) {
		return text
	}
	return ""
}
