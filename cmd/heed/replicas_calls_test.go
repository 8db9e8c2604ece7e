package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// pass hands a call on to a replica that answers, as a load balancer does.
func (f *fleet) pass(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller is gone
	}
	for _, no := range rand.Perm(len(f.members)) {
		if f.members[no].isAway() {
			continue
		}
		if f.hand(w, r, f.members[no], body) {
			return
		}
	}
	w.WriteHeader(http.StatusBadGateway)
}

// hand hands a call to one replica, and says whether it answered.
func (f *fleet) hand(w http.ResponseWriter, r *http.Request, m *member, body []byte) bool {
	ctx, cancel := m.patience(r.Context())
	defer cancel()
	out, err := http.NewRequestWithContext(ctx, r.Method, m.url+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return false
	}
	out.Header = r.Header.Clone()
	got, err := f.client.Do(out)
	if err != nil {
		return false
	}
	defer got.Body.Close()
	answer, err := io.ReadAll(got.Body)
	if err != nil {
		return false
	}
	w.Header().Set("Content-Type", got.Header.Get("Content-Type"))
	w.WriteHeader(got.StatusCode)
	w.Write(answer)
	return true
}

// ask calls one replica and gives the answer; header is names and values.
func (f *fleet) ask(ctx context.Context, m *member, method, path string, body []byte, header ...string) (int, []byte, error) {
	ctx, cancel := m.patience(ctx)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, m.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	got, err := f.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer got.Body.Close()
	answer, err := io.ReadAll(got.Body)
	return got.StatusCode, answer, err
}

// insist asks one replica after the other, in any order, until one says yes: as a caller
// does whose gateways come and go. What must happen once carries a key.
func (f *fleet) insist(method, path string, body any, header ...string) map[string]any {
	f.Helper()
	raw, isText := body.(string)
	if !isText && body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			f.Fatal(err)
		}
		raw = string(b)
	}
	var answer map[string]any
	status, text, err := f.persist(method, path, []byte(raw), header...)
	if err != nil || status >= 300 {
		f.Errorf("%s %s: %d %s %v", method, path, status, text, err)
	}
	_ = json.Unmarshal(text, &answer) // none, or a list
	return answer
}

// persist is insist for any goroutine. Only what the gateway itself refuses is final.
func (f *fleet) persist(method, path string, body []byte, header ...string) (status int, answer []byte, err error) {
	return f.persistAt(f.members, method, path, body, header...)
}

// patient is how long a caller goes on. Where a replica dies every half a second, none may live
// for long enough to answer: who asks again about a call that was carried out waits for a
// lease and a second.
const patient = 10 * time.Minute

// persistAt is persist at one of some replicas.
func (f *fleet) persistAt(where []*member, method, path string, body []byte, header ...string) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	for ctx.Err() == nil {
		m := where[rand.IntN(len(where))]
		if m.isAway() {
			pause(ctx)
			continue
		}
		status, answer, err = f.ask(ctx, m, method, path, body, header...)
		if err == nil && status < 500 {
			return status, answer, nil
		}
		pause(ctx)
	}
	return status, answer, err
}
