package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/sandbox"
	"harmonize.care/heed/config"
	"harmonize.care/heed/gateway/observe"
)

const adminKey = "test-admin-key-0123456789"

// heedUnderTest is a whole gateway in sandbox mode, spoken to over HTTP. Every call
// of its API is held to its own OpenAPI description.
type heedUnderTest struct {
	t      testing.TB
	url    string
	server *server
	log    *lockedBuffer
	stop   func()
	router routers.Router
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// settings are those of a test gateway; more come on top.
func settings(t testing.TB, more map[string]string) map[string]string {
	t.Helper()
	address := freeAddress(t)
	all := map[string]string{
		"http.listen": address, "http.public_url": "http://" + address, "database.url": "sqlite:" + filepath.Join(t.TempDir(), "heed.db"),
		"auth.admin_key": adminKey, "keys.secret": strings.Repeat("test-secret-", 4), "sending.lookup_after": "500ms", "sending.unknown_after": "3s",
	}
	for k, v := range more {
		all[k] = v
	}
	return all
}

func load(t testing.TB, more map[string]string) *config.Config {
	t.Helper()
	cfg, err := config.Load(config.Source{Flags: settings(t, more)})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// start runs a gateway until the test ends.
func start(t testing.TB, more map[string]string) *heedUnderTest {
	t.Helper()
	return startWith(t, load(t, more))
}

func startWith(t testing.TB, cfg *config.Config) *heedUnderTest {
	t.Helper()
	h := &heedUnderTest{t: t, url: cfg.HTTP.PublicURL, log: &lockedBuffer{}}
	ctx, cancel := context.WithCancel(context.Background())
	up := make(chan *server, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- serve(ctx, cfg, observe.NewLog(h.log, nil), func(s *server) error {
			up <- s
			return nil
		})
	}()
	select {
	case h.server = <-up:
		h.server.sandbox.SetPace(10 * time.Millisecond) // calls go a hundred times as fast
	case err := <-ended:
		t.Fatalf("it did not start: %v", err)
	}
	var once sync.Once
	h.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("it did not end well: %v", err)
			}
			if t.Failed() {
				t.Log(h.log.String())
			}
		})
	}
	t.Cleanup(h.stop)
	eventually(t, "ready", func() bool {
		r, err := http.Get(h.url + "/readyz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	h.describe()
	return h
}

// describe loads the gateway's own description of its API.
func (h *heedUnderTest) describe() {
	h.t.Helper()
	r, err := http.Get(h.url + "/openapi.json")
	if err != nil {
		h.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(body)
	if err != nil {
		h.t.Fatalf("the description cannot be read: %v", err)
	}
	if err := doc.Validate(context.Background(), openapi3.DisableExamplesValidation()); err != nil {
		h.t.Fatalf("the description is not valid: %v", err)
	}
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", openapi3filter.PlainBodyDecoder)
	doc.Servers = openapi3.Servers{{URL: h.url}}
	if h.router, err = gorillamux.NewRouter(doc); err != nil {
		h.t.Fatal(err)
	}
}

// answer is what a call came to.
type answer struct {
	status int
	header http.Header
	raw    []byte
	json   map[string]any
}

// call speaks to the API; body may be a string of raw JSON or anything that marshals.
func (h *heedUnderTest) call(method, path string, body any, header ...string) answer {
	h.t.Helper()
	var raw []byte
	switch b := body.(type) {
	case nil:
	case string:
		raw = []byte(b)
	default:
		var err error
		if raw, err = json.Marshal(b); err != nil {
			h.t.Fatal(err)
		}
	}
	request := func() *http.Request {
		r, err := http.NewRequest(method, h.url+path, bytes.NewReader(raw))
		if err != nil {
			h.t.Fatal(err)
		}
		if raw != nil {
			r.Header.Set("Content-Type", "application/json")
		}
		r.Header.Set("Authorization", "Bearer "+adminKey)
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	r, err := http.DefaultClient.Do(request())
	if err != nil {
		h.t.Fatal(err)
	}
	defer r.Body.Close()
	a := answer{status: r.StatusCode, header: r.Header}
	if a.raw, err = io.ReadAll(r.Body); err != nil {
		h.t.Fatal(err)
	}
	_ = json.Unmarshal(a.raw, &a.json) // a list, or nothing, stays raw
	if strings.HasPrefix(path, "/v1/") {
		h.hold(request(), a)
	}
	return a
}

// hold checks an answer, and the request of a good one, against the description.
func (h *heedUnderTest) hold(r *http.Request, a answer) {
	h.t.Helper()
	route, params, err := h.router.FindRoute(r)
	if err != nil {
		if a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed {
			h.t.Errorf("%s %s is not described, and answered %d", r.Method, r.URL.Path, a.status)
		}
		return
	}
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: &openapi3filter.Options{
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true,
	}}
	if a.status < 300 {
		if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
			h.t.Errorf("%s %s was taken although it breaks the description: %v", r.Method, route.Path, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.status, Header: a.header, Options: in.Options}
	out.SetBodyBytes(a.raw)
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		h.t.Errorf("the answer of %s %s breaks the description: %v", r.Method, route.Path, err)
	}
}

// ok is call for one that must succeed.
func (h *heedUnderTest) ok(method, path string, body any, header ...string) map[string]any {
	h.t.Helper()
	a := h.call(method, path, body, header...)
	if a.status >= 300 {
		h.t.Fatalf("%s %s: %d %s", method, path, a.status, a.raw)
	}
	return a.json
}

// enrol puts a patient on file.
func (h *heedUnderTest) enrol(id, phone, email string) {
	h.t.Helper()
	h.ok("PUT", "/v1/patients/"+id, map[string]any{
		"given_name": "Xiomara", "family_name": "Okonkwo", "birth_date": "1980-04-02", "locale": "en", "time_zone": "America/Denver",
		"addresses": []map[string]any{{"kind": "phone", "value": phone, "line_type": "mobile"}, {"kind": "email", "value": email}},
	})
}

func reminder(patient string) map[string]any {
	return map[string]any{
		"patient": patient, "category": "appointment_reminder", "template": "appointment_reminder", "urgent": true,
		"variables": map[string]string{"appointment_time": "2037-01-07T10:30:00-07:00", "location": "Cedar Practice"},
	}
}

// send takes one message in and gives its id.
func (h *heedUnderTest) send(body map[string]any) string {
	h.t.Helper()
	return h.ok("POST", "/v1/messages", body)["id"].(string)
}

// settles waits until a message has one of the statuses.
func (h *heedUnderTest) settles(id string, statuses ...string) map[string]any {
	h.t.Helper()
	var m map[string]any
	defer func() {
		if h.t.Failed() {
			h.t.Logf("%v", m)
		}
	}()
	eventually(h.t, fmt.Sprintf("message is %v", statuses), func() bool {
		m = h.ok("GET", "/v1/messages/"+id, nil)
		for _, s := range statuses {
			if m["status"] == s {
				return true
			}
		}
		return false
	})
	return m
}

// to lists what the pretend carrier took for an address.
func (h *heedUnderTest) to(address string) []sandbox.Message {
	var list []sandbox.Message
	for _, m := range h.server.sandbox.Messages() {
		if !m.Inbound && m.To == address {
			list = append(list, m)
		}
	}
	return list
}

// texts plays a person who texts a program, and waits until the text was taken in.
func (h *heedUnderTest) texts(from string, program channels.Program, body string) {
	h.t.Helper()
	h.server.sandbox.Reply(from, h.server.cfg.Programs[program].SMSFrom, body, false)
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	eventuallyUntil(t, time.Now().Add(2*time.Minute), what, ok)
}

func eventuallyUntil(t testing.TB, end time.Time, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Until(end))
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatal("never: " + what)
		case <-tick.C:
		}
	}
}

// serviceURL gives a service's address, or skips the test.
func serviceURL(t testing.TB, name string) string {
	t.Helper()
	url := os.Getenv(name)
	if url == "" {
		t.Skip(name + " is not set; `make test` starts the service and sets it")
	}
	return url
}
