package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// overdue is a context whose deadline has passed, and whose timer has not come yet: so it is
// for a moment in a process that wakes.
type overdue struct{ context.Context }

func (overdue) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }

func TestReplicasCallNobodyAfterTheLease(t *testing.T) {
	called := 0
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called++ }))
	defer web.Close()
	client := &http.Client{Transport: punctual{transport()}}
	for _, ctx := range []context.Context{t.Context(), overdue{t.Context()}} {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, web.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		got, err := client.Do(r)
		if err == nil {
			got.Body.Close()
		}
		if _, late := ctx.(overdue); late != errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("late %v: %v", late, err)
		}
	}
	if called != 1 {
		t.Errorf("the provider was called %d times", called)
	}
}
