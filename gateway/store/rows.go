package store

import (
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
func (d *DB) statement(to into, list [][]any) statement {
	names, values := make([]string, len(to.columns)), make([]string, len(to.columns))
	for i, c := range to.columns {
		names[i], values[i] = c.name, fmt.Sprintf("$%d", i+1)
	}
	start := "INSERT INTO " + to.table + " (" + strings.Join(names, ", ") + ") "
	if len(list) == 1 {
		return statement{query: start + "VALUES (" + strings.Join(values, ", ") + ")" + to.more, args: list[0]}
	}
	t := d.tableOf(to.columns)
	for _, row := range list {
		t.row(row...)
	}
	return statement{query: start + "SELECT e." + strings.Join(names, ", e.") + " FROM " + t.from(1) + " WHERE true" + to.more, args: t.args()}
}

// insert inserts rows; none at all for an empty list.
func (r *ride) insert(to into, list [][]any) error {
	if len(list) == 0 {
		return nil
	}
	return r.tx.later(r.statement(to, list))
}

// inserted inserts rows, and gives what the statement gives back of each.
func (r *ride) inserted(to into, list [][]any, row func(scanner) error) error {
	s := r.statement(to, list)
	s.row = row
	if err := r.tx.later(s); err != nil {
		return err
	}
	return r.tx.flush()
}
