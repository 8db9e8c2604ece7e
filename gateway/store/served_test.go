package store_test

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/store"
)

func reopen(t *testing.T, address, secret string, after store.Takeover) (*store.DB, error) {
	t.Helper()
	ids := &gateway.IDs{Now: time.Now, Rand: rand.Uint64}
	db, err := store.Open(context.Background(), store.Options{URL: address, Secret: []byte(secret), Now: time.Now, NewID: ids.New, Takeover: after})
	if err == nil {
		t.Cleanup(func() { db.Close() })
	}
	return db, err
}

var ownSecret = strings.Repeat("s", 32)

func TestAnotherSecretIsRefused(t *testing.T) {
	for name, address := range map[string]func() string{
		"SQLite": func() string { return "sqlite:" + filepath.Join(t.TempDir(), "heed.db") }, "PostgreSQL": func() string { return newDatabase(t) },
	} {
		t.Run(name, func(t *testing.T) {
			where := address()
			open(t, where)
			if _, err := reopen(t, where, strings.Repeat("x", 32), store.HoldAfterTakeover); !errors.Is(err, store.ErrOtherSecret) {
				t.Errorf("with another secret: %v", err)
			}
			if _, err := reopen(t, where, ownSecret, store.HoldAfterTakeover); err != nil {
				t.Errorf("with its own: %v", err)
			}
		})
	}
}

// becomes makes a database look as if it was known by another name until now.
func becomes(t *testing.T, address, name string) {
	t.Helper()
	raw, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	r, err := raw.Exec("UPDATE marks SET name = " + name + " WHERE name LIKE 'database %'")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.RowsAffected(); n != 1 {
		t.Fatalf("%d marks, %v", n, err)
	}
}

func TestAnotherServerHoldsAllSends(t *testing.T) {
	for name, c := range map[string]struct {
		was   string // what it was known by
		after store.Takeover
		held  bool
	}{
		"the same":                  {"name", store.HoldAfterTakeover, false},
		"another timeline":          {"regexp_replace(name, '[0-9A-F]{8}$', '0000ABCD')", store.HoldAfterTakeover, true},
		"one that lost nothing":     {"regexp_replace(name, '[0-9A-F]{8}$', '0000ABCD')", store.SendAfterTakeover, false},
		"another cluster":           {"regexp_replace(name, ' [0-9]+', ' 7300000000000000000')", store.HoldAfterTakeover, true},
		"another one, all the same": {"regexp_replace(name, ' [0-9]+', ' 7300000000000000000')", store.SendAfterTakeover, true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, address := context.Background(), newDatabase(t)
			open(t, address)
			becomes(t, address, c.was)
			for range 2 { // the second time it is known
				db, err := reopen(t, address, ownSecret, c.after)
				if err != nil {
					t.Fatal(err)
				}
				since, err := db.Held(ctx)
				if err != nil || since.IsZero() == c.held {
					t.Errorf("held since %s, %v", since, err)
				}
				if err := db.Release(ctx, gateway.Change{At: time.Now(), Actor: "test"}); err != nil {
					t.Fatal(err)
				}
				c.held = false
			}
		})
	}
}

func TestATakeoverUnderARunningGatewayHoldsTheNextConnection(t *testing.T) {
	ctx, address := context.Background(), newDatabase(t)
	db, _ := open(t, address)
	becomes(t, address, "regexp_replace(name, '[0-9A-F]{8}$', '0000ABCD')")
	raw, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the database answers again", func() bool { return db.Ping(ctx) == nil })
	if since, err := db.Held(ctx); err != nil || since.IsZero() {
		t.Errorf("held since %s, %v", since, err)
	}
}

func TestARestoredDumpHoldsAllSends(t *testing.T) {
	ctx, address := context.Background(), newDatabase(t)
	first, err := reopen(t, address, ownSecret, store.HoldAfterTakeover)
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := sql.Open("pgx", newDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	// A copy as a dump that is read back is one: all rows are there, and another database is around them.
	from := strings.TrimPrefix(u.Path, "/")
	if _, err := admin.Exec("CREATE DATABASE " + from + "_back TEMPLATE " + from); err != nil {
		t.Fatal(err)
	}
	u.Path += "_back"
	back, err := reopen(t, u.String(), ownSecret, store.SendAfterTakeover)
	if err != nil {
		t.Fatal(err)
	}
	if since, err := back.Held(ctx); err != nil || since.IsZero() {
		t.Errorf("held since %s, %v", since, err)
	}
	back.Close()
	if _, err := admin.Exec("DROP DATABASE " + from + "_back WITH (FORCE)"); err != nil {
		t.Error(err)
	}
}
