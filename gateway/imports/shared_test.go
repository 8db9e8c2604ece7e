package imports_test

import (
	"context"
	"encoding/csv"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/gateway/imports"
)

// sampleExport reads one of the sample exports beside the repository.
func sampleExport(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "data", name))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the sample exports are not beside this repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	if underRace {
		return strings.Join(strings.SplitAfter(string(text), "\n")[:300], "")
	}
	return string(text)
}

// column lists one column of a file.
func column(t *testing.T, file string, at int) []string {
	t.Helper()
	all, err := csv.NewReader(strings.NewReader(file)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, row := range all[1:] {
		list = append(list, row[at])
	}
	return list
}

func TestSampleExports(t *testing.T) {
	patients, appointments := sampleExport(t, "practice_patients.csv"), sampleExport(t, "practice_appointments.csv")
	h := newHouse(t)
	h.clock = time.Date(2026, 11, 25, 12, 0, 0, 0, denver)
	begun := time.Now()
	first := h.patients(patients)
	firstA := h.appointments(appointments)
	took := time.Since(begun)
	t.Logf("both files in %s\n%v, %d minors\n%v, %d past", took, first.Counts, first.Minors, firstA.Counts, firstA.Past)
	if took > 30*time.Second && !underRace {
		t.Errorf("both files took %s; they must take less than 30 s", took)
	}
	if lines := strings.Count(patients, "\n") - 1; first.Lines != lines {
		t.Errorf("%d lines in the report, %d in the file", first.Lines, lines)
	}
	if lines := strings.Count(appointments, "\n") - 1; firstA.Lines != lines {
		t.Errorf("%d lines in the report, %d in the file", firstA.Lines, lines)
	}
	refs, ids := column(t, patients, 0), column(t, appointments, 0)
	before := h.contents(refs, ids)
	h.clock = h.clock.Add(time.Minute)
	second, secondA := h.patients(patients), h.appointments(appointments)
	t.Logf("again\n%v\n%v", second.Counts, secondA.Counts)
	h.same(before, h.contents(refs, ids))
	if second.Counts[imports.Imported] != 0 || secondA.Counts[imports.Imported]+secondA.Counts[imports.Moved]+secondA.Counts[imports.Canceled] != 0 {
		t.Errorf("a second run did something: %v %v", second.Counts, secondA.Counts)
	}
	if v, err := h.db.Verify(context.Background()); err != nil || len(v.Faults) > 0 {
		t.Error(v.Faults, err)
	}
}
