// Package api is the gateway's HTTP interface: what it takes and gives is told in
// OpenAPI 3.1 at /openapi.json.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	// huma: OpenAPI 3.1 and RFC 9457 from the Go types, on the standard mux.
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/gateway/campaign"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/gateway/wording"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// maxBody bounds every request body of the API: a thousand messages fit.
const maxBody = 1 << 20

// Keys finds callers by the hash of their key. Gives gateway.ErrNotFound.
type Keys interface {
	CallerByKey(ctx context.Context, hash []byte) (auth.Caller, error)
}

// API serves the interface.
type API struct {
	Store      gateway.Store
	Intake     *intake.Service
	Dispatcher *dispatch.Dispatcher
	Campaigns  *campaign.Service
	Policy     *policy.Policy
	Wording    *wording.Service
	Identity   templates.Identity
	Keys       Keys
	Answers    Answers
	AdminKey   string // bootstrap; "" turns it off
	Now        func() time.Time
	Log        *slog.Logger
	PublicURL  string
	Version    string
	// ParsePhone and ParseMailbox normalise what callers write.
	ParsePhone   func(string) (string, error)
	ParseMailbox func(string) (string, error)
	// Webhooks reads each provider's calls, by the path they come to.
	Webhooks map[string]Webhook
	// Outgoing keeps the endpoints of outgoing events.
	Outgoing Outgoing
	// Telephones are asked what to say in a call, by the path their questions come to.
	Telephones map[string]Telephone
	// Ready says why the gateway cannot work now, or nil.
	Ready func(context.Context) error
	// Redis says whether the cache's server answered when it was last asked; nil: there is none.
	// A gateway without it is slower, and as safe: it stays ready.
	Redis func() bool

	names names                      // what the description knows; filled by Handler
	needs map[string]auth.Permission // by the pattern of the route
}

// Webhook is one provider's way to call us.
type Webhook struct {
	Source string // twilio, sendgrid, smtp
	Reader channels.WebhookReader
}

// Handler serves everything under /v1, /webhooks, /healthz, /readyz and /openapi.json.
func (a *API) Handler() http.Handler {
	a.names, a.needs = names{}, map[string]auth.Permission{}
	huma.NewError = a.names.newProblem
	huma.DefaultArrayNullable = false // our lists are never null
	huma.ValidateStrictCasing = true  // "Choice" is not "choice": else two of them could say two things
	mux := http.NewServeMux()
	config := huma.DefaultConfig("Heed", a.Version)
	config.DocsPath, config.SchemasPath = "", ""
	config.CreateHooks = nil // no $schema member in answers
	config.Formats = map[string]huma.Format{"application/json": jsonFormat(), "json": jsonFormat()}
	config.Info.Description = "Consent and communication preferences, decided before every message."
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"key": {Type: "http", Scheme: "bearer"}}
	h := humago.New(mux, config)
	h.UseMiddleware(a.authenticate(h))
	a.patients(h)
	a.preferences(h)
	a.instructions(h)
	a.stops(h)
	a.decisions(h)
	a.messages(h)
	a.tasks(h)
	a.templates(h)
	a.audit(h)
	a.outgoing(h)
	a.campaigns(h)
	a.audience(h, mux)
	a.webhooks(mux)
	a.calls(mux)
	a.health(mux)
	describeHealth(h.OpenAPI())
	a.names.learn(h.OpenAPI())
	mux.HandleFunc("/", nowhere(mux))
	return a.idempotent(mux)
}

// nowhere answers what no operation does: a path that is none, or another method of
// one that is. RFC 9110, 15.5.6.
func nowhere(mux *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
			if _, pattern := mux.Handler(other); pattern != "/" && pattern != "" {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) == 0 {
			writeProblem(w, problem(http.StatusNotFound, "not_found", "There is no such path. GET /openapi.json lists them."))
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		writeProblem(w, problem(http.StatusMethodNotAllowed, "method_not_allowed", "This path takes "+strings.Join(allowed, ", ")+"."))
	}
}

type callerKey struct{}

// caller is who is calling; every operation has one.
func caller(ctx context.Context) auth.Caller {
	c, _ := ctx.Value(callerKey{}).(auth.Caller)
	return c
}

// authenticate lets a call through when its key's role allows the operation.
func (a *API) authenticate(h huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		who, err := a.Who(ctx.Context(), ctx.Header("Authorization"))
		switch {
		case errors.Is(err, gateway.ErrNotFound):
			refuse(h, ctx, http.StatusUnauthorized, "Send a key that is in force as `Authorization: Bearer KEY`.")
			return
		case err != nil:
			a.Log.Error("keys could not be read", "error", err)
			refuse(h, ctx, http.StatusInternalServerError, "")
			return
		}
		need, _ := ctx.Operation().Metadata["permission"].(auth.Permission)
		if !who.Role.May(need) {
			a.refused(huma.WithValue(ctx, callerKey{}, who).Context(), ctx.Operation().OperationID, need)
			refuse(h, ctx, http.StatusForbidden, "The role of this key does not allow this.")
			return
		}
		next(huma.WithValue(ctx, callerKey{}, who))
	}
}

func refuse(h huma.API, ctx huma.Context, status int, detail string) {
	if status == http.StatusUnauthorized {
		ctx.SetHeader("WWW-Authenticate", "Bearer")
	}
	_ = huma.WriteErr(h, ctx, status, detail) // the caller is gone: nothing left to tell
}

// callerOf is who makes a request.
func (a *API) callerOf(r *http.Request) (auth.Caller, error) {
	return a.Who(r.Context(), r.Header.Get("Authorization"))
}

// Who finds the caller of an Authorization header. gateway.ErrNotFound.
func (a *API) Who(ctx context.Context, authorization string) (auth.Caller, error) {
	key, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok || key == "" || len(key) > maxKey {
		return auth.Caller{}, gateway.ErrNotFound
	}
	if a.AdminKey != "" && auth.Same(key, a.AdminKey) {
		return auth.Caller{ID: "bootstrap", Name: auth.Bootstrap, Role: auth.Admin}, nil
	}
	return a.Keys.CallerByKey(ctx, auth.Hash(key))
}

// op describes one operation.
func op(method, path, summary string, p auth.Permission) huma.Operation {
	id := strings.ToLower(method) + strings.NewReplacer("/v1", "", "/", "-", "{", "", "}", "").Replace(path)
	o := huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, MaxBodyBytes: maxBody, BodyReadTimeout: 15 * time.Second,
		Metadata: map[string]any{"permission": p}, Security: []map[string][]string{{"key": {}}},
		Errors: []int{400, 401, 403, 404, 409, 413, 415, 422},
	}
	if method != http.MethodGet {
		most := maxKey
		o.Parameters = []*huma.Param{{
			Name: "Idempotency-Key", In: "header", Schema: &huma.Schema{Type: "string", MaxLength: &most},
			Description: "The same key and body give the first answer again; with another body it is 409.",
		}}
	}
	return o
}

// register adds an operation whose texts are looked at first, whose errors go through
// the one table, whose faults are logged without what was sent, and which, where it
// shows personal data, is written down before it answers.
func register[I, O any](a *API, h huma.API, o huma.Operation, handle func(context.Context, *I) (*O, error)) {
	a.needs[o.Method+" "+o.Path], _ = o.Metadata["permission"].(auth.Permission)
	verb, _ := o.Metadata["sees"].(string)
	huma.Register(h, o, func(ctx context.Context, in *I) (*O, error) {
		var out *O
		err := refuseTexts(badTexts(in, ""))
		if err == nil {
			ctx = withSight(ctx)
			out, err = handle(ctx, in)
		}
		if err == nil && verb != "" {
			err = a.seen(ctx, verb)
		}
		if err == nil {
			return out, nil
		}
		told := failure(err)
		var u *unknown
		if errors.As(told, &u) {
			a.Log.Error("request failed", "operation", o.OperationID, "error", u.cause)
			return nil, u.Problem
		}
		return nil, told
	})
}

// Page is the limit and the cursor of a list.
type Page struct {
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
	After string `query:"after" maxLength:"24" doc:"The next of the page before."`
}

// PatientPath is a path with the practice's id; exported, or huma passes it over.
type PatientPath struct {
	ID string `path:"id" minLength:"1" maxLength:"128"`
}

func (a *API) patientID(ctx context.Context, ref string) (int64, error) {
	id, err := a.Store.PatientID(ctx, ref)
	gateway.TellsOf(ctx, id)
	return id, err
}
