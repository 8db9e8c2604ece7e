package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1" // Twilio's choice; HMAC does not need a hash without collisions
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"harmonize.care/heed/channels"
)

// messageCallers and stopCallers are how many ask at once.
const (
	messageCallers = 64
	stopCallers    = 16
)

// messages sends single messages over HTTP: taken in durably before 202, decided, claimed
// under the fence, handed to the provider and recorded.
func (b *bench) messages(ctx context.Context) error {
	patients := min(1000, b.scale.messages)
	if err := b.enrolUpTo(ctx, patients); err != nil {
		return err
	}
	client := callerOf(messageCallers)
	defer client.CloseIdleConnections()
	for range b.scale.Runs {
		if err := b.commitRate(ctx, stopCallers); err != nil {
			return err
		}
		if err := b.manyMessages(ctx, client, patients); err != nil {
			return err
		}
		if err := b.oneMessage(ctx, client, patients); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) manyMessages(ctx context.Context, client *http.Client, patients int) error {
	n := b.scale.messages
	before, err := b.carrier.taken(ctx, 0)
	if err != nil {
		return err
	}
	waits := &waits{}
	var took time.Duration
	used, err := spending(func() error {
		began := time.Now()
		err := sideBySide(ctx, messageCallers, n, func(ctx context.Context, i int) error {
			defer waits.since(time.Now())
			return b.postMessage(ctx, client, i%patients)
		})
		if err == nil {
			err = b.hasTexts(ctx, before.Texts+int64(n))
		}
		took = time.Since(began)
		return err
	})
	if err != nil {
		return err
	}
	b.figure(figure{
		Name: "messages", What: "single messages, durable before 202, to the provider, 64 callers", Unit: "messages/s", Of: fmt.Sprintf("commits_%d", stopCallers), Aim: b.onPostgres(goal{AtLeast: 8000}),
	}).addSpent(float64(n)/took.Seconds(), used, n)
	b.figure(figure{Name: "messages_answer", What: "… until 202, the median call", Unit: "ms"}).add(waits.quantile(0.5))
	return nil
}

// oneMessage takes the time of one message alone, from the call's begin to the provider.
func (b *bench) oneMessage(ctx context.Context, client *http.Client, patients int) error {
	waits := &waits{}
	for i := range b.scale.quiet {
		before, err := b.carrier.taken(ctx, 0)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := b.postMessage(ctx, client, i%patients); err != nil {
			return err
		}
		if err := b.hasTexts(ctx, before.Texts+1); err != nil {
			return err
		}
		waits.since(began)
	}
	b.figure(figure{Name: "message_alone", What: "one message alone, from the call to the provider, the median", Unit: "ms"}).add(waits.quantile(0.5))
	return nil
}

func (b *bench) hasTexts(ctx context.Context, n int64) error {
	return until(ctx, 5*time.Minute, "the provider has every message", func() (bool, error) {
		t, err := b.carrier.taken(ctx, n)
		return t.Texts >= n, err
	})
}

func (b *bench) postMessage(ctx context.Context, client *http.Client, n int) error {
	body, err := json.Marshal(map[string]any{
		"patient": refOf(n), "category": "appointment_reminder", "template": "appointment_reminder", "urgent": true,
		"variables": map[string]string{"appointment_time": "2037-01-07T10:30:00-07:00", "location": "Bench Practice"},
	})
	if err != nil {
		return err
	}
	return b.post(ctx, client, "/v1/messages", http.StatusAccepted, body, map[string]string{"Content-Type": "application/json", "Authorization": "Bearer " + b.cfg.Auth.AdminKey})
}

func (b *bench) post(ctx context.Context, client *http.Client, path string, want int, body []byte, header map[string]string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.loopback()+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	got, err := client.Do(r)
	if err != nil {
		return err
	}
	defer got.Body.Close()
	if _, err := io.Copy(io.Discard, got.Body); err != nil {
		return err
	}
	if got.StatusCode != want {
		return fmt.Errorf("%s answered %d", path, got.StatusCode)
	}
	return nil
}

func callerOf(at int) *http.Client {
	t := transport()
	t.MaxIdleConnsPerHost = at
	return &http.Client{Transport: t, Timeout: time.Minute}
}

// waits are how long calls took.
type waits struct {
	mu   sync.Mutex
	list []time.Duration
}

func (w *waits) since(began time.Time) {
	took := time.Since(began)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, took)
}

// quantile is in milliseconds.
func (w *waits) quantile(part float64) float64 {
	return float64(quantile(w.list, part).Microseconds()) / 1000
}

// takeStops lets people answer STOP, each a webhook signed as Twilio signs it, and answered
// when the stop is durable and nothing of the patient is under way any more.
func (b *bench) stops(ctx context.Context) error {
	client := callerOf(stopCallers)
	defer client.CloseIdleConnections()
	perRun := b.scale.stops + b.scale.quiet
	if err := b.enrol(ctx, stoppers, stoppers+perRun*b.scale.Runs); err != nil {
		return err
	}
	for run := range b.scale.Runs {
		from := stoppers + run*perRun
		if err := b.commitRate(ctx, stopCallers); err != nil {
			return err
		}
		if err := b.manyStops(ctx, client, from); err != nil {
			return err
		}
		waits := &waits{}
		for i := range b.scale.quiet {
			began := time.Now()
			if err := b.textStop(ctx, client, from+b.scale.stops+i); err != nil {
				return err
			}
			waits.since(began)
		}
		b.figure(figure{Name: "stop_alone_p99", What: "… one after the other, answered within, 99 of 100", Unit: "ms", Aim: &goal{AtMost: 50}}).add(waits.quantile(0.99))
	}
	return nil
}

// manyStops takes stops of 16 callers, and waits for their confirmations before it ends.
func (b *bench) manyStops(ctx context.Context, client *http.Client, from int) error {
	n := b.scale.stops
	before, err := b.carrier.taken(ctx, 0)
	if err != nil {
		return err
	}
	waits := &waits{}
	var took time.Duration
	used, err := spending(func() error {
		began := time.Now()
		err := sideBySide(ctx, stopCallers, n, func(ctx context.Context, i int) error {
			defer waits.since(time.Now())
			return b.textStop(ctx, client, from+i)
		})
		took = time.Since(began)
		return err
	})
	if err != nil {
		return err
	}
	b.figure(figure{
		Name: "stops", What: "STOP taken in, durable and waited for, 16 callers", Unit: "stops/s", Of: fmt.Sprintf("commits_%d", stopCallers), Aim: b.onPostgres(goal{Ratio: 0.2}),
	}).addSpent(float64(n)/took.Seconds(), used, n)
	b.figure(figure{Name: "stop_p50", What: "… answered within, the median", Unit: "ms"}).add(waits.quantile(0.5))
	b.figure(figure{Name: "stop_p99", What: "… answered within, 99 of 100", Unit: "ms", Aim: &goal{AtMost: 50}}).add(waits.quantile(0.99))
	return b.hasTexts(ctx, before.Texts+int64(n))
}

func (b *bench) textStop(ctx context.Context, client *http.Client, n int) error {
	twilio, id := b.cfg.Providers.Twilio, fmt.Sprintf("SM%032x", n)
	form := url.Values{
		"AccountSid": {twilio.AccountSID}, "ApiVersion": {"2010-04-01"}, "Body": {"STOP"}, "From": {phoneOf(n)}, "To": {b.cfg.Programs[channels.Care].SMSFrom},
		"MessageSid": {id}, "SmsMessageSid": {id}, "SmsSid": {id}, "SmsStatus": {"received"}, "NumMedia": {"0"}, "NumSegments": {"1"}, "FromCountry": {"US"},
	}
	const path = "/webhooks/twilio/sms"
	return b.post(ctx, client, path, http.StatusOK, []byte(form.Encode()), map[string]string{
		"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signedAsTwilio(twilio.AuthToken, benchURL+path, form),
	})
}

// signedAsTwilio signs a webhook: https://www.twilio.com/docs/usage/webhooks/webhooks-security
func signedAsTwilio(token, to string, form url.Values) string {
	mac := hmac.New(sha1.New, []byte(token))
	text := strings.Builder{}
	text.WriteString(to)
	for _, name := range slices.Sorted(maps.Keys(form)) {
		text.WriteString(name + strings.Join(form[name], name))
	}
	_, _ = io.WriteString(mac, text.String()) // a hash takes everything
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
