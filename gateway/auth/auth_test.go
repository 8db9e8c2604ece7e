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

// Closing a task records stops, lifts and what is in force of an instruction: nobody may
// do that by a task who may not do it by hand.
func TestWhoWorksOnTasksMayDoWhatTheirOutcomesRecord(t *testing.T) {
	for _, role := range auth.Roles {
		if role.May(auth.WorkTasks) && !(role.May(auth.ManageStops) && role.May(auth.WritePatient)) {
			t.Errorf("%s works on tasks, and may not do what their outcomes record", role)
		}
	}
}
