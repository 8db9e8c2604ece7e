package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/gateway/dispatch"
)

// maxMessages is how many requests one call may carry.
const maxMessages = 1000

// MessageIn asks for one message.
type MessageIn struct {
	Patient   string            `json:"patient" minLength:"1" maxLength:"128"`
	Category  string            `json:"category" maxLength:"64"`
	Template  string            `json:"template" maxLength:"64"`
	Variables map[string]string `json:"variables,omitempty"`
	Channels  []string          `json:"channels,omitempty" maxItems:"3" nullable:"false" enum:"sms,voice,email"`
	SendAt    time.Time         `json:"send_at,omitempty"`
	ExpiresAt time.Time         `json:"expires_at,omitempty" doc:"Without it, the template's appointment time."`
	Urgent    bool              `json:"urgent,omitempty"`
	Reference string            `json:"reference,omitempty" maxLength:"200" doc:"An appointment's id: everything that waits for it can be cancelled together."`
	Override  *OverrideIn       `json:"override,omitempty"`
}

// OverrideIn is a staff override: it passes channel_declined, quiet_hours and
// frequency_cap for an essential message, and nothing else.
type OverrideIn struct {
	Reason string `json:"reason" minLength:"5" maxLength:"500"`
}

// MessageOut is a message that was taken in.
type MessageOut struct {
	ID       string      `json:"id"`
	Status   string      `json:"status"`
	DueAt    time.Time   `json:"due_at"`
	Decision DecisionOut `json:"decision" doc:"As it would be now; decided again when it is due."`
}

// oneOrMany is a body that is one request or a list of them.
type oneOrMany struct {
	one  bool
	list []json.RawMessage
}

func (m *oneOrMany) UnmarshalJSON(b []byte) error {
	if trimmed := bytes.TrimSpace(b); len(trimmed) > 0 && trimmed[0] == '[' {
		return json.Unmarshal(b, &m.list)
	}
	m.one, m.list = true, []json.RawMessage{bytes.Clone(b)}
	return nil
}

// Schema tells both shapes.
func (oneOrMany) Schema(r huma.Registry) *huma.Schema {
	item := r.Schema(reflect.TypeFor[MessageIn](), true, "MessageIn")
	most := maxMessages
	return &huma.Schema{OneOf: []*huma.Schema{item, {Type: "array", Items: item, MaxItems: &most}}}
}

type messagesOut struct {
	Status int
	Body   json.RawMessage
}

func (a *API) messages(h huma.API) {
	send := op(http.MethodPost, "/v1/messages", "Send, or schedule, one message or up to 1000", auth.SendMessage)
	send.SkipValidateBody = true // each request is held to its schema by itself
	send.DefaultStatus = http.StatusAccepted
	register(a, h, send, func(ctx context.Context, in *struct {
		Body oneOrMany
	}) (*messagesOut, error) {
		return a.accept(ctx, h.OpenAPI().Components.Schemas, in.Body)
	})
	a.messageCalls(h)
}

func (a *API) accept(ctx context.Context, schemas huma.Registry, body oneOrMany) (*messagesOut, error) {
	if len(body.list) == 0 || len(body.list) > maxMessages {
		return nil, problem(http.StatusUnprocessableEntity, "invalid", "Send one to a thousand messages in a call.")
	}
	var err error
	requests := make([]dispatch.Request, len(body.list))
	bad := make([]error, len(body.list))
	var good []dispatch.Request
	for i, raw := range body.list {
		requests[i], bad[i] = a.request(ctx, schemas, raw)
		if bad[i] == nil {
			good = append(good, requests[i])
		}
	}
	if body.one && bad[0] != nil {
		return nil, bad[0]
	}
	var answer json.RawMessage
	encode := func(list []dispatch.Accepted) (int, []byte) {
		answer, err = a.answer(ctx, body.one, bad, list)
		return http.StatusAccepted, append(bytes.Clone(answer), '\n') // to the letter what goes out now
	}
	list, replayed, fault := a.Dispatcher.Accept(ctx, caller(ctx).Name, good, gateway.KeyOf(ctx), encode)
	if fault != nil || err != nil {
		return nil, errors.Join(fault, err)
	}
	if replayed != nil {
		return nil, gateway.ErrReplayed
	}
	if body.one && list[0].Err != nil {
		return nil, list[0].Err
	}
	if answer == nil { // without a key, nothing was kept with the messages
		answer, err = a.answer(ctx, body.one, bad, list)
	}
	return &messagesOut{http.StatusAccepted, answer}, err
}

// request holds one request to its schema and reads it.
func (a *API) request(ctx context.Context, schemas huma.Registry, raw json.RawMessage) (dispatch.Request, error) {
	var plain any
	if err := json.Unmarshal(raw, &plain); err != nil {
		return dispatch.Request{}, problem(http.StatusBadRequest, "bad_request", "The body is not JSON.")
	}
	result := huma.ValidateResult{}
	path := huma.NewPathBuffer([]byte("body"), 4)
	huma.Validate(schemas, schemas.Schema(reflect.TypeFor[MessageIn](), true, "MessageIn"), path, huma.ModeWriteToServer, plain, &result)
	if len(result.Errors) > 0 {
		return dispatch.Request{}, newProblem(http.StatusUnprocessableEntity, "Some fields are not right; nothing was changed.", result.Errors...)
	}
	var in MessageIn
	if err := json.Unmarshal(raw, &in); err != nil {
		return dispatch.Request{}, problem(http.StatusUnprocessableEntity, "invalid", "A field has the wrong form; times are RFC 3339.")
	}
	r := dispatch.Request{
		Patient: in.Patient, Category: in.Category, Template: in.Template, Variables: in.Variables, Channels: channelsOf(in.Channels),
		SendAt: in.SendAt, Expires: in.ExpiresAt, Urgent: in.Urgent, Reference: in.Reference,
	}
	if in.Override != nil {
		if !caller(ctx).Role.May(auth.Override) {
			return r, problem(http.StatusForbidden, "forbidden", "The role of this key does not allow an override.")
		}
		r.Override = in.Override.Reason
	}
	return r, nil
}

// answer writes what was taken in: one result for each request, in their order.
func (a *API) answer(ctx context.Context, one bool, bad []error, list []dispatch.Accepted) (json.RawMessage, error) {
	results := make([]any, 0, len(bad))
	next := 0
	for _, err := range bad {
		if err == nil {
			got := list[next]
			next++
			if err = got.Err; err == nil {
				d, derr := a.decision(ctx, got.Decision)
				if derr != nil {
					return nil, derr
				}
				results = append(results, MessageOut{strconv.FormatInt(got.ID, 10), gateway.Waiting.Name(got.Due, a.Now()), got.Due.UTC(), d})
				continue
			}
		}
		results = append(results, map[string]any{"error": failure(err)})
	}
	if one {
		return json.Marshal(results[0])
	}
	return json.Marshal(results)
}

// MessageFull is a message with its tries and everything heard of it.
type MessageFull struct {
	ID        string       `json:"id"`
	Patient   string       `json:"patient,omitempty"`
	Category  string       `json:"category,omitempty"`
	Template  string       `json:"template"`
	Status    string       `json:"status"`
	Code      string       `json:"code,omitempty"`
	DueAt     time.Time    `json:"due_at"`
	ExpiresAt *time.Time   `json:"expires_at,omitempty"`
	Reference string       `json:"reference,omitempty"`
	CreatedAt time.Time    `json:"created_at"`
	Override  string       `json:"override,omitempty"`
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

type MessagePath struct {
	ID string `path:"id" maxLength:"24"`
}

func (p MessagePath) id() (int64, error) {
	id, err := strconv.ParseInt(p.ID, 10, 64)
	if err != nil {
		return 0, gateway.ErrNotFound
	}
	return id, nil
}

func (a *API) messageCalls(h huma.API) {
	register(a, h, op(http.MethodGet, "/v1/messages/{id}", "Read a message with its attempts and events", auth.ReadMessage),
		func(ctx context.Context, in *MessagePath) (*messageOut, error) { return a.message(ctx, *in) })
	register(a, h, op(http.MethodPatch, "/v1/messages/{id}", "Move a message that still waits", auth.SendMessage),
		func(ctx context.Context, in *struct {
			MessagePath
			Body struct {
				SendAt    time.Time `json:"send_at,omitempty"`
				ExpiresAt time.Time `json:"expires_at,omitempty"`
			}
		}) (*messageOut, error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			if err := a.Dispatcher.Move(ctx, caller(ctx).Name, id, in.Body.SendAt, in.Body.ExpiresAt); err != nil {
				return nil, err
			}
			return a.message(ctx, in.MessagePath)
		})
	register(a, h, op(http.MethodDelete, "/v1/messages/{id}", "Cancel a message that still waits", auth.SendMessage),
		func(ctx context.Context, in *MessagePath) (*messageOut, error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			if err := a.Dispatcher.Cancel(ctx, caller(ctx).Name, id); err != nil {
				return nil, err
			}
			return a.message(ctx, *in)
		})
	type canceled struct {
		Body struct {
			Canceled int `json:"canceled"`
		}
	}
	register(a, h, op(http.MethodDelete, "/v1/messages", "Cancel everything that waits for a reference", auth.SendMessage),
		func(ctx context.Context, in *struct {
			Reference string `query:"reference" required:"true" minLength:"1" maxLength:"200"`
		}) (*canceled, error) {
			out := &canceled{}
			var err error
			out.Body.Canceled, err = a.Dispatcher.CancelReference(ctx, caller(ctx).Name, in.Reference)
			return out, err
		})
	register(a, h, op(http.MethodGet, "/v1/messages", "List messages by reference", auth.ReadMessage),
		func(ctx context.Context, in *struct {
			Page
			Reference string `query:"reference" required:"true" minLength:"1" maxLength:"200"`
		}) (*messageList, error) {
			return a.list(ctx, gateway.MessageFilter{Reference: in.Reference}, in.Page)
		})
	register(a, h, op(http.MethodGet, "/v1/patients/{id}/messages", "Everything sent or held back, and why", auth.ReadMessage),
		func(ctx context.Context, in *struct {
			PatientPath
			Page
		}) (*messageList, error) {
			id, err := a.patientID(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return a.list(ctx, gateway.MessageFilter{Patient: id}, in.Page)
		})
}

func (a *API) list(ctx context.Context, f gateway.MessageFilter, p Page) (*messageList, error) {
	var err error
	if f.After, err = cursor(p.After); err != nil {
		return nil, err
	}
	f.Limit = p.Limit
	found, err := a.Store.Messages(ctx, f)
	if err != nil {
		return nil, err
	}
	out := &messageList{}
	out.Body.Messages = []MessageFull{}
	for i := range found {
		m, err := a.full(ctx, &found[i])
		if err != nil {
			return nil, err
		}
		out.Body.Messages = append(out.Body.Messages, m)
	}
	if len(found) == p.Limit {
		out.Body.Next = strconv.FormatInt(found[len(found)-1].ID, 10)
	}
	return out, nil
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
	full, err := a.full(ctx, m)
	return &messageOut{full}, err
}

func (a *API) full(ctx context.Context, m *gateway.Message) (MessageFull, error) {
	out := MessageFull{
		ID: strconv.FormatInt(m.ID, 10), Category: m.Category, Template: m.Template, Status: m.Status.Name(m.Due, a.Now()), Code: m.Code,
		DueAt: m.Due.UTC(), ExpiresAt: instant(m.Expires), Reference: m.Reference, CreatedAt: m.Created.UTC(), Override: m.Body.Override,
		Attempts: []AttemptOut{}, Events: []HeardOut{},
	}
	if m.Patient != 0 {
		p, err := a.Store.Patient(ctx, m.Patient)
		if err != nil && !errors.Is(err, gateway.ErrNotFound) {
			return out, fmt.Errorf("reading the patient of a message: %w", err)
		}
		if p != nil {
			out.Patient = p.Ref
		}
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
