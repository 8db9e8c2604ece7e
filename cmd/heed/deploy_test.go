package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"harmonize.care/heed/config"
)

// deployFolder holds the papers for operators.
const deployFolder = "../../docs/deploy"

func paper(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deployFolder, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// composed is what compose.yaml says of a service.
type composed struct {
	Image       string
	Command     []string
	Environment map[string]string
	HealthCheck struct {
		Test    []string
		Disable bool
	} `yaml:"healthcheck"`
	Ports     []string
	Volumes   []string
	DependsOn map[string]struct{ Condition string } `yaml:"depends_on"`
	Grace     string                                `yaml:"stop_grace_period"`
}

// secrets play those of the .env file.
var secrets = map[string]string{
	"POSTGRES_PASSWORD": "p0", "OWNER_PASSWORD": "p1", "GATEWAY_PASSWORD": "p2", "HEED_AUTH_ADMIN_KEY": adminKey,
	"HEED_KEYS_SECRET": strings.Repeat("test-secret-", 4),
}

var interpolated = regexp.MustCompile(`\$\{(\w+)([^}]*)\}`)

// compose reads compose.yaml as the tool does, with every secret given.
func compose(t testing.TB) map[string]composed {
	t.Helper()
	text := interpolated.ReplaceAllStringFunc(paper(t, "compose.yaml"), func(v string) string {
		m := interpolated.FindStringSubmatch(v)
		if !strings.HasPrefix(m[2], ":?") {
			t.Errorf("%s: without it, something would start with a default that everybody knows", m[1])
		}
		if secrets[m[1]] == "" {
			t.Errorf("%s is no secret of the .env file", m[1])
		}
		return secrets[m[1]]
	})
	var file struct{ Services map[string]composed }
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	return file.Services
}

// environ is the environment of a service.
func (c composed) environ() []string {
	var list []string
	for name, value := range c.Environment {
		list = append(list, name+"="+value)
	}
	return list
}

// called is a call of heed that a paper names: it must be one that there is.
func called(t testing.TB, where string, words []string) {
	t.Helper()
	root := newCommand(nil, nil, nil).root()
	cmd, rest, err := root.Find(words)
	if err != nil || cmd == root {
		t.Errorf("%s: `heed %s` is no command: %v", where, strings.Join(words, " "), err)
		return
	}
	for _, word := range rest {
		name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
		if strings.HasPrefix(word, "-") && cmd.Flag(name) == nil && root.PersistentFlags().Lookup(name) == nil {
			t.Errorf("%s: `heed %s` has no flag %s", where, cmd.CommandPath(), word)
		}
	}
	if cmd.HasSubCommands() && slices.ContainsFunc(rest, func(w string) bool { return !strings.HasPrefix(w, "-") }) {
		t.Errorf("%s: `%s` has no sub-command %v", where, cmd.CommandPath(), rest)
	}
}

func TestComposeSaysWhatThereIs(t *testing.T) {
	services := compose(t)
	gateways := 0
	for name, s := range services {
		for on := range s.DependsOn {
			if _, there := services[on]; !there {
				t.Errorf("%s waits for %s, which there is not", name, on)
			}
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s would be open to the network before it has TLS: %s", name, port)
			}
		}
		for _, volume := range s.Volumes {
			if file, _, _ := strings.Cut(volume, ":"); strings.HasPrefix(file, "./") {
				paper(t, file)
			}
		}
		if s.Image != "heed" {
			if !regexp.MustCompile(`:\d+\.\d+(\.\d+)?-\w+$`).MatchString(s.Image) {
				t.Errorf("%s is not pinned: %s", name, s.Image)
			}
			continue
		}
		called(t, "compose.yaml, "+name, s.Command)
		if test := s.HealthCheck.Test; len(test) > 0 {
			called(t, "compose.yaml, the health check of "+name, test[2:])
		}
		if s.Command[0] == "serve" {
			gateways++
		}
		cfg, err := config.Load(config.Source{File: emptyFile(t), Env: s.environ()})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := checkStart(cfg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if gateways != 2 {
		t.Errorf("%d gateways", gateways)
	}
}

// emptyFile keeps a settings file of this folder out.
func emptyFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "heed.yaml")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// instruction finds the lines of a Dockerfile that begin with a word.
func instruction(text, word string) []string {
	var found []string
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), word+" "); ok {
			found = append(found, rest)
		}
	}
	return found
}

var words = regexp.MustCompile(`"([^"]*)"`)

func TestDockerfileFitsTheRepository(t *testing.T) {
	text := paper(t, "Dockerfile")
	module, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(module)[1]
	from := instruction(text, "FROM")
	if len(from) != 2 || !strings.HasPrefix(from[0], "golang:"+string(version)+"-") || from[1] != "scratch" {
		t.Errorf("built from %q, and go.mod asks for %s", from, version)
	}
	if user := instruction(text, "USER"); len(user) != 1 || !regexp.MustCompile(`^[1-9]\d+:[1-9]\d+$`).MatchString(user[0]) {
		t.Errorf("USER is %q", user)
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	build := "CGO_ENABLED=0 go build -trimpath -o "
	if !strings.Contains(text, build) || !strings.Contains(string(makefile), build) {
		t.Error("the image's binary is built otherwise than `make build` does")
	}
	var entry []string
	for _, w := range words.FindAllStringSubmatch(instruction(text, "ENTRYPOINT")[0]+instruction(text, "CMD")[0], -1) {
		entry = append(entry, w[1])
	}
	if entry[0] != "/usr/bin/heed" || !strings.Contains(text, "-o /image"+entry[0]+" ") {
		t.Errorf("it starts %q", entry)
	}
	called(t, "Dockerfile", entry[1:])
	check := instruction(text, "HEALTHCHECK")
	var health []string
	for _, w := range words.FindAllStringSubmatch(check[0], -1) {
		health = append(health, w[1])
	}
	if health[0] != entry[0] {
		t.Errorf("the health check starts %q", health)
	}
	called(t, "Dockerfile, HEALTHCHECK", health[1:])
	for _, env := range instruction(text, "ENV") {
		if _, err := config.Load(config.Source{File: emptyFile(t), Env: []string{env}}); err != nil {
			t.Error(err)
		}
	}
}
