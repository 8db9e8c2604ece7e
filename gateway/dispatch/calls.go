package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// What came of a call that was answered, as its attempt's code and as an event of
// its message.
const (
	saidToPerson  = "said_to_person"
	leftVoicemail = "voicemail_left"
	saidNothing   = "fax"      // nobody who could listen
	withheld      = "withheld" // the rules had changed since the call was placed
	notHeard      = "not_heard"
)

// Answered gives what is said when somebody, or something, has taken a call of
// ours. The message is decided again first, from the database, for this phone
// alone: a refusal that came while it rang holds its words back. That it was said
// is kept before it is said. done ends the fence's hold on the patient, so that a
// STOP is not acknowledged between the look and the words: call it when the words
// are handed over. A call that is not known, or whose message has gone another way
// since, hears who called and nothing else.
func (d *Dispatcher) Answered(ctx context.Context, source string, call channels.Call) (script channels.Script, done func(), err error) {
	done = func() {}
	a, err := d.attemptOfCall(ctx, call)
	if err != nil || a == nil {
		return d.justWho(""), done, err
	}
	for range tries {
		script, end, err := d.answered(ctx, source, call, a)
		if err == nil {
			return script, end, nil
		}
		if !errors.Is(err, gateway.ErrStale) {
			return channels.Script{}, done, err
		}
	}
	return channels.Script{}, done, gateway.ErrStale
}

// attemptOfCall gives the attempt that a call is, or nil when it is none of ours.
func (d *Dispatcher) attemptOfCall(ctx context.Context, call channels.Call) (*gateway.Attempt, error) {
	a, err := d.Store.Attempt(ctx, call.Attempt)
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case a.Pair.Channel != channels.Voice || a.ProviderID != "" && a.ProviderID != call.ID:
		return nil, nil
	}
	return a, nil
}

func (d *Dispatcher) answered(ctx context.Context, source string, call channels.Call, a *gateway.Attempt) (channels.Script, func(), error) {
	nothing := func() {}
	m, err := d.Store.Message(ctx, a.Message)
	if err != nil {
		return channels.Script{}, nothing, err
	}
	ks, err := d.snapshots(ctx, []int64{m.Patient}, true)
	k := ks[m.Patient]
	if err != nil || k.Snapshot == nil {
		return d.justWho(""), nothing, err
	}
	if a.Number != m.Attempts || !handedOver(m) { // gone another way, or an old webhook played again
		return d.justWho(k.Locale), nothing, nil
	}
	done, ok := d.Fence.Begin(m.Patient, k.Version)
	if !ok {
		return channels.Script{}, nothing, gateway.ErrStale
	}
	end := d.Now().Add(d.Fence.Lease)
	s := d.words(call, m, a, k)
	if err := s.keep(ctx, source, call); err != nil {
		done()
		return channels.Script{}, nothing, err
	}
	spoken := func() {
		s.spoken(ctx)
		done()
	}
	if !d.Now().Before(end) { // slept so long that another replica's acknowledgement has waited enough
		spoken()
		return channels.Script{}, nothing, gateway.ErrStale
	}
	return s.script, spoken, nil
}

// handedOver: the call is under way, and nothing has ended its message yet.
func handedOver(m *gateway.Message) bool {
	return m.Status == gateway.Sending || m.Status == gateway.Unknown || m.Status == gateway.Sent
}

// saying is what is said in one call, and why.
type saying struct {
	d       *Dispatcher
	message *gateway.Message
	attempt *gateway.Attempt
	version int64
	script  channels.Script
	what    string // saidToPerson, …
	why     string // the rule that held it back
	record  *gateway.DecisionRecord
	id      int64 // while it is being said
}

// words decides what is said. Who is not surely a person is left the voicemail,
// which tells nothing. Nothing at all is said to a fax.
func (d *Dispatcher) words(call channels.Call, m *gateway.Message, a *gateway.Attempt, k known) *saying {
	s := &saying{d: d, message: m, attempt: a, version: k.Version}
	if call.AnsweredBy == channels.Fax {
		s.what = saidNothing
		return s
	}
	cat, t := d.wordedAs(m, a)
	if t == nil {
		s.withhold("no_template", k.Locale)
		return s
	}
	dec, ruling := d.lookAgain(m, a, t, k, s)
	if ruling.Verdict != policy.Allowed {
		s.withhold(string(ruling.Code), k.Locale)
		return s
	}
	dec.Pair, dec.Form = a.Pair, ruling.Form
	form := templates.Form(dec.Form)
	s.what = saidToPerson
	if call.AnsweredBy != channels.Human {
		s.what, form = leftVoicemail, templates.Voicemail
	}
	text, err := t.Render(templates.Request{
		Channel: channels.Voice, Form: form, Discreet: dec.Discreet, Locale: k.Locale, Vars: m.Body.Variables, Identity: d.Identity,
	})
	if err != nil {
		d.Fault(fmt.Errorf("what a call of category %s says cannot be written: %w", cat.Name, err))
		s.withhold(textRefused, k.Locale)
		return s
	}
	s.script = script(text)
	if s.what == saidToPerson {
		s.script.Ask, s.script.Attempt = 1, a.ID
	}
	return s
}

// lookAgain decides once more, and gives what is said of the phone that rang. Its
// place under the cap was taken at the claim, so that no usage is asked for.
func (d *Dispatcher) lookAgain(m *gateway.Message, a *gateway.Attempt, t *templates.Template, k known, s *saying) (policy.Decision, policy.Considered) {
	q := d.question(m, t, policy.Usage{})
	dec := d.Policy.Decide(k.Snapshot, q)
	at := slices.IndexFunc(dec.Considered, func(c policy.Considered) bool { return c.Pair == a.Pair })
	ruling := policy.Considered{Verdict: policy.Refused, Code: dec.Code}
	if at >= 0 {
		ruling = dec.Considered[at]
	}
	if ruling.Verdict != policy.Allowed {
		record := d.record(m, q, k, dec)
		s.record = &record
	}
	return dec, ruling
}

// withhold says who called, in words that anybody may hear, and nothing else.
func (s *saying) withhold(why, locale string) {
	s.what, s.why, s.script = withheld, why, s.d.justWho(locale)
}

func (d *Dispatcher) justWho(locale string) channels.Script {
	text, err := d.Templates().Say(templates.LineWithheld, locale, true, d.Identity)
	if err != nil {
		return channels.Script{} // a practice without a discreet name says nothing: the settings refuse that
	}
	return script(text)
}

// keep puts on record what is about to be said, on the version it was decided on: from
// then until it is spoken, a stop on any replica waits. That the provider asks is also
// its word that it took the call. The event of it is kept once, however often the
// provider asks.
func (s *saying) keep(ctx context.Context, source string, call channels.Call) error {
	now := s.d.Now()
	m := s.message
	step := s.d.sent(m, s.attempt, m.Status, now)
	step.Patient, step.Version = m.Patient, s.version
	if m.Status == gateway.Sending { // its own call has not returned yet
		step.To, step.Due, step.Lease = gateway.Sending, time.Time{}, m.Lease
	}
	edit := gateway.Edit{Attempt: s.attempt.ID, Status: gateway.AttemptTaken, Code: s.what}
	if s.attempt.ProviderID == "" {
		edit.ProviderID = call.ID
	}
	s.id = s.d.NewID()
	if _, err := s.d.Store.Commit(ctx, gateway.Change{
		At: now, Actor: source, Whole: true, Steps: []gateway.Step{step}, Edits: []gateway.Edit{edit}, Speaks: []int64{s.id},
	}); err != nil {
		return err
	}
	c := gateway.Change{
		At: now, Actor: source, Seen: &gateway.Seen{Source: source, Event: call.ID + ":" + s.what}, Heard: heard(m.ID, now, s.what, s.why),
	}
	if s.record != nil {
		c.Decides = []gateway.DecisionRecord{*s.record}
	}
	_, err := s.d.Store.Commit(ctx, c)
	if err != nil {
		s.spoken(ctx)
	}
	return err
}

// spoken ends the wait of those who said stop meanwhile. It must not end with the
// provider's question; where it fails, a stop waits one lease at the longest.
func (s *saying) spoken(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := s.d.Store.Commit(ctx, gateway.Change{At: s.d.Now(), Actor: "heed", Spoken: []int64{s.id}}); err != nil {
		s.d.Fault(fmt.Errorf("that the words of a call were handed over could not be kept: %w", err))
	}
}

// outcomeOfCall: a call that was answered has delivered its message only where the
// message was said, to a person or as a voicemail; else it failed, and another way
// is looked for.
func outcomeOfCall(m *gateway.Message, a *gateway.Attempt, e channels.Delivery) channels.Delivery {
	if e.Status != channels.Delivered {
		return e
	}
	code := a.Code
	if at := slices.IndexFunc(m.Tries, func(t gateway.Attempt) bool { return t.ID == a.ID }); at >= 0 {
		code = m.Tries[at].Code // newer than the attempt that the receipt was read with
	}
	switch code {
	case saidToPerson, leftVoicemail:
		return e
	case saidNothing, withheld:
		e.Code = code
	default:
		e.Code = notHeard
	}
	e.Status, e.Kind = channels.Failed, channels.TryLater
	return e
}

// Asked finds the message in whose call a person was asked for a key; nil when it
// is not known any more.
func (d *Dispatcher) Asked(ctx context.Context, call channels.Call) (*gateway.Asked, error) {
	a, err := d.attemptOfCall(ctx, call)
	if err != nil || a == nil {
		return nil, err
	}
	m, err := d.Store.Message(ctx, a.Message)
	if errors.Is(err, gateway.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ks, err := d.snapshots(ctx, []int64{m.Patient}, false)
	if err != nil {
		return nil, err
	}
	asked := &gateway.Asked{Message: m, Program: a.Program, Discreet: a.Discreet}
	if k := ks[m.Patient]; k.Snapshot != nil {
		asked.Locale = k.Locale
		asked.Discreet = asked.Discreet || k.Confidential != nil && k.Confidential.Discreet
	}
	if _, t := d.wordedAs(m, a); t != nil {
		form, _ := templates.ParseForm(a.Form)
		asked.Confirms = t.Confirms(form)
	}
	return asked, nil
}

// AfterKey gives what is said back to a key. After a key that means nothing, or
// none, the keys are said once more; then the call ends.
func (d *Dispatcher) AfterKey(call channels.Call, asked *gateway.Asked, key gateway.PressedKey) (channels.Script, error) {
	if asked == nil {
		return d.OptOutLine(call, key)
	}
	line := map[gateway.PressedKey]templates.Line{
		gateway.KeyStop: templates.LineStopped, gateway.KeyConfirm: templates.LineConfirmed, gateway.KeyCallBack: templates.LineCallBack,
	}[key]
	ask := 0
	switch {
	case line != "":
	case call.Asked < 2:
		line, ask = templates.LineKeys, call.Asked+1
		if asked.Confirms {
			line = templates.LineKeysConfirm
		}
	default:
		line = templates.LineGoodbye
	}
	text, err := d.Templates().Say(line, asked.Locale, asked.Discreet, d.Identity)
	s := script(text)
	s.Ask, s.Attempt = ask, call.Attempt
	return s, err
}

// OptOutLine gives what is said to a person who calls one of our numbers, or whose
// message is not known any more: in both languages, because nobody knows whose the
// voice is, and never by the practice's name.
func (d *Dispatcher) OptOutLine(call channels.Call, key gateway.PressedKey) (channels.Script, error) {
	line, ask := templates.LineOptOut, 1
	switch {
	case call.Inbound && call.From == "":
		line, ask = templates.LineHidden, 0
	case key == gateway.KeyStop:
		line, ask = templates.LineOptOutDone, 0
	case call.Asked == 1:
		line, ask = templates.LineOptOutKeys, 2
	case call.Asked > 1:
		line, ask = templates.LineGoodbye, 0
	}
	s := channels.Script{Ask: ask, Attempt: call.Attempt}
	for _, language := range []string{"en", "es"} {
		text, err := d.Templates().Say(line, language, true, d.Identity)
		if err != nil {
			return channels.Script{}, err
		}
		s.Lines = append(s.Lines, script(text).Lines...)
	}
	return s, nil
}

// script cuts a rendered text into what is said in one breath.
func script(text templates.Text) channels.Script {
	var s channels.Script
	for line := range strings.Lines(text.Text) {
		s.Lines = append(s.Lines, channels.Line{Language: text.Language, Text: strings.TrimSpace(line)})
	}
	return s
}
