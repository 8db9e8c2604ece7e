package store

import (
	"context"
	"slices"
	"sync"
	"time"
)

// gather asks what many want to know at one time with one statement: the first question is
// asked at once, alone, and those that come meanwhile are asked together next. No answer is
// kept: what somebody is told was read after they asked.
type gather[K comparable, V any] struct {
	ask func(ctx context.Context, keys []K) (map[K]V, error)

	mu      sync.Mutex
	waiting []*question[K, V]
	busy    bool
}

type question[K comparable, V any] struct {
	key  K
	done chan reply[V]
}

// reply: alone says that it is to be asked by itself.
type reply[V any] struct {
	value V
	known bool
	alone bool
}

// maxAsked is how many questions one statement asks, askTime how long it may take: it has no
// caller whose patience would bound it. Who has waited for askAlone asks by itself.
const (
	maxAsked = 256
	askTime  = 10 * time.Second
	askAlone = 100 * time.Millisecond
)

// get gives what is known of a key, and whether anything is.
func (g *gather[K, V]) get(ctx context.Context, key K) (V, bool, error) {
	g.mu.Lock()
	if !g.busy {
		g.busy = true
		g.mu.Unlock()
		defer g.next()
		return g.one(ctx, key)
	}
	q := &question[K, V]{key, make(chan reply[V], 1)}
	g.waiting = append(g.waiting, q)
	g.mu.Unlock()
	late := time.NewTimer(askAlone)
	defer late.Stop()
	select {
	case <-late.C: // those before us are held up
		return g.one(ctx, key)
	case r := <-q.done:
		if r.alone {
			return g.one(ctx, key)
		}
		return r.value, r.known, nil
	case <-ctx.Done():
		var none V
		return none, false, ctx.Err()
	}
}

func (g *gather[K, V]) one(ctx context.Context, key K) (V, bool, error) {
	got, err := g.ask(ctx, []K{key})
	value, known := got[key]
	return value, known, err
}

// next goes on with those who came meanwhile, beside the caller who was first.
func (g *gather[K, V]) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy = len(g.waiting) > 0; g.busy {
		go g.run()
	}
}

func (g *gather[K, V]) run() {
	for {
		g.mu.Lock()
		list := g.waiting[:min(maxAsked, len(g.waiting))]
		g.waiting = slices.Clone(g.waiting[len(list):])
		g.busy = len(list) > 0
		g.mu.Unlock()
		if len(list) == 0 {
			return
		}
		g.together(list)
	}
}

func (g *gather[K, V]) together(list []*question[K, V]) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	keys := make([]K, 0, len(list))
	seen := map[K]bool{}
	for _, q := range list {
		if !seen[q.key] {
			seen[q.key] = true
			keys = append(keys, q.key)
		}
	}
	got, err := g.ask(ctx, keys)
	for _, q := range list {
		value, known := got[q.key]
		q.done <- reply[V]{value, known, err != nil}
	}
}
