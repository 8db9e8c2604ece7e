package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/auth"
)

// onBoth runs a test against a gateway on each database.
func onBoth(t *testing.T, test func(t *testing.T, h *heedUnderTest)) {
	t.Run("SQLite", func(t *testing.T) { test(t, start(t, nil)) })
	t.Run("PostgreSQL", func(t *testing.T) {
		server := serviceURL(t, "HEED_TEST_POSTGRES_URL")
		db, err := sql.Open("pgx", server)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		name := fmt.Sprintf("heed_edges_%x", rand.Uint64())
		if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal(err)
		}
		u.Path = "/" + name
		test(t, start(t, map[string]string{"database.url": u.String()}))
	})
}

func TestControlCharactersAreRefusedAtTheEdge(t *testing.T) {
	onBoth(t, func(t *testing.T, h *heedUnderTest) {
		h.enrol("p1", "+13035550151", "p1@patients.example")
		person := func(key, value string) map[string]any {
			return map[string]any{"birth_date": "1980-04-02", key: value}
		}
		with := func(key string, value any) map[string]any {
			m := reminder("p1")
			m[key] = value
			return m
		}
		for name, c := range map[string]struct {
			method, path string
			body         any
			want         int
		}{
			"NUL in an id, read":          {"GET", "/v1/patients/%00x", nil, 404},
			"NUL in an id, written":       {"PUT", "/v1/patients/%00x", person("given_name", "x"), 404},
			"no UTF-8 in an id, read":     {"GET", "/v1/patients/%ff", nil, 404},
			"no UTF-8 in an id, written":  {"PUT", "/v1/patients/%ff", person("given_name", "x"), 404},
			"a line break in an id":       {"PUT", "/v1/patients/a%0D%0Ab", person("given_name", "x"), 404},
			"a reference":                 {"POST", "/v1/messages", with("reference", "a\x00b"), 422},
			"a patient of a message":      {"POST", "/v1/messages", with("patient", "\x00"), 422},
			"a filter of messages":        {"GET", "/v1/messages?reference=%00", nil, 422},
			"a filter of no UTF-8":        {"GET", "/v1/messages?reference=%ff", nil, 422},
			"what is to be cancelled":     {"DELETE", "/v1/messages?reference=%00", nil, 422},
			"filters of tasks":            {"GET", "/v1/tasks?kind=%00&patient=%00", nil, 422},
			"a patient of tasks":          {"GET", "/v1/tasks?patient=%00", nil, 422},
			"a patient of stops":          {"GET", "/v1/stops?patient=%00", nil, 422},
			"a patient of a decision":     {"POST", "/v1/decisions", map[string]any{"patient": "\x00", "category": "follow_up"}, 422},
			"a name":                      {"PUT", "/v1/patients/p1", person("given_name", "a\x00"), 422},
			"a name of two lines":         {"PUT", "/v1/patients/p1", person("family_name", "a\r\nb"), 422},
			"a note":                      {"POST", "/v1/patients/p1/restrictions", map[string]any{"purpose": "operations", "note": "a\x00"}, 422},
			"evidence":                    {"POST", "/v1/stops", map[string]any{"number": "+13035550160", "program": "care", "evidence": map[string]any{"said": []any{"a\x1b[2J"}}}, 422},
			"a name of evidence":          {"POST", "/v1/stops", map[string]any{"number": "+13035550160", "program": "care", "evidence": map[string]any{"a\x00": "x"}}, 422},
			"a body that is no UTF-8":     {"POST", "/v1/decisions", "{\"patient\":\"\xff\",\"category\":\"follow_up\"}", 400},
			"a note of several lines":     {"POST", "/v1/patients/p1/restrictions", map[string]any{"purpose": "operations", "note": "one\ntwo\tthree"}, 201},
			"a reason of several lines":   {"POST", "/v1/messages", with("override", map[string]any{"reason": "one\ntwo"}), 202},
			"a name with an accent":       {"PUT", "/v1/patients/p2", person("given_name", "María 🙂"), 200},
			"a reason with a control one": {"POST", "/v1/messages", with("override", map[string]any{"reason": "one\x07two"}), 422},
		} {
			if a := h.call(c.method, c.path, c.body); a.status != c.want {
				t.Errorf("%s: %d, wanted %d: %s", name, a.status, c.want, a.raw)
			}
		}
		for _, key := range []string{"a\xffb", "a\tb"} {
			if a := h.call("POST", "/v1/messages", reminder("p1"), "Idempotency-Key", key); a.status != 422 {
				t.Errorf("the key %q: %d %s", key, a.status, a.raw)
			}
		}
		// One bad entry of a list refuses itself alone.
		list := h.call("POST", "/v1/messages", []any{reminder("p1"), with("reference", "a\x00b"), with("patient", "\x00")})
		var got []map[string]any
		if err := json.Unmarshal(list.raw, &got); err != nil || list.status != 202 || len(got) != 3 || got[0]["id"] == nil || got[1]["error"] == nil || got[2]["error"] == nil {
			t.Errorf("%d %s", list.status, list.raw)
		}
	})
}

func TestProblemsNeverRepeatWhatWasSent(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	message := reminder("p1")
	message["variables"] = map[string]any{"xiomara": 1, "appointment_time": "2037-01-07T10:30:00-07:00"}
	unknown := reminder("p1")
	unknown["variables"] = map[string]any{"xiomara": "x", "location": "x", "appointment_time": "2037-01-07T10:30:00-07:00"}
	for name, c := range map[string]struct {
		method, path string
		body         any
		want         int
		where        string
	}{
		"a member nobody knows":     {"PUT", "/v1/patients/x", map[string]any{"birth_date": "1980-04-02", "xiomara": "x"}, 422, "body"},
		"one with a dot":            {"PUT", "/v1/patients/x", map[string]any{"birth_date": "1980-04-02", "given_name.xiomara": "x"}, 422, "body.given_name"},
		"one deep inside":           {"PUT", "/v1/patients/x", `{"birth_date":"1980-04-02","addresses":[{"kind":"phone","value":"+13035550152","xiomara":1}]}`, 422, "body.addresses[0]"},
		"a variable's name":         {"POST", "/v1/messages", message, 422, "body.variables"},
		"an unknown variable":       {"POST", "/v1/messages", unknown, 422, "body.variables"},
		"a huge number":             {"PUT", "/v1/patients/x", `{"birth_date":3035550143e4000}`, 422, ""},
		"a huge rank":               {"PUT", "/v1/patients/x", `{"birth_date":"1980-04-02","addresses":[{"kind":"phone","value":"+13035550152","rank":3035550143e400}]}`, 422, ""},
		"a kind of content":         {"PUT", "/v1/patients/x", `{}`, 415, ""},
		"a name in other letters":   {"POST", "/v1/patients/p1/preferences", `{"source":"staff","choices":[{"topic":"newsletter","channel":"email","choice":"opt_out","Choice":"opt_in"}]}`, 422, "body.choices[0]"},
		"a member twice":            {"POST", "/v1/patients/p1/preferences", `{"source":"staff","choices":[{"topic":"newsletter","channel":"email","choice":"opt_out","choice":"opt_in"}]}`, 400, ""},
		"a member twice, escaped":   {"POST", "/v1/patients/p1/preferences", `{"source":"staff","unencrypted_ok":false,"\u0073ource":"web"}`, 400, ""},
		"a member twice, a message": {"POST", "/v1/messages", `{"patient":"p1","patient":"xiomara","category":"follow_up"}`, 400, ""},
	} {
		header := []string{}
		if c.want == 415 {
			header = []string{"Content-Type", "text/xiomara"}
		}
		a := h.call(c.method, c.path, c.body, header...)
		if a.status != c.want || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
		for _, told := range []string{"xiomara", "3035550", "Choice", "unmarshal", "float64"} {
			if strings.Contains(string(a.raw), told) {
				t.Errorf("%s: the answer repeats what was sent: %s", name, a.raw)
			}
		}
		if errs, _ := a.json["errors"].([]any); c.where != "" && (len(errs) == 0 || errs[0].(map[string]any)["location"] != c.where) {
			t.Errorf("%s: not told where: %s", name, a.raw)
		}
	}
	if choices := h.ok("GET", "/v1/patients/p1/preferences", nil)["choices"].([]any); len(choices) != 0 {
		t.Errorf("a choice was taken: %v", choices)
	}
}

// key makes a key with a role and gives the header that calls with it.
func (h *heedUnderTest) key(name string, role auth.Role) []string {
	h.t.Helper()
	if err := h.server.db.AddAPIKey(h.t.Context(), name, role, auth.Hash("key-of-"+name)); err != nil {
		h.t.Fatal(err)
	}
	return []string{"Authorization", "Bearer key-of-" + name}
}

func TestAnswersAreNotReplayedToOthers(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	// A key from before such names were refused.
	impostor := h.key("admin", auth.Marketer)
	idempotent := []string{"Idempotency-Key", "k1"}
	body := map[string]any{"source": "staff", "unencrypted_ok": false}
	first := h.call("POST", "/v1/patients/p1/preferences", body, idempotent...)
	if first.status != 200 {
		t.Fatal(first.status)
	}
	if a := h.call("POST", "/v1/patients/p1/preferences", body, append(impostor, idempotent...)...); a.status != 403 {
		t.Errorf("a role that may not: %d %s", a.status, a.raw)
	}
	// Nor does a role that may get the answer of a key named alike.
	clerk := h.key("other", auth.Scheduler)
	if a := h.call("POST", "/v1/patients/p1/preferences", body, append(clerk, idempotent...)...); a.status != 200 || a.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("another caller: %d %v", a.status, a.header)
	}
	if a := h.call("POST", "/v1/patients/p1/preferences", body, idempotent...); a.header.Get("Idempotent-Replayed") == "" || string(a.raw) != string(first.raw) {
		t.Errorf("the same caller: %d %s", a.status, a.raw)
	}
}

// audits reads the audit log.
func (h *heedUnderTest) audits() []map[string]any {
	h.t.Helper()
	var list []map[string]any
	for after := ""; ; {
		page := h.ok("GET", "/v1/audit?limit=500&after="+after, nil)
		for _, e := range page["entries"].([]any) {
			list = append(list, e.(map[string]any))
		}
		if page["next"] == nil {
			return list
		}
		after = page["next"].(string)
	}
}

func TestReadingIsWrittenDown(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	clerk := h.key("clerk", auth.Scheduler)
	id := h.send(reminder("p1"))
	h.settles(id, "delivered")
	patient, err := h.server.db.PatientID(t.Context(), "p1")
	if err != nil {
		t.Fatal(err)
	}
	of := fmt.Sprintf("patient:%d", patient)
	for _, c := range []struct {
		method, path, verb, object string
		body                       any
		header                     []string
	}{
		{"GET", "/v1/patients/p1", "patient.read", of, nil, clerk},
		{"GET", "/v1/patients/p1/preferences", "preferences.read", of, nil, clerk},
		{"GET", "/v1/patients/p1/messages", "messages.read", of, nil, clerk},
		{"GET", "/v1/messages/" + id, "message.read", "message:" + id, nil, clerk},
		{"GET", "/v1/messages?reference=none", "messages.read", "messages", nil, clerk},
		{"GET", "/v1/tasks", "tasks.read", "tasks", nil, clerk},
		{"GET", "/v1/stops?patient=p1", "stops.read", of, nil, clerk},
		{"GET", "/v1/stops?number=%2B13035550151", "stops.read", "stops", nil, clerk},
		{"POST", "/v1/decisions", "decision.ask", of, map[string]any{"patient": "p1", "category": "follow_up"}, clerk},
		{"GET", "/v1/patients/p1/ledger", "ledger.read", of, nil, nil},
		{"GET", "/v1/patients/p1/disclosures", "disclosures.read", of, nil, nil},
		{"GET", "/v1/patients/p1/export", "patient.export", of, nil, nil},
	} {
		before := len(h.audits())
		h.ok(c.method, c.path, c.body, c.header...)
		rows := h.audits()
		if len(rows) != before+1 {
			t.Errorf("%s %s wrote %d rows", c.method, c.path, len(rows)-before)
			continue
		}
		actor := "clerk"
		if c.header == nil {
			actor = "admin"
		}
		if last := rows[len(rows)-1]; last["verb"] != c.verb || last["object"] != c.object || last["actor"] != actor {
			t.Errorf("%s %s: %v", c.method, c.path, last)
		}
	}
	if a := h.call("GET", "/v1/patients/p1/ledger", nil, clerk...); a.status != 403 {
		t.Fatal(a.status)
	}
	rows := h.audits()
	if last := rows[len(rows)-1]; last["verb"] != "call.refused" || last["actor"] != "clerk" || last["detail"] != "ledger.read" {
		t.Errorf("a refused call: %v", last)
	}
	before := len(rows)
	if a := h.call("GET", "/v1/patients/nobody", nil); a.status != 404 || len(h.audits()) != before {
		t.Errorf("nothing was seen: %d", a.status)
	}
	h.quiet()
}

func TestWeakAnswersAreStrong(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	person := func(key string, value any) map[string]any {
		p := map[string]any{"birth_date": "1980-04-02"}
		p[key] = value
		return p
	}
	noTemplate := reminder("p1")
	delete(noTemplate, "template")
	for name, c := range map[string]struct {
		method, path string
		body         any
		want         int
	}{
		"stops of nobody":              {"GET", "/v1/stops", nil, 422},
		"stops of both":                {"GET", "/v1/stops?patient=p1&number=3035550151", nil, 422},
		"a kind that is none":          {"GET", "/v1/tasks?kind=nonsense", nil, 422},
		"a kind that is one":           {"GET", "/v1/tasks?kind=crisis", nil, 200},
		"another method":               {"POST", "/v1/patients/p1", map[string]any{}, 405},
		"another method, health":       {"DELETE", "/healthz", nil, 405},
		"a state that is none":         {"PUT", "/v1/patients/x", person("state", "ZZ"), 422},
		"a state":                      {"PUT", "/v1/patients/p3", person("state", "CO"), 200},
		"too old":                      {"PUT", "/v1/patients/x", person("birth_date", "1890-01-01"), 422},
		"a language without texts":     {"POST", "/v1/templates/follow_up/preview", map[string]any{"locale": "de", "variables": map[string]any{"text": "x"}}, 422},
		"a language with texts":        {"POST", "/v1/templates/follow_up/preview", map[string]any{"locale": "es-MX", "variables": map[string]any{"text": "x"}}, 200},
		"a message without a template": {"POST", "/v1/messages", noTemplate, 202},
	} {
		a := h.call(c.method, c.path, c.body)
		if a.status != c.want {
			t.Errorf("%s: %d, wanted %d: %s", name, a.status, c.want, a.raw)
		}
		if c.want == 405 && (a.header.Get("Allow") == "" || a.json["code"] != "method_not_allowed") {
			t.Errorf("%s: %v %s", name, a.header, a.raw)
		}
	}
	if a := h.call("POST", "/v1/patients/p1", nil); a.header.Get("Allow") != "GET, HEAD, PUT, DELETE" {
		t.Errorf("%v", a.header)
	}
	var list []map[string]any
	if err := json.Unmarshal(h.call("POST", "/v1/messages", []any{noTemplate}).raw, &list); err != nil || list[0]["id"] == nil {
		t.Errorf("%v, %v", list, err)
	}
}

func TestClosingATaskTwiceIsToldInWords(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	h.texts("+13035550151", channels.Care, "is the office open on Friday")
	var id string
	eventually(t, "a task is open", func() bool {
		tasks := h.ok("GET", "/v1/tasks", nil)["tasks"].([]any)
		if len(tasks) == 0 {
			return false
		}
		id = tasks[0].(map[string]any)["id"].(string)
		return true
	})
	h.ok("POST", "/v1/tasks/"+id+"/done", map[string]any{"outcome": "called\nback"})
	if a := h.call("POST", "/v1/tasks/"+id+"/done", map[string]any{"outcome": "again"}); a.status != 409 || a.json["code"] != "already_done" || !strings.Contains(a.json["detail"].(string), "done already") {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

func TestDescriptionIsWhole(t *testing.T) {
	h := start(t, nil)
	doc := h.call("GET", "/openapi.json", nil).json
	paths := doc["paths"].(map[string]any)
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		if paths[path] == nil {
			t.Errorf("%s is not described", path)
		}
	}
	answer := paths["/v1/messages"].(map[string]any)["post"].(map[string]any)["responses"].(map[string]any)["202"].(map[string]any)
	schema := answer["content"].(map[string]any)["application/json"].(map[string]any)["schema"].(map[string]any)
	if shapes, _ := schema["oneOf"].([]any); len(shapes) != 2 || shapes[1].(map[string]any)["items"] == nil {
		t.Errorf("the 202 of POST /v1/messages: %v", schema)
	}
}

func TestDryRunTellsWhenAReminderIsMoved(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	zone, err := time.LoadLocation("America/Denver")
	if err != nil {
		t.Fatal(err)
	}
	day := time.Now().In(zone).AddDate(0, 0, 10)
	night := time.Date(day.Year(), day.Month(), day.Day(), 23, 30, 0, 0, zone)
	ask := map[string]any{"patient": "p1", "category": "appointment_reminder", "channels": []string{"sms"}, "send_at": night, "expires_at": night.Add(6 * time.Hour)}
	d := h.ok("POST", "/v1/decisions", ask)
	if d["outcome"] != "needs_staff" || d["code"] != "too_late" {
		t.Errorf("judged at send_at: %v", d)
	}
	moved, _ := d["moved_to"].(string)
	if at, err := time.Parse(time.RFC3339, moved); err != nil || at.In(zone).Format("15:04") != "20:59" {
		t.Errorf("moved to %q", moved)
	}
	m := reminder("p1")
	m["channels"], m["send_at"], m["expires_at"], m["urgent"] = ask["channels"], night, ask["expires_at"], false
	if due := h.ok("POST", "/v1/messages", m)["due_at"]; due != moved {
		t.Errorf("taken in for %v, told %v", due, moved)
	}
	ask["send_at"], ask["expires_at"] = night.Add(-6*time.Hour), night
	if d := h.ok("POST", "/v1/decisions", ask); d["moved_to"] != nil || d["outcome"] != "send" {
		t.Errorf("in the day: %v", d)
	}
}

func TestFiguresHaveNoLabelOfTheCallers(t *testing.T) {
	h := start(t, nil)
	for _, c := range []struct{ method, path string }{{"XIOMARA", "/v1/patients/p1"}, {"XIOMARA", "/x"}, {"GET", "/xiomara"}, {"POST", "/v1/xiomara"}, {"BREW", "/metrics"}} {
		r, err := http.NewRequest(c.method, h.url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
	}
	figures := string(h.call("GET", "/metrics", nil).raw)
	for _, word := range []string{"XIOMARA", "xiomara", "BREW"} {
		if strings.Contains(figures, word) {
			t.Errorf("a caller's word is a label: %s", word)
		}
	}
	if !strings.Contains(figures, `route="unmatched"`) {
		t.Error("requests that nobody answers are not counted")
	}
}
