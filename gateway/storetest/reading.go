package storetest

import (
	"context"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

func worklist(t *testing.T, b Bench) {
	now := b.Now()
	var want []int64
	var c gateway.Change
	for _, task := range []struct {
		kind gateway.TaskKind
		due  time.Duration
	}{
		// In the order they are to be worked off; written the other way round.
		{gateway.TaskCrisis, time.Hour}, {gateway.TaskCrisis, 2 * time.Hour},
		{gateway.TaskReply, -time.Hour}, {gateway.TaskNeedsStaff, 0}, {gateway.TaskReply, 0}, {gateway.TaskReply, 5 * time.Hour},
	} {
		id := b.NewID()
		want = append(want, id)
		c.Tasks = append([]gateway.Task{{ID: id, Kind: task.kind, Created: now, Due: now.Add(task.due), Detail: gateway.TaskDetail{Title: "x"}}}, c.Tasks...)
	}
	b.commit(t, c)
	for _, limit := range []int{1, 2, 4, 100} {
		var got []int64
		for after := int64(0); ; {
			page, err := b.Store.Tasks(context.Background(), gateway.TaskFilter{After: after, Limit: limit})
			if err != nil {
				t.Fatal(err)
			}
			for _, task := range page {
				got, after = append(got, task.ID), task.ID
			}
			if len(page) < limit {
				break
			}
		}
		if len(got) != len(want) {
			t.Fatalf("pages of %d: %d tasks of %d", limit, len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("pages of %d: %v, wanted %v", limit, got, want)
			}
		}
	}
}

func listTellsWhy(t *testing.T, b Bench) {
	ctx := context.Background()
	patient, _ := b.enrol(t, "p1", "+13035550111")
	one, two := b.accept(t, patient), b.accept(t, patient)
	var c gateway.Change
	for _, body := range []string{`{"n": 1}`, `{"n": 2}`} {
		c.Decides = append(c.Decides, gateway.DecisionRecord{ID: b.NewID(), Message: one, Patient: patient, At: b.Now(), Outcome: "send", Body: []byte(body)})
		c.Heard = append(c.Heard, gateway.MessageHeard{Message: one, Event: gateway.MessageEvent{At: b.Now(), Kind: "sent", Code: body}})
	}
	b.commit(t, c)
	last, err := b.Store.LastDecisions(ctx, []int64{one, two})
	if err != nil || len(last) != 1 || string(last[one].Body) != `{"n": 2}` || last[one].Message != one {
		t.Errorf("%v, %v", last, err)
	}
	heard, err := b.Store.MessageEvents(ctx, []int64{one, two})
	if err != nil || len(heard[one]) != 2 || len(heard[two]) != 0 || heard[one][0].Code != `{"n": 1}` || heard[one][0].At.IsZero() {
		t.Errorf("%v, %v", heard, err)
	}
	if none, err := b.Store.LastDecisions(ctx, nil); err != nil || len(none) != 0 {
		t.Errorf("of no message: %v, %v", none, err)
	}
}

func history(t *testing.T, b Bench) {
	ctx := context.Background()
	const number = "+13035550111"
	patient, _ := b.enrol(t, "p1", number)
	other, _ := b.enrol(t, "p2", "+13035550112")
	text := b.word(preferences.TextReceived, number, b.Now())
	text.Event.Note = "hello"
	b.commit(t, gateway.Change{Numbers: []gateway.NumberFact{text}})
	b.commit(t, gateway.Change{Numbers: []gateway.NumberFact{b.stop(number, b.Now())}})
	b.commit(t, gateway.Change{Numbers: []gateway.NumberFact{b.word(preferences.NumberStarted, number, b.Now())}})

	all, err := b.Store.History(ctx, patient, []string{number}, 0, 100)
	if err != nil || len(all) != 4 || all[0].Kind != preferences.ContactSet || all[0].Number != "" || all[1].Note != "hello" || all[1].Number != number {
		t.Fatalf("%+v, %v", all, err)
	}
	if all[2].Kind != preferences.NumberStopped || !all[2].Programs.Has(channels.Care) {
		t.Errorf("%+v", all[2])
	}
	rest, err := b.Store.History(ctx, patient, []string{number}, all[1].ID, 1)
	if err != nil || len(rest) != 1 || rest[0].ID != all[2].ID {
		t.Errorf("a page: %+v, %v", rest, err)
	}
	if own, err := b.Store.History(ctx, other, nil, 0, 100); err != nil || len(own) != 1 {
		t.Errorf("another patient's: %+v, %v", own, err)
	}
	words, err := b.Store.NumberWords(ctx, number)
	if err != nil || len(words) != 2 || words[0].Kind != preferences.NumberStarted {
		t.Errorf("%+v, %v", words, err)
	}
	if n, err := b.Store.EverHad(ctx, number); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	b.enrol(t, "p3", number)
	if n, err := b.Store.EverHad(ctx, number); err != nil || n != 2 {
		t.Errorf("%d, %v", n, err)
	}
}
