package sendgrid

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/channelstest"
	"harmonize.care/heed/channels/sandbox"
)

const (
	testKey  = "SG.test-key"
	careBox  = "care@clinic.example"
	shopBox  = "news@clinic.example"
	fromName = "Your provider"
)

// world is the pretend carrier, its server, and whoever takes its events.
type world struct {
	*sandbox.Sandbox
	server *httptest.Server
	posts  atomic.Int64
	hooks  chan channels.Webhook
	opt    Options
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{hooks: make(chan channels.Webhook, 1000)}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.hooks <- channels.Webhook{URL: "http://" + r.Host + r.URL.RequestURI(), Header: r.Header, Body: body}
	}))
	w.Sandbox = sandbox.New(sandbox.Options{
		SendGridKey: testKey, ASMGroup: 1, Webhooks: sandbox.Webhooks{SendGridEvents: receiver.URL + "/webhooks/sendgrid/events"},
	})
	handler := http.StripPrefix("/sandbox", described(t).Answers(t, w.Handler()))
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.posts.Add(1)
		handler.ServeHTTP(rw, r)
	}))
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	w.opt = Options{
		APIKey: testKey, BaseURL: w.server.URL + "/sandbox", WebhookPublicKey: w.PublicKey(), ASMGroup: 12, FromName: fromName,
		From: map[channels.Program]string{channels.Care: careBox, channels.Marketing: shopBox},
		HTTP: &http.Client{Transport: transport},
	}
	t.Cleanup(func() {
		w.Close() // ends what hangs, so that the server can close
		transport.CloseIdleConnections()
		w.server.Close()
		receiver.Close()
	})
	return w
}

func (w *world) unplug() {
	w.server.Listener.Close()
	w.server.CloseClientConnections()
}

// newAdapter makes an adapter whose every request is held to SendGrid's description,
// whatever its test is about.
func newAdapter(t testing.TB, o Options) *Adapter {
	t.Helper()
	var below http.RoundTripper
	if o.HTTP != nil {
		below = o.HTTP.Transport
	}
	o.HTTP = &http.Client{Transport: described(t).Transport(t, o.BaseURL, below)}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// letter makes the nth message; the first part of the mailbox decides how it fares.
func letter(n int, local string) channels.Outgoing {
	return channels.Outgoing{
		Attempt: int64(9000 + n), Program: channels.Care, Channel: channels.Email, To: fmt.Sprintf("%s+%d@patients.example", local, 300+n),
		Subject: fmt.Sprintf("About visit %d", n),
		Text:    fmt.Sprintf("Cedar Practice: visit %d is at 10:30 & all's well é\n-name- <%% %%>", n),
		HTML:    fmt.Sprintf("<p>Visit %d é</p>", n),
	}
}

func TestAdapter(t *testing.T) {
	local := map[channelstest.Trouble]string{
		channelstest.TooMany: "429", channelstest.Fault: "error500",
		channelstest.Lost: "lose", channelstest.Dropped: "drop", channelstest.Hanging: "hang",
	}
	channelstest.Adapter(t, func(t *testing.T) channelstest.Case {
		w := newWorld(t)
		return channelstest.Case{
			Adapter: newAdapter(t, w.opt),
			Message: func(n int) channels.Outgoing { return letter(n, "reader") },
			Troubled: func(tr channelstest.Trouble, n int) channels.Outgoing {
				if tr == channelstest.Refused {
					m := letter(n, "reader")
					// SendGrid's description lets it through, its own check does not.
					m.To = fmt.Sprintf("reader..%d@patients.example", n)
					return m
				}
				return letter(n, local[tr])
			},
			Refusal: channels.AddressIsBad, RefusalCode: "400", RetryAfter: 2 * time.Second,
			Calls: func() int { return int(w.posts.Load()) },
			Taken: func() (list []channelstest.Taken) {
				for _, m := range w.Messages() {
					attempt, _ := strconv.ParseInt(m.Args["attempt"], 10, 64)
					list = append(list, channelstest.Taken{ProviderID: messageID(m.ID), To: m.To, Text: m.Body, Attempt: attempt, Attachments: m.Files})
				}
				return list
			},
			Unplug: w.unplug,
		}
	})
}

// nextEvents reads one call of the event webhook.
func (w *world) nextEvents(t *testing.T, a *Adapter) []channels.Delivery {
	t.Helper()
	select {
	case hook := <-w.hooks:
		heard, err := a.Read(hook, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return heard.Deliveries
	case <-time.After(10 * time.Second):
		t.Fatal("no events came")
		return nil
	}
}

// What the pretend carrier tells of a mail comes back as what became of it.
func TestEventsOfASend(t *testing.T) {
	type news = channels.Delivery
	for local, want := range map[string][]news{
		"reader":     {{Status: channels.Accepted}, {Status: channels.Delivered}},
		"bounce":     {{Status: channels.Accepted}, {Status: channels.Failed, Kind: channels.AddressIsBad, Code: "bounce 5.1.1"}},
		"blocked":    {{Status: channels.Accepted}, {Status: channels.Failed, Kind: channels.TryNever, Code: "blocked 5.7.1"}},
		"suppressed": {{Status: channels.Failed, Kind: channels.AddressIsBad, Code: "dropped bounced"}},
		"spam":       {{Status: channels.Accepted}, {Status: channels.Delivered}, {SpamReport: true}},
	} {
		t.Run(local, func(t *testing.T) {
			w := newWorld(t)
			a := newAdapter(t, w.opt)
			m := letter(1, local)
			r, err := a.Send(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, want := range want {
				want.Attempt, want.ProviderID, want.To = m.Attempt, r.ProviderID, m.To
				got := w.nextEvents(t, a)
				if diff := cmp.Diff([]news{want}, got, cmpopts.IgnoreFields(news{}, "EventID", "At")); diff != "" {
					t.Fatal(diff)
				}
				if got[0].EventID == "" || seen[got[0].EventID] || time.Since(got[0].At).Abs() > time.Minute {
					t.Errorf("event %q at %s", got[0].EventID, got[0].At)
				}
				seen[got[0].EventID] = true
			}
		})
	}
}

// The one-click link reaches the mailbox.
func TestOneClickHeaders(t *testing.T) {
	w := newWorld(t)
	m := letter(1, "reader")
	m.Headers = map[string]string{"List-Unsubscribe": "<https://heed.example/u/abc>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
	if _, err := newAdapter(t, w.opt).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.Headers, w.Messages()[0].Headers); diff != "" {
		t.Error(diff)
	}
}

// decode reads a body into plain values.
func decode(t *testing.T, body []byte) map[string]any {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	return got
}
