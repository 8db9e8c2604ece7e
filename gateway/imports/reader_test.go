package imports

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/gateway/intake"
)

// readFile reads a file as "line: a|b" or "line! why".
func readFile(t *testing.T, text string) []string {
	t.Helper()
	f, header, err := openFile(strings.NewReader(text))
	if err != nil {
		return []string{err.Error()}
	}
	list := []string{strings.Join(header, "|")}
	for {
		rec, err := f.next()
		switch {
		case errors.Is(err, io.EOF):
			return list
		case err != nil:
			t.Fatal(err)
		case rec.wrong != "":
			list = append(list, fmt.Sprintf("%d!", rec.line))
		default:
			list = append(list, fmt.Sprintf("%d: %s", rec.line, strings.Join(rec.fields, "|")))
		}
	}
}

func TestReader(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"a mark and both ends":          {"\ufeffa,b\r\n1,2\r\n3,4\n5,6", []string{"a|b", "2: 1|2", "3: 3|4", "4: 5|6"}},
		"quotes":                        {"a,b\n\"x, y\",\"say \"\"hi\"\"\"\n", []string{"a|b", `2: x, y|say "hi"`}},
		"a field over two lines":        {"a,b\n1,\"one\ntwo\"\n3,4\n", []string{"a|b", "2: 1|one\ntwo", "4: 3|4"}},
		"empty lines":                   {"\n\na,b\n\n1,2\n,\n  \n3,4\n", []string{"a|b", "4: ", "5: 1|2", "6: ", "7: ", "8: 3|4"}},
		"a quote that is never closed":  {"a,b\n1,\"2\n3,4\n5,6\n", []string{"a|b", "2!", "3: 3|4", "4: 5|6"}},
		"a quote in the open":           {"a,b\n1,5\"10\n3,4\n5,\"6\"\n7,8\n", []string{"a|b", "2!", "3: 3|4", "4: 5|6", "5: 7|8"}},
		"two quotes in the open":        {"a,b\n1,5\"10\n3,4\n5,6\"\n7,8\n", []string{"a|b", "2!", "3: 3|4", "4!", "5: 7|8"}},
		"a quote that would swallow":    {"a,b\n1,\"2\n3,\"4\"\n5,6\n", []string{"a|b", "2!", "3: 3|4", "4: 5|6"}},
		"too many and too few":          {"a,b\n1,2,3\n1\n3,4\n", []string{"a|b", "2!", "3!", "4: 3|4"}},
		"a quote over two, too few":     {"a,b,c\n1,\"x\n2,3\"\n5,6,7\n", []string{"a|b|c", "2!", "3!", "4: 5|6|7"}},
		"a quote over two, enough":      {"a,b,c\n1,2,\"x\n3,4\"\n5,6,7\n", []string{"a|b|c", "2: 1|2|x\n3,4", "4: 5|6|7"}},
		"a NUL, and Windows-1252":       {"a,b\n1,\x002\nMu\xf1oz,2\n3,4\n", []string{"a|b", "2!", "3!", "4: 3|4"}},
		"a line that is too long":       {"a,b\n" + strings.Repeat("x", maxLine+5) + ",1\n3,4\n", []string{"a|b", "2!", "3: 3|4"}},
		"a quoted line that is too big": {"a,b\n1,\"2\n" + strings.Repeat("x", maxLine+5) + "\n3,4\n", []string{"a|b", "2!", "3!", "4: 3|4"}},
		"nothing":                       {"", []string{errEmpty.Error()}},
		"only a mark":                   {"\ufeff\n\n", []string{errEmpty.Error()}},
		"UTF-16, little end first":      {"\xff\xfea\x00,\x00", []string{errUTF16.Error()}},
		"UTF-16, big end first":         {"\xfe\xff\x00a", []string{errUTF16.Error()}},
	} {
		if got := readFile(t, c.file); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q; want %q", name, got, c.want)
		}
	}
	if got := readFile(t, "a\x00,b\n1,2\n"); len(got) != 1 || !strings.Contains(got[0], "line 1") {
		t.Errorf("%q", got)
	}
}

func TestReaderTellsAFault(t *testing.T) {
	broken := errors.New("the disk is gone")
	for _, r := range []io.Reader{iotest.ErrReader(broken), io.MultiReader(strings.NewReader("a,b\n1,2\n"), iotest.ErrReader(broken))} {
		f, _, err := openFile(r)
		for err == nil {
			_, err = f.next()
		}
		if !errors.Is(err, broken) {
			t.Error(err)
		}
	}
}

// FuzzFiles reads anything as either file: every byte belongs to one row, and every
// line of a report is a line of the file, once.
func FuzzFiles(f *testing.F) {
	f.Add("MRN,DOB,Cell Phone,OK to Text,Confidential Comm\n1,01/02/1980,(303) 555-0101,N,email only\n\"2\n3,x\n")
	f.Add("Appt ID,MRN,Start,Status,Location\nA1,1,02/12/2027 09:30 AM,Booked,Here\nA1,1,\"02/12/2027\n,Booked,Here\n")
	f.Add("\ufeffID,Birth Date\r\n\"\"\"\",\r\n\"a\",\"b\" \n")
	f.Fuzz(func(t *testing.T, text string) {
		if rows, _, err := openFile(strings.NewReader(text)); err == nil {
			for line := 0; ; {
				rec, err := rows.next()
				if err != nil {
					break
				}
				if rec.line <= line || rec.wrong == "" && !rec.blank() && len(rec.fields) != rows.width {
					t.Fatalf("line %d after %d: %+v", rec.line, line, rec)
				}
				line = rec.line
			}
			if rows.total != int64(len(text)) {
				t.Fatalf("%d of %d bytes read", rows.total, len(text))
			}
		}
		now := func() time.Time { return time.Date(2026, 11, 2, 17, 0, 0, 0, time.UTC) }
		take := func(s string) (string, error) { return s, nil }
		o := Options{Intake: &intake.Service{Now: now}, Dispatcher: &dispatch.Dispatcher{Now: now}, ParsePhone: take, ParseMailbox: take, Zone: time.UTC}
		p := &patients{Options: o, report: newReport(), byID: map[string]*patient{}}
		if rows, err := p.open(strings.NewReader(text)); err == nil && p.readAll(rows) == nil {
			n := 0
			for _, one := range p.list {
				n += len(one.rows)
				p.imported(one)
			}
			settled(t, p.report, n)
		}
		a := &appointments{Options: o, report: newReport(), byID: map[string]*appointment{}, now: now()}
		if rows, header, err := openFile(strings.NewReader(text)); err == nil {
			if a.layout, _, err = readHeader(header, appointmentColumns, nil); err == nil && eachRow(rows, a.report, a.read) == nil {
				n := 0
				for _, one := range a.list {
					n += len(one.rows)
				}
				settled(t, a.report, n)
			}
		}
	})
}

// settled checks that exactly the lines still to be kept have no outcome.
func settled(t *testing.T, r *Report, pending int) {
	t.Helper()
	last := 0
	for _, row := range r.Rows {
		if row.Outcome == "" {
			pending--
		}
		if row.Line <= last {
			t.Fatalf("line %d after %d", row.Line, last)
		}
		last = row.Line
	}
	if pending != 0 || len(r.Rows) != r.Lines {
		t.Fatalf("%d lines too many or too few; %d rows of %d lines", pending, len(r.Rows), r.Lines)
	}
}

func TestHeader(t *testing.T) {
	l, ignored, err := readHeader([]string{"Chart #", " D.O.B. ", "E-Mail", "Cell", "Shoe Size", ""}, patientColumns, nil)
	if err != nil || l.at[fieldID] != 0 || l.at[fieldBirth] != 1 || l.at[fieldMailbox] != 2 || l.at[fieldMobile] != 3 || !slices.Equal(ignored, []string{"Shoe Size"}) {
		t.Errorf("%+v, %v, %v", l, ignored, err)
	}
	if got := l.get([]string{" 7 ", "x"}, fieldID); got != "7" || l.name(fieldID) != "Chart #" {
		t.Errorf("%q, %q", got, l.name(fieldID))
	}
	l, ignored, err = readHeader([]string{"ID", "MRN", "Geburtstag"}, patientColumns, map[string]string{"mrn": "id", "Geburtstag": "birth_date"})
	if err != nil || l.at[fieldID] != 1 || l.at[fieldBirth] != 2 || !slices.Equal(ignored, []string{"ID"}) {
		t.Errorf("%+v, %v, %v", l, ignored, err)
	}
}

func TestHeaderMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		header string
		mapped map[string]string
		want   []string
	}{
		"a patient":          {"100000,Mei,Begay,09/04/1942", nil, []string{"id: no column", "birth_date: no column", "--map"}},
		"semicolons":         {"MRN;DOB", nil, []string{"id: no column", "commas"}},
		"a name twice":       {"MRN,DOB,Email,E-mail,E mail", nil, []string{"columns 3 and 4 have the same name"}},
		"two that could be":  {"MRN,Patient ID,DOB", nil, []string{"id: columns 1 and 2 can both be meant", "--map COLUMN=id"}},
		"no such field":      {"MRN,DOB,X", map[string]string{"X": "shoe"}, []string{`--map: "shoe" is no field: use one of id, given_name`}},
		"no such column":     {"MRN,DOB", map[string]string{"X": "email"}, []string{`--map: the file has no column "X"`}},
		"a field twice":      {"MRN,DOB,X,Y", map[string]string{"X": "email", "Y": "email"}, []string{"--map: two columns are mapped to email"}},
		"everything at once": {"X", map[string]string{"Y": "email"}, []string{"--map", "id: no column", "birth_date: no column"}},
	} {
		_, _, err := readHeader(strings.Split(c.header, ","), patientColumns, c.mapped)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %q", name, err, want)
			}
		}
		if err != nil && (strings.Contains(err.Error(), "Begay") || strings.Contains(err.Error(), "1942")) {
			t.Errorf("%s: the error repeats what stands there: %v", name, err)
		}
	}
}

// TestColumnNames: no name of one field may be read as another's.
func TestColumnNames(t *testing.T) {
	for _, known := range [][]column{patientColumns, appointmentColumns} {
		of := map[string]field{}
		for _, c := range known {
			for name := range strings.SplitSeq(c.names, "|") {
				if first, twice := of[squeeze(name)]; twice {
					t.Errorf("%q is a name of %s and of %s", name, first, c.field)
				}
				of[squeeze(name)] = c.field
			}
		}
	}
}
