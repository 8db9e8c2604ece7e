package imports

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// The limits of a file. A line over them is rejected by itself; more lines than
// maxLines refuse the file.
const (
	maxLine  = 64 << 10 // bytes of one line, and of a row that goes on over several
	maxSpan  = 64       // lines of one row
	maxLines = 1_000_000
)

var (
	errUTF16   = errors.New("the file is UTF-16: save it again as CSV UTF-8. Nothing was imported")
	errEmpty   = errors.New("the file is empty: its first line must name the columns. Nothing was imported")
	errTooMany = fmt.Errorf("the file has more than %d lines: split it. Nothing was imported", maxLines)
)

// record is one row of the file: its fields, or why it cannot be read.
type record struct {
	line   int // where it starts
	size   int64
	fields []string
	wrong  string
}

// blank: nothing in it; spreadsheets leave such lines at the end.
func (r *record) blank() bool {
	for _, f := range r.fields {
		if strings.TrimSpace(f) != "" {
			return false
		}
	}
	return r.wrong == ""
}

// rows cuts a file into rows (RFC 4180). A row with a stray quote costs that line
// and not the rest of the file: the lines that the quote would have swallowed are
// read again by themselves.
type rows struct {
	in    *bufio.Reader
	width int // how many fields a row must have; 0 while the header is read
	lines int
	total int64
	again []line
}

// line is one line as it stands in the file.
type line struct {
	no   int
	size int64
	text string
	long bool // over the limit: text is empty
}

// newRows looks at how the file is written and steps over a byte-order mark.
func newRows(r io.Reader) (*rows, error) {
	in := bufio.NewReaderSize(r, maxLine)
	head, err := in.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the file: %w", err)
	}
	if bytes.HasPrefix(head, []byte{0xff, 0xfe}) || bytes.HasPrefix(head, []byte{0xfe, 0xff}) {
		return nil, errUTF16
	}
	f := &rows{in: in}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		n, err := in.Discard(3)
		f.total += int64(n)
		if err != nil {
			return nil, fmt.Errorf("reading the file: %w", err)
		}
	}
	return f, nil
}

// take gives the next line; io.EOF after the last.
func (f *rows) take() (line, error) {
	if len(f.again) > 0 {
		l := f.again[0]
		f.again = f.again[1:]
		return l, nil
	}
	part, err := f.in.ReadSlice('\n')
	l := line{size: int64(len(part)), text: string(part)}
	for errors.Is(err, bufio.ErrBufferFull) {
		l.long, l.text = true, ""
		part, err = f.in.ReadSlice('\n')
		l.size += int64(len(part))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return l, fmt.Errorf("reading the file: %w. Nothing was imported", err)
	}
	if l.size == 0 {
		return l, io.EOF
	}
	f.lines++
	f.total += l.size
	l.no = f.lines
	if l.no > maxLines {
		return l, errTooMany
	}
	return l, nil
}

// next gives the next row; io.EOF after the last.
func (f *rows) next() (record, error) {
	first, err := f.take()
	if err != nil {
		return record{}, err
	}
	group := []line{first}
	size := first.size
	open := strings.Count(first.text, `"`)%2 == 1
	for open && len(group) < maxSpan {
		l, err := f.take()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return record{}, err
		}
		group = append(group, l)
		if size += l.size; l.long || size > maxLine {
			break
		}
		open = strings.Count(l.text, `"`)%2 == 0
	}
	fields, wrong := f.read(group)
	if wrong != "" {
		f.again = append(group[1:], f.again...)
		return record{line: first.no, size: first.size, wrong: wrong}, nil
	}
	return record{line: first.no, size: size, fields: fields}, nil
}

// read reads the lines of one row. A row with fields too many or too few is not
// guessed at: a comma too much would put one column's "N" under another.
func (f *rows) read(group []line) ([]string, string) {
	var text strings.Builder
	for _, l := range group {
		if l.long {
			return nil, fmt.Sprintf("longer than %d bytes", maxLine)
		}
		text.WriteString(l.text)
	}
	switch all := text.String(); {
	case strings.ContainsRune(all, 0):
		return nil, "holds a NUL byte: save the file again as CSV UTF-8"
	case !utf8.ValidString(all):
		return nil, "not UTF-8: save the file again as CSV UTF-8"
	case strings.TrimSpace(all) == "":
		return nil, ""
	}
	c := csv.NewReader(strings.NewReader(text.String()))
	fields, err := c.Read()
	if err == nil {
		if _, rest := c.Read(); !errors.Is(rest, io.EOF) {
			err = csv.ErrQuote
		}
	}
	if err != nil {
		return nil, `a quote (") is not closed, or stands inside a field that is not quoted: write it twice and quote the field (RFC 4180)`
	}
	if r := (record{fields: fields}); r.blank() {
		return nil, ""
	}
	if f.width > 0 && len(fields) != f.width {
		return nil, fmt.Sprintf("has %d fields where the header has %d: a field with a comma in it must be quoted", len(fields), f.width)
	}
	return fields, ""
}
