package mirrors_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/mirrors"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// desk is a provider that keeps a list of each sender. unread: it gives none back.
type desk struct {
	mu     sync.Mutex
	calls  int
	last   []channels.OptOut
	lists  map[string][]string
	fail   error                          // of the whole call
	refuse map[string]*channels.SendError // by address
	during func()                         // while a call, or the reading of the list, is under way
}

func (d *desk) Keep(_ context.Context, entries []channels.OptOut) (map[int]*channels.SendError, error) {
	if d.during != nil {
		d.during()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	d.last = entries
	if d.fail != nil {
		return nil, d.fail
	}
	refused := map[int]*channels.SendError{}
	for i, e := range entries {
		switch at := slices.Index(d.lists[e.Sender], e.Address); {
		case d.refuse[e.Address] != nil:
			refused[i] = d.refuse[e.Address]
		case e.Off && at >= 0:
			d.lists[e.Sender] = slices.Delete(d.lists[e.Sender], at, at+1)
		case !e.Off && at < 0:
			d.lists[e.Sender] = append(d.lists[e.Sender], e.Address)
		}
	}
	return refused, nil
}

func (d *desk) on(sender string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := slices.Clone(d.lists[sender])
	slices.Sort(list)
	return strings.Join(list, " ")
}

// readable is a desk whose list can be read.
type readable struct{ *desk }

func (d readable) OptedOut(context.Context) ([]string, error) {
	d.mu.Lock()
	list, fail := slices.Clone(d.lists[""]), d.fail
	d.mu.Unlock()
	if d.during != nil {
		d.during()
	}
	return list, fail
}

// bench is a service on a database of its own.
type bench struct {
	*testing.T
	*mirrors.Service
	db          *store.DB
	mail, texts *desk
	mu          sync.Mutex
	at          time.Time
	heard       []string
}

const (
	shared  = "+18885550101" // care and marketing text from it
	billing = "+18885550103"
)

func newBench(t *testing.T) *bench {
	b := &bench{T: t, at: time.Date(2026, 11, 26, 18, 0, 0, 0, time.UTC)}
	now := func() time.Time {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.at = b.at.Add(time.Microsecond)
		return b.at
	}
	ids := &gateway.IDs{Now: now, Rand: rand.Uint64}
	var err error
	b.db, err = store.Open(t.Context(), store.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "heed.db"), Secret: []byte(strings.Repeat("s", 32)), Now: now, NewID: ids.New})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.db.Close() })
	p, err := policy.New(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	place, err := time.LoadLocation("America/Denver")
	if err != nil {
		t.Fatal(err)
	}
	b.mail, b.texts = &desk{lists: map[string][]string{}}, &desk{lists: map[string][]string{}}
	b.Service = &mirrors.Service{
		Store: b.db, Policy: p, Now: now, NewID: ids.New, Log: slog.New(slog.DiscardHandler), Place: place,
		Hear: func(ctx context.Context, source string, d channels.Delivery) error {
			if source != "mail" || !d.Unsub || d.EventID == "" {
				t.Errorf("%s %+v", source, d)
			}
			b.heard = append(b.heard, d.To)
			b.reports(d.To)
			return nil
		},
		Providers: []*mirrors.Provider{
			{Name: "mail", Kind: channels.Mailbox, Keeper: readable{b.mail}, Batch: 25, Lists: []mirrors.List{{Name: "mail:1", Programs: channels.SetOf(channels.Marketing)}}},
			{Name: "texts", Kind: channels.Phone, Keeper: b.texts, Batch: 25, Settle: 6 * time.Minute, Lists: []mirrors.List{
				{Name: "texts:1", Sender: shared, Programs: channels.SetOf(channels.Care, channels.Marketing)}, {Name: "texts:3", Sender: billing, Programs: channels.SetOf(channels.Billing)},
			}},
		},
	}
	return b
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = b.at.Add(d)
}

func (b *bench) commit(c gateway.Change) {
	b.Helper()
	c.At = b.Now()
	if _, err := b.db.Commit(b.Context(), c); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) event(e preferences.Event) preferences.Event {
	e.ID, e.At = b.NewID(), b.Now().UnixMicro()
	return e
}

func (b *bench) enrol(ref string, kind channels.Kind, address string) int64 {
	b.Helper()
	patient, id := b.NewID(), b.NewID()
	b.commit(gateway.Change{Patients: []gateway.PatientFact{{
		Patient: patient, Ref: ref, Record: &gateway.Record{BirthDate: "1980-04-02"}, Texts: []gateway.AddressText{{ID: id, Kind: kind, Value: address}},
		Events: []preferences.Event{b.contact(false, preferences.ContactAddress{ID: id, Kind: kind, Rank: 1})},
	}}})
	return patient
}

func (b *bench) contact(deceased bool, addresses ...preferences.ContactAddress) preferences.Event {
	return b.event(preferences.Event{Kind: preferences.ContactSet, Contact: &preferences.Contact{
		Deceased: deceased, BirthDate: preferences.Date{Year: 1980, Month: 4, Day: 2}, Addresses: addresses,
	}})
}

func (b *bench) of(patient int64, e preferences.Event) {
	b.Helper()
	b.commit(gateway.Change{Patients: []gateway.PatientFact{{Patient: patient, Expect: -1, Events: []preferences.Event{e}}}})
}

func (b *bench) chooses(patient int64, topic string, in, proof bool) {
	b.Helper()
	e := b.event(preferences.Event{Kind: preferences.ChoiceMade, Source: preferences.FromWeb, Choice: &preferences.Choice{Topic: topic, Channel: channels.Email, In: in, At: b.Now().UnixMicro()}})
	if proof {
		e.Evidence = map[string]string{"how": "code"}
	}
	b.of(patient, e)
}

func (b *bench) reports(mailbox string) {
	b.Helper()
	b.commit(gateway.Change{Numbers: []gateway.NumberFact{{Number: mailbox, Event: b.event(preferences.Event{Kind: preferences.SpamReported, Said: b.Now().UnixMicro()})}}})
}

func (b *bench) says(kind preferences.EventKind, number string, programs ...channels.Program) {
	b.Helper()
	b.commit(gateway.Change{Numbers: []gateway.NumberFact{{Number: number, Event: b.event(preferences.Event{Kind: kind, Said: b.Now().UnixMicro(), Programs: channels.SetOf(programs...)})}}})
}

// work does all there is to do now.
func (b *bench) work() {
	b.Helper()
	for range 20 {
		if _, err := b.Work(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func (b *bench) compare(provider int) mirrors.Report {
	b.Helper()
	r, err := b.Reconcile(b.Context(), b.Providers[provider])
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func (b *bench) waiting(kind channels.Kind) gateway.MirrorFigures {
	b.Helper()
	f, err := b.db.MirrorFigures(b.Context(), kind)
	if err != nil {
		b.Fatal(err)
	}
	return f
}

func (b *bench) is(d *desk, sender, want string) {
	b.Helper()
	if got := d.on(sender); got != want {
		b.Errorf("the list holds %q, not %q", got, want)
	}
}

// A sender is opted out of when every program that texts from it is stopped, and a refusal
// waits until the answers to it are out.
func TestSendersOfTexts(t *testing.T) {
	b := newBench(t)
	const number = "+13035550151"
	b.enrol("p1", channels.Phone, number)
	b.says(preferences.NumberStopped, number, channels.Marketing)
	b.pass(7 * time.Minute)
	b.work()
	b.is(b.texts, shared, "") // care still texts from there
	b.says(preferences.NumberStopped, number, channels.Care, channels.Billing)
	b.work()
	if b.texts.calls > 0 || b.waiting(channels.Phone).Waiting != 1 {
		t.Fatalf("%d calls before the answers were out", b.texts.calls)
	}
	b.pass(7 * time.Minute)
	b.work()
	b.is(b.texts, shared, number)
	b.is(b.texts, billing, number)
	if b.texts.calls != 1 || b.texts.last[0].Said.IsZero() {
		t.Errorf("%d calls, the last %+v", b.texts.calls, b.texts.last)
	}
	b.says(preferences.NumberStarted, number, channels.Care) // at once: care may go out again
	b.work()
	b.is(b.texts, shared, "")
	b.is(b.texts, billing, number)
	if len(b.texts.last) != 1 || !b.texts.last[0].Off {
		t.Errorf("the last call was %+v", b.texts.last)
	}
	if f := b.waiting(channels.Phone); f.Waiting != 0 || b.Stats.Put.Load() != 2 || b.Stats.Off.Load() != 1 {
		t.Errorf("%+v", f)
	}
}

func TestARefusalAfterAWishIsNotTakenOff(t *testing.T) {
	b := newBench(t)
	p := b.enrol("p1", channels.Mailbox, "p1@patients.example")
	b.chooses(p, preferences.TopicMarketing, false, false)
	b.work()
	b.chooses(p, "newsletter", true, true)
	b.chooses(p, preferences.TopicNonEssential, false, false)
	b.work()
	b.is(b.mail, "", "p1@patients.example")
	q := b.enrol("p2", channels.Mailbox, "p1@patients.example") // it changes hands: an old wish is no proof
	b.chooses(q, preferences.TopicMarketing, true, false)
	b.work()
	b.is(b.mail, "", "p1@patients.example")
	b.chooses(q, preferences.TopicMarketing, true, true)
	b.work()
	b.is(b.mail, "", "")
}

// A narrow wish takes the mailbox off, because the list would hold that back too.
func TestANarrowWishTakesTheMailboxOff(t *testing.T) {
	b := newBench(t)
	p := b.enrol("p1", channels.Mailbox, "p1@patients.example")
	b.reports("p1@patients.example")
	b.work()
	b.is(b.mail, "", "p1@patients.example")
	b.chooses(p, "newsletter", true, true)
	b.work()
	b.is(b.mail, "", "")
	b.compare(0)
	b.work()
	b.is(b.mail, "", "")
}

func TestAProviderThatFailsIsLeftAloneAndNothingIsLost(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		code string
		rest time.Duration // how long it is left alone at first
	}{
		"down":       {&channels.SendError{Kind: channels.TryLater, Err: errors.New("refused")}, "try_later", 2 * time.Second},
		"it waits":   {&channels.SendError{Kind: channels.TryLater, Code: "429", RetryAfter: 10 * time.Minute}, "429", 10 * time.Minute},
		"unknown":    {&channels.SendError{Kind: channels.OutcomeUnknown}, "unknown", 2 * time.Second},
		"a number":   {&channels.SendError{Kind: channels.TryNever, Code: "+13035550151"}, "try_never", 2 * time.Second},
		"of no kind": {errors.New("p1@patients.example"), "failed", 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.chooses(b.enrol("p1", channels.Mailbox, "p1@patients.example"), preferences.TopicMarketing, false, false)
			b.mail.fail = c.err
			b.work()
			if f := b.waiting(channels.Mailbox); b.mail.calls != 1 || f.Failing != 1 || b.Stats.Failed.Load() != 1 {
				t.Fatalf("%d calls, %+v", b.mail.calls, f)
			}
			list, err := b.db.Mirrors(t.Context(), channels.Mailbox, b.keys(channels.Mailbox))
			if err != nil || list[0].Code != c.code || list[0].Tries != 1 {
				t.Errorf("%+v %v", list, err)
			}
			b.pass(c.rest)
			b.work()
			if b.mail.calls != 2 {
				t.Errorf("%d calls after the rest", b.mail.calls)
			}
			b.pass(c.rest)
			if b.work(); c.rest < time.Minute && b.mail.calls != 2 {
				t.Error("the rest does not grow")
			}
			b.mail.fail = nil
			b.pass(20 * time.Minute)
			b.work()
			b.is(b.mail, "", "p1@patients.example")
			if f := b.waiting(channels.Mailbox); f.Waiting != 0 || f.Listed != 1 {
				t.Errorf("%+v", f)
			}
		})
	}
}

func (b *bench) keys(kind channels.Kind) []string {
	b.Helper()
	keys, _, err := b.db.Refusers(b.Context(), kind, "", 500)
	if err != nil {
		b.Fatal(err)
	}
	return keys
}

func TestOneThatIsRefusedHoldsNoOtherUp(t *testing.T) {
	b := newBench(t)
	for i := range 3 {
		b.chooses(b.enrol(fmt.Sprint("p", i), channels.Mailbox, fmt.Sprintf("p%d@patients.example", i)), preferences.TopicMarketing, false, false)
	}
	b.mail.refuse = map[string]*channels.SendError{
		"p0@patients.example": {Kind: channels.AddressIsBad}, "p1@patients.example": {Kind: channels.TryLater},
	}
	b.work()
	b.is(b.mail, "", "p2@patients.example")
	if f := b.waiting(channels.Mailbox); f.Waiting != 1 {
		t.Errorf("what is refused for good waits too: %+v", f)
	}
	b.mail.refuse = nil
	b.pass(11 * time.Minute)
	b.work()
	b.is(b.mail, "", "p1@patients.example p2@patients.example")
	b.pass(time.Minute)
	if r := b.compare(0); r.New != 1 || r.OnlyHere != 0 {
		t.Errorf("%+v", r)
	}
	b.work()
	b.is(b.mail, "", "p0@patients.example p1@patients.example p2@patients.example")
}

// What is said while a call is under way is not settled by it.
func TestAWordDuringTheCallIsNotLost(t *testing.T) {
	b := newBench(t)
	p := b.enrol("p1", channels.Mailbox, "p1@patients.example")
	b.chooses(p, preferences.TopicMarketing, false, false)
	b.mail.during = func() {
		b.mail.during = nil
		b.chooses(p, preferences.TopicMarketing, true, true)
	}
	b.work()
	b.is(b.mail, "", "")
	if f := b.waiting(channels.Mailbox); f.Waiting != 0 {
		t.Errorf("%+v", f)
	}
}

func TestTheNightRepairsToTheStricterSide(t *testing.T) {
	b := newBench(t)
	box := func(i int) string { return fmt.Sprintf("p%d@patients.example", i) }
	var people []int64
	for i := range 5 {
		people = append(people, b.enrol(fmt.Sprint("p", i), channels.Mailbox, box(i)))
	}
	b.chooses(people[0], preferences.TopicMarketing, false, false)
	b.chooses(people[1], preferences.TopicMarketing, false, false)
	b.work()
	// 1 is lost there; 2 said it there alone; 3 is dead, and said it there; a stranger did too.
	b.mail.lists[""] = []string{box(0), box(2), box(2), box(3), "stranger@elsewhere.example"}
	b.of(people[3], b.contact(true))
	b.pass(time.Minute)
	if r := b.compare(0); r != (mirrors.Report{Provider: "mail", There: 4, Strangers: 1, OnlyThere: 1, OnlyHere: 1}) {
		t.Errorf("%+v", r)
	}
	b.work()
	b.is(b.mail, "", strings.Join([]string{box(0), box(1), box(2), box(2), box(3), "stranger@elsewhere.example"}, " "))
	if !slices.Equal(b.heard, []string{box(2)}) {
		t.Errorf("heard %v", b.heard)
	}
	b.pass(time.Minute)
	if r := b.compare(0); r.Drifted() || r.New != 0 {
		t.Errorf("the second time: %+v", r)
	}
	// A wish with proof whose removal still waits is no opt-out that we had not heard of.
	b.mail.fail = errors.New("down")
	b.chooses(people[0], preferences.TopicMarketing, true, true)
	b.work()
	b.mail.fail = nil
	b.pass(time.Second)
	if r := b.compare(0); r.Drifted() {
		t.Errorf("%+v", r)
	}
	b.pass(10 * time.Minute)
	b.work()
	if strings.Contains(b.mail.on(""), box(0)) {
		t.Error("it was not taken off")
	}
}

// The list is read before the words that come meanwhile.
func TestAWordDuringTheReadingIsNewer(t *testing.T) {
	b := newBench(t)
	p := b.enrol("p1", channels.Mailbox, "p1@patients.example")
	b.chooses(p, preferences.TopicMarketing, false, false)
	b.work()
	b.pass(time.Minute)
	b.mail.during = func() {
		b.mail.during = nil
		b.chooses(p, preferences.TopicMarketing, true, true)
		b.work()
		b.is(b.mail, "", "")
	}
	if r := b.compare(0); r.Drifted() || r.There != 1 || len(b.heard) > 0 {
		t.Errorf("%+v", r)
	}
	b.work()
	b.is(b.mail, "", "")
}

// What was refused before there was a mirror, or while its row was lost, is found.
func TestTheNightFindsWhatWasNeverTold(t *testing.T) {
	b := newBench(t)
	b.chooses(b.enrol("p1", channels.Mailbox, "p1@patients.example"), preferences.TopicMarketing, false, false)
	b.enrol("p2", channels.Phone, "+13035550151")
	b.says(preferences.NumberStopped, "+13035550151", channels.Billing)
	writer, _ := b.db.SQL()
	if _, err := writer.ExecContext(t.Context(), "DELETE FROM mirrors"); err != nil {
		t.Fatal(err)
	}
	for i, want := range []mirrors.Report{{Provider: "mail", There: 0, New: 1}, {Provider: "texts", There: -1, New: 1}} {
		if r := b.compare(i); r != want || r.Drifted() {
			t.Errorf("%+v, not %+v", r, want)
		}
	}
	b.work()
	b.is(b.mail, "", "p1@patients.example")
	b.is(b.texts, billing, "+13035550151")
	b.texts.lists[billing] = nil // it cannot be seen, and is repaired all the same
	b.pass(time.Minute)
	b.compare(1)
	b.work()
	b.is(b.texts, billing, "+13035550151")
}

func TestOneReplicaComparesOnceANight(t *testing.T) {
	b := newBench(t)
	b.Providers = b.Providers[:1]
	other := &mirrors.Service{
		Store: b.db, Policy: b.Policy, Now: b.Now, NewID: b.NewID, Log: b.Log, Place: b.Place, Providers: b.Providers, Hear: b.Hear,
	}
	reads := 0
	b.mail.during = func() { reads++ }
	night := func() {
		t.Helper()
		for _, s := range []*mirrors.Service{b.Service, other, b.Service} {
			if _, err := s.Nightly(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, step := range []struct {
		pass time.Duration
		ask  bool
		want int
	}{
		{0, false, 1},              // never yet
		{15 * time.Hour, false, 1}, // 02:00 in Denver
		{2 * time.Hour, false, 2},  // 04:00
		{20 * time.Hour, false, 2}, // midnight
		{time.Minute, true, 3},     // somebody asked
		{4 * time.Hour, false, 4},
	} {
		b.pass(step.pass)
		if step.ask {
			if err := b.db.ResetMark(t.Context(), mirrors.AskedMark, b.Now()); err != nil {
				t.Fatal(err)
			}
		}
		night()
		if reads != step.want {
			t.Errorf("step %d: read %d times, not %d", i, reads, step.want)
		}
	}
}

// A night that comes to nothing is tried again, and a person is told where only a person can help.
func TestANightThatFails(t *testing.T) {
	b := newBench(t)
	b.Providers = b.Providers[:1]
	b.mail.fail = &channels.SendError{Kind: channels.OperatorMustAct, Code: "404"}
	tasks := func() []gateway.Task {
		t.Helper()
		list, err := b.db.Tasks(t.Context(), gateway.TaskFilter{Kind: gateway.TaskMirror, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for range 3 {
		if _, err := b.Nightly(t.Context()); err == nil {
			t.Error("it says nothing")
		}
		if _, err := b.Nightly(t.Context()); err != nil {
			t.Error("it is not left alone for a while")
		}
		b.pass(6 * time.Minute)
	}
	if list := tasks(); len(list) != 1 || !strings.Contains(list[0].Detail.Title, "404") {
		t.Errorf("%+v", list)
	}
	b.mail.fail = nil
	if _, err := b.Nightly(t.Context()); err != nil {
		t.Error(err)
	}
	rows, err := b.db.Audits(t.Context(), 0, 100)
	if err != nil || len(rows) != 2 || rows[0].Verb != "mirror.failed" || rows[1].Verb != "mirror.compare" || rows[1].Detail != "there=0 strangers=0 only_there=0 only_here=0 new=0" {
		t.Errorf("%+v %v", rows, err)
	}
}
