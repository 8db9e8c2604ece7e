package api

import (
	"context"
	"errors"
	"strconv"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences/policy"
)

// MayOut is what may still be done about a task, for one person whom it may be about.
type MayOut struct {
	Patient  string         `json:"patient,omitempty" doc:"Absent: no patient on record has the number."`
	Messages []CandidateOut `json:"messages,omitempty" doc:"Of this patient, those that may have been answered."`
	Call     bool           `json:"call" doc:"Somebody may be called, at one of the calls that are allowed."`
	Code     string         `json:"code,omitempty" doc:"Why nobody may be called: the rule."`
	Reason   string         `json:"reason,omitempty" doc:"The same in words."`
	Calls    []CallOut      `json:"calls" doc:"Every phone, those that may be called first."`
	Letter   bool           `json:"letter" doc:"A letter may be posted."`
	Content  string         `json:"content" enum:"none,minimal,clinical" doc:"The most that may be told to the patient."`
	Discreet bool           `json:"discreet,omitempty" doc:"The practice is not named to anybody but the patient."`
	Say      []string       `json:"say,omitempty" doc:"What may be said, and to whom, in words."`
}

// CallOut is one phone and what the rules say of a person who dials it.
type CallOut struct {
	Number  string     `json:"number"`
	Verdict string     `json:"verdict" enum:"allowed,refused"`
	Code    string     `json:"code,omitempty"`
	Reason  string     `json:"reason,omitempty"`
	Mind    []MindOut  `json:"mind,omitempty" doc:"What forbids a text or call by machine, and not a person's."`
	Until   *time.Time `json:"until,omitempty" doc:"With quiet_hours: when the hours begin."`
	Shared  bool       `json:"shared,omitempty" doc:"Other patients have this number too."`
	Danger  bool       `json:"danger,omitempty" doc:"It may be called only because of the words that came from it."`
}

// MindOut is a rule that the person who dials should know.
type MindOut struct {
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// CandidateOut is a message that may have been answered.
type CandidateOut struct {
	ID            string     `json:"id"`
	Reference     string     `json:"reference,omitempty"`
	AppointmentAt *time.Time `json:"appointment_at,omitempty"`
}

// may tells what may still be done about an open task.
func (a *API) may(ctx context.Context, t *gateway.Task) ([]MayOut, error) {
	list, err := a.Intake.Remedies(ctx, t)
	if err != nil {
		return nil, err
	}
	out := make([]MayOut, 0, len(list))
	for i := range list {
		out = append(out, a.remedy(ctx, t, &list[i]))
	}
	return out, nil
}

func (a *API) remedy(ctx context.Context, t *gateway.Task, r *intake.Remedy) MayOut {
	out := MayOut{Calls: []CallOut{}, Letter: r.Letter == "", Content: r.Content.String(), Discreet: r.Discreet}
	if r.Patient != nil {
		out.Patient = r.Patient.Ref
		gateway.TellsOf(ctx, r.Patient.ID)
		alsoShows(ctx, r.Patient.ID)
	}
	for _, m := range r.Messages {
		out.Messages = append(out.Messages, CandidateOut{strconv.FormatInt(m.ID, 10), m.Reference, instant(m.Appointment)})
	}
	for _, p := range r.Phones {
		c := CallOut{Number: p.Number, Verdict: p.Verdict.String(), Code: string(p.Code), Shared: p.Shared, Until: instant(p.Until), Danger: p.ForDanger}
		if p.Code != "" {
			c.Reason = p.Code.Sentence()
		}
		for _, code := range p.Mind {
			c.Mind = append(c.Mind, MindOut{string(code), code.Sentence()})
		}
		out.Calls = append(out.Calls, c)
	}
	code := r.Nobody()
	if out.Call = code == ""; !out.Call {
		out.Code, out.Reason = string(code), code.Sentence()
	}
	if out.Call || out.Letter {
		out.Say = a.say(t, r, &out)
	}
	return out
}

// contentWords is the most that may be told to the patient. 45 CFR 164.502(b), 164.514(h).
var contentWords = map[policy.Content]string{
	policy.None:     "Once the patient has given name and date of birth: only what does not tie them to care.",
	policy.Minimal:  "Once the patient has given name and date of birth: what they asked for, or who, when and where to call, and nothing more.",
	policy.Clinical: "Only to the patient, and only once they have given name and date of birth: all of it.",
}

// say tells in words what may be said, and to whom.
func (a *API) say(t *gateway.Task, r *intake.Remedy, out *MayOut) []string {
	var say []string
	switch {
	case r.Patient == nil:
		say = append(say, "No patient on record has this number: name nobody, and tell nothing but that you call back.")
	case r.Unsure:
		say = append(say, "Several patients may be meant: find out who answers before you name anybody, and do not say that there are others.")
	}
	named := a.Identity.DiscreetName
	if r.Discreet && named != "" {
		say = append(say, "Do not name the practice to anybody but the patient: say “"+named+"”.")
	} else if r.Discreet {
		say = append(say, "Do not name the practice to anybody but the patient.")
	}
	if out.Call && t.Kind == gateway.TaskCrisis {
		say = append(say, "Ask whether they are safe, whoever answers. Of the patient and of care say nothing before you know who it is (45 CFR 164.512(j)).")
	}
	if r.Patient != nil {
		say = append(say, contentWords[r.Content])
	}
	if out.Call {
		say = append(say, "To a machine, or to anybody else: your name and a number to call back, and nothing else.")
	}
	if out.Letter && r.Discreet {
		say = append(say, "A letter goes in an envelope that does not name the practice.")
	}
	return say
}

// again tells what Heed itself would decide now about the message that a task is about:
// what stood against it may be gone.
func (a *API) again(ctx context.Context, t *gateway.Task) (*DecisionOut, error) {
	if t.Kind != gateway.TaskNeedsStaff || t.Message == 0 {
		return nil, nil
	}
	m, err := a.Store.Message(ctx, t.Message)
	if errors.Is(err, gateway.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d, err := a.Dispatcher.DryRun(ctx, dispatch.Ask{
		Patient: m.Patient, Category: m.Category, Template: m.Template, Channels: m.Body.Channels, Expires: m.Expires, Urgent: m.Body.Urgent,
	})
	var lost gateway.Invalid
	if errors.As(err, &lost) { // its category or its template is no longer there
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	told, err := a.Decision(ctx, d)
	return &told, err
}
