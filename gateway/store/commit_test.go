package store

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/gateway"
)

// TestNothingIsKeptQuietly: PostgreSQL answers COMMIT of a broken transaction without an
// error, and keeps nothing.
func TestNothingIsKeptQuietly(t *testing.T) {
	server := os.Getenv("HEED_TEST_POSTGRES_URL")
	if server == "" {
		t.Skip("HEED_TEST_POSTGRES_URL is not set")
	}
	ids := &gateway.IDs{Now: time.Now, Rand: func() uint64 { return 1 }}
	db, err := Open(context.Background(), Options{URL: server, Secret: []byte(strings.Repeat("s", 32)), Now: time.Now, NewID: ids.New})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.begin(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.end()
	var n int
	if tx.QueryRowContext(t.Context(), "SELECT 1 / 0").Scan(&n) == nil {
		t.Fatal("it can be divided by nothing")
	}
	if unsure, err := tx.commit(); err == nil || unsure {
		t.Errorf("kept: %v, unsure: %v", err, unsure)
	}
}
