package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"harmonize.care/heed/gateway/imports"
)

// TestListsOfStopsAndChoicesBindAtOnce: what a practice's lists say holds back the next
// message of a gateway that runs meanwhile.
func TestListsOfStopsAndChoicesBindAtOnce(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	h.enrol("p2", "+13035550152", "p2@patients.example")
	c := h.commandLine(t)
	list := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newsletter := map[string]any{"patient": "p2", "category": "newsletter", "channels": []string{"email"}}
	if d := h.ok("POST", "/v1/decisions", newsletter); d["outcome"] == "suppress" {
		t.Fatalf("nothing is left to hold back: %v", d)
	}
	stops := list("stops.csv", "Mobile,Service,Status\n(303) 555-0151,care,Opted out\n303-555-0152,care,subscribed\n")
	choices := list("choices.csv", "MRN,Topic,Channel,Choice\np2,newsletter,email,unsubscribed\np2,survey,email,in\n")
	var r imports.Report
	c.json(&r, "import", "stops", stops, "--map", "Service=program")
	if r.Counts[imports.Imported] != 1 || r.Counts[imports.Rejected] != 1 || len(r.Rows) != 2 {
		t.Errorf("%+v", r)
	}
	if out := c.ok("import", "choices", choices); !strings.Contains(out, "2 lines: 1 imported, 1 rejected.") || strings.Contains(out, "p2") {
		t.Error(out)
	}
	d := h.ok("POST", "/v1/decisions", map[string]any{"patient": "p1", "category": "appointment_reminder", "channels": []string{"sms"}})
	if first := d["considered"].([]any)[0].(map[string]any); first["code"] != "stopped" {
		t.Errorf("%v", d)
	}
	if d := h.ok("POST", "/v1/decisions", newsletter); d["outcome"] != "suppress" || d["code"] != "opted_out" {
		t.Errorf("%v", d)
	}
	if out := c.ok("import", "stops", stops, "--map", "Service=program"); !strings.Contains(out, "1 unchanged, 1 rejected") {
		t.Errorf("a second run: %s", out)
	}
	if out := c.ok("import", "choices", choices); !strings.Contains(out, "1 unchanged, 1 rejected") {
		t.Errorf("a second run: %s", out)
	}
	h.quiet()
}
