// Package fhir lets an EHR speak FHIR R4 with the gateway: CommunicationRequest and
// Appointment come in and become messages and reminders, Communication tells what
// became of them. docs/fhir.md has the mapping.
//
// A resource's own identity is what makes it idempotent: whatever is told of a
// CommunicationRequest twice is at most one message, and of an Appointment one set of
// reminders, on any number of replicas (gateway.Turn).
package fhir

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	// R4 structs for Go, generated from the specification itself, which no longer changes;
	// every resource used here, and nothing that it depends on. Google's was released
	// earlier and brings protocol buffers along. What it lacks is known and seen to:
	// contained resources (references.go), a status that is not there, elements that R4
	// does not have, and errors that repeat what they read (check.go).
	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/gateway/dispatch"
)

// The bounds of one call, as POST /v1/messages has them.
const (
	maxBody    = 1 << 20
	maxEntries = 1000
	maxKey     = 255
)

// contentType is R4's for JSON. https://hl7.org/fhir/R4/http.html#mime-type
const contentType = "application/fhir+json"

// Server answers everything under /fhir.
type Server struct {
	Store      gateway.Store
	Dispatcher *dispatch.Dispatcher
	// Who finds the caller of an Authorization header. gateway.ErrNotFound.
	Who       func(ctx context.Context, authorization string) (auth.Caller, error)
	Log       *slog.Logger
	PublicURL string // without a slash at its end
	Version   string
}

// answer is what a call came to.
type answer struct {
	status   int
	location string
	allow    string // methods
	body     any
}

// call is one call by a caller who may make it.
type call struct {
	*Server
	*http.Request
	caller auth.Caller
	body   []byte // of a POST or PUT
}

// Handler serves /fhir and everything under it.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, need auth.Permission, do func(*call) (answer, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, need, do) })
	}
	handle("GET /fhir/metadata", "", (*call).capabilities)
	handle("POST /fhir", auth.SendMessage, (*call).bundle)
	handle("POST /fhir/{$}", auth.SendMessage, (*call).bundle)
	for _, kind := range []string{request, appointment} {
		one := func(c *call) (answer, error) { return c.one(kind) }
		handle("POST /fhir/"+kind, auth.SendMessage, one)
		handle("PUT /fhir/"+kind+"/{id}", auth.SendMessage, one)
	}
	handle("GET /fhir/Communication", auth.ReadMessage, (*call).search)
	handle("GET /fhir/Communication/{id}", auth.ReadMessage, (*call).read)
	nowhere := func(c *call) (answer, error) { return c.nowhere(mux) }
	handle("/fhir", "", nowhere)
	handle("/fhir/", "", nowhere)
	return mux
}

// nowhere answers what no interaction does: a path that is none, or another method of
// one that is. RFC 9110, 15.5.6.
func (c *call) nowhere(mux *http.ServeMux) (answer, error) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut} {
		if _, pattern := mux.Handler(&http.Request{Method: method, URL: c.URL, Host: c.Host}); strings.Contains(pattern, " ") {
			allowed = append(allowed, method)
		}
	}
	r := refuse(http.StatusNotFound, r4.IssueTypeNotSupported, "", "There is no such interaction. GET /fhir/metadata lists them.")
	if len(allowed) > 0 {
		r.status = http.StatusMethodNotAllowed
	}
	a := answer{status: r.status, allow: strings.Join(allowed, ", "), body: outcome(r.issues)}
	return a, nil
}

// serve lets a call through when its key's role allows it, and tells every refusal
// as an OperationOutcome. No permission needed: what is told to everybody.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, need auth.Permission, do func(*call) (answer, error)) {
	c := &call{Server: s, Request: r}
	err := c.admit(need)
	if err == nil && need == auth.SendMessage {
		err = c.readBody(w)
	}
	var got answer
	if err == nil {
		got, err = do(c)
	}
	if err != nil {
		got = s.failure(r, err)
	}
	if got.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	s.write(w, got)
}

func (c *call) admit(need auth.Permission) error {
	if need == "" {
		return nil
	}
	var err error
	c.caller, err = c.Who(c.Context(), c.Header.Get("Authorization"))
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		return refuse(http.StatusUnauthorized, r4.IssueTypeLogin, "", "Send a key that is in force as `Authorization: Bearer KEY`.")
	case err != nil:
		return err
	case !c.caller.Role.May(need):
		c.refused(need)
		return refuse(http.StatusForbidden, r4.IssueTypeForbidden, "", "The role of this key does not allow this.")
	case len(c.Header.Get("Idempotency-Key")) > maxKey:
		return refuse(http.StatusUnprocessableEntity, r4.IssueTypeTooLong, "", "Idempotency-Key: at most 255 characters.")
	case gateway.TextProblem(c.Header.Get("Idempotency-Key"), false) != "":
		return refuse(http.StatusUnprocessableEntity, r4.IssueTypeValue, "", "Idempotency-Key: it is in UTF-8, and holds no control character.")
	}
	return nil
}

// readBody reads the body, which must say that it is JSON: UTF-8 (RFC 8259, 8.1) in which
// no member stands twice, or two readers could each see another one.
func (c *call) readBody(w http.ResponseWriter) error {
	switch kind, _, err := mime.ParseMediaType(c.Header.Get("Content-Type")); {
	case err != nil, kind != contentType && kind != "application/json":
		return refuse(http.StatusUnsupportedMediaType, r4.IssueTypeNotSupported, "", "Send FHIR R4 as JSON, with Content-Type "+contentType+".")
	}
	var err error
	c.body, err = io.ReadAll(http.MaxBytesReader(w, c.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return refuse(http.StatusRequestEntityTooLarge, r4.IssueTypeTooLong, "", "The body is larger than a megabyte: send it in parts.")
	case err != nil:
		return refuse(http.StatusBadRequest, r4.IssueTypeIncomplete, "", "The body did not come through.")
	case !utf8.Valid(c.body):
		return refuse(http.StatusBadRequest, r4.IssueTypeInvalid, "", "This is not JSON: it is not in UTF-8.")
	case gateway.NamesTwice(c.body):
		return refuse(http.StatusBadRequest, r4.IssueTypeInvalid, "", "The body names a member twice: which one counts is not certain.")
	}
	return nil
}

// failure is the one table from what went wrong inside to what is told outside. An
// unknown error says nothing.
func (s *Server) failure(r *http.Request, err error) answer {
	var told *refusal
	switch {
	case errors.As(err, &told):
	case errors.Is(err, gateway.ErrNotFound):
		told = refuse(http.StatusNotFound, r4.IssueTypeNotFound, "", "There is nothing under this id.")
	case errors.Is(err, gateway.ErrErased):
		told = refuse(http.StatusConflict, r4.IssueTypeDeleted, "", gateway.ErrErased.Error())
	case errors.Is(err, gateway.ErrStale):
		told = refuse(http.StatusConflict, r4.IssueTypeConflict, "", "The same was told by another call meanwhile, and nothing of this one was kept. Send it again.")
	case errors.Is(err, context.Canceled):
		told = refuse(http.StatusRequestTimeout, r4.IssueTypeTimeout, "", "The call was given up before it was answered.")
	default:
		s.Log.Error("request failed", "operation", r.Pattern, "error", err)
		told = refuse(http.StatusInternalServerError, r4.IssueTypeException, "",
			"Something went wrong here. Nothing is known to have changed; try again, and tell the operator when it happens again.")
	}
	return answer{status: told.status, body: outcome(told.issues)}
}

func (s *Server) write(w http.ResponseWriter, a answer) {
	body, err := json.Marshal(a.body)
	if err != nil {
		s.Log.Error("an answer could not be written", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType+"; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	if a.allow != "" {
		w.Header().Set("Allow", a.allow)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(body) // the caller is gone: nothing left to tell
}

// stamp writes an R4 instant.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
