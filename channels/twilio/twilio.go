// Package twilio carries texts and calls over Twilio's REST API, reads its
// webhooks, says what is spoken in a call, and asks it what became of a message
// or which texts came in:
// https://www.twilio.com/docs/messaging/api/message-resource
// https://www.twilio.com/docs/voice/api/call-resource
//
// twilio-go writes and reads the wire format. The call itself is made here (see
// call), because the library's own client knows no context, leaves the bodies of
// errors open and reads settings from the environment.
package twilio

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"

	"harmonize.care/heed/channels"
)

// Options set up an Adapter.
type Options struct {
	AccountSID        string
	AuthToken         string // signs in, and checks webhooks
	PreviousAuthToken string // checks webhooks while a token is being changed; may be empty
	// BaseURL leads to another host than Twilio's; plain http is taken on this
	// machine only. Empty: https://api.twilio.com.
	BaseURL string
	// StatusCallback is the public URL for status callbacks; the attempt rides in
	// its query. Empty: no callbacks are asked for.
	StatusCallback string
	// From is the number each program texts from (E.164). MessagingService is the
	// messaging service a program uses instead; where both are set the service
	// goes out, and From still says where texts come in.
	From             map[channels.Program]string
	MessagingService map[channels.Program]string
	// VoiceFrom is the number each program calls from (E.164). VoiceURL is the public
	// URL that Twilio asks what to say in a call. Calls need both.
	VoiceFrom map[channels.Program]string
	VoiceURL  string
	// HTTP gives its Transport. Its other settings are not used: a call is bounded
	// by its context.
	HTTP *http.Client
}

// Adapter sends texts and calls through one Twilio account and reads what it says. It is
// safe for concurrent use. Without account and token it sends nothing, lists
// nothing and believes no webhook.
type Adapter struct {
	account  string
	token    string
	previous string
	base     *url.URL
	accounts *url.URL // where consents are kept
	callback *url.URL // nil: none
	from     map[channels.Program]string
	service  map[channels.Program]string
	caller   map[channels.Program]string
	voice    *url.URL // nil: none
	http     *http.Client
}

// What the adapter can do.
var (
	_ channels.Adapter       = (*Adapter)(nil)
	_ channels.Finder        = (*Adapter)(nil)
	_ channels.InboxReader   = (*Adapter)(nil)
	_ channels.Dater         = (*Adapter)(nil)
	_ channels.WebhookReader = (*Adapter)(nil)
	_ channels.OptOutKeeper  = (*Adapter)(nil)
	_ channels.Telephone     = (*Adapter)(nil)
)

// New makes an adapter. It makes no call; errors are about the options.
func New(o Options) (*Adapter, error) {
	a := &Adapter{
		account: o.AccountSID, token: o.AuthToken, previous: o.PreviousAuthToken,
		from: maps.Clone(o.From), service: maps.Clone(o.MessagingService), caller: maps.Clone(o.VoiceFrom),
		http: &http.Client{
			// A redirected POST would be a second one, perhaps to somebody else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if o.HTTP != nil {
		a.http.Transport = o.HTTP.Transport
	}
	// The account stands in paths that twilio-go does not escape.
	if strings.ContainsFunc(o.AccountSID, func(r rune) bool { return !alphanumeric(r) }) {
		return nil, errors.New("twilio: the account SID must be letters and digits alone, as Twilio shows it")
	}
	var err error
	if a.base, err = readBase(o.BaseURL); err != nil {
		return nil, err
	}
	a.accounts = a.base
	if o.BaseURL == "" {
		a.accounts = &url.URL{Scheme: "https", Host: "accounts.twilio.com"}
	}
	if a.callback, err = readHook("status callback", o.StatusCallback); err != nil {
		return nil, err
	}
	if a.voice, err = readHook("voice URL", o.VoiceURL); err != nil {
		return nil, err
	}
	return a, nil
}

// readHook reads a URL that Twilio is to call; nil for none.
func readHook(name, text string) (*url.URL, error) {
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Fragment != "" {
		return nil, errors.New("twilio: the " + name + " must be a whole URL without a fragment")
	}
	return u, nil
}

func alphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
}

// readBase reads where the calls go. The token travels with each, so it may
// cross no network in the clear.
func readBase(text string) (*url.URL, error) {
	if text == "" {
		text = "https://api.twilio.com"
	}
	u, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("twilio: the base URL must be https://host, perhaps with a path, and nothing else")
	}
	if u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()) {
		return u, nil
	}
	return nil, fmt.Errorf("twilio: the base URL must be https://, or http:// on this machine, but it is %s://", u.Scheme)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
