package pages

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// maxSent is how many messages the page tells of, the latest first by the moment it shows.
const maxSent = 50

// sentState is one message as the patient is told of it: never what it said, and
// never where it went, as the code was sent to one address only.
type sentState struct {
	When, About, Way, Status, Why string

	at time.Time
}

// showSent shows what was sent or held back, and why. That it was shown is kept
// first: 45 CFR 164.312(b).
func (p *Pages) showSent(w http.ResponseWriter, r *http.Request, v *visit) {
	list, err := p.Store.Messages(r.Context(), gateway.MessageFilter{Patient: v.snapshot.Patient, Newest: true, Limit: maxSent})
	if err == nil {
		err = p.Intake.Looked(r.Context(), actor, v.snapshot.Patient, "page.history")
	}
	if err != nil {
		p.fault(w, r, err)
		return
	}
	zone := p.zone(v.snapshot)
	var states []sentState
	for i := range list {
		states = append(states, p.sentState(v.lang, &list[i], zone))
	}
	slices.SortStableFunc(states, func(a, b sentState) int { return b.at.Compare(a.at) })
	f := p.frame(v.lang, say(v.lang, "sent.title"))
	f.View, f.Page = "sent", struct {
		Sent  []sentState
		Until string
		Most  int
	}{states, clock(v.lang, v.until.In(zone)), maxSent}
	p.show(w, http.StatusOK, "sent", f)
}

func (p *Pages) sentState(lang string, m *gateway.Message, zone *time.Location) sentState {
	at := m.Created
	s := sentState{About: say(lang, p.aboutKey(m)), Status: say(lang, statusKey(m))}
	if m.Status == gateway.Waiting && m.Due.After(at) {
		at = m.Due
	}
	if n := len(m.Tries); n > 0 {
		at = m.Tries[n-1].At
		s.Way = say(lang, "channel."+m.Tries[n-1].Pair.Channel.String())
	}
	s.at, s.When = at, moment(lang, at.In(zone))
	s.Why = say(lang, p.whyKey(m))
	return s
}

// aboutKey is the words for what a message was about.
func (p *Pages) aboutKey(m *gateway.Message) string {
	switch {
	case m.Category != "":
		return topicLabel(p.Policy, m.Category)
	case m.Template == "page_code":
		return "topic.page_code"
	}
	return "topic.answer"
}

func statusKey(m *gateway.Message) string {
	switch m.Status {
	case gateway.Waiting:
		return "sent.waiting"
	case gateway.Sending, gateway.Unknown:
		return "sent.under_way"
	case gateway.Sent:
		return "sent.sent"
	case gateway.Delivered:
		return "sent.delivered"
	case gateway.NeedsStaff:
		return "sent.staff"
	case gateway.Canceled:
		return "sent.canceled"
	}
	return "sent.held"
}

// whyKey is the sentence for the rule that decided. A provider's own code gets
// general words.
func (p *Pages) whyKey(m *gateway.Message) string {
	if key := "why." + m.Code; m.Code != "" && phrases[key] != (phrase{}) {
		return key
	}
	switch m.Status {
	case gateway.Waiting, gateway.Sending, gateway.Unknown, gateway.Sent, gateway.Delivered:
		switch {
		case m.Category == "":
			return "why.answer"
		case m.Essential:
			return "why.essential"
		}
		return "why.optional"
	case gateway.Canceled:
		return "why.canceled"
	case gateway.Expired:
		return "why.too_late"
	}
	return "why.provider"
}

// zone is the clock that the patient reads: their own zone, else the practice's. Who may
// live in several most likely lives in the practice's, where that is one of them.
func (p *Pages) zone(s *preferences.Snapshot) *time.Location {
	name := p.Identity.TimeZone
	if names := s.Zones.Names(); len(names) > 0 && !slices.Contains(names, name) {
		name = names[0]
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return zone
}

// moment writes a day and a time as people say them.
func moment(lang string, at time.Time) string {
	month := say(lang, "month."+strconv.Itoa(int(at.Month())))
	if lang == spanish {
		return fmt.Sprintf("%d de %s de %d, %s", at.Day(), month, at.Year(), clock(lang, at))
	}
	return fmt.Sprintf("%s %d, %d, %s", month, at.Day(), at.Year(), clock(lang, at))
}

func clock(lang string, at time.Time) string {
	half := map[bool]string{true: "AM", false: "PM"}[at.Hour() < 12]
	if lang == spanish {
		half = map[bool]string{true: "a.\u00a0m.", false: "p.\u00a0m."}[at.Hour() < 12]
	}
	return at.Format("3:04\u00a0") + half
}
