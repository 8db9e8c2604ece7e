package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReplicasOutliveTheirDatabase takes PostgreSQL away from all replicas at once under
// load, again and again: cut off, silent, and, where a server of the test's own can be had,
// really shut down and started again. Everybody recovers; nothing is lost, nothing is
// repeated, and nothing reaches anybody who was told that it would not.
func TestReplicasOutliveTheirDatabase(t *testing.T) {
	away := func(f *fleet, m tapMode) {
		for _, r := range f.members {
			r.postgres.set(m)
		}
	}
	outages := map[string]func(t *testing.T) (database string, leave, back func(*fleet)){
		"cut": func(*testing.T) (string, func(*fleet), func(*fleet)) {
			return "", func(f *fleet) { away(f, cut) }, func(f *fleet) { away(f, flows) }
		},
		"silent": func(*testing.T) (string, func(*fleet), func(*fleet)) {
			return "", func(f *fleet) { away(f, hangs) }, func(f *fleet) { away(f, flows) }
		},
		"restarted": func(t *testing.T) (string, func(*fleet), func(*fleet)) {
			s := newServer(t)
			return s.url, func(*fleet) { s.ctl("-m", "immediate", "stop") }, func(*fleet) { s.start() }
		},
	}
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			database, leave, back := outage(t)
			f := newFleet(t, fleetPlan{replicas: 3, taps: true, redis: true, events: true, database: database, lease: 2 * time.Second, unknown: 4 * time.Second})
			const crowd, letters = 240, 80
			f.enrol(crowd)
			list := []*mailing{f.newsletter(0, 0, crowd, 30), f.survey(1, 0, crowd, 30)}
			singles, done := make([]letterTo, letters), make(chan struct{})
			go func() {
				defer close(done)
				side(letters, func(i int) {
					if i%4 == 0 {
						f.refuses(&f.people[(i*7)%crowd], i/4)
					}
					var err error
					if singles[i], err = f.sendOne(i, rand.IntN(crowd)); err != nil {
						f.Errorf("a message was not taken: %v", err)
					}
				})
			}()
			for range 1 + *kills/50 {
				came := f.carrier.count()
				eventually(t, "something goes out", func() bool { return f.carrier.count() > came+20 })
				leave(f)
				eventually(t, "nobody is ready", func() bool {
					for _, m := range f.members {
						if m.ready() {
							return false
						}
					}
					return true
				})
				back(f)
				for _, m := range f.members {
					m.awaitReady()
				}
			}
			until := time.Now().Add(2 * time.Minute)
			<-done
			v, again := f.total(until, list, singles)
			t.Logf("%d tried once more on record: %s", again, v)
			if v.late+v.lost+v.repeated > 0 {
				t.Error("an outage of the database did harm")
			}
		})
	}
}

// postgres is a PostgreSQL of the test's own.
type postgres struct {
	t    *testing.T
	dir  string
	bin  string
	port string
	url  string
	as   []string // how to be somebody else: PostgreSQL does not run as root
}

// newServer makes and starts one, or skips the test where it cannot be had.
func newServer(t *testing.T) *postgres {
	t.Helper()
	bin := ""
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb", "/usr/libexec/postgresql*/initdb", "/opt/homebrew/bin/initdb"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			bin = filepath.Dir(found[0])
		}
	}
	if path, err := exec.LookPath("initdb"); err == nil && bin == "" {
		bin = filepath.Dir(path)
	}
	if bin == "" {
		t.Skip("no initdb here: PostgreSQL cannot be started again; its outages are tested all the same")
	}
	dir, err := os.MkdirTemp("", "heed-pg") // short: a socket's path may not be long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	_, port, _ := net.SplitHostPort(freeAddress(t))
	s := &postgres{t: t, dir: filepath.Join(dir, "pg"), bin: bin, port: port}
	if os.Geteuid() == 0 {
		if _, err := user.Lookup("postgres"); err != nil {
			t.Skip("PostgreSQL does not run as root, and nobody here is called postgres")
		}
		s.as = []string{"runuser", "-u", "postgres", "--"}
		s.run("chown", "postgres", dir)
	}
	s.run(append(s.as, filepath.Join(bin, "initdb"), "-D", s.dir, "-U", "heed", "-A", "trust", "--no-sync")...)
	s.start()
	t.Cleanup(func() { s.ctl("-m", "immediate", "stop") })
	s.url = (&url.URL{Scheme: "postgres", User: url.User("heed"), Host: "127.0.0.1:" + port, Path: "/postgres", RawQuery: "sslmode=disable"}).String()
	return s
}

func (s *postgres) start() {
	s.t.Helper()
	s.ctl("-l", filepath.Join(s.dir, "log"), "-o", fmt.Sprintf("-p %s -h 127.0.0.1 -k %s -c fsync=off -c max_connections=200", s.port, s.dir), "start")
}

func (s *postgres) ctl(args ...string) {
	s.t.Helper()
	s.run(append(append(s.as, filepath.Join(s.bin, "pg_ctl"), "-D", s.dir, "-w"), args...)...)
}

func (s *postgres) run(args ...string) {
	s.t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = os.TempDir()
	cmd.WaitDelay = time.Second // the server keeps what it was given open
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
}
