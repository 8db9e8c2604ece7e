package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences"
)

// BenchmarkCommit keeps a STOP, durable, with everything that goes with it, and a message
// taken in: from one caller, and from 16 side by side, whose changes ride together. bare is
// the yardstick: 16 callers who each commit one row of a table of their own.
func BenchmarkCommit(b *testing.B) {
	for name, address := range map[string]func(*testing.B) string{
		"SQLite":     func(b *testing.B) string { return "sqlite:" + filepath.Join(b.TempDir(), "heed.db") },
		"PostgreSQL": func(b *testing.B) string { return newDatabase(b) },
	} {
		b.Run("stop/"+name, func(b *testing.B) {
			db, ids := open(b, address(b))
			benchCommit(b, db, stopOf(ids))
		})
		b.Run("accept/"+name, func(b *testing.B) {
			db, ids := open(b, address(b))
			benchCommit(b, db, acceptOf(ids, enrol(b, db, ids, "p1", "+13035550111")))
		})
		b.Run("stop16/"+name, func(b *testing.B) {
			db, ids := open(b, address(b))
			benchCommit16(b, db, stopOf(ids))
		})
		b.Run("accept16/"+name, func(b *testing.B) {
			db, ids := open(b, address(b))
			benchCommit16(b, db, acceptOf(ids, enrol(b, db, ids, "p1", "+13035550111")))
		})
		b.Run("bare16/"+name, func(b *testing.B) { bareCommit16(b, address(b)) })
	}
}

func stopOf(ids *gateway.IDs) func(int) gateway.Change {
	return func(i int) gateway.Change {
		now := time.Now()
		return gateway.Change{At: now, Actor: "bench", Seen: &gateway.Seen{Source: "twilio", Event: fmt.Sprint("SM", i)}, Numbers: []gateway.NumberFact{{
			Number: fmt.Sprintf("+1303%07d", 2_000_000+i),
			Event:  preferences.Event{ID: ids.New(), Kind: preferences.NumberStopped, At: now.UnixMicro(), Said: now.UnixMicro(), Programs: channels.SetOf(channels.Care, channels.Marketing)},
		}}}
	}
}

func acceptOf(ids *gateway.IDs, patient int64) func(int) gateway.Change {
	return func(int) gateway.Change {
		now := time.Now()
		return gateway.Change{At: now, Actor: "bench", Accepts: []gateway.Message{{
			ID: ids.New(), Patient: patient, Queue: gateway.SingleQueue, Category: "follow_up", Template: "follow_up", Essential: true, Due: now, Created: now,
			Body: gateway.Body{Variables: map[string]string{"text": "Your letter is ready."}},
		}}}
	}
}

// callers is how many commit side by side.
const callers = 16

func benchCommit16(b *testing.B, db *store.DB, change func(i int) gateway.Change) {
	side(b, func(i int) error {
		_, err := db.Commit(context.Background(), change(i))
		return err
	})
}

func bareCommit16(b *testing.B, address string) {
	driver, dsn := "pgx", address
	if path, is := strings.CutPrefix(address, "sqlite:"); is {
		driver, dsn = "sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxIdleConns(callers)
	if driver == "sqlite" {
		db.SetMaxOpenConns(1)
	}
	if _, err := db.Exec("CREATE TABLE bare (id BIGINT NOT NULL PRIMARY KEY, at BIGINT NOT NULL)"); err != nil {
		b.Fatal(err)
	}
	side(b, func(i int) error {
		_, err := db.Exec("INSERT INTO bare (id, at) VALUES ($1, $2)", i, time.Now().UnixMicro())
		return err
	})
}

// side does something from 16 callers side by side.
func side(b *testing.B, do func(i int) error) {
	var next atomic.Int64
	b.SetParallelism((callers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := do(int(next.Add(1))); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
}

// BenchmarkCommitTold keeps a text that came in, once with nobody who asked for
// outgoing events and once with an endpoint that is told of it.
func BenchmarkCommitTold(b *testing.B) {
	for name, address := range map[string]func(*testing.B) string{
		"SQLite":     func(b *testing.B) string { return "sqlite:" + filepath.Join(b.TempDir(), "heed.db") },
		"PostgreSQL": func(b *testing.B) string { return newDatabase(b) },
	} {
		for _, told := range []bool{false, true} {
			b.Run(fmt.Sprintf("told=%v/%s", told, name), func(b *testing.B) {
				db, ids := open(b, address(b))
				if told {
					addEndpoint(b, db, ids)
				}
				benchCommit(b, db, func(i int) gateway.Change {
					return gateway.Change{At: time.Now(), Actor: "bench", Numbers: []gateway.NumberFact{word(ids, preferences.TextReceived, fmt.Sprintf("+1303%07d", 2_000_000+i))}}
				})
			})
		}
	}
}

func benchCommit(b *testing.B, db *store.DB, change func(i int) gateway.Change) {
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if _, err := db.Commit(context.Background(), change(i)); err != nil {
			b.Fatal(err)
		}
	}
}
