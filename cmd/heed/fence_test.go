package main

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/gateway/jobs"
	"harmonize.care/heed/gateway/observe"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/cache"
	"harmonize.care/heed/preferences/link"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

var fenceMessages = flag.Int("fence.messages", 3000, "messages of the fence test; `make fence` sends 100,000")

const letter = "Your letter is ready."

// wire is a provider that takes its time: a message arrives when the time is over.
type wire struct {
	mu      sync.Mutex
	arrived map[string][]time.Time // by number
}

func (w *wire) Send(ctx context.Context, m channels.Outgoing) (channels.Receipt, error) {
	select {
	case <-time.After(time.Duration(rand.Int64N(int64(8 * time.Millisecond)))):
	case <-ctx.Done():
		return channels.Receipt{}, &channels.SendError{Kind: channels.OutcomeUnknown, Err: ctx.Err()}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !strings.Contains(m.Text, letter) {
		return channels.Receipt{}, nil // the confirmation of a stop goes out after it: the one named exception
	}
	w.arrived[m.To] = append(w.arrived[m.To], time.Now())
	return channels.Receipt{ProviderID: fmt.Sprintf("SM%032x", m.Attempt)}, nil
}

// poison gives old snapshots again and again, as a cache does that lost its writes.
type poison struct {
	gateway.Cache
	mu   sync.Mutex
	olds map[int64]*preferences.Snapshot
}

func (p *poison) Put(ctx context.Context, list ...*preferences.Snapshot) {
	for _, s := range list {
		p.put(ctx, s)
	}
}

func (p *poison) put(ctx context.Context, s *preferences.Snapshot) {
	p.mu.Lock()
	if p.olds[s.Patient] == nil {
		p.olds[s.Patient] = s
	}
	p.mu.Unlock()
	p.Cache.Put(ctx, s)
}

func (p *poison) GetMany(ctx context.Context, patients []int64) map[int64]*preferences.Snapshot {
	found := p.Cache.GetMany(ctx, patients)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range patients {
		if old := p.olds[id]; old != nil && rand.IntN(2) == 0 {
			found[id] = old
		}
	}
	return found
}

// aim shoots at patients whose messages are just being claimed.
type aim struct {
	*store.DB
	shoot func(patient int64)
	stale atomic.Int64
}

func (a *aim) Commit(ctx context.Context, c gateway.Change) (gateway.Kept, error) {
	for _, s := range c.Steps {
		if s.To == gateway.Sending && s.Patient != 0 {
			a.shoot(s.Patient)
		}
	}
	kept, err := a.DB.Commit(ctx, c)
	for _, r := range kept.Refused {
		if r.Why == gateway.Stale {
			a.stale.Add(1)
		}
	}
	return kept, err
}

// fenceTest is several gateways on one PostgreSQL and one Redis.
type fenceTest struct {
	*testing.T
	wire     *wire
	ids      *gateway.IDs
	policy   *policy.Policy
	replicas []*replica
	numbers  map[int64]string // by patient
	targets  chan int64

	mu    sync.Mutex
	acked map[string]time.Time
	shot  map[int64]bool
}

type replica struct {
	store      *aim
	fence      *gateway.Fence
	intake     *intake.Service
	dispatcher *dispatch.Dispatcher
	bell       *jobs.Bell
}

func TestFenceHoldsUnderStopsAimedAtTheClaim(t *testing.T) {
	database := emptyPostgres(t)
	proxy := newProxy(t, serviceURL(t, "HEED_TEST_REDIS_URL"))
	p, err := policy.New(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	f := &fenceTest{
		T: t, wire: &wire{arrived: map[string][]time.Time{}}, ids: &gateway.IDs{Now: time.Now, Rand: random}, policy: p,
		numbers: map[int64]string{}, targets: make(chan int64, 10000), acked: map[string]time.Time{}, shot: map[int64]bool{},
	}
	for range 3 {
		f.replicas = append(f.replicas, f.replica(database, "redis://"+proxy.address()))
	}
	patients := f.enrolAll(*fenceMessages / 3)
	f.acceptAll(patients, *fenceMessages)

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for i := range 6 {
		running.Go(func() { f.stopTargets(ctx, f.replicas[i%len(f.replicas)]) })
	}
	running.Go(func() { proxy.trouble(ctx) })
	for _, r := range f.replicas {
		for _, q := range gateway.Queues {
			loop := jobs.Loop{Name: "work", Bell: r.bell, Interval: 20 * time.Millisecond, Log: observe.NewLog(io.Discard, nil), Work: func(ctx context.Context) (int, error) { return r.dispatcher.Work(ctx, q) }}
			running.Go(func() { loop.Run(ctx) })
		}
		sweep := jobs.Loop{Name: "sweep", Interval: time.Second, Log: observe.NewLog(io.Discard, nil), Work: r.dispatcher.Sweep}
		running.Go(func() { sweep.Run(ctx) })
	}
	f.untilSettled(database)
	cancel()
	running.Wait()
	for _, r := range f.replicas {
		r.dispatcher.Drain()
	}
	f.judge()
}

func (f *fenceTest) replica(database, redisURL string) *replica {
	f.Helper()
	db, err := store.Open(context.Background(), store.Options{URL: database, Secret: []byte(strings.Repeat("s", 32)), Now: time.Now, NewID: f.ids.New})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	real, err := cache.NewRedis(cache.RedisOptions{URL: redisURL, Expiry: time.Minute, Secret: []byte(strings.Repeat("s", 32))})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { real.Close() })
	links, err := link.New("http://127.0.0.1", []byte(strings.Repeat("l", 32)))
	if err != nil {
		f.Fatal(err)
	}
	poisoned := &poison{Cache: real, olds: map[int64]*preferences.Snapshot{}}
	r := &replica{store: &aim{DB: db, shoot: f.shoot}, bell: jobs.NewBell()}
	r.fence = &gateway.Fence{Store: r.store, Now: time.Now, Lease: 5 * time.Second, Pause: pause}
	db.Listen(r.fence.Revoke)
	eventually(f, "the listener is there", func() bool { return db.Hearing() == nil })
	r.intake = &intake.Service{Store: r.store, Cache: poisoned, Fence: r.fence, Policy: f.policy, Now: time.Now, NewID: f.ids.New, Wake: r.bell.Ring}
	way := dispatch.Way{Adapter: f.wire, Agreement: policy.Clinical}
	r.dispatcher = &dispatch.Dispatcher{
		Store: r.store, Cache: poisoned, Fence: r.fence, Policy: f.policy, Templates: templates.Builtin, Identity: templates.Identity{Name: "Cedar Practice", DiscreetName: "Your provider", Phone: "+18885550100", PostalAddress: "1 Main St"},
		Ways: map[dispatch.WayOf]dispatch.Way{{Program: channels.Care, Channel: channels.SMS}: way}, Links: links, Now: time.Now, NewID: f.ids.New,
		Wake: r.bell.Ring, Ready: db.Hearing, Fault: func(err error) { f.Error(err) }, Lease: 5 * time.Second, LookupAfter: time.Second, UnknownAfter: 10 * time.Second,
	}
	return r
}

// enrolAll puts patients on file, each with one mobile of their own.
func (f *fenceTest) enrolAll(n int) []int64 {
	f.Helper()
	var ids []int64
	for len(ids) < n {
		c := gateway.Change{At: time.Now(), Actor: "test"}
		for range min(200, n-len(ids)) {
			patient, address, number := f.ids.New(), f.ids.New(), fmt.Sprintf("+1303%07d", 2_000_000+len(ids))
			ids = append(ids, patient)
			f.numbers[patient] = number
			c.Patients = append(c.Patients, gateway.PatientFact{
				Patient: patient, Ref: fmt.Sprintf("p%d", patient), Record: &gateway.Record{BirthDate: "1980-04-02"},
				Texts: []gateway.AddressText{{ID: address, Kind: channels.Phone, Value: number}},
				Events: []preferences.Event{{ID: f.ids.New(), Kind: preferences.ContactSet, At: time.Now().UnixMicro(), Contact: &preferences.Contact{
					BirthDate: preferences.Date{Year: 1980, Month: 4, Day: 2}, Zones: []string{"America/Denver"},
					Addresses: []preferences.ContactAddress{{ID: address, Kind: channels.Phone, Rank: 1, Zones: []string{"America/Denver"}}},
				}}},
			})
		}
		if _, err := f.replicas[0].store.Commit(context.Background(), c); err != nil {
			f.Fatal(err)
		}
	}
	return ids
}

// acceptAll takes essential messages in, some for each patient.
func (f *fenceTest) acceptAll(patients []int64, n int) {
	f.Helper()
	for from := 0; from < n; from += 500 {
		c := gateway.Change{At: time.Now(), Actor: "test"}
		for i := from; i < min(n, from+500); i++ {
			now := time.Now()
			c.Accepts = append(c.Accepts, gateway.Message{
				ID: f.ids.New(), Patient: patients[i%len(patients)], Queue: gateway.Queues[1+i%3], Category: "follow_up", Template: "follow_up", Essential: true,
				Due: now, Created: now, Body: gateway.Body{Variables: map[string]string{"text": letter}, Urgent: true},
			})
		}
		if _, err := f.replicas[0].store.Commit(context.Background(), c); err != nil {
			f.Fatal(err)
		}
	}
}

// shoot picks a third of the patients whose message is just being claimed.
func (f *fenceTest) shoot(patient int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shot[patient] || rand.IntN(3) > 0 {
		return
	}
	select {
	case f.targets <- patient:
		f.shot[patient] = true
	default:
	}
}

// stopTargets texts STOP for every patient that was shot at, on its own replica.
func (f *fenceTest) stopTargets(ctx context.Context, r *replica) {
	for {
		select {
		case <-ctx.Done():
			return
		case patient := <-f.targets:
			number := f.numbers[patient]
			// A stop that has begun is carried to its end, whatever the test does meanwhile.
			err := r.intake.Text(context.WithoutCancel(ctx), "twilio", channels.Inbound{
				ID: fmt.Sprintf("SM%d", f.ids.New()), From: number, To: "+18885550101", Body: "STOP", At: time.Now(),
			})
			at := time.Now()
			if err != nil {
				f.Error(err)
				return
			}
			f.mu.Lock()
			f.acked[number] = at
			f.mu.Unlock()
		}
	}
}

func (f *fenceTest) untilSettled(database string) {
	f.Helper()
	db, err := sql.Open("pgx", database)
	if err != nil {
		f.Fatal(err)
	}
	defer db.Close()
	deadline := time.Now().Add(time.Duration(60+*fenceMessages/50) * time.Second)
	eventuallyUntil(f, deadline, "every message has an outcome", func() bool {
		var open int
		if err := db.QueryRow("SELECT count(*) FROM messages WHERE status < 3 AND category <> ''").Scan(&open); err != nil {
			f.Fatal(err)
		}
		return open == 0 && len(f.targets) == 0
	})
}

// judge counts what arrived after its STOP was acknowledged.
func (f *fenceTest) judge() {
	f.Helper()
	late, before, total := 0, 0, 0
	for number, times := range f.wire.arrived {
		acked, stopped := f.acked[number]
		for _, at := range times {
			total++
			switch {
			case stopped && at.After(acked):
				late++
				f.Errorf("a message arrived %s after its STOP was acknowledged", at.Sub(acked))
			case stopped:
				before++
			}
		}
	}
	var stale int64
	for _, r := range f.replicas {
		stale += r.store.stale.Load()
	}
	f.Logf("%d messages, %d arrived, %d STOPs, %d arrived before their STOP was acknowledged, %d claims refused as stale, %d late", *fenceMessages, total, len(f.acked), before, stale, late)
	if len(f.acked) < *fenceMessages/30 || stale == 0 || before == 0 {
		f.Error("the test did not aim well: it proves nothing")
	}
}

func emptyPostgres(t testing.TB) string {
	t.Helper()
	server := serviceURL(t, "HEED_TEST_POSTGRES_URL")
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := fmt.Sprintf("heed_cmd_%x", rand.Uint64())
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// proxy stands before Redis and can be cut.
type proxy struct {
	t        *testing.T
	listener net.Listener
	behind   string
	flusher  *redis.Client

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

func newProxy(t *testing.T, address string) *proxy {
	t.Helper()
	options, err := redis.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, listener: l, behind: options.Addr, flusher: redis.NewClient(options), conns: map[net.Conn]bool{}}
	go p.serve()
	t.Cleanup(func() {
		l.Close()
		p.drop()
		p.flusher.Close()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) serve() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", p.behind)
		p.mu.Lock()
		if err != nil || p.cut {
			from.Close()
			if err == nil {
				to.Close()
			}
			p.mu.Unlock()
			continue
		}
		p.conns[from], p.conns[to] = true, true
		p.mu.Unlock()
		go func() { io.Copy(to, from); to.Close() }()
		go func() { io.Copy(from, to); from.Close() }()
	}
}

func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
		delete(p.conns, c)
	}
}

// trouble flushes Redis and cuts it off, again and again.
func (p *proxy) trouble(ctx context.Context) {
	tick := time.NewTicker(150 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if i%3 == 0 {
			p.flusher.FlushAll(context.WithoutCancel(ctx))
		}
		p.mu.Lock()
		p.cut = i%4 == 1
		p.mu.Unlock()
		if i%4 == 1 {
			p.drop()
		}
	}
}
