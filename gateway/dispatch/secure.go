package dispatch

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// ErrGone is a message that can no longer be read behind its link: taken back,
// erased, past its retention, or gone out by a way that the patient has closed since.
var ErrGone = errors.New("this message can no longer be read here")

// Secure is a message behind its signed link, not opened yet.
type Secure struct {
	Locale string    // the patient's: the language it is written in
	Sent   time.Time // when the link last went out; before that, when the message was accepted

	message  *gateway.Message
	snapshot *preferences.Snapshot
	discreet bool
	address  int64  // where the link went; 0: not sent yet
	born     string // YYYY-MM-DD
}

// Secure finds the message behind a link. It changes nothing, and what it gives
// shows nothing of the message. With ErrGone, the locale is there where it is known.
func (d *Dispatcher) Secure(ctx context.Context, message int64) (Secure, error) {
	m, err := d.Store.Message(ctx, message)
	if errors.Is(err, gateway.ErrNotFound) || err == nil && m.Patient == 0 {
		return Secure{}, ErrGone
	}
	if err != nil {
		return Secure{}, err
	}
	p, err := d.Store.Patient(ctx, m.Patient)
	if err != nil {
		return Secure{}, err
	}
	s := Secure{Locale: p.Snapshot.Locale, Sent: m.Created, message: m, snapshot: p.Snapshot, born: p.Record.BirthDate}
	s.discreet = p.Snapshot.Confidential != nil && p.Snapshot.Confidential.Discreet
	gone := m.Status == gateway.Canceled || forgotten(m) || p.Snapshot.Standing != preferences.Active
	if a := linkTry(m); a != nil {
		s.Sent, s.discreet, s.address = a.At, s.discreet || a.Discreet, a.Pair.Address
		gone = gone || closed(p.Snapshot, a.Pair)
	}
	if gone {
		return Secure{Locale: s.Locale}, ErrGone
	}
	return s, nil
}

// forgotten: the body was dropped with the patient, or when its retention ended.
// Whoever asked for a message stands in its body.
func forgotten(m *gateway.Message) bool { return m.Body.Actor == "" && len(m.Body.Variables) == 0 }

// linkTry is the last try that carried the link, or nil.
func linkTry(m *gateway.Message) *gateway.Attempt {
	for i := range slices.Backward(m.Tries) {
		if m.Tries[i].Form == policy.SecureLink.String() {
			return &m.Tries[i]
		}
	}
	return nil
}

// closed: the link lies where the patient no longer wants to be reached, or where
// somebody else reads it. Whoever looks there may well know the date of birth.
// 45 CFR 164.522(b).
func closed(s *preferences.Snapshot, by preferences.Pair) bool {
	if s.Confidential != nil && !slices.Contains(s.Confidential.Only, by) {
		return true
	}
	a := s.AddressByID(by.Address)
	return a != nil && a.State == preferences.WrongPerson
}

// BornOn says whether this is the patient's date of birth; it takes the same time
// for every day.
func (s Secure) BornOn(day preferences.Date) bool {
	return subtle.ConstantTimeCompare([]byte(s.born), []byte(day.String())) == 1 && s.born != ""
}

// Open writes the message out in full, for the page of somebody whose date of
// birth was checked. That it was opened is kept first: 45 CFR 164.312(b). ErrGone
// when it cannot be written any more; Fault hears why.
func (d *Dispatcher) Open(ctx context.Context, s Secure) (subject, text string, err error) {
	cat, t := d.wordedAs(s.message, linkTry(s.message))
	if t == nil {
		d.Fault(fmt.Errorf("message %d: its category or its template is no longer there", s.message.ID))
		return "", "", ErrGone
	}
	out, err := d.render(s.message, t, cat, s.snapshot, policy.Decision{
		Pair: preferences.Pair{Channel: channels.Email, Address: s.address}, Form: policy.Full, Discreet: s.discreet,
	})
	if err != nil {
		d.Fault(fmt.Errorf("message %d cannot be shown: %w", s.message.ID, err))
		return "", "", ErrGone
	}
	if err := d.keepLook(ctx, s, "opened"); err != nil {
		return "", "", err
	}
	return out.Subject, out.Text, nil
}

// Locked keeps that too many wrong dates of birth were given, so that staff see
// why a message was not read.
func (d *Dispatcher) Locked(ctx context.Context, s Secure) error { return d.keepLook(ctx, s, "locked") }

func (d *Dispatcher) keepLook(ctx context.Context, s Secure, what string) error {
	now := d.Now()
	_, err := d.Store.Commit(ctx, gateway.Change{
		At: now, Actor: "patient", Heard: heard(s.message.ID, now, what, ""),
		Audit: []gateway.Audit{{Verb: "message." + what, Object: fmt.Sprintf("message:%d", s.message.ID)}},
	})
	return err
}
