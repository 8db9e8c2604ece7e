package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"harmonize.care/heed/preferences/cache"
)

// benched are the figures of a whole run.
var benched = []string{
	"cpu", "commits_1", "decision", "explanation", "decode", "screening", "campaign_screening", "commits_16", "messages", "messages_answer", "message_alone",
	"stops", "stop_p50", "stop_p99", "stop_alone_p99", "email_small", "email", "email_growth", "email_memory", "post_email", "sms", "post_sms",
}

// bench runs the command with a temp folder of its own, which must be empty afterwards.
func (c cli) bench(into *benchReport, args ...string) {
	c.t.Helper()
	c.t.Setenv(childMark, "1") // the providers are played by this binary, run as heed
	folder := c.t.TempDir()
	c.t.Setenv("TMPDIR", folder)
	c.json(into, append([]string{"bench", "--quick"}, args...)...)
	left, err := os.ReadDir(folder)
	if err != nil || len(left) > 0 {
		c.t.Errorf("left behind: %v %v", left, err)
	}
}

func (r *benchReport) names() []string {
	var names []string
	for _, f := range r.Figures {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names
}

// checkFigures holds a whole run to what it must have; how fast it was is not looked at.
func checkFigures(t *testing.T, r *benchReport, more ...string) {
	t.Helper()
	want := slices.Sorted(slices.Values(append(slices.Clone(benched), more...)))
	if got := r.names(); !slices.Equal(got, want) {
		t.Fatalf("measured %v, want %v", got, want)
	}
	for _, f := range r.Figures {
		if f.Median <= 0 || len(f.Runs) == 0 || f.What == "" || f.Unit == "" {
			t.Errorf("%s: %+v", f.Name, f)
		}
		if f.Of != "" && f.Ratio <= 0 {
			t.Errorf("%s: no ratio of %s", f.Name, f.Of)
		}
		if (f.Aim == nil) != (f.Reached == nil) {
			t.Errorf("%s: an aim and no word on whether it was reached, or the other way round", f.Name)
		}
	}
	for _, name := range []string{"email", "sms", "messages", "stops"} {
		if f := r.Figures[slices.IndexFunc(r.Figures, func(f *figure) bool { return f.Name == name })]; f.CPU <= 0 || f.Memory <= 0 {
			t.Errorf("%s: CPU %v, memory %v", name, f.CPU, f.Memory)
		}
	}
}

func TestBenchInAThrowAwayFile(t *testing.T) {
	var r benchReport
	t.Chdir(t.TempDir()) // there is no settings file, and none is made
	cli{t: t}.bench(&r)
	checkFigures(t, &r)
	if r.Database != "sqlite" || r.Cache != "process" || r.CPUs < 1 {
		t.Errorf("%+v", r)
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestBenchOnOnesOwnServers(t *testing.T) {
	server, store := serviceURL(t, "HEED_TEST_POSTGRES_URL"), serviceURL(t, "HEED_TEST_REDIS_URL")
	store = strings.TrimSuffix(store, "/0") + "/9" // other packages' tests leave keys in the first one
	before := benchDatabases(t, server)
	client, err := cache.NewRedis(cache.RedisOptions{URL: store, Expiry: cacheExpiry})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	keys := redisKeys(t, client)
	var r benchReport
	cli{t, []string{"--set", "database.url=" + server, "--set", "redis.url=" + store}}.bench(&r)
	checkFigures(t, &r, "mget")
	if r.Database != "postgresql" || r.Cache != "redis" {
		t.Errorf("%+v", r)
	}
	if after := benchDatabases(t, server); !slices.Equal(before, after) {
		t.Errorf("databases before %v, after %v", before, after)
	}
	for _, key := range redisKeys(t, client) {
		if !slices.Contains(keys, key) {
			t.Errorf("left in Redis: %s", key)
		}
	}
}

func benchDatabases(t *testing.T, server string) []string {
	t.Helper()
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var names string
	if err := db.QueryRow("SELECT COALESCE(string_agg(datname, ' ' ORDER BY datname), '') FROM pg_database WHERE datname LIKE 'heed_bench%'").Scan(&names); err != nil {
		t.Fatal(err)
	}
	return strings.Fields(names)
}

func redisKeys(t *testing.T, client *cache.Redis) []string {
	t.Helper()
	keys, err := client.Client().Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// Only what was asked for is measured, beside what the machine does.
func TestBenchOfOneMeasure(t *testing.T) {
	var r benchReport
	profile := filepath.Join(t.TempDir(), "cpu.prof")
	t.Chdir(t.TempDir())
	cli{t: t}.bench(&r, "decision", "--profile", profile)
	if got := r.names(); !slices.Equal(got, []string{"commits_1", "cpu", "decision", "decode", "explanation"}) {
		t.Errorf("measured %v", got)
	}
	if info, err := os.Stat(profile); err != nil || info.Size() == 0 {
		t.Errorf("no profile: %v", err)
	}
}

// A run that is broken off takes away what it made.
func TestBenchBrokenOff(t *testing.T) {
	t.Setenv(childMark, "1")
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	t.Chdir(t.TempDir())
	server := os.Getenv("HEED_TEST_POSTGRES_URL")
	args, before := []string{"bench", "stops", "--runs", "1"}, []string(nil)
	if server != "" {
		args, before = append(args, "--set", "database.url="+server), benchDatabases(t, server)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out, told := &lockedBuffer{}, &lockedBuffer{}
	ended := make(chan int, 1)
	go func() { ended <- newCommand(strings.NewReader(""), out, told).run(ctx, args) }()
	eventually(t, "people are put on file", func() bool { return strings.Contains(told.String(), "on file") })
	cancel()
	if code := <-ended; code != failed {
		t.Errorf("ended with %d: %s", code, told)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if server != "" {
		if after := benchDatabases(t, server); !slices.Equal(before, after) {
			t.Errorf("databases before %v, after %v", before, after)
		}
	}
}

func TestBenchRefusals(t *testing.T) {
	t.Setenv(childMark, "1")
	nobody := freeAddress(t)
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no PostgreSQL there":       {[]string{"--set", "database.url=postgres://bench:hidden@" + nobody + "/postgres"}, failed, "database.url: the server does not answer"},
		"no Redis there":            {[]string{"--set", "redis.url=redis://:hidden@" + nobody}, failed, "redis.url: the server does not answer"},
		"a measure that is none":    {[]string{"nonsense"}, usage, "nonsense"},
		"no runs":                   {[]string{"--runs", "0"}, usage, "--runs"},
		"a past without PostgreSQL": {[]string{"--past-people", "1000", "--past-messages", "10000"}, usage, "PostgreSQL alone"},
		"a past of nobody":          {[]string{"--past-messages", "10000"}, usage, "--past-people"},
		"a tiny audience":           {[]string{"--size", "10"}, usage, "--size"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			code, _, said := cli{t: t}.run(append([]string{"bench", "--quick"}, c.args...)...)
			if code != c.code || !strings.Contains(said, c.says) || strings.Contains(said, "hidden") {
				t.Errorf("%d %s", code, said)
			}
		})
	}
}

func TestFiguresAreSettled(t *testing.T) {
	limit := &figure{Name: "limit", Runs: []float64{100, 300, 200}}
	f := &figure{Name: "rate", Runs: []float64{90, 160, 140}, Of: "limit", cpu: []float64{2, 1, 3}, memory: []float64{64, 80, 70}, Aim: &goal{AtLeast: 100, Ratio: 0.7, CPU: 2, Memory: 80}}
	f.settle([]*figure{limit, f})
	if f.Median != 140 || f.Ratio != 0.7 || f.CPU != 2 || f.Memory != 80 || f.Reached == nil || !*f.Reached {
		t.Errorf("%+v", f)
	}
	for name, miss := range map[string]goal{"rate": {AtLeast: 141}, "time": {AtMost: 139}, "ratio": {Ratio: 0.71}, "CPU": {CPU: 1.9}, "memory": {Memory: 79}, "allocations": {Allocs: true}} {
		if miss.reached(f) {
			t.Errorf("%s: reached", name)
		}
	}
	text, err := json.Marshal(f)
	if err != nil || !strings.Contains(string(text), `"reached":true`) {
		t.Errorf("%s %v", text, err)
	}
}

// Everything is measured in an empty database and in one with a past, and both are gone
// afterwards.
func TestBenchBesideAPast(t *testing.T) {
	server := serviceURL(t, "HEED_TEST_POSTGRES_URL")
	before := benchDatabases(t, server)
	t.Chdir(t.TempDir())
	var r benchReport
	cli{t, []string{"--set", "database.url=" + server}}.bench(&r, "messages", "stops", "email", "--past-people", "300", "--past-messages", "3000")
	for _, name := range []string{"messages", "messages_past", "messages_beside_past", "stops_past", "stops_beside_past", "email_past", "email_beside_past", "commits_16_past"} {
		i := slices.IndexFunc(r.Figures, func(f *figure) bool { return f.Name == name })
		if i < 0 || r.Figures[i].Median <= 0 || len(r.Figures[i].Runs) != 1 && !strings.HasPrefix(name, "commits") {
			t.Errorf("%s is not measured: %v", name, r.names())
		}
	}
	if r.Scale.Past.People != 300 || r.Scale.Past.Messages != 3000 {
		t.Errorf("%+v", r.Scale)
	}
	if after := benchDatabases(t, server); !slices.Equal(before, after) {
		t.Errorf("databases before %v, after %v", before, after)
	}
}
