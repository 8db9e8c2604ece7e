package imports_test

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/phone"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/gateway/imports"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/cache"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// house is a practice's database with what an import works on.
type house struct {
	*testing.T
	db         *store.DB
	intake     *intake.Service
	dispatcher *dispatch.Dispatcher
	policy     *policy.Policy
	clock      time.Time
	columns    map[string]string
}

var denver = mustZone("America/Denver")

func mustZone(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return zone
}

// newHouse opens an empty database on Monday, 2 November 2026, 10:00 in Denver.
func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{T: t, clock: time.Date(2026, 11, 2, 10, 0, 0, 0, denver)}
	now := func() time.Time { return h.clock }
	ids := &gateway.IDs{Now: now, Rand: rand.Uint64}
	var err error
	if h.db, err = store.Open(context.Background(), store.Options{
		URL: "sqlite:" + filepath.Join(t.TempDir(), "heed.db"), Secret: []byte(strings.Repeat("s", 32)), Now: now, NewID: ids.New,
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.db.Close(); err != nil {
			t.Error(err)
		}
	})
	if h.policy, err = policy.New(policy.Default()); err != nil {
		t.Fatal(err)
	}
	c := cache.NewMemory(10_000, time.Minute)
	fence := &gateway.Fence{Store: h.db, Now: now, Lease: 5 * time.Second, Pause: func(ctx context.Context) error { return ctx.Err() }}
	h.intake = &intake.Service{Store: h.db, Cache: c, Fence: fence, Policy: h.policy, Now: now, NewID: ids.New, Wake: func() {}}
	h.dispatcher = &dispatch.Dispatcher{
		Store: h.db, Cache: c, Fence: fence, Policy: h.policy, Templates: templates.Builtin, Now: now, NewID: ids.New, Wake: func() {}, Lease: 5 * time.Second,
		Identity: templates.Identity{DiscreetName: "Lakeside"},
	}
	return h
}

func (h *house) options() imports.Options {
	return imports.Options{
		Intake: h.intake, Dispatcher: h.dispatcher, Actor: "import", ParsePhone: phone.Parse, ParseMailbox: phone.ParseMailbox, Columns: h.columns, Zone: denver,
	}
}

func (h *house) patients(file string) imports.Report {
	h.Helper()
	r, err := imports.Patients(context.Background(), strings.NewReader(file), h.options())
	return h.checked(r, err)
}

func (h *house) appointments(file string) imports.Report {
	h.Helper()
	r, err := imports.Appointments(context.Background(), strings.NewReader(file), h.options())
	return h.checked(r, err)
}

// checked holds a report to what every report promises.
func (h *house) checked(r imports.Report, err error) imports.Report {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
	total := 0
	for _, n := range r.Counts {
		total += n
	}
	if total != r.Lines || len(r.Rows) != r.Lines {
		h.Errorf("the report does not add up: %d lines, %d rows, %v", r.Lines, len(r.Rows), r.Counts)
	}
	for _, row := range r.Rows {
		if row.Outcome == "" {
			h.Errorf("line %d has no outcome", row.Line)
		}
	}
	return r
}

func (h *house) patient(ref string) *gateway.Patient {
	h.Helper()
	id, err := h.db.PatientID(context.Background(), ref)
	if err != nil {
		h.Fatalf("%s: %v", ref, err)
	}
	p, err := h.db.Patient(context.Background(), id)
	if err != nil {
		h.Fatal(err)
	}
	return p
}

func (h *house) ledger(ref string) []preferences.Event {
	h.Helper()
	events, err := h.db.Ledger(context.Background(), h.patient(ref).ID, 0, 10_000)
	if err != nil {
		h.Fatal(err)
	}
	return events
}

func (h *house) tasks() []gateway.Task {
	h.Helper()
	list, err := h.db.Tasks(context.Background(), gateway.TaskFilter{Limit: 10_000})
	if err != nil {
		h.Fatal(err)
	}
	return list
}

func (h *house) messages(reference string) []gateway.Message {
	h.Helper()
	list, err := h.db.Messages(context.Background(), gateway.MessageFilter{Reference: reference, Limit: 1000})
	if err != nil {
		h.Fatal(err)
	}
	return list
}

// waiting lists the moments of the reminders that wait for an appointment.
func (h *house) waiting(reference string) []string {
	h.Helper()
	var list []string
	for _, m := range h.messages(reference) {
		if m.Status == gateway.Waiting {
			list = append(list, m.Body.Slot+" "+m.Due.In(denver).Format("01/02 15:04"))
		}
	}
	return list
}

// contents is everything that an import could change.
func (h *house) contents(refs []string, appointments []string) map[string]any {
	h.Helper()
	all := map[string]any{"tasks": h.tasks()}
	for _, ref := range refs {
		if _, err := h.db.PatientID(context.Background(), ref); err == nil {
			all["patient "+ref], all["ledger "+ref] = h.patient(ref), h.ledger(ref)
		}
	}
	for _, id := range appointments {
		all["appointment "+id] = h.messages(id)
	}
	audit, err := h.db.Audits(context.Background(), 0, 100_000)
	if err != nil {
		h.Fatal(err)
	}
	all["audit"] = audit
	return all
}

func (h *house) same(before, after map[string]any) {
	h.Helper()
	for key := range after {
		if !reflect.DeepEqual(before[key], after[key]) {
			h.Errorf("%s changed:\n%+v\n%+v", key, before[key], after[key])
		}
	}
}

// pairs writes the pairs of an instruction as "sms +1303…".
func pairs(p *gateway.Patient) []string {
	var list []string
	for _, w := range p.Snapshot.Confidential.Only {
		list = append(list, w.Channel.String()+" "+p.Text(w.Address))
	}
	return list
}

// onRecord lists the addresses of a patient's record, by rank.
func onRecord(p *gateway.Patient) []string {
	var list []string
	for rank := int16(1); rank < 20; rank++ {
		for _, a := range p.Snapshot.Addresses {
			if a.OnRecord && a.Rank == rank {
				list = append(list, p.Text(a.ID)+" "+a.Line.String())
			}
		}
	}
	return list
}

func optedOut(p *gateway.Patient) []channels.Channel {
	var list []channels.Channel
	for _, ch := range channels.Channels {
		for _, c := range p.Snapshot.Choices {
			if c.Channel == ch && !c.In && c.Topic == preferences.TopicNonEssential {
				list = append(list, ch)
			}
		}
	}
	return list
}
