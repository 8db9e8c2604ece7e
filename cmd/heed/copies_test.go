package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/api"
)

// TestAPatientsCopyHoldsEverything fills everything that is kept of a patient and asks
// for the copy, by HTTP and at the command line, and for the accounting of disclosures.
func TestAPatientsCopyHoldsEverything(t *testing.T) {
	h := start(t, nil)
	const phone, mailbox = "+13035550151", "p1@patients.example"
	h.enrol("p1", phone, mailbox)
	h.ok("POST", "/v1/patients/p1/preferences", map[string]any{
		"source": "staff", "evidence": map[string]any{"how": "at the desk"}, "choices": []map[string]any{{"topic": "newsletter", "channel": "email", "choice": "opt_out"}},
	})
	h.ok("POST", "/v1/stops", map[string]any{"number": phone, "program": "marketing", "evidence": map[string]any{"how": "on the phone"}})
	sent := h.send(reminder("p1"))
	h.settles(sent, "sent", "delivered")
	h.texts(phone, channels.Care, "may I bring <my> sister Quenby?")
	eventually(t, "a task", func() bool { return len(h.ok("GET", "/v1/tasks?patient=p1", nil)["tasks"].([]any)) > 0 })

	a := h.call("GET", "/v1/patients/p1/export", nil)
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v %s", a.status, a.header, a.raw)
	}
	var e api.ExportOut
	if err := json.Unmarshal(a.raw, &e); err != nil {
		t.Fatalf("%v in %s", err, a.raw)
	}
	if e.Patient.ID != "p1" || e.Patient.GivenName != "Xiomara" || len(e.Patient.Addresses) != 2 || len(e.Preferences.Choices) != 1 {
		t.Errorf("%+v %+v", e.Patient, e.Preferences)
	}
	if len(e.Stops) != 1 || e.Stops[0].Number != phone || e.Stops[0].Evidence["how"] != "on the phone" {
		t.Errorf("stops: %+v", e.Stops)
	}
	said := ""
	for _, entry := range e.Ledger {
		said += entry.Said + entry.Event.Text + "\n"
	}
	for _, want := range []string{"The contact record was written.", "Opted out of newsletter on email.", "Stopped marketing at " + phone, "Quenby"} {
		if !strings.Contains(said, want) {
			t.Errorf("the ledger lacks %q:\n%s", want, said)
		}
	}
	if len(e.Messages) == 0 || e.Messages[0].ID != sent || e.Messages[0].Variables["location"] != "Cedar Practice" || e.Messages[0].AskedBy == "" ||
		len(e.Messages[0].Decisions) == 0 || len(e.Messages[0].Attempts) == 0 || len(e.Messages[0].Events) == 0 {
		t.Errorf("messages: %+v", e.Messages)
	}
	if len(e.Tasks) != 1 || !strings.Contains(e.Tasks[0].Quote, "<my> sister Quenby") || e.Tasks[0].May != nil {
		t.Errorf("tasks: %+v", e.Tasks)
	}
	h.accounts(e.Disclosures, sent, phone)
	h.tabulated(&e)
	h.copies(t)
	h.quiet()
}

// tabulated holds that the table has a row for each thing of the document, and of the
// copy that the table itself is.
func (h *heedUnderTest) tabulated(e *api.ExportOut) {
	h.t.Helper()
	a := h.call("GET", "/v1/patients/p1/export?format=csv", nil)
	rows, err := csv.NewReader(bytes.NewReader(a.raw)).ReadAll()
	want := 1 + 2 + len(e.Stops) + len(e.Ledger) + len(e.Messages) + len(e.Tasks) + len(e.Disclosures) + 1
	if err != nil || a.header.Get("Content-Type") != "text/csv" || len(rows) != want || rows[1][0] != "patient" || rows[1][1] != "p1" {
		h.t.Fatalf("%d rows, wanted %d: %v %s", len(rows), want, err, a.raw)
	}
	for _, row := range rows[1:] {
		if !json.Valid([]byte(row[4])) || strings.ContainsAny(row[3][:min(1, len(row[3]))], "=+-@") {
			h.t.Errorf("a row: %q", row)
		}
	}
	if a := h.call("GET", "/v1/patients/p1/export?format=pdf", nil); a.status != http.StatusUnprocessableEntity {
		h.t.Errorf("as a PDF: %d", a.status)
	}
}

// TestACopyIsWrittenPageByPage: everything once and in order, however many pages; one that
// breaks off says so.
func TestACopyIsWrittenPageByPage(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	var many []any
	for i := range 130 {
		m := reminder("p1")
		m["urgent"], m["send_at"], m["reference"] = false, "2036-12-01T18:00:00Z", strconv.Itoa(i)
		many = append(many, m)
	}
	if a := h.call("POST", "/v1/messages", many); a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	var e api.ExportOut
	if a := h.call("GET", "/v1/patients/p1/export", nil); json.Unmarshal(a.raw, &e) != nil || len(e.Messages) != 130 {
		t.Fatalf("%d of 130 messages", len(e.Messages))
	}
	for i, m := range e.Messages {
		if m.Reference != strconv.Itoa(i) {
			t.Fatalf("%s stands at %d", m.Reference, i)
		}
	}
	view := h.server.view()
	id, err := h.server.patientID(t.Context(), "p1")
	if err != nil {
		t.Fatal(err)
	}
	for _, asTable := range []bool{false, true} {
		x, err := view.Export(t.Context(), id, "p1")
		if err != nil {
			t.Fatal(err)
		}
		pages, broken := 0, errors.New("the caller is gone")
		x.Paged = func() error {
			if pages++; pages == 3 {
				return broken
			}
			return nil
		}
		write := x.Write
		if asTable {
			write = x.WriteCSV
		}
		var out bytes.Buffer
		if err := write(t.Context(), &out); !errors.Is(err, broken) || pages != 3 || json.Valid(out.Bytes()) {
			t.Errorf("%v after %d pages: %d bytes", err, pages, out.Len())
		}
	}
}

// accounts holds that a list of disclosures tells of the message, and of the copy last.
func (h *heedUnderTest) accounts(list []api.DisclosureOut, sent, phone string) {
	h.t.Helper()
	if len(list) < 2 {
		h.t.Fatalf("disclosures: %+v", list)
	}
	d, last := list[0], list[len(list)-1]
	if d.What != "message" || d.Message != sent || d.To != phone || d.Provider != "twilio" || d.ProviderID == "" || d.Channel != "sms" ||
		d.Category != "appointment_reminder" || d.Purpose != "treatment" || d.AddressState != "ok" || d.Content != "full" || d.At.IsZero() {
		h.t.Errorf("%+v", d)
	}
	if last.What != "copy" || last.TakenBy != "admin" {
		h.t.Errorf("the last: %+v", last)
	}
}

// copies asks for the same at the command line, and by those who may not ask.
func (h *heedUnderTest) copies(t *testing.T) {
	t.Helper()
	c := h.commandLine(t)
	file := filepath.Join(t.TempDir(), "copy.json")
	c.ok("patient", "export", "p1", "--out", file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	text, err := os.ReadFile(file)
	var e api.ExportOut
	if err != nil || json.Unmarshal(text, &e) != nil || len(e.Messages) == 0 || e.Patient.ID != "p1" {
		t.Errorf("%v %s", err, text)
	}
	if code, _, told := c.run("patient", "export", "p1", "--out", file); code != failed || !strings.Contains(told, "--out") {
		t.Errorf("over a file that is there: %d %s", code, told)
	}
	other := filepath.Join(filepath.Dir(file), "other.json")
	if code, _, _ := c.run("patient", "export", "nobody", "--out", other); code != failed {
		t.Errorf("of nobody: %d", code)
	}
	if _, err := os.Stat(other); !os.IsNotExist(err) && err != fs.ErrNotExist {
		t.Errorf("a file was left: %v", err)
	}
	if out := c.ok("patient", "export", "p1"); json.Unmarshal([]byte(out), &e) != nil || len(e.Disclosures) < 5 {
		t.Errorf("%s", out)
	}
	var list []api.DisclosureOut
	c.json(&list, "patient", "disclosures", "p1")
	if copies := list[len(list)-4:]; copies[0].TakenBy != "admin" || !strings.HasPrefix(copies[3].TakenBy, "cli") {
		t.Errorf("%+v", list)
	}
	if out := c.ok("patient", "disclosures", "p1"); !strings.Contains(out, "went by sms to +13035550151 through twilio") {
		t.Error(out)
	}
	first := h.ok("GET", "/v1/patients/p1/disclosures?limit=1", nil)
	rest := h.ok("GET", "/v1/patients/p1/disclosures?limit=100&after="+first["next"].(string), nil)
	if len(first["disclosures"].([]any)) != 1 || len(rest["disclosures"].([]any)) != len(list)-1 || rest["next"] != nil {
		t.Errorf("%v %v", first, rest)
	}
	verbs := map[string]int{}
	for _, row := range h.ok("GET", "/v1/audit?limit=500", nil)["entries"].([]any) {
		verbs[row.(map[string]any)["verb"].(string)]++
	}
	if verbs["patient.export"] != 4 || verbs["disclosures.read"] != 4 {
		t.Errorf("the audit log: %v", verbs)
	}
}

// TestOnlyPrivacyTakesCopies: a copy of everything, and the accounting, are for whoever
// answers for privacy.
func TestOnlyPrivacyTakesCopies(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	c := h.commandLine(t)
	for _, role := range []string{"scheduler", "marketer", "service", "privacy"} {
		var key struct{ Key string }
		c.json(&key, "keys", "add", "k-"+role, "--role", role)
		want := http.StatusForbidden
		if role == "privacy" {
			want = http.StatusOK
		}
		for _, path := range []string{"/v1/patients/p1/export", "/v1/patients/p1/disclosures"} {
			if a := h.call("GET", path, nil, "Authorization", "Bearer "+key.Key); a.status != want {
				t.Errorf("%s as %s: %d", path, role, a.status)
			}
		}
	}
	if a := h.call("GET", "/v1/patients/nobody/export", nil); a.status != http.StatusNotFound {
		t.Errorf("of nobody: %d %s", a.status, a.raw)
	}
}

// TestACopyTellsNothingOfWhoeverSharesTheNumber: what another person wrote, and the
// evidence of their stop, is not in the copy.
func TestACopyTellsNothingOfWhoeverSharesTheNumber(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	h.texts("+13035550151", channels.Care, "my sister Quenby says hello")
	eventually(t, "a task", func() bool { return len(h.ok("GET", "/v1/tasks?patient=p1", nil)["tasks"].([]any)) > 0 })
	h.enrol("p2", "+13035550151", "p2@patients.example")
	h.ok("POST", "/v1/stops", map[string]any{"number": "+13035550151", "program": "marketing", "evidence": map[string]any{"who": "Dana Whitlock"}})
	for _, ref := range []string{"p1", "p2"} {
		a := h.call("GET", "/v1/patients/"+ref+"/export", nil)
		for _, word := range []string{"Quenby", "Whitlock"} {
			if a.status != http.StatusOK || strings.Contains(string(a.raw), word) {
				t.Errorf("the copy of %s tells %q: %d %s", ref, word, a.status, a.raw)
			}
		}
	}
	h.ok("DELETE", "/v1/patients/p1", map[string]any{"reason": "request"})
	a := h.call("GET", "/v1/patients/p1/export", nil)
	if a.status != http.StatusOK || strings.Contains(string(a.raw), "5550151") || strings.Contains(string(a.raw), "Xiomara") {
		t.Errorf("of somebody erased: %d %s", a.status, a.raw)
	}
}

// forgetful cannot tell what left the gateway.
type forgetful struct{ gateway.Store }

func (forgetful) Disclosures(context.Context, int64, time.Time, int64, int) ([]gateway.Disclosure, error) {
	return nil, errors.New("the disk is full")
}

// TestHalfACopyIsNoCopy: where a fault comes in the middle, the connection is cut.
func TestHalfACopyIsNoCopy(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	a := h.server.api()
	a.Store = forgetful{h.server.db}
	front := httptest.NewServer(a.Handler())
	defer front.Close()
	r, err := http.NewRequest(http.MethodGet, front.URL+"/v1/patients/p1/export", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	answer, err := front.Client().Do(r)
	if err == nil {
		_, err = io.ReadAll(answer.Body)
		answer.Body.Close()
	}
	if err == nil {
		t.Error("it passes for a whole one")
	}
	if !strings.Contains(h.log.String(), "an export broke off") {
		t.Error("the log says nothing")
	}
	h.quiet()
}
