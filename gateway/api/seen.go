package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
)

// The audit log says who saw what: 45 CFR 164.312(b). An operation that shows personal
// data writes one row, committed before it answers; a list writes one as well, with
// the patients in it.

// sees marks an operation that shows personal data, with its verb in the audit log.
func sees(verb string, o huma.Operation) huma.Operation {
	o.Metadata["sees"] = verb
	return o
}

// sight is what an operation shows.
type sight struct {
	object   string
	patients []int64
}

type sightKey struct{}

func withSight(ctx context.Context) context.Context {
	return context.WithValue(ctx, sightKey{}, &sight{})
}

// looks says what an operation shows: by our own id, or a list by its noun.
func looks(ctx context.Context, object string) {
	if s, ok := ctx.Value(sightKey{}).(*sight); ok {
		s.object = object
	}
}

// looksAt is looks for all that belongs to one patient.
func looksAt(ctx context.Context, patient int64) {
	if patient == 0 {
		looks(ctx, "patient:unknown")
		return
	}
	looks(ctx, "patient:"+strconv.FormatInt(patient, 10))
}

// alsoShows adds a patient whom the answer names.
func alsoShows(ctx context.Context, patient int64) {
	if s, ok := ctx.Value(sightKey{}).(*sight); ok && patient != 0 && !slices.Contains(s.patients, patient) {
		s.patients = append(s.patients, patient)
	}
}

// seen writes down what the caller is about to see.
func (a *API) seen(ctx context.Context, verb string) error {
	s, _ := ctx.Value(sightKey{}).(*sight)
	var who []string
	for _, id := range s.patients {
		if of := "patient:" + strconv.FormatInt(id, 10); of != s.object {
			who = append(who, of)
		}
	}
	_, err := a.Store.Commit(ctx, gateway.Change{
		At: a.Now(), Actor: caller(ctx).Name, Audit: []gateway.Audit{{Verb: verb, Object: s.object, Detail: strings.Join(who, " ")}},
	})
	return err
}

// refused writes down a call that the caller's role does not allow. It stays refused
// where that fails.
func (a *API) refused(ctx context.Context, operation string, need auth.Permission) {
	_, err := a.Store.Commit(ctx, gateway.Change{
		At: a.Now(), Actor: caller(ctx).Name, Audit: []gateway.Audit{{Verb: "call.refused", Object: operation, Detail: string(need)}},
	})
	if err != nil {
		a.Log.Error("a refused call could not be written down", "operation", operation, "error", err)
	}
}

// describeHealth tells of what answers beside the API, without a key.
func describeHealth(doc *huma.OpenAPI) {
	text := map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}}
	status := map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{
		Type: huma.TypeObject, Properties: map[string]*huma.Schema{
			"status": {Type: huma.TypeString},
			"redis":  {Type: huma.TypeString, Enum: []any{"unreachable"}, Description: "Only when Redis does not answer: everything is asked of the database, and campaigns with a rate wait."},
		}, Required: []string{"status"},
	}}}
	problem := map[string]*huma.MediaType{"application/problem+json": {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}}}
	for _, o := range []*huma.Operation{
		{Path: "/healthz", OperationID: "get-healthz", Summary: "Whether the process lives", Responses: map[string]*huma.Response{"200": {Description: "It lives.", Content: status}}},
		{Path: "/readyz", OperationID: "get-readyz", Summary: "Whether messages may be sent now", Responses: map[string]*huma.Response{
			"200": {Description: "It is ready.", Content: status}, "503": {Description: "It is not; the log says more.", Content: problem},
		}},
		{Path: "/metrics", OperationID: "get-metrics", Summary: "Figures, in the text format of Prometheus; no personal data", Responses: map[string]*huma.Response{"200": {Description: "The figures.", Content: text}}},
	} {
		o.Method = http.MethodGet
		doc.AddOperation(o)
	}
}
