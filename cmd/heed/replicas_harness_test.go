package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences/link"
)

const (
	fleetSecret  = "test-secret-test-secret-test-secret-test-secret-"
	careNumber   = "+18885550101"
	surveyNumber = "+18885550102"
	careMailbox  = "care@cedar.example"
	newsMailbox  = "news@cedar.example"
)

// fleet is several `heed serve` processes on one PostgreSQL and one Redis, or without
// Redis, before one carrier. Callers reach them through one address, as behind a load balancer.
type fleet struct {
	*testing.T
	plan     fleetPlan
	carrier  *carrier
	door     string // the public address: whichever replica answers
	database string
	members  []*member
	client   *http.Client
	store    *store.DB // puts people on file, and nothing else
	ids      *gateway.IDs
	links    *link.Links
	people   []patron
	barred   *barred
	extra    int // messages that only show that somebody works
}

// fleetPlan says what a fleet is made of.
type fleetPlan struct {
	replicas int
	redis    bool
	taps     bool   // each replica has a tap of its own before PostgreSQL and Redis
	database string // "": a new one
	lease    time.Duration
	unknown  time.Duration // sending.unknown_after
	events   bool          // the mail provider tells what became of mails
}

// member is one replica. What may be called while it is being killed is safe for that.
type member struct {
	*child
	no       int
	postgres *tap // nil without taps
	redis    *tap // nil without taps, or without Redis

	mu     sync.Mutex
	dead   bool
	frozen bool
	awake  context.Context // done when it was frozen: callers give up
	sleeps context.CancelFunc
	gone   chan struct{} // closed when the process has ended
}

func newFleet(t *testing.T, p fleetPlan) *fleet {
	t.Helper()
	if p.database == "" {
		p.database = emptyPostgres(t)
	}
	f := &fleet{T: t, plan: p, database: p.database, ids: &gateway.IDs{Now: time.Now, Rand: random}, barred: &barred{at: map[string]refusedAt{}}}
	f.client = &http.Client{
		Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConns: 512, MaxIdleConnsPerHost: 128},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(f.client.CloseIdleConnections)
	front := httptest.NewServer(http.HandlerFunc(f.pass))
	t.Cleanup(front.Close)
	f.door = front.URL
	f.carrier = newCarrier(t, f)
	var err error
	if f.links, err = link.New(f.door, []byte(fleetSecret)); err != nil {
		t.Fatal(err)
	}
	if f.store, err = store.Open(t.Context(), store.Options{URL: f.database, Secret: []byte(fleetSecret), Now: time.Now, NewID: f.ids.New}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.store.Close() })
	if err := f.store.AddAPIKey(t.Context(), "ben", auth.Marketer, auth.Hash("key-of-ben")); err != nil {
		t.Fatal(err)
	}
	for no := range p.replicas {
		f.members = append(f.members, f.member(no))
	}
	for _, m := range f.members {
		m.launch()
	}
	for _, m := range f.members {
		m.awaitReady()
	}
	return f
}

// member sets a replica up, and ends it when the test does.
func (f *fleet) member(no int) *member {
	f.Helper()
	dir, address := f.TempDir(), freeAddress(f)
	m := &member{no: no, child: &child{t: f.T, url: "http://" + address, file: filepath.Join(dir, "heed.yaml"), log: &lockedBuffer{}}}
	database, redis := f.database, ""
	if f.plan.redis {
		redis = serviceURL(f, "HEED_TEST_REDIS_URL")
	}
	if f.plan.taps {
		m.postgres, database = tapBefore(f.T, database, readPostgres)
		if redis != "" {
			m.redis, redis = tapBefore(f.T, redis, nil)
		}
	}
	text, err := json.Marshal(f.settings(address, database, redis, f.carrier.url+"/r"+strconv.Itoa(no)))
	if err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(m.file, text, 0o600); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		m.fell()
		if m.gone != nil {
			<-m.gone
		}
		if f.Failed() {
			f.Logf("replica %d said:\n%s", m.no, lastLines(m.log.String(), 40))
		}
	})
	return m
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (f *fleet) settings(address, database, redis, provider string) map[string]any {
	all := map[string]any{
		"http": map[string]any{"listen": address, "public_url": f.door}, "database": map[string]any{"url": database},
		"keys":    map[string]any{"secret": fleetSecret},
		"sending": map[string]any{"lease": f.plan.lease.String(), "lookup_after": "500ms", "unknown_after": f.plan.unknown.String()},
		"practice": map[string]any{
			"name": "Cedar Practice", "discreet_name": "Your provider", "phone": "+18885550100", "opt_out_phone": "+18885550199",
			"postal_address": "1 Main St, Denver, CO 80202", "time_zone": "America/Denver", "privacy_email": "privacy@cedar.example",
		},
		"programs": map[string]any{
			"care": map[string]any{"sms_from": careNumber, "email_from": careMailbox}, "check_in": map[string]any{"sms_from": surveyNumber, "email_from": "check-in@cedar.example"},
			"billing": map[string]any{"sms_from": "+18885550103", "email_from": "billing@cedar.example"}, "marketing": map[string]any{"sms_from": "+18885550104", "email_from": newsMailbox},
		},
		"providers": map[string]any{
			"mode": "live", "email": "sendgrid", "sendgrid": map[string]any{"api_key": "SG.test", "base_url": provider, "agreement": "baa", "webhook_public_key": f.carrier.pretend.PublicKey()},
			"twilio": map[string]any{"account_sid": killSID, "auth_token": killToken, "base_url": provider, "agreement": "baa"},
		},
	}
	if redis != "" {
		all["redis"] = map[string]any{"url": redis}
	}
	return all
}

// launch starts the process, and does not wait for it.
func (m *member) launch() {
	m.t.Helper()
	cmd := exec.Command(os.Args[0], "serve", "--config", m.file)
	cmd.Env = append(os.Environ(), childMark+"=1", "HEED_AUTH_ADMIN_KEY="+adminKey)
	cmd.Stderr = m.log
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	gone := make(chan struct{})
	m.cmd, m.dead, m.gone = cmd, false, gone
	m.awake, m.sleeps = context.WithCancel(context.Background())
	go func() {
		cmd.Wait()
		close(gone)
	}()
}

// fell kills the process, wherever it is, and says whether it was alive.
func (m *member) fell() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead || m.cmd == nil {
		return false
	}
	m.dead = true
	return m.cmd.Process.Signal(syscall.SIGKILL) == nil
}

// isAway says whether nobody would answer.
func (m *member) isAway() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead || m.frozen
}

// freeze stops the process in its tracks; thaw lets it go on as if nothing had been.
func (m *member) freeze() { m.stops(true, syscall.SIGSTOP) }
func (m *member) thaw()   { m.stops(false, syscall.SIGCONT) }

func (m *member) stops(frozen bool, signal syscall.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if frozen {
		m.sleeps()
	} else {
		m.awake, m.sleeps = context.WithCancel(context.Background())
	}
	if m.frozen = frozen; m.cmd.Process.Signal(signal) != nil {
		m.t.Errorf("replica %d could not be stopped, or go on", m.no)
	}
}

// patience bounds a call to this replica by its being awake.
func (m *member) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(m.awake, cancel)
	return ctx, cancel
}

// but gives all replicas except one.
func (f *fleet) but(m *member) (others []*member) {
	for _, o := range f.members {
		if o != m {
			others = append(others, o)
		}
	}
	return others
}

// again brings a killed replica back, and does not wait for it.
func (m *member) again() {
	m.t.Helper()
	<-m.gone
	m.launch()
}

func (m *member) ready() bool { return m.health()["status"] == "ready" }

// health is what a replica says of itself.
func (m *member) health() (says map[string]string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url+"/readyz", nil)
	if err != nil {
		return nil
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil
	}
	defer got.Body.Close()
	if got.StatusCode == http.StatusOK {
		_ = json.NewDecoder(got.Body).Decode(&says) // nothing readable is not ready
	}
	return says
}

func (m *member) awaitReady() {
	m.t.Helper()
	eventuallyUntil(m.t, time.Now().Add(time.Minute), fmt.Sprintf("replica %d is ready", m.no), func() bool {
		select {
		case <-m.gone:
			m.t.Fatalf("replica %d ended by itself", m.no)
		default:
		}
		return m.ready()
	})
}

// figure reads one of the replica's own figures.
func (m *member) figure(name string) float64 {
	got, err := http.Get(m.url + "/metrics")
	if err != nil {
		return -1
	}
	defer got.Body.Close()
	body, _ := io.ReadAll(got.Body)
	for line := range strings.Lines(string(body)) {
		var v float64
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			fmt.Sscan(rest, &v)
			return v
		}
	}
	return -1
}
