// Package channelstest is the suite that every adapter must pass, whatever its
// channel and its wire format. An adapter's own tests put it before a pretend
// provider and hand both over as a Case:
//
//	func TestAdapter(t *testing.T) {
//		channelstest.Adapter(t, func(t *testing.T) channelstest.Case { … })
//	}
//
// Each test of the suite makes a Case of its own and ends it with t.Cleanup, so
// no test sees another's messages. What only one provider has (form fields,
// headers, codes) stays in that adapter's own tests.
package channelstest

import (
	"time"

	"harmonize.care/heed/channels"
)

// Trouble is a way in which a provider fails.
type Trouble uint8

// The troubles. In all but TooMany and Refused nobody can tell from the wire
// whether the message was taken, so the adapter must say OutcomeUnknown.
const (
	// TooMany: the provider answers that it is asked too often (HTTP 429, SMTP
	// 421 or 450). Nothing is taken; the adapter must say TryLater.
	TooMany Trouble = iota + 1
	// Refused: the provider answers that it will never take this message. The
	// adapter must say Case.Refusal.
	Refused
	// Fault: the provider answers with a fault of its own (HTTP 5xx).
	Fault
	// Lost: the provider reads the whole request, takes nothing and closes the
	// connection without an answer.
	Lost
	// Dropped: the provider takes the message and closes the connection without
	// an answer.
	Dropped
	// Hanging: the provider takes the message and never answers.
	Hanging
)

// Troubles lists every trouble.
var Troubles = [...]Trouble{TooMany, Refused, Fault, Lost, Dropped, Hanging}

// String names a trouble in test output.
func (tr Trouble) String() string {
	return [...]string{"none", "too many", "refused", "fault", "lost", "dropped", "hanging"}[tr]
}

// Taken is one message as the provider took it.
type Taken struct {
	ProviderID string // as in the Receipt
	To         string
	Text       string // the plain text
	Attempt    int64  // our id as the provider carries it; 0 when its protocol carries none

	Attachments []channels.Attachment // email only
}

// Case is one adapter before a pretend provider.
type Case struct {
	// Adapter is what is tested, led to the provider.
	Adapter channels.Adapter
	// Message makes a message that the provider takes. Each n gives another
	// address, another text and another attempt (not 0).
	Message func(n int) channels.Outgoing
	// Troubled makes a message that meets a trouble; n as in Message.
	Troubled func(tr Trouble, n int) channels.Outgoing
	// Cannot names the troubles that this protocol does not know, each with the
	// reason; every other one is tested.
	Cannot map[Trouble]string
	// Refusal is what the adapter must say to Refused: TryNever or AddressIsBad,
	// and the code it must show ("" when the protocol has none).
	Refusal     channels.SendErrorKind
	RefusalCode string
	// RetryAfter is what the provider asks for with TooMany; 0 when its protocol
	// cannot ask.
	RetryAfter time.Duration
	// Calls counts the attempts to hand a message over that reached the provider:
	// HTTP requests, or SMTP transactions that got to MAIL FROM. Those that met a
	// trouble count too.
	Calls func() int
	// Taken lists what the provider took. Order does not matter.
	Taken func() []Taken
	// Unplug takes the provider off the wire for good: open connections are closed
	// and whoever dials it is refused.
	Unplug func()
}
