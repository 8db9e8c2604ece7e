package main

import (
	"html"
	"regexp"
	"slices"
	"strings"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/sandbox"
	"harmonize.care/heed/gateway/api"
)

type (
	sandboxMessage = sandbox.Message
	eventOut       = api.HeardOut
)

var (
	// What a message that ties nobody to care may not speak of.
	dayAbout   = regexp.MustCompile(`(?i)appointment|\bcita\b|\bbill\b|factura|check-in|seguimiento|visit|[0-9]:[0-9]{2}`)
	dayAnyLink = regexp.MustCompile(`https?://\S+`)
	// What no text, subject or voicemail may name.
	daySpecialty = regexp.MustCompile(`(?i)mental|psych|psiqu|psico|therap|terap|depress|depresi|anxi|ansied|counsel`)
	dayInvites   = regexp.MustCompile(`(?i)(reply|responda)\W+(cancel|yes|alto|baja)\b`)
	dayWayOut    = regexp.MustCompile(`Reply STOP to stop|Responda PARAR para no recibir textos`)
	dayKeyNine   = regexp.MustCompile(`press 9|oprima 9`)
	dayAdvert    = regexp.MustCompile(`(?i)advertise|anunci`)
)

// words holds what a message says against the rules: the content that the provider
// may carry, discretion, who is writing, and the way out.
func (b *dayBook) words(i int, m *dayMessage, c dayCategory) []string {
	s := &b.provider[i]
	found := b.wordsAt(s, m, c, s.Created)
	for _, before := range b.instants(m.Patient, s.To, s.Created) { // a call that was under way when somebody asked for discretion
		if len(found) == 0 || len(b.wordsAt(s, m, c, before)) == 0 {
			return nil
		}
	}
	return found
}

func (b *dayBook) wordsAt(s *daySeen, m *dayMessage, c dayCategory, at time.Time) []string {
	p := b.person(m.Patient, at)
	var found []string
	add := func(bad bool, what string) {
		if bad {
			found = append(found, what)
		}
	}
	sender := b.practice
	if p.discreet {
		sender = b.discreet
		add(strings.Contains(s.Subject+s.Body+s.HTML, b.practice), "discreet: it names the practice")
	}
	switch s.Channel {
	case channels.SMS:
		link := strings.Contains(s.Body, "/m/")
		add(c.content == "clinical" && !p.plain && !(link && !dayTells(m, s)), "content: clinical words in a plain text")
		add(!strings.HasPrefix(s.Body, sender), "identity: a text begins with who writes")
		add(!dayWayOut.MatchString(s.Body), "way out: the text does not say how to stop")
		add(dayInvites.MatchString(s.Body), "way out: it invites a reply that carriers take for a stop")
		add(c.content != "clinical" && daySpecialty.MatchString(s.Body), "content: it names what the practice treats")
	case channels.Email:
		link := strings.Contains(s.Body, "/m/") && !dayTells(m, s) && !dayAbout.MatchString(dayAnyLink.ReplaceAllString(s.Subject+"\n"+s.Body, ""))
		add(c.content != "none" && !link, "content: this provider has no agreement, and may be told nothing")
		add(daySpecialty.MatchString(s.Subject), "content: the subject names what the practice treats")
		found = append(found, b.mail(s, c)...)
	case channels.Voice:
		found = append(found, b.call(s, m, c, sender)...)
	}
	return append(found, dayTags(s)...)
}

// dayTells: it holds something of what staff wrote.
func dayTells(m *dayMessage, s *daySeen) bool {
	all := html.UnescapeString(s.Subject + "\n" + s.Body + "\n" + s.HTML)
	for _, v := range m.variables {
		if v != "" && strings.Contains(all, v) {
			return true
		}
	}
	return false
}

// mail: every one leads to the preference page; only what is not essential has the
// one-click way out (RFC 8058), and an advertisement says so, with a postal address
// (15 U.S.C. 7704(a)(5)).
func (b *dayBook) mail(s *daySeen, c dayCategory) []string {
	var found []string
	if !strings.Contains(s.Body, "/p/") || !strings.Contains(s.HTML, "/p/") {
		found = append(found, "way out: the mail does not lead to the preference page")
	}
	oneClick := s.Headers["List-Unsubscribe"] != "" && s.Headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
	if c.essential && (s.Headers["List-Unsubscribe"] != "" || strings.Contains(s.Body, "/u/")) {
		found = append(found, "way out: an essential mail carries an unsubscribe")
	}
	if !c.essential && (!oneClick || !strings.Contains(s.Body, "/u/")) {
		found = append(found, "way out: a mail that is not essential carries no unsubscribe")
	}
	if c.purpose == "marketing" && !strings.Contains(s.Body, b.postal) {
		found = append(found, "identity: an advertisement without a postal address")
	}
	if c.purpose == "marketing" && !dayAdvert.MatchString(s.Body) {
		found = append(found, "identity: an advertisement that does not say so")
	}
	return found
}

// call: who took it decides what may be said; a word that came while it rang holds
// the message back.
func (b *dayBook) call(s *daySeen, m *dayMessage, c dayCategory, sender string) []string {
	if s.Body == "" || dayWithheld(s.Body) {
		return nil
	}
	var found []string
	add := func(bad bool, what string) {
		if bad {
			found = append(found, what)
		}
	}
	for _, what := range b.forbidden(m, "voice", s.To, s.Sent) {
		found = append(found, "said although it rang: "+what)
	}
	add(c.content == "clinical" && dayTells(m, s), "content: clinical words were spoken")
	add(!strings.Contains(dayLine(s.Body), sender), "identity: the call does not begin with who calls")
	add(!strings.Contains(s.Body, b.phone), "identity: no number to call")
	if s.AnsweredBy == "human" {
		add(!dayKeyNine.MatchString(dayLine(s.Body)), "way out: the key that stops it is not said at once")
		return found
	}
	add(!strings.Contains(s.Body, b.optOut), "way out: the voicemail names no toll-free number")
	add(s.AnsweredBy == "fax" || strings.Contains(s.Body, "\n") || dayTells(m, s) || dayAbout.MatchString(s.Body), "content: more than a name and numbers was left on a machine")
	return found
}

// dayTags: what rides along is one number of ours, which says nothing of anybody.
func dayTags(s *daySeen) []string {
	for _, v := range append([]string{dayTry(&s.Message)}, dayValues(s.Args)...) {
		if v == "" || strings.Trim(v, "0123456789") != "" {
			return []string{"tags: more than the id of a try rides along"}
		}
	}
	return nil
}

func dayValues(args map[string]string) []string {
	var list []string
	for _, v := range args {
		list = append(list, v)
	}
	return list
}

// answerFor is how long after somebody's word an answer to it may go out.
const dayAnswerFor = 5 * time.Minute

// answer: the few messages that no rule on the patient holds, because they answer what
// somebody has just said. Each goes at most once for each thing that was said, to the
// number that said it, from the number that it was said to, and names no practice.
func (b *dayBook) answer(i int, m *dayMessage) []string {
	s := &b.provider[i]
	found := dayTags(s)
	if m.Template == "staff_alert" {
		if !slices.Contains(b.onCall, s.To) {
			found = append(found, "answer: an alert to somebody who is not on call")
		}
		return found
	}
	if strings.Contains(s.Subject+s.Body+s.HTML, b.practice) {
		found = append(found, "discreet: an answer names the practice")
	}
	if m.Template == "page_code" {
		return append(found, b.code(s, m)...)
	}
	asked, known := map[string]string{
		"stop_confirmation": "stopped", "cancel_confirmation": "stopped", "start_confirmation": "started",
		"help": "received", "crisis": "received", "confirm_received": "received", "reschedule_received": "received",
	}[m.Template]
	if !known || s.Channel != channels.SMS {
		return append(found, "answer: no rule names it")
	}
	if !b.justSaid(s, asked) {
		found = append(found, "answer: nothing was said at this number that it would answer")
	}
	if m.Template == "crisis" && !strings.Contains(s.Body, "988") {
		found = append(found, "answer: the crisis text names no help")
	}
	if n, most := b.answered(i, m.Template), b.told(s, asked); n >= most {
		found = append(found, "answer: it was given once before")
	}
	if strings.HasSuffix(m.Template, "_received") {
		found = append(found, b.thanks(s)...)
	}
	return found
}

// justSaid: such an event came by text from the number, to the number that answers,
// within the last five minutes.
func (b *dayBook) justSaid(s *daySeen, kind string) bool {
	heard, to := false, false
	for i := range b.addresses[s.To] {
		e := &b.addresses[s.To][i]
		if e.At.After(s.Created) || e.At.Before(s.Created.Add(-dayAnswerFor)) || e.Source != "sms" {
			continue
		}
		heard = heard || e.Kind == kind
		to = to || e.Kind == "received" && e.Evidence["to"] == s.From
	}
	return heard && to
}

// told counts the events of a kind that came by text from a number; answered counts
// the answers of a template that went there before.
func (b *dayBook) told(s *daySeen, kind string) int {
	n := 0
	for _, e := range b.addresses[s.To] {
		if e.Kind == kind && e.Source == "sms" && !e.At.After(s.Created) {
			n++
		}
	}
	return n
}

func (b *dayBook) answered(i int, template string) int {
	n := 0
	for j := range i {
		e := &b.provider[j]
		if m := b.messages[b.tries[dayTry(&e.Message)]]; !e.Inbound && !e.refused && m != nil && m.Template == template && e.To == b.provider[i].To {
			n++
		}
	}
	return n
}

// thanks for an answer are no exception to a stop or to a confidential communication
// instruction, and go to nobody who may not be the patient.
func (b *dayBook) thanks(s *daySeen) []string {
	at := s.Created.Add(-b.mercy)
	for program, from := range b.senders {
		if slices.Contains(from, s.From) && b.stopped(s.To, program, at) {
			return []string{"stopped: thanks to a number that stopped " + program}
		}
	}
	for ref := range b.ledgers {
		p := b.person(ref, at)
		place := p.places[s.To]
		switch {
		case place == nil || !p.has("sms", s.To) && !place.onRecord:
		case p.private && !slices.Contains(p.only, "sms "+s.To):
			return []string{"confidential: thanks to an address that may not be used"}
		case place.wrong:
			return []string{"wrong person: thanks to somebody else"}
		}
	}
	return nil
}

// code: what somebody asked for on the page goes to an address of the patient's, and
// is held to what is known of it.
func (b *dayBook) code(s *daySeen, m *dayMessage) []string {
	at := s.Created.Add(-b.mercy)
	p, channel := b.person(m.Patient, at), s.Channel.String()
	place := p.places[s.To]
	switch {
	case p.erased || p.deceased:
		return []string{"deceased: a code to somebody who is gone"}
	case !p.has(channel, s.To):
		return []string{"address: a code to an address that is none of the patient's"}
	case p.private && !slices.Contains(p.only, channel+" "+s.To):
		return []string{"confidential: a code to an address that may not be used"}
	case place.unfit(channel) != "":
		return []string{"bad: a code to an address that does not reach the patient"}
	case dayIsPhone(s.To) && b.stopped(s.To, "care", at):
		return []string{"stopped: a code to a number that stopped"}
	}
	return nil
}
