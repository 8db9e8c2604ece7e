package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences"
)

// addEndpoint registers an endpoint that asks for these types.
func addEndpoint(t testing.TB, db *store.DB, ids *gateway.IDs, types ...gateway.EventType) int64 {
	t.Helper()
	e := gateway.Endpoint{ID: ids.New(), Types: types, Created: time.Now(), To: gateway.EndpointTo{URL: "https://ehr.example/heed?token=t", Secrets: []gateway.Secret{{Text: "whsec_c2VjcmV0"}}}}
	if _, err := db.AddEndpoint(context.Background(), gateway.Change{At: time.Now(), Actor: "test"}, e); err != nil {
		t.Fatal(err)
	}
	return e.ID
}

// relayed relays until nothing is left to do, and gives what was handed to the jobs.
func relayed(t testing.TB, db *store.DB) []int64 {
	t.Helper()
	var all []int64
	for {
		n, err := db.Relay(context.Background(), func(_ context.Context, _ *sql.Tx, ids []int64) error {
			all = append(all, ids...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return all
		}
	}
}

// told gives what an endpoint is told, in short, oldest first.
func told(t testing.TB, db *store.DB, endpoint int64) []string {
	t.Helper()
	relayed(t, db)
	list, err := db.Deliveries(context.Background(), gateway.DeliveryFilter{Endpoint: endpoint, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b gateway.Delivery) int { return int(a.Event - b.Event) })
	short := []string{}
	for _, d := range list {
		e, err := db.Event(context.Background(), d.Event)
		if err != nil {
			t.Fatal(err)
		}
		short = append(short, fmt.Sprintf("%s %s%s%s", e.Type, e.Data.Change, e.Data.Kind, e.Data.Code))
	}
	return short
}

func keep(t testing.TB, db *store.DB, c gateway.Change) gateway.Kept {
	t.Helper()
	c.At, c.Actor = time.Now(), "test"
	kept, err := db.Commit(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

func sameList(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%q, wanted %q", got, want)
	}
}

func word(ids *gateway.IDs, kind preferences.EventKind, number string) gateway.NumberFact {
	now := time.Now().UnixMicro()
	return gateway.NumberFact{Number: number, Event: preferences.Event{ID: ids.New(), Kind: kind, At: now, Said: now, Programs: channels.SetOf(channels.Care), Note: "my own words"}}
}

func TestWhatHappenedIsKeptWithTheFact(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, ids *gateway.IDs) {
		keep(t, db, gateway.Change{Numbers: []gateway.NumberFact{word(ids, preferences.TextReceived, "+13035550100")}}) // nobody asked yet
		endpoint := addEndpoint(t, db, ids)
		tasks := addEndpoint(t, db, ids, gateway.TaskOpened)
		patient := enrol(t, db, ids, "p1", "+13035550111")
		enrol(t, db, ids, "p2", "+13035550111")
		sameList(t, told(t, db, endpoint), "preference.changed contact_set", "preference.changed contact_set")

		message := ids.New()
		keep(t, db, gateway.Change{Accepts: []gateway.Message{{ID: message, Patient: patient, Category: "follow_up", Template: "follow_up", Due: time.Now(), Created: time.Now()}}})
		step := gateway.Step{Message: message, From: gateway.Waiting, To: gateway.Suppressed, Code: "opted_out"}
		keep(t, db, gateway.Change{Steps: []gateway.Step{{Message: message, From: gateway.Waiting, To: gateway.Waiting, Due: time.Now()}}}) // no other status
		keep(t, db, gateway.Change{Steps: []gateway.Step{step}})
		keep(t, db, gateway.Change{Steps: []gateway.Step{step}}) // refused: taken
		sameList(t, told(t, db, endpoint)[2:], "message.suppressed opted_out")

		task := gateway.Task{ID: ids.New(), Kind: gateway.TaskReply, Patient: patient, Message: message, Created: time.Now(), Due: time.Now(), Detail: gateway.TaskDetail{Quote: "my own words"}}
		again := task
		again.ID = ids.New()
		text := gateway.Change{Seen: &gateway.Seen{Source: "twilio", Event: "SM1"}, Numbers: []gateway.NumberFact{word(ids, preferences.TextReceived, "+13035550111")}, Tasks: []gateway.Task{task}}
		keep(t, db, text)
		keep(t, db, text)                                         // the provider repeats itself
		keep(t, db, gateway.Change{Tasks: []gateway.Task{again}}) // one task for each message and kind
		keep(t, db, gateway.Change{Done: []gateway.TaskDone{{ID: task.ID, Outcome: "my own words"}}})
		sameList(t, told(t, db, endpoint)[3:], "reply.received ", "task.opened reply", "task.closed reply")

		keep(t, db, gateway.Change{Numbers: []gateway.NumberFact{word(ids, preferences.NumberStopped, "+13035550111")}})
		keep(t, db, gateway.Change{Numbers: []gateway.NumberFact{word(ids, preferences.NumberStopped, "+13035550111")}}) // said again: nothing changed
		keep(t, db, gateway.Change{Numbers: []gateway.NumberFact{word(ids, preferences.NumberStopped, "+13035550199")}}) // nobody has it
		sameList(t, told(t, db, endpoint)[6:], "preference.changed stopped", "preference.changed stopped")
		sameList(t, told(t, db, tasks), "task.opened reply")
	})
}

func TestEventConcernsThePatientOfTheFact(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, ids *gateway.IDs) {
		endpoint := addEndpoint(t, db, ids, gateway.PreferenceChanged, gateway.ReplyReceived)
		alone, shared := enrol(t, db, ids, "p1", "+13035550111"), enrol(t, db, ids, "p2", "+13035550112")
		other := enrol(t, db, ids, "p3", "+13035550112")
		kept := keep(t, db, gateway.Change{Numbers: []gateway.NumberFact{
			word(ids, preferences.TextReceived, "+13035550111"), word(ids, preferences.TextReceived, "+13035550112"), word(ids, preferences.NumberStopped, "+13035550112"),
		}})
		relayed(t, db)
		list, err := db.Deliveries(context.Background(), gateway.DeliveryFilter{Endpoint: endpoint, Limit: 100})
		if err != nil || len(list) != 7 {
			t.Fatalf("%d deliveries, %v", len(list), err)
		}
		replies, stopped := []int64{}, map[int64]int64{}
		for _, d := range list {
			e, err := db.Event(context.Background(), d.Event)
			if err != nil {
				t.Fatal(err)
			}
			if e.Type == gateway.ReplyReceived {
				replies = append(replies, e.Patient)
			} else if e.Data.Change == "stopped" {
				stopped[e.Patient] = e.Data.Version
			}
		}
		slices.Sort(replies)
		if !slices.Equal(replies, []int64{0, alone}) {
			t.Errorf("replies of %v: on a shared number nobody knows who wrote", replies)
		}
		if len(stopped) != 2 || stopped[shared] != kept.Versions[shared] || stopped[other] != kept.Versions[other] {
			t.Errorf("%v, versions %v", stopped, kept.Versions)
		}
	})
}

func TestResponsesAreTold(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, ids *gateway.IDs) {
		endpoint := addEndpoint(t, db, ids, gateway.ReplyUnderstood)
		patient := enrol(t, db, ids, "p1", "+13035550111")
		m := gateway.Message{ID: ids.New(), Patient: patient, Category: "follow_up", Template: "follow_up", Due: time.Now(), Created: time.Now()}
		keep(t, db, gateway.Change{Accepts: []gateway.Message{m}})
		c := gateway.Change{}
		for _, kind := range []string{string(gateway.Confirmed), "delivered", string(gateway.CallBackAsked)} {
			c.Heard = append(c.Heard, gateway.MessageHeard{Message: m.ID, Event: gateway.MessageEvent{At: time.Now(), Kind: kind}})
		}
		keep(t, db, c)
		sameList(t, told(t, db, endpoint), "reply.understood confirmed", "reply.understood call_back_asked")
		list, err := db.Deliveries(context.Background(), gateway.DeliveryFilter{Endpoint: endpoint, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			e, err := db.Event(context.Background(), d.Event)
			if err != nil || e.Patient != patient || e.Data.Message != strconv.FormatInt(m.ID, 10) {
				t.Fatalf("%+v, %v", e, err)
			}
		}
	})
}

func TestRelayHandsEachDeliveryOverOnce(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, ids *gateway.IDs) {
		ctx := context.Background()
		one, two := addEndpoint(t, db, ids), addEndpoint(t, db, ids)
		for range 5 {
			keep(t, db, gateway.Change{Numbers: []gateway.NumberFact{word(ids, preferences.TextReceived, "+13035550111")}})
		}
		fault := errors.New("the jobs are away")
		if _, err := db.Relay(ctx, func(context.Context, *sql.Tx, []int64) error { return fault }); !errors.Is(err, fault) {
			t.Fatal(err)
		}
		got := relayed(t, db)
		slices.Sort(got)
		if len(slices.Compact(got)) != 10 || len(got) != 10 {
			t.Fatalf("%d handed over", len(got))
		}
		for i := range 20 { // more than may be under way
			keep(t, db, gateway.Change{Numbers: []gateway.NumberFact{word(ids, preferences.TextReceived, fmt.Sprintf("+130355501%02d", i))}})
		}
		if n := len(relayed(t, db)); n != 2*3 {
			t.Errorf("%d handed over although 5 of 8 were under way", n)
		}
		d, _, _, err := db.Outgoing(ctx, got[0])
		if err != nil || d.Status != gateway.DeliveryQueued {
			t.Fatalf("%v %v", d, err)
		}
		d.Status, d.Tries, d.Code, d.Ended = gateway.DeliveryDelivered, 1, "200", time.Now()
		if err := db.Tried(ctx, *d); err != nil {
			t.Fatal(err)
		}
		if n := len(relayed(t, db)); n != 1 {
			t.Errorf("%d handed over after one came back", n)
		}
		if _, err := db.ChangeEndpoint(ctx, gateway.Change{At: time.Now(), Actor: "test"}, one, func(e *gateway.Endpoint) error {
			e.Disable(gateway.DisabledByStaff, time.Now())
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		dead := gateway.DeliveryDead
		if list, err := db.Deliveries(ctx, gateway.DeliveryFilter{Endpoint: one, Status: &dead, Limit: 100}); err != nil || len(list) < 24 {
			t.Errorf("%d given up, %v", len(list), err)
		}
		if _, err := db.RemoveEndpoint(ctx, gateway.Change{At: time.Now(), Actor: "test"}, two); err != nil {
			t.Fatal(err)
		}
		if list, err := db.Deliveries(ctx, gateway.DeliveryFilter{Endpoint: two, Limit: 100}); err != nil || len(list) != 0 {
			t.Errorf("%d left, %v", len(list), err)
		}
		if _, err := db.Redeliver(ctx, gateway.Change{At: time.Now(), Actor: "test"}, one, got[0]); err == nil {
			t.Error("a disabled endpoint is sent to")
		}
	})
}

func TestEventsAreForgotten(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, ids *gateway.IDs) {
		ctx := context.Background()
		endpoint := addEndpoint(t, db, ids)
		for i := range 3 {
			keep(t, db, gateway.Change{Numbers: []gateway.NumberFact{word(ids, preferences.TextReceived, "+1303555011"+strconv.Itoa(i))}})
		}
		got := relayed(t, db)
		ended := func(id int64, status gateway.DeliveryStatus, ago time.Duration) {
			d, _, _, err := db.Outgoing(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			d.Status, d.Ended = status, time.Now().Add(-ago)
			if err := db.Tried(ctx, *d); err != nil {
				t.Fatal(err)
			}
		}
		ended(got[0], gateway.DeliveryDelivered, 3*time.Hour)
		ended(got[1], gateway.DeliveryDead, 3*time.Hour)
		r := store.Retention{Content: 1000 * time.Hour, Answers: 1000 * time.Hour, Seen: 1000 * time.Hour, Events: -time.Hour, Dead: 5 * time.Hour}
		if _, err := db.Forget(ctx, r); err != nil {
			t.Fatal(err)
		}
		list, err := db.Deliveries(ctx, gateway.DeliveryFilter{Endpoint: endpoint, Limit: 100})
		if err != nil || len(list) != 2 || list[0].ID != got[1] && list[1].ID != got[1] {
			t.Errorf("%v %v: what was given up or is on its way was forgotten, or what arrived was not", list, err)
		}
		r.Dead = time.Hour
		if _, err := db.Forget(ctx, r); err != nil {
			t.Fatal(err)
		}
		list, err = db.Deliveries(ctx, gateway.DeliveryFilter{Endpoint: endpoint, Limit: 100})
		if err != nil || len(list) != 1 || list[0].ID != got[2] {
			t.Errorf("%v %v: what is on its way stays, with its event", list, err)
		}
	})
}

func TestEndpointIsSealedAtRest(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, ids *gateway.IDs) {
		addEndpoint(t, db, ids)
		writer, _ := db.SQL()
		var row []byte
		if err := writer.QueryRow("SELECT sealed FROM endpoints").Scan(&row); err != nil || len(row) == 0 || bytes.Contains(row, []byte("token")) || bytes.Contains(row, []byte("whsec")) {
			t.Errorf("the row tells the address or the secret: %q, %v", row, err)
		}
		for range gateway.MaxEndpoints - 1 {
			addEndpoint(t, db, ids)
		}
		var wrong gateway.Invalid
		if _, err := db.AddEndpoint(context.Background(), gateway.Change{At: time.Now(), Actor: "test"}, gateway.Endpoint{ID: ids.New()}); !errors.As(err, &wrong) {
			t.Errorf("one too many: %v", err)
		}
	})
}

func TestAnotherProcessHearsOfAnEndpointWithinSeconds(t *testing.T) {
	path, by := "sqlite:"+filepath.Join(t.TempDir(), "heed.db"), time.Duration(0)
	one, ids := open(t, path)
	now := func() time.Time { return time.Now().Add(by) }
	two, err := store.Open(context.Background(), store.Options{URL: path, Secret: []byte(strings.Repeat("s", 32)), Now: now, NewID: ids.New})
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	text := func(db *store.DB) {
		keep(t, db, gateway.Change{Numbers: []gateway.NumberFact{word(ids, preferences.TextReceived, "+13035550111")}})
	}
	text(two)
	endpoint := addEndpoint(t, one, ids)
	text(one)
	sameList(t, told(t, one, endpoint), "reply.received ")
	by += 3 * time.Second
	text(two)
	sameList(t, told(t, one, endpoint), "reply.received ", "reply.received ")
	by = -time.Hour // a clock that was moved back does not make it deaf
	if _, err := one.RemoveEndpoint(context.Background(), gateway.Change{At: time.Now(), Actor: "test"}, endpoint); err != nil {
		t.Fatal(err)
	}
	text(two)
	writer, _ := one.SQL()
	var n int
	if err := writer.QueryRow("SELECT count(*) FROM happenings").Scan(&n); err != nil || n != 2 {
		t.Errorf("%d events were kept, %v", n, err)
	}
}
