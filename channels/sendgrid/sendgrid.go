// Package sendgrid carries email over SendGrid's v3 API and reads its event
// webhook: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
//
// sendgrid-go writes the wire format. Its own client is not used: it keeps the
// body of the last request on itself, so that two calls at once may mix two
// patients' mails.
//
// There is no channels.Finder: what became of a mail can be looked up only with
// SendGrid's paid Email Activity API, and then by words that patients read. An
// outcome that was lost is settled by the events, which carry the attempt.
package sendgrid

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/mail"
	"net/url"
	"strings"

	"harmonize.care/heed/channels"
)

// Options set up an Adapter.
type Options struct {
	APIKey string
	// BaseURL leads to another host than SendGrid's, such as its European one;
	// plain http is taken on this machine only. Empty: https://api.sendgrid.com.
	BaseURL string
	// WebhookPublicKey checks events: the verification key as SendGrid's console
	// shows it (base64 of the DER form), or PEM. Empty: no event is believed.
	WebhookPublicKey string
	// ASMGroup is the unsubscribe group of marketing mails. 0: none.
	ASMGroup int
	// From is the bare mailbox each program writes from.
	From map[channels.Program]string
	// FromName stands beside the mailbox; may be empty.
	FromName string
	// HTTP gives its Transport. Its other settings are not used: a call is bounded
	// by its context.
	HTTP *http.Client
}

// Adapter sends mail through one SendGrid account and reads what it says. It is
// safe for concurrent use. Without a key it sends nothing.
type Adapter struct {
	key      string
	base     string
	public   *ecdsa.PublicKey // nil: no event is believed
	group    int
	from     map[channels.Program]string
	fromName string
	http     *http.Client
}

// What the adapter can do.
var (
	_ channels.Adapter       = (*Adapter)(nil)
	_ channels.WebhookReader = (*Adapter)(nil)
	_ channels.BatchSender   = (*Adapter)(nil)
	_ channels.OptOutKeeper  = (*Adapter)(nil)
	_ channels.OptOutReader  = (*Adapter)(nil)
)

// New makes an adapter. It makes no call; errors are about the options.
func New(o Options) (*Adapter, error) {
	a := &Adapter{
		key: o.APIKey, group: o.ASMGroup, from: maps.Clone(o.From), fromName: o.FromName,
		http: &http.Client{
			// A redirected POST would be a second one, perhaps to somebody else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if o.HTTP != nil {
		a.http.Transport = o.HTTP.Transport
	}
	// The key stands in a header.
	if strings.ContainsFunc(o.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("sendgrid: the API key must be letters, digits and signs without spaces, as SendGrid shows it")
	}
	if o.ASMGroup < 0 {
		return nil, errors.New("sendgrid: the unsubscribe group must be the number that SendGrid shows, or 0 for none")
	}
	if !oneLine(o.FromName) {
		return nil, errors.New("sendgrid: the sender's name must be on one line")
	}
	for _, p := range channels.Programs {
		box := o.From[p]
		if parsed, err := mail.ParseAddress(box); box != "" && (err != nil || parsed.Address != box) {
			return nil, fmt.Errorf("sendgrid: program %s must write from a bare mailbox, such as care@example.org", p)
		}
	}
	base, err := readBase(o.BaseURL)
	if err != nil {
		return nil, err
	}
	a.base = base
	a.public, err = readKey(o.WebhookPublicKey)
	return a, err
}

// oneLine says whether a text can stand in a header without beginning another.
func oneLine(text string) bool { return !strings.ContainsAny(text, "\r\n\x00") }

// readBase reads where the calls go. The key travels with each, so it may cross
// no network in the clear.
func readBase(text string) (string, error) {
	if text == "" {
		text = "https://api.sendgrid.com"
	}
	text = strings.TrimRight(text, "/")
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("sendgrid: the base URL must be https://host, perhaps with a path, and nothing else")
	}
	if u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()) {
		return text, nil
	}
	return "", fmt.Errorf("sendgrid: the base URL must be https://, or http:// on this machine, but it is %s://", u.Scheme)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
