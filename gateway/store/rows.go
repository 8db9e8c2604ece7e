package store

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// into says where new rows go: the table, and its columns, each with its type.
type into struct {
	table   string
	columns []column
	// more is what comes after the rows: what happens where one is there already.
	more string
}

type column struct{ name, is string }

// typed reads "id BIGINT, name TEXT".
func typed(list string) []column {
	var columns []column
	for one := range strings.SplitSeq(list, ", ") {
		name, is, _ := strings.Cut(one, " ")
		columns = append(columns, column{name, is})
	}
	return columns
}

// statement inserts rows, all by one statement. One row alone, which is what there is as a
// rule, is planned faster when it is not a list.
func (d *DB) statement(to into, list [][]any) (statement, error) {
	names, values := make([]string, len(to.columns)), make([]string, len(to.columns))
	for i, c := range to.columns {
		names[i], values[i] = c.name, fmt.Sprintf("$%d", i+1)
	}
	start := "INSERT INTO " + to.table + " (" + strings.Join(names, ", ") + ") "
	if len(list) == 1 {
		return statement{query: start + "VALUES (" + strings.Join(values, ", ") + ")" + to.more, args: list[0]}, nil
	}
	for i, c := range to.columns {
		values[i] = d.member(i, c.is)
	}
	param, err := json.Marshal(texted(list))
	return statement{query: start + "SELECT " + strings.Join(values, ", ") + " FROM " + d.each(1) + " WHERE true" + to.more, args: []any{string(param)}}, err
}

// member is the nth member of a row of each, as a type.
func (d *DB) member(n int, is string) string {
	text := fmt.Sprintf("e.value ->> %d", n)
	switch is {
	case "TEXT":
		return text
	case "BYTEA":
		return d.unhex(text)
	}
	return "CAST(" + text + " AS " + is + ")"
}

// texted writes bytes as hex: JSON has none.
func texted(list [][]any) [][]any {
	for _, row := range list {
		for i, v := range row {
			if b, is := v.([]byte); is && b != nil {
				row[i] = hex.EncodeToString(b)
			} else if is {
				row[i] = nil
			}
		}
	}
	return list
}

// insert inserts rows; none at all for an empty list.
func (r *ride) insert(to into, list [][]any) error {
	if len(list) == 0 {
		return nil
	}
	s, err := r.statement(to, list)
	if err != nil {
		return err
	}
	return r.tx.later(s)
}

// inserted inserts rows, and gives what the statement gives back of each.
func (r *ride) inserted(to into, list [][]any, row func(scanner) error) error {
	s, err := r.statement(to, list)
	if err != nil {
		return err
	}
	s.row = row
	if err := r.tx.later(s); err != nil {
		return err
	}
	return r.tx.flush()
}

// unhex reads hex inside the database.
func (d *DB) unhex(expression string) string {
	if d.pg {
		return "decode(" + expression + ", 'hex')"
	}
	return "unhex(" + expression + ")"
}
