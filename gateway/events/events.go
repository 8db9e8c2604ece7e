// Package events sends what happened to the endpoints of other systems, signed as
// Standard Webhooks say, each delivery one try at a time.
package events

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"code.dny.dev/ssrf"
	// standard-webhooks: the scheme's own library, which receivers verify with too.
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"harmonize.care/heed/gateway"
)

// Store reads what is to be sent and keeps what came of it.
type Store interface {
	// Outgoing gives gateway.ErrNotFound when the delivery, its event or its endpoint is gone.
	Outgoing(ctx context.Context, delivery int64) (*gateway.Delivery, *gateway.Happening, *gateway.Endpoint, error)
	Tried(ctx context.Context, d gateway.Delivery) error
	ChangeEndpoint(ctx context.Context, c gateway.Change, id int64, judge func(*gateway.Endpoint) error) (gateway.Kept, error)
}

// Sender carries deliveries out.
type Sender struct {
	store  Store
	client *http.Client
	now    func() time.Time // the gateway's clock: when the next try is due
	wall   func() time.Time // the world's clock: receivers refuse a signature that is minutes old
	agent  string
}

// New makes a sender. The two clocks differ only in the sandbox, whose clock moves.
func New(store Store, g Guard, now, wall func() time.Time, version string) *Sender {
	return &Sender{store: store, client: g.client(), now: now, wall: wall, agent: "Heed/" + version}
}

// NewSecret makes a signing secret of 256 random bits.
func NewSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails: it ends the process instead
	return "whsec_" + base64.StdEncoding.EncodeToString(b)
}

// Deliver makes one try, and keeps what came of it. An error is a fault of our own:
// the delivery is tried again when its time is over.
func (s *Sender) Deliver(ctx context.Context, id int64) error {
	d, event, endpoint, err := s.store.Outgoing(ctx, id)
	if errors.Is(err, gateway.ErrNotFound) {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	if d.Status != gateway.DeliveryQueued || !s.now().Before(d.Due) {
		return nil // given up, delivered, or another job has it by now
	}
	code, err := s.send(ctx, event, endpoint)
	if err != nil {
		return err
	}
	kept := context.WithoutCancel(ctx) // the try was made: what came of it is kept in any case
	if ctx.Err() != nil && code == noAnswer {
		// We end, not the receiver: this was no try.
		d.Status, d.Due = gateway.DeliveryPending, s.now()
		return s.store.Tried(kept, *d)
	}
	s.judge(d, code)
	if err := s.store.Tried(kept, *d); err != nil || code != strconv.Itoa(http.StatusGone) {
		return err
	}
	// "410 Gone: the consumer does not want to receive it any more", says the standard.
	_, err = s.store.ChangeEndpoint(kept, gateway.Change{
		At: s.now(), Actor: "heed", Audit: []gateway.Audit{{Verb: "webhook.gone", Object: "webhook:" + strconv.FormatInt(endpoint.ID, 10)}},
	}, endpoint.ID, func(e *gateway.Endpoint) error {
		e.Disable(gateway.EndpointGone, s.now())
		return nil
	})
	if errors.Is(err, gateway.ErrNotFound) {
		return nil
	}
	return err
}

// judge says how a delivery goes on after a try.
func (s *Sender) judge(d *gateway.Delivery, code string) {
	now := s.now()
	d.Tries++
	d.Code = code
	wait, again := gateway.RetryAfter(d.Tries)
	switch {
	case len(code) == 3 && code[0] == '2':
		d.Status, d.Ended = gateway.DeliveryDelivered, now
	case !again || code == strconv.Itoa(http.StatusGone):
		d.Status, d.Ended = gateway.DeliveryDead, now
	default:
		d.Status, d.Due = gateway.DeliveryPending, now.Add(wait)
	}
}

// What came of a try, where there is no HTTP status to tell.
const (
	noAnswer       = "no_answer"
	addressRefused = "address_refused" // the guard said no
)

// maxAnswer is how much of an answer is read, so that the connection can be used
// again. What it says is of no interest.
const maxAnswer = 8 << 10

// send makes one call and gives its outcome as a code. The address is in no error: it
// may carry a token.
func (s *Sender) send(ctx context.Context, event *gateway.Happening, endpoint *gateway.Endpoint) (string, error) {
	body, err := event.Payload()
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint.To.URL, bytes.NewReader(body))
	if err != nil {
		return addressRefused, nil // it cannot be dialled; the error would repeat it
	}
	if err := s.sign(r, event.Name(), body, endpoint); err != nil {
		return "", err
	}
	answer, err := s.client.Do(r)
	switch {
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedNetwork):
		return addressRefused, nil
	case err != nil:
		return noAnswer, nil
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer) // the status has said everything
	return strconv.Itoa(answer.StatusCode), nil
}

// sign puts the three headers on: one signature for each secret that is in force.
func (s *Sender) sign(r *http.Request, id string, body []byte, endpoint *gateway.Endpoint) error {
	at := s.wall()
	var signatures []string
	for _, secret := range endpoint.Signing(s.now()) {
		w, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return errors.New("a signing secret cannot be read")
		}
		signature, err := w.Sign(id, at, body)
		if err != nil {
			return err
		}
		signatures = append(signatures, signature)
	}
	r.Header.Set(standardwebhooks.HeaderWebhookID, id)
	r.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	r.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", s.agent)
	return nil
}
