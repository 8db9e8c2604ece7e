package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"harmonize.care/heed/channels/sandbox"
)

// carrier is the sandbox, and before it a clerk who writes down what came, from whom, for
// whom and when: what was sent is judged by this alone, and by nothing that the gateways
// say of themselves.
type carrier struct {
	pretend *sandbox.Sandbox
	url     string

	mu      sync.Mutex
	came    map[string][]arrival // by what it says and where it goes
	total   int
	sent    map[int]int  // by replica
	watches func(parcel) // hears of each one that came, before it is answered
}

// arrival is one message that a provider has.
type arrival struct {
	at   time.Time
	from string
}

// parcel is one message as the clerk reads it. by is the replica that sent it: each has an
// address of its own at the carrier.
type parcel struct {
	what, from, to string
	by             int
}

func (p parcel) key() string { return p.what + ">" + p.to }

// named finds the mark that the tests' messages carry; what has none is an answer of the
// gateway's own, as the confirmation of a stop.
var named = regexp.MustCompile(`no-([a-z][0-9]+)`)

func newCarrier(t *testing.T, f *fleet) *carrier {
	t.Helper()
	hooks := sandbox.Webhooks{}
	if f.plan.events {
		hooks.SendGridEvents = f.door + "/webhooks/sendgrid/events"
	}
	c := &carrier{came: map[string][]arrival{}, sent: map[int]int{}}
	c.pretend = sandbox.New(sandbox.Options{AccountSID: killSID, AuthToken: killToken, SendGridKey: "SG.test", Webhooks: hooks})
	web := httptest.NewServer(c.clerk(c.pretend.Handler()))
	c.url = web.URL
	t.Cleanup(func() {
		c.pretend.Close()
		web.Close()
	})
	return c
}

func (c *carrier) clerk(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		no, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/r"), "/")
		r.URL.Path = "/" + path
		by, err := strconv.Atoi(no)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // whoever sent it died in the middle: nobody has it
		}
		at := time.Now()
		list := textIn(r, body)
		if strings.HasSuffix(r.URL.Path, "/mail/send") {
			list = mailsIn(body)
		}
		for i := range list {
			list[i].by = by
		}
		if watches := c.note(list, at); watches != nil {
			for _, p := range list {
				watches(p)
			}
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

func (c *carrier) note(list []parcel, at time.Time) func(parcel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range list {
		c.came[p.key()] = append(c.came[p.key()], arrival{at, p.from})
		c.total++
		c.sent[p.by]++
	}
	return c.watches
}

// watch lets somebody hear of each message that comes; nil: nobody.
func (c *carrier) watch(hear func(parcel)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watches = hear
}

func (c *carrier) arrivals(what, to string) []arrival {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]arrival(nil), c.came[parcel{what: what, to: to}.key()]...)
}

func (c *carrier) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// sentBy counts what came from one replica.
func (c *carrier) sentBy(no int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent[no]
}

func textIn(r *http.Request, body []byte) []parcel {
	if !strings.HasSuffix(r.URL.Path, "/Messages.json") {
		return nil
	}
	form, err := url.ParseQuery(string(body))
	mark := named.FindStringSubmatch(form.Get("Body"))
	if err != nil || mark == nil {
		return nil
	}
	return []parcel{{what: mark[1], from: form.Get("From"), to: form.Get("To")}}
}

// mailsIn reads a request to SendGrid: what stands in it for one person alone is not looked at.
func mailsIn(body []byte) (list []parcel) {
	var q struct {
		From             struct{ Email string }
		Personalizations []struct {
			To []struct{ Email string }
		}
		Content []struct{ Value string }
	}
	if json.Unmarshal(body, &q) != nil || len(q.Content) == 0 {
		return nil
	}
	mark := named.FindStringSubmatch(q.Content[0].Value)
	if mark == nil {
		return nil
	}
	for _, p := range q.Personalizations {
		for _, to := range p.To {
			list = append(list, parcel{what: mark[1], from: q.From.Email, to: to.Email})
		}
	}
	return list
}
