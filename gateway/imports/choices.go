package imports

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
)

// Choices imports a list of opt-ins and opt-outs of patients who are on file. The whole
// file is read before anything is kept, and all lines of a patient are judged together;
// on a later error everything before is kept, and running it again does the rest.
func Choices(ctx context.Context, r io.Reader, o Options) (Report, error) {
	c := &choices{lines: lines{Options: o, report: newReport()}, byID: map[string]*chooser{}}
	f, err := c.open(r, choiceColumns)
	if err == nil {
		err = eachRow(f, c.report, c.read)
	}
	if err != nil {
		return *newReport(), err
	}
	m := c.meter(f.total, c.pending)
	for list := range slices.Chunk(c.list, batch) {
		if err := c.keep(ctx, list); err != nil {
			err = c.report.stopped(list[0].rows[0], err)
			return *c.report, err
		}
		for _, one := range list {
			m.add(one.size)
		}
	}
	return *c.report, nil
}

// choices is one list of choices.
type choices struct {
	lines
	list []*chooser // in the file's order
	byID map[string]*chooser
}

// chooser is one patient with the choices of all its lines.
type chooser struct {
	rows []int // of the report, beside said.Rows
	size int64
	said intake.ImportedChoices
}

// read reads one line. Of an opt-out whatever is not understood is taken for more; an
// opt-in that is not understood is rejected.
func (c *choices) read(row int, rec record) {
	if !c.fit(row, rec) {
		return
	}
	get := func(f field) string { return c.layout.get(rec.fields, f) }
	id := get(fieldID)
	if problem := idProblem(id); problem != "" {
		c.reject(row, fieldID, problem)
		return
	}
	if get(fieldChoice) == "" {
		c.note(row, fieldChoice, "says nothing")
		c.report.settle(row, Skipped)
		return
	}
	one := intake.ImportedChoice{Evidence: get(fieldEvidence)}
	var understood bool
	if one.In, understood = yesOrNo(get(fieldChoice)); !understood {
		c.note(row, fieldChoice, "neither in nor out: taken as an opt-out")
	}
	for _, part := range []func(int, func(field) string, *intake.ImportedChoice) (field, string){c.topic, c.channel, c.consent, c.said} {
		f, problem := part(row, get, &one)
		switch {
		case problem == "":
		case one.In:
			c.reject(row, f, problem)
			return
		default:
			c.note(row, f, problem+"; the opt-out counts all the same")
		}
	}
	who := c.byID[id]
	if who == nil {
		who = &chooser{said: intake.ImportedChoices{Ref: id}}
		c.byID[id] = who
		c.list = append(c.list, who)
	}
	who.rows, who.size, who.said.Rows = append(who.rows, row), who.size+rec.size, append(who.said.Rows, one)
	c.pending += rec.size
}

// topic: which one there is, the policy in force says. Without one an opt-out is of
// everything that is not essential.
func (c *choices) topic(_ int, get func(field) string, one *intake.ImportedChoice) (field, string) {
	one.Topic = strings.ReplaceAll(strings.ToLower(get(fieldTopic)), " ", "_")
	if one.Topic == "" || one.Topic == "all" {
		one.Topic = preferences.TopicNonEssential
		if one.In {
			return fieldTopic, "say which topic: an opt-in to everything needs its name, non_essential"
		}
	}
	return fieldTopic, ""
}

func (c *choices) channel(_ int, get func(field) string, one *intake.ImportedChoice) (field, string) {
	switch squeeze(get(fieldChannel)) {
	case "sms", "text", "texts", "textmessage", "textmessages", "txt":
		one.Channel = channels.SMS
	case "voice", "call", "calls", "phone", "phonecall", "phonecalls":
		one.Channel = channels.Voice
	case "email", "emails", "mail", "electronicmail":
		one.Channel = channels.Email
	case "all", "any", "every":
	case "":
		if one.In {
			return fieldChannel, "say sms, voice, email or all"
		}
	default:
		return fieldChannel, "neither sms, voice, email nor all: taken as all"
	}
	return fieldChannel, ""
}

func (c *choices) consent(_ int, get func(field) string, one *intake.ImportedChoice) (field, string) {
	text := strings.ToLower(get(fieldConsent))
	one.Consent = preferences.ParseConsent(text)
	if one.Consent == preferences.NoConsent && text != "" && one.In {
		return fieldConsent, "neither provided, express nor written"
	}
	return fieldConsent, ""
}

func (c *choices) said(_ int, get func(field) string, one *intake.ImportedChoice) (field, string) {
	when := lastInstant
	if one.In {
		when = firstInstant
	}
	at, err := saidOn(get(fieldSaid), c.Zone, c.Intake.Now(), when)
	if err != nil {
		return fieldSaid, err.Error()
	}
	one.Said, one.SaidOn = at.at, at.text
	return fieldSaid, ""
}

// keep keeps a batch and settles its lines.
func (c *choices) keep(ctx context.Context, list []*chooser) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	in := make([]intake.ImportedChoices, len(list))
	for i, one := range list {
		in[i] = one.said
	}
	out, err := c.Intake.ImportChoices(ctx, c.Actor, in)
	if err != nil {
		return err
	}
	for i, one := range list {
		for k, row := range one.rows {
			c.settle(row, &out[i][k])
		}
	}
	return nil
}

func (c *choices) settle(row int, out *intake.ChoiceOutcome) {
	if out.Err != nil {
		c.report.reject(row, "", out.Err.Error())
		return
	}
	if out.Lowered {
		c.note(row, fieldConsent, fmt.Sprintf("counts as %s without evidence, and as %s at most", preferences.Provided, preferences.Express))
	}
	outcome := Unchanged
	if out.Changed {
		outcome = Imported
	}
	c.report.settle(row, outcome)
}

// yesOrNo reads a choice; not understood: out.
func yesOrNo(text string) (in, understood bool) {
	if in, understood = choiceWord(text); understood {
		return in, true
	}
	switch squeeze(text) {
	case "y", "yes", "true", "t", "1", "ok", "okay", "si":
		return true, true
	}
	no, understood := saysNo(text)
	return false, no && understood
}
