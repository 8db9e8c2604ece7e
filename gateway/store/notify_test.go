package store_test

import (
	"context"
	"database/sql"
	"sync"
	"testing"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// heard collects what a replica hears.
type heard struct {
	mu       sync.Mutex
	versions map[int64]int64
}

func (h *heard) hear(patient, version int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.versions[patient] = max(h.versions[patient], version)
}

func (h *heard) of(patient int64) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.versions[patient]
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(60 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatal("never: " + what)
		case <-tick.C:
		}
	}
}

func TestReplicasHearOfRevocations(t *testing.T) {
	address := newDatabase(t)
	one, ids := open(t, address)
	two, _ := open(t, address)
	before := enrol(t, one, ids, "before", "+13035550110")
	if two.Hearing() == nil {
		t.Error("a replica that does not listen says that it hears")
	}
	h := &heard{versions: map[int64]int64{}}
	two.Listen(h.hear)
	one.Listen(func(int64, int64) {})
	eventually(t, "the second replica listens", func() bool { return two.Hearing() == nil })
	if h.of(before) == 0 {
		t.Error("what was revoked just before the listener came is not known")
	}
	patient := enrol(t, one, ids, "p1", "+13035550111")
	eventually(t, "the second replica hears", func() bool { return h.of(patient) > 0 })

	// The listener's connection breaks: deaf, then back, with what was missed.
	raw, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN heed%'"); err != nil {
		t.Fatal(err)
	}
	kept, err := one.Commit(context.Background(), gateway.Change{At: time.Now(), Actor: "test", Patients: []gateway.PatientFact{{
		Patient: patient, Expect: -1, Events: []preferences.Event{{ID: ids.New(), Kind: preferences.UnencryptedSet, At: time.Now().UnixMicro(), Yes: true}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second replica hears what was said while it was deaf", func() bool { return h.of(patient) == kept.Versions[patient] })
	eventually(t, "the second replica hears again", func() bool { return two.Hearing() == nil })
}
