package observe

import (
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
)

// Handler watches every request: one log line and one observation, by the pattern
// of the route. A panic is answered 500 and logged, and the gateway goes on.
func (m *Metrics) Handler(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		seen := &watched{ResponseWriter: w}
		defer func() {
			fault := recover()
			if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(fault) // a hung-up connection on purpose
			}
			if fault != nil {
				// What was panicked with may hold anything: only where it happened is logged.
				log.Error("panic", "route", route(r), "stack", string(debug.Stack()))
				if seen.status == 0 {
					seen.WriteHeader(http.StatusInternalServerError)
				}
			}
			took := time.Since(began)
			m.requests.WithLabelValues(route(r), strconv.Itoa(seen.code())).Observe(took.Seconds())
			log.Debug("request", "route", route(r), "status", seen.code(), "ms", took.Milliseconds())
		}()
		next.ServeHTTP(seen, r)
	})
}

// route is the pattern that served a request: never its path, nor a word of the
// caller's, or anybody could make as many series as they like.
func route(r *http.Request) string {
	if r.Pattern == "" || r.Pattern == "/" {
		return "unmatched"
	}
	return r.Pattern
}

type watched struct {
	http.ResponseWriter
	status int
}

func (w *watched) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// Unwrap lets http.ResponseController reach the connection.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }
