package imports

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
)

// Stops imports a list of numbers that are not to be texted or called: one a line, each
// by itself. The whole file is read before anything is kept; on a later error everything
// before is kept, and running it again does the rest.
func Stops(ctx context.Context, r io.Reader, o Options) (Report, error) {
	s := &stops{lines: lines{Options: o, report: newReport()}}
	f, err := s.open(r, stopColumns)
	if err == nil {
		err = eachRow(f, s.report, s.read)
	}
	if err != nil {
		return *newReport(), err
	}
	m := s.meter(f.total, s.pending)
	for list := range slices.Chunk(s.list, batch) {
		if err := s.keep(ctx, list); err != nil {
			err = s.report.stopped(list[0].row, err)
			return *s.report, err
		}
		for _, one := range list {
			m.add(one.size)
		}
	}
	return *s.report, nil
}

// lines is a file of which each line says one thing, while it is read.
type lines struct {
	Options
	layout  layout
	report  *Report
	pending int64 // bytes that still have to be kept
}

func (l *lines) open(r io.Reader, known []column) (*rows, error) {
	if l.Zone == nil {
		l.Zone = time.UTC
	}
	f, header, err := openFile(r)
	if err != nil {
		return nil, err
	}
	l.layout, l.report.Ignored, err = readHeader(header, known, l.Columns)
	return f, err
}

func (l *lines) meter(total, pending int64) *meter {
	m := &meter{total: total, tell: l.Progress}
	m.add(total - pending)
	return m
}

// fit looks at a line as a whole, and rejects one that is too long or holds what no
// text may.
func (l *lines) fit(row int, rec record) bool {
	if name, bad := tooLong(&l.layout, rec.fields, ""); bad {
		l.report.reject(row, name, fmt.Sprintf("longer than %d bytes", maxField))
		return false
	}
	if name, problem := notText(&l.layout, rec.fields); problem != "" {
		l.report.reject(row, name, problem)
		return false
	}
	return true
}

func (l *lines) note(row int, f field, why string) { l.report.note(row, l.layout.name(f), why) }

func (l *lines) reject(row int, f field, why string) { l.report.reject(row, l.layout.name(f), why) }

// stops is one list of stops.
type stops struct {
	lines
	list []stopLine
}

type stopLine struct {
	row  int
	size int64
	stop intake.ImportedStop
}

// read reads one line. Whatever is not understood stops more, and never less.
func (s *stops) read(row int, rec record) {
	if !s.fit(row, rec) {
		return
	}
	get := func(f field) string { return s.layout.get(rec.fields, f) }
	in, understood := choiceWord(get(fieldChoice))
	if in {
		s.reject(row, fieldChoice, "would lift a stop, and an import only tightens: lift it with POST /v1/stops/lift and the patient's consent")
		return
	}
	if !understood {
		s.note(row, fieldChoice, "not understood: taken as a stop")
	}
	number, err := s.ParsePhone(get(fieldPhone))
	if err != nil {
		s.reject(row, fieldPhone, err.Error())
		return
	}
	one := stopLine{row: row, size: rec.size, stop: intake.ImportedStop{Number: number, Evidence: get(fieldEvidence)}}
	one.stop.Program, one.stop.Everything = s.program(row, get(fieldProgram))
	at, err := saidOn(get(fieldSaid), s.Zone, s.Intake.Now(), lastInstant)
	if err != nil {
		s.note(row, fieldSaid, err.Error()+"; taken as said now")
	}
	one.stop.Said, one.stop.SaidOn = at.at, at.text
	s.list = append(s.list, one)
	s.pending += rec.size
}

func (s *stops) program(row int, text string) (p channels.Program, everything bool) {
	if slices.Contains([]string{"", "all", "everything", "stopall", "any"}, squeeze(text)) {
		return 0, true
	}
	p, err := channels.ParseProgram(strings.ReplaceAll(strings.ToLower(text), " ", "_"))
	if err != nil {
		s.note(row, fieldProgram, "neither care, check_in, billing, marketing nor all: taken as all")
		return 0, true
	}
	return p, false
}

func (s *stops) keep(ctx context.Context, list []stopLine) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	in := make([]intake.ImportedStop, len(list))
	for i := range list {
		in[i] = list[i].stop
	}
	out, err := s.Intake.ImportStops(ctx, s.Actor, in)
	if err != nil {
		return err
	}
	for i, one := range list {
		if out[i].Lifted {
			s.note(one.row, fieldPhone, "was started again since, and stays so: a row with a later day stops it")
		}
		outcome := Unchanged
		if out[i].Changed {
			outcome = Imported
		}
		s.report.settle(one.row, outcome)
	}
	return nil
}

// What lists write of somebody who wants out, and of one who wants in.
var (
	outWords = []string{
		"stop", "stopped", "stopall", "out", "optout", "optedout", "optsout", "unsubscribe", "unsubscribed", "revoke", "revoked", "withdrawn", "donotcall", "donottext",
		"donotcontact", "donotemail", "dnc", "dnt", "blocked", "suppressed", "removed", "refused", "declined", "never", "baja",
	}
	inWords = []string{
		"start", "started", "unstop", "restart", "in", "optin", "optedin", "optsin", "subscribe", "subscribed", "resubscribed", "active", "allowed", "allow", "granted", "consented",
		"lift", "lifted", "alta",
	}
)

// choiceWord reads whether somebody wants in. Empty, or not understood: out.
func choiceWord(text string) (in, understood bool) {
	key := squeeze(text)
	in = slices.Contains(inWords, key)
	return in, in || key == "" || slices.Contains(outWords, key)
}

// said is when something was said, and how a ledger's evidence writes it.
type said struct {
	at   time.Time // zero: not told
	text string
}

// A row that names a day alone leaves the instant open: a refusal is taken as said at its
// end, what loosens as said at its start.
const (
	firstInstant = false
	lastInstant  = true
)

// saidOn reads a day, or a day and time. What was said in the future was not.
func saidOn(text string, zone *time.Location, now time.Time, last bool) (said, error) {
	if text == "" {
		return said{}, nil
	}
	day, err := anyLayout(text, append(slices.Clone(dayLayouts), "1/2/06"), zone)
	if err != nil {
		at, err := moment(text, zone)
		switch {
		case err != nil:
			return said{}, errSaid
		case at.After(now):
			return said{}, errAhead
		}
		return said{at, at.UTC().Format(time.RFC3339)}, nil
	}
	if day.After(now) {
		return said{}, errAhead
	}
	at := day
	if last {
		if at = day.AddDate(0, 0, 1).Add(-time.Microsecond); at.After(now) {
			at = now
		}
	}
	return said{at, preferences.DateOf(day).String()}, nil
}
