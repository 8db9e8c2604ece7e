package gateway

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Endpoint is another system's address that outgoing events are sent to.
type Endpoint struct {
	ID       int64
	To       EndpointTo
	Types    []EventType // none: every type
	Created  time.Time
	Disabled time.Time // zero: in use
	Why      string    // why it is disabled: staff, or gone (it answered 410)
}

// EndpointTo is the part that is sealed at rest: an address may carry a token.
type EndpointTo struct {
	URL         string   `json:"url"`
	Description string   `json:"description,omitempty"`
	Secrets     []Secret `json:"secrets"` // the one in force first
}

// Secret signs what goes to an endpoint.
type Secret struct {
	Text  string    `json:"text"`           // whsec_ and base64
	Until time.Time `json:"until,omitzero"` // zero: in force
}

// Why an endpoint is disabled.
const (
	DisabledByStaff = "staff"
	EndpointGone    = "gone"
)

// Bounds of endpoints. Every event is matched against each.
const (
	MaxEndpoints = 20
	maxURL       = 2000
	maxSecrets   = 5
)

// secretOverlap is how long the secret before still signs too.
const secretOverlap = 24 * time.Hour

// Check says what is wrong with an endpoint, field by field.
func (e *Endpoint) Check() error {
	var wrong Invalid
	if !goodURL(e.To.URL) {
		wrong = append(wrong, Mistake{"url", "must be https://host with a path where needed, without a user or a fragment; http only on this machine"})
	}
	if len([]rune(e.To.Description)) > 200 {
		wrong = append(wrong, Mistake{"description", "must be at most 200 characters"})
	}
	known := EventTypes()
	for _, t := range e.Types {
		if !slices.Contains(known, t) {
			wrong = append(wrong, Mistake{"types", "must be types of outgoing events, such as message.delivered; none at all means every type"})
			break
		}
	}
	return wrong.Or()
}

// goodURL looks at the form. Where the host leads is looked at when it is dialled:
// a name may lead elsewhere by then.
func goodURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxURL || u.Hostname() == "" || u.User != nil || strings.Contains(text, "#") {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && onThisMachine(u.Hostname())
}

func onThisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Wants says whether the endpoint asked for a type and is in use.
func (e *Endpoint) Wants(t EventType) bool {
	return e.Disabled.IsZero() && (len(e.Types) == 0 || slices.Contains(e.Types, t))
}

// Rotate puts a new secret in force; the one before signs too for a day, so that the
// receiver can change over at its own time.
func (e *Endpoint) Rotate(secret string, now time.Time) error {
	live := e.signing(now)
	if len(live) == maxSecrets {
		return Wrong("secret", "was changed too often within a day; wait until the oldest has ended")
	}
	next := []Secret{{Text: secret}}
	for _, s := range live {
		if s.Until.IsZero() {
			s.Until = now.Add(secretOverlap).UTC()
		}
		next = append(next, s)
	}
	e.To.Secrets = next
	return nil
}

// Signing gives the secrets that sign at a moment, the one in force first.
func (e *Endpoint) Signing(now time.Time) []string {
	var list []string
	for _, s := range e.signing(now) {
		list = append(list, s.Text)
	}
	return list
}

func (e *Endpoint) signing(now time.Time) []Secret {
	var live []Secret
	for _, s := range e.To.Secrets {
		if s.Until.IsZero() || now.Before(s.Until) {
			live = append(live, s)
		}
	}
	return live
}

// Disable takes an endpoint out of use; the first reason stays.
func (e *Endpoint) Disable(why string, now time.Time) {
	if e.Disabled.IsZero() {
		e.Disabled, e.Why = now, why
	}
}

// Enable puts an endpoint back in use.
func (e *Endpoint) Enable() { e.Disabled, e.Why = time.Time{}, "" }
