// Package channels holds the words for reaching a person: what a channel, a
// program, an address, an outgoing message, a delivery event and a send error
// are, and what an adapter must do. One sub-directory is one provider.
package channels

import (
	"context"
	"fmt"
	"time"
)

// Channel is a way to reach a person.
type Channel uint8

// The channels. Voice is an automated call: text-to-speech is an "artificial
// voice" in law (47 U.S.C. 227(b)(1)(A)).
const (
	SMS Channel = iota + 1
	Voice
	Email
)

// Channels lists every channel in a fixed order.
var Channels = [...]Channel{SMS, Voice, Email}

var channelNames = [...]string{"", "sms", "voice", "email"}

// String gives the name used in the API, or "" for the zero value.
func (c Channel) String() string {
	if int(c) < len(channelNames) {
		return channelNames[c]
	}
	return fmt.Sprintf("channel(%d)", uint8(c))
}

// ParseChannel reads a name as String writes it.
func ParseChannel(name string) (Channel, error) {
	for i, n := range channelNames {
		if i > 0 && n == name {
			return Channel(i), nil
		}
	}
	return 0, fmt.Errorf("unknown channel: use sms, voice or email")
}

// MarshalText writes the channel's name.
func (c Channel) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads a channel's name; the empty text is the zero value.
func (c *Channel) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*c = 0
		return nil
	}
	got, err := ParseChannel(string(text))
	*c = got
	return err
}

// Kind says what sort of address an address is.
type Kind uint8

// The kinds of address. A phone carries texts and calls, a mailbox carries email.
const (
	Phone Kind = iota + 1
	Mailbox
)

// String gives the name used in the API.
func (k Kind) String() string {
	switch k {
	case Phone:
		return "phone"
	case Mailbox:
		return "email"
	}
	return ""
}

// Carries says whether an address of this kind can receive on channel c.
func (k Kind) Carries(c Channel) bool {
	return (k == Mailbox) == (c == Email)
}

// Program is a sender identity that a patient sees and can answer STOP to.
// Stops are kept as one bit per program, so the numbers never change.
type Program uint8

// The programs.
const (
	Care Program = iota
	CheckIn
	Billing
	Marketing
	programCount
)

// Programs lists every program.
var Programs = [...]Program{Care, CheckIn, Billing, Marketing}

var programNames = [programCount]string{"care", "check_in", "billing", "marketing"}

// String gives the name used in settings and the API.
func (p Program) String() string {
	if p < programCount {
		return programNames[p]
	}
	return fmt.Sprintf("program(%d)", uint8(p))
}

// ParseProgram reads a name as String writes it.
func ParseProgram(name string) (Program, error) {
	for i, n := range programNames {
		if n == name {
			return Program(i), nil
		}
	}
	return 0, fmt.Errorf("unknown program: use care, check_in, billing or marketing")
}

// MarshalText writes the program's name.
func (p Program) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a program's name.
func (p *Program) UnmarshalText(text []byte) error {
	got, err := ParseProgram(string(text))
	*p = got
	return err
}

// ProgramSet is a set of programs, one bit each.
type ProgramSet uint8

// AllPrograms holds every program: what STOPALL stops.
const AllPrograms ProgramSet = 1<<programCount - 1

// SetOf makes a set.
func SetOf(programs ...Program) ProgramSet {
	var s ProgramSet
	for _, p := range programs {
		s |= 1 << p
	}
	return s
}

// Has says whether p is in the set.
func (s ProgramSet) Has(p Program) bool { return s&(1<<p) != 0 }

// List gives the programs of the set in their fixed order.
func (s ProgramSet) List() []Program {
	var list []Program
	for _, p := range Programs {
		if s.Has(p) {
			list = append(list, p)
		}
	}
	return list
}

// Outgoing is one message, rendered and ready for a provider.
type Outgoing struct {
	Attempt  int64   // our opaque id: rides in the status-callback URL and in custom_args; nothing else of ours goes out
	Program  Program // picks the sender
	Channel  Channel
	To       string            // E.164, or a mailbox
	Subject  string            // email only
	Text     string            // the body; for voice what is spoken, which the provider asks for when the call is answered
	HTML     string            // email only; may be empty
	Headers  map[string]string // email only: List-Unsubscribe and its like
	Validity time.Duration     // sms and voice: how long the provider may hold it, or let it ring
	Bulk     bool              // a marketing mail: the provider's suppression group applies, nowhere else

	Attachments []Attachment // email only; see CheckAttachments
}

// Receipt is what a provider answered when it took a message.
type Receipt struct {
	ProviderID string
}

// Adapter carries messages over one channel of one provider.
type Adapter interface {
	// Send hands the message over once and never repeats the call by itself.
	// Every error is a *SendError, which says what may be done next.
	Send(ctx context.Context, m Outgoing) (Receipt, error)
}

// Finder is an adapter that can be asked what became of a message whose answer
// was lost. Found messages are candidates: the caller compares them.
type Finder interface {
	// Find lists what the provider took for m.To since the given moment.
	Find(ctx context.Context, m Outgoing, since time.Time) ([]Found, error)
}

// Found is one message the provider says it took.
type Found struct {
	ProviderID, From, To, Body string
	Created                    time.Time
	Status                     DeliveryStatus
	Kind                       SendErrorKind // why it failed, or 0
	Code                       string
}

// InboxReader lists inbound texts, so that those missed in an outage are taken
// later: a provider retries a webhook once and then never again.
type InboxReader interface {
	Inbox(ctx context.Context, since time.Time) ([]Inbound, error)
}

// Dater tells when a text came in by the provider's own clock: a webhook carries no
// time, and comes late when it is tried again.
type Dater interface {
	// Date asks about a text that a webhook told of. An error: nothing was learned, ask
	// again later.
	Date(ctx context.Context, in Inbound) (Dated, error)
}

// Dated is what a provider knows of an inbound text.
type Dated struct {
	Found     bool
	At        time.Time
	Precision time.Duration // as Inbound has it
	// Others: this text is not known, but other texts of the last day from the same
	// number to the same number are.
	Others bool
}

// Webhook is a provider's call to us, as it came in.
type Webhook struct {
	URL    string              // the public URL, query included: what the provider signed
	Header map[string][]string // canonical header names
	Body   []byte
}

// WebhookReader checks a provider's signature and reads its call.
type WebhookReader interface {
	// Read gives ErrForged for a bad, missing or stale signature. Inbound and
	// Deliveries may be empty.
	Read(w Webhook, now time.Time) (Heard, error)
}

// Heard is what one webhook call told us.
type Heard struct {
	Inbound    []Inbound
	Deliveries []Delivery
}

// Inbound is a text that a person sent us.
type Inbound struct {
	ID       string // the provider's message id: the same id is the same text
	From, To string // E.164
	Body     string
	Service  string // the messaging service it came through, "" for none
	OptOut   string // STOP, START or HELP when the provider's own keyword handling matched
	At       time.Time
	// Precision is how coarse At is: the text came within this span from At on.
	// Two texts whose spans overlap have no known order.
	Precision time.Duration
}

// DeliveryStatus is how far a message got. It only moves forward.
type DeliveryStatus uint8

// The delivery statuses, in order; Failed and Delivered end it.
const (
	Accepted  DeliveryStatus = iota + 1 // taken by the provider
	OnItsWay                            // handed to the carrier or the receiving mail server
	Delivered                           // confirmed; of a call: it was answered and has ended, whoever took it
	Failed                              // will not arrive; the code says why
)

// Delivery is a provider's word on a message it took, or on its address.
type Delivery struct {
	EventID    string // dedupe key, unique per provider
	Attempt    int64  // our id as it came back; 0 when the provider did not return it
	ProviderID string
	Status     DeliveryStatus // 0: no news of the message, only of the address
	Kind       SendErrorKind  // why it failed, or 0
	Code       string         // the provider's own code
	From, To   string         // From: the sender of ours, "" where it is not told
	SpamReport bool           // the person reported it as spam
	Unsub      bool           // the person used the provider's own unsubscribe
	// Claimed: only a mail says so. It counts when To is the attempt's own address.
	Claimed bool
	At      time.Time
}
