package cache

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

func TestMemory(t *testing.T) {
	suite(t, func(*testing.T) counting { return NewMemory(10_000, time.Minute) })
}

// clock is moved by hand.
type clock struct{ nanos atomic.Int64 }

func (c *clock) NowNano() int64                      { return c.nanos.Load() }
func (c *clock) Tick(time.Duration) <-chan time.Time { return nil }

func TestMemoryForgets(t *testing.T) {
	ctx := context.Background()
	c := &clock{}
	c.nanos.Store(int64(time.Hour))
	m := newMemory(100, time.Minute, c)
	m.Put(ctx, sample(1, 1))
	c.nanos.Add(int64(time.Minute) - 1)
	if get(m, 1) == nil {
		t.Fatal("forgotten too early")
	}
	c.nanos.Add(1)
	if get(m, 1) != nil {
		t.Fatal("reading a snapshot must not make it live longer")
	}
	m.Put(ctx, sample(1, 2))
	c.nanos.Add(int64(time.Minute) - 1)
	m.Put(ctx, sample(1, 3))
	c.nanos.Add(int64(time.Minute) - 1)
	if got := get(m, 1); got == nil || got.Version != 3 {
		t.Fatal("a newer snapshot starts its own time")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	for _, size := range []int{-1, 0, 1, 50} {
		m := NewMemory(size, time.Minute)
		for i := range int64(2000) {
			m.Put(context.Background(), sample(i, 1))
		}
		m.held.CleanUp()
		if n := m.held.EstimatedSize(); n > max(size, 1) {
			t.Errorf("a cache for %d holds %d", size, n)
		}
	}
}

func BenchmarkMemory(b *testing.B) { benchmark(b, NewMemory(10_000, time.Hour)) }
