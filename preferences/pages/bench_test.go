package pages_test

import (
	"bytes"
	"context"
	crand "crypto/rand"
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
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/link"
	"harmonize.care/heed/preferences/pages"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

const publicURL = "https://practice.example"

var secret = []byte(strings.Repeat("s", 32))

// bench is a gateway with its pages, on a database of its own.
type bench struct {
	t       *testing.T
	url     string // where patients reach the pages
	path    string // of the SQLite file, "" on PostgreSQL
	clock   *clock
	store   *store.DB
	intake  *intake.Service
	sender  *dispatch.Dispatcher
	links   *link.Links
	ids     *gateway.IDs
	mail    *mailbox
	log     *bytes.Buffer
	handler http.Handler
}

// clock stands still until it is moved. It begins at noon on a Wednesday in Denver.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(time.Microsecond)
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// mailbox is where every email arrives.
type mailbox struct {
	mu   sync.Mutex
	mail []channels.Outgoing
}

func (m *mailbox) Send(_ context.Context, out channels.Outgoing) (channels.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mail = append(m.mail, out)
	return channels.Receipt{ProviderID: fmt.Sprint("M", len(m.mail))}, nil
}

// noCache never has anything.
type noCache struct{}

func (noCache) GetMany(context.Context, []int64) map[int64]*preferences.Snapshot { return nil }
func (noCache) Put(context.Context, ...*preferences.Snapshot)                    {}
func (noCache) Delete(context.Context, int64)                                    {}

func newBench(t *testing.T, change ...func(*policy.File)) *bench {
	t.Helper()
	return newBenchAt(t, publicURL, change...)
}

// newBenchAt serves the pages at an address of its own.
func newBenchAt(t *testing.T, url string, change ...func(*policy.File)) *bench {
	t.Helper()
	path := filepath.Join(t.TempDir(), "heed.db")
	b := newBenchOn(t, url, "sqlite:"+path, change...)
	b.path = path
	return b
}

// newDatabase makes a PostgreSQL database of its own for one test.
func newDatabase(t *testing.T) string {
	t.Helper()
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
	return u.String()
}

func newBenchOn(t *testing.T, url, database string, change ...func(*policy.File)) *bench {
	t.Helper()
	b := &bench{
		t: t, url: url, clock: &clock{at: time.Date(2030, 3, 6, 19, 0, 0, 0, time.UTC)},
		mail: &mailbox{}, log: &bytes.Buffer{},
	}
	b.ids = &gateway.IDs{Now: b.clock.Now, Rand: rand.Uint64}
	var err error
	if b.store, err = store.Open(context.Background(), store.Options{URL: database, Secret: secret, Now: b.clock.Now, NewID: b.ids.New}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.store.Close(); err != nil {
			t.Error(err)
		}
	})
	file := policy.Default()
	for _, c := range change {
		c(&file)
	}
	p, err := policy.New(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.links, err = link.New(url, secret); err != nil {
		t.Fatal(err)
	}
	fence := &gateway.Fence{Store: b.store, Now: b.clock.Now, Lease: 5 * time.Second, Pause: func(ctx context.Context) error { return ctx.Err() }}
	wake := func() {}
	b.intake = &intake.Service{Store: b.store, Cache: noCache{}, Fence: fence, Policy: p, Now: b.clock.Now, NewID: b.ids.New, Wake: wake}
	identity := templates.Identity{
		Name: "Cedar Practice", DiscreetName: "Your provider", Phone: "+13035550100", OptOutPhone: "+18005550100",
		PostalAddress: "12 Main Street, Denver, CO 80202", TimeZone: "America/Denver",
	}
	b.sender = &dispatch.Dispatcher{
		Store: b.store, Cache: noCache{}, Fence: fence, Policy: p, Templates: templates.Builtin, Identity: identity,
		Ways: map[dispatch.WayOf]dispatch.Way{}, Senders: map[channels.Program]string{channels.Care: "+13035550111"}, Links: b.links,
		Now: b.clock.Now, NewID: b.ids.New, Wake: wake, Ready: func() error { return nil }, Fault: func(err error) { t.Error(err) },
		Lease: 5 * time.Second, LookupAfter: 10 * time.Second, UnknownAfter: 10 * time.Minute,
	}
	for _, program := range channels.Programs {
		b.sender.Ways[dispatch.WayOf{Program: program, Channel: channels.Email}] = dispatch.Way{Adapter: b.mail, Agreement: policy.None}
	}
	b.handler = pages.New(b.options()).Handler()
	return b
}

func (b *bench) options() pages.Options {
	return pages.Options{
		Store: b.store, Intake: b.intake, Dispatcher: b.sender, Policy: b.sender.Policy, Links: b.links, Identity: b.sender.Identity,
		Now: b.clock.Now, Random: crand.Reader, Log: slog.New(slog.NewTextHandler(b.log, nil)), PublicURL: b.url,
	}
}

// enrol puts a patient on file with a phone and a mailbox.
func (b *bench) enrol(locale string) int64 {
	b.t.Helper()
	out, err := b.intake.Put(context.Background(), "ehr", "REF-7731", intake.Contact{
		Record: gateway.Record{GivenName: "Anatolia", FamilyName: "Quintana", BirthDate: "1962-04-02", Locale: locale, TimeZone: "America/Denver"},
		Addresses: []intake.ContactAddress{
			{Kind: channels.Phone, Value: "+13035550143", Rank: 1, Line: preferences.Mobile},
			{Kind: channels.Mailbox, Value: "anatolia@mailbox.example", Rank: 1},
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return out.Patient
}

// deliver sends one message and gives the mail that arrived and its id.
func (b *bench) deliver(r dispatch.Request) (channels.Outgoing, int64) {
	b.t.Helper()
	r.Patient = "REF-7731"
	got, _, err := b.sender.Accept(context.Background(), "ehr", []dispatch.Request{r}, nil, nil)
	if err == nil {
		err = got[0].Err
	}
	if err != nil {
		b.t.Fatal(err)
	}
	before := len(b.mail.mail)
	b.clock.move(time.Second)
	if _, err := b.sender.Work(context.Background(), gateway.SingleQueue); err != nil {
		b.t.Fatal(err)
	}
	b.sender.Drain()
	if len(b.mail.mail) != before+1 {
		m, err := b.store.Message(context.Background(), got[0].ID)
		b.t.Fatalf("nothing arrived: %+v, %v", m, err)
	}
	return b.mail.mail[before], got[0].ID
}

var secureLink = regexp.MustCompile(`https?://\S+?(/m/\S+)`)

// secure sends clinical words and gives the path of their link and the message's id.
func (b *bench) secure(text string) (string, int64) {
	b.t.Helper()
	mail, id := b.deliver(dispatch.Request{Category: "treatment_update", Template: "treatment_update", Variables: map[string]string{"text": text}, Channels: []channels.Channel{channels.Email}})
	found := secureLink.FindStringSubmatch(mail.Text)
	if found == nil || strings.Contains(mail.Text, text) {
		b.t.Fatalf("the mail has no secure link, or says it all: %s", mail.Text)
	}
	return found[1], id
}

func (b *bench) pathOf(link string) string { return strings.TrimPrefix(link, b.url) }

func (b *bench) unsubscribePath(patient int64, topic string) string {
	return b.pathOf(b.links.Unsubscribe(patient, 0, topic))
}

func (b *bench) preferencesPath(patient int64) string {
	return b.pathOf(b.links.Preferences(patient, 0))
}

// do serves one request.
func (b *bench) do(method, path string, body io.Reader, header ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequest(method, publicURL+path, body)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w
}

func (b *bench) get(path string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.do(http.MethodGet, path, nil)
}

// press sends a form as a browser does that stands on the page.
func (b *bench) press(path string, form url.Values) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.do(http.MethodPost, path, strings.NewReader(form.Encode()),
		"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin", "Origin", "null")
}

func born(month, day, year string) url.Values {
	return url.Values{"month": {month}, "day": {day}, "year": {year}}
}

func (b *bench) snapshot(patient int64) *preferences.Snapshot {
	b.t.Helper()
	got, err := b.store.Snapshots(context.Background(), []int64{patient})
	if err != nil || got[patient] == nil {
		b.t.Fatalf("no snapshot: %v", err)
	}
	return got[patient]
}

func (b *bench) ledger(patient int64) []preferences.Event {
	b.t.Helper()
	events, err := b.store.Ledger(context.Background(), patient, 0, 1000)
	if err != nil {
		b.t.Fatal(err)
	}
	return events
}

// dump gives every row of every table: two equal dumps are one unchanged database.
func (b *bench) dump() string {
	b.t.Helper()
	db, err := sql.Open("sqlite", "file:"+b.path+"?mode=ro")
	if err != nil {
		b.t.Fatal(err)
	}
	defer db.Close()
	var out strings.Builder
	for _, row := range b.rows(db, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name") {
		table := fmt.Sprint(row[0])
		for _, row := range b.rows(db, "SELECT * FROM "+table) {
			fmt.Fprintln(&out, table, row)
		}
	}
	return out.String()
}

func (b *bench) rows(db *sql.DB, query string) [][]any {
	b.t.Helper()
	list, err := db.Query(query)
	if err != nil {
		b.t.Fatal(err)
	}
	defer list.Close()
	columns, err := list.Columns()
	if err != nil {
		b.t.Fatal(err)
	}
	var all [][]any
	for list.Next() {
		row, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := list.Scan(into...); err != nil {
			b.t.Fatal(err)
		}
		all = append(all, row)
	}
	if err := list.Err(); err != nil {
		b.t.Fatal(err)
	}
	return all
}

// personal is what a page behind a link alone must not show, and no log ever.
var personal = []string{
	"Anatolia", "Quintana", "3035550143", "0143", "mailbox.example", "REF-7731", "1962", "Cedar", "Main Street",
}

func shows(text string, words ...string) string {
	for _, word := range words {
		if strings.Contains(text, word) {
			return word
		}
	}
	return ""
}
