package twilio

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/channelstest"
	"harmonize.care/heed/channels/sandbox"
)

const (
	testAccount = "AC0123456789abcdef0123456789abcdef"
	testToken   = "token"
	careNumber  = "+18885550101"
	shopNumber  = "+18885550102"
	patient     = "+13035550143"
	testService = "MG0123456789abcdef0123456789abcdef"
)

// world is the pretend carrier, its server, and whoever takes its webhooks.
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
		AccountSID: testAccount, AuthToken: testToken,
		Webhooks: sandbox.Webhooks{SMS: receiver.URL + "/webhooks/twilio/sms"},
		Programs: map[string]string{careNumber: "care", shopNumber: "marketing", testService: "care"},
	})
	handler := http.StripPrefix("/sandbox", described(t).Answers(t, w.Handler()))
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.posts.Add(1)
		}
		handler.ServeHTTP(rw, r)
	}))
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	w.opt = Options{
		AccountSID: testAccount, AuthToken: testToken, BaseURL: w.server.URL + "/sandbox",
		StatusCallback: receiver.URL + "/webhooks/twilio/status",
		From:           map[channels.Program]string{channels.Care: careNumber, channels.Marketing: shopNumber},
		VoiceFrom:      map[channels.Program]string{channels.Care: careNumber},
		VoiceURL:       receiver.URL + "/webhooks/twilio/voice",
		HTTP:           &http.Client{Transport: transport},
	}
	w.SetPace(10 * time.Millisecond)
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

func (w *world) adapter(t *testing.T) *Adapter { return newAdapter(t, w.opt) }

// newAdapter makes an adapter whose every request is held to Twilio's description,
// whatever its test is about.
func newAdapter(t *testing.T, o Options) *Adapter {
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

// text makes the nth message; the last four digits decide how it fares.
func text(n int, last string) channels.Outgoing {
	return channels.Outgoing{
		Attempt: int64(9000 + n), Program: channels.Care, Channel: channels.SMS, To: fmt.Sprintf("+1303%03d%s", 300+n, last),
		Text: fmt.Sprintf("Cedar Practice: visit %d is at 10:30 & all's well é", n), Validity: time.Hour,
	}
}

func attemptIn(t *testing.T, callback string) int64 {
	u, err := url.Parse(callback)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := strconv.ParseInt(u.Query().Get("attempt"), 10, 64)
	return id
}

func TestAdapter(t *testing.T) {
	last := map[channelstest.Trouble]string{
		channelstest.TooMany: "0014", channelstest.Refused: "0012", channelstest.Fault: "0015",
		channelstest.Lost: "0017", channelstest.Dropped: "0016", channelstest.Hanging: "0019",
	}
	channelstest.Adapter(t, func(t *testing.T) channelstest.Case {
		w := newWorld(t)
		return channelstest.Case{
			Adapter:    w.adapter(t),
			Message:    func(n int) channels.Outgoing { return text(n, "0143") },
			Troubled:   func(tr channelstest.Trouble, n int) channels.Outgoing { return text(n, last[tr]) },
			Refusal:    channels.AddressIsBad,
			RetryAfter: 2 * time.Second, RefusalCode: "21211",
			Calls: func() int { return int(w.posts.Load()) },
			Taken: func() (list []channelstest.Taken) {
				for _, m := range w.Messages() {
					list = append(list, channelstest.Taken{ProviderID: m.ID, To: m.To, Text: m.Body, Attempt: attemptIn(t, m.Callback)})
				}
				return list
			},
			Unplug: w.unplug,
		}
	})
}

// What the pretend carrier does with each number that fails on demand is read as
// it should be.
func TestFailuresOnDemand(t *testing.T) {
	w := newWorld(t)
	a := w.adapter(t)
	for _, f := range sandbox.PhoneFailures() {
		want, listed := map[string]channels.SendErrorKind{
			"0010": channels.PersonOptedOut, "0012": channels.AddressIsBad, "0013": channels.NotTextable, "0014": channels.TryLater,
			"0015": channels.OutcomeUnknown, "0016": channels.OutcomeUnknown, "0017": channels.OutcomeUnknown, "0019": channels.OutcomeUnknown,
			"0020": channels.OutcomeUnknown, "0021": channels.OutcomeUnknown,
			"0011": 0, "0018": 0, // fail later
			"0022": 0, "0023": 0, "0024": 0, "0025": 0, "0026": 0, // only calls are taken otherwise
		}[f.Match]
		if !listed {
			t.Errorf("%s is not in this test", f.Match)
		}
		if f.Match == "0019" {
			continue // the suite tests what hangs
		}
		_, err := a.Send(t.Context(), text(1, f.Match))
		if want == 0 && err != nil || want != 0 && failed(t, err).Kind != want {
			t.Errorf("%s: %v, want %s", f.Match, err, want)
		}
	}
}
