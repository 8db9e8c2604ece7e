package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
	"slices"
	"strconv"

	"harmonize.care/heed/channels"
)

// step is how far a message got. Up to content it surely did not go out.
type step uint8

const (
	dialing step = iota + 1
	securing
	greeting
	loggingIn
	sender
	recipient
	content
	ended // the last line was written
)

var steps = [...]string{"", "the connection", "TLS", "the greeting", "the login", "MAIL FROM", "RCPT TO", "the message", "the end of the message"}

func (s step) String() string { return steps[s] }

// broken says what an error at a step means.
func broken(ctx context.Context, at step, err error) *channels.SendError {
	if reply, ok := errors.AsType[*textproto.Error](err); ok {
		return refusal(at, reply)
	}
	e := &channels.SendError{Kind: channels.TryLater}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case at == ended:
		e.Kind = channels.OutcomeUnknown
	case errors.Is(err, errNoTLS) || errors.Is(err, errNoLogin) || untrusted:
		e.Kind = channels.OperatorMustAct
	}
	switch {
	case ctx.Err() != nil:
		e.Err = fmt.Errorf("the call ended at %s: %w", at, ctx.Err())
	case at <= securing || errors.Is(err, errNoLogin):
		e.Err = err // the relay has not heard of the person yet
	default:
		e.Err = fmt.Errorf("the relay broke off at %s", at) // its own words may hold the address
	}
	return e
}

// refusal reads a relay's no. RFC 5321 section 4.2.1: 4xx is for now, 5xx for
// good, and both say that the message was not taken. The words beside the code may
// hold the address and are not kept.
func refusal(at step, reply *textproto.Error) *channels.SendError {
	status := enhanced(reply)
	e := &channels.SendError{Kind: kindOf(at, reply.Code, status), Code: strconv.Itoa(reply.Code), Err: fmt.Errorf("the relay said no at %s", at)}
	if status != "" {
		e.Code += " " + status
	}
	return e
}

// badMailbox are the statuses that say there is no such mailbox. RFC 3463 sections
// 3.2 and 3.3; 5.1.10 is RFC 7505. The rest of 5.1 is about the sender or about
// names that have many meanings.
var badMailbox = []string{
	"5.1.0",  // other address status
	"5.1.1",  // bad destination mailbox address
	"5.1.2",  // bad destination system address
	"5.1.3",  // bad destination mailbox address syntax
	"5.1.6",  // the mailbox has moved, and nobody knows where
	"5.1.10", // the domain takes no mail
	"5.2.1",  // the mailbox is disabled
}

// badSender are the statuses about who writes.
var badSender = []string{
	"5.1.7", // bad sender's mailbox address syntax
	"5.1.8", // bad sender's system address
}

func kindOf(at step, code int, status string) channels.SendErrorKind {
	switch {
	case code/100 == 4 || code/100 != 5 && at != ended:
		return channels.TryLater
	case code/100 != 5:
		return channels.OutcomeUnknown // neither yes nor no
	case at <= sender || slices.Contains([]int{530, 534, 535, 538}, code) || slices.Contains(badSender, status):
		return channels.OperatorMustAct // the relay does not take mail from us: RFC 4954 section 6
	case slices.Contains(badMailbox, status):
		return channels.AddressIsBad
	case at == recipient && code == 556: // the domain takes no mail: RFC 7504
		return channels.AddressIsBad
	case at == recipient && status == "" && (code == 550 || code == 551 || code == 553): // no mailbox, not here, not a name
		return channels.AddressIsBad
	}
	return channels.TryNever
}

var status = regexp.MustCompile(`^([45]\.\d{1,3}\.\d{1,3})(?:\s|$)`)

// enhanced gives the status that stands before a reply's words, or "". RFC 2034.
func enhanced(reply *textproto.Error) string {
	found := status.FindStringSubmatch(reply.Msg)
	if found == nil || found[1][0] != strconv.Itoa(reply.Code)[0] {
		return ""
	}
	return found[1]
}
