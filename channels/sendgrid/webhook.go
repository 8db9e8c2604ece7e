package sendgrid

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"harmonize.care/heed/channels"
)

const (
	maxBody   = 8 << 20         // bytes of one call
	maxEvents = 10_000          // of one call; SendGrid sends some hundred
	maxSkew   = 5 * time.Minute // how far a call's timestamp may be off our clock
)

// readKey reads the key that checks events; nil without one.
func readKey(text string) (*ecdsa.PublicKey, error) {
	if text == "" {
		return nil, nil
	}
	der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if block, _ := pem.Decode([]byte(text)); block != nil {
		der, err = block.Bytes, nil
	}
	if err != nil {
		return nil, errors.New("sendgrid: the webhook's public key must be the verification key as SendGrid shows it, or PEM")
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	key, ok := parsed.(*ecdsa.PublicKey)
	if err != nil || !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("sendgrid: the webhook's public key must be an ECDSA key on the curve P-256")
	}
	return key, nil
}

// Read checks and reads a call of the event webhook:
// https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
//
// Events come unordered, and again for a day until we take them; what is known
// already changes nothing, by Delivery.EventID.
func (a *Adapter) Read(w channels.Webhook, now time.Time) (channels.Heard, error) {
	header := http.Header(w.Header)
	stamp := header.Get("X-Twilio-Email-Event-Webhook-Timestamp")
	if !a.signed(header.Get("X-Twilio-Email-Event-Webhook-Signature"), stamp, w.Body) || !fresh(stamp, now) {
		return channels.Heard{}, channels.ErrForged
	}
	if len(w.Body) > maxBody {
		return channels.Heard{}, errors.New("sendgrid: the call is too large")
	}
	var heard channels.Heard
	in := json.NewDecoder(bytes.NewReader(w.Body))
	if begin, err := in.Token(); err != nil || begin != json.Delim('[') {
		return channels.Heard{}, errNoEvents
	}
	for n := 1; in.More(); n++ {
		if n > maxEvents {
			return channels.Heard{}, errors.New("sendgrid: the call has too many events")
		}
		var raw json.RawMessage
		var e event
		if in.Decode(&raw) != nil || json.Unmarshal(raw, &e) != nil {
			return channels.Heard{}, errNoEvents // the decoder's words may quote an address
		}
		if d, ok := e.delivery(raw, now); ok {
			heard.Deliveries = append(heard.Deliveries, d)
		}
	}
	if end, err := in.Token(); err != nil || end != json.Delim(']') {
		return channels.Heard{}, errNoEvents
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return channels.Heard{}, errNoEvents
	}
	return heard, nil
}

var errNoEvents = errors.New("sendgrid: the call is no list of events")

// signed checks a signature: ECDSA over SHA-256 of timestamp and body, ASN.1 in
// base64:
// https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
func (a *Adapter) signed(signature, stamp string, body []byte) bool {
	given, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || a.public == nil {
		return false
	}
	hash := sha256.New()
	hash.Write([]byte(stamp))
	hash.Write(body)
	return ecdsa.VerifyASN1(a.public, hash.Sum(nil), given)
}

func fresh(stamp string, now time.Time) bool {
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	return err == nil && seconds >= now.Add(-maxSkew).Unix() && seconds <= now.Add(maxSkew).Unix()
}
