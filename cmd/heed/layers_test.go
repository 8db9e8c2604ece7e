package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "harmonize.care/heed/"

// rows is the order of the house: imports point to earlier rows only, and packages
// in one row never import each other. What is not in the table does not belong here.
var rows = [][]string{
	{"channels"},
	{"preferences"},
	{"preferences/policy", "preferences/link", "templates"},
	{"gateway"},
	{"gateway/intake", "gateway/dispatch", "gateway/campaign", "gateway/auth", "gateway/wording"},
	{"channels/wire"}, // from here on: input and output
	{
		"channels/twilio", "channels/sendgrid", "channels/smtp", "channels/sandbox", "channels/phone",
		"preferences/cache", "preferences/pages",
		"gateway/store", "gateway/jobs", "gateway/webhook", "gateway/api", "gateway/imports", "gateway/fhir", "gateway/events", "gateway/mirrors",
		"gateway/seal", "gateway/calendar", "gateway/console", "gateway/observe", "config",
	},
	{"channels/channelstest", "gateway/storetest"},
	{"cmd/heed"},
}

// pureRows do no input or output, and know no clock and no chance.
const pureRows = 5

var impure = []string{"os", "net", "net/http", "database/sql", "log", "log/slog"}

// pkg is what `go list` tells of one package.
type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
	Standard   bool
}

func rowOf(path string) int {
	return slices.IndexFunc(rows, func(row []string) bool { return slices.Contains(row, strings.TrimPrefix(path, module)) })
}

// wrongImports says what is wrong with the imports of one package.
func wrongImports(path string, imports []string) []string {
	row := rowOf(path)
	if row < 0 {
		return []string{path + " stands in no row of the house"}
	}
	var wrong []string
	for _, imported := range imports {
		ours := strings.HasPrefix(imported, module)
		switch {
		case ours && rowOf(imported) >= row:
			wrong = append(wrong, path+" imports "+imported+", which stands in its own row or a later one")
		case row < pureRows && slices.Contains(impure, imported):
			wrong = append(wrong, path+" is pure and imports "+imported)
		case row < pureRows && !ours && strings.Contains(imported, ".") && !strings.HasPrefix(imported, "golang.org/x/text/"):
			wrong = append(wrong, path+" is pure and imports "+imported+" from outside")
		}
	}
	return wrong
}

// hidden finds calls of the hidden clock, and imports of chance.
func hidden(file *ast.File) []string {
	var wrong []string
	for _, imported := range file.Imports {
		if p := strings.Trim(imported.Path.Value, `"`); strings.HasSuffix(p, "/rand") || strings.HasPrefix(p, "math/rand") {
			wrong = append(wrong, "imports "+p)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "Tick", "NewTimer", "NewTicker"}, s.Sel.Name) {
				wrong = append(wrong, "calls time."+s.Sel.Name)
			}
		}
		return true
	})
	return wrong
}

func TestLayers(t *testing.T) {
	out, err := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,GoFiles,Imports,Standard", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		for _, wrong := range wrongImports(p.ImportPath, p.Imports) {
			t.Error(wrong)
		}
		if row := rowOf(p.ImportPath); row < 0 || row >= pureRows {
			continue
		}
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, wrong := range hidden(file) {
				t.Errorf("%s/%s is pure and %s", p.ImportPath, name, wrong)
			}
		}
	}
}

func TestLayerCheckerSeesWrongImports(t *testing.T) {
	for _, c := range []struct{ path, imported string }{
		{"channels", module + "preferences"},
		{"gateway/intake", module + "gateway/dispatch"},
		{"gateway", "database/sql"},
		{"preferences", "github.com/redis/go-redis/v9"},
		{"gateway/helpers", "strings"},
	} {
		if len(wrongImports(module+c.path, []string{c.imported})) == 0 {
			t.Errorf("%s may import %s", c.path, c.imported)
		}
	}
	if wrong := wrongImports(module+"gateway", []string{"time", module + "preferences/policy", "golang.org/x/text/unicode/norm"}); len(wrong) > 0 {
		t.Error(wrong)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nimport \"time\"\nvar now = time.Now()", 0)
	if err != nil || len(hidden(file)) == 0 {
		t.Error("a hidden clock is not seen")
	}
}
