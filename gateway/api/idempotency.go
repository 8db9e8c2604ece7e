package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"harmonize.care/heed/gateway"
)

// Every write takes an Idempotency-Key: the same key and body, by the same caller,
// give the first answer again. The key is kept in the commit of what it did, so
// that nothing is done twice; only answers of success are kept.

// Answers keeps what keys were answered.
type Answers interface {
	Answer(ctx context.Context, k *gateway.Key) (*gateway.Key, error)
	KeepAnswer(ctx context.Context, k *gateway.Key) error
}

const (
	maxKey    = 255
	lookEvery = 50 * time.Millisecond
)

// running makes a second call with a key wait while the first runs here.
type running struct {
	mu    sync.Mutex
	calls map[string]chan struct{}
}

func (r *running) begin(ctx context.Context, key string) (end func(), err error) {
	for {
		r.mu.Lock()
		first := r.calls[key]
		if first == nil {
			mine := make(chan struct{})
			r.calls[key] = mine
			r.mu.Unlock()
			return func() {
				r.mu.Lock()
				delete(r.calls, key)
				r.mu.Unlock()
				close(mine)
			}, nil
		}
		r.mu.Unlock()
		select {
		case <-first:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// idempotent wraps the calls of the API.
// A caller whose role does not allow the call is refused and gets no answer again.
func (a *API) idempotent(next *http.ServeMux) http.Handler {
	calls := &running{calls: map[string]chan struct{}{}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Header.Get("Idempotency-Key")
		if name == "" || r.Method == http.MethodGet || r.Method == http.MethodHead || !strings.HasPrefix(r.URL.Path, "/v1/") {
			next.ServeHTTP(w, r)
			return
		}
		who, err := a.callerOf(r)
		if err != nil {
			next.ServeHTTP(w, r) // it says so itself
			return
		}
		if _, pattern := next.Handler(r); !who.Role.May(a.needs[pattern]) {
			next.ServeHTTP(w, r) // so does this
			return
		}
		if len(name) > maxKey || gateway.TextProblem(name, false) != "" {
			writeProblem(w, problem(http.StatusUnprocessableEntity, "invalid", "Idempotency-Key: at most 255 characters, in UTF-8, none of them a control character."))
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			writeProblem(w, problem(http.StatusRequestEntityTooLarge, "too_large", "The body is too large."))
			return
		}
		sum := sha256.Sum256([]byte(r.Method + "\n" + r.URL.RequestURI() + "\n" + string(body)))
		key := &gateway.Key{Caller: who.ID, Key: name, BodyHash: sum[:]}
		end, err := calls.begin(r.Context(), who.ID+"\n"+name)
		if err != nil {
			return // the caller is gone
		}
		defer end()
		if a.replay(w, r, key) {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		inner := r.WithContext(gateway.WithKey(r.Context(), key))
		a.first(w, inner, next, key)
		r.Pattern = inner.Pattern // the log tells the route
	})
}

// first carries a call out and keeps its answer.
func (a *API) first(w http.ResponseWriter, r *http.Request, next http.Handler, key *gateway.Key) {
	rec := &recorder{header: http.Header{}, status: http.StatusOK}
	next.ServeHTTP(rec, r)
	if rec.Header().Get(replayedHeader) != "" && a.replay(w, r, key) { // another replica was quicker
		return
	}
	if rec.status >= 200 && rec.status < 300 {
		kept := *key
		kept.Status, kept.Answer = rec.status, rec.body.Bytes()
		// The call is done: what it answered is kept even when the caller is gone.
		if err := a.Answers.KeepAnswer(context.WithoutCancel(r.Context()), &kept); err != nil {
			a.Log.Error("an answer could not be kept", "error", err)
		}
	}
	rec.write(w)
}

// replay writes the first answer of a key that was used before, and says whether
// it wrote anything. A call that was carried out and whose answer is not there is
// waited for, since another replica may be at it; after that it was lost in a
// crash, and the key is marked as done.
func (a *API) replay(w http.ResponseWriter, r *http.Request, key *gateway.Key) bool {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	// A refusal waits for one lease at most.
	for end := time.Now().Add(a.Dispatcher.Lease + time.Second); ; {
		kept, err := a.Answers.Answer(r.Context(), key)
		switch {
		case errors.Is(err, gateway.ErrConflict):
			writeProblem(w, conflict())
			return true
		case errors.Is(err, gateway.ErrErased):
			writeProblem(w, answerErased())
			return true
		case err != nil:
			a.Log.Error("answers could not be read", "error", err)
			writeProblem(w, fault(http.StatusInternalServerError, ""))
			return true
		case kept == nil:
			return false
		case kept.Status != 0:
			writeKept(w, kept)
			return true
		}
		select {
		case <-look.C:
			if time.Now().After(end) {
				key.Done = true
				return false
			}
		case <-r.Context().Done():
			return true
		}
	}
}

func writeKept(w http.ResponseWriter, kept *gateway.Key) {
	if len(kept.Answer) > 0 {
		w.Header().Set("Content-Type", "application/json")
	}
	w.Header().Set("Idempotent-Replayed", "true")
	w.WriteHeader(kept.Status)
	_, _ = w.Write(kept.Answer) // the caller is gone: nothing left to tell
}

// replayedHeader is set by the table of errors for gateway.ErrReplayed; it never
// leaves the process.
const replayedHeader = "Heed-Replayed"

// recorder holds an answer back until it is kept.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

func (r *recorder) write(w http.ResponseWriter) {
	for name, values := range r.header {
		if name != replayedHeader {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body.Bytes()) // the caller is gone: nothing left to tell
}
