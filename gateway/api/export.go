package api

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
)

// ExportOut is everything that is kept of a patient: what a person may ask a copy of,
// 45 CFR 164.524. It is written piece by piece and never held as a whole.
type ExportOut struct {
	ExportedAt  time.Time         `json:"exported_at"`
	Patient     PatientOut        `json:"patient"`
	Preferences PreferencesOut    `json:"preferences"`
	Stops       []StopOut         `json:"stops"`
	Ledger      []LedgerOut       `json:"ledger"`
	Messages    []ExportedMessage `json:"messages"`
	Tasks       []TaskOut         `json:"tasks" doc:"Open and done. Words from a number are left out where somebody else has, or had, it."`
	Disclosures []DisclosureOut   `json:"disclosures" doc:"Of the last six years; this copy is the last of them."`
}

// ExportedMessage is a message with all that is kept of it.
type ExportedMessage struct {
	MessageFull
	AskedBy   string            `json:"asked_by,omitempty" doc:"Who asked for it, as the audit log names them."`
	Variables map[string]string `json:"variables,omitempty" doc:"What its text was filled with."`
	Decisions []DecisionOut     `json:"decisions" doc:"Every one, oldest first."`
}

// exportPage is how many rows of a list are in memory at a time.
const exportPage = 50

// exportPause is how long the caller may take over one page.
const exportPause = 60 * time.Second

func (a *API) export(h huma.API) {
	o := sees(gateway.CopyTaken, op(http.MethodGet, "/v1/patients/{id}/export", "Everything that is kept of a patient, as one document", auth.ExportPatient))
	o.Responses = map[string]*huma.Response{"200": {
		Description: "The document. One that ends early was broken off by a fault: ask again.",
		Content: map[string]*huma.MediaType{"application/json": {
			Schema: h.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[ExportOut](), true, "ExportOut"),
		}, "text/csv": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}}
	register(a, h, o, func(ctx context.Context, in *struct {
		PatientPath
		Format string `query:"format" enum:"json,csv" default:"json" doc:"csv: a row for each thing, with all of it as JSON in the last column."`
	}) (*huma.StreamResponse, error) {
		id, err := a.patientID(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		looksAt(ctx, id)
		e, err := a.Export(ctx, id, in.ID)
		if err != nil {
			return nil, err
		}
		write, kind := e.Write, "application/json"
		if in.Format == "csv" {
			write, kind = e.WriteCSV, "text/csv"
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			c.SetHeader("Content-Type", kind)
			c.SetHeader("Cache-Control", "no-store")
			_, w := humago.Unwrap(c)
			control := http.NewResponseController(w)
			e.Paged = func() error { return control.SetWriteDeadline(time.Now().Add(exportPause)) }
			if err := write(ctx, c.BodyWriter()); err != nil {
				a.Log.Error("an export broke off", "error", err)
				panic(http.ErrAbortHandler) // nobody may take half a document for a whole one
			}
		}}, nil
	})
}

// Exporting is one export under way.
type Exporting struct {
	// Paged is called after each page. It may be nil.
	Paged func() error

	api  *API
	head ExportOut
	view *ledgerView
}

// Export reads what stands at the head of an export; what may fail for a reason that
// the caller can mend fails here. The ref is the one that was asked with: of somebody
// erased nobody else knows it. The copy has to stand in the audit log before it is
// written.
func (a *API) Export(ctx context.Context, patient int64, ref string) (*Exporting, error) {
	e := &Exporting{api: a, head: ExportOut{ExportedAt: a.Now().UTC()}}
	var err error
	if e.head.Patient, err = a.Patient(ctx, patient); err != nil {
		return nil, err
	}
	e.head.Patient.ID = ref
	if e.head.Preferences, err = a.Preferences(ctx, patient); err != nil {
		return nil, err
	}
	if e.view, err = a.ledgerView(ctx, patient); err != nil {
		return nil, err
	}
	e.head.Stops, err = a.stopsBinding(ctx, e.view.p)
	return e, err
}

// Write writes the document, one page of rows at a time.
func (e *Exporting) Write(ctx context.Context, to io.Writer) error {
	d := &document{to: bufio.NewWriter(to), paged: e.Paged}
	d.begin()
	d.member("exported_at", e.head.ExportedAt)
	d.member("patient", e.head.Patient)
	d.member("preferences", e.head.Preferences)
	d.member("stops", e.head.Stops)
	list(d, "ledger", e.ledger(ctx))
	list(d, "messages", e.messages(ctx))
	list(d, "tasks", e.tasks(ctx))
	list(d, "disclosures", e.disclosures(ctx))
	d.end()
	return d.err
}

// pageOf gives the rows after a cursor and the next cursor, or 0 at the end.
type pageOf[T any] func(after int64) ([]T, int64, error)

// eachPage reads page by page and hands every row on.
func eachPage[T any](page pageOf[T], paged func() error, each func(*T) error) error {
	for after := int64(0); ; {
		rows, more, err := page(after)
		if err != nil {
			return err
		}
		for i := range rows {
			if err := each(&rows[i]); err != nil {
				return err
			}
		}
		if paged != nil {
			if err := paged(); err != nil {
				return err
			}
		}
		if more == 0 {
			return nil
		}
		after = more
	}
}

func (e *Exporting) ledger(ctx context.Context) pageOf[LedgerOut] {
	return func(after int64) ([]LedgerOut, int64, error) { return e.api.ledgerPage(ctx, e.view, after, exportPage) }
}

func (e *Exporting) disclosures(ctx context.Context) pageOf[DisclosureOut] {
	return func(after int64) ([]DisclosureOut, int64, error) {
		rows, err := e.api.disclosed(ctx, e.view.p, after, exportPage)
		return rows, next(rows, exportPage, func(row *DisclosureOut) string { return row.ID }), err
	}
}

func (e *Exporting) messages(ctx context.Context) pageOf[ExportedMessage] {
	return func(after int64) ([]ExportedMessage, int64, error) { return e.messagePage(ctx, after) }
}

func (e *Exporting) messagePage(ctx context.Context, after int64) ([]ExportedMessage, int64, error) {
	a := e.api
	found, err := a.readMessages(ctx, gateway.MessageFilter{Patient: e.view.p.ID, After: after, Limit: exportPage})
	if err != nil {
		return nil, 0, err
	}
	ids := make([]int64, len(found))
	for i := range found {
		ids[i] = found[i].ID
	}
	kept, err := a.Store.DecisionsOf(ctx, ids)
	if err != nil {
		return nil, 0, err
	}
	decisions := map[int64][]DecisionOut{}
	for _, r := range kept {
		told, err := a.KeptDecision(ctx, r)
		if err != nil {
			return nil, 0, err
		}
		decisions[r.Message] = append(decisions[r.Message], told)
	}
	rows := []ExportedMessage{}
	for i := range found {
		m := &found[i]
		full, err := a.full(ctx, m)
		if err != nil {
			return nil, 0, err
		}
		rows = append(rows, ExportedMessage{full, m.Body.Actor, m.Body.Variables, append([]DecisionOut{}, decisions[m.ID]...)})
	}
	return rows, next(rows, exportPage, func(m *ExportedMessage) string { return m.ID }), nil
}

// tasks gives the pages of the open tasks, and then of those that are done.
func (e *Exporting) tasks(ctx context.Context) pageOf[TaskOut] {
	done := false
	return func(after int64) ([]TaskOut, int64, error) {
		rows, more, err := e.taskPage(ctx, done, after)
		if err != nil || more != 0 || done {
			return rows, more, err
		}
		done = true
		ended, more, err := e.taskPage(ctx, done, 0)
		return append(rows, ended...), more, err
	}
}

func (e *Exporting) taskPage(ctx context.Context, done bool, after int64) ([]TaskOut, int64, error) {
	found, err := e.api.Store.Tasks(ctx, gateway.TaskFilter{Patient: e.view.p.ID, Done: done, After: after, Limit: exportPage})
	if err != nil {
		return nil, 0, err
	}
	rows := []TaskOut{}
	for i := range found {
		row, err := e.api.taskWords(ctx, &found[i])
		if err != nil {
			return nil, 0, err
		}
		if number := row.Number; number != "" && !e.view.alone[number] {
			withoutWords(&row, found[i].Kind)
		}
		rows = append(rows, row)
	}
	return rows, next(rows, exportPage, func(t *TaskOut) string { return t.ID }), nil
}

// withoutWords leaves out what was written, and what staff wrote of it: a task was given
// to whoever was known to have the number then, and the words may be another person's.
func withoutWords(t *TaskOut, kind gateway.TaskKind) {
	t.Number, t.Quote, t.Note, t.Reasons = "", "", "", nil
	if o, err := kind.Outcome(t.Outcome); err != nil || o.Code == "" {
		t.Outcome = ""
	}
}

// next is the cursor behind a full page; 0: the list ends here.
func next[T any](rows []T, full int, id func(*T) string) int64 {
	if len(rows) < full {
		return 0
	}
	after, _ := strconv.ParseInt(id(&rows[len(rows)-1]), 10, 64) // our own ids are numbers
	return after
}

// document writes one JSON object member by member. After a fault it writes nothing more.
type document struct {
	to    *bufio.Writer
	paged func() error
	err   error
	open  bool // a member stands before
}

func (d *document) text(s string) {
	if d.err == nil {
		_, d.err = d.to.WriteString(s)
	}
}

func (d *document) value(v any) {
	if d.err != nil {
		return
	}
	enc := json.NewEncoder(d.to)
	enc.SetEscapeHTML(false)
	d.err = enc.Encode(v)
}

func (d *document) begin() { d.text("{\n") }

func (d *document) name(name string) {
	if d.open {
		d.text(",\n")
	}
	d.open = true
	d.text(strconv.Quote(name) + ": ")
}

func (d *document) member(name string, v any) {
	d.name(name)
	d.value(v)
}

func (d *document) end() {
	d.text("}\n")
	if d.err == nil {
		d.err = d.to.Flush()
	}
}

// list writes a list page by page.
func list[T any](d *document, name string, page pageOf[T]) {
	d.name(name)
	d.text("[\n")
	between := ""
	if d.err == nil {
		d.err = eachPage(page, d.paged, func(row *T) error {
			d.text(between)
			between = ","
			d.value(row)
			return d.err
		})
	}
	d.text("]")
}
