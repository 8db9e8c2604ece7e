package pages_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// paths gives one page of each kind for a patient with a message that waits.
func (b *bench) paths(patient int64) []string {
	secure, _ := b.secure("Take one tablet.")
	return []string{b.unsubscribePath(patient, "marketing"), b.preferencesPath(patient), secure}
}

func TestLookingChangesNothing(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("es-MX")
	paths := b.paths(patient)
	before := b.dump()
	for _, path := range paths {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			for _, query := range []string{"", "?lang=es", "?lang=en&stop=marketing", "?month=4&day=2&year=1962"} {
				if w := b.do(method, path+query, nil, "User-Agent", "scanner"); w.Code != http.StatusOK {
					t.Errorf("%s of a page answered %d", method, w.Code)
				}
			}
		}
		if w := b.do(http.MethodDelete, path, nil); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("DELETE answered %d", w.Code)
		}
	}
	if after := b.dump(); after != before {
		t.Errorf("a look changed the database:\n%s", after)
	}
}

func TestOneClick(t *testing.T) {
	for name, c := range map[string]struct{ kind, body string }{
		"form":           {"application/x-www-form-urlencoded", "List-Unsubscribe=One-Click"},
		"multipart":      {"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n"},
		"empty":          {"", ""},
		"json":           {"application/json", `{"a": [`},
		"no such type":   {"nonsense;;;", "\x00\xff"},
		"larger than us": {"application/octet-stream", strings.Repeat("x", 3<<20)},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			patient := b.enrol("en")
			mail, _ := b.deliver(dispatch.Request{Category: "newsletter", Template: "newsletter", Variables: map[string]string{"title": "New hours", "text": "We open at eight."}})
			link := strings.Trim(mail.Headers["List-Unsubscribe"], "<>")
			for try := range 2 {
				w := b.do(http.MethodPost, b.pathOf(link), strings.NewReader(c.body), "Content-Type", c.kind, "Origin", "https://mail.example", "Sec-Fetch-Site", "cross-site")
				if w.Code != http.StatusOK || w.Header().Get("Location") != "" || w.Header().Get("Set-Cookie") != "" {
					t.Fatalf("press %d answered %d %v", try, w.Code, w.Header())
				}
				if !strings.Contains(w.Body.String(), "These emails are stopped") {
					t.Errorf("press %d does not say what is stopped", try)
				}
			}
			events := b.ledger(patient)
			last := events[len(events)-1]
			if len(events) != 2 || last.Choice == nil || last.Choice.Topic != "marketing" || last.Choice.Channel != channels.Email || last.Choice.In || last.Source != preferences.FromEmail {
				t.Errorf("kept %d events, the last %+v", len(events), last)
			}
		})
	}
}

// unread fails when somebody reads it.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, errors.New("read")
}

func TestOneClickReadsNoBody(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("en")
	if w := b.do(http.MethodPost, b.unsubscribePath(patient, "marketing"), io.MultiReader(unread{t})); w.Code != http.StatusOK {
		t.Errorf("answered %d", w.Code)
	}
}

// A body that never comes holds back its answer, never the opt-out.
func TestOneClickDoesNotWaitForTheBody(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("en")
	server := httptest.NewServer(b.handler)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", b.unsubscribePath(patient, "marketing"))
	deadline := time.Now().Add(10 * time.Second)
	for len(b.snapshot(patient).Choices) == 0 {
		if time.Now().After(deadline) {
			t.Fatal("the opt-out waits for the body")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestOneClickOutlastsTheCaller(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("en")
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	r := httptest.NewRequestWithContext(gone, http.MethodPost, b.unsubscribePath(patient, "marketing"), nil)
	b.handler.ServeHTTP(httptest.NewRecorder(), r)
	if len(b.snapshot(patient).Choices) != 1 {
		t.Error("an opt-out was lost with its connection")
	}
}

func TestYesAfterNoIsStoppedAgain(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("en")
	path := b.unsubscribePath(patient, "marketing")
	b.do(http.MethodPost, path, nil)
	if err := b.intake.Prefer(context.Background(), "staff", patient, intake.Said{
		Choices: []intake.Choice{{Topic: "newsletter", Channel: channels.Email, In: true}}, Source: preferences.FromStaff,
	}); err != nil {
		t.Fatal(err)
	}
	if w := b.get(path); !strings.Contains(w.Body.String(), "Stop these emails?") {
		t.Error("a newer yes is not seen")
	}
	before := len(b.ledger(patient))
	b.do(http.MethodPost, path, nil)
	b.do(http.MethodPost, path, nil)
	if n := len(b.ledger(patient)) - before; n != 1 {
		t.Errorf("%d events for one more no", n)
	}
	if o, code, _ := b.sender.Policy.Screen(b.snapshot(patient), policy.Question{Category: "newsletter", Now: b.clock.Now()}); o != policy.Suppress || code != policy.OptedOut {
		t.Errorf("the newsletter is %s, %s", o, code)
	}
}

func TestOneClickLeavesCareAlone(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("en")
	b.do(http.MethodPost, b.unsubscribePath(patient, "non_essential"), nil)
	if o, code, _ := b.sender.Policy.Screen(b.snapshot(patient), policy.Question{Category: "appointment_reminder", Channels: []channels.Channel{channels.Email}, Now: b.clock.Now()}); o != policy.Send {
		t.Errorf("a reminder is %s, %s", o, code)
	}
}

func TestTopicThePolicyLost(t *testing.T) {
	for _, topic := range []string{"old_category", "appointment_reminder"} {
		b := newBench(t)
		patient := b.enrol("en")
		if w := b.do(http.MethodPost, b.unsubscribePath(patient, topic), nil); w.Code != http.StatusOK {
			t.Fatalf("%s: answered %d", topic, w.Code)
		}
		if got := b.snapshot(patient).Choices; len(got) != 1 || got[0].Topic != preferences.TopicNonEssential {
			t.Errorf("%s: kept %+v", topic, got)
		}
	}
}

func TestAlteredLinks(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("en")
	paths := b.paths(patient)
	before := b.dump()
	check := func(path string) {
		t.Helper()
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			w := b.do(method, path, strings.NewReader("stop=marketing&month=4&day=2&year=1962"), "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin")
			if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "This link does not work") {
				t.Errorf("%s of an altered link answered %d", method, w.Code)
			}
			if word := shows(w.Body.String(), append(personal, path)...); word != "" {
				t.Errorf("the answer shows %q", word)
			}
		}
	}
	for _, path := range paths {
		for i := len("/u/"); i < len(path); i++ {
			other := byte('A')
			if path[i] == other {
				other = 'B'
			}
			check(path[:i] + string(other) + path[i+1:])
		}
		check(path[:len(path)-1])
		check(path[:3] + strings.Repeat("A", 5000))
	}
	for _, kind := range []string{"/u/", "/p/", "/m/"} { // a link of another kind
		for _, path := range paths {
			if !strings.HasPrefix(path, kind) {
				check(kind + path[3:])
			}
		}
	}
	if b.dump() != before {
		t.Error("an altered link changed something")
	}
	if w := b.do(http.MethodGet, "/u/x", nil, "Accept-Language", "es-MX,es;q=0.9"); !strings.Contains(w.Body.String(), "Este enlace no funciona") {
		t.Error("not in the browser's language")
	}
}

func TestNobodyToWriteTo(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("es")
	paths := b.paths(patient)
	if err := b.intake.Erase(context.Background(), "staff", patient, "request"); err != nil {
		t.Fatal(err)
	}
	before := b.dump()
	for _, path := range paths[:2] {
		for _, w := range []*httptest.ResponseRecorder{b.get(path), b.press(path, url.Values{"stop": {"marketing"}})} {
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Nothing more goes out") {
				t.Errorf("answered %d", w.Code)
			}
		}
	}
	if w := b.press(paths[2], born("4", "2", "1962")); w.Code != http.StatusGone {
		t.Errorf("an erased patient's message answered %d", w.Code)
	}
	if b.dump() != before {
		t.Error("something was kept about somebody erased")
	}
	if w := b.get(b.unsubscribePath(patient+1, "marketing")); w.Code != http.StatusNotFound {
		t.Errorf("a patient nobody knows: %d", w.Code)
	}
}

// What travels is what a mailbox provider really sends, over a real connection.
func TestOneClickOverTheWire(t *testing.T) {
	b := newBench(t)
	patient := b.enrol("en")
	server := httptest.NewServer(b.handler)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := bytes.Repeat([]byte("y"), 100_000)
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", b.unsubscribePath(patient, "marketing"), len(body))
	if _, err := conn.Write(body); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", answer, err)
	}
	if len(b.snapshot(patient).Choices) != 1 {
		t.Error("nothing was kept")
	}
}
