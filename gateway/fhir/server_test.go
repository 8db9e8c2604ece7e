package fhir_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"harmonize.care/heed/gateway"
)

// TestRoles: who may send, and who may look.
func TestRoles(t *testing.T) {
	h := newHouse(t)
	for role, want := range map[string]struct{ send, look int }{
		"service": {200, 200}, "scheduler": {200, 200}, "admin": {200, 200}, "privacy": {403, 200}, "marketer": {403, 403}, secret: {401, 401}, "": {401, 401},
	} {
		key := "Bearer " + role
		got := h.call("POST", "/fhir", bundle("batch"), "Authorization", key)
		if got.status != want.send || want.send == 401 && got.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s may send: %d %s", role, got.status, got.raw)
		}
		if got := h.call("GET", "/fhir/Communication?subject=Patient/P1", nil, "Authorization", key); got.status != want.look {
			t.Errorf("%s may look: %d %s", role, got.status, got.raw)
		}
		if got := h.call("GET", "/fhir/metadata", nil, "Authorization", key); got.status != 200 {
			t.Errorf("%s: %d", role, got.status)
		}
		for _, kind := range []string{"CommunicationRequest", "Appointment"} {
			if got := h.call("PUT", "/fhir/"+kind+"/x", "{", "Authorization", key); (got.status == 400) != (want.send == 200) {
				t.Errorf("%s %s: %d", role, kind, got.status)
			}
		}
	}
}

func TestMetadata(t *testing.T) {
	got := newHouse(t).call("GET", "/fhir/metadata", nil)
	var c struct {
		ResourceType, FhirVersion string
		Rest                      []struct{ Resource []struct{ Type string } }
	}
	if err := json.Unmarshal([]byte(got.raw), &c); err != nil || c.ResourceType != "CapabilityStatement" || c.FhirVersion != "4.0.1" || len(c.Rest) != 1 || len(c.Rest[0].Resource) != 3 {
		t.Errorf("%v %s", err, got.raw)
	}
}

func TestForms(t *testing.T) {
	h := newHouse(t)
	for kind, status := range map[string]int{
		"application/fhir+json": 201, "application/json": 200, "application/fhir+json; charset=utf-8": 200, "application/fhir+json; fhirVersion=4.0": 200,
		"application/fhir+xml": 415, "": 415, "text/plain": 415, ";;": 415,
	} {
		if got := h.call("POST", "/fhir/CommunicationRequest", asks("r1", nil), "Content-Type", kind); got.status != status && (got.status/100 != 2 || status/100 != 2) {
			t.Errorf("%q: %d %s", kind, got.status, got.raw)
		}
	}
	for call, allow := range map[string]string{
		"GET /fhir/Patient/1": "", "POST /fhir/Patient": "", "GET /fhir/" + secret: "", "DELETE /fhir/Appointment/1": "PUT", "PATCH /fhir/CommunicationRequest/1": "PUT",
		"GET /fhir/Appointment/1": "PUT", "GET /fhir": "POST", "PUT /fhir/": "POST", "POST /fhir/Communication": "GET, HEAD", "POST /fhir/metadata": "GET, HEAD",
	} {
		status := http.StatusNotFound
		if allow != "" {
			status = http.StatusMethodNotAllowed
		}
		method, path, _ := strings.Cut(call, " ")
		if got := h.call(method, path, nil); got.status != status || got.header.Get("Allow") != allow || len(got.issues) != 1 {
			t.Errorf("%s: %d %q %s", call, got.status, got.header.Get("Allow"), got.raw)
		}
	}
}

// TestFaults: what goes wrong inside tells nothing of it.
func TestFaults(t *testing.T) {
	h := newHouse(t)
	h.dispatcher.Store = failing{h.db}
	got := h.call("POST", "/fhir/CommunicationRequest", asks("r1", nil))
	if code, _ := got.first(); got.status != http.StatusInternalServerError || code != "exception" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := h.call("POST", "/fhir/Appointment", booked("a1", nil)); got.status != http.StatusInternalServerError {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

// failing is a store whose every commit fails.
type failing struct{ gateway.Store }

func (failing) Commit(context.Context, gateway.Change) (gateway.Kept, error) {
	return gateway.Kept{}, iotest.ErrTimeout
}

// TestOfficialExamples: the examples that come with R4 are refused or taken for the
// right reason. https://hl7.org/fhir/R4/communicationrequest-examples.html
func TestOfficialExamples(t *testing.T) {
	h := newHouse(t)
	h.enrol("example", "+13035550104")
	h.enrol("1", "+13035550105")
	for name, want := range map[string]struct {
		status int
		codes  string
		words  string
	}{
		"communicationrequest-example":                       {422, "code-invalid", "no category of the policy"},
		"communicationrequest-example-fm-solicit-attachment": {422, "informational business-rule code-invalid", "to the patient that the request is about"},
		"appointment-example":                                {200, "informational", "in the past"},
		"appointment-example2docs":                           {200, "informational", "in the past"},
		"appointment-examplereq":                             {200, "informational", "does not take place"},
	} {
		t.Run(name, func(t *testing.T) {
			kind := "CommunicationRequest"
			if strings.HasPrefix(name, "appointment") {
				kind = "Appointment"
			}
			raw := example(t, name)
			got := h.call("POST", "/fhir/"+kind, raw)
			var codes []string
			for _, i := range got.issues {
				codes = append(codes, i.Code.Code())
			}
			if got.status != want.status || strings.Join(codes, " ") != want.codes || !strings.Contains(got.raw, want.words) {
				t.Errorf("%d %q: %s", got.status, codes, got.raw)
			}
			// An appointment that is still to come is reminded of, with the example as it is otherwise.
			if strings.Contains(want.words, "in the past") {
				later := strings.NewReplacer("2013-12-10T", "2026-12-10T", "2013-12-09T", "2026-12-09T").Replace(string(raw))
				got := h.call("POST", "/fhir/Appointment", later)
				if name == "appointment-example" && got.status != http.StatusCreated || name != "appointment-example" && !strings.Contains(got.raw, "location is missing") {
					t.Errorf("%d %s", got.status, got.raw)
				}
			}
		})
	}
	if m := h.messages("example"); len(m) != 2 || m[0].Body.Variables["location"] != "South Wing, second floor" || m[0].Body.Variables["clinician"] != "Dr Adam Careful" {
		t.Errorf("%+v", m)
	}
	// With a category of ours, the plain example asks for what its template can say by itself.
	with := strings.Replace(string(example(t, "communicationrequest-example")), `"status": "active"`, `"status": "active", "category": [{"text": "symptom_check_in"}]`, 1)
	if got := h.call("POST", "/fhir/CommunicationRequest", with); got.status != http.StatusCreated {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

func example(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// FuzzFHIR: whatever comes in, the answer is FHIR, never a fault, and repeats nothing.
func FuzzFHIR(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, name := range files {
		f.Add(uint8(len(name)), example(f, strings.TrimSuffix(filepath.Base(name), ".json")))
	}
	for i, o := range []object{asks("r1", nil), booked("a1", nil), synthea(1, "P1"), bundle("batch", post(asks("r1", nil)), put(booked("a1", nil)))} {
		raw, err := json.Marshal(o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), raw)
	}
	h := newHouse(f)
	h.dispatcher.Store = drops{h.db}
	paths := []string{"POST /fhir", "POST /fhir/CommunicationRequest", "POST /fhir/Appointment", "PUT /fhir/Appointment/a1"}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		method, path, _ := strings.Cut(paths[int(which)%len(paths)], " ")
		in := *h
		in.TB = t
		if got := in.call(method, path, strings.ReplaceAll(string(body), secret, "")); got.status >= 500 {
			t.Errorf("%d %s", got.status, got.raw)
		}
	})
}

// drops is a store that keeps nothing.
type drops struct{ gateway.Store }

func (drops) Commit(context.Context, gateway.Change) (gateway.Kept, error) {
	return gateway.Kept{}, nil
}
