package store_test

import (
	"testing"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/store"
)

// An event is forgotten when no provider repeats it any more, except a START: who
// plays an old one to us again would lift a STOP.
func TestStartsAreNeverForgotten(t *testing.T) {
	both(t, func(t *testing.T, db *store.DB, _ *gateway.IDs) {
		for event, lasting := range map[string]bool{"SM1": false, "SM2": true} {
			c := gateway.Change{At: time.Now().Add(-40 * 24 * time.Hour), Seen: &gateway.Seen{Source: "twilio", Event: event, Lasting: lasting}}
			if _, err := db.Commit(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.Forget(t.Context(), store.Retention{Content: time.Hour, Answers: time.Hour, Seen: 35 * 24 * time.Hour}); err != nil {
			t.Fatal(err)
		}
		for event, want := range map[string]bool{"SM1": false, "SM2": true} {
			if known, err := db.WasHeard(t.Context(), "twilio", event); err != nil || known != want {
				t.Errorf("%s is known: %v, %v", event, known, err)
			}
		}
	})
}
