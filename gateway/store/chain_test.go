package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences"
)

// enrol puts one patient on file, with an audit row.
func enrol(t testing.TB, db *store.DB, ids *gateway.IDs, ref, phone string) int64 {
	t.Helper()
	patient, address := ids.New(), ids.New()
	_, err := db.Commit(context.Background(), gateway.Change{
		At: time.Now(), Actor: "test",
		Patients: []gateway.PatientFact{{
			Patient: patient, Ref: ref, Record: &gateway.Record{GivenName: "Ana", BirthDate: "1980-04-02"},
			Texts: []gateway.AddressText{{ID: address, Kind: channels.Phone, Value: phone}},
			Events: []preferences.Event{{ID: ids.New(), Kind: preferences.ContactSet, At: time.Now().UnixMicro(), Contact: &preferences.Contact{
				BirthDate: preferences.Date{Year: 1980, Month: 4, Day: 2},
				Addresses: []preferences.ContactAddress{{ID: address, Kind: channels.Phone, Rank: 1}},
			}}},
		}},
		Audit: []gateway.Audit{{Verb: "patient.put", Object: fmt.Sprintf("patient:%d", patient)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return patient
}

func TestChainIsWholeUntilSomebodyTouchesIt(t *testing.T) {
	ctx := context.Background()
	for name, tamper := range map[string]string{
		"nothing":                       "",
		"an event's kind":               "UPDATE ledger SET kind = 'choice_made' WHERE id = (SELECT max(id) FROM ledger)",
		"an event's body":               "UPDATE ledger SET sealed = (SELECT sealed FROM ledger ORDER BY id LIMIT 1) WHERE id = (SELECT max(id) FROM ledger)",
		"an audit row is edited":        "UPDATE audit SET actor = 'somebody' WHERE id = (SELECT max(id) FROM audit)",
		"an event is gone":              "DELETE FROM ledger WHERE id = (SELECT max(id) FROM ledger)",
		"an audit row is gone":          "DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)",
		"a seal is gone":                "DELETE FROM seals WHERE no = 2",
		"two rows changed places":       "UPDATE seals SET row_id = -row_id WHERE no IN (1, 2) AND kind = 1",
		"a snapshot was written behind": "UPDATE patients SET snapshot = (SELECT snapshot FROM patients ORDER BY id LIMIT 1) WHERE id = (SELECT max(id) FROM patients)",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "heed.db")
			db, ids := open(t, "sqlite:"+path)
			for i := range 4 {
				enrol(t, db, ids, fmt.Sprintf("p%d", i), fmt.Sprintf("+1303555011%d", i))
			}
			if n, err := db.Seal(ctx, false); err != nil || n != 8 {
				t.Fatalf("sealed %d rows, %v", n, err)
			}
			raw, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			if tamper != "" {
				if _, err := raw.Exec(tamper); err != nil {
					t.Fatal(err)
				}
			}
			found, err := db.Verify(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if touched := len(found.Faults) > 0; touched != (tamper != "") {
				t.Errorf("%+v", found)
			}
			if tamper == "" && (found.Seals != 8 || found.Patients != 4 || found.Unsealed != 0) {
				t.Errorf("%+v", found)
			}
		})
	}
}

func TestChainOutlivesErasure(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, ids *gateway.IDs) {
		ctx := context.Background()
		patient := enrol(t, db, ids, "p1", "+13035550111")
		enrol(t, db, ids, "p2", "+13035550112")
		if _, err := db.Seal(ctx, false); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Commit(ctx, gateway.Change{At: time.Now(), Actor: "test", Patients: []gateway.PatientFact{{
			Patient: patient, Expect: -1, Erase: true, Events: []preferences.Event{{ID: ids.New(), Kind: preferences.PatientErased, At: time.Now().UnixMicro()}},
		}}}); err != nil {
			t.Fatal(err)
		}
		if n, err := db.Seal(ctx, false); err != nil || n != 1 {
			t.Fatalf("sealed %d rows, %v", n, err)
		}
		found, err := db.Verify(ctx)
		if err != nil || len(found.Faults) > 0 || found.Patients != 1 {
			t.Errorf("%+v, %v", found, err)
		}
		if n, err := db.Seal(ctx, false); err != nil || n != 0 {
			t.Errorf("a row was sealed twice: %d, %v", n, err)
		}
	})
}

func TestForget(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, ids *gateway.IDs) {
		ctx := context.Background()
		patient := enrol(t, db, ids, "p1", "+13035550111")
		old := time.Now().Add(-40 * 24 * time.Hour)
		message := func(status gateway.Status, created time.Time) int64 {
			id := ids.New()
			if _, err := db.Commit(ctx, gateway.Change{At: created, Actor: "test", Accepts: []gateway.Message{{
				ID: id, Patient: patient, Queue: gateway.SingleQueue, Category: "follow_up", Template: "follow_up", Status: status, Due: created, Created: created,
				Body: gateway.Body{Variables: map[string]string{"text": "x"}},
			}}}); err != nil {
				t.Fatal(err)
			}
			return id
		}
		ended, waits, young := message(gateway.Delivered, old), message(gateway.Waiting, old), message(gateway.Delivered, time.Now())
		if _, err := db.Forget(ctx, store.Retention{Content: 30 * 24 * time.Hour, Answers: 48 * time.Hour, Seen: 30 * 24 * time.Hour}); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[int64]string{ended: "", waits: "x", young: "x"} {
			m, err := db.Message(ctx, id)
			if err != nil || m.Body.Variables["text"] != want {
				t.Errorf("%d says %q, %v", id, m.Body.Variables["text"], err)
			}
		}
	})
}

func TestAPIKeys(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, _ *gateway.IDs) {
		ctx := context.Background()
		hash := []byte(strings.Repeat("h", 32))
		if err := db.AddAPIKey(ctx, "ehr", "service", hash); err != nil {
			t.Fatal(err)
		}
		if err := db.AddAPIKey(ctx, "ehr", "service", []byte("other")); err != gateway.ErrConflict {
			t.Errorf("the same name twice: %v", err)
		}
		who, err := db.CallerByKey(ctx, hash)
		if err != nil || who.Name != "ehr" || who.Role != "service" {
			t.Errorf("%+v, %v", who, err)
		}
		if err := db.RevokeAPIKey(ctx, "ehr"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.CallerByKey(ctx, hash); err != gateway.ErrNotFound {
			t.Errorf("a revoked key still works: %v", err)
		}
		if err := db.RevokeAPIKey(ctx, "ehr"); err != gateway.ErrNotFound {
			t.Errorf("revoked twice: %v", err)
		}
	})
}

func TestAnswers(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, _ *gateway.IDs) {
		ctx := context.Background()
		key := &gateway.Key{Caller: "c", Key: "k", BodyHash: []byte("one")}
		if first, err := db.Answer(ctx, key); first != nil || err != nil {
			t.Fatalf("%+v, %v", first, err)
		}
		if _, err := db.Commit(ctx, gateway.Change{At: time.Now(), Key: key}); err != nil {
			t.Fatal(err)
		}
		if first, err := db.Answer(ctx, key); err != nil || first == nil || first.Status != 0 {
			t.Fatalf("a call that is carried out and not answered yet: %+v, %v", first, err)
		}
		for _, text := range []string{"first", "second"} {
			kept := *key
			kept.Status, kept.Answer = 201, []byte(text)
			if err := db.KeepAnswer(ctx, &kept); err != nil {
				t.Fatal(err)
			}
		}
		if first, err := db.Answer(ctx, key); err != nil || string(first.Answer) != "first" || first.Status != 201 {
			t.Errorf("%+v, %v", first, err)
		}
		if _, err := db.Answer(ctx, &gateway.Key{Caller: "c", Key: "k", BodyHash: []byte("two")}); err != gateway.ErrConflict {
			t.Errorf("another body: %v", err)
		}
	})
}

func TestBackup(t *testing.T) {
	ctx := context.Background()
	db, ids := open(t, "sqlite:"+filepath.Join(t.TempDir(), "heed.db"))
	enrol(t, db, ids, "p1", "+13035550111")
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := db.Backup(ctx, path); err != nil {
		t.Fatal(err)
	}
	if err := db.Backup(ctx, path); err == nil {
		t.Error("a copy was written over another")
	}
	copied, _ := open(t, "sqlite:"+path)
	if _, err := copied.PatientID(ctx, "p1"); err != nil {
		t.Error(err)
	}
	if since, err := copied.Held(ctx); err != nil || since.IsZero() {
		t.Errorf("a copy that is put in the database's place sends at once: %v", err)
	}
	if since, err := db.Held(ctx); err != nil || !since.IsZero() {
		t.Errorf("a backup holds the sends of the database itself: %v", err)
	}
}

func TestALateCommitIsSealedToo(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, ids *gateway.IDs) {
		ctx := context.Background()
		late := func(back time.Duration) int64 { return ids.New() - int64(back/time.Microsecond)<<11 }
		event := func(id int64) {
			if _, err := db.Commit(ctx, gateway.Change{At: time.Now(), Actor: "test", Numbers: []gateway.NumberFact{{
				Number: "+13035550111", Event: preferences.Event{ID: id, Kind: preferences.TextReceived, At: time.Now().UnixMicro(), Note: "x"},
			}}}); err != nil {
				t.Fatal(err)
			}
		}
		event(ids.New())
		for _, c := range []struct {
			back       time.Duration
			everything bool
		}{{0, false}, {10 * time.Minute, false}, {3 * time.Hour, true}, {20 * time.Hour, true}} {
			event(late(c.back))
			if n, err := db.Seal(ctx, c.everything); err != nil || n == 0 {
				t.Errorf("an event whose id is %s old: %d sealed, %v", c.back, n, err)
			}
		}
		found, err := db.Verify(ctx)
		if err != nil || found.Unsealed != 0 || len(found.Faults) > 0 {
			t.Errorf("%+v, %v", found, err)
		}
		// Everything was looked at: a row that turns up among those of last month is nobody's late commit.
		event(late(30 * 24 * time.Hour))
		if n, err := db.Seal(ctx, true); err != nil || n != 0 {
			t.Errorf("%d rows that turned up later were sealed, %v", n, err)
		}
		if found, err := db.Verify(ctx); err != nil || found.Unsealed != 1 {
			t.Errorf("%+v, %v", found, err)
		}
	})
}
