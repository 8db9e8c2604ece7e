package fhir_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/gateway/fhir"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/cache"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// house is a practice's database with FHIR in front of it.
type house struct {
	testing.TB
	db         *store.DB
	intake     *intake.Service
	dispatcher *dispatch.Dispatcher
	handler    http.Handler
	clock      time.Time
}

var denver = mustZone("America/Denver")

func mustZone(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return zone
}

// secret stands in every value that no answer may repeat.
const secret = "Zanzibar"

// newHouse opens a database on Monday, 2 November 2026, 10:00 in Denver, with the
// patients P1 and P2 of a phone and a mailbox each.
func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{TB: t, clock: time.Date(2026, 11, 2, 10, 0, 0, 0, denver)}
	now := func() time.Time { return h.clock }
	ids := &gateway.IDs{Now: now, Rand: rand.Uint64}
	var err error
	if h.db, err = store.Open(context.Background(), store.Options{
		URL: "sqlite:" + filepath.Join(t.TempDir(), "heed.db"), Secret: []byte(strings.Repeat("s", 32)), Now: now, NewID: ids.New,
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.db.Close(); err != nil {
			t.Error(err)
		}
	})
	p, err := policy.New(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	c := cache.NewMemory(10_000, time.Minute)
	fence := &gateway.Fence{Store: h.db, Now: now, Lease: 5 * time.Second, Pause: func(ctx context.Context) error { return ctx.Err() }}
	h.intake = &intake.Service{Store: h.db, Cache: c, Fence: fence, Policy: p, Now: now, NewID: ids.New, Wake: func() {}}
	h.dispatcher = &dispatch.Dispatcher{
		Store: h.db, Cache: c, Fence: fence, Policy: p, Templates: templates.Builtin, Now: now, NewID: ids.New, Wake: func() {}, Lease: 5 * time.Second,
		Identity: templates.Identity{DiscreetName: "Lakeside", TimeZone: "America/Denver"},
	}
	h.handler = (&fhir.Server{
		Store: h.db, Dispatcher: h.dispatcher, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), PublicURL: "https://heed.example", Version: "test",
		Who: func(_ context.Context, authorization string) (auth.Caller, error) {
			role := auth.Role(strings.TrimPrefix(authorization, "Bearer "))
			if !slices.Contains(auth.Roles, role) {
				return auth.Caller{}, gateway.ErrNotFound
			}
			return auth.Caller{ID: "key of " + string(role), Name: string(role), Role: role}, nil
		},
	}).Handler()
	h.enrol("P1", "+13035550101")
	h.enrol("P2", "+13035550102")
	return h
}

func (h *house) enrol(ref, phone string) {
	h.Helper()
	if _, err := h.intake.Put(context.Background(), "test", ref, intake.Contact{
		Record: gateway.Record{BirthDate: "1980-04-02", TimeZone: "America/Denver"},
		Addresses: []intake.ContactAddress{
			{Kind: channels.Phone, Value: phone, Line: preferences.Mobile, Rank: 1}, {Kind: channels.Mailbox, Value: strings.ToLower(ref) + "@patients.example", Rank: 2},
		},
	}); err != nil {
		h.Fatal(err)
	}
}

// said is an answer.
type said struct {
	status  int
	header  http.Header
	raw     string
	issues  []r4.OperationOutcomeIssue
	bundle  r4.Bundle
	message r4.Communication
}

// call makes a call as an EHR; more headers come in pairs.
func (h *house) call(method, path string, body any, header ...string) said {
	h.Helper()
	var raw []byte
	switch b := body.(type) {
	case nil:
	case string:
		raw = []byte(b)
	case []byte:
		raw = b
	default:
		var err error
		if raw, err = json.Marshal(b); err != nil {
			h.Fatal(err)
		}
	}
	r := httptest.NewRequest(method, path, strings.NewReader(string(raw)))
	r.Header.Set("Authorization", "Bearer service")
	r.Header.Set("Content-Type", "application/fhir+json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	s := said{status: w.Code, header: w.Header(), raw: w.Body.String()}
	if got := w.Header().Get("Content-Type"); got != "application/fhir+json; charset=utf-8" {
		h.Errorf("%s %s: content type %q", method, path, got)
	}
	var kind struct{ ResourceType string }
	if err := json.Unmarshal(w.Body.Bytes(), &kind); err != nil {
		h.Fatalf("%s %s: %v", method, path, err)
	}
	var err error
	switch kind.ResourceType {
	case "OperationOutcome":
		var o r4.OperationOutcome
		o, err = r4.UnmarshalOperationOutcome(w.Body.Bytes())
		s.issues = o.Issue
		if len(o.Issue) == 0 {
			h.Errorf("%s %s: an OperationOutcome without an issue", method, path)
		}
	case "Bundle":
		s.bundle, err = r4.UnmarshalBundle(w.Body.Bytes())
	case "Communication":
		s.message, err = r4.UnmarshalCommunication(w.Body.Bytes())
	}
	if err != nil {
		h.Errorf("%s %s: %v", method, path, err)
	}
	if strings.Contains(s.raw, secret) {
		h.Errorf("%s %s: a value is repeated: %s", method, path, s.raw)
	}
	return s
}

// first gives the code and the element of the first issue.
func (s said) first() (code, path string) {
	if len(s.issues) == 0 {
		return "", ""
	}
	if e := s.issues[0].Expression; len(e) > 0 {
		path = e[0]
	}
	return s.issues[0].Code.Code(), path
}

// object is JSON in the making.
type object = map[string]any

type list = []any

// asks is a CommunicationRequest in force, with changes on top; nil takes one away.
func asks(id string, changes object) object {
	o := object{
		"resourceType": "CommunicationRequest", "id": id, "status": "active", "subject": object{"reference": "Patient/P1"},
		"category": list{object{"coding": list{object{"system": "https://harmonize.care/heed/category", "code": "follow_up"}}}},
		"payload":  list{object{"contentString": "Please call us."}},
	}
	return changed(o, changes)
}

// booked is an Appointment on Friday, 6 November 2026, 14:30, with changes on top.
func booked(id string, changes object) object {
	o := object{
		"resourceType": "Appointment", "id": id, "status": "booked", "start": "2026-11-06T14:30:00-07:00", "end": "2026-11-06T15:20:00-07:00",
		"participant": list{
			object{"actor": object{"reference": "Patient/P1"}, "status": "accepted"},
			object{"actor": object{"reference": "Practitioner/7", "display": "Dr. Lee"}, "status": "accepted"},
			object{"actor": object{"reference": "Location/1", "display": "Denver office"}, "status": "accepted"},
		},
	}
	return changed(o, changes)
}

func changed(o, changes object) object {
	for k, v := range changes {
		if o[k] = v; v == nil {
			delete(o, k)
		}
	}
	return o
}

func (h *house) messages(reference string) []gateway.Message {
	h.Helper()
	list, err := h.db.Messages(context.Background(), gateway.MessageFilter{Reference: reference, Limit: 1000})
	if err != nil {
		h.Fatal(err)
	}
	return list
}

// of lists every message of a patient.
func (h *house) of(ref string) []gateway.Message {
	h.Helper()
	id, err := h.db.PatientID(context.Background(), ref)
	if err != nil {
		h.Fatal(err)
	}
	list, err := h.db.Messages(context.Background(), gateway.MessageFilter{Patient: id, Limit: 5000})
	if err != nil {
		h.Fatal(err)
	}
	return list
}

// waiting lists the moments of the reminders that wait for an appointment.
func (h *house) waiting(reference string) []string {
	h.Helper()
	list := []string{}
	for _, m := range h.messages(reference) {
		if m.Status == gateway.Waiting {
			list = append(list, m.Body.Slot+" "+m.Due.In(denver).Format("01/02 15:04"))
		}
	}
	return list
}

// becomes moves a waiting message to a status.
func (h *house) becomes(id int64, to gateway.Status, code string) {
	h.Helper()
	kept, err := h.db.Commit(context.Background(), gateway.Change{At: h.clock, Actor: "test", Steps: []gateway.Step{{Message: id, From: gateway.Waiting, To: to, Code: code}}})
	if err != nil || len(kept.Refused) > 0 {
		h.Fatalf("%v %+v", err, kept.Refused)
	}
}

// statuses tells the status and code of every message under a reference.
func (h *house) statuses(reference string) []string {
	h.Helper()
	got := []string{}
	for _, m := range h.messages(reference) {
		got = append(got, strings.TrimSpace(m.Status.Name(m.Due, h.clock)+" "+m.Code))
	}
	return got
}

func (h *house) expect(got []string, want ...string) {
	h.Helper()
	if !slices.Equal(got, want) {
		h.Errorf("got %q; want %q", got, want)
	}
}
