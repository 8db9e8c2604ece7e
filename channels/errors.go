package channels

import (
	"errors"
	"fmt"
	"time"
)

// ErrForged is a webhook whose signature is missing, wrong or stale.
var ErrForged = errors.New("the webhook's signature does not match")

// SendErrorKind tells the caller what may be done after a failed send.
type SendErrorKind uint8

// The closed set of send errors. All but OutcomeUnknown mean that the message
// surely did not go out.
const (
	TryLater        SendErrorKind = iota + 1 // not processed (dial error, 429, provider asks to wait): may be sent again
	TryNever                                 // refused for good; another way may be tried
	AddressIsBad                             // the address does not exist or is not in service
	NotTextable                              // a landline, or a phone that takes no texts
	PersonOptedOut                           // the provider holds an opt-out we had not heard of: record it
	OperatorMustAct                          // credentials, sender or account: a person must mend it; try later
	OutcomeUnknown                           // it may have gone out (timeout after writing, reset, 5xx): never send blindly again
)

var sendErrorNames = [...]string{"", "try_later", "try_never", "address_bad", "not_textable", "opted_out", "operator_must_act", "unknown"}

// String gives a stable name.
func (k SendErrorKind) String() string {
	if int(k) < len(sendErrorNames) {
		return sendErrorNames[k]
	}
	return fmt.Sprintf("send_error(%d)", uint8(k))
}

// SendError is the one error type that adapters return from Send. It never
// holds an address or a text.
type SendError struct {
	Kind       SendErrorKind
	Code       string        // the provider's code, such as "21610"; "" when there was none
	RetryAfter time.Duration // what the provider asked for; 0: our own backoff
	Err        error         // the cause, without personal data
}

func (e *SendError) Error() string {
	if e.Code != "" {
		return fmt.Sprintf("send: %s (provider code %s)", e.Kind, e.Code)
	}
	if e.Err != nil {
		return fmt.Sprintf("send: %s: %v", e.Kind, e.Err)
	}
	return "send: " + e.Kind.String()
}

func (e *SendError) Unwrap() error { return e.Err }
