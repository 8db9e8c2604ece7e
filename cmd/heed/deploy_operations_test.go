package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"harmonize.care/heed/config"
)

func operations(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	inCode = regexp.MustCompile("`([^`\n]+)`")
	// A line of a block: what stands before heed are variables, or the way into a container.
	inBlock = regexp.MustCompile(`(?m)^ {4}(.*)$`)
	call    = regexp.MustCompile(`(?:^|\s|/)heed((?: [a-z][a-z-]*| --[a-z-]+(?:=\S+)?)+)`)
)

// codes lists what stands in code in a text.
func codes(text string) []string {
	var list []string
	for _, m := range append(inCode.FindAllStringSubmatch(text, -1), inBlock.FindAllStringSubmatch(text, -1)...) {
		list = append(list, m[1])
	}
	return list
}

// there says whether a command exists.
func there(name string) bool {
	root := newCommand(nil, nil, nil).root()
	cmd, _, err := root.Find([]string{name})
	return err == nil && cmd != root
}

func TestOperationsNamesOnlyWhatThereIs(t *testing.T) {
	text := operations(t)
	named := 0
	for _, code := range codes(text) {
		for _, m := range call.FindAllStringSubmatch(code, -1) {
			words := strings.Fields(m[1])
			if words[0] == "heed" { // what stood before was the end of an address
				words = words[1:]
			}
			if len(words) == 0 || strings.HasPrefix(words[0], "--") || words[0] == "bench" && !there("bench") {
				continue
			}
			named++
			called(t, "operations.md", words)
		}
		if file := strings.Fields(code)[0]; strings.HasPrefix(file, "docs/") || strings.HasPrefix(file, "config/") || strings.HasPrefix(file, "cmd/") {
			if _, err := os.Stat(filepath.Join("../..", file)); err != nil && (file != "docs/performance.md" || there("bench")) { // it comes with heed bench
				t.Error(err)
			}
		}
	}
	if named < 40 {
		t.Errorf("only %d commands were found: the test looks at the wrong places", named)
	}
	for _, m := range regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`).FindAllStringSubmatch(text, -1) {
		if m[1] != "" {
			if _, err := os.Stat(filepath.Join("../../docs", m[1])); err != nil {
				t.Error(err)
			}
		}
		if m[1] == "" && !strings.Contains(strings.ToLower(text), "\n## "+strings.ReplaceAll(strings.TrimPrefix(m[2], "#"), "-", " ")+"\n") &&
			!strings.Contains(strings.ToLower(text), "\n### "+strings.ReplaceAll(strings.TrimPrefix(m[2], "#"), "-", " ")+"\n") {
			t.Errorf("no part is called %s", m[2])
		}
	}
}

// A word in code with a dot, that begins with a group of settings, is a setting.
var settingName = regexp.MustCompile(`^(http|database|redis|practice|providers|auth|keys|sending|policy|retention|events|campaigns|mirrors)\.[a-z_.]+$`)

func TestOperationsNamesOnlySettingsAndFiguresThatThereAre(t *testing.T) {
	h := start(t, nil)
	figures := string(h.call("GET", "/metrics", nil).raw)
	text := operations(t)
	for _, code := range codes(text) {
		if settingName.MatchString(code) {
			_, err := config.Load(config.Source{File: emptyFile(t), Flags: map[string]string{code: ""}})
			if err != nil && strings.Contains(err.Error(), "is no setting") {
				t.Error(err)
			}
		}
		if regexp.MustCompile(`^(heed|process|go)_[a-z_]+$`).MatchString(code) && code != "heed_owner" && code != "heed_gateway" && !strings.Contains(figures, "\n"+code) {
			t.Errorf("%s is no figure of /metrics", code)
		}
	}
	// And the other way: every figure of ours is told of.
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (heed_\w+) `).FindAllStringSubmatch(figures, -1) {
		if !strings.Contains(text, "`"+m[1]+"`") && !strings.HasPrefix(m[1], "heed_mirrors_put") && !strings.HasPrefix(m[1], "heed_mirrors_taken_off") { // those two are docs/mirrors.md's
			t.Errorf("operations.md does not tell of %s", m[1])
		}
	}
}
