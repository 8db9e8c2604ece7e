package channelstest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	// kin-openapi: reads OpenAPI 3 and checks requests and answers against it, forms
	// included; this house has no rules of its own about what a schema means.
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// Description is what a provider publishes about its API, or the part of it that an
// adapter calls, as OpenAPI 3. Safe for concurrent use.
type Description struct {
	doc     *openapi3.T
	router  routers.Router
	options *openapi3filter.Options
}

// Describe reads a description from a file.
func Describe(file string) (*Description, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	d := &Description{doc: doc, options: &openapi3filter.Options{
		AuthenticationFunc: signsIn, IncludeResponseStatus: true, RejectWhenRequestBodyNotSpecified: true, SkipSettingDefaults: true,
	}}
	// kin-openapi would show the whole schema and the value.
	d.options.WithCustomSchemaErrorFunc(func(e *openapi3.SchemaError) string {
		said := "/" + strings.Join(e.JSONPointer(), "/") + ": " + e.Reason
		if e.Origin != nil {
			said += ": " + e.Origin.Error()
		}
		return said
	})
	d.options.SchemaValidationOptions = []openapi3.SchemaValidationOption{openapi3.WithStringFormatValidators(d.formats())}
	d.router, err = gorillamux.NewRouter(doc)
	return d, err
}

// Operations lists the ids of the operations that are described, in order.
func (d *Description) Operations() []string {
	var ids []string
	for _, item := range d.doc.Paths.Map() {
		for _, operation := range item.Operations() {
			ids = append(ids, operation.OperationID)
		}
	}
	slices.Sort(ids)
	return ids
}

// formats are the formats that the descriptions name and that kin-openapi does not
// check by itself.
func (d *Description) formats() map[string]openapi3.StringFormatValidator {
	number := openapi3.NewRegexpFormatValidator(`^\+[1-9][0-9]{1,14}$`) // https://www.twilio.com/docs/glossary/what-e164
	check := openapi3.NewCallbackValidator[string]
	return map[string]openapi3.StringFormatValidator{
		"phone-number": number,
		"endpoint":     number,                                                                                 // Heed calls phone numbers alone
		"email":        openapi3.NewRegexpFormatValidator("^[!#$%&'*+./0-9=?A-Z^_`{|}~a-z-]+@[A-Za-z0-9.-]+$"), // RFC 5321, bare
		"currency":     openapi3.NewRegexpFormatValidator(`^[A-Za-z]{3}$`),
		"uri":          check(wholeURL),
		"uri-reference": check(func(text string) error {
			_, err := url.Parse(text)
			return err
		}),
		"date-time-rfc-2822": check(func(text string) error {
			_, err := mail.ParseDate(text)
			return err
		}),
		"base64": check(func(text string) error {
			_, err := base64.StdEncoding.DecodeString(text)
			return err
		}),
		"consent": check(d.consent),
	}
}

// wholeURL takes what a provider can call: "URLs must contain a valid hostname
// (underscores are not permitted)",
// https://www.twilio.com/docs/voice/api/call-resource#create-a-call-resource
func wholeURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return err
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || strings.Contains(u.Hostname(), "_"):
		return errors.New("it is no whole URL with a host that can be called")
	}
	return nil
}

// consent takes JSON text that the schema Consent describes.
func (d *Description) consent(text string) error {
	schema := d.doc.Components.Schemas["Consent"]
	if schema == nil {
		return errors.New("the description has no schema Consent")
	}
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return err
	}
	return schema.Value.VisitJSON(value, openapi3.WithStringFormatValidators(d.formats()))
}

// signsIn says whether a request carries what the security scheme asks for.
func signsIn(_ context.Context, in *openapi3filter.AuthenticationInput) error {
	r := in.RequestValidationInput.Request
	switch in.SecurityScheme.Scheme {
	case "basic":
		if user, password, ok := r.BasicAuth(); ok && user != "" && password != "" {
			return nil
		}
	case "bearer":
		if key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && key != "" {
			return nil
		}
	}
	return in.NewError(errors.New("the request does not sign in"))
}

// Request says what the provider would not take of a request, and which operation
// it calls. base is where the adapter was led ("" for the provider's own host); the
// body of r is left as it was.
func (d *Description) Request(r *http.Request, base string) (operation string, err error) {
	in, err := d.input(r, base)
	if err != nil {
		return "", err
	}
	operation = in.Route.Operation.OperationID
	if err := openapi3filter.ValidateRequest(r.Context(), in); err != nil {
		return operation, fmt.Errorf("%s: %w", operation, err)
	}
	if err := undescribed(in); err != nil {
		return operation, fmt.Errorf("%s: %w", operation, err)
	}
	return operation, nil
}

// input finds the operation of a request, on a copy that is led to the provider's host.
func (d *Description) input(r *http.Request, base string) (*openapi3filter.RequestValidationInput, error) {
	body, err := copyBody(r)
	if err != nil {
		return nil, err
	}
	c := r.Clone(r.Context())
	c.Body, c.GetBody, c.RequestURI = io.NopCloser(bytes.NewReader(body)), nil, ""
	c.ContentLength = int64(len(body))
	if base != "" {
		led, err := url.Parse(base)
		if err != nil {
			return nil, err
		}
		raw, ok := strings.CutPrefix(c.URL.EscapedPath(), strings.TrimRight(led.EscapedPath(), "/"))
		if !ok {
			return nil, errors.New("the request leads elsewhere than the base URL")
		}
		if c.URL, err = url.Parse(d.host(raw) + raw + "?" + c.URL.RawQuery); err != nil {
			return nil, err
		}
		c.Host = c.URL.Host
	}
	route, params, err := d.router.FindRoute(c)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", c.Method, c.URL.Path, err)
	}
	// The router gives the path's parts as they were escaped.
	for name, value := range params {
		if params[name], err = url.PathUnescape(value); err != nil {
			return nil, err
		}
	}
	return &openapi3filter.RequestValidationInput{Request: c, PathParams: params, Route: route, Options: d.options}, nil
}

// host gives the provider's host for a path: some paths have one of their own.
func (d *Description) host(path string) string {
	if item := d.doc.Paths.Value(path); item != nil && len(item.Servers) > 0 {
		return item.Servers[0].URL
	}
	return d.doc.Servers[0].URL
}

// copyBody reads a body and puts it back, or reads a second one where there is a way
// to: then the request stays untouched.
func copyBody(r *http.Request) ([]byte, error) {
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		return nil, nil
	case r.GetBody != nil:
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		defer body.Close()
		return io.ReadAll(body)
	}
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, err
}

// undescribed finds what kin-openapi passes over: parameters and fields of a form
// that nobody described, and those that stand twice where one is meant.
func undescribed(in *openapi3filter.RequestValidationInput) error {
	known := map[string]*openapi3.Schema{}
	for _, list := range []openapi3.Parameters{in.Route.PathItem.Parameters, in.Route.Operation.Parameters} {
		for _, p := range list {
			if p.Value.In == openapi3.ParameterInQuery {
				known[p.Value.Name] = p.Value.Schema.Value
			}
		}
	}
	query, err := url.ParseQuery(in.Request.URL.RawQuery)
	if err == nil {
		err = surplus("the query", query, known)
	}
	if err != nil || in.Request.Header.Get("Content-Type") != formType {
		return err
	}
	body, err := copyBody(in.Request)
	if err != nil {
		return err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return err
	}
	known = map[string]*openapi3.Schema{}
	for name, schema := range in.Route.Operation.RequestBody.Value.Content[formType].Schema.Value.Properties {
		known[name] = schema.Value
	}
	return surplus("the form", form, known)
}

const formType = "application/x-www-form-urlencoded"

func surplus(where string, values url.Values, known map[string]*openapi3.Schema) error {
	for name, list := range values {
		switch schema, ok := known[name]; {
		case !ok:
			return fmt.Errorf("%s has %q, which is not described", where, name)
		case len(list) > 1 && !schema.Type.Is(openapi3.TypeArray):
			return fmt.Errorf("%s has %q %d times", where, name, len(list))
		}
	}
	return nil
}

// Answer says what of an answer the provider would not give. It tells nothing of
// requests to paths that are not described.
func (d *Description) Answer(r *http.Request, base string, status int, header http.Header, body []byte) error {
	in, err := d.input(r, base)
	if err != nil {
		return nil //nolint:nilerr // a path, or a method, of somebody else
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: status, Header: header, Options: d.options}
	if err := openapi3filter.ValidateResponse(r.Context(), out.SetBodyBytes(body)); err != nil {
		return fmt.Errorf("%s, %d: %w", in.Route.Operation.OperationID, status, err)
	}
	return nil
}

// Transport lets requests through to next and fails the test for each that the
// provider would not take. base as in Request; a nil next is http.DefaultTransport.
func (d *Description) Transport(t testing.TB, base string, next http.RoundTripper) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	return described(func(r *http.Request) (*http.Response, error) {
		if _, err := d.Request(r, base); err != nil {
			t.Errorf("the provider would not take this request: %v", err)
		}
		return next.RoundTrip(r)
	})
}

type described func(*http.Request) (*http.Response, error)

func (f described) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Answers hands requests to a pretend provider and fails the test for each answer
// that the real one would not give. Paths that are not described pass.
func (d *Description) Answers(t testing.TB, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := copyBody(r)
		if err != nil {
			return // the caller went away
		}
		asked := r.Clone(r.Context()) // next reads the other
		asked.Body = io.NopCloser(bytes.NewReader(body))
		seen := &witness{ResponseWriter: w}
		next.ServeHTTP(seen, r)
		if seen.status == 0 {
			return // the connection was closed without an answer
		}
		if err := d.Answer(asked, "/", seen.status, w.Header(), seen.body.Bytes()); err != nil {
			t.Errorf("the provider would not answer this: %v", err)
		}
	})
}

// witness remembers an answer as it goes out.
type witness struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *witness) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *witness) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.body.Write(p)
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *witness) Unwrap() http.ResponseWriter { return w.ResponseWriter }
