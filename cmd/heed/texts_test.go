package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/templates"
)

// people gives keys to some roles, by the name of their holder.
func (h *heedUnderTest) people(roles map[string]auth.Role) map[string][]string {
	h.t.Helper()
	headers := map[string][]string{}
	for name, role := range roles {
		if err := h.server.db.AddAPIKey(h.t.Context(), name, role, auth.Hash("key-of-"+name)); err != nil {
			h.t.Fatal(err)
		}
		headers[name] = []string{"Authorization", "Bearer key-of-" + name}
	}
	return headers
}

// ownText is a request for a new version of the built-in text, with words replaced.
func ownText(t *testing.T, name string, replace ...string) map[string]any {
	t.Helper()
	d, ok := templates.Builtin().Draft(name)
	if !ok {
		t.Fatal("no such text")
	}
	return map[string]any{
		"name": d.Name, "category": d.Category, "content": d.Content, "variables": d.Variables, "source": strings.NewReplacer(replace...).Replace(d.Source),
	}
}

// An own text goes out after a second person approved it, on this replica at once and
// on others within seconds; each attempt tells which words went out.
func TestOwnTextGoesOutOnceApproved(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	who := h.people(map[string]auth.Role{"ana": auth.Admin, "ben": auth.Privacy})
	v := h.ok("POST", "/v1/templates", ownText(t, "appointment_reminder", "Appointment {", "See you {"), append(who["ana"], "Idempotency-Key", "one")...)
	if v["version"] != 1.0 || v["status"] != "draft" || v["created_by"] != "ana" {
		t.Fatalf("%v", v)
	}
	if again := h.ok("POST", "/v1/templates", ownText(t, "appointment_reminder", "Appointment {", "See you {"), append(who["ana"], "Idempotency-Key", "one")...); again["version"] != 1.0 {
		t.Errorf("the same call made another version: %v", again)
	}
	first := h.settles(h.send(reminder("p1")), "delivered")
	path := "/v1/templates/appointment_reminder/versions/1/approve"
	if a := h.call("POST", path, nil, who["ana"]...); a.status != http.StatusConflict || a.json["code"] != "same_person" {
		t.Errorf("the author approved: %d %s", a.status, a.raw)
	}
	if v := h.ok("POST", path, nil, who["ben"]...); v["status"] != "in_force" || v["approved_by"] != "ben" {
		t.Errorf("%v", v)
	}
	second := h.settles(h.send(reminder("p1")), "delivered")
	texts := h.to("+13035550151")
	if len(texts) != 2 || strings.Contains(texts[0].Body, "See you") || !strings.Contains(texts[1].Body, "See you Wed, Jan 7") {
		t.Fatalf("%+v", texts)
	}
	for m, want := range map[string]string{fmt.Sprint(first["id"]): "built_in 1", fmt.Sprint(second["id"]): "practice 1"} {
		a := h.ok("GET", "/v1/messages/"+m, nil)["attempts"].([]any)[0].(map[string]any)
		if got := fmt.Sprint(a["template_origin"], " ", a["template_version"]); got != want {
			t.Errorf("went out with %s, want %s", got, want)
		}
	}
	h.ok("POST", "/v1/templates/appointment_reminder/versions/1/retire", nil, who["ben"]...)
	h.settles(h.send(reminder("p1")), "delivered")
	if texts := h.to("+13035550151"); strings.Contains(texts[2].Body, "See you") {
		t.Errorf("retired, and it went out: %s", texts[2].Body)
	}
	var verbs []string
	for _, e := range h.ok("GET", "/v1/audit?limit=500", nil)["entries"].([]any) {
		if e := e.(map[string]any); strings.HasPrefix(e["verb"].(string), "template.") {
			verbs = append(verbs, fmt.Sprint(e["actor"], " ", e["verb"], " ", e["object"]))
		}
	}
	if got := strings.Join(verbs, ", "); got != "ana template.add template:appointment_reminder:1, ben template.approve template:appointment_reminder:1, ben template.retire template:appointment_reminder:1" {
		t.Errorf("the audit log says %s", got)
	}
	h.quiet()
}

// A name of the practice's own; only email has words, so only email is used. Once it
// is retired, an essential message that waits for it is handed to a person.
func TestOwnNameAndItsEnd(t *testing.T) {
	h := start(t, map[string]string{"providers.sendgrid.agreement": "baa"})
	h.enrol("p1", "+13035550151", "p1@patients.example")
	who := h.people(map[string]auth.Role{"ana": auth.Admin, "ben": auth.Privacy})
	text := ownText(t, "appointment_reminder")
	source := text["source"].(string)
	text["name"], text["source"] = "parking_note", source[strings.Index(source, "== en email"):]
	h.ok("POST", "/v1/templates", text, who["ana"]...)
	m := reminder("p1")
	m["template"] = "parking_note"
	if a := h.call("POST", "/v1/messages", m); a.status != http.StatusUnprocessableEntity {
		t.Fatalf("a draft was used: %d", a.status)
	}
	h.ok("POST", "/v1/templates/parking_note/versions/1/approve", nil, who["ben"]...)
	h.settles(h.send(m), "delivered")
	if len(h.to("+13035550151")) != 0 || len(h.to("p1@patients.example")) != 1 {
		t.Error("it went by a way that it has no words for")
	}
	later := reminder("p1")
	later["template"], later["urgent"], later["send_at"] = "parking_note", false, "2036-01-07T10:30:00-07:00"
	id := h.send(later)
	h.ok("POST", "/v1/templates/parking_note/versions/1/retire", nil, who["ben"]...)
	h.ok("PATCH", "/v1/messages/"+id, map[string]any{"send_at": "2020-01-07T10:30:00-07:00"})
	if got := h.settles(id, "needs_staff"); got["code"] != "no_template" {
		t.Errorf("%v", got)
	}
	if tasks := h.ok("GET", "/v1/tasks?kind=needs_staff", nil)["tasks"].([]any); len(tasks) != 1 {
		t.Errorf("%d tasks", len(tasks))
	}
	h.quiet()
}

func TestTextsAreRefusedWithTheirPlace(t *testing.T) {
	h := start(t, nil)
	who := h.people(map[string]auth.Role{"ana": auth.Admin, "mia": auth.Marketer, "sam": auth.Scheduler, "ben": auth.Privacy})
	bad := ownText(t, "appointment_reminder", "Cita el {appointment_time}.", "Terapia el {appointment_time}.")
	a := h.call("POST", "/v1/templates", bad, who["ana"]...)
	if a.status != http.StatusUnprocessableEntity || a.json["code"] != "template_refused" || !strings.Contains(string(a.raw), "es sms, full, discreet: mental_health: ") || strings.Contains(string(a.raw), "Terapia") {
		t.Errorf("%d %s", a.status, a.raw)
	}
	bad = ownText(t, "appointment_reminder")
	bad["name"] = "Not A Name"
	if a := h.call("POST", "/v1/templates", bad, who["ana"]...); a.status != http.StatusUnprocessableEntity || !strings.Contains(string(a.raw), `"body.name"`) || strings.Contains(string(a.raw), "Not A") {
		t.Errorf("%d %s", a.status, a.raw)
	}
	for _, c := range []struct {
		who, name string
		status    int
	}{
		{"sam", "newsletter", 403}, {"ben", "newsletter", 403}, {"mia", "appointment_reminder", 403}, {"mia", "newsletter", 201}, {"ana", "appointment_reminder", 201},
	} {
		if a := h.call("POST", "/v1/templates", ownText(t, c.name), who[c.who]...); a.status != c.status {
			t.Errorf("%s writes %s: %d", c.who, c.name, a.status)
		}
	}
	for _, c := range []struct {
		who, path string
		status    int
	}{
		{"mia", "newsletter/versions/1/approve", 403}, {"sam", "newsletter/versions/1/retire", 403}, {"ben", "newsletter/versions/2/approve", 404},
		{"ben", "nothing/versions/1/approve", 404}, {"ben", "newsletter/versions/1/approve", 200}, {"ana", "newsletter/versions/1/approve", 409},
	} {
		if a := h.call("POST", "/v1/templates/"+c.path, nil, who[c.who]...); a.status != c.status {
			t.Errorf("%s at %s: %d %s", c.who, c.path, a.status, a.raw)
		}
	}
	rows := map[string]map[string]any{}
	for _, row := range h.ok("GET", "/v1/templates", nil, who["sam"]...)["templates"].([]any) {
		rows[row.(map[string]any)["name"].(string)] = row.(map[string]any)
	}
	if r := rows["newsletter"]; r["origin"] != "practice" || r["waiting"] != 0.0 {
		t.Errorf("%v", r)
	}
	if r := rows["appointment_reminder"]; r["origin"] != "built_in" || r["waiting"] != 1.0 || fmt.Sprint(r["languages"]) != "[en es]" || !strings.Contains(fmt.Sprint(r["channels"]), "sms") {
		t.Errorf("%v", r)
	}
	one := h.ok("GET", "/v1/templates/appointment_reminder", nil, who["sam"]...)
	if len(one["texts"].([]any)) < 8 || len(one["versions"].([]any)) != 1 {
		t.Errorf("%v", one)
	}
	if a := h.call("GET", "/v1/templates/nothing", nil); a.status != http.StatusNotFound {
		t.Errorf("%d", a.status)
	}
	h.quiet()
}

func TestPreviewOfADraft(t *testing.T) {
	h := start(t, nil)
	h.ok("POST", "/v1/templates", ownText(t, "appointment_reminder", "Appointment {", "See you “there” {"))
	ask := map[string]any{"channel": "sms", "locale": "en", "variables": map[string]string{"appointment_time": "2037-01-07T10:30:00-07:00", "location": "12 Main Street"}}
	now := h.ok("POST", "/v1/templates/appointment_reminder/preview", ask)
	ask["version"] = 1
	then := h.ok("POST", "/v1/templates/appointment_reminder/preview", ask)
	if now["segments"] != 1.0 || now["warning"] != nil || !strings.Contains(then["text"].(string), "See you") || then["segments"].(float64) < 2 ||
		!strings.Contains(then["warning"].(string), "GSM-7") || !strings.Contains(then["warning"].(string), "billed") {
		t.Errorf("%v\n%v", now, then)
	}
	ask["channel"] = "email"
	if mail := h.ok("POST", "/v1/templates/appointment_reminder/preview", ask); !strings.Contains(mail["text"].(string), "https://heed.example/p/AAAA") {
		t.Errorf("%v", mail)
	}
	ask["version"] = 7
	if a := h.call("POST", "/v1/templates/appointment_reminder/preview", ask); a.status != http.StatusNotFound {
		t.Errorf("%d", a.status)
	}
}

// The same at the command line, by two people.
func TestTemplatesCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "reminder.txt")
	flags := []string{"--set", "database.url=sqlite:" + filepath.Join(t.TempDir(), "heed.db"), "--set", "keys.secret=" + strings.Repeat("test-secret-", 4), "--set", "http.public_url=http://127.0.0.1:1"}
	run := func(user string, want int, args ...string) string {
		t.Helper()
		t.Setenv("USER", user)
		var out, errs bytes.Buffer
		if got := exitCode(newCommand(strings.NewReader(""), &out, &errs).run(t, append(append([]string{"templates"}, args...), flags...))); got != want {
			t.Fatalf("%v ended with %d: %s %s", args, got, &out, &errs)
		}
		return out.String()
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	built := run("ana", done, "show", "appointment_reminder")
	write(strings.ReplaceAll(built, "Reply STOP to stop.", "Reply STOP or CANCEL."))
	if out := run("ana", refused, "add", file); !strings.Contains(out, "en sms, full: reply: ") {
		t.Errorf("%s", out)
	}
	write(strings.ReplaceAll(built, "Appointment {", "See you {"))
	run("ana", done, "add", file)
	run("ana", refused, "approve", "appointment_reminder", "1")
	if out := run("ben", done, "preview", "appointment_reminder", "--version", "1", "--var", "appointment_time=2037-01-07T10:30:00-07:00,location=here"); !strings.Contains(out, "See you") {
		t.Errorf("%s", out)
	}
	run("ben", done, "approve", "appointment_reminder", "1")
	var rows []templateRow
	if err := json.Unmarshal([]byte(run("ben", done, "list", "--json")), &rows); err != nil {
		t.Fatal(err)
	}
	seen := false
	for _, r := range rows {
		seen = seen || r.Name == "appointment_reminder" && r.Origin == "practice" && r.Status == "in_force" && r.Version == 1
	}
	if !seen {
		t.Errorf("%+v", rows)
	}
	if out := run("ben", done, "show", "appointment_reminder"); !strings.Contains(out, "See you") {
		t.Errorf("%s", out)
	}
	run("ana", done, "retire", "appointment_reminder", "1")
	run("ana", failed, "retire", "appointment_reminder", "1")
	run("ana", failed, "show", "nothing")
	run("ana", usage, "approve", "appointment_reminder", "first")
	run("ana", failed, "add", file+".not")
}

func (c *command) run(t *testing.T, args []string) error {
	t.Helper()
	root := c.root()
	root.SetArgs(args)
	return root.ExecuteContext(t.Context())
}
