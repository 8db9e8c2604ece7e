package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences"
)

// everything is what two databases that were told the same must have in common: not ids
// that the store makes itself, and nothing sealed.
var everything = []string{
	"SELECT id, COALESCE(patient, 0), queue, category, template, status, due_at, expires_at, attempts, lease, COALESCE(reference, ''), code, failed, ask_at, created_at FROM messages ORDER BY id",
	"SELECT id, message, number, channel, address, version, status, COALESCE(provider_id, ''), code, at, program, form, wording, provider FROM attempts ORDER BY id",
	"SELECT id, message, at, outcome, code FROM decisions ORDER BY id",
	"SELECT message, at, kind, code FROM message_events ORDER BY message, at, kind, code",
	"SELECT patient, program, recent FROM usage ORDER BY patient, program",
	"SELECT id, version FROM patients ORDER BY id",
	"SELECT key, stops, said, opted_out FROM numbers ORDER BY key",
	"SELECT id, subject, seq, kind, at FROM ledger ORDER BY id",
	"SELECT source, event, at FROM seen ORDER BY source, event",
	"SELECT caller, key, status, at FROM answers ORDER BY caller, key",
	"SELECT patient, caller, key FROM answers_about ORDER BY patient, caller, key",
	"SELECT at, actor, verb, object, detail FROM audit ORDER BY at, actor, verb, object, detail",
	"SELECT id, kind, COALESCE(patient, 0), COALESCE(message, 0), due_at FROM tasks ORDER BY id",
	"SELECT patient, version, at FROM revocations ORDER BY patient, version",
	"SELECT key, kind, gen, lift, changed_at, due_at FROM mirrors ORDER BY key",
	"SELECT type, COALESCE(patient, 0), at, data FROM happenings ORDER BY type, patient, at, data",
}

// TestRidingTogetherIsLikeGoingAlone tells two databases the same changes: one keeps them in
// one transaction, the other one by one.
func TestRidingTogetherIsLikeGoingAlone(t *testing.T) {
	for name, address := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "heed.db") },
		"PostgreSQL": func(t *testing.T) string { return newDatabase(t) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, address(t), address(t))
			rapid.Check(t, func(r *rapid.T) { w.round(r) })
		})
	}
}

// world is two databases that know the same, and what may be said next.
type world struct {
	together, alone *store.DB
	ids             *gateway.IDs
	at              time.Time
	patients        []int64
	addresses       []int64
	phones          []string
	waiting, begun  []gateway.Step // messages, as their last step left them
	words           int
}

func newWorld(t *testing.T, one, other string) *world {
	w := &world{ids: &gateway.IDs{Now: time.Now, Rand: rand.Uint64}, at: time.UnixMicro(1_800_000_000_000_000)}
	w.together, _ = open(t, one)
	w.alone, _ = open(t, other)
	addEndpoint(t, w.together, w.ids)
	addEndpoint(t, w.alone, w.ids)
	for i := range 12 {
		patient, address, phone := w.ids.New(), w.ids.New(), fmt.Sprintf("+1303557%04d", i*2/3) // some share one,
		second, other := w.ids.New(), fmt.Sprintf("+1303558%04d", i/2)                          // and everybody has two
		w.patients, w.addresses, w.phones = append(w.patients, patient), append(w.addresses, address), append(w.phones, phone, other)
		c := gateway.Change{At: w.at, Actor: "ehr", Patients: []gateway.PatientFact{{
			Patient: patient, Ref: fmt.Sprint("p", i), Record: &gateway.Record{GivenName: "Ana", BirthDate: "1980-04-02"},
			Texts: []gateway.AddressText{{ID: address, Kind: channels.Phone, Value: phone}, {ID: second, Kind: channels.Phone, Value: other}},
			Events: []preferences.Event{{ID: w.ids.New(), Kind: preferences.ContactSet, At: w.at.UnixMicro(), Contact: &preferences.Contact{
				BirthDate: preferences.Date{Year: 1980, Month: 4, Day: 2}, Addresses: []preferences.ContactAddress{{ID: address, Kind: channels.Phone, Rank: 1}, {ID: second, Kind: channels.Phone, Rank: 2}},
			}}},
		}}}
		for _, db := range []*store.DB{w.together, w.alone} {
			if _, err := db.Commit(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
	}
	return w
}

// round tells both the same, and looks whether they know the same then.
func (w *world) round(r *rapid.T) {
	w.at = w.at.Add(time.Minute)
	var changes []gateway.Change
	said := rapid.Bool().Draw(r, "words of people")
	for range rapid.IntRange(1, 12).Draw(r, "changes") {
		c := w.work(r)
		if said {
			c = w.word(r)
		}
		c.At, c.Actor = w.at.Add(time.Duration(rapid.IntRange(0, 5).Draw(r, "later"))*time.Second), rapid.SampledFrom([]string{"ehr", "twilio"}).Draw(r, "actor")
		if next := append(slices.Clone(changes), c); w.together.MayRide(next) {
			changes = next
		}
	}
	kept, failed, crossed, err := w.together.KeepTogether(r.Context(), changes)
	if crossed { // then each goes alone, as riders do
		kept, failed, err = w.oneByOne(r, w.together, changes)
	}
	if err != nil {
		r.Fatal(err)
	}
	want, wrong, err := w.oneByOne(r, w.alone, changes)
	if err != nil {
		r.Fatal(err)
	}
	for i := range kept {
		if !reflect.DeepEqual(kept[i], want[i]) || !errors.Is(failed[i], wrong[i]) {
			r.Errorf("change %d came to %+v, %v together, and to %+v, %v alone", i, kept[i], failed[i], want[i], wrong[i])
		}
		if failed[i] == nil {
			w.remember(&changes[i], &kept[i])
		}
	}
	w.compare(r)
}

func (w *world) oneByOne(r *rapid.T, db *store.DB, changes []gateway.Change) (list []gateway.Kept, failed []error, err error) {
	for _, c := range changes {
		kept, err := db.KeepAlone(r.Context(), c)
		if err != nil && !errors.Is(err, gateway.ErrStale) && !errors.Is(err, gateway.ErrConflict) {
			return nil, nil, err
		}
		list, failed = append(list, kept), append(failed, err)
	}
	return list, failed, nil
}

func (w *world) compare(r *rapid.T) {
	for _, query := range everything {
		a, err := w.together.Rows(r.Context(), query)
		if err != nil {
			r.Fatal(err)
		}
		b, err := w.alone.Rows(r.Context(), query)
		if err != nil {
			r.Fatal(err)
		}
		if !reflect.DeepEqual(a, b) {
			r.Fatalf("%s: %d rows and %d rows, which are not the same:\n%v\n%v", query, len(a), len(b), difference(a, b), difference(b, a))
		}
	}
}

func difference(a, b [][]string) []string {
	there := map[string]bool{}
	for _, row := range b {
		there[strings.Join(row, "|")] = true
	}
	var list []string
	for _, row := range a {
		if text := strings.Join(row, "|"); !there[text] {
			list = append(list, text)
		}
	}
	return list
}

// word is something said from a phone, for the first time or again.
func (w *world) word(r *rapid.T) gateway.Change {
	kind := rapid.SampledFrom([]preferences.EventKind{preferences.NumberStopped, preferences.NumberStopped, preferences.NumberStarted, preferences.TextReceived}).Draw(r, "word")
	phone := rapid.SampledFrom(append(slices.Clone(w.phones), "+13035590001", "+13035590002")).Draw(r, "phone")
	w.words++
	c := gateway.Change{
		Seen: &gateway.Seen{Source: "twilio", Event: fmt.Sprint("SM", w.words-rapid.SampledFrom([]int{0, 0, 0, 1, 5}).Draw(r, "said before"))},
		Numbers: []gateway.NumberFact{{Number: phone, Event: preferences.Event{
			ID: w.ids.New(), Kind: kind, At: w.at.UnixMicro(), Said: w.at.Add(time.Duration(rapid.IntRange(-100, 100).Draw(r, "said")) * time.Second).UnixMicro(), Programs: channels.SetOf(channels.Care),
		}}},
		Audit: []gateway.Audit{{Verb: "word", Object: fmt.Sprint("word:", w.words)}},
	}
	if rapid.Bool().Draw(r, "twice") {
		again := c.Numbers[0]
		again.Event.ID, again.Event.Kind = w.ids.New(), preferences.TextReceived
		c.Numbers = append(c.Numbers, again)
	}
	if kind == preferences.NumberStopped {
		c.Numbers[0].Reply = &gateway.Message{ID: w.ids.New(), Queue: gateway.AnswerQueue, Template: "stop_confirmation", Due: w.at, Created: w.at, Body: gateway.Body{Answer: &gateway.Answer{To: phone}}}
	}
	return c
}

// work is something done with messages.
func (w *world) work(r *rapid.T) gateway.Change {
	switch what := rapid.IntRange(0, 3).Draw(r, "work"); {
	case what == 1 && len(w.waiting) > 0:
		return w.claim(r)
	case what == 2 && len(w.begun) > 0:
		return w.record(r)
	}
	c := gateway.Change{Accepts: []gateway.Message{{
		ID: w.ids.New(), Patient: w.patients[rapid.IntRange(0, len(w.patients)-1).Draw(r, "to")], Queue: gateway.SingleQueue, Category: "follow_up", Template: "follow_up",
		Due: w.at, Created: w.at, Essential: rapid.Bool().Draw(r, "essential"), Reference: rapid.SampledFrom([]string{"", "A1"}).Draw(r, "reference"),
	}}}
	if rapid.Bool().Draw(r, "with a key") {
		c.Key = &gateway.Key{Caller: "ehr", Key: fmt.Sprint(rapid.IntRange(0, 50).Draw(r, "key")), BodyHash: []byte(rapid.SampledFrom([]string{"body", "body", "another"}).Draw(r, "body")), Status: 202, Answer: []byte("yes")}
	}
	return c
}

// claim is a step of one or two waiting messages, some judged on what is not so any more.
func (w *world) claim(r *rapid.T) gateway.Change {
	var c gateway.Change
	for range rapid.IntRange(1, 2).Draw(r, "claims") {
		s := rapid.SampledFrom(w.waiting).Draw(r, "waiting")
		if slices.ContainsFunc(c.Steps, func(other gateway.Step) bool { return other.Message == s.Message }) {
			continue
		}
		who := slices.Index(w.patients, s.Patient)
		snapshots, err := w.alone.Snapshots(r.Context(), []int64{s.Patient})
		if err != nil {
			r.Fatal(err)
		}
		s.Version = snapshots[s.Patient].Version - int64(rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(r, "stale"))
		s.To, s.Lease = gateway.Sending, w.at.Add(5*time.Second)
		s.Attempt = &gateway.Attempt{ID: w.ids.New(), Message: s.Message, Number: s.Try + 1, Pair: preferences.Pair{Channel: channels.SMS, Address: w.addresses[who]}, Version: s.Version, Status: gateway.AttemptClaimed, At: w.at, Program: channels.Care}
		s.Try = 0
		if rapid.Bool().Draw(r, "under a cap") {
			s.Cap = &gateway.Cap{Program: channels.Care, Keep: 3, Frees: func(sent []int64) (bool, time.Time) { return len(sent) < 2, w.at.Add(time.Hour) }}
		}
		c.Steps = append(c.Steps, s)
		c.Decides = append(c.Decides, gateway.DecisionRecord{ID: w.ids.New(), Message: s.Message, Patient: s.Patient, At: w.at, Outcome: "send", Body: []byte("{}")})
		c.Audit = append(c.Audit, gateway.Audit{Verb: "claim", Object: fmt.Sprint("message:", s.Message), Step: s.Message})
	}
	return c
}

// record is what came of a try: it is sent, or it surely was not.
func (w *world) record(r *rapid.T) gateway.Change {
	s := rapid.SampledFrom(w.begun).Draw(r, "begun")
	a := s.Attempt
	c := gateway.Change{
		Steps: []gateway.Step{{Message: s.Message, From: gateway.Sending, To: gateway.Sent, Try: a.Number, Due: w.at.Add(time.Hour)}},
		Edits: []gateway.Edit{{Attempt: a.ID, Status: gateway.AttemptBegun}, {Attempt: a.ID, Status: gateway.AttemptTaken, ProviderID: fmt.Sprint("SM", a.ID)}},
		Heard: []gateway.MessageHeard{{Message: s.Message, Event: gateway.MessageEvent{At: w.at, Kind: "sent"}}},
	}
	if rapid.Bool().Draw(r, "a receipt") {
		w.words++
		c.Whole, c.Seen = true, &gateway.Seen{Source: "twilio", Event: fmt.Sprint("DR", w.words)}
		c.Steps[0].From = rapid.SampledFrom([]gateway.Status{gateway.Sending, gateway.Sent}).Draw(r, "judged")
	}
	if rapid.Bool().Draw(r, "unsent") {
		c.Steps[0].To, c.Steps[0].Due, c.Steps[0].Failed = gateway.Waiting, w.at, &a.Pair
		c.Edits = []gateway.Edit{{Attempt: a.ID, Status: gateway.AttemptUnsent, Code: "refused", Unsent: &gateway.Unsent{Patient: s.Patient, Program: channels.Care, At: a.At}}}
		c.Tasks = []gateway.Task{{ID: w.ids.New(), Kind: gateway.TaskNeedsStaff, Patient: s.Patient, Message: s.Message, Created: w.at, Due: w.at}}
	}
	return c
}

// remember notes how messages stand after a change.
func (w *world) remember(c *gateway.Change, kept *gateway.Kept) {
	if kept.Known || kept.Replayed != nil {
		return
	}
	for i := range c.Accepts {
		w.waiting = append(w.waiting, gateway.Step{Message: c.Accepts[i].ID, Patient: c.Accepts[i].Patient})
	}
	for _, s := range c.Steps {
		if _, refused := kept.Refused[s.Message]; refused {
			continue
		}
		is := func(other gateway.Step) bool { return other.Message == s.Message }
		if s.Attempt != nil {
			w.waiting, w.begun = slices.DeleteFunc(w.waiting, is), append(w.begun, s)
			continue
		}
		at := slices.IndexFunc(w.begun, is)
		was := w.begun[at]
		w.begun = slices.Delete(w.begun, at, at+1)
		if s.To == gateway.Waiting {
			w.waiting = append(w.waiting, gateway.Step{Message: s.Message, Patient: was.Patient, Try: was.Attempt.Number})
		}
	}
}

// TestWhoeverIsHeldUpHoldsUpNobody: somebody else has the lock that one stop waits for. The
// others are kept all the same, and so are those that came to ride with it.
func TestWhoeverIsHeldUpHoldsUpNobody(t *testing.T) {
	address := newDatabase(t)
	db, ids := open(t, address)
	stop := func(i int) gateway.Change {
		c := stopOf(ids)(i)
		c.Actor = "twilio"
		return c
	}
	if _, err := db.Commit(t.Context(), stop(0)); err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	held, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Rollback()
	if _, err := held.ExecContext(t.Context(), "SELECT key FROM numbers FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	waits := make(chan error, 1)
	go func() {
		again := stop(0)
		again.Seen.Event = "said again"
		_, err := db.Commit(context.WithoutCancel(t.Context()), again)
		waits <- err
	}()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if _, err := db.Commit(t.Context(), stop(1+i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait() // never, if they waited for the lock too
	select {
	case err := <-waits:
		t.Fatalf("it did not wait for the lock: %v", err)
	default:
	}
	if err := held.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-waits; err != nil {
		t.Error(err)
	}
}
