package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// Class is a property of a category, never of a request.
type Class string

// The classes.
const (
	Essential    Class = "essential"
	NonEssential Class = "non_essential"
)

// Purpose is HIPAA's word for what a message is for.
type Purpose string

// The purposes.
const (
	Treatment Purpose = "treatment"
	Payment   Purpose = "payment"
	Operation Purpose = "operations"
	Legal     Purpose = "legal"
	Marketing Purpose = "marketing"
)

// Purposes lists every purpose.
var Purposes = []Purpose{Treatment, Payment, Operation, Legal, Marketing}

// File is the policy as a practice's counsel reads and changes it.
type File struct {
	Categories          map[string]CategoryRule `yaml:"categories" json:"categories"`
	Programs            map[string]ProgramRule  `yaml:"programs" json:"programs"`
	RevocationScope     string                  `yaml:"revocation_scope" json:"revocation_scope"`                     // program | everything
	RevocationScopeFrom string                  `yaml:"revocation_scope_from,omitempty" json:"revocation_scope_from"` // RFC 3339 day from which it applies to stops received
	ReminderOffsets     []string                `yaml:"reminder_offsets" json:"reminder_offsets"`                     // before the appointment, such as 48h
}

// CategoryRule is one category of the file.
type CategoryRule struct {
	Class         Class             `yaml:"class" json:"class"`
	Purpose       Purpose           `yaml:"purpose" json:"purpose"`
	Program       string            `yaml:"program" json:"program"`
	Channels      []string          `yaml:"channels" json:"channels"`
	Consent       map[string]string `yaml:"consent" json:"consent"` // by channel: provided, express or written
	Content       string            `yaml:"content" json:"content"`
	SecureLink    *bool             `yaml:"secure_link,omitempty" json:"secure_link,omitempty"` // default: allowed where content is above none
	Authorization bool              `yaml:"authorization,omitempty" json:"authorization,omitempty"`
	Uncounted     bool              `yaml:"uncounted,omitempty" json:"uncounted,omitempty"` // neither counted nor capped
}

// ProgramRule is one program of the file.
type ProgramRule struct {
	Days     string  `yaml:"days,omitempty" json:"days,omitempty"` // "Mon-Fri"; empty: every day
	Open     string  `yaml:"open" json:"open"`                     // 08:00
	Close    string  `yaml:"close" json:"close"`                   // 21:00, which is outside
	Holidays bool    `yaml:"closed_on_federal_holidays,omitempty" json:"closed_on_federal_holidays,omitempty"`
	Cap      CapRule `yaml:"cap" json:"cap"`
}

// CapRule is how many texts and calls a patient may get.
type CapRule struct {
	PerDay          int  `yaml:"per_day" json:"per_day"`
	Per7Days        int  `yaml:"per_7_days" json:"per_7_days"`
	ExpressIsExempt bool `yaml:"express_consent_is_exempt,omitempty" json:"express_consent_is_exempt,omitempty"`
}

// Default is the built-in policy: the tables of the decision's description.
func Default() File {
	care := func(purpose Purpose, content, list string) CategoryRule {
		return rule(Essential, purpose, "care", content, list, "sms provided, voice provided, email provided")
	}
	file := File{
		RevocationScope: "program", ReminderOffsets: []string{"48h", "3h"},
		Categories: map[string]CategoryRule{
			"appointment_reminder": care(Treatment, "minimal", "sms email voice"),
			"appointment_change":   care(Treatment, "minimal", "sms email voice"),
			"follow_up":            care(Treatment, "minimal", "sms email voice"),
			"treatment_update":     care(Treatment, "clinical", "email sms voice"),
			"legal_notice":         care(Legal, "none", "email"),
			"billing_notice":       rule(Essential, Payment, "billing", "minimal", "email sms", "email provided, sms express"),
			"symptom_check_in":     rule(NonEssential, Treatment, "check_in", "minimal", "sms email", "sms express, email provided"),
			"survey":               rule(NonEssential, Operation, "check_in", "minimal", "email sms", "email provided, sms express"),
			"newsletter":           rule(NonEssential, Marketing, "marketing", "none", "email", "email provided"),
			"marketing":            rule(NonEssential, Marketing, "marketing", "none", "email sms voice", "email provided, sms written, voice written"),
			"sponsored_marketing":  rule(NonEssential, Marketing, "marketing", "none", "email", "email written"),
		},
		Programs: map[string]ProgramRule{
			// Two reminders for each of two visits a week must fit. Where a practice relies on
			// the exemption of 47 CFR 64.1200(a)(9)(iv): per_day 1, per_7_days 3.
			"care":      {Open: "08:00", Close: "21:00", Cap: CapRule{2, 10, true}},
			"check_in":  {Open: "08:00", Close: "21:00", Cap: CapRule{1, 7, false}},
			"billing":   {Open: "08:00", Close: "21:00", Cap: CapRule{1, 3, false}},
			"marketing": {Days: "Mon-Fri", Open: "10:00", Close: "18:00", Holidays: true, Cap: CapRule{1, 3, false}},
		},
	}
	change := file.Categories["appointment_change"]
	change.Uncounted = true
	file.Categories["appointment_change"] = change
	sponsored := file.Categories["sponsored_marketing"]
	sponsored.Authorization = true // 45 CFR 164.508(a)(3)
	file.Categories["sponsored_marketing"] = sponsored
	return file
}

func rule(class Class, purpose Purpose, program, content, list, consent string) CategoryRule {
	r := CategoryRule{Class: class, Purpose: purpose, Program: program, Channels: strings.Fields(list), Content: content, Consent: map[string]string{}}
	for pair := range strings.SplitSeq(consent, ", ") {
		channel, level, _ := strings.Cut(pair, " ")
		if slices.Contains(r.Channels, channel) {
			r.Consent[channel] = level
		}
	}
	return r
}

// Category is a category, compiled.
type Category struct {
	Name          string
	Class         Class
	Purpose       Purpose
	Program       channels.Program
	Channels      []channels.Channel
	Consent       [4]preferences.Consent // by channel
	Content       Content
	SecureLink    bool
	Authorization bool
	Counted       bool
	offers        channelSet // Channels once more
	essential     bool       // Class once more
}

// Policy is a policy in force. It is never changed, and many may ask it at once.
type Policy struct {
	Version  string
	File     File
	Offsets  []time.Duration
	names    []string    // of the categories, sorted
	cats     []*Category // in the order of their names
	programs [len(channels.Programs)]program
	zones    *zones
	everyone time.Time // revocation scope "everything" applies from; zero: never
}

// New checks a file as a whole and compiles it. The error joins every mistake,
// each with its key and how to mend it.
func New(f File) (*Policy, error) {
	p := &Policy{File: f, names: slices.Sorted(maps.Keys(f.Categories))}
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	for _, name := range p.names {
		p.cats = append(p.cats, compileCategory(name, f.Categories[name], bad))
	}
	for _, name := range slices.Sorted(maps.Keys(f.Programs)) {
		which, err := channels.ParseProgram(name)
		if err != nil {
			bad("programs."+name, "%v", err)
			continue
		}
		p.programs[which] = compileProgram("programs."+name, f.Programs[name], bad)
	}
	p.checkShared(bad)
	p.checkRest(bad)
	var err error
	if p.zones, err = readZones(); err != nil {
		bad("time zones", "this build and this machine lack some: %v", err)
	}
	canonical, err := json.Marshal(f)
	sum := sha256.Sum256(canonical)
	p.Version = hex.EncodeToString(sum[:6])
	return p, errors.Join(append(errs, err)...)
}

func compileCategory(name string, r CategoryRule, bad func(string, string, ...any)) *Category {
	key := "categories." + name
	c := &Category{Name: name, Class: r.Class, Purpose: r.Purpose, Authorization: r.Authorization, Counted: !r.Uncounted && r.Purpose != Legal, essential: r.Class == Essential}
	if name == preferences.TopicNonEssential {
		bad(key, "this name is a topic that covers many categories; choose another")
	}
	if r.Class != Essential && r.Class != NonEssential {
		bad(key+".class", "say essential or non_essential")
	}
	if !slices.Contains(Purposes, r.Purpose) {
		bad(key+".purpose", "say treatment, payment, operations, legal or marketing")
	}
	if r.Purpose == Marketing && r.Class == Essential {
		bad(key+".class", "marketing is never essential")
	}
	var err error
	if c.Program, err = channels.ParseProgram(r.Program); err != nil {
		bad(key+".program", "%v", err)
	}
	if c.Content.UnmarshalText([]byte(r.Content)) != nil {
		bad(key+".content", "say none, minimal or clinical")
	}
	c.SecureLink = c.Content > None
	if r.SecureLink != nil {
		c.SecureLink = *r.SecureLink
	}
	if len(r.Channels) == 0 {
		bad(key+".channels", "name at least one of sms, voice, email")
	}
	for _, n := range r.Channels {
		ch, err := channels.ParseChannel(n)
		if err != nil || slices.Contains(c.Channels, ch) {
			bad(key+".channels", "name sms, voice and email, each once")
			continue
		}
		c.Channels, c.offers = append(c.Channels, ch), c.offers|setOf(ch)
		if c.Consent[ch] = preferences.ParseConsent(r.Consent[n]); c.Consent[ch] == preferences.NoConsent {
			bad(key+".consent."+n, "say provided, express or written")
		}
	}
	for n := range r.Consent {
		if !slices.Contains(r.Channels, n) {
			bad(key+".consent."+n, "this channel is not among the category's channels")
		}
	}
	return c
}

var dayNames = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

func compileProgram(key string, r ProgramRule, bad func(string, string, ...any)) program {
	p := program{holidays: r.Holidays, cap: r.Cap}
	open, ok1 := minutes(r.Open)
	if !ok1 {
		bad(key+".open", "write a time of day such as 08:00")
	}
	closes, ok2 := minutes(r.Close)
	if !ok2 {
		bad(key+".close", "write a time of day such as 21:00")
	}
	if ok1 && ok2 && (open >= closes || open < 8*60 || closes > 21*60) {
		bad(key, "the window must open before it closes and lie within 08:00-21:00 (47 CFR 64.1200(c)(1))")
	}
	p.open, p.close = int64(open)*60, int64(closes)*60
	from, to, isRange := strings.Cut(r.Days, "-")
	first, last := slices.Index(dayNames, from), slices.Index(dayNames, to)
	switch {
	case r.Days == "":
		p.days = [7]bool{true, true, true, true, true, true, true}
	case !isRange || first < 0 || last < 0:
		bad(key+".days", "write a range such as Mon-Fri, or leave it out for every day")
	default:
		for d := first; ; d = (d + 1) % 7 {
			p.days[d] = true
			if d == last {
				break
			}
		}
	}
	if r.Cap.PerDay < 1 || r.Cap.Per7Days < r.Cap.PerDay {
		bad(key+".cap", "per_day is at least 1 and per_7_days at least per_day")
	}
	p.layOut()
	return p
}

func minutes(text string) (int, bool) {
	h, m, ok := strings.Cut(text, ":")
	hh, err1 := strconv.Atoi(h)
	mm, err2 := strconv.Atoi(m)
	return hh*60 + mm, ok && err1 == nil && err2 == nil && len(m) == 2 && hh >= 0 && hh <= 24 && mm >= 0 && mm < 60
}

// checkShared: no non-essential category shares a program with an essential one,
// so that a STOP to a survey cannot end reminders.
func (p *Policy) checkShared(bad func(string, string, ...any)) {
	class := map[channels.Program]Class{}
	for _, c := range p.cats {
		if old, ok := class[c.Program]; ok && old != c.Class {
			bad("categories."+c.Name+".program", "shares %s with a category of the other class: a STOP to the one would end the other", c.Program)
		}
		class[c.Program] = c.Class
		if p.programs[c.Program].cap.PerDay == 0 {
			bad("programs."+c.Program.String(), "is missing, and %s uses it", c.Name)
		}
	}
}

func (p *Policy) checkRest(bad func(string, string, ...any)) {
	switch p.File.RevocationScope {
	case "program":
	case "everything":
		d, err := preferences.ParseDate(p.File.RevocationScopeFrom)
		if err != nil && p.File.RevocationScopeFrom != "" {
			bad("revocation_scope_from", "%v", err)
		}
		p.everyone = time.Unix(0, 0)
		if !d.IsZero() {
			p.everyone = d.In(time.UTC)
		}
	default:
		bad("revocation_scope", "say program or everything")
	}
	for i, text := range p.File.ReminderOffsets {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			bad(fmt.Sprintf("reminder_offsets[%d]", i), "write a time before the appointment such as 48h")
		}
		p.Offsets = append(p.Offsets, d)
	}
}

// find gives a category by name, or nil. There are a dozen or two, mostly of different
// lengths: to go through them takes a third of the time of a map.
func (p *Policy) find(name string) *Category {
	if i := slices.Index(p.names, name); i >= 0 {
		return p.cats[i]
	}
	return nil
}

// Category gives a category by name.
func (p *Policy) Category(name string) (*Category, bool) {
	c := p.find(name)
	return c, c != nil
}

// KnownTopic says whether a choice may name this topic, or name it in error.
func (p *Policy) KnownTopic(topic string) bool {
	return p.find(topic) != nil || topic == preferences.TopicMarketing || topic == preferences.TopicNonEssential
}

// TopicIsEssential: choices never touch essential messages.
func (p *Policy) TopicIsEssential(topic string) bool {
	c := p.find(topic)
	return c != nil && c.Class == Essential
}

// Stops is what a stop of a program takes: the program and marketing, or every
// program. The wider scope counts for stops received from its date on.
func (p *Policy) Stops(program channels.Program, everything bool, received time.Time) channels.ProgramSet {
	if everything || !p.everyone.IsZero() && !received.Before(p.everyone) {
		return channels.AllPrograms
	}
	return channels.SetOf(program, channels.Marketing)
}
