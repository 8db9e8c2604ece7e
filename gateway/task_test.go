package gateway_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/gateway"
)

// A kind that is missing from the list could be opened and never be asked for.
func TestEveryKindOfTaskIsListed(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "change.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "TaskKind" {
			return true
		}
		name, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if found++; !slices.Contains(gateway.TaskKinds, gateway.TaskKind(name)) {
			t.Errorf("%s is not among the kinds", name)
		}
		return true
	})
	if found != len(gateway.TaskKinds) {
		t.Errorf("%d kinds declared, %d listed", found, len(gateway.TaskKinds))
	}
}

func TestEveryKindOfTaskCanBeClosedWithACode(t *testing.T) {
	code := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	for _, kind := range gateway.TaskKinds {
		list := kind.Outcomes()
		if len(list) < 2 {
			t.Errorf("%s: %d outcomes", kind, len(list))
		}
		seen := map[string]bool{}
		for _, o := range list {
			if !code.MatchString(o.Code) || seen[o.Code] || !strings.HasSuffix(o.Means, ".") {
				t.Errorf("%s: %+v", kind, o)
			}
			seen[o.Code] = true
			if got, err := kind.Outcome(o.Code); err != nil || got != o {
				t.Errorf("%s: %s reads as %+v, %v", kind, o.Code, got, err)
			}
			loosens := o.Does == gateway.LiftsStop || o.Does == gateway.MarksRight || o.Does == gateway.EndsHold
			if loosens && !o.Note {
				t.Errorf("%s: %s loosens without evidence", kind, o.Code)
			}
		}
	}
}

// Words of one's own record nothing; what looks like a code and is none is refused.
func TestOutcomesAreCodesOrWords(t *testing.T) {
	for text, fine := range map[string]bool{
		"done": true, "removed": true, "Called back.\nAll is well.": true, "x": true, "Confirmed": true, "meant stop": true, "again": true,
		"meant_stop": false, "meant_stopp": false, "rescheduled": false, "a_b": false, "number_is_wrong": false,
	} {
		got, err := gateway.TaskReply.Outcome(text)
		if (err == nil) != fine || got.Does != gateway.RecordsNothing || got.Code != "" {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "was_a_stop") || strings.Contains(err.Error(), text)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// The table for people names every kind and every outcome.
func TestTheTableOfOutcomesIsWritten(t *testing.T) {
	doc, err := os.ReadFile("../docs/tasks.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range gateway.TaskKinds {
		at := strings.Index(string(doc), "| `"+string(kind)+"` |")
		if at < 0 {
			t.Errorf("%s is not in docs/tasks.md", kind)
			continue
		}
		row, _, _ := strings.Cut(string(doc)[at:], "\n")
		for _, o := range kind.Outcomes() {
			if !strings.Contains(row, "`"+o.Code+"`") {
				t.Errorf("%s: %s is not in docs/tasks.md", kind, o.Code)
			}
		}
	}
}

func TestOverdueTasksAreToldMoreAndMoreSeldom(t *testing.T) {
	for _, kind := range gateway.TaskKinds {
		for told := range 10 {
			this, next := kind.TellAgain(told), kind.TellAgain(told+1)
			if this <= 0 || next < this || next > 24*time.Hour {
				t.Errorf("%s: %s, then %s", kind, this, next)
			}
			if crisis := gateway.TaskCrisis.TellAgain(told); kind != gateway.TaskCrisis && crisis*4 > this {
				t.Errorf("a crisis is told after %s, %s after %s", crisis, kind, this)
			}
		}
	}
	due := time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC)
	if at := (&gateway.Task{Kind: gateway.TaskReply, Due: due}).TellAt(); !at.Equal(due) {
		t.Errorf("%s", at)
	}
	if at := (&gateway.Task{Kind: gateway.TaskCrisis, Due: due}).TellAt(); !at.Equal(due.Add(5 * time.Minute)) {
		t.Errorf("a crisis: %s", at)
	}
}
