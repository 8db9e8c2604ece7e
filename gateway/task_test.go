package gateway_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

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
