package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkSingleMessages takes messages in over HTTP, one a call, from 64 callers, and
// waits until the pretend carrier has them all: accepted durably, decided, claimed under
// the fence, marked as begun, sent through the production adapter and recorded.
// latency-ms is the median from the call's begin to the carrier, one message at a time.
func BenchmarkSingleMessages(b *testing.B) {
	for _, name := range []string{"SQLite", "PostgreSQL"} {
		b.Run(name, func(b *testing.B) {
			more := map[string]string{}
			if name == "PostgreSQL" {
				more["database.url"] = emptyPostgres(b)
			}
			h := start(b, more)
			patients := 200
			for i := range patients {
				h.enrol(fmt.Sprintf("p%d", i), fmt.Sprintf("+1303%07d", 2_001_000+i), fmt.Sprintf("p%d@patients.example", i))
			}
			latency := h.medianLatency(b)
			before := h.taken()
			var next atomic.Int64
			b.ResetTimer()
			began := time.Now()
			var callers sync.WaitGroup
			for range 64 {
				callers.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						h.post(b, fmt.Sprintf("p%d", int(i)%patients))
					}
				})
			}
			callers.Wait()
			eventuallyUntil(b, time.Now().Add(5*time.Minute), "the carrier has them all", func() bool { return h.taken()-before >= min(b.N, 1900) })
			b.ReportMetric(latency, "latency-ms")
			b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "messages/s")
		})
	}
}

// post sends without holding the call to the description: that is not what is measured.
func (h *heedUnderTest) post(b *testing.B, patient string) {
	raw, err := json.Marshal(reminder(patient))
	if err != nil {
		b.Error(err)
		return
	}
	r, err := http.NewRequest("POST", h.url+"/v1/messages", bytes.NewReader(raw))
	if err != nil {
		b.Error(err)
		return
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("Content-Type", "application/json")
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Error(err)
		return
	}
	got.Body.Close()
	if got.StatusCode != http.StatusAccepted {
		b.Errorf("%d", got.StatusCode)
	}
}

func (h *heedUnderTest) taken() int { return len(h.server.sandbox.Messages()) }

func (h *heedUnderTest) medianLatency(b *testing.B) float64 {
	var took []time.Duration
	for i := range 21 {
		before, began := h.taken(), time.Now()
		h.post(b, fmt.Sprintf("p%d", i))
		tick := time.NewTicker(200 * time.Microsecond)
		for h.taken() == before {
			<-tick.C
		}
		tick.Stop()
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return float64(took[len(took)/2].Microseconds()) / 1000
}
