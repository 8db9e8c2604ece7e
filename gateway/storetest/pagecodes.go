package storetest

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"harmonize.care/heed/gateway"
)

// pageCodes is what a store keeps of the codes for the preference page.
type pageCodes interface {
	KeepCode(ctx context.Context, c gateway.PageCode, free func(made []time.Time) bool) (bool, error)
	TryCode(ctx context.Context, patient, address int64, since time.Time, most int) (digest []byte, try int, err error)
	UseCode(ctx context.Context, patient int64, digest []byte) (bool, error)
}

// RunPageCodes holds a store to its contract for the codes of the preference page.
func RunPageCodes(t *testing.T, open func(t *testing.T) Bench) {
	for name, test := range map[string]func(*testing.T, Bench, pageCodes){
		"a code is tried, and used once":           codeIsUsedOnce,
		"a new code takes the place of the last":   newCodeReplaces,
		"a code has so many tries, side by side":   codeTries,
		"codes asked for side by side are counted": codesAreCounted,
		"the fence holds what goes to an address":  codeIsFenced,
		"a code goes with its patient":             codeGoes,
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t)
			codes, ok := b.Store.(pageCodes)
			if !ok {
				t.Fatal("the store keeps no codes")
			}
			test(t, b, codes)
		})
	}
}

func always([]time.Time) bool { return true }

// keepCode keeps a code that is made now.
func (b Bench) keepCode(t *testing.T, codes pageCodes, patient, address int64, digest string) time.Time {
	t.Helper()
	at := b.Now()
	if kept, err := codes.KeepCode(context.Background(), gateway.PageCode{Patient: patient, Address: address, Digest: []byte(digest), At: at}, always); err != nil || !kept {
		t.Fatalf("not kept: %v", err)
	}
	return at
}

func codeIsUsedOnce(t *testing.T, b Bench, codes pageCodes) {
	ctx := context.Background()
	patient, address := b.enrol(t, "REF-1", "+13035550111")
	other, _ := b.enrol(t, "REF-2", "+13035550112")
	at := b.keepCode(t, codes, patient, address, "one")
	before := at.Add(-time.Second)
	for name, ask := range map[string]func() ([]byte, int, error){
		"another patient's":  func() ([]byte, int, error) { return codes.TryCode(ctx, other, address, before, 5) },
		"another address's":  func() ([]byte, int, error) { return codes.TryCode(ctx, patient, address+1, before, 5) },
		"one from later":     func() ([]byte, int, error) { return codes.TryCode(ctx, patient, address, at, 5) },
		"one without a try":  func() ([]byte, int, error) { return codes.TryCode(ctx, patient, address, before, 0) },
		"one for no patient": func() ([]byte, int, error) { return codes.TryCode(ctx, 1, address, before, 5) },
	} {
		if digest, try, err := ask(); digest != nil || try != 0 || err != nil {
			t.Errorf("%s code was given: try %d, %v", name, try, err)
		}
	}
	digest, try, err := codes.TryCode(ctx, patient, address, before, 5)
	if !bytes.Equal(digest, []byte("one")) || try != 1 || err != nil {
		t.Errorf("the code was not given: try %d, %v", try, err)
	}
	var used atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			ok, err := codes.UseCode(ctx, patient, []byte("one"))
			if err != nil {
				t.Error(err)
			}
			if ok {
				used.Add(1)
			}
		})
	}
	all.Wait()
	if used.Load() != 1 {
		t.Errorf("a code was used %d times", used.Load())
	}
	if _, try, err := codes.TryCode(ctx, patient, address, before, 5); try != 0 || err != nil {
		t.Errorf("a used code can be tried: %v", err)
	}
}

func newCodeReplaces(t *testing.T, b Bench, codes pageCodes) {
	ctx := context.Background()
	patient, address := b.enrol(t, "REF-1", "+13035550111")
	first := b.keepCode(t, codes, patient, address, "one")
	for range 5 {
		if _, _, err := codes.TryCode(ctx, patient, address, first.Add(-time.Second), 5); err != nil {
			t.Fatal(err)
		}
	}
	b.keepCode(t, codes, patient, address+7, "two")
	if _, try, err := codes.TryCode(ctx, patient, address, first.Add(-time.Second), 5); try != 0 || err != nil {
		t.Errorf("the old code is still there: %v", err)
	}
	digest, try, err := codes.TryCode(ctx, patient, address+7, first.Add(-time.Second), 5)
	if !bytes.Equal(digest, []byte("two")) || try != 1 || err != nil {
		t.Errorf("the new code begins with try %d, %v", try, err)
	}
	if ok, err := codes.UseCode(ctx, patient, []byte("one")); ok || err != nil {
		t.Errorf("the old code was used: %v", err)
	}
}

func codeTries(t *testing.T, b Bench, codes pageCodes) {
	patient, address := b.enrol(t, "REF-1", "+13035550111")
	at := b.keepCode(t, codes, patient, address, "one")
	var given atomic.Int64
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			_, try, err := codes.TryCode(context.Background(), patient, address, at.Add(-time.Second), 5)
			if err != nil {
				t.Error(err)
			}
			if try > 0 {
				given.Add(1)
			}
		})
	}
	all.Wait()
	if given.Load() != 5 {
		t.Errorf("%d of 20 guesses were looked at, not 5", given.Load())
	}
}

func codesAreCounted(t *testing.T, b Bench, codes pageCodes) {
	patient, address := b.enrol(t, "REF-1", "+13035550111")
	var made atomic.Int64
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			kept, err := codes.KeepCode(context.Background(), gateway.PageCode{Patient: patient, Address: address, Digest: []byte("x"), At: b.Now()},
				func(made []time.Time) bool { return len(made) < 3 })
			if err != nil {
				t.Error(err)
			}
			if kept {
				made.Add(1)
			}
		})
	}
	all.Wait()
	if made.Load() != 3 {
		t.Errorf("%d codes were made, not 3", made.Load())
	}
}

// What goes to an address on record is claimed on a version, and an acknowledgement
// waits for it, though it stands in the queue of the answers.
func codeIsFenced(t *testing.T, b Bench, _ pageCodes) {
	patient, address := b.enrol(t, "REF-1", "+13035550111")
	for _, c := range []struct {
		version int64
		waits   int
	}{{0, 0}, {b.snapshot(t, patient).Version, 1}} {
		id := b.NewID()
		b.commit(t, gateway.Change{Accepts: []gateway.Message{{ID: id, Patient: patient, Queue: gateway.AnswerQueue, Template: "page_code", Due: b.Now(), Created: b.Now()}}})
		step := b.claim(id, patient, address, c.version)
		if kept := b.commit(t, gateway.Change{Steps: []gateway.Step{step}}); kept.Refused[id].Why != 0 {
			t.Fatalf("the claim was refused: %v", kept.Refused)
		}
		if n, err := b.Store.Calling(context.Background(), []int64{patient}); n != c.waits || err != nil {
			t.Errorf("claimed on version %d: an acknowledgement waits for %d messages, %v", c.version, n, err)
		}
	}
}

func codeGoes(t *testing.T, b Bench, codes pageCodes) {
	patient, address := b.enrol(t, "p1", "+13035550111")
	before := b.keepCode(t, codes, patient, address, "one").Add(-time.Second)
	b.erase(t, patient)
	if _, try, err := codes.TryCode(context.Background(), patient, address, before, 5); err != nil || try != 0 {
		t.Errorf("the code of somebody erased still opens the page: %d, %v", try, err)
	}
}
