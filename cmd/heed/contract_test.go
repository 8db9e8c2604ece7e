package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/auth"
)

func TestBadInputIsToldAndChangesNothing(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	person := func(key string, value any) map[string]any {
		p := map[string]any{"birth_date": "1980-04-02", "addresses": []map[string]any{{"kind": "phone", "value": "+13035550152"}}}
		p[key] = value
		return p
	}
	phones := func(value string) any { return []map[string]any{{"kind": "phone", "value": value}} }
	message := func(key string, value any) map[string]any {
		m := reminder("p1")
		m[key] = value
		return m
	}
	vars := func(name, value string) any {
		return map[string]string{"appointment_time": "2037-01-07T10:30:00-07:00", "location": "x", name: value}
	}
	secret := "+442071838750"
	for name, c := range map[string]struct {
		method, path string
		body         any
		want         int
	}{
		"not JSON":                      {"PUT", "/v1/patients/x", "{not json", 400},
		"not JSON, messages":            {"POST", "/v1/messages", "{not json", 400},
		"an array where an object goes": {"PUT", "/v1/patients/x", "[]", 422},
		"a megabyte":                    {"PUT", "/v1/patients/x", `{"birth_date":"` + strings.Repeat("9", 1<<20) + `"}`, 413},
		"an unknown field":              {"PUT", "/v1/patients/x", person("nonsense", secret), 422},
		"an unknown field of a message": {"POST", "/v1/messages", message("nonsense", secret), 422},
		"too short a number":            {"PUT", "/v1/patients/x", person("addresses", phones("12345")), 422},
		"a foreign number":              {"PUT", "/v1/patients/x", person("addresses", phones(secret)), 422},
		"a Canadian number":             {"PUT", "/v1/patients/x", person("addresses", phones("+14165550143")), 422},
		"no mailbox":                    {"PUT", "/v1/patients/x", person("addresses", []map[string]any{{"kind": "email", "value": "not an address"}}), 422},
		"a header in a mailbox":         {"PUT", "/v1/patients/x", person("addresses", []map[string]any{{"kind": "email", "value": "a@b.example\r\nBcc: c@d.example"}}), 422},
		"no birth date":                 {"PUT", "/v1/patients/x", map[string]any{"addresses": phones("+13035550152")}, 422},
		"an impossible birth date":      {"PUT", "/v1/patients/x", person("birth_date", "1980-02-30"), 422},
		"a birth date to come":          {"PUT", "/v1/patients/x", person("birth_date", "2180-02-01"), 422},
		"a zone that is none":           {"PUT", "/v1/patients/x", person("time_zone", "America/Nowhere"), 422},
		"a path for a zone":             {"PUT", "/v1/patients/x", person("time_zone", "../../etc/passwd"), 422},
		"a wrong enum":                  {"PUT", "/v1/patients/x", person("addresses", []map[string]any{{"kind": "fax", "value": "+13035550152"}}), 422},
		"a number that stands twice":    {"PUT", "/v1/patients/x", person("addresses", []map[string]any{{"kind": "phone", "value": "+13035550152"}, {"kind": "phone", "value": "(303) 555-0152"}}), 422},
		"a message to nobody":           {"POST", "/v1/messages", reminder("nobody"), 404},
		"no such category":              {"POST", "/v1/messages", message("category", "no_such"), 422},
		"no such template":              {"POST", "/v1/messages", message("template", "no_such"), 422},
		"a template of another":         {"POST", "/v1/messages", message("template", "newsletter"), 422},
		"a time that is none":           {"POST", "/v1/messages", message("send_at", "2026-13-40"), 422},
		"an end before the start":       {"POST", "/v1/messages", message("expires_at", "2001-01-01T00:00:00Z"), 422},
		"a variable nobody knows":       {"POST", "/v1/messages", message("variables", vars("nonsense", "x")), 422},
		"a variable is missing":         {"POST", "/v1/messages", message("variables", map[string]string{"location": "x"}), 422},
		"a header in a variable":        {"POST", "/v1/messages", message("variables", vars("location", "x\r\nBcc: a@b.example")), 422},
		"a variable that is too long":   {"POST", "/v1/messages", message("variables", vars("location", strings.Repeat("x", 5000))), 422},
		"a channel that is none":        {"POST", "/v1/messages", message("channels", []string{"fax"}), 422},
		"an override of nothing":        {"POST", "/v1/messages", message("override", map[string]string{"reason": ""}), 422},
		"no messages":                   {"POST", "/v1/messages", "[]", 422},
		"a dry run of no category":      {"POST", "/v1/decisions", map[string]any{"patient": "p1", "category": "no_such"}, 422},
		"a choice of no topic":          {"POST", "/v1/patients/p1/preferences", map[string]any{"source": "staff", "choices": []map[string]any{{"topic": "no_such", "channel": "sms", "choice": "opt_out"}}}, 422},
		"an opt-out of the essential":   {"POST", "/v1/patients/p1/preferences", map[string]any{"source": "staff", "choices": []map[string]any{{"topic": "follow_up", "channel": "sms", "choice": "opt_out"}}}, 422},
		"a yes without evidence":        {"POST", "/v1/patients/p1/preferences", map[string]any{"source": "staff", "choices": []map[string]any{{"topic": "marketing", "channel": "sms", "choice": "opt_in", "consent": "written"}}}, 422},
		"a source that is none":         {"POST", "/v1/patients/p1/preferences", map[string]any{"source": "rumour"}, 422},
		"all channels declined":         {"POST", "/v1/patients/p1/preferences", map[string]any{"source": "staff", "care_channels": map[string]any{"declined": []string{"sms", "voice", "email"}}}, 422},
		"an authorization without end":  {"POST", "/v1/patients/p1/authorizations", map[string]any{"category": "sponsored_marketing", "signed_on": "2026-01-01", "evidence": map[string]string{"paper": "1"}}, 422},
		"a restriction of nothing":      {"POST", "/v1/patients/p1/restrictions", map[string]any{"note": "x"}, 422},
		"a stop of no program":          {"POST", "/v1/stops", map[string]any{"number": "+13035550151", "program": "no_such"}, 422},
		"a lift without evidence":       {"POST", "/v1/stops/lift", map[string]any{"number": "+13035550151", "program": "care", "evidence": map[string]string{}, "consented_on": "2026-01-01"}, 422},
		"a task that is none":           {"POST", "/v1/tasks/17/done", map[string]any{"outcome": "done"}, 404},
		"a message's id that is none":   {"GET", "/v1/messages/none", nil, 404},
		"a cursor that is none":         {"GET", "/v1/tasks?after=none", nil, 422},
		"a page that is too long":       {"GET", "/v1/tasks?limit=100000", nil, 422},
		"a path nobody knows":           {"GET", "/v1/nothing", nil, 404},
		"SQL in an id":                  {"GET", "/v1/patients/" + url.PathEscape("p1' OR '1'='1"), nil, 404},
		"SQL in a reference":            {"DELETE", "/v1/messages?reference=" + url.QueryEscape("x'; DROP TABLE messages; --"), nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			before := h.ok("GET", "/v1/patients/p1", nil)["version"]
			a := h.call(c.method, c.path, c.body)
			if a.status != c.want {
				t.Fatalf("%d, wanted %d: %s", a.status, c.want, a.raw)
			}
			if c.want >= 400 {
				if a.header.Get("Content-Type") != "application/problem+json" || a.json["code"] == "" || a.json["detail"] == "" {
					t.Errorf("no problem document: %v %s", a.header, a.raw)
				}
				for _, told := range []string{secret, "12345", "not an address", "Nowhere", "no_such", "nonsense\":\""} {
					if strings.Contains(string(a.raw), told) {
						t.Errorf("the answer repeats what was sent: %s", a.raw)
					}
				}
			}
			if x := h.call("GET", "/v1/patients/x", nil); x.status != 404 {
				t.Error("something was kept")
			}
			if after := h.ok("GET", "/v1/patients/p1", nil)["version"]; after != before {
				t.Error("the patient was changed")
			}
		})
	}
	if n := len(h.server.sandbox.Messages()); n != 0 {
		t.Errorf("%d messages went out", n)
	}
	h.quiet()
}

// quiet holds that the log says nothing of anybody.
func (h *heedUnderTest) quiet() {
	h.t.Helper()
	log := h.log.String()
	for _, word := range []string{"Xiomara", "Okonkwo", "303555", "patients.example", "442071838750", `"p1"`, "/p1", "Bcc"} {
		if i := strings.Index(log, word); i >= 0 {
			h.t.Errorf("the log says %q: …%s…", word, log[max(0, i-100):min(len(log), i+100)])
		}
	}
}

func TestTextIsOnlyText(t *testing.T) {
	h := start(t, nil)
	hostile := `{{.Identity}} <script>alert(1)</script> ' OR 1=1; -- ${x} %s`
	h.ok("PUT", "/v1/patients/p1", map[string]any{
		"birth_date": "1980-04-02", "given_name": hostile, "family_name": hostile,
		"addresses": []map[string]any{{"kind": "email", "value": "p1@patients.example"}},
	})
	if got := h.ok("GET", "/v1/patients/p1", nil)["given_name"]; got != hostile {
		t.Errorf("%q", got)
	}
	h.settles(h.send(map[string]any{"patient": "p1", "category": "newsletter", "template": "newsletter", "variables": map[string]string{"title": hostile, "text": hostile}}), "delivered")
	mail := h.to("p1@patients.example")[0]
	if strings.Contains(mail.HTML, "<script>") || !strings.Contains(mail.Body, "{{.Identity}}") {
		t.Errorf("%s\n%s", mail.Body, mail.HTML)
	}
}

func TestIdempotencyKeyOnEveryWrite(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	for name, c := range map[string]struct {
		method, path string
		body, other  any
	}{
		"put":         {"PUT", "/v1/patients/p2", map[string]any{"birth_date": "1980-04-02"}, map[string]any{"birth_date": "1981-04-02"}},
		"prefer":      {"POST", "/v1/patients/p1/preferences", map[string]any{"source": "staff", "unencrypted_ok": false}, map[string]any{"source": "web"}},
		"restrict":    {"POST", "/v1/patients/p1/restrictions", map[string]any{"purpose": "operations"}, map[string]any{"purpose": "payment"}},
		"stop":        {"POST", "/v1/stops", map[string]any{"number": "+13035550160", "program": "care"}, map[string]any{"number": "+13035550160", "program": "all"}},
		"send":        {"POST", "/v1/messages", reminder("p1"), map[string]any{}},
		"send a list": {"POST", "/v1/messages", []any{reminder("p1"), reminder("nobody")}, []any{reminder("nobody")}},
	} {
		t.Run(name, func(t *testing.T) {
			key := []string{"Idempotency-Key", "k-" + name}
			var answers sync.Map
			var calls sync.WaitGroup
			for range 8 {
				calls.Go(func() {
					a := h.call(c.method, c.path, c.body, key...)
					answers.Store(fmt.Sprintf("%d %s", a.status, a.raw), true)
				})
			}
			calls.Wait()
			n := 0
			answers.Range(func(k, _ any) bool {
				n++
				if !strings.HasPrefix(k.(string), "20") {
					t.Errorf("%s", k)
				}
				return true
			})
			if n != 1 {
				t.Errorf("%d different answers to one key", n)
			}
			if a := h.call(c.method, c.path, c.other, key...); a.status != http.StatusConflict || a.json["code"] != "idempotency_conflict" {
				t.Errorf("another body: %d %s", a.status, a.raw)
			}
		})
	}
	if r := h.ok("GET", "/v1/patients/p1/preferences", nil)["restrictions"].([]any); len(r) != 1 {
		t.Errorf("%v", r)
	}
	// Only answers of success are kept: after a mistake the key is free.
	if a := h.call("POST", "/v1/messages", reminder("nobody"), "Idempotency-Key", "again"); a.status != 404 {
		t.Fatal(a.status)
	}
	if a := h.call("POST", "/v1/messages", reminder("p1"), "Idempotency-Key", "again"); a.status != 202 {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

func TestRoles(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	keys := map[auth.Role]string{}
	for _, role := range auth.Roles {
		keys[role] = "key-of-" + string(role)
		if err := h.server.db.AddAPIKey(t.Context(), string(role), role, auth.Hash(keys[role])); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		method, path string
		body         any
		allowed      []auth.Role
	}{
		{"GET", "/v1/patients/p1", nil, []auth.Role{auth.Scheduler, auth.Privacy, auth.Service}},
		{"GET", "/v1/patients/p1/ledger", nil, []auth.Role{auth.Privacy}},
		{"GET", "/v1/patients/p1/messages", nil, []auth.Role{auth.Scheduler, auth.Privacy, auth.Service}},
		{"POST", "/v1/messages", reminder("p1"), []auth.Role{auth.Scheduler, auth.Service}},
		{"POST", "/v1/decisions", map[string]any{"patient": "p1", "category": "marketing"}, []auth.Role{auth.Scheduler, auth.Privacy, auth.Service}},
		{"POST", "/v1/patients/p1/restrictions", map[string]any{"purpose": "operations"}, []auth.Role{auth.Privacy}},
		{"GET", "/v1/tasks", nil, []auth.Role{auth.Scheduler, auth.Privacy}},
		{"GET", "/v1/templates", nil, []auth.Role{auth.Scheduler, auth.Privacy, auth.Service, auth.Marketer}},
		{"GET", "/v1/campaigns", nil, []auth.Role{auth.Marketer, auth.Privacy}},
		{"POST", "/v1/campaigns/12/start", nil, []auth.Role{auth.Marketer}},
		{"POST", "/v1/campaigns/12/approve", nil, []auth.Role{auth.Marketer, auth.Privacy}},
		{"POST", "/v1/campaigns/12/audience", nil, []auth.Role{auth.Marketer}},
		{"GET", "/v1/campaigns/12/recipients/p1", nil, []auth.Role{auth.Scheduler, auth.Privacy, auth.Service}},
		{"DELETE", "/v1/patients/p9", map[string]any{"reason": "request"}, []auth.Role{auth.Privacy}},
	} {
		for _, role := range auth.Roles {
			a := h.call(c.method, c.path, c.body, "Authorization", "Bearer "+keys[role])
			may := role == auth.Admin
			for _, r := range c.allowed {
				may = may || r == role
			}
			if (a.status != http.StatusForbidden) != may {
				t.Errorf("%s %s as %s: %d", c.method, c.path, role, a.status)
			}
		}
	}
	for _, header := range []string{"", "Bearer ", "Bearer wrong", "Basic " + adminKey, "Bearer " + strings.Repeat("x", 10000)} {
		if a := h.call("GET", "/v1/patients/p1", nil, "Authorization", header); a.status != http.StatusUnauthorized {
			t.Errorf("%.20q: %d", header, a.status)
		}
	}
	if err := h.server.db.RevokeAPIKey(t.Context(), "service"); err != nil {
		t.Fatal(err)
	}
	if a := h.call("GET", "/v1/patients/p1", nil, "Authorization", "Bearer "+keys[auth.Service]); a.status != http.StatusUnauthorized {
		t.Errorf("a revoked key: %d", a.status)
	}
}

func TestForgedAndReplayedWebhooks(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	for path, body := range map[string]string{
		"/webhooks/twilio/sms":      "MessageSid=SM1&From=%2B13035550151&To=%2B18885550101&Body=STOP",
		"/webhooks/twilio/status":   "MessageSid=SM1&MessageStatus=delivered",
		"/webhooks/smtp/bounces":    "Content-Type: multipart/report; report-type=delivery-status\r\n\r\n",
		"/webhooks/sendgrid/events": `[{"event":"spamreport","email":"p1@patients.example","sg_event_id":"1"}]`,
	} {
		for _, signature := range []string{"", "AAAA", "not base64!"} {
			r, _ := http.NewRequest("POST", h.url+path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("X-Twilio-Signature", signature)
			r.Header.Set("X-Twilio-Email-Event-Webhook-Signature", signature)
			r.Header.Set("X-Twilio-Email-Event-Webhook-Timestamp", "1700000000")
			got, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			got.Body.Close()
			if got.StatusCode != http.StatusForbidden {
				t.Errorf("%s signed %q: %d", path, signature, got.StatusCode)
			}
		}
	}
	if d := h.decision("p1", "appointment_reminder"); d["channel"] != "sms" {
		t.Errorf("a forged webhook changed something: %v", d)
	}
	h.texts("+13035550151", channels.Care, "STOP")
	eventually(t, "the stop is in force", func() bool { return h.decision("p1", "appointment_reminder", "sms")["code"] == "stopped" })
	h.quiet()
}

func TestDescriptionNamesEveryContractCall(t *testing.T) {
	h := start(t, nil)
	var doc struct {
		OpenAPI string                                `json:"openapi"`
		Paths   map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(h.call("GET", "/openapi.json", nil).raw, &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("%v %s", err, doc.OpenAPI)
	}
	names := regexp.MustCompile(`\{[^}]+\}`)
	have := map[string]bool{}
	for path, calls := range doc.Paths {
		for method := range calls {
			have[strings.ToUpper(method)+" "+names.ReplaceAllString(path, "{}")] = true
		}
	}
	for _, want := range []string{
		"PUT /v1/patients/{}", "GET /v1/patients/{}", "DELETE /v1/patients/{}", "GET /v1/patients/{}/preferences", "POST /v1/patients/{}/preferences",
		"PUT /v1/patients/{}/confidential-communication", "DELETE /v1/patients/{}/confidential-communication", "POST /v1/patients/{}/restrictions",
		"DELETE /v1/patients/{}/restrictions/{}", "POST /v1/patients/{}/authorizations", "DELETE /v1/patients/{}/authorizations/{}",
		"GET /v1/patients/{}/ledger", "GET /v1/patients/{}/messages", "GET /v1/patients/{}/disclosures", "GET /v1/patients/{}/export", "POST /v1/stops", "GET /v1/stops", "POST /v1/stops/lift", "POST /v1/decisions",
		"POST /v1/messages", "GET /v1/messages", "GET /v1/messages/{}", "PATCH /v1/messages/{}", "DELETE /v1/messages/{}", "DELETE /v1/messages",
		"GET /v1/tasks", "GET /v1/tasks/{}", "POST /v1/tasks/{}/done", "POST /v1/tasks/{}/assign", "DELETE /v1/tasks/{}/assign", "GET /v1/templates", "POST /v1/templates/{}/preview", "GET /v1/audit",
		"GET /v1/webhooks", "POST /v1/webhooks",
		"POST /v1/campaigns", "GET /v1/campaigns", "GET /v1/campaigns/{}", "POST /v1/campaigns/{}/audience", "GET /v1/campaigns/{}/screening",
		"POST /v1/campaigns/{}/approve", "POST /v1/campaigns/{}/start", "POST /v1/campaigns/{}/pause", "POST /v1/campaigns/{}/resume", "POST /v1/campaigns/{}/cancel",
	} {
		if !have[want] {
			t.Errorf("%s is not described", want)
		}
	}
}
