package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/auth"
)

// oneTask waits for the one open task of a kind.
func (h *heedUnderTest) oneTask(kind string) (id string, task map[string]any) {
	h.t.Helper()
	eventually(h.t, "a task "+kind, func() bool {
		list := h.tasksOf(kind)
		if len(list) != 1 {
			return false
		}
		id = list[0]["id"].(string)
		return true
	})
	return id, h.ok("GET", "/v1/tasks/"+id, nil)
}

// onlyMay gives what may be done about a task of one person.
func onlyMay(t *testing.T, task map[string]any) map[string]any {
	t.Helper()
	list, _ := task["may"].([]any)
	if len(list) != 1 {
		t.Fatalf("%v", task)
	}
	return list[0].(map[string]any)
}

func TestATaskIsClosedWithAStop(t *testing.T) {
	h, l := start(t, nil).settled(), newListener(t)
	h.register(l, "task.opened", "task.closed", "preference.changed", "reply.understood")
	h.enrol("p1", texter, "p1@patients.example")
	clerk := h.key("clerk", auth.Scheduler)
	h.texts(texter, channels.Care, "please leave me alone")
	h.texts(texter, channels.Care, "so then I took the bus home")
	id, task := h.oneTask("reply")
	if task["may"] == nil || task["patient"] != "p1" || len(task["outcomes"].([]any)) != 4 {
		t.Fatalf("%v", task)
	}
	// Somebody lifts the stop that was read from free text; the reply is read as a stop.
	stop, _ := h.oneTask("free_text_stop")
	no := h.call("POST", "/v1/tasks/"+stop+"/done", map[string]any{"outcome": "was_not_a_stop"}, clerk...)
	if no.status != 422 || no.json["errors"].([]any)[0].(map[string]any)["location"] != "body.note" || !h.stopped(texter).Has(channels.Care) {
		t.Errorf("without evidence: %d %s", no.status, no.raw)
	}
	h.ok("POST", "/v1/tasks/"+stop+"/done", map[string]any{"outcome": "was_not_a_stop", "note": "Patient said on the phone: texts are fine."}, clerk...)
	if h.stopped(texter) != channels.SetOf(channels.Marketing) {
		t.Errorf("still stopped: %v", h.stopped(texter).List())
	}
	for name, body := range map[string]map[string]any{
		"another kind's": {"outcome": "meant_stop"}, "nobody's": {"outcome": "was_a_stopp"}, "no message": {"outcome": "confirmed", "message": "x"},
		"another message": {"outcome": "confirmed", "message": "17"}, "no patient": {"outcome": "was_a_stop", "patient": "nobody"},
		"tomorrow": {"outcome": "was_a_stop", "said_at": h.server.now().Add(24 * time.Hour)}, "nothing": {"outcome": ""}, "a field": {"outcome": "read", "notes": "x"},
	} {
		if a := h.call("POST", "/v1/tasks/"+id+"/done", body, clerk...); a.status != 422 {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	if h.stopped(texter).Has(channels.Care) || h.ok("GET", "/v1/tasks/"+id, nil)["done_at"] != nil {
		t.Error("bad input changed something")
	}
	key := append([]string{"Idempotency-Key", "k1"}, clerk...)
	body := map[string]any{"outcome": "was_a_stop", "note": "Patient said on the phone: no more."}
	first := h.call("POST", "/v1/tasks/"+id+"/done", body, key...)
	if first.status != 200 || !h.stopped(texter).Has(channels.Care) {
		t.Fatalf("%d %s", first.status, first.raw)
	}
	if again := h.call("POST", "/v1/tasks/"+id+"/done", body, key...); again.status != 200 || string(again.raw) != string(first.raw) {
		t.Errorf("the same key: %d %s", again.status, again.raw)
	}
	if again := h.call("POST", "/v1/tasks/"+id+"/done", body, clerk...); again.status != 409 || again.json["code"] != "already_done" {
		t.Errorf("no key: %d %s", again.status, again.raw)
	}
	closed := h.ok("GET", "/v1/tasks/"+id, nil)
	if closed["outcome"] != "was_a_stop" || closed["note"] != body["note"] || closed["done_by"] != "clerk" || closed["may"] != nil || closed["outcomes"] != nil {
		t.Errorf("%v", closed)
	}
	var evidence map[string]any
	stops := 0
	for _, e := range h.ok("GET", "/v1/patients/p1/ledger", nil)["entries"].([]any) {
		if e := e.(map[string]any); e["kind"] == "stopped" && e["source"] == "staff" {
			evidence, _ = e["evidence"].(map[string]any)
			stops++
			if e["actor"] != "clerk" {
				t.Errorf("%v", e)
			}
		}
	}
	if stops != 1 || evidence["task"] != id || evidence["outcome"] != "was_a_stop" || evidence["note"] != body["note"] {
		t.Errorf("%d stops, evidence %v", stops, evidence)
	}
	eventually(t, "its closing is told", func() bool { return l.count("task.closed", "task", id, "code", "was_a_stop") == 1 })
	h.wroteDown("clerk", "task.done", "task:"+id, "was_a_stop")
	h.wroteDown("admin", "task.read", "task:"+id, "")
	h.quiet()
}

// wroteDown holds that the audit log has a row.
func (h *heedUnderTest) wroteDown(actor, verb, object, detail string) {
	h.t.Helper()
	for _, row := range h.audits() {
		said, _ := row["detail"].(string)
		if row["actor"] == actor && row["verb"] == verb && row["object"] == object && strings.Contains(said, detail) {
			return
		}
	}
	h.t.Errorf("%s %s %s %s is not written down", actor, verb, object, detail)
}

func TestATaskSaysWhatMayStillBeDone(t *testing.T) {
	h := start(t, map[string]string{"practice.discreet_name": "Your provider"})
	h.enrol("p1", texter, "p1@patients.example")
	c := h.commandLine(t)
	h.ok("PUT", "/v1/patients/p1/confidential-communication", map[string]any{"only": []any{}, "discreet": true})
	message := h.send(reminder("p1"))
	h.settles(message, "needs_staff")
	id, task := h.oneTask("needs_staff")
	may := onlyMay(t, task)
	call := may["calls"].([]any)[0].(map[string]any)
	if may["call"] != false || may["code"] != "confidential_only" || may["letter"] != true || may["discreet"] != true || may["content"] != "minimal" ||
		call["number"] != texter || call["verdict"] != "refused" || task["decision"].(map[string]any)["outcome"] != "needs_staff" {
		t.Errorf("%v", task)
	}
	for _, args := range [][]string{{"tasks", "show", id}, {"tasks", "list"}} {
		text := c.ok(args...)
		if !strings.Contains(text, "nobody may be called. The patient asked to be reached only in certain ways") || strings.Contains(text, "call "+texter) ||
			!strings.Contains(text, "a letter may be posted") || !strings.Contains(text, "“Your provider”") {
			t.Errorf("%v: %s", args, text)
		}
	}
	// By call, and in spite of a stop of the machines.
	h.ok("PUT", "/v1/patients/p1/confidential-communication", map[string]any{"only": []any{map[string]any{"channel": "voice", "address": texter}}, "discreet": true})
	h.ok("POST", "/v1/stops", map[string]any{"number": texter, "program": "care", "evidence": map[string]any{"call": "x"}})
	task = h.ok("GET", "/v1/tasks/"+id, nil)
	may = onlyMay(t, task)
	call = may["calls"].([]any)[0].(map[string]any)
	if may["call"] != true || may["letter"] != false || call["verdict"] != "allowed" || call["mind"].([]any)[0].(map[string]any)["code"] != "stopped" {
		t.Errorf("%v", task)
	}
	if text := c.ok("tasks", "show", id); !strings.Contains(text, "call "+texter+" by hand") || !strings.Contains(text, "reached_by_phone") {
		t.Errorf("%s", text)
	}
	h.wroteDown("admin", "task.read", "task:"+id, "patient:")
	// What stood against it is gone: Heed would send it now.
	h.ok("DELETE", "/v1/patients/p1/confidential-communication", nil)
	if d := h.ok("GET", "/v1/tasks/"+id, nil)["decision"].(map[string]any); d["outcome"] != "send" || d["channel"] != "email" {
		t.Errorf("%v", d)
	}
	c.ok("tasks", "done", id, "--outcome", "reached_by_phone", "--note", "Told her the time.")
	if events := h.events(message); !strings.Contains(events, "reached_by_phone") {
		t.Errorf("the message does not say what came of it: %s", events)
	}
	if text := c.ok("tasks", "list", "--done"); !strings.Contains(text, `"reached_by_phone", "Told her the time."`) {
		t.Errorf("%s", text)
	}
	h.quiet()
}

func TestNobodyIsToldWhoSharesAPhone(t *testing.T) {
	h := start(t, nil).settled()
	h.enrol("p1", texter, "p1@patients.example")
	h.enrol("p2", texter, "p2@patients.example")
	ids := map[string]string{}
	for i, p := range []string{"p1", "p2"} {
		body := reminder(p)
		body["channels"] = []string{"sms"}
		body["variables"] = map[string]string{"appointment_time": fmt.Sprintf("2037-01-0%dT10:30:00-07:00", 7+i), "location": "Cedar Practice"}
		ids[p] = h.send(body)
		h.settles(ids[p], "delivered")
	}
	before := len(h.to(texter))
	h.texts(texter, channels.Care, "C")
	id, task := h.oneTask("reply")
	if task["heard"] != "confirmed" || task["patient"] != nil || len(task["may"].([]any)) != 2 {
		t.Errorf("%v", task)
	}
	for _, m := range task["may"].([]any) {
		m := m.(map[string]any)
		fits := m["messages"].([]any)[0].(map[string]any)
		if fits["id"] != ids[m["patient"].(string)] || fits["appointment_at"] == nil || m["calls"].([]any)[0].(map[string]any)["shared"] != true {
			t.Errorf("%v", m)
		}
	}
	eventually(t, "it is answered", func() bool { return len(h.to(texter)) > before })
	for _, m := range h.to(texter)[before:] {
		if strings.Contains(m.Body, "Xiomara") || strings.Contains(m.Body, "10:30") {
			t.Errorf("the answer says who has an appointment: %q", m.Body)
		}
	}
	if a := h.call("POST", "/v1/tasks/"+id+"/done", map[string]any{"outcome": "confirmed"}); a.status != 422 {
		t.Errorf("%d %s", a.status, a.raw)
	}
	h.ok("POST", "/v1/tasks/"+id+"/done", map[string]any{"outcome": "confirmed", "message": ids["p2"]})
	if strings.Contains(h.events(ids["p1"]), "confirmed") || !strings.Contains(h.events(ids["p2"]), "confirmed") {
		t.Errorf("%s; %s", h.events(ids["p1"]), h.events(ids["p2"]))
	}
	h.quiet()
}

func TestTasksAreAssigned(t *testing.T) {
	h := start(t, nil).settled()
	h.enrol("p1", texter, "p1@patients.example")
	c := h.commandLine(t)
	h.texts(texter, channels.Care, "is the office open on Friday")
	id, _ := h.oneTask("reply")
	count := func(query string) int { return len(h.ok("GET", "/v1/tasks?"+query, nil)["tasks"].([]any)) }
	if got := h.ok("POST", "/v1/tasks/"+id+"/assign", map[string]any{"assignee": "Dana Lee"}); got["assignee"] != "Dana Lee" {
		t.Errorf("%v", got)
	}
	if count("assignee="+url.QueryEscape("Dana Lee")) != 1 || count("assignee=lee") != 0 || count("unassigned=true") != 0 || count("overdue=true") != 0 {
		t.Error("the filters")
	}
	if text := c.ok("tasks", "list", "--assignee", "Dana Lee"); !strings.Contains(text, "assigned to Dana Lee") {
		t.Errorf("%s", text)
	}
	if got := h.ok("DELETE", "/v1/tasks/"+id+"/assign", nil); got["assignee"] != nil || count("unassigned=true") != 1 {
		t.Errorf("%v", got)
	}
	c.ok("tasks", "assign", id, "--to", "lee")
	if count("assignee=lee") != 1 {
		t.Error("the command line did not assign it")
	}
	c.ok("tasks", "unassign", id)
	for name, call := range map[string]struct {
		path string
		body any
		want int
	}{
		"nobody":        {"/v1/tasks/" + id + "/assign", map[string]any{"assignee": ""}, 422},
		"a long name":   {"/v1/tasks/" + id + "/assign", map[string]any{"assignee": strings.Repeat("x", 65)}, 422},
		"a control":     {"/v1/tasks/" + id + "/assign", map[string]any{"assignee": "a\nb"}, 422},
		"no such task":  {"/v1/tasks/17/assign", map[string]any{"assignee": "lee"}, 404},
		"no task's id":  {"/v1/tasks/x/assign", map[string]any{"assignee": "lee"}, 404},
		"none to close": {"/v1/tasks/17/done", map[string]any{"outcome": "read"}, 404},
	} {
		if a := h.call("POST", call.path, call.body); a.status != call.want {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	h.ok("POST", "/v1/tasks/"+id+"/done", map[string]any{"outcome": "read"})
	if a := h.call("POST", "/v1/tasks/"+id+"/assign", map[string]any{"assignee": "lee"}); a.status != 409 || a.json["code"] != "already_done" {
		t.Errorf("one that is done: %d %s", a.status, a.raw)
	}
	if code, _, told := c.run("tasks", "assign", id, "--to", "lee"); code != failed || !strings.Contains(told, "no open task") {
		t.Errorf("%d %s", code, told)
	}
	for _, args := range [][]string{{"tasks", "assign", id}, {"tasks", "show", "x"}, {"tasks", "done", id, "--outcome", "read", "--said-at", "noon"}, {"tasks", "done", id, "--outcome", "read", "--message", "x"}} {
		if code, _, told := c.run(args...); code != usage {
			t.Errorf("%v: %d %s", args, code, told)
		}
	}
	if code, _, told := c.run("tasks", "show", "17"); code != failed || !strings.Contains(told, "no task has this id") {
		t.Errorf("%d %s", code, told)
	}
	h.wroteDown("admin", "task.assign", "task:"+id, "Dana Lee")
	h.wroteDown("admin", "task.unassign", "task:"+id, "")
	marketer := h.key("marketer", auth.Marketer)
	for _, path := range []string{"/v1/tasks/" + id, "/v1/tasks"} {
		if a := h.call("GET", path, nil, marketer...); a.status != 403 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

func TestOverdueTasksAreToldOfUntilTheyAreDone(t *testing.T) {
	h, l := start(t, nil).settled(), newListener(t)
	h.register(l, "task.overdue")
	h.enrol("p1", texter, "p1@patients.example")
	h.texts(texter, channels.Care, "is the office open on Friday")
	id, task := h.oneTask("reply")
	if task["overdue"] != false || task["told"] != nil {
		t.Errorf("%v", task)
	}
	figure := func(name string) string {
		r, err := http.Get(h.url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		for line := range strings.Lines(string(body)) {
			if value, ok := strings.CutPrefix(line, name+" "); ok {
				return strings.TrimSpace(value)
			}
		}
		return ""
	}
	if figure("heed_tasks_overdue") != "0" {
		t.Errorf("%q are overdue", figure("heed_tasks_overdue"))
	}
	told := func(n int) {
		t.Helper()
		eventually(t, fmt.Sprintf("it is told %d times", n), func() bool { return l.count("task.overdue", "task", id) == n })
		if got := h.ok("GET", "/v1/tasks/"+id, nil); got["told"] != float64(n) || got["overdue"] != true || got["told_at"] == nil {
			t.Errorf("%v", got)
		}
	}
	h.server.clock.Add(49 * time.Hour)
	told(1)
	if l.count("task.overdue", "kind", "reply") != 1 || figure("heed_tasks_overdue") != "1" || len(h.ok("GET", "/v1/tasks?overdue=true", nil)["tasks"].([]any)) == 0 {
		t.Errorf("%q are overdue", figure("heed_tasks_overdue"))
	}
	h.server.clock.Add(5 * time.Hour)
	told(2)
	if !strings.Contains(h.log.String(), "a task is overdue") {
		t.Error("the log does not tell")
	}
	l.mu.Lock()
	for _, raw := range l.raw {
		for _, word := range []string{"303555", "p1", "office"} {
			if strings.Contains(string(raw), word) {
				t.Errorf("an event says %q: %s", word, raw)
			}
		}
	}
	l.mu.Unlock()
	h.ok("POST", "/v1/tasks/"+id+"/done", map[string]any{"outcome": "answered"})
	h.quiet()
}
