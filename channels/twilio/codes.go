package twilio

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"harmonize.care/heed/channels"
)

// kinds says what Twilio's codes mean for us. Each has a page of its own,
// https://www.twilio.com/docs/api/errors/21610 and so on. A code that is not
// here is a failure for good, and is shown.
var kinds = map[int]channels.SendErrorKind{
	21610: channels.PersonOptedOut, // attempt to send to unsubscribed recipient
	30004: channels.PersonOptedOut, // message blocked: the person blocks or has opted out

	21211: channels.AddressIsBad, // invalid 'To' phone number
	21214: channels.AddressIsBad, // 'To' phone number cannot be reached
	21217: channels.AddressIsBad, // phone number does not appear to be valid
	30005: channels.AddressIsBad, // unknown destination handset
	13224: channels.AddressIsBad, // the number to call is not valid

	21614: channels.NotTextable, // 'To' number is not a valid mobile number
	30006: channels.NotTextable, // landline or unreachable carrier

	20429: channels.TryLater, // too many requests: never processed
	10004: channels.TryLater, // as many calls at once as the account may have
	21611: channels.TryLater, // this sender has as many queued messages as it may
	20500: channels.TryLater, // internal server error
	20503: channels.TryLater, // service unavailable
	30001: channels.TryLater, // queue overflow
	30003: channels.TryLater, // unreachable destination handset
	30008: channels.TryLater, // unknown error
	30022: channels.TryLater, // carrier's rate limit exceeded

	10001: channels.OperatorMustAct, // the account is not active
	20003: channels.OperatorMustAct, // authenticate
	20404: channels.OperatorMustAct, // resource not found: account or base URL
	21210: channels.OperatorMustAct, // 'From' is not ours, or cannot call
	21215: channels.OperatorMustAct, // no permission to call this region
	21219: channels.OperatorMustAct, // trial account: 'To' is not verified for calls
	21408: channels.OperatorMustAct, // no permission to send to this region
	21606: channels.OperatorMustAct, // 'From' is not ours, or cannot text
	21608: channels.OperatorMustAct, // trial account: 'To' is not verified
	30002: channels.OperatorMustAct, // account suspended
	30007: channels.OperatorMustAct, // filtered by the carrier
	30032: channels.OperatorMustAct, // toll-free number has not been verified
	30034: channels.OperatorMustAct, // number is not registered for A2P 10DLC
}

// kindOf says why a message failed, by its code; 0 stands for none.
func kindOf(code int) channels.SendErrorKind {
	if kind, ok := kinds[code]; ok {
		return kind
	}
	return channels.TryNever
}

func codeText(code int) string {
	if code == 0 {
		return ""
	}
	return strconv.Itoa(code)
}

// refusal reads an answer other than 2xx. Its message may hold the number and is
// not kept.
func refusal(res *http.Response, text []byte) *channels.SendError {
	var answer struct {
		Code int `json:"code"`
	}
	_ = json.Unmarshal(text, &answer) // a proxy's page has no code: the status still speaks
	e := &channels.SendError{
		Kind: kindOf(answer.Code), Code: codeText(answer.Code), RetryAfter: retryAfter(res.Header),
		Err: fmt.Errorf("the answer was HTTP status %d", res.StatusCode),
	}
	_, known := kinds[answer.Code]
	switch status := res.StatusCode; {
	case status == http.StatusTooManyRequests:
		// Never processed: https://www.twilio.com/docs/api/errors/20429
		e.Kind = channels.TryLater
	case status/100 != 4 || status == http.StatusRequestTimeout:
		// A fault, whatever its code, says nothing about what was done before it.
		e.Kind = channels.OutcomeUnknown
	case !known && (answer.Code == 0 || status == http.StatusUnauthorized):
		// Not Twilio's words, or no way in: the base URL, a proxy or the token.
		e.Kind = channels.OperatorMustAct
	}
	if e.Kind != channels.TryLater {
		e.RetryAfter = 0
	}
	return e
}

// retryAfter reads how long to wait: seconds, or a date, which counts from the
// answer's own. RFC 9110 section 10.2.3.
func retryAfter(h http.Header) time.Duration {
	const longest = 24 * time.Hour
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(seconds, 0), int(longest/time.Second))) * time.Second
	}
	until, err := http.ParseTime(text)
	now, err2 := http.ParseTime(h.Get("Date"))
	if err != nil || err2 != nil {
		return 0
	}
	return min(max(until.Sub(now), 0), longest)
}
