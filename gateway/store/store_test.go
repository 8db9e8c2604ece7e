package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/gateway/storetest"
)

func bench(t *testing.T, address string) storetest.Bench {
	t.Helper()
	db, ids := open(t, address)
	return storetest.Bench{Store: db, Now: time.Now, NewID: ids.New}
}

func open(t testing.TB, address string) (*store.DB, *gateway.IDs) {
	t.Helper()
	ids := &gateway.IDs{Now: time.Now, Rand: rand.Uint64}
	db, err := store.Open(context.Background(), store.Options{URL: address, Secret: []byte(strings.Repeat("s", 32)), Now: time.Now, NewID: ids.New})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db, ids
}

// both runs a test on each database.
func both(t *testing.T, test func(t *testing.T, db *store.DB, ids *gateway.IDs)) {
	t.Run("SQLite", func(t *testing.T) {
		db, ids := open(t, "sqlite:"+filepath.Join(t.TempDir(), "heed.db"))
		test(t, db, ids)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		db, ids := open(t, newDatabase(t))
		test(t, db, ids)
	})
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Bench { return bench(t, "sqlite:"+filepath.Join(t.TempDir(), "heed.db")) })
}

func TestPostgreSQL(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Bench { return bench(t, newDatabase(t)) })
}

func TestPageCodesSQLite(t *testing.T) {
	storetest.RunPageCodes(t, func(t *testing.T) storetest.Bench { return bench(t, "sqlite:"+filepath.Join(t.TempDir(), "heed.db")) })
}

func TestPageCodesPostgreSQL(t *testing.T) {
	storetest.RunPageCodes(t, func(t *testing.T) storetest.Bench { return bench(t, newDatabase(t)) })
}

// newDatabase makes a database of its own for one test.
func newDatabase(t testing.TB) string {
	t.Helper()
	server := os.Getenv("HEED_TEST_POSTGRES_URL")
	if server == "" {
		t.Skip("HEED_TEST_POSTGRES_URL is not set; `make test` starts a server and sets it")
	}
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := fmt.Sprintf("heed_test_%x", rand.Uint64())
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func TestCampaignsSQLite(t *testing.T) {
	storetest.RunCampaigns(t, func(t *testing.T) storetest.Bench { return bench(t, "sqlite:"+filepath.Join(t.TempDir(), "heed.db")) })
}

func TestCampaignsPostgreSQL(t *testing.T) {
	storetest.RunCampaigns(t, func(t *testing.T) storetest.Bench { return bench(t, newDatabase(t)) })
}
