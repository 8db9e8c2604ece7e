package cache

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

var (
	_ gateway.Cache = (*Memory)(nil)
	_ gateway.Cache = (*Redis)(nil)
)

// counting is a cache under test.
type counting interface {
	gateway.Cache
	Stats() Stats
}

// suite is what every cache must do. open gives an empty one.
func suite(t *testing.T, open func(t *testing.T) counting) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, counting)
	}{
		{"gives back what was put", givesBack},
		{"writes only forwards", onlyForwards},
		{"keeps the first of one version", keepsTheFirst},
		{"keeps patients apart", keepsApart},
		{"copies", copies},
		{"cannot read too long a list", tooLong},
		{"the newest wins a race", race},
		{"does as a map does", model},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

func get(c gateway.Cache, patient int64) *preferences.Snapshot {
	return c.GetMany(context.Background(), []int64{patient})[patient]
}

func givesBack(t *testing.T, c counting) {
	ctx := context.Background()
	if found := c.GetMany(ctx, []int64{1, 2}); found == nil || len(found) != 0 {
		t.Fatalf("an empty cache gave %v", found)
	}
	want := sample(1, 5)
	c.Put(ctx, want)
	found := c.GetMany(ctx, []int64{1, 2, 1})
	if len(found) != 1 || !reflect.DeepEqual(found[1], want) {
		t.Fatalf("put %+v, got %+v", want, found[1])
	}
	if got := c.Stats(); got != (Stats{Hits: 2, Misses: 3}) {
		t.Errorf("counted %+v", got)
	}
	c.Delete(ctx, 1)
	c.Delete(ctx, 2)
	if get(c, 1) != nil {
		t.Error("a deleted snapshot was given")
	}
	if found := c.GetMany(ctx, nil); len(found) != 0 {
		t.Errorf("asked for nothing, got %v", found)
	}
}

func onlyForwards(t *testing.T, c counting) {
	ctx := context.Background()
	// Around where doubles lose whole numbers, and texts of other lengths their order.
	for i, versions := range [][2]int64{{1, 2}, {9, 10}, {1<<53 - 1, 1 << 53}, {1 << 53, 1<<53 + 1}, {1_790_000_000_000_000, 1_790_000_000_000_001}, {-1, 0}, {math.MinInt64, math.MaxInt64}} {
		patient := int64(i)
		c.Put(ctx, sample(patient, versions[0]))
		c.Put(ctx, sample(patient, versions[1]))
		if got := get(c, patient); got == nil || got.Version != versions[1] {
			t.Errorf("version %d did not take the place of %d", versions[1], versions[0])
		}
		c.Put(ctx, sample(patient, versions[0]))
		if got := get(c, patient); got == nil || got.Version != versions[1] {
			t.Errorf("version %d took the place of %d", versions[0], versions[1])
		}
		c.Delete(ctx, patient)
		c.Put(ctx, sample(patient, versions[0]))
		if got := get(c, patient); got == nil || got.Version != versions[0] {
			t.Errorf("version %d was not taken after a delete", versions[0])
		}
	}
}

// keepsTheFirst: a version says everything, so what comes again is not written
// again, and does not live longer for it.
func keepsTheFirst(t *testing.T, c counting) {
	ctx := context.Background()
	c.Put(ctx, sample(1, 5))
	again := sample(1, 5)
	again.Locale = "es"
	c.Put(ctx, again)
	if got := get(c, 1); got == nil || got.Locale != "en" {
		t.Errorf("got %+v", got)
	}
}

func keepsApart(t *testing.T, c counting) {
	ctx := context.Background()
	var patients []int64
	for i := range int64(2500) { // more than one batch
		patients = append(patients, i*7)
		if i%3 != 0 {
			c.Put(ctx, sample(i*7, i+1))
		}
	}
	found := c.GetMany(ctx, patients)
	for i, patient := range patients {
		switch s := found[patient]; {
		case i%3 == 0 && s != nil:
			t.Fatalf("patient %d was never put and was given", patient)
		case i%3 != 0 && (s == nil || s.Patient != patient || s.Version != int64(i)+1):
			t.Fatalf("patient %d got %+v", patient, s)
		}
	}
}

func copies(t *testing.T, c counting) {
	s := sample(1, 5)
	c.Put(context.Background(), s)
	want := sample(1, 5)
	s.Addresses[0].Stops = channels.AllPrograms
	s.Choices[0].In = !s.Choices[0].In
	got := get(c, 1)
	if !reflect.DeepEqual(got, want) {
		t.Fatal("changing a snapshot after it was put changed the cache")
	}
	got.Addresses[0].Stops = channels.AllPrograms
	got.Choices[0].In = !got.Choices[0].In
	if !reflect.DeepEqual(get(c, 1), want) {
		t.Fatal("changing a snapshot that was given changed the cache")
	}
}

// tooLong: such a snapshot can be written and not be read, so it must not stay and
// keep the next one out.
func tooLong(t *testing.T, c counting) {
	ctx := context.Background()
	s := sample(1, 5)
	for range 5000 {
		s.Choices = append(s.Choices, s.Choices[0])
	}
	c.Put(ctx, s)
	if get(c, 1) != nil {
		t.Fatal("the binary form has no such bound any more: this test must go")
	}
	if got := c.Stats(); got.Errors != 1 || got.Misses != 1 {
		t.Errorf("counted %+v", got)
	}
	c.Put(ctx, sample(1, 4))
	if got := get(c, 1); got == nil || got.Version != 4 {
		t.Error("what cannot be read keeps others out")
	}
}

func race(t *testing.T, c counting) {
	ctx := context.Background()
	const patients, versions = 5, 60
	var running sync.WaitGroup
	for w := range 8 {
		running.Go(func() {
			for i := range versions {
				for p := range int64(patients) {
					c.Put(ctx, sample(p, int64((i*13+w*7)%versions)))
				}
				c.GetMany(ctx, []int64{0, 1, 2, 3, 4})
			}
		})
	}
	running.Wait()
	for p := range int64(patients) {
		if got := get(c, p); got == nil || got.Version != versions-1 {
			t.Errorf("patient %d ended with %+v", p, got)
		}
	}
}

func model(t *testing.T, c counting) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		held := map[int64]*preferences.Snapshot{}
		patient := rapid.Int64Range(1, 4)
		for p := range int64(5) {
			c.Delete(ctx, p)
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				s := sample(patient.Draw(t, "patient"), rapid.Int64().Draw(t, "version"))
				c.Put(ctx, s)
				if old := held[s.Patient]; old == nil || old.Version < s.Version {
					held[s.Patient] = s
				}
			},
			"delete": func(t *rapid.T) {
				p := patient.Draw(t, "patient")
				c.Delete(ctx, p)
				delete(held, p)
			},
			"": func(t *rapid.T) {
				if got := c.GetMany(ctx, []int64{1, 2, 3, 4}); !reflect.DeepEqual(got, held) {
					t.Fatalf("holds %v instead of %v", got, held)
				}
			},
		})
	})
}

// sample is a snapshot whose every field follows from patient and version.
func sample(patient, version int64) *preferences.Snapshot {
	s := preferences.Fold(patient, []preferences.Event{
		{Kind: preferences.ContactSet, At: 1_790_000_000_000_000, Contact: &preferences.Contact{
			BirthDate: preferences.Date{Year: 1980, Month: 4, Day: 2}, Locale: "en", Zones: []string{"America/New_York"},
			Addresses: []preferences.ContactAddress{
				{ID: patient*10 + 1, Kind: channels.Phone, Line: preferences.Mobile, Rank: 1, Zones: []string{"America/Chicago"}},
				{ID: patient*10 + 2, Kind: channels.Mailbox, Rank: 1},
			},
		}},
		{Kind: preferences.ChoiceMade, Choice: &preferences.Choice{Topic: preferences.TopicMarketing, Channel: channels.Email, At: version % 1000}},
	}, map[int64]preferences.Bound{patient*10 + 1: {Stops: channels.SetOf(channels.Marketing)}})
	s.Version = version
	return s
}

func benchmark(b *testing.B, c counting) {
	ctx := context.Background()
	patients := make([]int64, 1000)
	for i := range patients {
		patients[i] = int64(i)
		c.Put(ctx, sample(int64(i), 1))
	}
	b.Run("GetMany1000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if n := len(c.GetMany(ctx, patients)); n != len(patients) {
				b.Fatal(n)
			}
		}
		b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "snapshots/s")
	})
	b.Run("GetOne", func(b *testing.B) {
		for b.Loop() {
			c.GetMany(ctx, patients[:1])
		}
	})
	b.Run("Put", func(b *testing.B) {
		b.ReportAllocs()
		s := sample(1, 1)
		for b.Loop() {
			s.Version++
			c.Put(ctx, s)
		}
	})
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.NewTimer(60 * time.Second)
	defer end.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-end.C:
			t.Fatal("never: " + what)
		case <-tick.C:
		}
	}
}

func TestVersionTextKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		if x, y := versionText(a), versionText(b); (a < b) != (x < y) || len(x) != versionDigits {
			t.Fatalf("%d is %s and %d is %s", a, x, b, y)
		}
	})
}

var ours = sealsOf("the key of these tests")

func sealsOf(secret string) *seals {
	s, err := newSeals([]byte(secret))
	if err != nil {
		panic(err)
	}
	return s
}

func readAs(patient int64, value string) *preferences.Snapshot {
	s := &preferences.Snapshot{}
	in := reader{seals: ours}
	if !in.read(patient, value, s) {
		return nil
	}
	return s
}

func TestReadValueTakesNothingElse(t *testing.T) {
	good, err := ours.appendValue(sample(7, 5))
	if err != nil {
		t.Fatal(err)
	}
	if readAs(7, string(good)) == nil {
		t.Fatal("a good value was not read")
	}
	forged, err := sealsOf("another key").appendValue(sample(7, 5))
	if err != nil {
		t.Fatal(err)
	}
	newer := fmt.Sprint(versionText(6), string(good[versionDigits:]))
	for name, c := range map[string]struct {
		patient int64
		value   string
	}{
		"under another key": {7, string(forged)}, "a bit of it changed": {7, string(good[:len(good)-1]) + string(good[len(good)-1]^1)},
		"another patient's": {8, string(good)}, "a version that is not its own": {7, newer}, "nothing": {7, ""}, "only a version": {7, string(good[:versionDigits])},
		"cut": {7, string(good[:len(good)-1])}, "longer": {7, string(good) + "x"}, "another form": {7, string(good[:versionDigits]) + "\xff" + string(good[versionDigits+1:])},
	} {
		if readAs(c.patient, c.value) != nil {
			t.Errorf("%s was read", name)
		}
	}
}

func FuzzReadValue(f *testing.F) {
	good, err := ours.appendValue(sample(7, 5))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(good))
	f.Add("")
	f.Fuzz(func(t *testing.T, value string) {
		if s := readAs(7, value); s != nil && (s.Patient != 7 || versionText(s.Version) != value[:versionDigits]) {
			t.Fatalf("read %+v", s)
		}
	})
}

func TestBreaker(t *testing.T) {
	now := time.Duration(0)
	b := &breaker{now: func() time.Duration { return now }}
	allowed := func(want bool) {
		t.Helper()
		if b.allow() != want {
			t.Fatalf("at %v: allowed is %v", now, !want)
		}
	}
	allowed(true)
	allowed(true)
	b.failed()
	allowed(false)
	now = rest - 1
	allowed(false)
	now = rest
	allowed(true) // one probe, which does not come back
	allowed(false)
	now = 2*rest - 1
	allowed(false)
	now = 2 * rest
	allowed(true)
	b.failed()
	now = 3*rest - 1
	allowed(false)
	now = 3 * rest
	allowed(true)
	b.answered()
	allowed(true)
	allowed(true)
}

func TestBreakerLetsOneProbe(t *testing.T) {
	now := rest
	b := &breaker{now: func() time.Duration { return now }}
	b.failed()
	now += rest
	var mu sync.Mutex
	var running sync.WaitGroup
	probes := 0
	for range 50 {
		running.Go(func() {
			if b.allow() {
				mu.Lock()
				probes++
				mu.Unlock()
			}
		})
	}
	running.Wait()
	if probes != 1 {
		t.Errorf("%d callers tried at once", probes)
	}
}
