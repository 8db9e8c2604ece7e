package api

import (
	"bytes"
	"context"
	"encoding/json"
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
	Template  string            `json:"template,omitempty" maxLength:"64" doc:"Without it, the one named as the category."`
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
	Reason string `json:"reason" minLength:"5" maxLength:"500" lines:"free"`
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

// RefusedOut is a request of a list that was not taken in.
type RefusedOut struct {
	Error Problem `json:"error"`
}

// results is what one request, or each of a list, came to; written as it was kept.
type results json.RawMessage

// MarshalJSON gives the text itself.
func (r results) MarshalJSON() ([]byte, error) { return r, nil }

// Schema tells both shapes.
func (results) Schema(r huma.Registry) *huma.Schema {
	taken := r.Schema(reflect.TypeFor[MessageOut](), true, "MessageOut")
	each := &huma.Schema{OneOf: []*huma.Schema{taken, r.Schema(reflect.TypeFor[RefusedOut](), true, "RefusedOut")}}
	return &huma.Schema{OneOf: []*huma.Schema{taken, {Type: huma.TypeArray, Items: each}}}
}

type messagesOut struct {
	Status int
	Body   results
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
	encode := func(list []dispatch.Accepted) (int, []byte, error) {
		var err error
		answer, err = a.answer(ctx, body.one, bad, list)
		return http.StatusAccepted, append(bytes.Clone(answer), '\n'), err // to the letter what goes out now
	}
	list, replayed, err := a.Dispatcher.Accept(ctx, caller(ctx).Name, good, gateway.KeyOf(ctx), encode)
	if err != nil {
		return nil, err
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
	return &messagesOut{http.StatusAccepted, results(answer)}, err
}

// request holds one request to its schema and reads it.
func (a *API) request(ctx context.Context, schemas huma.Registry, raw json.RawMessage) (dispatch.Request, error) {
	var plain any
	if err := readJSON(raw, &plain); err != nil {
		return dispatch.Request{}, a.names.newProblem(http.StatusBadRequest, err.Error(), &huma.ErrorDetail{Location: "body", Message: err.Error()})
	}
	result := huma.ValidateResult{}
	path := huma.NewPathBuffer([]byte("body"), 4)
	huma.Validate(schemas, schemas.Schema(reflect.TypeFor[MessageIn](), true, "MessageIn"), path, huma.ModeWriteToServer, plain, &result)
	if len(result.Errors) > 0 {
		return dispatch.Request{}, a.names.newProblem(http.StatusUnprocessableEntity, "Some fields are not right; nothing was changed.", result.Errors...)
	}
	var in MessageIn
	if err := json.Unmarshal(raw, &in); err != nil {
		return dispatch.Request{}, problem(http.StatusUnprocessableEntity, "invalid", "A field has the wrong form; times are RFC 3339.")
	}
	if err := refuseTexts(badTexts(in, "body")); err != nil {
		return dispatch.Request{}, err
	}
	if in.Template == "" {
		in.Template = in.Category // built-in templates bear their category's name
	}
	r := dispatch.Request{
		Patient: in.Patient, Category: in.Category, Template: in.Template, Variables: in.Variables, Channels: channelsOf(in.Channels),
		SendAt: in.SendAt, Expires: in.ExpiresAt, Urgent: in.Urgent, Reference: in.Reference,
	}
	if in.Override != nil {
		if !caller(ctx).Role.May(auth.Override) {
			a.refused(ctx, "post-messages", auth.Override)
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
				d, derr := a.Decision(ctx, got.Decision)
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
	register(a, h, sees("message.read", op(http.MethodGet, "/v1/messages/{id}", "Read a message with its last decision, attempts and events", auth.ReadMessage)),
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
	register(a, h, sees("messages.read", op(http.MethodGet, "/v1/messages", "List messages by reference", auth.ReadMessage)),
		func(ctx context.Context, in *struct {
			Page
			Reference string `query:"reference" required:"true" minLength:"1" maxLength:"200"`
		}) (*messageList, error) {
			looks(ctx, "messages")
			return a.list(ctx, gateway.MessageFilter{Reference: in.Reference}, in.Page)
		})
	register(a, h, sees("messages.read", op(http.MethodGet, "/v1/patients/{id}/messages", "Everything sent or held back, and why", auth.ReadMessage)),
		func(ctx context.Context, in *struct {
			PatientPath
			Page
		}) (*messageList, error) {
			id, err := a.patientID(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			looksAt(ctx, id)
			return a.list(ctx, gateway.MessageFilter{Patient: id}, in.Page)
		})
}
