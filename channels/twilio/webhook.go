package twilio

import (
	"crypto/hmac"
	"crypto/sha1" // Twilio's choice; HMAC does not need a hash without collisions
	"encoding/base64"
	"errors"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"harmonize.care/heed/channels"
)

// Read checks and reads a webhook about an inbound text, or about the status of a
// text or a call of ours; the fields tell which. A signed one of another kind
// gives an error.
//
// Twilio signs no time, so that an old call with its signature stays good. It
// does no harm: Inbound.ID and Delivery.EventID are the same again, and what is
// known already changes nothing.
func (a *Adapter) Read(w channels.Webhook, now time.Time) (channels.Heard, error) {
	form, err := a.open(w)
	if err != nil {
		return channels.Heard{}, err
	}
	switch {
	case form.Get("CallSid") != "":
		return heardCallStatus(w.URL, form, now), nil
	case form.Get("MessageSid") == "":
		return channels.Heard{}, errors.New("twilio: the call names no message")
	case form.Has("MessageStatus"):
		return heardStatus(w.URL, form, now), nil
	case form.Has("From") && form.Has("To") && form.Has("Body"):
		return channels.Heard{Inbound: []channels.Inbound{{
			ID: form.Get("MessageSid"), From: form.Get("From"), To: form.Get("To"), Body: form.Get("Body"),
			Service: form.Get("MessagingServiceSid"), OptOut: form.Get("OptOutType"), At: now,
		}}}, nil
	}
	return channels.Heard{}, errors.New("twilio: the call is neither a text nor a status")
}

// open gives the fields of a webhook that Twilio has signed for our account.
func (a *Adapter) open(w channels.Webhook) (url.Values, error) {
	header := http.Header(w.Header)
	if kind, _, err := mime.ParseMediaType(header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, channels.ErrForged
	}
	form, err := url.ParseQuery(string(w.Body))
	if err != nil || !a.signed(w.URL, form, header.Get("X-Twilio-Signature")) || form.Get("AccountSid") != a.account {
		return nil, channels.ErrForged
	}
	return form, nil
}

// heardStatus reads a status callback. They come unordered and more than once:
// https://www.twilio.com/docs/messaging/guides/track-outbound-message-status
func heardStatus(at string, form url.Values, now time.Time) channels.Heard {
	sid, word := form.Get("MessageSid"), form.Get("MessageStatus")
	status := statuses[word]
	if status == 0 {
		return channels.Heard{}
	}
	d := channels.Delivery{
		EventID: sid + ":" + word, Attempt: attemptOf(at), ProviderID: sid, Status: status,
		Code: form.Get("ErrorCode"), From: form.Get("From"), To: form.Get("To"), At: now,
	}
	if status == channels.Failed {
		code, _ := strconv.Atoi(d.Code) // no number, no code
		d.Kind = kindOf(code)
	}
	return channels.Heard{Deliveries: []channels.Delivery{d}}
}

// attemptOf gives our attempt as it rode in the callback's URL, which Twilio has
// signed; 0 when it is not there.
func attemptOf(at string) int64 { return numberIn(at, attemptKey) }

// numberIn gives a number of a URL's query, or 0 when none that we wrote is there.
func numberIn(at, key string) int64 {
	u, err := url.Parse(at)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(u.Query().Get(key), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// signed checks a signature: base64 of HMAC-SHA1, under the auth token, over the
// whole URL and each name and value, sorted by name:
// https://www.twilio.com/docs/usage/webhooks/webhooks-security
func (a *Adapter) signed(at string, form url.Values, signature string) bool {
	given, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return false
	}
	ok := false
	for _, token := range []string{a.token, a.previous} {
		if token == "" {
			continue // no token vouches for nothing
		}
		for _, address := range spellings(at) {
			for _, fields := range []string{pairs(form, true), pairs(form, false)} {
				mac := hmac.New(sha1.New, []byte(token))
				mac.Write([]byte(address + fields))
				ok = hmac.Equal(mac.Sum(nil), given) || ok
			}
		}
	}
	return ok
}

// pairs writes every name and value, sorted by name. Where a name repeats,
// Twilio's own libraries take each different value once, in order; its page
// speaks of every value as it came. Both count.
func pairs(form url.Values, distinct bool) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(form)) {
		values := form[name]
		if distinct {
			values = slices.Compact(slices.Sorted(slices.Values(values)))
		}
		for _, v := range values {
			b.WriteString(name + v)
		}
	}
	return b.String()
}

// spellings gives the URL as it is, and with or without the port: Twilio signs
// the one or the other. The rest must stay letter for letter, so that it is not
// taken apart.
func spellings(at string) []string {
	scheme, rest, ok := strings.Cut(at, "://")
	if !ok {
		return []string{at}
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, tail := rest[:end], rest[end:]
	colon := strings.LastIndexByte(host, ':')
	switch {
	case colon > strings.LastIndexByte(host, ']'):
		return []string{at, scheme + "://" + host[:colon] + tail}
	case scheme == "https":
		return []string{at, scheme + "://" + host + ":443" + tail}
	}
	return []string{at, scheme + "://" + host + ":80" + tail}
}
