package api

import (
	"encoding/json"
	"io"
	"net/http"

	"harmonize.care/heed/channels"
)

// webhooks takes the providers' calls. A call is answered only when what it says
// is durable; a fault is answered 500, so that the provider tries again.
func (a *API) webhooks(mux *http.ServeMux) {
	for path, hook := range a.Webhooks {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
			if err != nil {
				writeProblem(w, problem(http.StatusRequestEntityTooLarge, "too_large", "The body is too large."))
				return
			}
			url := a.PublicURL + r.URL.RequestURI()
			heard, err := hook.Reader.Read(channels.Webhook{URL: url, Header: r.Header, Body: body}, a.Now())
			if err != nil {
				writeProblem(w, unreadWebhook(err))
				return
			}
			if err := a.take(r, hook.Source, heard); err != nil {
				a.Log.Error("webhook failed", "source", hook.Source, "error", err)
				writeProblem(w, fault(http.StatusInternalServerError, ""))
				return
			}
			w.Header().Set("Content-Type", "text/xml")
			_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Response/>`)
		})
	}
}

func (a *API) take(r *http.Request, source string, heard channels.Heard) error {
	for _, in := range heard.Inbound {
		from, err := a.ParsePhone(in.From)
		if err != nil {
			from = in.From // a short code or a foreign number: kept as it came
		}
		in.From = from
		if err := a.Intake.Text(r.Context(), source, in); err != nil {
			return err
		}
	}
	return a.Dispatcher.Deliveries(r.Context(), source, heard.Deliveries)
}

// health answers whether the process lives, and whether it can work.
func (a *API) health(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := a.Ready(r.Context()); err != nil {
			a.Log.Warn("not ready", "error", err)
			writeProblem(w, problem(http.StatusServiceUnavailable, "not_ready", "The database, the clock or the listener is not ready. The log says more."))
			return
		}
		says := map[string]string{"status": "ready"}
		if a.Redis != nil && !a.Redis() {
			says["redis"] = "unreachable"
		}
		writeJSON(w, http.StatusOK, says)
	})
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	write(w, p.Status, p)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	write(w, status, body)
}

func write(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the caller is gone: nothing left to tell
}
