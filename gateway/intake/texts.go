package intake

import (
	"context"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// answerFor is how long an answer to what a person just said may wait.
// 47 CFR 64.1200(a)(12): one confirmation, within five minutes.
const answerFor = 5 * time.Minute

// Text takes one inbound text. When it returns without an error, the text is
// kept, whatever it asked for is in force, and nothing decided before can still
// go out. The same provider id again changes nothing.
func (s *Service) Text(ctx context.Context, source string, in channels.Inbound) error {
	t, err := s.text(ctx, source, in)
	if err != nil {
		return err
	}
	t.heard = Read(in.Body)
	t.addOptOut()
	if err := t.date(ctx); err != nil {
		return err
	}
	t.change.Seen.Lasting = t.heard.Start
	if t.undated {
		t.change.Seen.Event += ":undated" // the inbox may still bring it with its date
	}
	t.keep()
	t.stopOrStart()
	if err := t.takeBackThanks(ctx); err != nil {
		return err
	}
	t.tasks()
	if err := t.respond(ctx); err != nil {
		return err
	}
	t.answer()
	_, err = s.commit(ctx, t.change)
	return err
}

// text begins to take a text in.
func (s *Service) text(ctx context.Context, source string, in channels.Inbound) (*text, error) {
	number, err := s.Store.Number(ctx, in.From)
	if err != nil {
		return nil, err
	}
	t := &text{Service: s, in: in, now: s.Now(), number: number}
	if t.holders, err = s.holders(ctx, number); err != nil {
		return nil, err
	}
	t.programs, t.listed = s.programsOf(in)
	t.change = gateway.Change{At: t.now, Actor: source, Seen: &gateway.Seen{Source: source, Event: in.ID}}
	return t, nil
}

// text is one inbound text while it is being taken in.
type text struct {
	*Service
	in       channels.Inbound
	now      time.Time
	heard    Heard
	number   gateway.Number
	holders  []*preferences.Snapshot
	programs []channels.Program
	listed   bool // the number or service it came to is one of ours
	undated  bool // a START whose moment the provider does not know
	change   gateway.Change
}

func (s *Service) holders(ctx context.Context, n gateway.Number) ([]*preferences.Snapshot, error) {
	var ids []int64
	for _, h := range n.Holders {
		ids = append(ids, h.Patient)
	}
	found, err := s.Store.Snapshots(ctx, ids)
	var list []*preferences.Snapshot
	for _, id := range ids {
		if found[id] != nil {
			list = append(list, found[id])
		}
	}
	return list, err
}

// programsOf gives the programs that share the number a text came to, or the
// messaging service whose number it is; all of them, and false, where neither is
// known.
func (s *Service) programsOf(in channels.Inbound) ([]channels.Program, bool) {
	if list := s.Senders[in.To]; len(list) > 0 {
		return list, true
	}
	if list := s.Services[in.Service]; in.Service != "" && len(list) > 0 {
		return list, true
	}
	return channels.Programs[:], false
}

// addOptOut takes the provider's own keyword match as said: it may match more than
// we do. Its START counts only where our reading finds nothing else: providers take
// YES for a START, and people answer yes to questions.
func (t *text) addOptOut() {
	switch t.in.OptOut {
	case "STOP":
		t.heard.Stop = t.heard.Stop || !t.heard.StopAll
	case "START":
		t.heard.Start = t.heard.Start || t.plainReply()
	case "HELP":
		t.heard.Help = true
	}
}

// keep puts the words into the number's ledger, whoever has the number.
func (t *text) keep() {
	t.change.Numbers = append(t.change.Numbers, gateway.NumberFact{
		Number: t.in.From, Event: t.event(preferences.TextReceived, 0),
	})
}

func (t *text) event(kind preferences.EventKind, programs channels.ProgramSet) preferences.Event {
	e := preferences.Event{
		ID: t.NewID(), Kind: kind, At: t.now.UnixMicro(), Said: t.in.At.UnixMicro(), Source: preferences.FromSMS,
		Actor: t.change.Actor, Programs: programs,
	}
	if kind == preferences.NumberStopped {
		// A provider's list tells whole seconds: a STOP counts as said at their end, a START
		// as at their beginning, so that a tie goes to the STOP.
		e.Said = t.in.At.Add(t.in.Precision).UnixMicro()
	}
	if kind == preferences.TextReceived {
		e.Note = t.in.Body
		e.Evidence = map[string]string{"to": t.in.To, "provider_id": t.in.ID}
	}
	return e
}

func (t *text) stopOrStart() {
	switch {
	case t.stops():
		var stops channels.ProgramSet
		for _, p := range t.programs {
			stops |= t.Policy.Stops(p, t.heard.StopAll, t.now)
		}
		fact := gateway.NumberFact{Number: t.in.From, Event: t.event(preferences.NumberStopped, stops)}
		if name := "stop_confirmation"; !t.heard.Crisis && t.weAnswer() {
			if t.heard.Cancel {
				name = "cancel_confirmation"
			}
			fact.Reply = t.reply(name)
		}
		t.change.Numbers = append(t.change.Numbers, fact)
	case t.heard.Start:
		t.start()
	}
	if t.heard.WrongNumber {
		t.wrongNumber()
	}
}

func (t *text) stops() bool { return t.heard.Stop || t.heard.StopAll || t.heard.Revocation }

// weAnswer: the carrier has not answered this keyword by itself (free text it does
// not know), and the five minutes are not over, as they are for a text that was
// missed in an outage and fetched later.
func (t *text) weAnswer() bool {
	carrier := t.ProviderConfirms && (t.in.OptOut != "" || t.heard.Keyword != "")
	return !carrier && t.inTime()
}

func (t *text) inTime() bool { return t.now.Before(t.in.At.Add(answerFor)) }

func (t *text) wrongNumber() {
	for _, h := range t.number.Holders {
		e := t.event(preferences.AddressWrong, 0)
		e.Address = h.Address
		t.change.Patients = append(t.change.Patients, gateway.PatientFact{Patient: h.Patient, Expect: -1, Events: []preferences.Event{e}})
	}
}

// tasks opens what a person has to look at, one for each patient who may have written.
func (t *text) tasks() {
	h := t.heard
	if h.Crisis {
		t.open(gateway.TaskCrisis, "Words of self-harm or danger. Call now.")
		t.alert()
	}
	if h.Revocation {
		t.open(gateway.TaskRevocation, "A stop was read from free text and is in force. Review it.")
	}
	if h.WrongNumber {
		t.open(gateway.TaskWrongNumber, "Somebody else answers at this number. It is held until verified.")
	}
	if h.Cancel {
		t.open(gateway.TaskAppointment, "CANCEL stopped the texts. Did they mean the appointment?")
	}
	if h.HighOrLow {
		t.open(gateway.TaskHighOrLow, "ALTO or BAJA stopped the texts. Did they mean high or low?")
	}
}

func (t *text) plainReply() bool {
	h := t.heard
	return !(t.stops() || h.Start || h.Help || h.Confirm || h.Reschedule || h.Crisis || h.WrongNumber)
}

func (t *text) open(kind gateway.TaskKind, title string) {
	detail := gateway.TaskDetail{Title: title, Quote: t.in.Body, Number: t.in.From}
	if t.listed {
		detail.Programs = channels.SetOf(t.programs...)
	}
	patient := int64(0)
	switch {
	case len(t.number.Holders) == 1:
		patient = t.number.Holders[0].Patient
	case len(t.number.Holders) > 1:
		detail.Reasons = []string{"Several patients share this number: find out who wrote before you name anybody."}
	default:
		detail.Reasons = []string{"No patient on record has this number."}
	}
	t.change.Tasks = append(t.change.Tasks, t.task(kind, patient, detail))
}

// alert tells the people on call that a task waits, and nothing else: their
// phones are not covered by any agreement.
func (t *text) alert() {
	for _, to := range t.OnCall {
		m := t.reply("staff_alert")
		m.Body.Answer.To, m.Body.Answer.Program = to, channels.Care
		m.Expires = t.now.Add(alertFor)
		t.change.Accepts = append(t.change.Accepts, *m)
	}
}

// answer picks the one answer to a text that was no stop or start; the crisis
// text comes before every other.
func (t *text) answer() {
	switch {
	case t.heard.Crisis && t.inTime():
		t.change.Accepts = append(t.change.Accepts, *t.reply("crisis"))
	case t.heard.Help && !t.heard.Crisis && t.weAnswer():
		t.change.Accepts = append(t.change.Accepts, *t.reply("help"))
	}
}

// reply makes an answer to the number that has just written, from the program it wrote to.
func (t *text) reply(template string) *gateway.Message {
	return &gateway.Message{
		ID: t.NewID(), Patient: t.patient(), Queue: gateway.AnswerQueue, Template: template, Due: t.now,
		Expires: t.in.At.Add(answerFor), Created: t.now,
		Body: gateway.Body{Answer: &gateway.Answer{To: t.in.From, Program: t.programs[0], Locale: t.locale()}},
	}
}

// patient is the one who has the number, or 0 where that is not certain.
func (t *text) patient() int64 {
	if len(t.holders) == 1 {
		return t.holders[0].Patient
	}
	return 0
}

// locale follows the keyword's language, then the patient's.
func (t *text) locale() string {
	if t.heard.Spanish {
		return "es"
	}
	if len(t.holders) > 0 && t.holders[0].Locale != "" {
		return t.holders[0].Locale
	}
	return "en"
}
