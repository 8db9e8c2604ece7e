package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// runErasure holds a store to what it must do of somebody who was erased.
func runErasure(t *testing.T, open func(t *testing.T) Bench) {
	for name, test := range map[string]func(*testing.T, Bench){
		"the id of somebody erased is known and not given again":          refIsNotGivenAgain,
		"a kept answer goes with the patient it tells of":                 answerGoes,
		"of an erased patient's decision the outcome and the code stay":   decisionIsShort,
		"a task's words go, and what staff write afterwards stays":        taskGoes,
		"words from a shared phone go with the last who had it":           sharedTaskGoes,
		"an erasure that crosses a request leaves nothing of it readable": erasureCrossesRequest,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func (b Bench) erase(t *testing.T, patient int64) {
	t.Helper()
	b.commit(t, gateway.Change{Patients: []gateway.PatientFact{b.erasure(patient)}})
}

func (b Bench) erasure(patient int64) gateway.PatientFact {
	return gateway.PatientFact{Patient: patient, Expect: -1, Erase: true, Events: []preferences.Event{{ID: b.NewID(), Kind: preferences.PatientErased}}}
}

func refIsNotGivenAgain(t *testing.T, b Bench) {
	ctx := context.Background()
	patient, _ := b.enrol(t, "p1", "+13035550111")
	b.erase(t, patient)
	if id, err := b.Store.PatientID(ctx, "p1"); err != nil || id != patient {
		t.Errorf("%d, %v", id, err)
	}
	if p, err := b.Store.Patient(ctx, patient); err != nil || p.Ref != "" {
		t.Errorf("the record number stayed: %v", err)
	}
	if _, err := b.try(gateway.Change{Patients: []gateway.PatientFact{b.record(b.NewID(), b.NewID(), "p1", "+13035550112")}}); !errors.Is(err, gateway.ErrStale) {
		t.Errorf("the id was given again: %v", err)
	}
}

func callKey(name string) *gateway.Key {
	return &gateway.Key{Caller: "ehr", Key: name, BodyHash: []byte(name), Status: 200, Answer: []byte("Ana")}
}

// answers is the small store that an answer known only after the commit is kept with.
type answers interface {
	Answer(ctx context.Context, k *gateway.Key) (*gateway.Key, error)
	KeepAnswer(ctx context.Context, k *gateway.Key) error
}

func answerGoes(t *testing.T, b Bench) {
	ctx := context.Background()
	keep := b.Store.(answers)
	patient, _ := b.enrol(t, "p1", "+13035550111")
	other, _ := b.enrol(t, "p2", "+13035550112")
	b.commit(t, gateway.Change{Key: callKey("with"), Numbers: []gateway.NumberFact{b.stop("+13035550111", b.Now())}})
	for name, about := range map[string]int64{"after": patient, "another's": other} {
		k := callKey(name)
		k.About = []int64{about}
		if err := keep.KeepAnswer(ctx, k); err != nil {
			t.Fatal(err)
		}
	}
	b.erase(t, patient)
	late, empty := callKey("late"), callKey("empty")
	late.About, empty.About, empty.Answer = []int64{patient}, []int64{patient}, nil
	if err := errors.Join(keep.KeepAnswer(ctx, late), keep.KeepAnswer(ctx, empty)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"with": gateway.ErrErased, "after": gateway.ErrErased, "late": gateway.ErrErased, "another's": nil, "empty": nil} {
		if got, err := keep.Answer(ctx, callKey(name)); !errors.Is(err, want) || want == nil && got == nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if _, err := b.try(gateway.Change{Key: callKey(name)}); !errors.Is(err, want) {
			t.Errorf("%s, once more: %v", name, err)
		}
	}
}

func (b Bench) decide(t *testing.T, message, patient int64) {
	t.Helper()
	b.commit(t, gateway.Change{Decides: []gateway.DecisionRecord{{
		ID: b.NewID(), Message: message, Patient: patient, At: b.Now(), Outcome: "suppress", Code: "opted_out", Body: []byte(`{"zones":"x"}`),
	}}})
}

func decisionIsShort(t *testing.T, b Bench) {
	patient, _ := b.enrol(t, "p1", "+13035550111")
	m := b.accept(t, patient)
	last := func() *gateway.DecisionRecord {
		t.Helper()
		got, err := b.Store.Message(context.Background(), m)
		if err != nil || got.Last == nil || got.Last.Outcome != "suppress" || got.Last.Code != "opted_out" || got.Last.Patient != patient {
			t.Fatalf("%+v, %v", got, err)
		}
		return got.Last
	}
	b.decide(t, m, patient)
	if string(last().Body) != `{"zones":"x"}` {
		t.Errorf("kept %q", last().Body)
	}
	b.erase(t, patient)
	if last().Body != nil {
		t.Error("what it was decided on stayed")
	}
	b.decide(t, m, patient) // what still waited is decided too
	if last().Body != nil {
		t.Error("something new was kept of somebody erased")
	}
}

func taskGoes(t *testing.T, b Bench) {
	ctx := context.Background()
	patient, _ := b.enrol(t, "p1", "+13035550111")
	task := func() gateway.Task {
		id := b.NewID()
		b.commit(t, gateway.Change{Tasks: []gateway.Task{{ID: id, Kind: gateway.TaskReply, Patient: patient, Created: b.Now(), Due: b.Now(), Detail: gateway.TaskDetail{Quote: "words"}}}})
		return gateway.Task{ID: id}
	}
	read := func(id int64) gateway.TaskDetail {
		t.Helper()
		got, err := b.Store.Tasks(ctx, gateway.TaskFilter{ID: id, Limit: 1})
		if err != nil || len(got) != 1 {
			t.Fatalf("%v, %v", got, err)
		}
		return got[0].Detail
	}
	before := task().ID
	if read(before).Quote != "words" {
		t.Error("a task was not kept")
	}
	b.erase(t, patient)
	if d := read(before); d.Quote != "" {
		t.Errorf("a task kept its words: %+v", d)
	}
	b.commit(t, gateway.Change{Done: []gateway.TaskDone{{ID: before, Outcome: "removed"}}})
	if d := read(before); d.Outcome != "removed" {
		t.Errorf("how it was closed is lost: %+v", d)
	}
	if d := read(task().ID); d.Quote != "words" {
		t.Errorf("a task about somebody erased says nothing: %+v", d)
	}
}

func sharedTaskGoes(t *testing.T, b Bench) {
	const number, stranger = "+13035550111", "+13035550112"
	one, _ := b.enrol(t, "p1", number)
	other, _ := b.enrol(t, "p2", number)
	open := func(from string) int64 {
		id := b.NewID()
		b.commit(t, gateway.Change{Tasks: []gateway.Task{{ID: id, Kind: gateway.TaskReply, Created: b.Now(), Due: b.Now(), Detail: gateway.TaskDetail{Quote: "words", Number: from}}}})
		return id
	}
	shared, elsewhere := open(number), open(stranger)
	quote := func(id int64) string {
		t.Helper()
		got, err := b.Store.Tasks(context.Background(), gateway.TaskFilter{ID: id, Limit: 1})
		if err != nil || len(got) != 1 {
			t.Fatalf("%v, %v", got, err)
		}
		return got[0].Detail.Quote + got[0].Detail.Number
	}
	b.erase(t, one)
	if quote(shared) == "" {
		t.Error("words that may be somebody else's are gone")
	}
	b.erase(t, other)
	if got := quote(shared); got != "" {
		t.Errorf("nobody is left who had the number, and its words stay: %q", got)
	}
	if quote(elsewhere) == "" {
		t.Error("a stranger's words are gone")
	}
	b.commit(t, gateway.Change{Done: []gateway.TaskDone{{ID: shared, Outcome: "read"}}})
}

// erasureCrossesRequest: a request is refused or forgotten, never kept with an answer
// and a reference that can be read.
func erasureCrossesRequest(t *testing.T, b Bench) {
	ctx := context.Background()
	for i := range 30 {
		name := fmt.Sprint("p", i)
		patient, _ := b.enrol(t, name, fmt.Sprintf("+1303555%04d", 3000+i))
		request := gateway.Change{Key: callKey(name), Accepts: []gateway.Message{{
			ID: b.NewID(), Patient: patient, Queue: gateway.SingleQueue, Reference: name, Due: b.Now(), Created: b.Now(), Body: gateway.Body{Variables: map[string]string{"text": "x"}},
		}}}
		var wg sync.WaitGroup
		var refused, err error
		wg.Go(func() { _, refused = b.try(request) })
		wg.Go(func() { _, err = b.try(gateway.Change{Patients: []gateway.PatientFact{b.erasure(patient)}}) })
		wg.Wait()
		if err != nil || refused != nil && !errors.Is(refused, gateway.ErrErased) {
			t.Fatal(err, refused)
		}
		if left, err := b.Store.Messages(ctx, gateway.MessageFilter{Reference: name, Limit: 1}); err != nil || len(left) > 0 {
			t.Fatalf("race %d: a reference stayed: %v", i, err)
		}
		if got, err := b.Store.(answers).Answer(ctx, callKey(name)); err == nil && got != nil {
			t.Fatalf("race %d: an answer stayed", i)
		}
	}
}
