package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"harmonize.care/heed/channels/sandbox"
)

// perRound is how many messages are asked for between two kills.
const perRound = 16

var kills = flag.Int("kills", 12, "how often the kill test kills the gateway")

// childMark makes the test binary run as the gateway itself, so that it can be killed.
const childMark = "HEED_TEST_RUN_AS_HEED"

func TestMain(m *testing.M) {
	if os.Getenv(childMark) != "" {
		os.Unsetenv(childMark)
		main()
	}
	os.Exit(m.Run())
}

// child is a gateway in a process of its own, in live mode against a pretend carrier.
type child struct {
	t    *testing.T
	url  string
	file string
	log  *lockedBuffer
	cmd  *exec.Cmd
}

func (c *child) start() {
	c.t.Helper()
	c.cmd = exec.Command(os.Args[0], "serve", "--config", c.file)
	c.cmd.Env = append(os.Environ(), childMark+"=1", "HEED_AUTH_ADMIN_KEY="+adminKey)
	c.cmd.Stderr = c.log
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, "the gateway is ready", func() bool {
		r, err := http.Get(c.url + "/readyz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

func (c *child) kill() {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
	c.cmd.Wait()
}

// post sends until the gateway answers: the same key each time, as a caller does
// whose gateway was away for a moment.
func (c *child) post(path, key string, body any) (map[string]any, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	method := http.MethodPost
	if strings.HasPrefix(path, "/v1/patients/") {
		method = http.MethodPut
	}
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", key)
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(got.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if got.StatusCode >= 300 {
		return nil, fmt.Errorf("%d %v", got.StatusCode, answer)
	}
	return answer, nil
}

func (c *child) message(id string) map[string]any {
	r, err := http.NewRequest("GET", c.url+"/v1/messages/"+id, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil
	}
	defer got.Body.Close()
	var m map[string]any
	_ = json.NewDecoder(got.Body).Decode(&m)
	return m
}

func newChild(t *testing.T, carrier string) *child {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	c := &child{t: t, url: "http://" + address, file: filepath.Join(dir, "heed.yaml"), log: &lockedBuffer{}}
	text, err := json.Marshal(map[string]any{
		"http": map[string]any{"listen": address, "public_url": c.url}, "database": map[string]any{"url": "sqlite:" + filepath.Join(dir, "heed.db")},
		"keys":     map[string]any{"secret": strings.Repeat("test-secret-", 4)},
		"sending":  map[string]any{"lease": "2s", "lookup_after": "500ms", "unknown_after": "6s"},
		"practice": map[string]any{"name": "Cedar Practice", "discreet_name": "Your provider", "phone": "+18885550100", "opt_out_phone": "+18885550199", "postal_address": "1 Main St, Denver, CO 80202", "time_zone": "America/Denver", "privacy_email": "privacy@cedar.example"},
		"programs": map[string]any{
			"care": map[string]any{"sms_from": "+18885550101", "email_from": "care@cedar.example"}, "check_in": map[string]any{"sms_from": "+18885550102", "email_from": "check-in@cedar.example"},
			"billing": map[string]any{"sms_from": "+18885550103", "email_from": "billing@cedar.example"}, "marketing": map[string]any{"sms_from": "+18885550104", "email_from": "news@cedar.example"},
		},
		"providers": map[string]any{
			"mode": "live", "email": "sendgrid", "sendgrid": map[string]any{"api_key": "SG.test", "base_url": carrier},
			"twilio": map[string]any{"account_sid": killSID, "auth_token": killToken, "base_url": carrier, "agreement": "baa"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

var (
	killSID   = "AC" + strings.Repeat("a", 32)
	killToken = "kill-test-token"
)

// TestKilledAnywhereLosesNothingAndRepeatsNothing kills the gateway again and again
// while messages are taken in and sent. Everything that was accepted ends with a
// recorded outcome; nobody gets a message twice, unless its repeat is on record.
func TestKilledAnywhereLosesNothingAndRepeatsNothing(t *testing.T) {
	carrier := sandbox.New(sandbox.Options{AccountSID: killSID, AuthToken: killToken, SendGridKey: "SG.test"})
	defer carrier.Close()
	web := httptest.NewServer(carrier.Handler())
	defer web.Close()
	c := newChild(t, web.URL)
	c.start()
	ids, cut := map[string]string{}, 0 // by number
	for round := range *kills {
		accepted := make(chan [2]string, perRound)
		stop := make(chan struct{})
		go func() {
			defer close(accepted)
			for i := range perRound {
				select {
				case <-stop:
					return
				default:
				}
				number := fmt.Sprintf("+1303555%04d", 1000+round*perRound+i)
				id, _ := c.sendOne(number) // killed before it answered: asked again below
				accepted <- [2]string{number, id}
			}
		}()
		<-time.After(time.Duration(20+rand.IntN(400)) * time.Millisecond) // somewhere in the middle of it
		c.kill()
		close(stop)
		c.start()
		for a := range accepted {
			if a[1] == "" { // the caller asks again, with the same key
				cut++
				var err error
				if a[1], err = c.sendOne(a[0]); err != nil {
					t.Fatalf("asked again: %v", err)
				}
			}
			ids[a[0]] = a[1]
		}
	}
	final := map[string]bool{"delivered": true, "sent": true, "needs_staff": true}
	eventuallyUntil(t, time.Now().Add(2*time.Minute), "every accepted message has an outcome", func() bool {
		for _, id := range ids {
			if m := c.message(id); m == nil || !final[fmt.Sprint(m["status"])] {
				return false
			}
		}
		return true
	})
	got := map[string]int{}
	for _, m := range carrier.Messages() {
		got[m.To]++
	}
	repeats := 0
	for number, id := range ids {
		m := c.message(id)
		again := strings.Contains(fmt.Sprint(m["events"]), "tried_once_more")
		if n := got[number]; n == 0 && m["status"] != "needs_staff" || n > 1 && !again || n > 2 {
			t.Errorf("%d arrived: %v", n, m)
		}
		if again {
			repeats++
		}
	}
	t.Logf("%d kills, %d messages accepted, %d of them asked for again after a kill, %d tried once more on record", *kills, len(ids), cut, repeats)
	if len(ids) < *kills {
		t.Error("too few messages were under way: it proves nothing")
	}
	c.cmd.Process.Signal(syscall.SIGTERM)
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("it did not end well: %v\n%s", err, c.log)
	}
}

// sendOne puts a patient on file and accepts one message.
func (c *child) sendOne(number string) (string, error) {
	patient := "k" + number[len(number)-4:]
	if _, err := c.post("/v1/patients/"+patient, "put-"+patient, map[string]any{
		"birth_date": "1980-04-02", "time_zone": "America/Denver", "addresses": []map[string]any{{"kind": "phone", "value": number}},
	}); err != nil {
		return "", err
	}
	answer, err := c.post("/v1/messages", "send-"+patient, reminder(patient))
	if err != nil {
		return "", err
	}
	return answer["id"].(string), nil
}
