package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences/policy"
)

// cli is the command line on one database.
type cli struct {
	t    *testing.T
	sets []string
}

// commandLine speaks to the database of a running gateway.
func (h *heedUnderTest) commandLine(t *testing.T) cli {
	return cli{t, []string{
		"--set", "database.url=" + h.server.cfg.Database.URL, "--set", "keys.secret=" + h.server.cfg.Keys.Secret, "--set", "http.listen=" + h.server.cfg.HTTP.Listen,
	}}
}

// run carries one call out.
func (c cli) run(args ...string) (code int, out, err string) {
	c.t.Helper()
	var stdout, stderr bytes.Buffer
	code = newCommand(strings.NewReader(""), &stdout, &stderr).run(context.Background(), append(args, c.sets...))
	return code, stdout.String(), stderr.String()
}

// ok is run for a call that must end well.
func (c cli) ok(args ...string) string {
	c.t.Helper()
	code, out, err := c.run(args...)
	if code != done {
		c.t.Fatalf("heed %s: %d %s", strings.Join(args, " "), code, err)
	}
	return out
}

// json is ok for an answer in JSON.
func (c cli) json(into any, args ...string) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(c.ok(append(args, "--json")...)), into); err != nil {
		c.t.Fatalf("heed %s: %v", strings.Join(args, " "), err)
	}
}

func TestMistakesInACallEndWithTwo(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	c := h.commandLine(t)
	for name, args := range map[string][]string{
		"an unknown command":       {"nonsense"},
		"an unknown flag":          {"tasks", "list", "--nonsense"},
		"no category":              {"send", "p1"},
		"no reason":                {"patient", "erase", "p1"},
		"a reason that is none":    {"patient", "erase", "p1", "--reason", "nonsense"},
		"no outcome":               {"tasks", "done", "17"},
		"a task's id that is none": {"tasks", "done", "seventeen", "--outcome", "x"},
		"a kind that is none":      {"tasks", "list", "--kind", "nonsense"},
		"no role":                  {"keys", "add", "ehr"},
		"a role that is none":      {"keys", "add", "ehr", "--role", "nonsense"},
		"a name that is reserved":  {"keys", "add", "admin", "--role", "marketer"},
		"a category that is none":  {"send", "p1", "--category", "nonsense"},
		"one that is none, asked":  {"decide", "p1", "--category", "nonsense"},
		"a channel that is none":   {"decide", "p1", "--category", "follow_up", "--channels", "fax"},
		"a time that is none":      {"decide", "p1", "--category", "follow_up", "--at", "noon"},
		"a variable without value": {"send", "p1", "--category", "follow_up", "--var", "text"},
		"a variable twice":         {"send", "p1", "--category", "follow_up", "--var", "text=a", "--var", "text=b"},
		"a language without texts": {"templates", "preview", "follow_up", "--var", "text=x", "--locale", "de"},
		"a content that is none":   {"templates", "preview", "follow_up", "--var", "text=x", "--content", "nonsense"},
		"no preview's channel":     {"templates", "preview", "follow_up", "--var", "text=x", "--channel", "fax"},
		"a level that is none":     {"version", "--log-level", "loud"},
		"a field that is none":     {"import", "patients", "x.csv", "--map", "A=nonsense"},
		"a control character":      {"patient", "show", "p\x1b1"},
		"one in a reference":       {"send", "p1", "--category", "follow_up", "--var", "text=x", "--reference", "a\nb"},
	} {
		for _, asJSON := range []bool{false, true} {
			all := args
			if asJSON {
				all = append([]string{"--json"}, args...)
			}
			code, out, told := c.run(all...)
			if code != usage || out != "" || told == "" {
				t.Errorf("%s: %d %q %q", name, code, out, told)
			}
			var p cliProblem
			if err := json.Unmarshal([]byte(told), &p); asJSON && (err != nil || p.Code != "usage" || p.Detail == "" || p.Type == "") {
				t.Errorf("%s: no problem document: %q", name, told)
			}
		}
	}
	if code, _, told := c.run("patient", "show", "nobody", "--json"); code != failed || !strings.Contains(told, `"code":"failed"`) {
		t.Errorf("%d %s", code, told)
	}
}

func TestTheCommandLineTellsWhatItDid(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	c := h.commandLine(t)
	var result struct{ Result string }
	for _, step := range []struct {
		want string
		args []string
	}{
		{"on hold", []string{"patient", "hold", "p1"}}, {"released", []string{"patient", "release", "p1"}},
		{"erased", []string{"patient", "erase", "p1", "--reason", "request"}},
	} {
		if c.json(&result, step.args...); result.Result != step.want {
			t.Errorf("%v: %+v", step.args, result)
		}
	}
	c.ok("keys", "add", "ehr", "--role", "service")
	if c.json(&result, "keys", "revoke", "ehr"); result.Result != "revoked" {
		t.Errorf("%+v", result)
	}
	verbs := map[string]string{}
	for _, row := range h.audits() {
		verbs[row["verb"].(string)] = row["actor"].(string) + " " + row["object"].(string)
	}
	for verb, want := range map[string]string{"key.add": "cli:", "key.revoke": "cli:"} {
		if got := verbs[verb]; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, " key:ehr") {
			t.Errorf("%s: %q", verb, got)
		}
	}
}

func TestTheCommandLineReadsAsTheAPIDoes(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	c := h.commandLine(t)
	h.texts("+13035550151", channels.Care, "STOP, please. is Friday still on?")
	h.texts("+13035550151", channels.Care, "STOP")
	eventually(t, "the stop is in force", func() bool { return h.decision("p1", "appointment_reminder", "sms")["code"] == "stopped" })
	var sent struct {
		ID, Status string
		Decision   struct{ Channel, Address string }
		Running    bool `json:"gateway_running"`
	}
	eventually(t, "the gateway says that it runs", func() bool {
		c.json(&sent, "send", "p1", "--category", "follow_up", "--var", "text=Ready, at the desk = today.")
		return sent.Running
	})
	if sent.Decision.Channel != "email" || sent.Decision.Address != "p1@patients.example" || sent.Status == "" {
		t.Errorf("%+v", sent)
	}
	h.settles(sent.ID, "delivered")

	var d map[string]any
	c.json(&d, "decide", "p1", "--category", "follow_up")
	api := h.ok("POST", "/v1/decisions", map[string]any{"patient": "p1", "category": "follow_up"})
	for name := range api {
		if _, there := d[name]; !there {
			t.Errorf("decide --json lacks %s: %v", name, d)
		}
	}
	var tasks []map[string]any
	c.json(&tasks, "tasks", "list")
	if len(tasks) == 0 || tasks[0]["number"] != "+13035550151" || tasks[0]["overdue"] != false || tasks[0]["created_at"] == nil {
		t.Errorf("%v", tasks)
	}
	if text := c.ok("tasks", "list"); !strings.Contains(text, "call +13035550151") {
		t.Errorf("%s", text)
	}
	id := tasks[0]["id"].(string)
	c.ok("tasks", "done", id, "--outcome", "Called back.\nAll is well.")
	if code, _, told := c.run("tasks", "done", id, "--outcome", "again"); code != failed || !strings.Contains(told, "no open task") {
		t.Errorf("%d %s", code, told)
	}
	if text := c.ok("tasks", "list", "--done"); !strings.Contains(text, "Called back.") {
		t.Errorf("%s", text)
	}
	if text := c.ok("patient", "messages", "p1"); !strings.Contains(text, "Not by sms: This person stopped") || !strings.Contains(text, "refused") {
		t.Errorf("%s", text)
	}
	if text := c.ok("decide", "--replay", sent.ID); !strings.Contains(text, "Not by sms: This person stopped") || !strings.Contains(text, "the same") {
		t.Errorf("%s", text)
	}
	if text := c.ok("patient", "ledger", "p1"); !strings.Contains(text, "Stopped care, marketing at +13035550151.") || !strings.Contains(text, "is Friday still on?") {
		t.Errorf("%s", text)
	}
	var shown map[string]any
	c.json(&shown, "patient", "show", "p1")
	if shown["standing"] != "active" || shown["preferences"].(map[string]any)["choices"] == nil {
		t.Errorf("%v", shown)
	}
	var preview map[string]any
	c.json(&preview, "templates", "preview", "follow_up", "--var", "text=a, b = c")
	if !strings.Contains(preview["text"].(string), "a, b = c") || preview["segments"] == nil {
		t.Errorf("%v", preview)
	}
	seen := map[string]bool{}
	for _, row := range h.audits() {
		if strings.HasPrefix(row["actor"].(string), "cli") {
			seen[row["verb"].(string)] = true
		}
	}
	for _, verb := range []string{"decision.ask", "tasks.read", "messages.read", "message.read", "ledger.read", "patient.read"} {
		if !seen[verb] {
			t.Errorf("%s at the command line is not written down", verb)
		}
	}
}

func TestTheCommandLineSharesTheSandboxsClock(t *testing.T) {
	cfg := load(t, nil)
	h := startWith(t, cfg)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	c := h.commandLine(t)
	at := func() time.Time {
		t.Helper()
		var d struct{ At time.Time }
		c.json(&d, "decide", "p1", "--category", "follow_up")
		return d.At
	}
	for _, offset := range []time.Duration{48 * time.Hour, -time.Hour, 0} {
		h.server.clock.Set(time.Now().Add(offset))
		if off := at().Sub(time.Now().Add(offset)); off.Abs() > time.Minute {
			t.Errorf("moved by %s: %s off", offset, off)
		}
	}
	// A restart does not move it back: what was sent would lie in the future.
	h.server.clock.Set(time.Now().Add(24 * time.Hour))
	h.stop()
	again := startWith(t, cfg)
	if off := again.server.now().Sub(time.Now().Add(24 * time.Hour)); off.Abs() > time.Minute {
		t.Errorf("%s off after a restart", off)
	}
}

func TestSendSaysThatNoGatewayRuns(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	c := h.commandLine(t)
	h.stop()
	if text := c.ok("send", "p1", "--category", "follow_up", "--var", "text=x"); !strings.Contains(text, "No gateway seems to be running") {
		t.Errorf("%s", text)
	}
}

func TestReadingMakesNoDatabase(t *testing.T) {
	folder := t.TempDir()
	c := cli{t, []string{"--set", "database.url=sqlite:" + filepath.Join(folder, "heed.db")}}
	for _, args := range [][]string{
		{"tasks", "list"}, {"patient", "show", "p1"}, {"decide", "p1", "--category", "follow_up"}, {"send", "p1", "--category", "follow_up", "--var", "text=x"},
		{"keys", "list"}, {"keys", "add", "ehr", "--role", "service"}, {"audit", "verify"}, {"config"},
	} {
		code, _, told := c.run(args...)
		if args[0] != "config" && (code != failed || !strings.Contains(told, "there is no database at")) {
			t.Errorf("%v: %d %s", args, code, told)
		}
		if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
			t.Fatalf("%v made %v, %v", args, left, err)
		}
	}
	c.ok("migrate")
	if _, err := os.Stat(filepath.Join(folder, "heed.db")); errors.Is(err, fs.ErrNotExist) {
		t.Error("migrate makes none")
	}
	c.ok("tasks", "list")
}

func TestConfigRefusesWhatServeRefuses(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wrongPolicy := write("policy.yaml", "categorys: {}\n")
	for name, c := range map[string]struct {
		sets []string
		want []string // what is told
		not  []string // what only follows from it
	}{
		"right":                  {nil, nil, nil},
		"a setting":              {[]string{"providers.mode=pretend"}, []string{"providers.mode"}, []string{"practice.", "programs."}},
		"a policy":               {[]string{"policy.file=" + wrongPolicy}, []string{"is categories meant?"}, nil},
		"a setting and a policy": {[]string{"policy.file=" + wrongPolicy, "sending.lease=1h"}, []string{"is categories meant?", "sending.lease"}, nil},
		"a name in the texts":    {[]string{"practice.discreet_name=Mental Health Denver"}, []string{"practice.discreet_name"}, nil},
		"a certificate":          {[]string{"http.tls.cert=" + wrongPolicy, "http.tls.key=" + wrongPolicy}, []string{"http.tls"}, nil},
	} {
		line := cli{t, []string{"--set", "database.url=sqlite:" + filepath.Join(folder, "heed.db"), "--set", "http.listen=" + freeAddress(t)}}
		for _, s := range c.sets {
			line.sets = append(line.sets, "--set", s)
		}
		code, _, told := line.run("config")
		if (code == done) != (c.want == nil) {
			t.Errorf("%s: %d %s", name, code, told)
		}
		if c.want == nil {
			continue
		}
		_, _, served := line.run("serve")
		if told != served {
			t.Errorf("%s: config says\n%s\nserve says\n%s", name, told, served)
		}
		for _, word := range c.want {
			if !strings.Contains(told, word) {
				t.Errorf("%s: %s is not told: %s", name, word, told)
			}
		}
		for _, word := range c.not {
			if strings.Contains(told, word) {
				t.Errorf("%s: %s only follows: %s", name, word, told)
			}
		}
	}
}

func TestPolicyMistakesAreToldInWords(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a key":          {"categorys: {}\n", `line 1: "categorys" is no key here: is categories meant?`},
		"a deep key":     {"programs:\n  care: {opens: \"08:00\"}\n", `line 2: "opens" is no key here: is open meant?`},
		"nothing like":   {"weather: fine\n", `line 1: "weather" is no key here: it takes categories, programs`},
		"no number":      {"programs:\n  care: {cap: {per_day: many}}\n", "line 2: must be a whole number"},
		"no list":        {"reminder_offsets: 48h\n", "line 1: must be a list of texts"},
		"no group":       {"categories: many\n", "line 1: must be a group"},
		"not YAML":       {"categories: [\n", "this is not YAML"},
		"a key twice":    {"revocation_scope: program\nrevocation_scope: everything\n", "line 2: a key stands there that stands in line 1 already"},
		"two mistakes":   {"categorys: {}\nprogrammes: {}\n", "programs meant?"},
		"a typed number": {"revocation_scope: {a: 1}\n", "line 1: must be a text"},
	} {
		_, err := readPolicy([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		for _, word := range []string{"policy.", "!!", "unmarshal", "main."} {
			if err != nil && strings.Contains(err.Error(), word) {
				t.Errorf("%s: names what is ours: %v", name, err)
			}
		}
	}
	if _, err := readPolicy(nil); err == nil {
		t.Error("an empty policy is none")
	}
}

func TestPolicyDiffTellsWhatDiffers(t *testing.T) {
	h := start(t, nil)
	h.enrol("p1", "+13035550151", "p1@patients.example")
	h.settles(h.send(reminder("p1")), "delivered")
	file := policy.Default()
	rule := file.Categories["appointment_reminder"]
	rule.Consent = map[string]string{"sms": "written", "voice": "provided", "email": "provided"}
	file.Categories["appointment_reminder"] = rule
	text, err := json.Marshal(file) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	c := h.commandLine(t)
	var diff struct {
		Changes []struct {
			Was     string
			WouldBe string `json:"would_be"`
			Differs []string
		}
	}
	c.json(&diff, "policy", "diff", path)
	if len(diff.Changes) != 1 || !strings.Contains(fmt.Sprint(diff.Changes[0].Differs), "allowed full -> refused consent_missing") {
		t.Errorf("%+v", diff)
	}
	if text := c.ok("policy", "diff", path); !strings.Contains(text, "sms to address") {
		t.Errorf("%s", text)
	}
}
