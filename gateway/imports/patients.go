package imports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
)

// batch is how many patients, or appointments, are kept in one commit.
const batch = 50

// maxField bounds every field but the note on confidential communication, in bytes:
// that one is a person's own words, and the line's limit is enough.
const maxField = 500

// phoneFields are the phones in the order in which they are tried.
var phoneFields = []field{fieldMobile, fieldHome, fieldWork, fieldPhone}

// flags are what an export says no with, by the word the ledger keeps.
var flags = []struct {
	field field
	said  string
}{{fieldText, intake.SaidText}, {fieldEmail, intake.SaidEmail}, {fieldVoicemail, intake.SaidVoice}}

// Patients imports a file of patients. The whole file is read first, because a
// patient who stands in it twice is merged before anything is kept; nothing of a
// file that cannot be read, or whose columns are not known, is imported. On a later
// error everything before is kept, the report tells which lines, and running it
// again does the rest.
func Patients(ctx context.Context, r io.Reader, o Options) (Report, error) {
	p := &patients{Options: o, report: newReport(), byID: map[string]*patient{}}
	f, err := p.open(r)
	if err == nil {
		err = p.readAll(f)
	}
	if err != nil {
		return *newReport(), err
	}
	m := &meter{total: f.total, tell: o.Progress}
	m.add(f.total - p.pending())
	for list := range slices.Chunk(p.list, batch) {
		if err := p.keep(ctx, list); err != nil {
			err = p.report.stopped(list[0].rows[0], err)
			return *p.report, err
		}
		for _, one := range list {
			m.add(one.size)
		}
	}
	return *p.report, nil
}

// patients is one file of patients while it is read.
type patients struct {
	Options
	layout layout
	report *Report
	list   []*patient // in the file's order
	byID   map[string]*patient
}

// patient is all that the lines of one id say.
type patient struct {
	id        string
	rows      []int // of the report
	size      int64
	record    gateway.Record
	undated   string // why the birth date cannot be used
	address   reachable
	preferred preference
	no        map[string]bool // by intake.Said…
	notes     []string        // on confidential communication, each once
}

func (p *patients) open(r io.Reader) (*rows, error) {
	f, header, err := openFile(r)
	if err != nil {
		return nil, err
	}
	p.layout, p.report.Ignored, err = readHeader(header, patientColumns, p.Columns)
	return f, err
}

// openFile reads up to the header: the first line that is not empty.
func openFile(r io.Reader) (*rows, []string, error) {
	f, err := newRows(r)
	if err != nil {
		return nil, nil, err
	}
	for {
		rec, err := f.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, nil, errEmpty
		case err != nil:
			return nil, nil, err
		case rec.wrong != "":
			return nil, nil, fmt.Errorf("line %d, which must name the columns: %s. Nothing was imported", rec.line, rec.wrong)
		case !rec.blank():
			f.width = len(rec.fields)
			return f, rec.fields, nil
		}
	}
}

// eachRow hands every line on that can be read; the others are settled.
func eachRow(f *rows, report *Report, read func(row int, rec record)) error {
	for {
		rec, err := f.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		row := report.add(rec.line)
		switch {
		case rec.wrong != "":
			report.reject(row, "", rec.wrong)
		case rec.blank():
			report.note(row, "", "empty")
			report.settle(row, Skipped)
		default:
			read(row, rec)
		}
	}
}

func (p *patients) readAll(f *rows) error { return eachRow(f, p.report, p.read) }

// pending is how many bytes of the file still have to be kept.
func (p *patients) pending() int64 {
	var n int64
	for _, one := range p.list {
		n += one.size
	}
	return n
}

// read reads one line and merges it with those of the same id.
func (p *patients) read(row int, rec record) {
	if name, bad := tooLong(&p.layout, rec.fields, fieldNote); bad {
		p.report.reject(row, name, fmt.Sprintf("longer than %d bytes", maxField))
		return
	}
	if name, problem := notText(&p.layout, rec.fields); problem != "" {
		p.report.reject(row, name, problem)
		return
	}
	id := p.layout.get(rec.fields, fieldID)
	if problem := idProblem(id); problem != "" {
		p.report.reject(row, p.layout.name(fieldID), problem)
		return
	}
	one := p.byID[id]
	if one == nil {
		one = &patient{id: id, no: map[string]bool{}, address: reachable{phones: map[field][]string{}}}
		p.byID[id] = one
		p.list = append(p.list, one)
	} else {
		p.report.note(row, p.layout.name(fieldID), fmt.Sprintf("the same patient as line %d: merged into it", p.report.Rows[one.rows[0]].Line))
	}
	one.rows = append(one.rows, row)
	one.size += rec.size
	line := &patientLine{patients: p, row: row, fields: rec.fields, one: one}
	line.readRecord()
	line.readAddresses()
	line.readWords()
}

// imported puts together what the lines of a patient say.
func (p *patients) imported(one *patient) intake.Imported {
	in := intake.Imported{Ref: one.id, Contact: intake.Contact{Record: one.record, Addresses: one.contact()}, Said: map[string]string{}}
	if one.undated != "" {
		in.Record.BirthDate = "" // the one on file, if there is one, stays
	}
	if !slices.ContainsFunc(phoneFields, p.layout.has) {
		in.Silent = append(in.Silent, channels.Phone)
	}
	if !p.layout.has(fieldMailbox) {
		in.Silent = append(in.Silent, channels.Mailbox)
	}
	for _, f := range flags {
		if p.layout.has(f.field) {
			in.Said[f.said] = ""
			if one.no[f.said] {
				in.Said[f.said] = intake.No
			}
		}
	}
	if p.layout.has(fieldPreferred) {
		var order []string
		for _, ch := range one.preferred.order {
			order = append(order, ch.String())
		}
		in.Said[intake.SaidOrder] = strings.Join(order, " ")
	}
	if p.layout.has(fieldNote) {
		in.Said[intake.SaidNote] = strings.Join(one.notes, "\n")
		switch len(one.notes) {
		case 0:
		case 1:
			in.Only, in.Unclear = instruction(one.notes[0], one.address)
		default:
			in.Unclear = "The lines of this patient have different notes."
		}
	}
	return in
}

// contact lists the addresses: the preferred phone first, then cell, home, work. A
// number under "home" is not surely a landline.
func (one *patient) contact() []intake.ContactAddress {
	order := phoneFields
	if one.preferred.first != "" {
		order = append([]field{one.preferred.first}, order...)
	}
	var list []intake.ContactAddress
	add := func(kind channels.Kind, value string) {
		if slices.ContainsFunc(list, func(a intake.ContactAddress) bool { return a.Kind == kind && a.Value == value }) {
			return
		}
		a := intake.ContactAddress{Kind: kind, Value: value, Rank: int16(len(list) + 1)}
		if kind == channels.Phone && slices.Contains(one.address.phones[fieldMobile], value) {
			a.Line = preferences.Mobile
		}
		list = append(list, a)
	}
	for _, f := range order {
		for _, number := range one.address.phones[f] {
			add(channels.Phone, number)
		}
	}
	for _, mailbox := range one.address.mailboxes {
		add(channels.Mailbox, mailbox)
	}
	return list
}

// keep keeps a batch and settles its lines.
func (p *patients) keep(ctx context.Context, list []*patient) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	in := make([]intake.Imported, len(list))
	for i, one := range list {
		in[i] = p.imported(one)
	}
	out, err := p.Intake.Import(ctx, p.Actor, in)
	if err != nil {
		return err
	}
	for i, one := range list {
		p.settle(one, in[i], out[i])
	}
	return nil
}

// settle says what became of a patient's lines.
func (p *patients) settle(one *patient, in intake.Imported, out intake.ImportOutcome) {
	first := one.rows[0]
	say := func(f field, why string) { p.report.note(first, p.layout.name(f), why) }
	if out.Err != nil {
		p.refuse(one, out.Err)
		return
	}
	if out.KeptBirthDate {
		say(fieldBirth, cmp.Or(one.undated, "missing")+"; the one on file stays")
	}
	if out.KeptDeceased {
		say(fieldDeceased, "on file as deceased, which an import does not take back")
	}
	outcome := Unchanged
	switch {
	case out.Held:
		outcome = Held
		p.sayHeld(one, in, out)
	case out.Changed:
		outcome = Imported
	}
	p.report.settle(first, outcome)
	for _, row := range one.rows[1:] {
		p.report.settle(row, Merged)
	}
}

const onHold = "on hold: nothing goes out until a person has looked (`heed tasks list`) and ended the hold. "

// sayHeld names the columns that a hold comes from, and why.
func (p *patients) sayHeld(one *patient, in intake.Imported, out intake.ImportOutcome) {
	first := one.rows[0]
	var no []string // the flags that say no
	for _, f := range flags {
		if one.no[f.said] && p.layout.has(f.field) {
			no = append(no, p.layout.name(f.field))
		}
	}
	noneLeft := out.NoneLeft || len(no) == len(flags)
	if noneLeft {
		p.report.note(first, strings.Join(no, ", "), onHold+"No channel would be left.")
	}
	switch {
	case in.Unclear != "":
		p.report.note(first, p.layout.name(fieldNote), onHold+in.Unclear)
	case noneLeft:
	case len(one.notes) > 0:
		p.report.note(first, p.layout.name(fieldNote), strings.TrimSpace(onHold))
	default:
		p.report.note(first, "", onHold+"It was put in place before.")
	}
}

// refuse rejects every line of a patient of whom nothing was kept.
func (p *patients) refuse(one *patient, err error) {
	var wrong gateway.Invalid
	for _, row := range one.rows {
		switch {
		case errors.Is(err, intake.ErrMinor):
			p.report.Minors++
			p.report.reject(row, p.layout.name(fieldBirth), err.Error())
		case errors.Is(err, gateway.ErrErased):
			p.report.reject(row, p.layout.name(fieldID), err.Error())
		case errors.As(err, &wrong):
			p.report.reject(row, p.layout.name(fieldBirth), cmp.Or(one.undated, wrong[0].Problem))
		default:
			p.report.reject(row, "", "not kept")
		}
	}
}
