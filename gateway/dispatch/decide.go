package dispatch

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// Ask is a dry run: may this message go, by which way, and why. It changes nothing.
type Ask struct {
	Patient  int64 // 0: unknown
	Category string
	Template string
	Channels []channels.Channel
	At       time.Time // stands in for the clock; zero: now
	SendAt   time.Time
	Expires  time.Time
	Urgent   bool
}

// Answer is a decision and where its facts came from.
type Answer struct {
	policy.Decision
	FactsFrom string
	// MovedTo is when a message with this send_at would be scheduled instead: earlier,
	// rather than too late. Only of a dry run; zero: at its time.
	MovedTo time.Time
}

// Record is a decision with the question it answers, as kept for replay.
type Record struct {
	Question  policy.Question       `json:"question"`
	Decision  policy.Decision       `json:"decision"`
	FactsFrom string                `json:"facts_from"`
	Zones     string                `json:"zones,omitempty"` // preferences.ZonesFingerprint
	Snapshot  *preferences.Snapshot `json:"snapshot,omitempty"`
}

// DryRun decides without doing.
func (d *Dispatcher) DryRun(ctx context.Context, a Ask) (Answer, error) {
	cat, ok := d.Policy.Category(a.Category)
	if !ok {
		return Answer{}, gateway.Wrong("category", "not a category of the policy in force")
	}
	q := policy.Question{
		Category: a.Category, Channels: a.Channels, Now: a.At, SendAt: a.SendAt, ExpiresAt: a.Expires, Urgent: a.Urgent,
	}
	if q.Now.IsZero() {
		q.Now = d.Now()
	}
	if a.Template != "" {
		t, err := d.template(a.Template, a.Category)
		if err != nil {
			return Answer{}, err
		}
		d.describe(&q, t)
		q.Channels = written(t, cat, q.Channels)
	}
	d.agreements(&q, cat)
	if a.Patient == 0 {
		return Answer{Decision: d.Policy.Decide(nil, q), FactsFrom: "database"}, nil
	}
	k, err := d.snapshots(ctx, []int64{a.Patient}, true)
	if err != nil {
		return Answer{}, err
	}
	if q.Usage, err = d.Store.Usage(ctx, a.Patient); err != nil {
		return Answer{}, err
	}
	s := k[a.Patient].Snapshot
	answer := Answer{Decision: d.Policy.Decide(s, q), FactsFrom: "database"}
	if q.SendAt.After(q.Now) {
		if at := d.Policy.ScheduleAt(s, q); at.Before(q.SendAt) {
			answer.MovedTo = at
		}
	}
	return answer, nil
}

// question puts what a message asks to the policy, as of now.
func (d *Dispatcher) question(m *gateway.Message, t *templates.Template, usage policy.Usage) policy.Question {
	cat, _ := d.Policy.Category(m.Category)
	q := policy.Question{
		Category: m.Category, Channels: m.Body.Channels, Now: d.Now(), ExpiresAt: m.Expires,
		Urgent: m.Body.Urgent, Override: m.Body.Override != "", Excluded: m.Failed, AtDispatch: true, Usage: usage,
	}
	d.describe(&q, t)
	d.agreements(&q, cat)
	q.Channels = written(t, cat, q.Channels)
	return q
}

// written leaves out the channels that a practice's own text has no words for: they
// could only end in a refusal, where another channel may still go. Where none is left,
// the refusal shall say so.
func written(t *templates.Template, cat *policy.Category, asked []channels.Channel) []channels.Channel {
	if !t.Practice {
		return asked
	}
	offered := asked
	if len(offered) == 0 {
		offered = cat.Channels
	}
	has := slices.DeleteFunc(slices.Clone(offered), func(c channels.Channel) bool { return !t.Goes(c) })
	if len(has) == 0 {
		return asked
	}
	return has
}

// describe tells the policy what the template carries.
func (d *Dispatcher) describe(q *policy.Question, t *templates.Template) {
	q.Content, q.ContentKnown = contentOf(t.Content), true
	q.DiscreetKnown = true
	for _, c := range channels.Channels {
		for form := range q.HasDiscreet[c] {
			q.HasDiscreet[c][form] = t.Has(c, templates.Form(form), true)
		}
	}
}

func contentOf(name string) policy.Content {
	switch name {
	case "none":
		return policy.None
	case "minimal":
		return policy.Minimal
	}
	return policy.Clinical
}

// agreements tells the policy which adapters are there and what they may carry.
func (d *Dispatcher) agreements(q *policy.Question, cat *policy.Category) {
	for _, c := range channels.Channels {
		if w, ok := d.way(cat.Program, c); ok {
			q.Agreement[c], q.Adapters[c] = w.Agreement, true
		} else {
			q.Agreement[c] = policy.Clinical // no provider, so nothing goes to one; no_adapter is said at dispatch
		}
	}
}

func (d *Dispatcher) template(name, category string) (*templates.Template, error) {
	t, ok := d.Templates().Get(name)
	switch {
	case !ok || t.Category == "":
		return nil, gateway.Wrong("template", "no text in force has this name; `heed templates list` and GET /v1/templates list them")
	case t.Category != category:
		return nil, gateway.Wrong("template", "belongs to another category")
	}
	return t, nil
}

// record keeps a decision with everything a replay needs.
func (d *Dispatcher) record(m *gateway.Message, q policy.Question, k known, dec policy.Decision) gateway.DecisionRecord {
	body, err := json.Marshal(Record{Question: q, Decision: dec, FactsFrom: k.from, Zones: d.Zones, Snapshot: k.Snapshot})
	if err != nil {
		body = []byte(`{}`) // plain data always marshals; an empty record is refused by the replay
	}
	return gateway.DecisionRecord{
		ID: d.NewID(), Message: m.ID, Patient: m.Patient, At: q.Now, Outcome: dec.Outcome.String(), Code: string(dec.Code), Body: body,
	}
}
