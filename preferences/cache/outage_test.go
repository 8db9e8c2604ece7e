package cache

import (
	"context"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// server is a Redis of a test's own, which it may stop, kill and start again.
type server struct {
	t    testing.TB
	port string
	cmd  *exec.Cmd
}

func startServer(t testing.TB) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	s := &server{t: t, port: port}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) url() string { return "redis://127.0.0.1:" + s.port }

func (s *server) start() {
	s.t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Skip("redis-server is not here: this test stops and kills one of its own, so install it")
	}
	s.cmd = exec.Command(program, "--port", s.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.t.TempDir())
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + s.port})
	defer client.Close()
	eventually(s.t, "redis-server answers", func() bool { return client.Ping(context.Background()).Err() == nil })
}

func (s *server) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// patience is what a send may lose to a cache that does not answer: a call's time
// and what a busy machine adds.
const patience = 600 * time.Millisecond

// unanswered checks that nobody waits for a server that gives no answer: at most
// one call's time at first, nothing after.
func unanswered(t *testing.T, r *Redis, slow time.Duration) {
	t.Helper()
	ctx := context.Background()
	call := func(name string, limit time.Duration, do func()) {
		t.Helper()
		began := time.Now()
		do()
		if took := time.Since(began); took > limit {
			t.Errorf("%s took %v", name, took)
		}
	}
	before := r.Stats()
	call("the first call", slow, func() {
		if found := r.GetMany(ctx, []int64{1, 2, 3}); len(found) != 0 {
			t.Errorf("a server that does not answer gave %v", found)
		}
	})
	call("a thousand calls while it is left alone", slow, func() {
		for range 333 {
			r.GetMany(ctx, []int64{1, 2, 3})
			r.Put(ctx, sample(1, 9))
			r.Delete(ctx, 1)
		}
	})
	got := r.Stats()
	if got.Hits != before.Hits || got.Misses-before.Misses != 3*334 {
		t.Errorf("counted %+v after %+v", got, before)
	}
	if failed := got.Errors - before.Errors; failed < 1 || failed > 3 {
		t.Errorf("%d calls were tried", failed)
	}
}

func TestRedisThatHangs(t *testing.T) {
	s := startServer(t)
	r := openRedis(t, s.url(), time.Minute)
	eventually(t, "it is used", func() bool {
		r.Put(context.Background(), sample(1, 1))
		return get(r, 1) != nil
	})
	s.signal(syscall.SIGSTOP)
	unanswered(t, r, patience)
	s.signal(syscall.SIGCONT)
	eventually(t, "it is used again", func() bool { return get(r, 1) != nil })
}

func TestRedisThatIsKilled(t *testing.T) {
	s := startServer(t)
	r := openRedis(t, s.url(), time.Minute)
	ctx := context.Background()
	r.Put(ctx, sample(1, 1))
	s.kill()
	unanswered(t, r, patience)
	s.start()
	eventually(t, "it is used again", func() bool {
		r.Put(ctx, sample(1, 2))
		return get(r, 1) != nil
	})
}

func TestRedisThatNeverWas(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	unanswered(t, openRedis(t, "redis://"+l.Addr().String(), time.Minute), patience)
}

// TestRedisThatSwallows takes connections and never says a word, in the clear and
// where TLS is spoken.
func TestRedisThatSwallows(t *testing.T) {
	for _, scheme := range []string{"redis", "rediss", "redis+sentinel", "redis+cluster"} {
		t.Run(scheme, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					defer c.Close()
				}
			}()
			url := scheme + "://:secret@" + l.Addr().String()
			if scheme == "redis+sentinel" {
				url += "/main"
			}
			unanswered(t, openRedis(t, url, time.Minute), patience)
		})
	}
}

// TestRedisWithManyCallers: all who call as the server hangs wait together, and not
// one after the other.
func TestRedisWithManyCallers(t *testing.T) {
	s := startServer(t)
	r := openRedis(t, s.url(), time.Minute)
	s.signal(syscall.SIGSTOP)
	defer s.signal(syscall.SIGCONT)
	began := time.Now()
	done := make(chan struct{})
	const callers = 100
	for range callers {
		go func() {
			for range 5 {
				r.GetMany(context.Background(), []int64{1})
			}
			done <- struct{}{}
		}()
	}
	for range callers {
		<-done
	}
	if took := time.Since(began); took > 2*patience {
		t.Errorf("the last of them waited for %v", took)
	}
}
