package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
)

// Outgoing is what the calls about outgoing events need.
type Outgoing struct {
	Endpoints Endpoints
	NewSecret func() string
}

// Endpoints keeps the endpoints of outgoing events and what is on its way to them. A
// change holds who did it, when, and the idempotency key.
type Endpoints interface {
	Endpoints(ctx context.Context) ([]gateway.Endpoint, error)
	Endpoint(ctx context.Context, id int64) (*gateway.Endpoint, error)
	AddEndpoint(ctx context.Context, c gateway.Change, e gateway.Endpoint) (gateway.Kept, error)
	ChangeEndpoint(ctx context.Context, c gateway.Change, id int64, judge func(*gateway.Endpoint) error) (gateway.Kept, error)
	RemoveEndpoint(ctx context.Context, c gateway.Change, id int64) (gateway.Kept, error)
	PingEndpoint(ctx context.Context, c gateway.Change, endpoint, event int64) (gateway.Kept, error)
	Deliveries(ctx context.Context, f gateway.DeliveryFilter) ([]gateway.Delivery, error)
	Redeliver(ctx context.Context, c gateway.Change, endpoint, delivery int64) (gateway.Kept, error)
	Event(ctx context.Context, id int64) (*gateway.Happening, error)
}

// EndpointOut is an endpoint of outgoing events.
type EndpointOut struct {
	ID          string              `json:"id"`
	URL         string              `json:"url"`
	Types       []gateway.EventType `json:"types" doc:"None: every type."`
	Description string              `json:"description,omitempty"`
	CreatedAt   time.Time           `json:"created_at"`
	DisabledAt  *time.Time          `json:"disabled_at,omitempty"`
	Why         string              `json:"why,omitempty" doc:"Why it is disabled: staff, or gone (it answered 410)."`
	Secret      string              `json:"secret,omitempty" doc:"Shown once, when it is made."`
}

// DeliveryOut is one event on its way to an endpoint.
type DeliveryOut struct {
	ID        string            `json:"id"`
	Event     string            `json:"event"`
	Type      gateway.EventType `json:"type"`
	Status    string            `json:"status" enum:"pending,queued,delivered,dead"`
	Tries     int               `json:"tries"`
	Code      string            `json:"code,omitempty" doc:"What came of the last try: an HTTP status, no_answer, address_refused or disabled."`
	CreatedAt time.Time         `json:"created_at"`
	NextAt    *time.Time        `json:"next_at,omitempty"`
	EndedAt   *time.Time        `json:"ended_at,omitempty"`
}

// EventOut is an outgoing event with what its payload leaves out.
type EventOut struct {
	ID        string            `json:"id"`
	Type      gateway.EventType `json:"type"`
	Timestamp time.Time         `json:"timestamp"`
	Data      gateway.EventData `json:"data"`
	Patient   string            `json:"patient,omitempty" doc:"The practice's id, where the event concerns one patient."`
}

type endpointOut struct{ Body EndpointOut }

// DeliveryPath is a path with an endpoint and one of its deliveries.
type DeliveryPath struct {
	MessagePath
	Delivery string `path:"delivery" maxLength:"24"`
}

func (a *API) outgoing(h huma.API) {
	a.endpoints(h)
	a.deliveries(h)
	register(a, h, sees("event.read", op(http.MethodGet, "/v1/events/{id}", "Whom an outgoing event concerns", auth.ReadPatient)),
		func(ctx context.Context, in *MessagePath) (*struct{ Body EventOut }, error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			e, err := a.Outgoing.Endpoints.Event(ctx, id)
			if err != nil {
				return nil, err
			}
			looks(ctx, "event:"+in.ID)
			e.Data.Event = e.Name()
			out := EventOut{ID: e.Name(), Type: e.Type, Timestamp: e.At.UTC(), Data: e.Data}
			if e.Patient != 0 {
				gateway.TellsOf(ctx, e.Patient)
				p, err := a.Store.Patient(ctx, e.Patient)
				if err != nil && !errors.Is(err, gateway.ErrNotFound) {
					return nil, err
				}
				if p != nil {
					out.Patient = p.Ref
					alsoShows(ctx, e.Patient)
				}
			}
			return &struct{ Body EventOut }{out}, nil
		})
}

func (a *API) endpoints(h huma.API) {
	type endpointList struct {
		Body struct {
			Webhooks []EndpointOut `json:"webhooks"`
		}
	}
	add := op(http.MethodPost, "/v1/webhooks", "Register an endpoint for outgoing events", auth.ManageWebhooks)
	add.DefaultStatus = http.StatusCreated
	register(a, h, add, func(ctx context.Context, in *struct {
		Body struct {
			URL         string              `json:"url" minLength:"1" maxLength:"2000"`
			Types       []gateway.EventType `json:"types,omitempty" maxItems:"50" doc:"None: every type."`
			Description string              `json:"description,omitempty" maxLength:"200"`
		}
	}) (*endpointOut, error) {
		e := gateway.Endpoint{
			ID: a.Intake.NewID(), Types: in.Body.Types, Created: a.Now(),
			To: gateway.EndpointTo{URL: in.Body.URL, Description: in.Body.Description, Secrets: []gateway.Secret{{Text: a.Outgoing.NewSecret()}}},
		}
		if err := e.Check(); err != nil {
			return nil, err
		}
		out := endpoint(&e)
		out.Body.Secret = e.To.Secrets[0].Text
		c := a.onEndpoint(ctx, "webhook.add", out.Body.ID)
		keepAnswer(c.Key, http.StatusCreated, out.Body)
		return out, kept(a.Outgoing.Endpoints.AddEndpoint(ctx, c, e))
	})
	register(a, h, op(http.MethodGet, "/v1/webhooks", "List the endpoints of outgoing events", auth.ManageWebhooks),
		func(ctx context.Context, _ *struct{}) (*endpointList, error) {
			found, err := a.Outgoing.Endpoints.Endpoints(ctx)
			out := &endpointList{}
			out.Body.Webhooks = []EndpointOut{}
			for i := range found {
				out.Body.Webhooks = append(out.Body.Webhooks, endpoint(&found[i]).Body)
			}
			return out, err
		})
	register(a, h, op(http.MethodGet, "/v1/webhooks/{id}", "Read an endpoint", auth.ManageWebhooks),
		func(ctx context.Context, in *MessagePath) (*endpointOut, error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			return a.endpoint(ctx, id)
		})
	register(a, h, op(http.MethodPatch, "/v1/webhooks/{id}", "Change what an endpoint asks for, or take it out of use and back", auth.ManageWebhooks),
		func(ctx context.Context, in *struct {
			MessagePath
			Body struct {
				Types    *[]gateway.EventType `json:"types,omitempty" maxItems:"50"`
				Disabled *bool                `json:"disabled,omitempty"`
			}
		}) (*endpointOut, error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			if !gateway.AlreadyDone(ctx) {
				if err := kept(a.Outgoing.Endpoints.ChangeEndpoint(ctx, a.onEndpoint(ctx, "webhook.change", in.ID), id, func(e *gateway.Endpoint) error {
					return change(e, in.Body.Types, in.Body.Disabled, a.Now())
				})); err != nil {
					return nil, err
				}
			}
			return a.endpoint(ctx, id)
		})
	register(a, h, op(http.MethodDelete, "/v1/webhooks/{id}", "Remove an endpoint and everything on its way there", auth.ManageWebhooks),
		func(ctx context.Context, in *MessagePath) (*struct{}, error) {
			id, err := in.id()
			if err != nil || gateway.AlreadyDone(ctx) {
				return nil, err
			}
			return nil, kept(a.Outgoing.Endpoints.RemoveEndpoint(ctx, a.onEndpoint(ctx, "webhook.remove", in.ID), id))
		})
	a.secrets(h)
}

func (a *API) secrets(h huma.API) {
	type secretOut struct {
		Body struct {
			ID     string `json:"id"`
			Secret string `json:"secret" doc:"Shown once. The one before signs too for 24 hours."`
		}
	}
	register(a, h, op(http.MethodPost, "/v1/webhooks/{id}/rotate", "Put a new secret in force", auth.ManageWebhooks),
		func(ctx context.Context, in *MessagePath) (*secretOut, error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			out := &secretOut{}
			out.Body.ID, out.Body.Secret = in.ID, a.Outgoing.NewSecret()
			c := a.onEndpoint(ctx, "webhook.rotate", in.ID)
			keepAnswer(c.Key, http.StatusOK, out.Body)
			return out, kept(a.Outgoing.Endpoints.ChangeEndpoint(ctx, c, id, func(e *gateway.Endpoint) error { return e.Rotate(out.Body.Secret, c.At) }))
		})
	test := op(http.MethodPost, "/v1/webhooks/{id}/test", "Send a ping event to an endpoint", auth.ManageWebhooks)
	test.DefaultStatus = http.StatusAccepted
	type pingOut struct {
		Body struct {
			Event string `json:"event"`
		}
	}
	register(a, h, test, func(ctx context.Context, in *MessagePath) (*pingOut, error) {
		id, err := in.id()
		if err != nil {
			return nil, err
		}
		event := a.Intake.NewID()
		out := &pingOut{}
		out.Body.Event = strconv.FormatInt(event, 10)
		c := a.onEndpoint(ctx, "webhook.test", in.ID)
		keepAnswer(c.Key, http.StatusAccepted, out.Body)
		return out, kept(a.Outgoing.Endpoints.PingEndpoint(ctx, c, id, event))
	})
}

func (a *API) deliveries(h huma.API) {
	type deliveryList struct {
		Body struct {
			Deliveries []DeliveryOut `json:"deliveries"`
			Next       string        `json:"next,omitempty"`
		}
	}
	register(a, h, op(http.MethodGet, "/v1/webhooks/{id}/deliveries", "What is on its way to an endpoint, was delivered, or was given up", auth.ManageWebhooks),
		func(ctx context.Context, in *struct {
			MessagePath
			Page
			Status string `query:"status" enum:"pending,queued,delivered,dead"`
		}) (*deliveryList, error) {
			f := gateway.DeliveryFilter{Limit: in.Limit}
			var err error
			if f.Endpoint, err = in.id(); err != nil {
				return nil, err
			}
			if f.After, err = cursor(in.After); err != nil {
				return nil, err
			}
			if status, ok := gateway.ParseDeliveryStatus(in.Status); ok {
				f.Status = &status
			}
			if _, err := a.Outgoing.Endpoints.Endpoint(ctx, f.Endpoint); err != nil {
				return nil, err
			}
			found, err := a.Outgoing.Endpoints.Deliveries(ctx, f)
			out := &deliveryList{}
			out.Body.Deliveries = []DeliveryOut{}
			for i := range found {
				out.Body.Deliveries = append(out.Body.Deliveries, delivery(&found[i]))
			}
			if len(found) == f.Limit {
				out.Body.Next = out.Body.Deliveries[len(found)-1].ID
			}
			return out, err
		})
	again := op(http.MethodPost, "/v1/webhooks/{id}/deliveries/{delivery}/redeliver", "Send a delivery that has ended once more", auth.ManageWebhooks)
	again.DefaultStatus = http.StatusAccepted
	register(a, h, again, func(ctx context.Context, in *DeliveryPath) (*idOut, error) {
		id, err := in.id()
		if err != nil {
			return nil, err
		}
		delivery, err := MessagePath{in.Delivery}.id()
		if err != nil {
			return nil, err
		}
		out := &idOut{}
		out.Body.ID = in.Delivery
		c := a.onEndpoint(ctx, "webhook.redeliver", in.ID)
		c.Audit[0].Detail = "delivery:" + strconv.FormatInt(delivery, 10)
		keepAnswer(c.Key, http.StatusAccepted, out.Body)
		return out, kept(a.Outgoing.Endpoints.Redeliver(ctx, c, id, delivery))
	})
}

// change applies what a PATCH asks for; what is absent stays.
func change(e *gateway.Endpoint, types *[]gateway.EventType, disabled *bool, now time.Time) error {
	if types != nil {
		e.Types = *types
	}
	switch {
	case disabled == nil:
	case *disabled:
		e.Disable(gateway.DisabledByStaff, now)
	default:
		e.Enable()
	}
	return e.Check()
}

// onEndpoint is the change of a call on an endpoint: who, when, and the call's key.
func (a *API) onEndpoint(ctx context.Context, verb, id string) gateway.Change {
	return gateway.Change{
		At: a.Now(), Actor: caller(ctx).Name, Key: gateway.KeyOf(ctx), Audit: []gateway.Audit{{Verb: verb, Object: "webhook:" + id}},
	}
}

// keepAnswer gives a call's key its answer, where that is known before the commit, so
// that a secret that was made is not lost with a crash.
func keepAnswer(key *gateway.Key, status int, body any) {
	if key == nil {
		return
	}
	var answer bytes.Buffer
	enc := json.NewEncoder(&answer)
	enc.SetEscapeHTML(false) // as the answer itself is written
	if enc.Encode(body) == nil {
		key.Status, key.Answer = status, answer.Bytes()
	}
}

// kept is what a commit of a call comes to.
func kept(k gateway.Kept, err error) error {
	if err == nil && k.Replayed != nil {
		return gateway.ErrReplayed
	}
	return err
}

func (a *API) endpoint(ctx context.Context, id int64) (*endpointOut, error) {
	e, err := a.Outgoing.Endpoints.Endpoint(ctx, id)
	if err != nil {
		return nil, err
	}
	return endpoint(e), nil
}

func endpoint(e *gateway.Endpoint) *endpointOut {
	return &endpointOut{EndpointOut{
		ID: strconv.FormatInt(e.ID, 10), URL: e.To.URL, Types: append([]gateway.EventType{}, e.Types...), Description: e.To.Description,
		CreatedAt: e.Created.UTC(), DisabledAt: instant(e.Disabled), Why: e.Why,
	}}
}

func delivery(d *gateway.Delivery) DeliveryOut {
	out := DeliveryOut{
		ID: strconv.FormatInt(d.ID, 10), Event: strconv.FormatInt(d.Event, 10), Type: d.Type, Status: d.Status.String(), Tries: d.Tries, Code: d.Code,
		CreatedAt: d.Created.UTC(), EndedAt: instant(d.Ended),
	}
	if d.Status == gateway.DeliveryPending {
		out.NextAt = instant(d.Due)
	}
	return out
}
