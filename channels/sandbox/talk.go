package sandbox

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"harmonize.care/heed/channels"
)

const (
	defaultTimeout, maxTimeout = 60, 600 // seconds that a call rings
	ringFor                    = 2       // seconds until the pretend person takes the call
	thinkFor                   = 30      // seconds that a person at the page has for a key
	maxTurns                   = 20      // questions in one call
	maxScript                  = 64 << 10
)

// Takes says who takes a call.
type Takes string

// Who may take a call. By hand, the page decides while it rings.
const (
	TakesPerson  Takes = "human"
	TakesMachine Takes = "machine_end_beep"
	TakesFax     Takes = "fax"
	TakesUnknown Takes = "unknown"
	TakesNobody  Takes = "no-answer"
	TakesBusy    Takes = "busy"
	ByHand       Takes = "by-hand"
)

// takes lists every way to take a call, for the page.
func takes() []Takes {
	return []Takes{TakesPerson, TakesMachine, TakesUnknown, TakesFax, TakesNobody, TakesBusy, ByHand}
}

// Phone is how a pretend phone takes its calls.
type Phone struct {
	Takes Takes  // "": as its last digits say, else a person
	Keys  string // what the person presses, one at each question; then nothing
}

// SetPhone decides how a number takes the calls that come from now on.
func (s *Sandbox) SetPhone(number string, p Phone) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phones[number] = p
	s.changes++
}

// SetPace sets how long a second of a call takes; tests make it short.
func (s *Sandbox) SetPace(second time.Duration) { s.pace.Store(int64(second)) }

// seconds is a span of a call.
func (s *Sandbox) seconds(n int) time.Duration {
	return time.Duration(n) * time.Duration(s.pace.Load())
}

// line is a call while it is up.
type line struct {
	url, twiml string      // where the words come from
	events     []string    // the call events asked for
	detects    bool        // who answers is found out and told
	keys       string      // what the pretend person will press
	byHand     bool        // a person at the page has the phone
	hand       chan string // what the page does: a Takes, a key, or hangUpKey
}

// hangUpKey ends a call from the page.
const hangUpKey = "hang up"

func newLine(form url.Values) *line {
	return &line{
		url: form.Get("Url"), twiml: form.Get("Twiml"), events: form["StatusCallbackEvent"], detects: form.Get("MachineDetection") != "",
		hand: make(chan string, 8),
	}
}

// progressCall starts a call; it goes on by itself, so that no receipt waits for
// people who listen.
func (s *Sandbox) progressCall(m *Message, f Failure) {
	s.workers.Go(func() { s.ring(m, f) })
}

// ring lets a call ring, and leads it to its end.
func (s *Sandbox) ring(m *Message, f Failure) {
	phone := s.phoneOf(m.To, f)
	m.call.keys = phone.Keys
	s.step(m, f, "initiated", "initiated")
	if f.event == "failed" {
		s.update(m, func(m *Message) { m.ErrorCode = f.code })
		s.end(m, f, "failed")
		return
	}
	s.step(m, f, "ringing", "ringing")
	who, ok := s.pickUp(m, phone)
	switch {
	case !ok: // the sandbox closes
	case who == TakesNobody || who == TakesBusy:
		s.end(m, f, string(who))
	default:
		s.update(m, func(m *Message) {
			m.Sent = s.opt.Now()
			if m.call.detects {
				m.AnsweredBy = string(who)
			}
		})
		s.step(m, f, "answered", "in-progress")
		s.talk(m)
		s.end(m, f, "completed")
	}
}

// phoneOf gives how a number takes this call.
func (s *Sandbox) phoneOf(number string, f Failure) Phone {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.phones[number]
	switch {
	case p.Takes != "":
	case f.event == "undelivered":
		p.Takes = TakesNobody
	case f.takes != "":
		p.Takes = f.takes
	default:
		p.Takes = TakesPerson
	}
	return p
}

// pickUp waits until somebody takes the call. The page may be quicker.
func (s *Sandbox) pickUp(m *Message, p Phone) (Takes, bool) {
	rings, who := s.seconds(ringFor), p.Takes
	if who == ByHand {
		rings, who = s.seconds(int(m.Validity/time.Second)), TakesNobody
	}
	timer := time.NewTimer(rings)
	defer timer.Stop()
	for {
		select {
		case did := <-m.call.hand:
			if t := Takes(did); slices.Contains(takes(), t) {
				m.call.byHand = true
				return t, true
			}
		case <-timer.C:
			return who, true
		case <-s.stop.Done():
			return "", false
		}
	}
}

// takeCall leads a call that a person makes to us.
func (s *Sandbox) takeCall(m *Message) {
	m.call.byHand = m.call.keys == ""
	s.talk(m)
	s.update(m, func(m *Message) { m.Status, m.Ended = "completed", s.opt.Now() })
}

// step moves a call on, and tells so where the event was asked for.
func (s *Sandbox) step(m *Message, f Failure, event, status string) {
	call := s.update(m, func(m *Message) { m.Status = status })
	s.tell(call, f, event)
}

func (s *Sandbox) end(m *Message, f Failure, status string) {
	call := s.update(m, func(m *Message) { m.Status, m.Ended = status, s.opt.Now() })
	s.tell(call, f, "completed")
}

// tell calls the status callback back. With no event named the end alone is told.
func (s *Sandbox) tell(m Message, f Failure, event string) {
	wanted := slices.Contains(m.call.events, event) || len(m.call.events) == 0 && event == "completed"
	if !wanted || f.mute {
		return
	}
	form := s.callForm(m)
	form.Set("CallbackSource", "call-progress-events")
	form.Set("SequenceNumber", strconv.Itoa(slices.Index([]string{"initiated", "ringing", "answered", "completed"}, event)))
	form.Set("Timestamp", m.Updated.UTC().Format(twilioTime))
	if m.Status == "completed" {
		form.Set("CallDuration", "20")
		if m.AnsweredBy != "" {
			form.Set("AnsweredBy", m.AnsweredBy)
		}
	}
	s.callTwilio(m.Callback, form)
}

// talk asks what to say, says it, and takes keys, until the script or a person hangs up.
func (s *Sandbox) talk(m *Message) {
	target, doc := m.call.url, []byte(m.call.twiml)
	form := s.callForm(s.read(m))
	if who := s.read(m).AnsweredBy; who != "" {
		form.Set("AnsweredBy", who)
	}
	for range maxTurns {
		if m.call.twiml == "" || target != m.call.url {
			var err error
			if doc, err = s.ask(target, form); err != nil {
				s.lost.Add(1)
				s.update(m, func(m *Message) { m.ErrorCode = 11200 }) // HTTP retrieval failure
				return
			}
		}
		script, err := readTwiML(doc)
		if err != nil {
			s.update(m, func(m *Message) { m.ErrorCode = 12100 }) // document parse failure
			return
		}
		action, key, more := s.perform(m, script)
		if !more {
			return
		}
		if action == "" {
			action = s.opt.Webhooks.Voice
		}
		target, form = action, s.callForm(s.read(m))
		form.Set("Digits", key)
	}
}

// perform says the verbs of a script, to the end or to a question.
func (s *Sandbox) perform(m *Message, script *verb) (action, key string, more bool) {
	for _, v := range script.inner {
		s.say(m, v.words())
		switch v.name {
		case "Hangup":
			return "", "", false
		case "Gather":
			key, ok := s.waitForKey(m, v.attrs["timeout"])
			if !ok {
				return "", "", false
			}
			if key != "" || v.attrs["actionOnEmptyResult"] == "true" {
				return v.attrs["action"], key, true
			}
		}
	}
	return "", "", false
}

func (s *Sandbox) say(m *Message, words []string) {
	if len(words) == 0 {
		return
	}
	s.update(m, func(m *Message) { m.Body = strings.TrimSpace(m.Body + "\n" + strings.Join(words, "\n")) })
}

// waitForKey gives the key that is pressed, "" when the time is over. It is not ok
// when somebody hung up.
func (s *Sandbox) waitForKey(m *Message, timeout string) (string, bool) {
	if m.call.keys != "" {
		key := m.call.keys[:1]
		m.call.keys = m.call.keys[1:]
		s.pressed(m, key)
		return key, true
	}
	seconds, err := strconv.Atoi(timeout)
	if err != nil {
		seconds = 5 // Twilio's own, where the script says none
	}
	if m.call.byHand {
		seconds = thinkFor
	}
	timer := time.NewTimer(s.seconds(seconds))
	defer timer.Stop()
	for {
		select {
		case did := <-m.call.hand:
			if did == hangUpKey {
				return "", false
			}
			if len(did) == 1 && strings.Contains(keypad, did) {
				s.pressed(m, did)
				return did, true
			}
		case <-timer.C:
			return "", true
		case <-s.stop.Done():
			return "", false
		}
	}
}

func (s *Sandbox) pressed(m *Message, key string) {
	s.update(m, func(m *Message) {
		m.Pressed += key
		m.Body += "\n[" + key + "]"
	})
}

// ask posts a signed form and reads the TwiML that comes back, with one retry.
func (s *Sandbox) ask(target string, form url.Values) ([]byte, error) {
	ctx, cancel := context.WithTimeout(s.stop, webhookTimeout)
	defer cancel()
	var err error
	for range 2 {
		var doc []byte
		if doc, err = s.askOnce(ctx, target, form); err == nil {
			return doc, nil
		}
	}
	return nil, err
}

func (s *Sandbox) askOnce(ctx context.Context, target string, form url.Values) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, errors.New("webhook: the URL cannot be called")
	}
	req.Header = s.twilioHeader(target, form)
	res, err := s.opt.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	doc, err := io.ReadAll(io.LimitReader(res.Body, maxScript))
	if err == nil && res.StatusCode/100 != 2 {
		err = errors.New("webhook: the answer is an error")
	}
	return doc, err
}

// Press plays a person who presses a key in a call that is up. It says whether
// there is such a call.
func (s *Sandbox) Press(callID, digit string) bool { return s.handle(callID, digit) }

// Take plays who takes a call that rings.
func (s *Sandbox) Take(callID string, who Takes) bool { return s.handle(callID, string(who)) }

// HangUp plays a person who ends a call that is up.
func (s *Sandbox) HangUp(callID string) bool { return s.handle(callID, hangUpKey) }

func (s *Sandbox) handle(callID, what string) bool {
	m, ok := s.get(callID)
	if !ok || m.Channel != channels.Voice || !m.Ended.IsZero() {
		return false
	}
	select {
	case m.call.hand <- what:
		return true
	default:
		return false
	}
}
