package auth_test

import (
	"strings"
	"testing"

	"harmonize.care/heed/gateway/auth"
)

func TestNamesOfKeys(t *testing.T) {
	for _, name := range []string{"ehr", "front-desk_2", "a.b"} {
		if problem := auth.NameProblem(name); problem != "" {
			t.Errorf("%s: %s", name, problem)
		}
	}
	for _, name := range []string{"", "admin", "heed", "patient", "twilio", "sendgrid", "smtp", "import", "cli", "Admin", "cli:root", "a b", "a\n", "ä", strings.Repeat("a", 65)} {
		if auth.NameProblem(name) == "" {
			t.Errorf("%q is taken for a name", name)
		}
	}
}
