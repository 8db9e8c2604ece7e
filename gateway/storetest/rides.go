package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

func runRides(t *testing.T, open func(t *testing.T) Bench) {
	for name, test := range map[string]func(*testing.T, Bench){
		"changes side by side come to what each comes to alone": sideBySide,
		"one that goes wrong harms none that rides with it":     oneGoesWrong,
		"a claim after a stop is refused, whoever rides along":  stopThenClaim,
		"a caller who gives up takes nobody along":              givesUp,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// together does many things at one time, and waits for all of them.
func together(list []func()) {
	var all sync.WaitGroup
	begin := make(chan struct{})
	for _, do := range list {
		all.Go(func() {
			<-begin
			do()
		})
	}
	close(begin)
	all.Wait()
}

// addressee is a patient whose message is on its way.
type addressee struct {
	patient, address, version, message, attempt int64
	phone                                       string
}

func (b Bench) people(t *testing.T, n int) []addressee {
	t.Helper()
	list := make([]addressee, n)
	for i := range list {
		p := &list[i]
		p.phone = fmt.Sprintf("+1303556%04d", i)
		p.patient, p.address = b.enrol(t, fmt.Sprint("r", i), p.phone)
		p.version = b.snapshot(t, p.patient).Version
		p.message = b.accept(t, p.patient)
	}
	return list
}

// sideBySide accepts, claims, marks, records, stops and changes records all at one time,
// and then looks at each as if it had been alone.
func sideBySide(t *testing.T, b Bench) {
	const n = 24
	ctx := context.Background()
	everybody := b.people(t, 3*n)
	people, stoppers := everybody[:n], everybody[n:]
	var list []func()
	keep := func(c gateway.Change, check func(gateway.Kept)) {
		list = append(list, func() {
			kept, err := b.try(c)
			if err != nil {
				t.Error(err)
				return
			}
			check(kept)
		})
	}
	accepted := map[int64]string{}
	for i := range people {
		p := &people[i]
		id, text := b.NewID(), fmt.Sprint("words for ", i)
		accepted[id] = text
		keep(gateway.Change{Actor: "ehr", Key: &gateway.Key{Caller: "ehr", Key: fmt.Sprint(i), BodyHash: []byte("b"), Status: 202, Answer: []byte(text)}, Accepts: []gateway.Message{{
			ID: id, Patient: p.patient, Queue: gateway.ReminderQueue, Category: "follow_up", Template: "follow_up", Due: b.Now().Add(time.Hour), Created: b.Now(),
			Body: gateway.Body{Variables: map[string]string{"text": text}},
		}}}, func(k gateway.Kept) {
			if k.Replayed != nil || len(k.Refused) > 0 {
				t.Errorf("accepting: %+v", k)
			}
		})
		claim := b.claim(p.message, p.patient, p.address, p.version)
		claim.Cap = &gateway.Cap{Program: channels.Care, Keep: 5, Frees: func(sent []int64) (bool, time.Time) { return len(sent) < 1, time.Time{} }}
		p.attempt = claim.Attempt.ID
		keep(gateway.Change{Actor: "heed", Steps: []gateway.Step{claim}, Decides: []gateway.DecisionRecord{{ID: b.NewID(), Message: p.message, Patient: p.patient, At: b.Now(), Outcome: "send", Body: []byte(`{}`)}}},
			func(k gateway.Kept) {
				if len(k.Refused) > 0 || len(k.Texts) != 1 || k.Texts[p.address] != p.phone {
					t.Errorf("claiming: %+v", k)
				}
			})
		s := &stoppers[i]
		stop := b.stop(s.phone, b.Now())
		stop.Reply = &gateway.Message{ID: b.NewID(), Patient: s.patient, Queue: gateway.AnswerQueue, Template: "stop_confirmation", Due: b.Now(), Created: b.Now(), Body: gateway.Body{Answer: &gateway.Answer{To: s.phone}}}
		keep(gateway.Change{Actor: "twilio", Seen: &gateway.Seen{Source: "twilio", Event: fmt.Sprint("SM", i)}, Numbers: []gateway.NumberFact{stop}}, func(k gateway.Kept) {
			if k.Known || len(k.Versions) != 1 || k.Versions[s.patient] <= s.version || !k.News[s.phone] {
				t.Errorf("stopping: %+v", k)
			}
		})
		r := &stoppers[n+i] // a record that changes beside all that
		keep(gateway.Change{Patients: []gateway.PatientFact{{Patient: r.patient, Expect: r.version, Events: []preferences.Event{{ID: b.NewID(), Kind: preferences.UnencryptedSet, At: b.Now().UnixMicro(), Yes: true}}}}}, func(k gateway.Kept) {
			if k.Versions[r.patient] <= r.version {
				t.Errorf("a record: %+v", k)
			}
		})
	}
	together(list)
	list = nil
	for i := range people {
		p := &people[i]
		keep(gateway.Change{
			Steps: []gateway.Step{{Message: p.message, From: gateway.Sending, To: gateway.Sent, Try: 1}},
			Edits: []gateway.Edit{{Attempt: p.attempt, Status: gateway.AttemptTaken, ProviderID: fmt.Sprint("SM-", i)}},
			Heard: []gateway.MessageHeard{{Message: p.message, Event: gateway.MessageEvent{At: b.Now(), Kind: "sent"}}},
		}, func(k gateway.Kept) {
			if len(k.Refused) > 0 {
				t.Errorf("recording: %+v", k)
			}
		})
	}
	together(list)
	for i := range people {
		p, s := &people[i], &stoppers[i]
		m, err := b.Store.Message(ctx, p.message)
		if err != nil || m.Status != gateway.Sent || len(m.Tries) != 1 || m.Tries[0].ProviderID != fmt.Sprint("SM-", i) || len(m.Events) != 1 || m.Last == nil || m.Last.Message != p.message {
			t.Errorf("recorded: %+v, %v", m, err)
		}
		if u, err := b.Store.Usage(ctx, p.patient); err != nil || len(u[channels.Care]) != 1 {
			t.Errorf("places taken: %v, %v", u, err)
		}
		if now := b.snapshot(t, p.patient); now.Version != p.version {
			t.Errorf("somebody of whom nothing was said moved to %d", now.Version)
		}
		if !b.snapshot(t, s.patient).Addresses[0].Stops.Has(channels.Care) {
			t.Errorf("the stop of %s is lost", s.phone)
		}
		if words, err := b.Store.NumberWords(ctx, s.phone); err != nil || len(words) != 1 {
			t.Errorf("the ledger tells %d words, %v", len(words), err)
		}
	}
	for id, text := range accepted {
		if m, err := b.Store.Message(ctx, id); err != nil || m.Body.Variables["text"] != text {
			t.Errorf("accepted: %+v, %v", m, err)
		}
	}
	if due, err := b.Store.Due(ctx, gateway.AnswerQueue, b.Now(), 100); err != nil || len(due) != n {
		t.Errorf("%d confirmations, %v", len(due), err)
	}
}

// oneGoesWrong: the same event twice, the same key twice and with another body, a number
// that says STOP many times at once, and messages to nobody, among others that are fine.
func oneGoesWrong(t *testing.T, b Bench) {
	const n = 16
	ctx := context.Background()
	patient, _ := b.enrol(t, "p1", "+13035550111")
	message := func(to int64, text string) gateway.Message {
		return gateway.Message{ID: b.NewID(), Patient: to, Queue: gateway.SingleQueue, Category: "follow_up", Due: b.Now(), Created: b.Now(), Body: gateway.Body{Variables: map[string]string{"text": text}}}
	}
	var known, replayed, conflicts, news, nobody atomic.Int32
	count := func(c gateway.Change, tell func(gateway.Kept, error)) func() {
		return func() { tell(b.try(c)) }
	}
	var list []func()
	for i := range n {
		key := &gateway.Key{Caller: "ehr", Key: fmt.Sprint(i / 2), BodyHash: []byte("body"), Status: 202, Answer: []byte(fmt.Sprint("answer ", i/2))}
		other := &gateway.Key{Caller: "ehr", Key: "first", BodyHash: []byte(fmt.Sprint(i)), Status: 202}
		stop := b.stop("+13035550111", b.Now())
		stop.Reply = &gateway.Message{ID: b.NewID(), Queue: gateway.AnswerQueue, Due: b.Now(), Created: b.Now(), Body: gateway.Body{Answer: &gateway.Answer{To: "+13035550111"}}}
		list = append(list,
			count(gateway.Change{Accepts: []gateway.Message{message(patient, "fine")}}, func(_ gateway.Kept, err error) {
				if err != nil {
					t.Error(err)
				}
			}),
			count(gateway.Change{Key: key, Accepts: []gateway.Message{message(patient, "once")}}, func(k gateway.Kept, err error) {
				if err != nil {
					t.Error(err)
				} else if k.Replayed != nil {
					replayed.Add(1)
					if string(k.Replayed.Answer) != string(key.Answer) {
						t.Errorf("another one's answer: %s", k.Replayed.Answer)
					}
				}
			}),
			count(gateway.Change{Key: other, Accepts: []gateway.Message{message(patient, "one of all")}}, func(_ gateway.Kept, err error) {
				if errors.Is(err, gateway.ErrConflict) {
					conflicts.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			}),
			count(gateway.Change{Seen: &gateway.Seen{Source: "twilio", Event: fmt.Sprint("SM", i/2)}, Numbers: []gateway.NumberFact{stop}}, func(k gateway.Kept, err error) {
				if err != nil {
					t.Error(err)
				}
				if k.Known {
					known.Add(1)
				}
				if k.News["+13035550111"] {
					news.Add(1)
				}
			}),
			count(gateway.Change{Accepts: []gateway.Message{message(b.NewID(), "to nobody")}}, func(_ gateway.Kept, err error) {
				if errors.Is(err, gateway.ErrNotFound) {
					nobody.Add(1)
				} else {
					t.Errorf("a message to nobody: %v", err)
				}
			}),
		)
	}
	together(list)
	if known.Load() != n/2 || replayed.Load() != n/2 || conflicts.Load() != n-1 || news.Load() != 1 || nobody.Load() != n {
		t.Errorf("%d known, %d replayed, %d conflicts, %d news, %d to nobody", known.Load(), replayed.Load(), conflicts.Load(), news.Load(), nobody.Load())
	}
	kept := map[string]int{}
	got, err := b.Store.Messages(ctx, gateway.MessageFilter{Patient: patient, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		kept[got[i].Body.Variables["text"]]++
	}
	if kept["fine"] != n || kept["once"] != n/2 || kept["one of all"] != 1 || len(kept) != 3 {
		t.Errorf("kept %v", kept)
	}
	if words, err := b.Store.NumberWords(ctx, "+13035550111"); err != nil || len(words) != n/2 {
		t.Errorf("the ledger tells %d words, %v", len(words), err)
	}
	if due, err := b.Store.Due(ctx, gateway.AnswerQueue, b.Now(), 100); err != nil || len(due) != 1 {
		t.Errorf("%d confirmations, %v", len(due), err)
	}
}

// stopThenClaim: once a stop is kept, no claim that was judged before it is, and those of
// others go on.
func stopThenClaim(t *testing.T, b Bench) {
	people := b.people(t, 24)
	var list []func()
	for i := range people {
		p := &people[i]
		list = append(list, func() {
			if i%2 == 0 {
				if _, err := b.try(gateway.Change{Seen: &gateway.Seen{Source: "twilio", Event: p.phone}, Numbers: []gateway.NumberFact{b.stop(p.phone, b.Now())}}); err != nil {
					t.Error(err)
				}
			}
			kept, err := b.try(gateway.Change{Steps: []gateway.Step{b.claim(p.message, p.patient, p.address, p.version)}})
			if why := kept.Refused[p.message].Why; err != nil || (why == gateway.Stale) != (i%2 == 0) {
				t.Errorf("person %d: refused %d, %v", i, why, err)
			}
		})
	}
	together(list)
}

// givesUp: a context that ends while its change waits or rides ends that call alone; whoever
// is told of an error finds nothing kept.
func givesUp(t *testing.T, b Bench) {
	patient, _ := b.enrol(t, "p1", "+13035550111")
	var list []func()
	var told sync.Map
	for i := range 64 {
		m := gateway.Message{ID: b.NewID(), Patient: patient, Due: b.Now(), Created: b.Now(), Body: gateway.Body{Variables: map[string]string{"text": strings.Repeat("x", 100)}}}
		list = append(list, func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			switch i % 4 {
			case 0:
				cancel()
			case 1:
				go cancel()
			}
			_, err := b.Store.Commit(ctx, gateway.Change{At: b.Now(), Accepts: []gateway.Message{m}})
			told.Store(m.ID, err == nil)
			if i%4 > 1 && err != nil {
				t.Errorf("one who did not give up: %v", err)
			}
			if i%4 == 0 && !errors.Is(err, context.Canceled) {
				t.Errorf("one who gave up before: %v", err)
			}
		})
	}
	together(list)
	told.Range(func(id, kept any) bool {
		_, err := b.Store.Message(context.Background(), id.(int64))
		if (err == nil) != kept.(bool) {
			t.Errorf("told that it is kept: %v, and reading it: %v", kept, err)
		}
		return true
	})
}
