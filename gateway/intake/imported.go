package intake

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// ErrMinor is a person under 18: the service is for adults, and an export's minors
// are never stored.
var ErrMinor = errors.New("under 18: the service is for adults")

// What an export can say beside the contact record: the keys of Imported.Said, and
// of the evidence that the ledger keeps of it.
const (
	SaidText  = "ok_to_text"            // No; anything else changes nothing
	SaidEmail = "ok_to_email"           // No; anything else changes nothing
	SaidVoice = "ok_to_leave_voicemail" // No; anything else changes nothing: an automated call may reach a machine
	SaidOrder = "preferred_contact"     // channels, the first one first: "sms voice"
	SaidNote  = "confidential_note"     // as it was written
)

// No is a flag that says no.
const No = "no"

// saidOf is the flag that speaks of each channel.
var saidOf = map[channels.Channel]string{channels.SMS: SaidText, channels.Voice: SaidVoice, channels.Email: SaidEmail}

// Imported is one patient as a practice's export tells it.
type Imported struct {
	Ref string
	// An empty field of the record says nothing: what is on file stays, and so do the
	// addresses of a Silent kind. Nothing here revives a patient who has died.
	Contact
	Silent []channels.Kind   // kinds of address that the export has no column for
	Said   map[string]string // what its other columns say; one it does not have is left out
	Only   []Way             // what the note plainly asks for; empty: letters only
	// Unclear says why the note cannot be followed before a person has read it; ""
	// when it is plain.
	Unclear string
}

// ImportOutcome says what became of one.
type ImportOutcome struct {
	Patient       int64
	Created       bool
	Changed       bool
	Held          bool  // nothing goes out until a person ends the hold
	NoneLeft      bool  // the flags of this export would leave no channel: why it is held
	KeptBirthDate bool  // none was given: the one on file stays
	KeptDeceased  bool  // on file as deceased, which an import does not take back
	Err           error // gateway.ErrErased, ErrMinor, or a gateway.Invalid: nothing was kept of this one
}

// Import takes patients of an export in, all of them in one commit; each Ref may
// stand once. One that is refused refuses itself alone.
//
// An import only tightens. What an export says counts when it is new: the ledger
// keeps what the last import said of each patient, so that the same words every
// night neither change anything nor undo what the patient or staff said since.
func (s *Service) Import(ctx context.Context, actor string, list []Imported) ([]ImportOutcome, error) {
	for range tries {
		out := make([]ImportOutcome, len(list))
		c := gateway.Change{At: s.Now(), Actor: actor}
		for i := range list {
			one, change, err := s.importOne(ctx, actor, &list[i])
			if err != nil {
				return nil, err
			}
			out[i] = one
			c.Patients = append(c.Patients, change.Patients...)
			c.Tasks = append(c.Tasks, change.Tasks...)
			c.Audit = append(c.Audit, change.Audit...)
		}
		if len(c.Patients) == 0 {
			return out, nil
		}
		if _, err := s.commit(ctx, c); !errors.Is(err, gateway.ErrStale) {
			return out, err
		}
	}
	return nil, gateway.ErrStale
}

// importOne reads a patient and what was heard before, and judges. An unchanged
// patient gives an empty change.
func (s *Service) importOne(ctx context.Context, actor string, in *Imported) (ImportOutcome, gateway.Change, error) {
	p, err := s.known(ctx, in.Ref)
	if errors.Is(err, gateway.ErrErased) {
		return ImportOutcome{Err: err}, gateway.Change{}, nil
	}
	if err != nil {
		return ImportOutcome{}, gateway.Change{}, err
	}
	i := &importing{Service: s, actor: actor, in: in, p: p}
	if p != nil {
		if err := i.recall(ctx); err != nil {
			return ImportOutcome{}, gateway.Change{}, err
		}
	}
	c, err := i.judge()
	var wrong gateway.Invalid
	if errors.Is(err, ErrMinor) || errors.As(err, &wrong) {
		return ImportOutcome{Err: err}, gateway.Change{}, nil
	}
	if !i.out.Changed {
		c = gateway.Change{}
	}
	return i.out, c, err
}

// importing is one patient while it is being imported.
type importing struct {
	*Service
	actor string
	in    *Imported
	p     *gateway.Patient // as on file; of a new one, as it will be
	out   ImportOutcome

	heard       map[string]string  // what the last import said
	ordered     preferences.Source // who set the care channels' order that stands
	instructed  preferences.Source // who set the instruction in force
	said        map[string]string  // what stands said now: this export's words, the last one's where it has no column
	declinesAll bool               // what is new in it would leave no channel for essential messages
}

// recallBatch is how many events are read at a time.
const recallBatch = 1000

// recall reads the ledger for what earlier imports said, and for who spoke last.
func (i *importing) recall(ctx context.Context) error {
	var order []channels.Channel
	for after := int64(0); ; {
		events, err := i.Store.Ledger(ctx, i.p.ID, after, recallBatch)
		if err != nil {
			return err
		}
		for k := range events {
			e := &events[k]
			after = e.ID
			switch {
			case e.Kind == preferences.ContactSet && e.Source == preferences.FromImport:
				i.heard = e.Evidence
			case e.Kind == preferences.ConfidentialSet:
				i.instructed = e.Source
			case e.Kind == preferences.CareChannelsSet:
				// An import that declines a channel writes the order down again: it is still whose it was.
				if e.Source != preferences.FromImport || !slices.Equal(e.Care.Order, order) {
					i.ordered, order = e.Source, e.Care.Order
				}
			}
		}
		if len(events) < recallBatch {
			return nil
		}
	}
}

// judge makes the one change that keeps everything this export says of the
// patient: a crash in between could leave somebody reachable without their instruction.
func (i *importing) judge() (gateway.Change, error) {
	contact := i.contactRecord()
	born, err := preferences.ParseDate(contact.Record.BirthDate)
	if err != nil {
		return gateway.Change{}, gateway.Wrong("birth_date", "missing, or no calendar day; without it nobody knows that this is an adult")
	}
	if born.In(i.Now().Location()).After(i.Now()) {
		return gateway.Change{}, gateway.Wrong("birth_date", "lies in the future")
	}
	put, c := i.put(i.actor, i.in.Ref, i.p, contact, born)
	fact := &c.Patients[0]
	after := i.view(put.Patient, fact)
	if after.AdultFrom != 0 {
		return gateway.Change{}, ErrMinor
	}
	i.listen()
	events, tasks, err := i.words()
	if err != nil {
		return gateway.Change{}, err
	}
	fact.Events[0].Source, fact.Events[0].Evidence = preferences.FromImport, i.said
	if len(events) > 0 {
		fact.Events = append(fact.Events, i.fact(i.actor, i.p, "", events...).Patients[0].Events...)
	}
	for k := range fact.Events[1:] {
		after.Apply(&fact.Events[1+k])
	}
	c.Tasks = tasks
	c.Audit[0].Verb = "patient.import"
	i.out.Patient, i.out.Created = put.Patient, put.Created
	i.out.Changed = put.Changed || !maps.Equal(i.said, i.heard) || len(events)+len(tasks) > 0
	i.out.NoneLeft = i.declinesAll
	i.out.Held = after.Confidential != nil && after.Confidential.Hold
	return c, nil
}

// view makes i.p the patient with the addresses that the fact brings in, and gives
// the snapshot as it will be with the contact record.
func (i *importing) view(id int64, fact *gateway.PatientFact) *preferences.Snapshot {
	p := gateway.Patient{ID: id, Ref: i.in.Ref, Snapshot: &preferences.Snapshot{Patient: id}}
	if i.p != nil {
		p = *i.p
	}
	p.Addresses = append(slices.Clone(p.Addresses), fact.Texts...)
	i.p = &p
	after := *p.Snapshot
	after.Addresses = slices.Clone(p.Snapshot.Addresses)
	after.Apply(&fact.Events[0])
	return &after
}

// contactRecord is the export's record, completed from the one on file.
func (i *importing) contactRecord() Contact {
	c := Contact{Record: i.in.Record, Addresses: slices.Clone(i.in.Addresses)}
	if i.p == nil {
		return c
	}
	old := i.p.Record
	i.out.KeptBirthDate = c.Record.BirthDate == ""
	i.out.KeptDeceased = old.Deceased && !c.Record.Deceased
	c.Record.Deceased = c.Record.Deceased || old.Deceased
	for _, f := range []struct{ now, old *string }{
		{&c.Record.GivenName, &old.GivenName}, {&c.Record.FamilyName, &old.FamilyName}, {&c.Record.BirthDate, &old.BirthDate},
		{&c.Record.Locale, &old.Locale}, {&c.Record.TimeZone, &old.TimeZone}, {&c.Record.PostalCode, &old.PostalCode}, {&c.Record.State, &old.State},
	} {
		if *f.now == "" {
			*f.now = *f.old
		}
	}
	for k := range i.p.Snapshot.Addresses {
		a := &i.p.Snapshot.Addresses[k]
		if a.OnRecord && slices.Contains(i.in.Silent, a.Kind) {
			c.Addresses = append(c.Addresses, ContactAddress{Kind: a.Kind, Value: i.p.Text(a.ID), Line: a.Line, Rank: a.Rank})
		}
	}
	i.keepLines(c.Addresses)
	return c
}

// keepLines keeps what is known of a phone where the export knows nothing, and
// what a carrier said of it in any case: a column's name does not make a line textable.
func (i *importing) keepLines(list []ContactAddress) {
	for k := range list {
		a := i.p.Snapshot.AddressByID(idOf(i.p, list[k].Kind, list[k].Value))
		if a != nil && (a.Line == preferences.Landline || list[k].Line == preferences.UnknownLine) {
			list[k].Line = a.Line
		}
	}
}

// listen works out what stands said.
func (i *importing) listen() {
	i.said = maps.Clone(i.heard)
	if i.said == nil {
		i.said = map[string]string{}
	}
	maps.Copy(i.said, i.in.Said)
	maps.DeleteFunc(i.said, func(_, v string) bool { return v == "" })
	declined := slices.Concat(i.p.Snapshot.Care.Declined, i.newNo())
	i.declinesAll = len(i.newNo()) > 0
	for _, ch := range channels.Channels {
		i.declinesAll = i.declinesAll && slices.Contains(declined, ch)
	}
}

func (i *importing) saysNo(ch channels.Channel) bool { return i.said[saidOf[ch]] == No }

// news says whether a word differs from what the last import said.
func (i *importing) news(key string) bool { return i.said[key] != "" && i.said[key] != i.heard[key] }

// newNo lists the channels that this export is the first to say no to.
func (i *importing) newNo() []channels.Channel {
	var list []channels.Channel
	for _, ch := range channels.Channels {
		if i.saysNo(ch) && i.news(saidOf[ch]) {
			list = append(list, ch)
		}
	}
	return list
}

// words gives what follows from the words that are new: opt-outs, care channels,
// the confidential instruction, and what a person has to do.
func (i *importing) words() ([]preferences.Event, []gateway.Task, error) {
	said := Said{Source: preferences.FromImport, Evidence: map[string]string{}, CareChannels: i.care()}
	for _, ch := range i.newNo() {
		said.Choices = append(said.Choices, Choice{Topic: preferences.TopicNonEssential, Channel: ch})
		said.Evidence[saidOf[ch]] = No
	}
	if i.news(SaidOrder) {
		said.Evidence[SaidOrder] = i.said[SaidOrder]
	}
	events, err := i.preferenceEvents(i.p, said)
	if err != nil {
		return nil, nil, err
	}
	set, tasks, err := i.instruction()
	return append(events, set...), tasks, err
}

// care declines the channels said no to, as far as one stays on, and sets the order
// where nobody but an import has set one. Nil: it stays as it is.
func (i *importing) care() *preferences.CareChannels {
	now := i.p.Snapshot.Care
	next := preferences.CareChannels{Order: now.Order, Declined: slices.Clone(now.Declined)}
	for _, ch := range i.newNo() {
		if !slices.Contains(next.Declined, ch) && len(next.Declined) < len(channels.Channels)-1 {
			next.Declined = append(next.Declined, ch)
		}
	}
	if i.news(SaidOrder) && (len(now.Order) == 0 && i.ordered == "" || i.ordered == preferences.FromImport) {
		next.Order = orderOf(i.said[SaidOrder])
	}
	if slices.Equal(next.Order, now.Order) && slices.Equal(next.Declined, now.Declined) {
		return nil
	}
	return &next
}

func orderOf(text string) []channels.Channel {
	var list []channels.Channel
	for name := range strings.FieldsSeq(text) {
		if ch, err := channels.ParseChannel(name); err == nil && !slices.Contains(list, ch) {
			list = append(list, ch)
		}
	}
	return list
}

// instruction puts the export's confidential note in force. 45 CFR 164.522(b).
//
// A hold ends only by a person. An instruction that a person set gives way to a
// hold alone; one that an import set follows the note, and the addresses of the
// record that it stands for.
func (i *importing) instruction() ([]preferences.Event, []gateway.Task, error) {
	want, reasons := i.wanted()
	now := i.p.Snapshot.Confidential
	news := i.news(SaidNote) || i.declinesAll
	onHold := now != nil && now.Hold
	imported := now != nil && i.instructed == preferences.FromImport
	switch {
	case want == nil || !news && (onHold || !imported):
		return nil, nil, nil
	case onHold:
		return nil, i.holdTask(append(reasons, "The patient was on hold already.")), nil
	}
	c, err := i.confidential(i.actor, i.p, *want)
	if err != nil {
		return nil, nil, err
	}
	event := c.Patients[0].Events[0]
	if now != nil && !want.Hold {
		switch {
		case within(now.Only, event.Confidential.Only) && (!imported || within(event.Confidential.Only, now.Only)):
			return nil, nil, nil // what is in force allows no more than the note
		case !imported:
			event.Confidential = &preferences.Confidential{Only: []preferences.Pair{}, Hold: true}
			reasons = append(reasons, "The note differs from the instruction that was in force.")
		}
	}
	if event.Confidential.Hold {
		return []preferences.Event{event}, i.holdTask(reasons), nil
	}
	return []preferences.Event{event}, nil, nil
}

// wanted is the instruction that the export asks for, or nil; reasons say why it
// is a hold.
func (i *importing) wanted() (*Confidential, []string) {
	var reasons []string
	note := i.in.Said[SaidNote]
	open := func(w Way) bool { return !i.saysNo(w.Channel) }
	switch {
	case note == "":
	case i.in.Unclear != "":
		reasons = append(reasons, i.in.Unclear)
	case len(i.in.Only) > 0 && !slices.ContainsFunc(i.in.Only, open):
		reasons = append(reasons, "The export says no to the way that the note asks for.")
	}
	if i.declinesAll {
		reasons = append(reasons, "No channel would be left: the export says no to what the patient had not declined. The last one stays on once the hold ends.")
	}
	set := &Confidential{Source: preferences.FromImport, Note: note}
	switch {
	case len(reasons) > 0:
		set.Hold = true
	case note == "":
		return nil, nil
	default:
		set.Only = i.in.Only
	}
	return set, reasons
}

// within says whether every pair of a list is in another.
func within(list, other []preferences.Pair) bool {
	return !slices.ContainsFunc(list, func(p preferences.Pair) bool { return !slices.Contains(other, p) })
}

func (i *importing) holdTask(reasons []string) []gateway.Task {
	do := "Read the note, set how the patient may be reached, or end the hold."
	if i.in.Said[SaidNote] == "" {
		do = "Ask how the patient may be reached and set it, or end the hold."
	}
	return []gateway.Task{i.task(gateway.TaskHold, i.p.ID, gateway.TaskDetail{
		Title:   "An import put the patient on hold: nothing goes out. " + do,
		Reasons: reasons, Quote: i.in.Said[SaidNote],
	})}
}
