package sandbox

import (
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// keypad lists the keys of a phone.
const keypad = "1234567890*#"

// The page's forms. Each gives the place on the page to return to, and whether
// it could be done.

func (s *Sandbox) doReply(r *http.Request) (string, bool) {
	from, to := strings.TrimSpace(r.PostForm.Get("from")), strings.TrimSpace(r.PostForm.Get("to"))
	body := r.PostForm.Get("body")
	if !e164.MatchString(from) || !e164.MatchString(to) || utf8.RuneCountInString(body) > maxBody {
		return "", false
	}
	s.Reply(from, to, body, r.PostForm.Get("silent") != "")
	return anchor(from), true
}

func (s *Sandbox) doPress(r *http.Request) (string, bool) {
	digit := r.PostForm.Get("digit")
	if len(digit) != 1 || !strings.Contains(keypad, digit) {
		return "", false
	}
	id := r.PostForm.Get("id")
	m, _ := s.get(id)
	return anchor(theirs(m)), s.Press(id, digit)
}

// doTake decides who takes a call that rings.
func (s *Sandbox) doTake(r *http.Request) (string, bool) {
	id, who := r.PostForm.Get("id"), Takes(r.PostForm.Get("who"))
	m, _ := s.get(id)
	return anchor(m.To), slices.Contains(takes(), who) && s.Take(id, who)
}

func (s *Sandbox) doHangUp(r *http.Request) (string, bool) {
	id := r.PostForm.Get("id")
	m, _ := s.get(id)
	return anchor(theirs(m)), s.HangUp(id)
}

// doPhone decides how a phone takes its calls from now on.
func (s *Sandbox) doPhone(r *http.Request) (string, bool) {
	number, who, keys := r.PostForm.Get("number"), Takes(r.PostForm.Get("who")), r.PostForm.Get("keys")
	known := who == "" || slices.Contains(takes(), who)
	if !e164.MatchString(number) || !known || len(keys) > 10 || strings.Trim(keys, keypad) != "" {
		return "", false
	}
	s.SetPhone(number, Phone{Takes: who, Keys: keys})
	return anchor(number), true
}

// doCall plays a person who calls one of our numbers.
func (s *Sandbox) doCall(r *http.Request) (string, bool) {
	from, to := strings.TrimSpace(r.PostForm.Get("from")), strings.TrimSpace(r.PostForm.Get("to"))
	if r.PostForm.Get("hidden") != "" {
		from = ""
	}
	if from != "" && !e164.MatchString(from) || !e164.MatchString(to) {
		return "", false
	}
	return anchor(theirs(s.Call(from, to, ""))), true
}

func (s *Sandbox) doEvent(r *http.Request) (string, bool) {
	id := r.PostForm.Get("id")
	m, _ := s.get(id)
	return anchor(m.To), s.Event(id, r.PostForm.Get("event"))
}

// doOneClick presses the unsubscribe button of a mail. The link is the mail's
// own, never the form's.
func (s *Sandbox) doOneClick(r *http.Request) (string, bool) {
	s.mu.Lock()
	m := s.byID[r.PostForm.Get("id")]
	s.mu.Unlock()
	if m == nil {
		return "", false
	}
	mail := s.read(m)
	url := oneClickLink(mail)
	if url == "" {
		return "", false
	}
	outcome := s.pressOneClick(r.Context(), url)
	s.update(m, func(m *Message) { m.OneClick = outcome })
	return anchor(mail.To), true
}

// doClock moves the clock by a duration, or sets it.
func (s *Sandbox) doClock(r *http.Request) (string, bool) {
	clock := s.opt.Clock
	if clock == nil {
		return "", false
	}
	if by := r.PostForm.Get("add"); by != "" {
		d, err := time.ParseDuration(by)
		if err != nil {
			return "", false
		}
		clock.Add(d)
	} else {
		t, err := time.ParseInLocation(clockLayout, r.PostForm.Get("set"), clock.Now().Location())
		if err != nil {
			return "", false
		}
		clock.Set(t)
	}
	s.mu.Lock()
	s.changes++
	s.mu.Unlock()
	return "clock", true
}

func (s *Sandbox) doOutage(r *http.Request) (string, bool) {
	s.SetUnreachable(r.PostForm.Get("on") != "")
	return "outage", true
}
