package main

import (
	"database/sql"
	"errors"
	"io"
	"testing"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/jobs"
	"harmonize.care/heed/gateway/observe"
	"harmonize.care/heed/gateway/store"
)

// TestReplicasStartTogether brings the job tables of a new database up from several sides at
// once: nobody fails because somebody else was quicker.
func TestReplicasStartTogether(t *testing.T) {
	database := emptyPostgres(t)
	ids := &gateway.IDs{Now: time.Now, Rand: random}
	const replicas = 6
	ended := make(chan error, replicas)
	start := make(chan struct{})
	for range replicas {
		db, err := store.Open(t.Context(), store.Options{URL: database, Secret: []byte(fleetSecret), Now: time.Now, NewID: ids.New})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			writer, address := db.SQL()
			<-start
			ended <- errors.Join(jobs.Migrate(t.Context(), jobs.Options{DB: writer, Postgres: address, Log: observe.NewLog(io.Discard, nil)}), db.Close())
		}()
	}
	close(start)
	for range replicas {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	db, err := sql.Open("pgx", database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow("SELECT count(*) FROM river_job").Scan(&n); err != nil {
		t.Error(err)
	}
}
