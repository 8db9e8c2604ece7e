// Package sandbox is the pretend carrier. It speaks Twilio's and SendGrid's
// wire formats, so that the production adapters run against it unchanged, signs
// its webhooks as they do, has addresses that fail on demand (Failures), and
// serves a page that shows every pretend phone and mailbox, where a person can
// answer, press a key or click a link.
//
// It calls only the webhook URLs it is given, the status-callback URLs of the
// messages it took, and the one-click links inside them, all through the client
// passed in. It looks nothing up and refuses nothing: who hands it a URL beyond
// this host makes it call there.
package sandbox

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"html/template"
	"io"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"harmonize.care/heed/channels"
)

// keep is how many messages the sandbox remembers; older ones are forgotten.
const keep = 2000

// Webhooks are the URLs the sandbox calls, as a carrier's console holds them.
// An empty URL is never called.
type Webhooks struct {
	SMS            string // inbound texts
	Status         string // status callbacks of messages that name none themselves
	Voice          string // calls to our numbers, and keys in a call whose script names no action
	SendGridEvents string // the event webhook
}

// Options set up a Sandbox.
type Options struct {
	AccountSID, AuthToken string            // what Twilio calls must authenticate with; AuthToken signs the webhooks
	SendGridKey           string            // what SendGrid calls must carry as bearer
	SendGridSigning       *ecdsa.PrivateKey // P-256, signs SendGrid's events; made when nil
	Webhooks              Webhooks
	OptOutLine            string            // the toll-free number that people call to opt out, for the page
	Programs              map[string]string // our own numbers (E.164) → program name; empty: every sender is taken
	ASMGroup              int               // the one unsubscribe group that SendGrid has; 0: none
	Clock                 *Clock            // lets the page move the time; nil: it cannot be moved
	Now                   func() time.Time  // used without Clock; nil: the host's clock
	Rand                  io.Reader         // seeds ids and the signing key; nil: crypto/rand
	Client                *http.Client      // makes every outgoing call; nil: a plain one
}

// Message is one text, call or mail as a carrier sees it.
type Message struct {
	ID         string // SM…, CA…, or SendGrid's sg_message_id
	Channel    channels.Channel
	Inbound    bool
	From, To   string // E.164, or mailboxes
	Service    string // messaging service SID, if one was used
	Subject    string // email only
	Body       string // the text; for a call what was spoken, a line for each <Say>, with the keys in [ ]
	HTML       string // email only
	Headers    map[string]string
	Args       map[string]string // SendGrid's custom_args
	Files      []channels.Attachment
	Status     string // in the provider's own words
	ErrorCode  int    // Twilio's, 0: none
	Callback   string // the StatusCallback URL
	OneClick   string // what the last one-click unsubscribe was answered
	Created    time.Time
	Updated    time.Time
	Sent       time.Time // zero until it left; of a call, until it was answered
	Validity   time.Duration
	suppressed bool      // SendGrid drops it: the person stands on its list
	AnsweredBy string    // calls: who took it, where that was asked for
	Pressed    string    // calls: the keys
	Ended      time.Time // calls: zero while it is up
	call       *line
}

// Sandbox is the pretend carrier. It is safe for concurrent use.
type Sandbox struct {
	opt     Options
	seed    [32]byte
	counter atomic.Uint64
	page    *template.Template

	stop     context.Context
	cancel   context.CancelFunc
	workers  sync.WaitGroup
	replies  chan func() // what a person did: never waits behind receipts
	receipts chan func()
	pace     atomic.Int64 // how long a second of a call takes
	lost     atomic.Int64 // webhooks that found no taker

	optOutCalls atomic.Int64
	groupGone   atomic.Bool

	mu      sync.Mutex
	list    []*Message // oldest first, at most keep
	away    []*Message // what was turned away, oldest first, at most keep
	byID    map[string]*Message
	phones  map[string]Phone
	changes uint64 // moves with every visible change
	cut     bool   // unreachable
	optOuts map[optOut]bool
}

// New starts a pretend carrier; Close ends it. It panics only when the host has
// no randomness for the signing key.
func New(o Options) *Sandbox {
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Clock != nil {
		o.Now = o.Clock.Now
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Client == nil {
		o.Client = &http.Client{}
	}
	s := &Sandbox{
		opt:      o,
		page:     pageTemplate(),
		replies:  make(chan func(), replyBacklog),
		receipts: make(chan func(), receiptBacklog),
		byID:     map[string]*Message{},
		optOuts:  map[optOut]bool{},
		phones:   map[string]Phone{},
	}
	s.SetPace(time.Second)
	if _, err := io.ReadFull(o.Rand, s.seed[:]); err != nil {
		panic("sandbox: no randomness: " + err.Error())
	}
	if o.SendGridSigning == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), o.Rand)
		if err != nil {
			panic("sandbox: no randomness: " + err.Error())
		}
		s.opt.SendGridSigning = key
	}
	s.stop, s.cancel = context.WithCancel(context.Background())
	s.startWorkers()
	return s
}

// Close ends the background calls and every hanging request, and waits for them.
func (s *Sandbox) Close() {
	s.cancel()
	s.workers.Wait()
}

// PublicKey is the key that checks SendGrid's events, as its console shows it:
// base64 of the DER (PKIX) form.
func (s *Sandbox) PublicKey() string {
	der, err := x509.MarshalPKIXPublicKey(&s.opt.SendGridSigning.PublicKey)
	if err != nil {
		return "" // a key on no known curve: nothing it signs can be checked
	}
	return base64.StdEncoding.EncodeToString(der)
}

// Messages lists copies of what the sandbox remembers, oldest first.
func (s *Sandbox) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Message, len(s.list))
	for i, m := range s.list {
		list[i] = m.copy()
	}
	return list
}

// TurnedAway lists copies of what the sandbox refused on demand, oldest first. It
// was never delivered, but a carrier has read what it refuses.
func (s *Sandbox) TurnedAway() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Message, len(s.away))
	for i, m := range s.away {
		list[i] = m.copy()
	}
	return list
}

// turnAway remembers messages that are refused.
func (s *Sandbox) turnAway(ms ...*Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = append(s.away, ms...)
	s.away = s.away[max(0, len(s.away)-keep):]
}

// SetUnreachable switches an outage on or off: API calls are cut before
// anything of them is taken. Webhooks still go out.
func (s *Sandbox) SetUnreachable(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = on
	s.changes++
}

// Unreachable says whether the outage is on.
func (s *Sandbox) Unreachable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cut
}

func (m *Message) copy() Message {
	c := *m
	c.Headers, c.Args = maps.Clone(m.Headers), maps.Clone(m.Args)
	return c
}

// newID makes an id of 32 hex digits after the prefix, as Twilio's SIDs are.
func (s *Sandbox) newID(prefix string) string {
	h := sha256.New()
	h.Write(s.seed[:])
	h.Write(binary.BigEndian.AppendUint64(nil, s.counter.Add(1)))
	return prefix + hex.EncodeToString(h.Sum(nil)[:16])
}

// add remembers messages and forgets the oldest beyond keep. The messages are
// the store's from here on: read and change them only under s.mu.
func (s *Sandbox) add(ms ...*Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range ms {
		s.list = append(s.list, m)
		s.byID[m.ID] = m
	}
	for len(s.list) > keep {
		delete(s.byID, s.list[0].ID)
		s.list[0] = nil
		s.list = s.list[1:]
	}
	s.changes++
}

// get gives a copy of a remembered message.
func (s *Sandbox) get(id string) (Message, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.byID[id]
	if !ok {
		return Message{}, false
	}
	return m.copy(), true
}

// read gives a copy of a message, forgotten or not.
func (s *Sandbox) read(m *Message) Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.copy()
}

// update changes a message and gives a copy of what it became. It works on
// forgotten messages too: their receipts still go out.
func (s *Sandbox) update(m *Message, change func(*Message)) Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(m)
	m.Updated = s.opt.Now()
	s.changes++
	return m.copy()
}
