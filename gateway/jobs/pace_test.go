package jobs

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

func TestPaceOfOneProcess(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	p := NewPace(nil, func() time.Time { return now })
	take := func(sender string, rate, want, expect int) {
		t.Helper()
		if n, err := p.Take(t.Context(), sender, rate, want); err != nil || n != expect {
			t.Errorf("%s: %d of %d wanted, not %d: %v", sender, n, want, expect, err)
		}
	}
	take("a", 10, 6, 6)
	take("a", 10, 6, 4)
	take("a", 10, 6, 0)
	take("b", 10, 6, 6) // each sender by itself
	now = now.Add(500 * time.Millisecond)
	take("a", 10, 20, 5)
	now = now.Add(time.Hour)
	take("a", 10, 20, 10) // no more than a second's worth
	take("a", 20, 20, 0)
	now = now.Add(time.Second)
	take("a", 20, 50, 20)
}

func TestPaceIsShared(t *testing.T) {
	server := miniredis.RunT(t)
	client := func() redis.UniversalClient {
		c := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1, DialerRetries: 1})
		t.Cleanup(func() { c.Close() })
		return c
	}
	one, two := NewPace(client(), time.Now), NewPace(client(), time.Now)
	total := 0
	for range 4 {
		for _, p := range []*Pace{one, two} {
			n, err := p.Take(t.Context(), "marketing/sms", 100, 40)
			if err != nil {
				t.Fatal(err)
			}
			total += n
		}
	}
	if total < 100 || total > 140 { // a second's worth, and what came back meanwhile
		t.Errorf("two replicas took %d", total)
	}
	server.Close()
	if n, err := one.Take(t.Context(), "marketing/sms", 100, 40); err == nil || n != 0 {
		t.Errorf("without Redis: %d, %v", n, err)
	}
}
