package events_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/events"
	"harmonize.care/heed/gateway/jobs"
	"harmonize.care/heed/gateway/store"
)

// clock is moved by the test.
type clock struct {
	mu sync.Mutex
	by time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.by)
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by += d
}

// receiver is another system: it verifies what comes, and answers as it is told.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	secrets []string // any of them may verify
	status  int
	got     []*http.Request
	bodies  []string
	bad     []error
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{status: http.StatusNoContent}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body) // a body that ends early does not verify
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, secret := range r.secrets {
			wh, err := standardwebhooks.NewWebhook(secret)
			if err == nil {
				err = wh.Verify(body, q.Header)
			}
			if err != nil {
				r.bad = append(r.bad, err)
			}
		}
		r.got, r.bodies = append(r.got, q), append(r.bodies, string(body))
		w.WriteHeader(r.status)
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<16)) // more than anybody reads
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) set(status int, secrets ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.secrets = status, secrets
}

func (r *receiver) calls() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

// post is the whole way: store, relay, jobs, sender.
type post struct {
	t     *testing.T
	db    *store.DB
	ids   *gateway.IDs
	clock *clock
	stop  func()
}

func open(t *testing.T, path string) *post {
	t.Helper()
	return openURL(t, "sqlite:"+path)
}

func openURL(t *testing.T, url string) *post {
	t.Helper()
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	p := &post{t: t, clock: &clock{}}
	p.ids = &gateway.IDs{Now: p.clock.now, Rand: rand.Uint64}
	bell := jobs.NewBell()
	var err error
	if p.db, err = store.Open(ctx, store.Options{URL: url, Secret: []byte(strings.Repeat("s", 32)), Now: p.clock.now, NewID: p.ids.New, Woken: bell.Ring}); err != nil {
		t.Fatal(err)
	}
	sender := events.New(p.db, events.Guard{Loopback: true}, p.clock.now, time.Now, "test")
	writer, postgres := p.db.SQL()
	o := jobs.Options{DB: writer, Postgres: postgres, Log: log, Deliver: func(ctx context.Context, id int64) error {
		defer bell.Ring()
		return sender.Deliver(ctx, id)
	}}
	if err := jobs.Migrate(ctx, o); err != nil {
		t.Fatal(err)
	}
	river, err := jobs.New(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	work, cancel := context.WithCancel(ctx)
	if err := river.Start(work); err != nil {
		t.Fatal(err)
	}
	var loops sync.WaitGroup
	loops.Go(func() {
		jobs.Loop{Name: "events", Bell: bell, Interval: 20 * time.Millisecond, Log: log, Work: func(ctx context.Context) (int, error) { return p.db.Relay(ctx, river.Enqueue) }}.Run(work)
	})
	p.stop = sync.OnceFunc(func() {
		cancel()
		loops.Wait()
		end, done := context.WithTimeout(ctx, 10*time.Second)
		defer done()
		_ = river.Stop(end) // what is left is found again
		if err := p.db.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(p.stop)
	return p
}

func start(t *testing.T) *post { return open(t, filepath.Join(t.TempDir(), "heed.db")) }

func (p *post) change() gateway.Change { return gateway.Change{At: p.clock.now(), Actor: "test"} }

// endpoint registers a receiver and gives the id.
func (p *post) endpoint(r *receiver, types ...gateway.EventType) int64 {
	p.t.Helper()
	secret := events.NewSecret()
	r.set(http.StatusNoContent, secret)
	e := gateway.Endpoint{ID: p.ids.New(), Types: types, Created: p.clock.now(), To: gateway.EndpointTo{URL: r.URL, Secrets: []gateway.Secret{{Text: secret}}}}
	if _, err := p.db.AddEndpoint(context.Background(), p.change(), e); err != nil {
		p.t.Fatal(err)
	}
	return e.ID
}

// happens makes an event.
func (p *post) happens() {
	p.t.Helper()
	c := p.change()
	c.Tasks = []gateway.Task{{ID: p.ids.New(), Kind: gateway.TaskReply, Created: c.At, Due: c.At}}
	if _, err := p.db.Commit(context.Background(), c); err != nil {
		p.t.Fatal(err)
	}
}

func (p *post) deliveries(endpoint int64) []gateway.Delivery {
	p.t.Helper()
	list, err := p.db.Deliveries(context.Background(), gateway.DeliveryFilter{Endpoint: endpoint, Limit: 100})
	if err != nil {
		p.t.Fatal(err)
	}
	return list
}

func (p *post) eventually(what string, ok func() bool) {
	p.t.Helper()
	deadline, tick := time.NewTimer(30*time.Second), time.NewTicker(5*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			p.t.Fatal("never: " + what)
		case <-tick.C:
		}
	}
}

// is waits until the only delivery of an endpoint has a status after so many tries.
func (p *post) is(endpoint int64, status gateway.DeliveryStatus, tries int) gateway.Delivery {
	p.t.Helper()
	var last gateway.Delivery
	p.eventually(status.String(), func() bool {
		list := p.deliveries(endpoint)
		if len(list) != 1 {
			return false
		}
		last = list[0]
		return last.Status == status && last.Tries == tries
	})
	return last
}

func (r *receiver) verified(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, err := range r.bad {
		t.Errorf("a receiver could not verify what came: %v", err)
	}
}

func TestEventArrivesSigned(t *testing.T) {
	p, r := start(t), newReceiver(t)
	endpoint := p.endpoint(r)
	p.happens()
	d := p.is(endpoint, gateway.DeliveryDelivered, 1)
	r.verified(t)
	q := r.got[0]
	if q.Method != http.MethodPost || q.Header.Get("Content-Type") != "application/json" || q.Header.Get("webhook-id") == "" || d.Code != "204" {
		t.Errorf("%v %v", q.Header, d)
	}
	if !strings.Contains(r.bodies[0], `"type":"task.opened"`) || !strings.Contains(r.bodies[0], `"event":"`+q.Header.Get("webhook-id")+`"`) {
		t.Error(r.bodies[0])
	}
}

func TestDownThenUp(t *testing.T) {
	p, r := start(t), newReceiver(t)
	endpoint := p.endpoint(r)
	r.mu.Lock()
	r.status = http.StatusInternalServerError
	r.mu.Unlock()
	p.happens()
	d := p.is(endpoint, gateway.DeliveryPending, 1)
	if wait := d.Due.Sub(p.clock.now()); wait > 5*time.Second || d.Code != "500" {
		t.Errorf("the second try comes in %v, code %s", wait, d.Code)
	}
	p.clock.add(5 * time.Second)
	d = p.is(endpoint, gateway.DeliveryPending, 2)
	if wait := d.Due.Sub(p.clock.now()); wait > 5*time.Minute || wait < 4*time.Minute {
		t.Errorf("the third try comes in %v", wait)
	}
	r.mu.Lock()
	r.status = http.StatusOK
	r.mu.Unlock()
	p.clock.add(5 * time.Minute)
	p.is(endpoint, gateway.DeliveryDelivered, 3)
	r.verified(t)
	for i := range r.got {
		if r.got[i].Header.Get("webhook-id") != r.got[0].Header.Get("webhook-id") || r.bodies[i] != r.bodies[0] {
			t.Error("a repeated try cannot be known by its id, or says something else")
		}
	}
}

func TestGivenUpAndSentOnceMore(t *testing.T) {
	p, r := start(t), newReceiver(t)
	endpoint := p.endpoint(r)
	url := r.URL
	r.Close() // nobody answers
	p.happens()
	for tries := 1; tries < 10; tries++ {
		d := p.is(endpoint, gateway.DeliveryPending, tries)
		if d.Code != "no_answer" {
			t.Errorf("code %s", d.Code)
		}
		p.clock.add(d.Due.Sub(p.clock.now()) + time.Millisecond)
	}
	d := p.is(endpoint, gateway.DeliveryDead, 10)
	up := newReceiver(t)
	if _, err := p.db.ChangeEndpoint(context.Background(), p.change(), endpoint, func(e *gateway.Endpoint) error {
		up.set(http.StatusOK, e.To.Secrets[0].Text)
		e.To.URL = strings.Replace(e.To.URL, url, up.URL, 1)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.db.Redeliver(context.Background(), p.change(), endpoint, d.ID); err != nil {
		t.Fatal(err)
	}
	p.is(endpoint, gateway.DeliveryDelivered, 1)
	up.verified(t)
	if up.got[0].Header.Get("webhook-id") != (&gateway.Happening{ID: d.Event}).Name() {
		t.Error("it came under another id")
	}
}

func TestGoneDisablesTheEndpoint(t *testing.T) {
	p, r := start(t), newReceiver(t)
	endpoint := p.endpoint(r)
	r.mu.Lock()
	r.status = http.StatusGone
	r.mu.Unlock()
	p.happens()
	p.is(endpoint, gateway.DeliveryDead, 1)
	p.eventually("disabled", func() bool {
		e, err := p.db.Endpoint(context.Background(), endpoint)
		return err == nil && e.Why == gateway.EndpointGone
	})
	p.endpoint(r) // another one, at an address that answers
	p.happens()
	p.eventually("the other one has it", func() bool { return r.calls() == 2 })
	if n := len(p.deliveries(endpoint)); n != 1 {
		t.Errorf("%d deliveries for an endpoint that is gone", n)
	}
}

func TestBothSecretsSignAfterARotation(t *testing.T) {
	p, r := start(t), newReceiver(t)
	endpoint := p.endpoint(r)
	next, now := events.NewSecret(), p.clock.now()
	if _, err := p.db.ChangeEndpoint(context.Background(), p.change(), endpoint, func(e *gateway.Endpoint) error { return e.Rotate(next, now) }); err != nil {
		t.Fatal(err)
	}
	old := r.secrets[0]
	r.set(http.StatusOK, old, next) // each must verify
	p.happens()
	p.is(endpoint, gateway.DeliveryDelivered, 1)
	r.verified(t)
	if n := len(strings.Split(r.got[0].Header.Get("webhook-signature"), " ")); n != 2 {
		t.Errorf("%d signatures", n)
	}
	p.clock.add(24 * time.Hour)
	r.set(http.StatusOK, next)
	p.happens()
	p.eventually("the second event", func() bool { return r.calls() == 2 })
	r.verified(t)
	if n := len(strings.Split(r.got[1].Header.Get("webhook-signature"), " ")); n != 1 {
		t.Errorf("%d signatures a day after the rotation", n)
	}
}

func TestDeadEndpointHoldsUpNoOther(t *testing.T) {
	p, healthy := start(t), newReceiver(t)
	stuck := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stuck }))
	t.Cleanup(slow.Close)
	t.Cleanup(sync.OnceFunc(func() { close(stuck) }))
	if _, err := p.db.AddEndpoint(context.Background(), p.change(), gateway.Endpoint{ID: p.ids.New(), Created: p.clock.now(), To: gateway.EndpointTo{URL: slow.URL, Secrets: []gateway.Secret{{Text: events.NewSecret()}}}}); err != nil {
		t.Fatal(err)
	}
	p.endpoint(healthy)
	for range 40 {
		p.happens()
	}
	p.eventually("all of the healthy one", func() bool { return healthy.calls() == 40 })
	healthy.verified(t)
	seen := map[string]bool{}
	for _, q := range healthy.got {
		seen[q.Header.Get("webhook-id")] = true
	}
	if len(seen) != 40 {
		t.Errorf("%d events of 40", len(seen))
	}
}

func TestWhatStopsInTheMiddleIsTriedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "heed.db")
	p, r := open(t, path), newReceiver(t)
	endpoint := p.endpoint(r)
	p.stop() // the process ends; what happens next is kept by another one that sends nothing
	other, err := store.Open(context.Background(), store.Options{URL: "sqlite:" + path, Secret: []byte(strings.Repeat("s", 32)), Now: p.clock.now, NewID: p.ids.New})
	if err != nil {
		t.Fatal(err)
	}
	c := p.change()
	c.Tasks = []gateway.Task{{ID: p.ids.New(), Kind: gateway.TaskReply, Created: c.At, Due: c.At}}
	if _, err := other.Commit(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	// It dies with the job in its hands.
	if n, err := other.Relay(context.Background(), func(context.Context, *sql.Tx, []int64) error { return nil }); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, path)
	if list := again.deliveries(endpoint); len(list) != 1 || list[0].Status != gateway.DeliveryQueued {
		t.Fatalf("%v", list)
	}
	again.clock.add(2 * time.Minute)
	again.is(endpoint, gateway.DeliveryDelivered, 1)
	r.verified(t)
}

func TestTwoReplicasTellEachEventOnce(t *testing.T) {
	server := os.Getenv("HEED_TEST_POSTGRES_URL")
	if server == "" {
		t.Skip("HEED_TEST_POSTGRES_URL is not set; `make test` starts a server and sets it")
	}
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := fmt.Sprintf("heed_test_%x", rand.Uint64())
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	one, two, r := openURL(t, u.String()), openURL(t, u.String()), newReceiver(t)
	endpoint := one.endpoint(r)
	const events = 60
	for i := range events {
		[]*post{one, two}[i%2].happens()
	}
	one.eventually("all are delivered", func() bool {
		done := 0
		for _, d := range one.deliveries(endpoint) {
			if d.Status == gateway.DeliveryDelivered {
				done++
			}
		}
		return done == events
	})
	r.verified(t)
	if n := r.calls(); n != events {
		t.Errorf("%d calls for %d events", n, events)
	}
}
