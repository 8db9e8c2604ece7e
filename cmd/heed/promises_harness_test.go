package main_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences/cache"
	"harmonize.care/heed/preferences/link"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

var bg = context.Background()

// clock moves a microsecond with each look, as a real one does, and by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock {
	loc, _ := time.LoadLocation("America/Denver")
	return &clock{at: time.Date(2026, 11, 25, 12, 0, 0, 0, loc)}
}
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(time.Microsecond)
	return c.at
}
func (c *clock) add(d time.Duration) { c.mu.Lock(); c.at = c.at.Add(d); c.mu.Unlock() }

type adapter struct {
	mu   sync.Mutex
	sent []channels.Outgoing
	do   func(ctx context.Context, n int, m channels.Outgoing) (channels.Receipt, error)
	find func(ctx context.Context, m channels.Outgoing, since time.Time) ([]channels.Found, error)
}

func (a *adapter) Send(ctx context.Context, m channels.Outgoing) (channels.Receipt, error) {
	a.mu.Lock()
	a.sent = append(a.sent, m)
	n := len(a.sent)
	a.mu.Unlock()
	if a.do != nil {
		return a.do(ctx, n, m)
	}
	return channels.Receipt{ProviderID: fmt.Sprintf("SM%d", m.Attempt)}, nil
}
func (a *adapter) count() int { a.mu.Lock(); defer a.mu.Unlock(); return len(a.sent) }

type finder struct{ *adapter }

func (f finder) Find(ctx context.Context, m channels.Outgoing, since time.Time) ([]channels.Found, error) {
	return f.find(ctx, m, since)
}

// gate holds a commit until it is opened.
type gate struct {
	*store.DB
	hold func(gateway.Change) bool
	at   chan struct{}
	open chan struct{}
}

func (g *gate) Commit(ctx context.Context, c gateway.Change) (gateway.Kept, error) {
	if g.hold != nil && g.hold(c) {
		g.hold = nil
		close(g.at)
		<-g.open
	}
	return g.DB.Commit(ctx, c)
}
func newGate(db *store.DB, hold func(gateway.Change) bool) *gate {
	return &gate{db, hold, make(chan struct{}), make(chan struct{})}
}

type world struct {
	*testing.T
	clock *clock
	ids   *gateway.IDs
	path  string
	db    *store.DB
	cache gateway.Cache

	waiting atomic.Int32
}

func newWorld(t *testing.T) *world {
	c := newClock()
	w := &world{T: t, clock: c, ids: &gateway.IDs{Now: c.now, Rand: rand.Uint64}, path: filepath.Join(t.TempDir(), "h.db")}
	db, err := store.Open(bg, store.Options{URL: "sqlite:" + w.path, Secret: []byte(strings.Repeat("s", 32)), Now: c.now, NewID: w.ids.New})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w.db, w.cache = db, cache.NewMemory(1000, time.Hour)
	return w
}

func (w *world) raw() *sql.DB {
	db, err := sql.Open("sqlite", w.path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { db.Close() })
	return db
}

func (w *world) replica(s gateway.Store, sms channels.Adapter, now func() time.Time, mail channels.Adapter) (*dispatch.Dispatcher, *intake.Service) {
	p, err := policy.New(policy.Default())
	if err != nil {
		w.Fatal(err)
	}
	links, err := link.New("http://127.0.0.1", []byte(strings.Repeat("l", 32)))
	if err != nil {
		w.Fatal(err)
	}
	if now == nil {
		now = w.clock.now
	}
	f := &gateway.Fence{Store: s, Now: now, Lease: 5 * time.Second, Pause: func(context.Context) error { time.Sleep(time.Millisecond); return nil }}
	ways := map[dispatch.WayOf]dispatch.Way{}
	for _, pr := range channels.Programs {
		if sms != nil {
			ways[dispatch.WayOf{Program: pr, Channel: channels.SMS}] = dispatch.Way{Adapter: sms, Agreement: policy.Clinical, Receipts: true}
		}
		if mail != nil {
			ways[dispatch.WayOf{Program: pr, Channel: channels.Email}] = dispatch.Way{Adapter: mail, Agreement: policy.Clinical, Receipts: true}
		}
	}
	in := &intake.Service{Store: s, Cache: w.cache, Fence: f, Policy: p, Now: now, NewID: w.ids.New, Wake: func() {}}
	return &dispatch.Dispatcher{
		Store: s, Cache: w.cache, Fence: f, Policy: p, Templates: templates.Builtin,
		Identity: templates.Identity{Name: "Cedar Practice", DiscreetName: "Your provider", Phone: "+18885550100", PostalAddress: "1 Main St"},
		Ways:     ways, Links: links, Now: now, NewID: w.ids.New, Wake: func() {}, Ready: func() error { return nil },
		Fault: func(err error) { w.Log("fault:", err) }, Lease: 5 * time.Second, LookupAfter: 10 * time.Second, UnknownAfter: 10 * time.Minute, ConfirmAfter: 24 * time.Hour,
	}, in
}

func (w *world) enrol(in *intake.Service, ref string, addrs ...string) int64 {
	c := intake.Contact{Record: gateway.Record{GivenName: "A", BirthDate: "1980-04-02", TimeZone: "America/Denver"}}
	for i, a := range addrs {
		k := channels.Phone
		if strings.Contains(a, "@") {
			k = channels.Mailbox
		}
		c.Addresses = append(c.Addresses, intake.ContactAddress{Kind: k, Value: a, Rank: int16(i + 1)})
	}
	out, err := in.Put(bg, "t", ref, c)
	if err != nil {
		w.Fatal(err)
	}
	return out.Patient
}

func req(ref string, urgent bool) dispatch.Request {
	return dispatch.Request{Patient: ref, Category: "follow_up", Template: "follow_up", Variables: map[string]string{"text": "Your letter is ready."}, Urgent: urgent}
}

func (w *world) accept(d *dispatch.Dispatcher, r dispatch.Request) int64 {
	got, _, err := d.Accept(bg, "t", []dispatch.Request{r}, nil, nil)
	if err != nil || got[0].Err != nil {
		w.Fatal(err, got)
	}
	return got[0].ID
}

func (w *world) work(d *dispatch.Dispatcher) {
	for _, q := range gateway.Queues {
		if _, err := d.Work(bg, q); err != nil {
			w.Fatal(err)
		}
	}
}
func (w *world) sweep(d *dispatch.Dispatcher) {
	if _, err := d.Sweep(bg); err != nil {
		w.Fatal(err)
	}
	if _, err := d.Resolve(bg); err != nil {
		w.Fatal(err)
	}
}

// later lets minutes go by, so that what is unknown is given up, and works again.
func (w *world) later(d *dispatch.Dispatcher) {
	for range 70 {
		w.clock.add(10 * time.Second)
		w.sweep(d)
	}
	w.work(d)
	d.Drain()
}

// once says how many messages one request came to.
func (w *world) once(a *adapter) {
	w.Helper()
	if n := a.count(); n != 1 {
		w.Errorf("one request, %d messages at the provider", n)
	}
}

// stopped texts STOP to a gateway, waits until it is in force, and gives a channel
// that is closed when it is answered.
func (w *world) stopped(in *intake.Service, id string) <-chan struct{} {
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if err := in.Text(bg, "twilio", text(id, "STOP", w.clock.now())); err != nil {
			w.Error(err)
		}
	}()
	w.until("the stop is in force", func() bool { n, err := w.db.Number(bg, "+13035550111"); return err == nil && n.Stops != 0 })
	return answered
}

// pause counts who waits between two looks at the claims of other gateways.
func (w *world) pause(context.Context) error {
	w.waiting.Add(1)
	defer w.waiting.Add(-1)
	time.Sleep(5 * time.Millisecond)
	return nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// until waits for a condition.
func (w *world) until(what string, is func() bool) {
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("not after 20 s: %s", what)
		}
	}
}
func (w *world) msg(id int64) *gateway.Message {
	m, err := w.db.Message(bg, id)
	if err != nil {
		w.Fatal(err)
	}
	return m
}
func (w *world) tell(id int64) string {
	m := w.msg(id)
	s := fmt.Sprintf("%s code=%q", m.Status.Name(m.Due, w.clock.now()), m.Code)
	for _, a := range m.Tries {
		s += fmt.Sprintf(" [%d %s %s]", a.Number, a.Status, a.ProviderID)
	}
	return s
}
