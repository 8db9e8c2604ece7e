package main_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/store"
)

// Two gateways whose clocks are as far apart as they may be.
func TestAcknowledgeAllowsForTheSkewThatIsAllowed(t *testing.T) {
	w := newWorld(t)
	behind := func() time.Time { return w.clock.now().Add(-900 * time.Millisecond) }
	ahead := func() time.Time { return w.clock.now().Add(900 * time.Millisecond) }
	a := &adapter{}
	g := newGate(w.db, func(c gateway.Change) bool { return len(c.Edits) == 1 && c.Edits[0].Status == gateway.AttemptBegun })
	A, in := w.replica(g, a, behind, nil)
	_, B := w.replica(w.db, a, ahead, nil)
	w.enrol(in, "p", "+13035550111")
	r := req("p", true)
	w.clock.add(time.Second)
	w.accept(A, r)
	done := make(chan struct{})
	go func() { w.work(A); close(done) }()
	<-g.at
	w.clock.add(3500 * time.Millisecond) // A: 1.5 s of its lease are left; B: none
	answered := w.stopped(B, "SM1")
	if isClosed(answered) {
		t.Error("answered while another gateway, whose clock is behind, may still call")
	}
	close(g.open)
	<-done
	A.Drain()
	<-answered
}

// shift moves the wall clock of a time and leaves its monotonic reading: what a
// process sees when its machine was suspended (CLOCK_MONOTONIC stands still).
func shift(t time.Time, d time.Duration) time.Time {
	p := (*struct {
		wall uint64
		ext  int64
		loc  unsafe.Pointer
	})(unsafe.Pointer(&t))
	p.wall += uint64(d/time.Second) << 30
	return t
}

func TestSuspendedMachineDoesNotSendAfterItsLease(t *testing.T) {
	w := newWorld(t)
	var off atomic.Int64
	now := func() time.Time { return shift(time.Now(), time.Duration(off.Load())) }
	a := &adapter{}
	g := newGate(w.db, func(c gateway.Change) bool { return len(c.Edits) == 1 && c.Edits[0].Status == gateway.AttemptBegun })
	A, in := w.replica(g, a, now, nil)
	_, B := w.replica(w.db, a, now, nil)
	w.enrol(in, "p", "+13035550111")
	w.accept(A, req("p", true))
	done := make(chan struct{})
	go func() { w.work(A); close(done) }()
	<-g.at
	off.Store(int64(time.Hour)) // A's machine is suspended for an hour
	if err := B.Text(bg, "twilio", text("SM1", "STOP", now())); err != nil {
		t.Fatal(err)
	}
	before := a.count()
	close(g.open)
	<-done
	A.Drain()
	if a.count() > before {
		t.Error("an hour after its lease a message went out, after the STOP was answered: the lease was compared by the monotonic clock")
	}
}

// A failed receipt comes before the call returns, and another try begins: the first
// call's record must not be taken for the second one's.
func TestReceiptBeforeTheCallReturns(t *testing.T) {
	w := newWorld(t)
	one, two := make(chan struct{}), make(chan struct{})
	a := &adapter{}
	a.do = func(ctx context.Context, n int, m channels.Outgoing) (channels.Receipt, error) {
		if n == 1 {
			<-one
			return channels.Receipt{ProviderID: "SM1"}, nil
		}
		<-two
		return channels.Receipt{}, &channels.SendError{Kind: channels.TryNever, Code: "21612"}
	}
	d, in := w.replica(w.db, a, nil, nil)
	w.enrol(in, "p", "+13035550111", "+13035550222")
	id := w.accept(d, req("p", true))
	w.work(d)
	w.until("call 1 is under way", func() bool { return a.count() >= 1 })
	if err := d.Delivery(bg, "twilio", channels.Delivery{EventID: "1", Attempt: w.msg(id).Tries[0].ID, ProviderID: "SM1", Status: channels.Failed, Kind: channels.TryNever, Code: "30007", At: w.clock.now()}); err != nil {
		t.Fatal(err)
	}
	w.work(d)
	w.until("call 2 is under way", func() bool { return a.count() >= 2 })
	close(one)
	w.until("the first call is recorded", func() bool {
		return slices.ContainsFunc(w.msg(id).Events, func(e gateway.MessageEvent) bool { return e.Kind == "sent" })
	})
	close(two)
	d.Drain()
	w.work(d)
	tasks, _ := w.db.Tasks(bg, gateway.TaskFilter{Limit: 10})
	if w.msg(id).Status == gateway.Sent && len(tasks) == 0 {
		t.Error("both tries failed; the essential message rests as sent, without a task")
	}
}

// The record of a taken call waits for a lock that somebody else holds for a moment.
func TestTakenMeetsALock(t *testing.T) {
	server := os.Getenv("HEED_TEST_POSTGRES_URL")
	if server == "" {
		t.Skip("no PostgreSQL")
	}
	w := newWorld(t)
	admin, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	name := fmt.Sprintf("heed_test_%x", rand.Uint64())
	if _, err := admin.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(server)
	u.Path = "/" + name
	db, err := store.Open(bg, store.Options{URL: u.String(), Secret: []byte(strings.Repeat("s", 32)), Now: w.clock.now, NewID: w.ids.New})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	w.db = db
	raw, _ := sql.Open("pgx", u.String())
	defer raw.Close()
	release := make(chan struct{})
	a := &adapter{}
	a.do = func(ctx context.Context, n int, m channels.Outgoing) (channels.Receipt, error) {
		<-release
		return channels.Receipt{ProviderID: fmt.Sprint("M", n)}, nil
	}
	d, in := w.replica(db, nil, nil, a)
	w.enrol(in, "p", "a@b.example")
	id := w.accept(d, req("p", true))
	w.work(d)
	w.until("call 1 is under way", func() bool { return a.count() >= 1 })
	tx, err := raw.Begin() // as DELETE /v1/messages/{id} does, for the length of its transaction
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("SELECT 1 FROM messages WHERE id = $1 FOR NO KEY UPDATE", id); err != nil {
		t.Fatal(err)
	}
	close(release)
	w.until("the record waits for the lock", func() bool {
		var n int
		err := raw.QueryRow("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&n)
		return err == nil && n > 0
	})
	tx.Rollback()
	d.Drain()
	w.later(d)
	w.once(a)
}
