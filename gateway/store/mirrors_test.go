package store_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences"
)

// mirrorBench puts people on file and takes their words in.
type mirrorBench struct {
	*testing.T
	db  *store.DB
	ids *gateway.IDs
}

func (b mirrorBench) commit(c gateway.Change) {
	b.Helper()
	c.At = time.Now()
	if _, err := b.db.Commit(b.Context(), c); err != nil {
		b.Fatal(err)
	}
}

func (b mirrorBench) event(e preferences.Event) preferences.Event {
	e.ID, e.At = b.ids.New(), time.Now().UnixMicro()
	return e
}

// enrol gives the patient's id.
func (b mirrorBench) enrol(ref string, kind channels.Kind, address string) int64 {
	b.Helper()
	patient, id := b.ids.New(), b.ids.New()
	b.commit(gateway.Change{Patients: []gateway.PatientFact{{
		Patient: patient, Ref: ref, Record: &gateway.Record{GivenName: "Ana", BirthDate: "1980-04-02"}, Texts: []gateway.AddressText{{ID: id, Kind: kind, Value: address}},
		Events: []preferences.Event{b.event(preferences.Event{Kind: preferences.ContactSet, Contact: &preferences.Contact{
			BirthDate: preferences.Date{Year: 1980, Month: 4, Day: 2}, Addresses: []preferences.ContactAddress{{ID: id, Kind: kind, Rank: 1}},
		}})},
	}}})
	return patient
}

func (b mirrorBench) chooses(patient int64, in bool, source preferences.Source, evidence map[string]string) {
	b.Helper()
	b.commit(gateway.Change{Patients: []gateway.PatientFact{{Patient: patient, Expect: -1, Events: []preferences.Event{b.event(preferences.Event{
		Kind: preferences.ChoiceMade, Source: source, Evidence: evidence, Choice: &preferences.Choice{Topic: preferences.TopicMarketing, In: in, At: time.Now().UnixMicro()},
	})}}}})
}

func (b mirrorBench) says(kind preferences.EventKind, number string, programs ...channels.Program) {
	b.Helper()
	b.commit(gateway.Change{Numbers: []gateway.NumberFact{{Number: number, Event: b.event(preferences.Event{Kind: kind, Said: time.Now().UnixMicro(), Programs: channels.SetOf(programs...)})}}})
}

func (b mirrorBench) take(kind channels.Kind) []gateway.Mirror {
	b.Helper()
	list, err := b.db.TakeMirrors(b.Context(), kind, 100, time.Minute)
	if err != nil {
		b.Fatal(err)
	}
	return list
}

func (b mirrorBench) one(kind channels.Kind) gateway.Mirror {
	b.Helper()
	list := b.take(kind)
	if len(list) != 1 {
		b.Fatalf("%d are due", len(list))
	}
	return list[0]
}

func (b mirrorBench) tried(m gateway.Mirror) {
	b.Helper()
	if err := b.db.MirrorTried(b.Context(), m); err != nil {
		b.Fatal(err)
	}
}

// settled takes what is due, and says that nothing is left to do about it.
func (b mirrorBench) settled(kind channels.Kind, list ...string) gateway.Mirror {
	b.Helper()
	m := b.one(kind)
	m.Due, m.Called, m.Listed, m.Lift = time.Time{}, time.Now(), list, 0
	b.tried(m)
	return m
}

func (b mirrorBench) nothing(kind channels.Kind) {
	b.Helper()
	if list := b.take(kind); len(list) > 0 {
		b.Fatalf("%d are due: %+v", len(list), list)
	}
}

func TestMirrorsOfMail(t *testing.T) {
	proof := map[string]string{"how": "signed form"}
	both(t, func(t *testing.T, db *store.DB, ids *gateway.IDs) {
		b := mirrorBench{t, db, ids}
		p := b.enrol("p1", channels.Mailbox, "p1@patients.example")
		b.nothing(channels.Mailbox) // who never refused anything is told to nobody

		b.chooses(p, false, preferences.FromWeb, nil)
		m := b.one(channels.Mailbox)
		if m.Address != "p1@patients.example" || len(m.Owners) != 1 || m.Owners[0].Snapshot.Patient != p || m.Lift != 0 || m.Changed.IsZero() {
			t.Fatalf("%+v", m)
		}
		b.nothing(channels.Mailbox) // it is in somebody's hands
		m.Due, m.Called, m.Listed = time.Time{}, time.Now(), []string{"a:1", "b:2"}
		b.tried(m)
		b.nothing(channels.Mailbox)

		for name, c := range map[string]struct {
			source   preferences.Source
			evidence map[string]string
			lift     channels.ProgramSet
		}{
			"with proof": {preferences.FromStaff, proof, channels.SetOf(channels.Marketing)}, "without": {preferences.FromStaff, nil, 0},
			"by an import": {preferences.FromImport, proof, 0},
		} {
			b.chooses(p, true, c.source, c.evidence)
			if m := b.settled(channels.Mailbox, "a:1"); m.Lift != 0 || !slices.Equal(m.Listed, []string{"a:1"}) {
				t.Fatalf("%+v", m)
			}
			b.chooses(p, true, c.source, c.evidence)
			if m := b.one(channels.Mailbox); m.Lift != c.lift || !slices.Equal(m.Listed, []string{"a:1"}) {
				t.Errorf("%s: %+v", name, m)
			} else {
				// A refusal takes the wish back, and what was said meanwhile is not settled by an older call.
				b.chooses(p, false, preferences.FromWeb, nil)
				m.Due, m.Lift = time.Time{}, channels.AllPrograms
				b.tried(m)
			}
			if m := b.settled(channels.Mailbox, "a:1"); m.Gen < 2 {
				t.Errorf("%s: %+v", name, m)
			}
			b.nothing(channels.Mailbox)
		}
		b.commit(gateway.Change{Numbers: []gateway.NumberFact{{Number: "p1@patients.example", Event: b.event(preferences.Event{Kind: preferences.SpamReported, Said: time.Now().UnixMicro()})}}})
		if m := b.settled(channels.Mailbox); m.Owners[0].Address.OptedOut == 0 {
			t.Error("what was said of the mailbox is not with it")
		}
		b.commit(gateway.Change{Patients: []gateway.PatientFact{{Patient: p, Expect: -1, Erase: true, Events: []preferences.Event{b.event(preferences.Event{Kind: preferences.PatientErased})}}}})
		known, err := db.Mirrors(t.Context(), channels.Mailbox, []string{m.Key})
		if err != nil || len(known) != 1 || known[0].Address != "" || len(known[0].Owners) != 0 {
			t.Errorf("of somebody erased something is left: %+v %v", known, err)
		}
	})
}

func TestMirrorsOfNumbers(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, ids *gateway.IDs) {
		b := mirrorBench{t, db, ids}
		const number = "+13035550151"
		b.says(preferences.NumberStopped, number, channels.Care, channels.Marketing)
		if m := b.settled(channels.Phone); m.Address != "" || m.Number.Stops != channels.SetOf(channels.Care, channels.Marketing) {
			t.Fatalf("of a number that nobody has: %+v", m)
		}
		b.enrol("p1", channels.Phone, number) // now somebody has it, and it can be told
		if m := b.settled(channels.Phone, "t:1"); m.Address != number || m.Number.Since[channels.Care].IsZero() {
			t.Fatalf("%+v", m)
		}
		b.says(preferences.NumberStarted, number, channels.Care)
		if m := b.one(channels.Phone); m.Lift != channels.SetOf(channels.Care) || m.Number.Stops != channels.SetOf(channels.Marketing) {
			t.Fatalf("%+v", m)
		} else {
			m.Due = time.Now()
			b.tried(m) // it failed: the wish stays
		}
		b.says(preferences.NumberStopped, number, channels.Care)
		if m := b.settled(channels.Phone, "t:1"); m.Lift != 0 {
			t.Fatalf("a stop left the wish: %+v", m)
		}
		b.says(preferences.NumberStopped, number, channels.Care)
		b.nothing(channels.Phone) // a second stop is no news
		b.enrol("p2", channels.Phone, "+13035550152")
		b.nothing(channels.Phone)
	})
}

func TestMirrorsLeftInDeadHandsAreTakenAgain(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, ids *gateway.IDs) {
		b := mirrorBench{t, db, ids}
		b.says(preferences.NumberStopped, "+13035550151", channels.Care)
		if list, err := db.TakeMirrors(t.Context(), channels.Phone, 10, 0); err != nil || len(list) != 1 {
			t.Fatalf("%v %v", list, err)
		}
		b.one(channels.Phone) // that lease was over at once
		b.nothing(channels.Phone)
	})
}

// Stops that cross each other and those who take them: nothing is taken twice, nothing is
// lost, nothing locks up.
func TestMirrorsAreTakenOnce(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, ids *gateway.IDs) {
		b := mirrorBench{t, db, ids}
		const numbers = 40
		var mu sync.Mutex
		taken := map[string]int{}
		var work sync.WaitGroup
		for w := range 4 {
			work.Go(func() {
				for i := range numbers {
					var facts []gateway.NumberFact
					for _, n := range []int{i, (i + 7*w) % numbers} { // in any order, twice at times
						facts = append(facts, gateway.NumberFact{Number: fmt.Sprintf("+130355501%02d", n), Event: b.event(preferences.Event{
							Kind: preferences.NumberStopped, Said: time.Now().UnixMicro(), Programs: channels.SetOf(channels.Programs[w%4]),
						})})
					}
					if _, err := db.Commit(t.Context(), gateway.Change{At: time.Now(), Numbers: facts}); err != nil {
						t.Error(err)
					}
					list, err := db.TakeMirrors(t.Context(), channels.Phone, 3, time.Minute)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					for _, m := range list {
						if taken[m.Key]++; taken[m.Key] > 1 {
							t.Error("taken twice")
						}
					}
					mu.Unlock()
				}
			})
		}
		work.Wait()
		for list := b.take(channels.Phone); len(list) > 0; list = b.take(channels.Phone) {
			for _, m := range list {
				taken[m.Key]++
			}
		}
		if len(taken) != numbers {
			t.Errorf("%d of %d were taken", len(taken), numbers)
		}
	})
}

func TestWhoRefusesIsFoundPageByPage(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, ids *gateway.IDs) {
		b := mirrorBench{t, db, ids}
		for i := range 7 {
			p := b.enrol(fmt.Sprint("p", i), channels.Mailbox, fmt.Sprintf("p%d@patients.example", i/2)) // two share a mailbox
			if i != 4 {
				b.chooses(p, false, preferences.FromWeb, nil)
			}
			b.says(preferences.NumberStopped, fmt.Sprintf("+1303555010%d", i), channels.Care)
			b.enrol(fmt.Sprint("q", i), channels.Phone, fmt.Sprintf("+1303555020%d", i))
		}
		for kind, want := range map[channels.Kind]int{channels.Mailbox: 4, channels.Phone: 7} {
			for _, limit := range []int{1, 2, 3, 100} {
				found := map[string]bool{}
				for after := ""; ; {
					keys, next, err := db.Refusers(t.Context(), kind, after, limit)
					if err != nil {
						t.Fatal(err)
					}
					for _, k := range keys {
						found[k] = true
					}
					if next == "" {
						break
					}
					after = next
				}
				if len(found) > want || kind == channels.Phone && len(found) != want || limit == 100 && len(found) != want {
					t.Errorf("kind %d, pages of %d: %d found, not %d", kind, limit, len(found), want)
				}
			}
		}
	})
}

func TestWhatAListSaysIsNotNewerThanAWord(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, ids *gateway.IDs) {
		b := mirrorBench{t, db, ids}
		p := b.enrol("p1", channels.Mailbox, "p1@patients.example")
		b.chooses(p, false, preferences.FromWeb, nil)
		read := time.Now()
		m := b.settled(channels.Mailbox, "a:1") // called after the list was read
		for _, c := range []struct {
			read time.Time
			on   bool
			want []string
			due  bool
		}{
			{read, false, []string{"a:1"}, false}, {time.Now().Add(time.Second), true, []string{"a:1", "b:2"}, false}, {time.Now().Add(time.Second), false, []string{"a:1"}, true},
		} {
			if err := db.MirrorListed(t.Context(), channels.Mailbox, []string{m.Key}, "b:2", c.on, c.read); err != nil {
				t.Fatal(err)
			}
			if !c.on && !c.due {
				err := db.MirrorListed(t.Context(), channels.Mailbox, []string{m.Key}, "a:1", false, c.read)
				if err != nil {
					t.Fatal(err)
				}
			}
			known, err := db.Mirrors(t.Context(), channels.Mailbox, []string{m.Key})
			if err != nil || !slices.Equal(known[0].Listed, c.want) || known[0].Due.IsZero() == c.due {
				t.Errorf("%+v: %+v %v", c, known, err)
			}
		}
		at, err := db.MirrorsAt(t.Context(), channels.Mailbox, []string{"stranger@patients.example", "p1@patients.example"})
		if err != nil || len(at) != 1 || at[0].Key != m.Key {
			t.Errorf("%+v %v", at, err)
		}
		f, err := db.MirrorFigures(t.Context(), channels.Mailbox)
		if err != nil || f.Waiting != 1 || f.Listed != 1 || f.Failing != 0 || f.Oldest.IsZero() {
			t.Errorf("%+v %v", f, err)
		}
	})
}

func TestAMarkIsClaimedByOne(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, _ *gateway.IDs) {
		now := time.Now()
		var mu sync.Mutex
		mine := 0
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				ok, err := db.ClaimMark(context.Background(), "m", now, now.Add(time.Minute))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if ok {
					mine++
				}
			})
		}
		all.Wait()
		if mine != 1 {
			t.Errorf("%d have it", mine)
		}
		if ok, err := db.ClaimMark(t.Context(), "m", now.Add(time.Minute), now.Add(time.Hour)); err != nil || !ok {
			t.Errorf("%v %v", ok, err)
		}
	})
}
