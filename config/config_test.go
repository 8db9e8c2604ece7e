package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"harmonize.care/heed/channels"
)

// alone puts the test into an empty folder, where no settings file is found.
func alone(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	return dir
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustLoad(t *testing.T, s Source) *Config {
	t.Helper()
	c, err := Load(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// live is a whole set of settings for live mode.
const live = `
http: {listen: "127.0.0.1:9000", public_url: "https://heed.practice.example"}
keys: {secret: accept-secret-accept-secret-accept-secret}
practice:
  name: Cedar Practice
  discreet_name: Your provider
  phone: "+18885550100"
  opt_out_phone: "+18885550199"
  postal_address: 1 Main St, Denver, CO 80202
  privacy_email: privacy@cedar.example
  time_zone: America/Denver
programs:
  care: {sms_from: "+18885550101", email_from: care@cedar.example}
providers:
  mode: live
  twilio: {account_sid: ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, auth_token: token-of-the-account}
  sendgrid: {api_key: SG.key}
`

func TestNoFileStartsInTheSandbox(t *testing.T) {
	alone(t)
	c := mustLoad(t, Source{})
	if c.Providers.Mode != Sandbox || c.HTTP.Listen != "127.0.0.1:8080" || c.HTTP.PublicURL != "http://127.0.0.1:8080" || c.Database.URL != "sqlite:heed.db" || c.Redis.URL != "" {
		t.Errorf("%+v", c)
	}
	if want := (Sending{5 * time.Second, 10 * time.Second, 10 * time.Minute, 24 * time.Hour}); c.Sending != want {
		t.Errorf("%+v", c.Sending)
	}
	if c.Retention != (Retention{6, 30}) || c.Providers.Email != "sendgrid" || c.Providers.Twilio.Agreement != "baa" || c.Providers.SendGrid.Agreement != "none" || c.Providers.SMTP.Agreement != "none" {
		t.Errorf("%+v %+v", c.Retention, c.Providers)
	}
	numbers := map[string]bool{}
	for _, p := range channels.Programs {
		numbers[c.Programs[p].SMSFrom] = true
	}
	if len(numbers) != len(channels.Programs) {
		t.Error("a STOP must tell the sandbox's programs apart")
	}
	if err := c.CheckPrograms(channels.Programs[:]); err != nil {
		t.Error(err)
	}
	if c.Auth.AdminKey != "" || c.Keys.Secret != "" {
		t.Error("the sandbox has no key that everybody knows")
	}
}

func TestSandboxFollowsWhereItListens(t *testing.T) {
	alone(t)
	for listen, want := range map[string]string{"127.0.0.1:9001": "http://127.0.0.1:9001", ":9001": "http://127.0.0.1:9001", "0.0.0.0:9001": "http://127.0.0.1:9001", "[::1]:9001": "http://[::1]:9001"} {
		if got := mustLoad(t, Source{Flags: map[string]string{"http.listen": listen}}).HTTP.PublicURL; got != want {
			t.Errorf("listening at %s it is reached at %s", listen, got)
		}
	}
	set := mustLoad(t, Source{Flags: map[string]string{"http.listen": "127.0.0.1:9001", "http.public_url": "https://demo.example/heed/"}})
	if set.HTTP.PublicURL != "https://demo.example/heed" {
		t.Errorf("set, and it is %s", set.HTTP.PublicURL)
	}
}

func TestLiveHasNoSandboxDefaults(t *testing.T) {
	alone(t)
	_, err := Load(Source{Flags: map[string]string{"providers.mode": "live"}})
	want := []string{
		"http.public_url", "practice.name", "practice.discreet_name", "practice.phone", "practice.opt_out_phone", "practice.postal_address", "practice.privacy_email", "practice.time_zone",
	}
	if diff := cmp.Diff(want, keysOf(t, err)); diff != "" {
		t.Error(diff)
	}
	c := mustLoad(t, Source{File: write(t, live)})
	if len(c.Programs) != 1 {
		t.Errorf("programs %v", c.Programs)
	}
	if diff := cmp.Diff([]string{"programs.check_in", "programs.marketing"}, keysOf(t, c.CheckPrograms([]channels.Program{channels.Marketing, channels.Care, channels.CheckIn, channels.Marketing}))); diff != "" {
		t.Error(diff)
	}
	if err := c.CheckPrograms([]channels.Program{channels.Care}); err != nil {
		t.Error(err)
	}
}

// keysOf lists what an error of settings is about.
func keysOf(t *testing.T, err error) []string {
	t.Helper()
	var m Mistakes
	if !errors.As(err, &m) {
		t.Fatalf("no mistakes but %v", err)
	}
	var keys []string
	for _, one := range m {
		keys = append(keys, one.Key)
		if one.Problem == "" || !strings.Contains(err.Error(), one.Key+": ") && !strings.Contains(err.Error(), one.Key+" (set by ") {
			t.Errorf("%s is told as %q", one.Key, err)
		}
	}
	return keys
}

func TestLayers(t *testing.T) {
	dir := alone(t)
	if err := os.WriteFile(filepath.Join(dir, "heed.yaml"), []byte("sending: {lease: 2s, lookup_after: 2s, unknown_after: 20s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := write(t, "sending: {lease: 7s}\n")
	env := []string{"HEED_SENDING_LEASE=3s", "HEED_SENDING_LOOKUP_AFTER=3s", "HEED_REDIS_URL=", "PATH=/bin", "HEED_TEST_REDIS_URL=redis://localhost"}
	for name, c := range map[string]struct {
		source Source
		want   Sending
	}{
		"found file":             {Source{}, Sending{2 * time.Second, 2 * time.Second, 20 * time.Second, 24 * time.Hour}},
		"named file":             {Source{File: other}, Sending{7 * time.Second, 10 * time.Second, 10 * time.Minute, 24 * time.Hour}},
		"environment over file":  {Source{Env: env}, Sending{3 * time.Second, 3 * time.Second, 20 * time.Second, 24 * time.Hour}},
		"flags over environment": {Source{Env: env, Flags: map[string]string{"sending.lease": "4s"}}, Sending{4 * time.Second, 3 * time.Second, 20 * time.Second, 24 * time.Hour}},
		"the later variable":     {Source{Env: append(slices.Clone(env), "HEED_SENDING_LEASE=6s")}, Sending{6 * time.Second, 3 * time.Second, 20 * time.Second, 24 * time.Hour}},
	} {
		if got := mustLoad(t, c.source).Sending; got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestEmptyVariableIsNone(t *testing.T) {
	file := write(t, "redis: {url: redis://localhost}\n")
	if got := mustLoad(t, Source{File: file, Env: []string{"HEED_REDIS_URL="}}).Redis.URL; got != "redis://localhost" {
		t.Errorf("an empty variable set it to %q", got)
	}
	if got := mustLoad(t, Source{File: file, Flags: map[string]string{"redis.url": ""}}).Redis.URL; got != "" {
		t.Errorf("an empty flag left it at %q", got)
	}
}

// TestEverySettingFromEverywhere sets each setting by flag, by variable and by file.
func TestEverySettingFromEverywhere(t *testing.T) {
	alone(t)
	names := map[string]string{}
	for _, s := range newTable().list {
		if other, taken := names[envName(s.key)]; taken {
			t.Errorf("%s and %s have one variable", s.key, other)
		}
		names[envName(s.key)] = s.key
		text := otherValue(s)
		inFile := text
		if _, ok := s.at.(*string); ok {
			inFile = fmt.Sprintf("%q", text)
		}
		yaml := inFile
		for _, name := range slices.Backward(strings.Split(s.key, ".")) {
			yaml = fmt.Sprintf("{%s: %s}", name, yaml)
		}
		for way, source := range map[string]Source{
			"flag": {Flags: map[string]string{s.key: text}}, "variable": {Env: []string{envName(s.key) + "=" + text}}, "file": {File: write(t, yaml)},
		} {
			l := newTable()
			if err := l.readFile(source.File); err != nil {
				t.Fatal(err)
			}
			l.readEnv(source.Env)
			l.readFlags(source.Flags)
			l.fill()
			if len(l.mistakes) > 0 {
				t.Errorf("%s by %s: %v", s.key, way, l.mistakes)
			}
			i := slices.IndexFunc(l.list, func(got setting) bool { return got.key == s.key })
			if got := shownValue(setting{at: l.list[i].at}); fmt.Sprint(got) == fmt.Sprint(shownValue(setting{at: s.at})) {
				t.Errorf("%s by %s has no effect", s.key, way)
			}
		}
	}
	if names["HEED_AUTH_ADMIN_KEY"] != "auth.admin_key" || names["HEED_PROGRAMS_CARE_SMS_FROM"] != "programs.care.sms_from" || names["HEED_PROVIDERS_TWILIO_AUTH_TOKEN"] == "" {
		t.Error("the variables have other names than agreed")
	}
}

// newTable is a loader of settings that stand at their zero values.
func newTable() *loader {
	programs := map[channels.Program]*ProgramConfig{}
	for _, p := range channels.Programs {
		programs[p] = &ProgramConfig{}
	}
	return newLoader((&Config{}).settings(programs))
}

func otherValue(s setting) string {
	switch s.at.(type) {
	case *int:
		return "77"
	case *bool:
		return "true"
	case *time.Duration:
		return "77s"
	default:
		return "another value"
	}
}

func TestFileForms(t *testing.T) {
	for name, text := range map[string]string{
		"lists":          "practice: {on_call: [\"+13035550190\", on-call@cedar.example]}",
		"commas":         "practice: {on_call: \"+13035550190, on-call@cedar.example\"}",
		"JSON":           `{"practice": {"on_call": ["+13035550190", "on-call@cedar.example"], "name": "Clínica"}, "sending": {"lease": "5s"}, "providers": {"sendgrid": {"asm_group": 0}}}`,
		"capitals":       "Practice:\n  On_Call:\n  - \"+13035550190\"\n  - on-call@cedar.example\n",
		"dotted":         "practice:\n  on_call:\n    - \"+13035550190\"\n    - on-call@cedar.example\nredis:\nkeys:\n  previous:\n",
		"aliases":        "practice: &p\n  on_call: [\"+13035550190\", on-call@cedar.example]\n",
		"by byte order ": "\uFEFFpractice: {on_call: [\"+13035550190\", on-call@cedar.example]}",
	} {
		c, err := Load(Source{File: write(t, text)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff([]string{"+13035550190", "on-call@cedar.example"}, c.Practice.OnCall); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	mustLoad(t, Source{File: write(t, "")})
	mustLoad(t, Source{File: write(t, "# nothing\n")})
	mustLoad(t, Source{File: write(t, "---\nsending: {lease: 5s}\n")})
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := alone(t)
	for name, path := range map[string]string{
		"missing": filepath.Join(dir, "missing.yaml"), "a folder": dir, "no YAML": write(t, "a: hunter2\n b: c\n"), "text": write(t, "hunter2"), "a list": write(t, "- hunter2\n"),
		"twice": write(t, "keys: {secret: hunter2}\nredis: {}\nkeys: {secret: hunter2}\n"), "two documents": write(t, "redis: {}\n---\nkeys: {secret: hunter2}\n"),
		"long": write(t, strings.Repeat("# hunter2\n", 200_000)), "a tab": write(t, "keys:\n\tsecret: hunter2\n"), "bytes": write(t, "keys: {secret: \"hunter2\xff\"}"),
	} {
		_, err := Load(Source{File: path})
		if err == nil {
			t.Errorf("%s was taken", name)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := Load(Source{File: write(t, "redis: {}\nkeys: {secret: hunter2}\nredis: {}\n")})
	if err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("the line is not told: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "heed.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Source{}); err == nil {
		t.Error("a folder where the file should be went unnoticed")
	}
}

func TestExampleLoads(t *testing.T) {
	c := mustLoad(t, Source{File: filepath.Join("testdata", "heed.yaml")})
	if c.Providers.Mode != Live || len(c.Programs) != len(channels.Programs) || c.Programs[channels.Care].Email != "smtp" {
		t.Errorf("%+v", c)
	}
	text, err := os.ReadFile(filepath.Join("testdata", "heed.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tree, problem := parse(text)
	if problem != "" {
		t.Fatal(problem)
	}
	for _, s := range newTable().list {
		at := any(tree)
		for _, name := range strings.Split(s.key, ".") {
			group, _ := at.(map[string]any)
			at = group[name]
		}
		if at == nil && !strings.HasPrefix(s.key, "programs.") {
			t.Errorf("the example says nothing of %s", s.key)
		}
	}
}
