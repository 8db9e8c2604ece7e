package campaign

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"harmonize.care/heed/gateway"
)

// Added is what an upload came to.
type Added struct {
	Rows     int64 // lines of the list
	New      int64
	Already  int64 // stood at their position before: the list was uploaded again
	Repeated int64 // stand at an earlier position: everybody is in an audience once
	Unknown  int64 // of the new ones: no patient has the id. They are counted, and nothing is sent
	Last     int64 // the last position
}

func (a *Added) plus(b Added) {
	a.New += b.New
	a.Already += b.Already
	a.Repeated += b.Repeated
	a.Unknown += b.Unknown
	a.Last = max(a.Last, b.Last)
}

const (
	// audienceBatch is how many lines are kept in one commit: memory does not grow with the list.
	audienceBatch = 1000
	maxLine       = 64 << 10 // bytes
	maxRef        = 128      // as the API has it
)

// Format is how a list is written.
type Format string

// The formats.
const (
	CSV    Format = "csv"    // a header, with a column `patient`
	NDJSON Format = "ndjson" // a line each: {"patient": "…"}, or the id alone as a JSON text
)

// Upload adds a list of the practice's ids to an audience, a part at a time. The n-th line is
// position n (after First-1): the same list again changes nothing, so that an upload that
// broke off is made again. gateway.Invalid, gateway.NotNow; what came before the mistake
// is kept.
func (s *Service) Upload(ctx context.Context, call Call, id int64, f Format, first int64, list io.Reader) (Added, error) {
	c, err := s.Office.Campaign(ctx, id)
	if err != nil {
		return Added{}, err
	}
	if err := Editable(c); err != nil {
		return Added{}, err
	}
	var total Added
	pos := first
	change := s.change(call, "campaign.audience", id)
	err = readAudience(list, f, func(refs []string) error {
		known, err := s.Office.PatientIDs(ctx, refs)
		if err != nil {
			return err
		}
		rows := make([]Recipient, len(refs))
		for i, ref := range refs {
			rows[i] = Recipient{Pos: pos, Patient: -pos} // below 0: nobody
			if patient, ok := known[ref]; ok {
				rows[i].Patient = patient
			}
			pos++
		}
		added, err := s.Office.AddRecipients(ctx, change, id, call.By, rows)
		if err != nil {
			return err
		}
		change.Audit = nil // once
		total.plus(added)
		total.Rows += int64(len(refs))
		return nil
	})
	return total, err
}

// Clear empties an audience.
func (s *Service) Clear(ctx context.Context, call Call, id int64) error {
	return s.Office.ClearRecipients(ctx, s.change(call, "campaign.audience_cleared", id), id, call.By)
}

// readAudience reads ids, a batch at a time.
func readAudience(r io.Reader, f Format, take func([]string) error) error {
	next := ndjson(r)
	if f == CSV {
		var err error
		if next, err = csvColumn(r); err != nil {
			return err
		}
	}
	batch := make([]string, 0, audienceBatch)
	for over := false; !over; {
		ref, err := next()
		switch over = errors.Is(err, io.EOF); {
		case over:
		case err != nil:
			return err
		default:
			batch = append(batch, ref)
		}
		if len(batch) == audienceBatch || over && len(batch) > 0 {
			if err := take(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return nil
}

// plainRef says whether a text can be somebody's id. One that cannot is nobody's.
func plainRef(ref string) string {
	if ref == "" || len(ref) > maxRef || gateway.TextProblem(ref, false) != "" {
		return ""
	}
	return ref
}

// bounded fails when one record is longer than it may be: a quote that is never closed
// would take all of the list into memory.
type bounded struct {
	r    io.Reader
	left int
}

var errLong = errors.New("a line is longer than 64 KB")

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLong
	}
	n, err := b.r.Read(p)
	b.left -= n
	return n, err
}

func csvColumn(r io.Reader) (func() (string, error), error) {
	in := &bounded{r, maxLine}
	table := csv.NewReader(skipMark(in))
	table.ReuseRecord, table.FieldsPerRecord = true, -1
	header, err := table.Read()
	if errors.Is(err, io.EOF) {
		return nil, gateway.Wrong("audience", "is empty: the first line names the columns, and one of them is `patient`")
	}
	if err != nil {
		return nil, unread(err, 1)
	}
	column := slices.IndexFunc(header, func(name string) bool { return strings.EqualFold(strings.TrimSpace(name), "patient") })
	if column < 0 {
		return nil, gateway.Wrong("audience", "has no column `patient` in its first line")
	}
	line := 1
	return func() (string, error) {
		in.left = maxLine
		record, err := table.Read()
		line++
		if err != nil {
			return "", unread(err, line)
		}
		if column >= len(record) {
			return "", nil
		}
		return plainRef(strings.Clone(strings.TrimSpace(record[column]))), nil
	}, nil
}

// skipMark passes over the mark that spreadsheets put before UTF-8.
func skipMark(r io.Reader) io.Reader {
	b := bufio.NewReaderSize(r, 4096)
	if head, err := b.Peek(3); err == nil && bytes.Equal(head, []byte("\ufeff")) {
		_, _ = b.Discard(3) // it was just seen
	}
	return b
}

func ndjson(r io.Reader) func() (string, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 4096), maxLine)
	line := 0
	return func() (string, error) {
		for lines.Scan() {
			line++
			text := bytes.TrimSpace(lines.Bytes())
			if len(text) == 0 {
				continue
			}
			var ref string
			if json.Unmarshal(text, &ref) == nil {
				return plainRef(ref), nil
			}
			var row struct {
				Patient *string `json:"patient"`
			}
			in := json.NewDecoder(bytes.NewReader(text))
			in.DisallowUnknownFields()
			if in.Decode(&row) != nil || row.Patient == nil || in.More() {
				return "", gateway.Wrong("audience", fmt.Sprintf(`line %d: write {"patient": "…"} or the id as a JSON text`, line))
			}
			return plainRef(*row.Patient), nil
		}
		if err := lines.Err(); err != nil {
			return "", unread(err, line+1)
		}
		return "", io.EOF
	}
}

// unread tells what could not be read by its line, and never by what stands there.
func unread(err error, line int) error {
	var broken *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.As(err, &broken):
		return gateway.Wrong("audience", fmt.Sprintf("line %d: a quote stands wrong", broken.Line))
	case errors.Is(err, errLong), errors.Is(err, bufio.ErrTooLong):
		return gateway.Wrong("audience", fmt.Sprintf("line %d: is longer than 64 KB", line))
	}
	return err // the connection
}
