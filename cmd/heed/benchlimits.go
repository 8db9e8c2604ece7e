package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// machine measures what stands beside every figure: how fast one processor is, and what one
// caller gets committed.
func (b *bench) machine(ctx context.Context) error {
	b.tell("the machine …")
	x := uint64(1)
	sum := figure{Name: "cpu", What: "limit: a thousand steps of a fixed sum, on one CPU", Unit: "ns"}
	if err := b.repeat(ctx, sum, func() {
		for range 1000 {
			x = x*6364136223846793005 + 1442695040888963407 // each step waits for the one before
		}
	}); err != nil {
		return err
	}
	b.figure(sum).Allocs = nil // it is the machine's, not ours
	for range b.scale.Runs {
		if err := b.commitRate(ctx, 1); err != nil {
			return err
		}
	}
	return nil
}

// commitRate inserts one row a commit, from some callers at once, by the gateway's own
// connections: what the database does when nothing is asked of it but to be durable.
func (b *bench) commitRate(ctx context.Context, callers int) error {
	db, _ := b.db.SQL()
	if _, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS bench_commits (id BIGINT PRIMARY KEY, at BIGINT NOT NULL)"); err != nil {
		return err
	}
	var done atomic.Int64
	began := time.Now()
	err := sideBySide(ctx, callers, callers, func(ctx context.Context, _ int) error {
		for time.Since(began) < b.scale.loop {
			if _, err := db.ExecContext(ctx, "INSERT INTO bench_commits (id, at) VALUES ($1, $2)", b.ids.New(), time.Now().UnixMicro()); err != nil {
				return err
			}
			done.Add(1)
		}
		return nil
	})
	b.figure(figure{
		Name: fmt.Sprintf("commits_%d", callers), What: fmt.Sprintf("limit: one-row inserts, each a commit, %s", counted(callers, "caller")), Unit: "commits/s",
	}).add(float64(done.Load()) / time.Since(began).Seconds())
	return err
}

// postRate makes bare requests with the body of the last message of a kind to the same
// carrier, and adds how many messages a second that would be.
func (b *bench) postRate(ctx context.Context, f figure, path, kind string, callers, n, each int) error {
	body, err := b.carrier.get(ctx, "/last"+path)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: transport(), Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	began := time.Now()
	took, err := spending(func() error {
		began = time.Now()
		return sideBySide(ctx, callers, n, func(ctx context.Context, _ int) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.carrier.url+barePath+path, bytes.NewReader(body))
			if err != nil {
				return err
			}
			r.Header.Set("Content-Type", kind)
			got, err := client.Do(r)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, got.Body)
			got.Body.Close()
			return err
		})
	})
	b.figure(f).addSpent(float64(n*each)/time.Since(began).Seconds(), took, n*each)
	return err
}
