package store_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences"
)

// BenchmarkCommit keeps one change at a time: a STOP, durable, with everything that
// goes with it, and a message taken in.
func BenchmarkCommit(b *testing.B) {
	for name, address := range map[string]func(*testing.B) string{
		"SQLite":     func(b *testing.B) string { return "sqlite:" + filepath.Join(b.TempDir(), "heed.db") },
		"PostgreSQL": func(b *testing.B) string { return newDatabase(b) },
	} {
		b.Run("stop/"+name, func(b *testing.B) {
			db, ids := open(b, address(b))
			benchCommit(b, db, func(i int) gateway.Change {
				number := fmt.Sprintf("+1303%07d", 2_000_000+i)
				return gateway.Change{At: time.Now(), Actor: "bench", Seen: &gateway.Seen{Source: "twilio", Event: fmt.Sprint("SM", i)}, Numbers: []gateway.NumberFact{{
					Number: number, Event: preferences.Event{ID: ids.New(), Kind: preferences.NumberStopped, At: time.Now().UnixMicro(), Said: time.Now().UnixMicro(), Programs: channels.SetOf(channels.Care, channels.Marketing)},
				}}}
			})
		})
		b.Run("accept/"+name, func(b *testing.B) {
			db, ids := open(b, address(b))
			patient := enrol(b, db, ids, "p1", "+13035550111")
			benchCommit(b, db, func(int) gateway.Change {
				now := time.Now()
				return gateway.Change{At: now, Actor: "bench", Accepts: []gateway.Message{{
					ID: ids.New(), Patient: patient, Queue: gateway.SingleQueue, Category: "follow_up", Template: "follow_up", Essential: true, Due: now, Created: now,
					Body: gateway.Body{Variables: map[string]string{"text": "Your letter is ready."}},
				}}}
			})
		})
	}
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
