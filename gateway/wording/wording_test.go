package wording_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/gateway/wording"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

const name = "appointment_reminder"

// desk is two replicas over one database.
type desk struct {
	*testing.T
	here, there *wording.Service
	db          *store.DB
	mu          sync.Mutex
	faults      []string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{T: t}
	ids := &gateway.IDs{Now: time.Now, Rand: rand.Uint64}
	var err error
	d.db, err = store.Open(t.Context(), store.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "heed.db"), Secret: []byte(strings.Repeat("s", 32)), Now: time.Now, NewID: ids.New})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.db.Close() })
	d.here, d.there = d.replica(), d.replica()
	return d
}

func (d *desk) replica() *wording.Service {
	d.Helper()
	p, err := policy.New(policy.Default())
	d.must(err)
	s := &wording.Service{Store: d.db, Builtin: templates.Builtin(), Policy: p, Identity: templates.SampleIdentity(), Now: time.Now, Fault: func(err error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.faults = append(d.faults, err.Error())
	}}
	if _, err := s.Reload(d.Context()); err != nil {
		d.Fatal(err)
	}
	return s
}

// draft is the built-in reminder with another last sentence.
func (d *desk) draft(ending string) templates.Draft {
	d.Helper()
	draft, _ := templates.Builtin().Draft(name)
	draft.Source = strings.ReplaceAll(draft.Source, "Reply STOP to stop.", "Reply STOP to "+ending+".")
	return draft
}

func (d *desk) add(ending string) gateway.TemplateVersion {
	d.Helper()
	v, err := d.here.Add(d.Context(), "ana", d.draft(ending))
	if err != nil {
		d.Fatal(err)
	}
	return v
}

func (d *desk) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// ends says which ending goes out from a replica; "" is the built-in one.
func (d *desk) ends(s *wording.Service) string {
	d.Helper()
	t, ok := s.Current().Get(name)
	if !ok {
		return "nothing"
	}
	text, err := t.Render(templates.Request{Channel: 1, Locale: "en", Vars: t.Sample("en", true), Identity: templates.SampleIdentity()})
	d.must(err)
	_, ending, _ := strings.Cut(text.Text, "Reply STOP to ")
	return strings.TrimSuffix(ending, ".")
}

// TestLife: a text waits, is approved by a second person, goes out from every replica,
// gives way to a newer one, and comes back when that one is retired.
func TestLife(t *testing.T) {
	d := newDesk(t)
	v1 := d.add("end")
	if v1.Version != 1 || d.ends(d.here) != "stop" {
		t.Fatalf("version %d, and %q goes out", v1.Version, d.ends(d.here))
	}
	if err := d.here.Approve(t.Context(), "ana", name, 1); !errors.Is(err, wording.ErrSamePerson) {
		t.Errorf("the author approved: %v", err)
	}
	d.must(d.here.Approve(t.Context(), "ben", name, 1))
	if got := d.ends(d.here); got != "end" {
		t.Errorf("%q goes out here", got)
	}
	if got := d.ends(d.there); got != "stop" {
		t.Errorf("%q goes out there before it looked", got)
	}
	_, err := d.there.Reload(t.Context())
	d.must(err)
	if got := d.ends(d.there); got != "end" {
		t.Errorf("%q goes out there", got)
	}
	sent, _ := d.here.Current().Get(name)
	if d.add("leave").Version != 2 || d.add("go").Version != 3 {
		t.Error("numbers do not rise")
	}
	d.must(d.here.Approve(t.Context(), "ben", name, 3))
	if err := d.here.Approve(t.Context(), "ben", name, 2); !errors.Is(err, wording.ErrOlder) {
		t.Errorf("an older draft over a newer one in force: %v", err)
	}
	if got := d.ends(d.here); got != "go" {
		t.Errorf("%q goes out", got)
	}
	if again, ok := d.here.Current().At(name, sent.Digest); !ok || again.Version != 1 {
		t.Error("what went out cannot be found again")
	}
	d.must(d.here.Retire(t.Context(), "ana", name, 3))
	if got := d.ends(d.here); got != "end" {
		t.Errorf("%q goes out after the newer one was retired", got)
	}
	d.must(d.here.Retire(t.Context(), "ana", name, 1))
	if got := d.ends(d.here); got != "stop" {
		t.Errorf("%q goes out after all were retired", got)
	}
	for _, again := range []error{d.here.Retire(t.Context(), "ana", name, 1), d.here.Approve(t.Context(), "eva", name, 1)} {
		if !errors.Is(again, gateway.ErrStale) {
			t.Errorf("done twice: %v", again)
		}
	}
	if err := d.here.Approve(t.Context(), "eva", name, 9); !errors.Is(err, gateway.ErrNotFound) {
		t.Error(err)
	}
	states := map[int]wording.State{1: wording.Retired, 2: wording.Draft, 3: wording.Retired}
	list, err := d.here.Versions(t.Context(), "")
	d.must(err)
	for _, v := range list {
		if v.State != states[v.Version] || v.Text == nil {
			t.Errorf("version %d is %s", v.Version, v.State)
		}
	}
	if len(d.faults) > 0 {
		t.Error(d.faults)
	}
}

// A refused draft changes nothing.
func TestRefusedDraft(t *testing.T) {
	d := newDesk(t)
	for what, spoil := range map[string]func(*templates.Draft){
		"a rule of the lint":    func(b *templates.Draft) { b.Source = strings.ReplaceAll(b.Source, "Reply STOP", "Text STOP or CANCEL") },
		"a category nobody has": func(b *templates.Draft) { b.Category = "gossip" },
		"a variable that was taken": func(b *templates.Draft) {
			b.Variables = b.Variables[:3]
			b.Source = strings.ReplaceAll(strings.ReplaceAll(b.Source, "[ {change}]", ""), "[{change}]", "")
		},
	} {
		draft := d.draft("end")
		spoil(&draft)
		_, err := d.here.Add(t.Context(), "ana", draft)
		if found := (templates.Findings)(nil); !errors.As(err, &found) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if list, err := d.here.Versions(t.Context(), ""); err != nil || len(list) != 0 {
		t.Errorf("%d kept, %v", len(list), err)
	}
}

// What was approved and can no longer be used leaves its name without a text: the
// built-in one, which the practice replaced, does not come back by itself.
func TestUnusable(t *testing.T) {
	d := newDesk(t)
	d.add("end")
	d.must(d.here.Approve(t.Context(), "ben", name, 1))
	writer, _ := d.db.SQL()
	if _, err := writer.ExecContext(t.Context(), "UPDATE template_versions SET draft = replace(draft, 'to end', 'to go')"); err != nil {
		t.Fatal(err)
	}
	s := d.replica()
	if got := d.ends(s); got != "nothing" {
		t.Errorf("%q goes out although its words were changed in the database", got)
	}
	if len(d.faults) != 1 {
		t.Errorf("the operator heard %q", d.faults)
	}
	list, err := s.Versions(t.Context(), name)
	d.must(err)
	if list[0].State != wording.Unusable || list[0].Fault == nil {
		t.Errorf("%+v", list[0])
	}
}

// A call whose answer was lost in a crash is told what it made, and makes nothing more.
func TestAddWhoseAnswerWasLost(t *testing.T) {
	d := newDesk(t)
	want := d.add("end")
	d.add("go")
	done := gateway.WithKey(t.Context(), &gateway.Key{Caller: "ana", Key: "k", Done: true})
	got, err := d.here.Add(done, "ana", d.draft("end"))
	if err != nil || got.Version != want.Version {
		t.Errorf("version %d, %v", got.Version, err)
	}
	if _, err := d.here.Add(done, "ben", d.draft("end")); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("somebody else's version: %v", err)
	}
	if list, err := d.here.Versions(t.Context(), name); err != nil || len(list) != 2 {
		t.Errorf("%d versions, %v", len(list), err)
	}
}

// New versions that are written at once get numbers of their own.
func TestAddAtOnce(t *testing.T) {
	d := newDesk(t)
	var all sync.WaitGroup
	for _, s := range []*wording.Service{d.here, d.there} {
		for range 2 {
			all.Go(func() {
				if _, err := s.Add(context.Background(), "ana", d.draft("end")); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	list, err := d.here.Versions(t.Context(), name)
	d.must(err)
	if len(list) != 4 || list[3].Version != 4 {
		t.Errorf("%d versions", len(list))
	}
}
