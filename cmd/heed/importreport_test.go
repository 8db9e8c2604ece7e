package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"harmonize.care/heed/gateway/imports"
)

// TestImportReportInWords: sums, one of a thing, and nothing at all.
func TestImportReportInWords(t *testing.T) {
	for want, r := range map[string]imports.Report{
		"1 line: 1 held.\n":                  {Lines: 1, Counts: map[imports.Outcome]int{imports.Held: 1}},
		"2 lines: 1 imported, 1 rejected.\n": {Lines: 2, Counts: map[imports.Outcome]int{imports.Imported: 1, imports.Rejected: 1}},
		"No line stands below the header.\n": {},
	} {
		var got bytes.Buffer
		writeReport(&got, r, false)
		if got.String() != want {
			t.Errorf("%q, wanted %q", got.String(), want)
		}
	}
	if one, two := counted(1, "segment"), counted(2, "segment"); one != "1 segment" || two != "2 segments" {
		t.Error(one, two)
	}
}

// TestImportOfAWrongFile says what is wrong, and no report of what was not done.
func TestImportOfAWrongFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wrong.csv")
	if err := os.WriteFile(file, []byte("Shoe Size,Color\n9,red\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir()) // the database lies where the command runs
	var out, errs bytes.Buffer
	root := newCommand(strings.NewReader(""), &out, &errs).root()
	root.SetArgs([]string{"import", "patients", file})
	if err := root.ExecuteContext(t.Context()); err == nil {
		t.Error("it was taken")
	}
	if out.Len() > 0 {
		t.Errorf("it reported %q", out.String())
	}
}
