package imports_test

import (
	"testing"

	"harmonize.care/heed/gateway/imports"
)

func TestRowsWithControlCharactersAreRejected(t *testing.T) {
	h := newHouse(t)
	report := h.patients("MRN,First Name,Last Name,DOB,Confidential Comm\n" +
		"P1,Ann\x1b[2J,Lee,04/02/1980,\n" +
		"P2,Ann,\"Lee\r\nMiller\",04/02/1980,\n" +
		"P\x073,Ann,Lee,04/02/1980,\n" +
		"P4,Ann,Lee,04/02/1980,\"call\x08 first\"\n" +
		"P5,Ann,Lee,04/02/1980,\"please\r\ncall first\"\n")
	var got []imports.Outcome
	for _, row := range report.Rows {
		got = append(got, row.Outcome)
	}
	for i, want := range []imports.Outcome{imports.Rejected, imports.Rejected, imports.Rejected, imports.Rejected, imports.Held} {
		if got[i] != want {
			t.Errorf("row %d: %s, wanted %s: %v", i+1, got[i], want, report.Rows[i].Notes)
		}
	}
	booked := h.appointments("Appt ID,MRN,Start,Status,Location\nA\x001,P5,01/07/2030 10:30 AM,booked,x\nA2,P5,01/07/2030 10:30 AM,booked,Room\x1b1\n")
	if booked.Counts[imports.Rejected] != 2 {
		t.Errorf("%+v", booked.Rows)
	}
}
