package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels/sandbox"
	"harmonize.care/heed/gateway/api"
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
	builtin, _ := templates.Builtin().Get("appointment_reminder")
	for m, want := range map[string]string{fmt.Sprint(first["id"]): fmt.Sprint("built_in ", builtin.Version), fmt.Sprint(second["id"]): "practice 1"} {
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
	if r := rows["newsletter"]; r["origin"] != "practice" || fmt.Sprint(r["waiting"]) != "[]" {
		t.Errorf("%v", r)
	}
	if r := rows["appointment_reminder"]; r["origin"] != "built_in" || fmt.Sprint(r["waiting"]) != "[1]" || fmt.Sprint(r["languages"]) != "[en es]" || !strings.Contains(fmt.Sprint(r["channels"]), "sms") {
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

// A call says what was in force when it was placed, and the next one the newer words.
func TestOwnTextIsSpoken(t *testing.T) {
	h := start(t, nil)
	h.enrolLandline("p1", landline, "p1@patients.example", "en")
	who := h.people(map[string]auth.Role{"ana": auth.Admin, "ben": auth.Privacy})
	for _, words := range []string{"We look forward to", "We hope to see you at"} {
		h.ok("POST", "/v1/templates", ownText(t, "appointment_reminder", "This is a reminder of", words), who["ana"]...)
	}
	approve := func(version string) {
		h.t.Helper()
		h.ok("POST", "/v1/templates/appointment_reminder/versions/"+version+"/approve", nil, who["ben"]...)
	}
	approve("1")
	h.server.sandbox.SetPace(time.Second)
	h.server.sandbox.SetPhone(landline, sandbox.Phone{Takes: sandbox.ByHand})
	id := h.send(byPhone("p1"))
	ringing := ""
	eventually(t, "it rings", func() bool {
		for _, m := range h.to(landline) {
			if m.Status == "ringing" {
				ringing = m.ID
			}
		}
		return ringing != ""
	})
	approve("2")
	if !h.server.sandbox.Take(ringing, sandbox.TakesPerson) {
		t.Fatal("it does not ring any more")
	}
	h.server.sandbox.SetPace(10 * time.Millisecond)
	m := h.settles(id, "delivered")
	if call := h.called(landline, 1); !strings.Contains(call.Body, "\nWe look forward to your appointment on Wednesday, January 7") {
		t.Errorf("%q", call.Body)
	}
	if a := m["attempts"].([]any)[0].(map[string]any); a["template_origin"] != "practice" || a["template_version"] != 1.0 {
		t.Errorf("%v", a)
	}
	h.server.sandbox.SetPhone(landline, sandbox.Phone{})
	h.settles(h.send(byPhone("p1")), "delivered")
	if call := h.called(landline, 2); !strings.Contains(call.Body, "We hope to see you at your appointment") {
		t.Errorf("%q", call.Body)
	}
	for content, want := range map[string]string{"full": "press 9.\nWe hope to see you at", "voicemail": "Please call us at"} {
		p := h.ok("POST", "/v1/templates/appointment_reminder/preview", map[string]any{
			"channel": "voice", "content": content, "variables": map[string]string{"appointment_time": "2037-01-07T10:30:00-07:00", "location": "here"},
		})
		if !strings.Contains(p["text"].(string), want) {
			t.Errorf("%s: %v", content, p)
		}
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

// A variable takes as much as its kind does in a file, where the call says nothing.
func TestRoomOfAVariable(t *testing.T) {
	h := start(t, nil)
	v := h.ok("POST", "/v1/templates", map[string]any{
		"name": "parking_news", "category": "newsletter", "variables": []map[string]any{{"name": "title", "kind": "text"}, {"name": "url", "kind": "url"}},
		"source": "== en email normal and discreet\nSubject: News\n\n[{title}]\n\n== es email normal and discreet\nSubject: Noticias\n\n[{title}]\n",
	})
	for i, want := range []float64{200, 300} {
		if got := v["variables"].([]any)[i].(map[string]any)["max"]; got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

// What comes in is looked at as everywhere, and who may not write is written down.
func TestTextsAtTheEdge(t *testing.T) {
	h := start(t, nil)
	who := h.people(map[string]auth.Role{"ana": auth.Admin, "mia": auth.Marketer})
	with := func(key string, value any) map[string]any {
		m := ownText(t, "appointment_reminder")
		m[key] = value
		return m
	}
	for name, c := range map[string]struct {
		method, path string
		body         any
		want         int
		place        string
	}{
		"a control character in the texts": {"POST", "/v1/templates", with("source", "== en sms normal\na\x1b[2Jb"), 422, "body.source"},
		"a line break in a category":       {"POST", "/v1/templates", with("category", "a\nb"), 422, "body.category"},
		"NUL in a name, read":              {"GET", "/v1/templates/%00x", nil, 404, ""},
		"NUL in a variable":                {"POST", "/v1/templates/follow_up/preview", map[string]any{"variables": map[string]string{"text": "a\x00b"}}, 422, "body.variables"},
		"a number that is none":            {"POST", "/v1/templates/follow_up/versions/first/approve", nil, 404, ""},
		"a number below one":               {"POST", "/v1/templates/follow_up/versions/0/retire", nil, 404, ""},
		"a language without texts":         {"POST", "/v1/templates/follow_up/preview", map[string]any{"locale": "de", "variables": map[string]string{"text": "x"}}, 422, "body.locale"},
		"another method":                   {"GET", "/v1/templates/follow_up/versions/1/approve", nil, 405, ""},
		"a member that is none":            {"POST", "/v1/templates", with("approved", true), 422, "body"},
		"the bounces' webhook, read":       {"GET", "/webhooks/smtp/bounces", nil, 405, ""},
	} {
		a := h.call(c.method, c.path, c.body, who["ana"]...)
		if a.status != c.want || c.place != "" && !strings.Contains(string(a.raw), `"location":"`+c.place+`"`) || c.want == 405 && a.header.Get("Allow") != "POST" {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	h.call("POST", "/v1/templates", ownText(t, "appointment_reminder"), who["mia"]...)
	refusals := 0
	for _, row := range h.audits() {
		if row["verb"] == "call.refused" && row["actor"] == "mia" && row["object"] == "post-templates" {
			refusals++
		}
	}
	if refusals != 1 {
		t.Errorf("%d refusals are written down", refusals)
	}
	h.quiet()
}

// The same at the command line: whoever wrote a text there is the system's user, and
// another person has a key.
func TestTemplatesCommand(t *testing.T) {
	h := start(t, nil)
	c := h.commandLine(t)
	ben := h.people(map[string]auth.Role{"ben": auth.Privacy})["ben"]
	file := filepath.Join(t.TempDir(), "reminder.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// told is what a call that is refused so tells.
	told := func(want int, args ...string) string {
		t.Helper()
		code, out, told := c.run(append([]string{"templates"}, args...)...)
		if code != want || out != "" {
			t.Errorf("heed templates %v: %d %s %s", args, code, out, told)
		}
		return told
	}
	built := c.ok("templates", "show", "appointment_reminder")
	write(strings.ReplaceAll(built, "Reply STOP to stop.", "Reply STOP or CANCEL."))
	if told := told(refused, "add", file); !strings.Contains(told, "en sms, full: reply: ") {
		t.Errorf("%s", told)
	}
	var p cliProblem
	if err := json.Unmarshal([]byte(told(refused, "add", file, "--json")), &p); err != nil || p.Code != "template_refused" || len(p.Errors) == 0 || p.Errors[0].Location != "en sms, full" {
		t.Errorf("%v %+v", err, p)
	}
	write(built + "\x1b")
	told(usage, "add", file)
	told(failed, "add", file+".not")

	write(strings.ReplaceAll(built, "Appointment {", "See you {"))
	var v api.TemplateVersionOut
	c.json(&v, "templates", "add", file)
	if v.Version != 1 || v.Status != "draft" || v.CreatedBy != actor() {
		t.Errorf("%+v", v)
	}
	told(refused, "approve", "appointment_reminder", "1")
	if err := json.Unmarshal([]byte(told(refused, "approve", "appointment_reminder", "1", "--json")), &p); err != nil || p.Code != "same_person" {
		t.Errorf("%v %+v", err, p)
	}
	preview := []string{"templates", "preview", "appointment_reminder", "--var", "appointment_time=2037-01-07T10:30:00-07:00", "--var", "location=here"}
	if out := c.ok(preview...); strings.Contains(out, "See you") {
		t.Errorf("a draft goes out: %s", out)
	}
	if out := c.ok(append(preview, "--version", "1")...); !strings.Contains(out, "See you") {
		t.Errorf("%s", out)
	}
	if out := c.ok("templates", "list"); !strings.Contains(out, "to approve: 1") {
		t.Errorf("%s", out)
	}
	h.ok("POST", "/v1/templates/appointment_reminder/versions/1/approve", nil, ben...)
	if out := c.ok(preview...); !strings.Contains(out, "See you") {
		t.Errorf("what was approved is not what goes out: %s", out)
	}
	var rows []api.TemplateOut
	c.json(&rows, "templates", "list")
	if !slices.ContainsFunc(rows, func(r api.TemplateOut) bool {
		return r.Name == "appointment_reminder" && r.Origin == "practice" && r.Status == "in_force" && r.Version == 1 && len(r.Waiting) == 0
	}) {
		t.Errorf("%+v", rows)
	}
	if out := c.ok("templates", "show", "appointment_reminder"); !strings.Contains(out, "See you") {
		t.Errorf("%s", out)
	}

	// The other way round: a key writes, the command line approves.
	h.ok("POST", "/v1/templates", ownText(t, "appointment_reminder", "Appointment {", "Until {"), h.people(map[string]auth.Role{"ana": auth.Admin})["ana"]...)
	c.ok("templates", "approve", "appointment_reminder", "2")
	ask := map[string]any{"variables": map[string]string{"appointment_time": "2037-01-07T10:30:00-07:00", "location": "here"}}
	eventually(t, "the running gateway follows", func() bool {
		return strings.Contains(h.ok("POST", "/v1/templates/appointment_reminder/preview", ask)["text"].(string), "Until ")
	})
	told(failed, "approve", "appointment_reminder", "2")
	c.ok("templates", "retire", "appointment_reminder", "1")
	told(failed, "retire", "appointment_reminder", "1")
	told(failed, "show", "nothing")
	told(failed, "preview", "nothing")
	write(strings.Replace(built, "Name: appointment_reminder", "Name: parking_note", 1))
	c.ok("templates", "add", file)
	if told := told(failed, "preview", "parking_note"); !strings.Contains(told, "--version") {
		t.Errorf("a draft is there, and how to see it is not told: %s", told)
	}
	told(usage, "approve", "appointment_reminder", "first")
	h.quiet()
}
