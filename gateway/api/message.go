package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/preferences/policy"
)

// MessageFull is a message with why it went the way it did, its tries and everything
// heard of it.
type MessageFull struct {
	ID        string       `json:"id"`
	Patient   string       `json:"patient,omitempty"`
	Category  string       `json:"category,omitempty"`
	Template  string       `json:"template"`
	Status    string       `json:"status"`
	Code      string       `json:"code,omitempty"`
	Reason    string       `json:"reason,omitempty" doc:"A rule's code in words."`
	DueAt     time.Time    `json:"due_at"`
	ExpiresAt *time.Time   `json:"expires_at,omitempty"`
	Reference string       `json:"reference,omitempty"`
	CreatedAt time.Time    `json:"created_at"`
	Override  string       `json:"override,omitempty"`
	Decision  *DecisionOut `json:"decision,omitempty" doc:"The last one; absent before the first."`
	Attempts  []AttemptOut `json:"attempts"`
	Events    []HeardOut   `json:"events"`
}

// AttemptOut is one try.
type AttemptOut struct {
	ID         string    `json:"id"`
	Channel    string    `json:"channel"`
	Address    string    `json:"address,omitempty"`
	Status     string    `json:"status"`
	ProviderID string    `json:"provider_id,omitempty"`
	Code       string    `json:"code,omitempty"`
	Content    string    `json:"content,omitempty"`
	At         time.Time `json:"at"`
	// The words that went out, whatever is in force by now.
	TemplateOrigin  string `json:"template_origin,omitempty" enum:"built_in,practice"`
	TemplateVersion int    `json:"template_version,omitempty"`
}

// HeardOut is one thing that was heard of a message.
type HeardOut struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
	Code string    `json:"code,omitempty"`
}

type messageOut struct{ Body MessageFull }

type messageList struct {
	Body struct {
		Messages []MessageFull `json:"messages"`
		Next     string        `json:"next,omitempty"`
	}
}

func (a *API) list(ctx context.Context, f gateway.MessageFilter, p Page) (*messageList, error) {
	var err error
	if f.After, err = cursor(p.After); err != nil {
		return nil, err
	}
	f.Limit = p.Limit
	out := &messageList{}
	if out.Body.Messages, err = a.Messages(ctx, f); err != nil {
		return nil, err
	}
	if n := len(out.Body.Messages); n == p.Limit {
		out.Body.Next = out.Body.Messages[n-1].ID
	}
	return out, nil
}

// Messages tells a list of messages, each with its last decision and what was heard
// of it.
func (a *API) Messages(ctx context.Context, f gateway.MessageFilter) ([]MessageFull, error) {
	found, err := a.readMessages(ctx, f)
	if err != nil {
		return nil, err
	}
	list := []MessageFull{}
	for i := range found {
		told, err := a.full(ctx, &found[i])
		if err != nil {
			return nil, err
		}
		list = append(list, told)
	}
	return list, nil
}

// readMessages reads messages with their last decisions and what was heard of them.
func (a *API) readMessages(ctx context.Context, f gateway.MessageFilter) ([]gateway.Message, error) {
	found, err := a.Store.Messages(ctx, f)
	if err != nil {
		return nil, err
	}
	ids := make([]int64, len(found))
	for i := range found {
		ids[i] = found[i].ID
	}
	last, err := a.Store.LastDecisions(ctx, ids)
	if err != nil {
		return nil, err
	}
	heard, err := a.Store.MessageEvents(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i := range found {
		m := &found[i]
		if record, ok := last[m.ID]; ok {
			m.Last = &record
		}
		m.Events = heard[m.ID]
	}
	return found, nil
}

func (a *API) message(ctx context.Context, p MessagePath) (*messageOut, error) {
	id, err := p.id()
	if err != nil {
		return nil, err
	}
	m, err := a.Store.Message(ctx, id)
	if err != nil {
		return nil, err
	}
	looks(ctx, "message:"+p.ID)
	full, err := a.full(ctx, m)
	return &messageOut{full}, err
}

func (a *API) full(ctx context.Context, m *gateway.Message) (MessageFull, error) {
	out := MessageFull{
		ID: strconv.FormatInt(m.ID, 10), Category: m.Category, Template: m.Template, Status: m.Status.Name(m.Due, a.Now()), Code: m.Code,
		DueAt: m.Due.UTC(), ExpiresAt: instant(m.Expires), Reference: m.Reference, CreatedAt: m.Created.UTC(), Override: m.Body.Override,
		Attempts: []AttemptOut{}, Events: []HeardOut{},
	}
	if m.Code != "" {
		out.Reason = policy.Code(m.Code).Sentence() // "" for a provider's code
	}
	if m.Patient != 0 {
		gateway.TellsOf(ctx, m.Patient)
		p, err := a.Store.Patient(ctx, m.Patient)
		if err != nil && !errors.Is(err, gateway.ErrNotFound) {
			return out, fmt.Errorf("reading the patient of a message: %w", err)
		}
		if p != nil {
			out.Patient = p.Ref
			alsoShows(ctx, m.Patient)
		}
	}
	var err error
	if m.Last != nil {
		last, err := a.KeptDecision(ctx, *m.Last)
		if err != nil {
			return out, err
		}
		out.Decision = &last
	}
	var ids []int64
	for _, t := range m.Tries {
		ids = append(ids, t.Pair.Address)
	}
	texts, err := a.Store.AddressTexts(ctx, ids)
	if err != nil {
		return out, err
	}
	for _, t := range m.Tries {
		row := AttemptOut{
			ID: strconv.FormatInt(t.ID, 10), Channel: t.Pair.Channel.String(), Address: texts[t.Pair.Address], Status: t.Status.String(),
			ProviderID: t.ProviderID, Code: t.Code, Content: t.Form, At: t.At.UTC(),
		}
		if text, ok := a.Wording.Current().At(m.Template, t.Wording); ok && t.Wording != "" {
			row.TemplateOrigin, row.TemplateVersion = origin(text), text.Version
		}
		out.Attempts = append(out.Attempts, row)
	}
	for _, e := range m.Events {
		out.Events = append(out.Events, HeardOut{e.At.UTC(), e.Kind, e.Code})
	}
	return out, nil
}

// KeptDecision tells a decision as it was kept. Of an erased patient's, what it was
// decided on is gone; the outcome and its reason stayed.
func (a *API) KeptDecision(ctx context.Context, kept gateway.DecisionRecord) (DecisionOut, error) {
	if kept.Body == nil {
		return DecisionOut{
			Outcome: kept.Outcome, Code: kept.Code, Reason: policy.Code(kept.Code).Sentence(), Considered: []ConsideredOut{}, At: kept.At.UTC(),
		}, nil
	}
	r, err := a.Dispatcher.Kept(ctx, kept)
	if err != nil {
		return DecisionOut{}, err
	}
	return a.Decision(ctx, dispatch.Answer{Decision: r.Decision, FactsFrom: r.FactsFrom})
}
