package api

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"strings"
	"time"
)

// WriteCSV writes the same as a table for a spreadsheet (RFC 4180), a row for each thing
// that is kept: which part it is of, its id, when, in words, and all of it as JSON.
func (e *Exporting) WriteCSV(ctx context.Context, to io.Writer) error {
	t := &table{to: csv.NewWriter(to), paged: e.Paged}
	t.cells("part", "id", "at", "said", "data")
	t.row("patient", e.head.Patient.ID, e.head.ExportedAt, "", e.head.Patient)
	t.row("preferences", "", e.head.ExportedAt, "", e.head.Preferences)
	for _, stop := range e.head.Stops {
		t.row("stops", "", deref(stop.At), "Stopped "+stop.Program+" at "+stop.Number+".", stop)
	}
	tableOf(t, e.ledger(ctx), func(r *LedgerOut) { t.row("ledger", r.ID, r.At, r.Said, r) })
	tableOf(t, e.messages(ctx), func(r *ExportedMessage) {
		t.row("messages", r.ID, r.CreatedAt, strings.TrimSpace(r.Category+" "+r.Template+": "+r.Status+". "+r.Reason), r)
	})
	tableOf(t, e.tasks(ctx), func(r *TaskOut) { t.row("tasks", r.ID, r.CreatedAt, r.Title, r) })
	tableOf(t, e.disclosures(ctx), func(r *DisclosureOut) { t.row("disclosures", r.ID, r.At, r.Said, r) })
	if t.to.Flush(); t.err == nil {
		t.err = t.to.Error()
	}
	return t.err
}

// table writes rows. After a fault it writes nothing more.
type table struct {
	to    *csv.Writer
	paged func() error
	err   error
}

func (t *table) cells(cells ...string) {
	if t.err == nil {
		t.err = t.to.Write(cells)
	}
}

func (t *table) row(part, id string, at time.Time, said string, all any) {
	data, err := json.Marshal(all)
	if t.err == nil {
		t.err = err
	}
	when := ""
	if !at.IsZero() {
		when = at.UTC().Format(time.RFC3339)
	}
	t.cells(part, plainCell(id), when, plainCell(said), string(data))
}

func tableOf[T any](t *table, page pageOf[T], row func(*T)) {
	if t.err == nil {
		t.err = eachPage(page, t.paged, func(v *T) error {
			row(v)
			return t.err
		})
	}
}

// plainCell keeps a spreadsheet from taking a text for a formula: it may hold what
// anybody wrote. https://owasp.org/www-community/attacks/CSV_Injection
func plainCell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

func deref(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
