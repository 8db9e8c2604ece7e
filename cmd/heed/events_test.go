package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/auth"
)

// listener is another system that is told what happens. It verifies with the
// library of the standard.
type listener struct {
	*httptest.Server
	mu     sync.Mutex
	secret string
	hold   chan struct{} // not nil: calls wait for it
	raw    [][]byte      // everything that came: headers and body
	events []map[string]any
	bad    []error
}

func newListener(t testing.TB) *listener {
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(l.take))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway was killed
	}
	l.mu.Lock()
	hold, secret := l.hold, l.secret
	l.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
		return
	}
	wh, err := standardwebhooks.NewWebhook(secret)
	if err == nil {
		err = wh.Verify(body, r.Header)
	}
	var headers bytes.Buffer
	_ = r.Header.Write(&headers) // a buffer takes everything
	event := map[string]any{}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	if err != nil {
		l.bad = append(l.bad, err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	l.raw = append(l.raw, append(headers.Bytes(), body...))
	l.events = append(l.events, event)
}

func (l *listener) holds(hold chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold = hold
}

// count counts the events of a type that say all of this.
func (l *listener) count(kind string, data ...string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.events {
		said, _ := e["data"].(map[string]any)
		same := e["type"] == kind
		for i := 0; i+1 < len(data); i += 2 {
			same = same && said[data[i]] == data[i+1]
		}
		if same {
			n++
		}
	}
	return n
}

// one gives the data of the only event of a type.
func (l *listener) one(t testing.TB, kind string) map[string]any {
	t.Helper()
	eventually(t, kind, func() bool { return l.count(kind) == 1 })
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e["type"] == kind {
			return e["data"].(map[string]any)
		}
	}
	return nil
}

// register lets the gateway tell a listener.
func (h *heedUnderTest) register(l *listener, types ...string) string {
	h.t.Helper()
	body := map[string]any{"url": l.URL, "description": "the EHR"}
	if len(types) > 0 {
		body["types"] = types
	}
	a := h.ok("POST", "/v1/webhooks", body)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secret = a["secret"].(string)
	return a["id"].(string)
}

// allDelivered waits until nothing is on its way to an endpoint, and gives how many deliveries it has.
func (h *heedUnderTest) allDelivered(id string) int {
	h.t.Helper()
	n := 0
	eventually(h.t, "everything is delivered", func() bool {
		n = 0
		for after := ""; ; {
			a := h.ok("GET", "/v1/webhooks/"+id+"/deliveries?limit=500&after="+after, nil)
			list := a["deliveries"].([]any)
			for _, d := range list {
				if d.(map[string]any)["status"] != "delivered" {
					return false
				}
			}
			n += len(list)
			next, more := a["next"].(string)
			if !more {
				return n > 0
			}
			after = next
		}
	})
	return n
}

func TestEventsOfAMessageAndOfAStop(t *testing.T) {
	h, l := start(t, nil), newListener(t)
	h.register(l)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	id := h.send(reminder("p1"))
	h.settles(id, "delivered")
	eventually(t, "its way is told", func() bool {
		return l.count("message.sending", "message", id) == 1 && l.count("message.sent", "message", id) == 1 && l.count("message.delivered", "message", id) == 1
	})
	h.texts("+13035550151", channels.Care, "STOP")
	eventually(t, "the stop is told", func() bool { return l.count("preference.changed", "change", "stopped") == 1 })
	l.one(t, "reply.received")
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.bad) > 0 {
		t.Error(l.bad)
	}
	for _, e := range l.events {
		data := e["data"].(map[string]any)
		known := h.ok("GET", "/v1/events/"+data["event"].(string), nil)
		if known["type"] != e["type"] || known["patient"] != "p1" {
			t.Errorf("%v is known as %v", e, known)
		}
	}
}

func TestWebhooksOverTheAPI(t *testing.T) {
	h, l := start(t, nil), newListener(t)
	key := []string{"Idempotency-Key", "k1"}
	body := map[string]any{"url": l.URL + "/?a=1&b=2", "types": []string{"task.opened", "task.closed"}}
	first, again := h.call("POST", "/v1/webhooks", body, key...), h.call("POST", "/v1/webhooks", body, key...)
	if first.status != 201 || !bytes.Equal(first.raw, again.raw) || again.header.Get("Idempotent-Replayed") != "true" {
		t.Fatalf("%d %s\n%d %s", first.status, first.raw, again.status, again.raw)
	}
	id := first.json["id"].(string)
	l.secret = first.json["secret"].(string)
	list := h.call("GET", "/v1/webhooks", nil)
	if n := len(list.json["webhooks"].([]any)); n != 1 || strings.Contains(string(list.raw), "whsec_") {
		t.Errorf("%d endpoints: %s", n, list.raw)
	}
	if one := h.call("GET", "/v1/webhooks/"+id, nil); strings.Contains(string(one.raw), "whsec_") || one.json["url"] != body["url"] {
		t.Errorf("%s", one.raw)
	}
	event := h.ok("POST", "/v1/webhooks/"+id+"/test", nil)["event"]
	if got := l.one(t, "ping"); got["event"] != event {
		t.Errorf("%v, wanted %v", got, event)
	}
	rotated := h.call("POST", "/v1/webhooks/"+id+"/rotate", nil, "Idempotency-Key", "k2")
	if again := h.call("POST", "/v1/webhooks/"+id+"/rotate", nil, "Idempotency-Key", "k2"); !bytes.Equal(rotated.raw, again.raw) || rotated.json["secret"] == l.secret {
		t.Errorf("%s, again %s", rotated.raw, again.raw)
	}
	h.ok("POST", "/v1/webhooks/"+id+"/test", nil) // the old secret still verifies
	eventually(t, "a second ping", func() bool { return l.count("ping") == 2 })
	h.allDelivered(id)
	delivery := h.ok("GET", "/v1/webhooks/"+id+"/deliveries?status=delivered&limit=1", nil)["deliveries"].([]any)[0].(map[string]any)
	h.ok("POST", "/v1/webhooks/"+id+"/deliveries/"+delivery["id"].(string)+"/redeliver", nil)
	eventually(t, "the first ping once more", func() bool { return l.count("ping", "event", delivery["event"].(string)) == 2 })

	if off := h.ok("PATCH", "/v1/webhooks/"+id, map[string]any{"disabled": true}); off["why"] != "staff" {
		t.Errorf("%v", off)
	}
	if a := h.call("POST", "/v1/webhooks/"+id+"/test", nil); a.status != 422 {
		t.Errorf("%d %s", a.status, a.raw)
	}
	on := h.ok("PATCH", "/v1/webhooks/"+id, map[string]any{"disabled": false, "types": []string{}})
	if _, off := on["disabled_at"]; off || len(on["types"].([]any)) != 0 {
		t.Errorf("%v", on)
	}
	h.ok("DELETE", "/v1/webhooks/"+id, nil, "Idempotency-Key", "k3")
	h.ok("DELETE", "/v1/webhooks/"+id, nil, "Idempotency-Key", "k3")
	for _, path := range []string{"", "/deliveries"} {
		if a := h.call("GET", "/v1/webhooks/"+id+path, nil); a.status != 404 {
			t.Errorf("%d %s", a.status, a.raw)
		}
	}
	if verbs := string(h.call("GET", "/v1/audit?limit=500", nil).raw); strings.Count(verbs, "webhook:"+id) != 8 || strings.Contains(verbs, "127.0.0.1") {
		t.Errorf("%d entries: %s", strings.Count(verbs, "webhook:"+id), verbs)
	}
}

func TestWebhooksRefuseWhatIsWrong(t *testing.T) {
	h := start(t, nil)
	marketer := "key-of-a-marketer-0123"
	if err := h.server.db.AddAPIKey(t.Context(), "news", auth.Marketer, auth.Hash(marketer)); err != nil {
		t.Fatal(err)
	}
	service := "key-of-a-service-01234"
	if err := h.server.db.AddAPIKey(t.Context(), "ehr", auth.Service, auth.Hash(service)); err != nil {
		t.Fatal(err)
	}
	good := map[string]any{"url": "http://127.0.0.1:9/"}
	for name, c := range map[string]struct {
		method, path string
		body         any
		key          string
		want         int
	}{
		"plain http":              {"POST", "/v1/webhooks", map[string]any{"url": "http://ehr.example/hidden"}, adminKey, 422},
		"a user in it":            {"POST", "/v1/webhooks", map[string]any{"url": "https://user:hidden@ehr.example/"}, adminKey, 422},
		"no address":              {"POST", "/v1/webhooks", map[string]any{}, adminKey, 422},
		"a type nobody sends":     {"POST", "/v1/webhooks", map[string]any{"url": "https://ehr.example/", "types": []string{"hidden"}}, adminKey, 422},
		"a field nobody knows":    {"POST", "/v1/webhooks", map[string]any{"url": "https://ehr.example/", "secret": "hidden"}, adminKey, 422},
		"a status that is none":   {"GET", "/v1/webhooks/17/deliveries?status=hidden", nil, adminKey, 422},
		"an endpoint that is not": {"GET", "/v1/webhooks/17", nil, adminKey, 404},
		"a change of nothing":     {"PATCH", "/v1/webhooks/17", map[string]any{"disabled": true}, adminKey, 404},
		"a removal of nothing":    {"DELETE", "/v1/webhooks/17", nil, adminKey, 404},
		"a rotation of nothing":   {"POST", "/v1/webhooks/17/rotate", nil, adminKey, 404},
		"a test of nothing":       {"POST", "/v1/webhooks/17/test", nil, adminKey, 404},
		"a delivery of nothing":   {"POST", "/v1/webhooks/17/deliveries/18/redeliver", nil, adminKey, 404},
		"an event that is not":    {"GET", "/v1/events/17", nil, adminKey, 404},
		"an EHR's key":            {"POST", "/v1/webhooks", good, service, 403},
		"an EHR reads the list":   {"GET", "/v1/webhooks", nil, service, 403},
		"a marketer's key":        {"GET", "/v1/events/17", nil, marketer, 403},
		"an EHR reads an event":   {"GET", "/v1/events/17", nil, service, 404},
	} {
		a := h.call(c.method, c.path, c.body, "Authorization", "Bearer "+c.key)
		if a.status != c.want || strings.Contains(string(a.raw), "hidden") {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	if n := len(h.ok("GET", "/v1/webhooks", nil)["webhooks"].([]any)); n != 0 {
		t.Errorf("%d endpoints were kept", n)
	}
}

// texted gives the texts that a query of the database finds.
func (h *heedUnderTest) texted(query string) []string {
	h.t.Helper()
	writer, _ := h.server.db.SQL()
	rows, err := writer.Query(query)
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			h.t.Fatal(err)
		}
		list = append(list, text)
	}
	if err := rows.Err(); err != nil || len(list) == 0 {
		h.t.Fatalf("%d rows, %v", len(list), err)
	}
	return list
}

// TestNoEventSaysAnythingOfAnybody runs a day with every kind of word in it and looks
// for each name, number, mailbox, record number and word in everything that left.
func TestNoEventSaysAnythingOfAnybody(t *testing.T) {
	h, l := start(t, nil), newListener(t)
	endpoint := h.register(l)
	personal := []string{"Xiomara", "Okonkwo", "1980-04-02", "patients.example", "Cedar Practice", "appt-zz-77", "+1888555"}
	words := []string{"STOP", "START", "HELP", "C", "R", "wrong number", "please stop texting me zebra", "I want to end my life zebra", "CANCEL", "alto", "running late zebra", "STOPALL"}
	for i, said := range words {
		ref, digits := fmt.Sprintf("mrn-qx-%04d", i), fmt.Sprintf("303555%04d", 2100+i)
		mailbox := fmt.Sprintf("ana.%04d@patients.example", i)
		h.enrol(ref, "+1"+digits, mailbox)
		message := reminder(ref)
		message["reference"] = "appt-zz-77"
		h.settles(h.send(message), "delivered")
		h.send(map[string]any{"patient": ref, "category": "newsletter", "template": "newsletter", "variables": map[string]string{"title": "zebra", "text": "zebra"}})
		h.texts("+1"+digits, channels.Care, said)
		h.ok("POST", "/v1/patients/"+ref+"/preferences", map[string]any{"source": "staff", "choices": []map[string]any{{"topic": "marketing", "channel": "email", "choice": "opt_out"}}})
		h.ok("POST", "/v1/patients/"+ref+"/restrictions", map[string]any{"purpose": "operations", "note": "zebra"})
		h.ok("PUT", "/v1/patients/"+ref+"/confidential-communication", map[string]any{"only": []map[string]any{{"channel": "email", "address": mailbox}}, "discreet": true, "requested_on": "2026-11-01"})
		h.send(reminder(ref))
		personal = append(personal, ref, digits, mailbox)
	}
	h.server.clock.Add(24 * time.Hour)
	h.send(reminder("mrn-qx-0003"))
	for _, task := range h.ok("GET", "/v1/tasks?limit=500", nil)["tasks"].([]any) {
		h.ok("POST", "/v1/tasks/"+task.(map[string]any)["id"].(string)+"/done", map[string]any{"outcome": "zebra, called Xiomara"})
	}
	h.ok("DELETE", "/v1/patients/mrn-qx-0004", map[string]any{"reason": "request"})
	personal = append(personal, "zebra", "whsec_", adminKey)
	eventually(t, "the day is told", func() bool { return l.count("preference.changed", "change", "patient_erased") == 1 })
	n := h.allDelivered(endpoint)
	for kind, least := range map[string]int{"message.sent": 12, "message.delivered": 12, "preference.changed": 48, "task.opened": 6, "task.closed": 6, "reply.received": 12} {
		if got := l.count(kind); got < least {
			t.Errorf("%d of %s: the day was too quiet to prove anything", got, kind)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, raw := range l.raw {
		for _, p := range personal {
			if bytes.Contains(bytes.ToLower(raw), bytes.ToLower([]byte(p))) {
				t.Errorf("%q left in %s", p, raw)
			}
		}
	}
	for _, query := range []string{"SELECT data FROM happenings", "SELECT CAST(args AS TEXT) || COALESCE(CAST(errors AS TEXT), '') FROM river_job"} {
		for _, text := range h.texted(query) {
			for _, p := range append(personal, l.URL) {
				if strings.Contains(strings.ToLower(text), strings.ToLower(p)) {
					t.Errorf("%q stands in %s", p, text)
				}
			}
		}
	}
	t.Logf("%d events, %d deliveries, %d things looked for", len(l.raw), n, len(personal))
	h.quiet()
}

func TestKilledBetweenCommitAndDelivery(t *testing.T) {
	t.Setenv("HEED_EVENTS_NETWORKS", "127.0.0.0/8") // live mode calls no address of this machine by itself
	carrier := httptest.NewServer(http.NotFoundHandler())
	defer carrier.Close()
	c, l := newChild(t, carrier.URL), newListener(t)
	c.start()
	hold := make(chan struct{})
	defer close(hold)
	l.holds(hold)
	a, err := c.post("/v1/webhooks", "w", map[string]any{"url": l.URL, "types": []string{"preference.changed"}})
	if err != nil {
		t.Fatal(err)
	}
	l.secret = a["secret"].(string)
	for i := range 20 { // more than may be under way: some are being told, some wait
		if _, err := c.post(fmt.Sprintf("/v1/patients/k%d", i), fmt.Sprint("put", i), map[string]any{"birth_date": "1980-04-02"}); err != nil {
			t.Fatal(err)
		}
	}
	c.kill()
	l.holds(nil)
	c.start()
	eventually(t, "everything that was committed is told", func() bool { return l.count("preference.changed") >= 20 })
	ids := map[any]bool{}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		ids[e["data"].(map[string]any)["event"]] = true
	}
	if len(ids) != 20 || len(l.bad) > 0 {
		t.Errorf("%d events, %v", len(ids), l.bad)
	}
	c.kill()
}

func TestWebhooksCommand(t *testing.T) {
	all := settings(t, nil)
	run := func(want int, args ...string) string {
		t.Helper()
		var out, wrong bytes.Buffer
		for key, value := range all {
			args = append(args, "--set", key+"="+value)
		}
		if code := newCommand(strings.NewReader(""), &out, &wrong).run(t.Context(), append([]string{"--json"}, args...)); code != want {
			t.Fatalf("%v: %d %s", args[:2], code, wrong.String())
		}
		return out.String()
	}
	run(done, "migrate")
	var made struct{ ID, Secret string }
	if err := json.Unmarshal([]byte(run(done, "webhooks", "add", "https://ehr.example/heed", "--types", "task.opened, task.closed")), &made); err != nil || !strings.HasPrefix(made.Secret, "whsec_") {
		t.Fatalf("%v %v", made, err)
	}
	if list := run(done, "webhooks", "list"); !strings.Contains(list, made.ID) || !strings.Contains(list, "task.closed") || strings.Contains(list, "whsec_") {
		t.Error(list)
	}
	if next := run(done, "webhooks", "rotate", made.ID); !strings.Contains(next, "whsec_") || strings.Contains(next, made.Secret) {
		t.Error(next)
	}
	if none := run(done, "webhooks", "deliveries", made.ID, "--status", "dead"); strings.TrimSpace(none) != "[]" {
		t.Error(none)
	}
	run(usage, "webhooks", "add", "http://ehr.example/heed")
	run(usage, "webhooks", "deliveries", made.ID, "--status", "lost")
	run(usage, "webhooks", "rotate", "none")
	run(failed, "webhooks", "redeliver", made.ID, "17")
	run(done, "webhooks", "remove", made.ID)
	run(failed, "webhooks", "remove", made.ID)
	run(failed, "webhooks", "deliveries", made.ID)
}
