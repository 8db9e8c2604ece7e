package store

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
)

// asker counts what is asked, holds the first question until it is let go, and knows the
// square of every number but of those below 0, which are an error.
type asker struct {
	mu    sync.Mutex
	asked [][]int
	hold  chan struct{}
}

var errBelow = errors.New("below 0")

func (a *asker) ask(_ context.Context, keys []int) (map[int]int, error) {
	a.mu.Lock()
	a.asked = append(a.asked, keys)
	first := len(a.asked) == 1
	a.mu.Unlock()
	if first {
		<-a.hold
	}
	got := map[int]int{}
	for _, k := range keys {
		if k < 0 {
			return nil, errBelow
		}
		if k < 100 {
			got[k] = k * k
		}
	}
	return got, nil
}

// questions asks all keys while the first one is held, and gives the errors.
func questions(t *testing.T, a *asker, keys ...int) []error {
	t.Helper()
	g := &gather[int, int]{ask: a.ask}
	errs := make([]error, len(keys))
	var all sync.WaitGroup
	for i, key := range keys {
		all.Go(func() {
			value, known, err := g.get(t.Context(), key)
			errs[i] = err
			if err == nil && (known != (key < 100) || known && value != key*key) {
				t.Errorf("%d gave %d, %v", key, value, known)
			}
		})
		for i == 0 && len(a.list()) == 0 {
			runtime.Gosched() // until the first one is asked
		}
	}
	for { // all others wait
		g.mu.Lock()
		n := len(g.waiting)
		g.mu.Unlock()
		if n == len(keys)-1 {
			break
		}
		runtime.Gosched()
	}
	close(a.hold)
	all.Wait()
	return errs
}

func (a *asker) list() [][]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

func TestQuestionsThatWaitAreAskedTogether(t *testing.T) {
	a := &asker{hold: make(chan struct{})}
	if err := errors.Join(questions(t, a, 1, 2, 3, 3, 200)...); err != nil {
		t.Error(err)
	}
	if len(a.asked) != 2 || len(a.asked[0]) != 1 || len(a.asked[1]) != 3 {
		t.Errorf("asked %v", a.asked)
	}
}

func TestAQuestionThatGoesWrongHarmsNoOther(t *testing.T) {
	a := &asker{hold: make(chan struct{})}
	for i, err := range questions(t, a, 1, 2, -1, 4) {
		if (i == 2) != errors.Is(err, errBelow) {
			t.Errorf("question %d: %v", i, err)
		}
	}
}

func TestWhoGivesUpIsNotAnswered(t *testing.T) {
	a := &asker{hold: make(chan struct{})}
	g := &gather[int, int]{ask: a.ask}
	var first sync.WaitGroup
	first.Go(func() {
		if _, _, err := g.get(t.Context(), 1); err != nil {
			t.Error(err)
		}
	})
	for len(a.list()) == 0 {
		runtime.Gosched() // until it is asked
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := g.get(ctx, 2); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(a.hold)
	first.Wait()
}
