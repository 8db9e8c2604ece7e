package sendgrid

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sendgrid/rest"

	"harmonize.care/heed/channels"
)

// refusal reads an answer other than 202. SendGrid has no codes, so that the HTTP
// status stands for one. Its messages may hold the address and are not kept:
// https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors
func refusal(answer *rest.Response) *channels.SendError {
	e := &channels.SendError{
		Code: strconv.Itoa(answer.StatusCode), Err: fmt.Errorf("the answer was HTTP status %d", answer.StatusCode),
	}
	switch status := answer.StatusCode; {
	case status == http.StatusTooManyRequests:
		e.Kind, e.RetryAfter = channels.TryLater, wait(answer.Headers)
	case status/100 != 4 || status == http.StatusRequestTimeout:
		// A fault says nothing about what was done before it.
		e.Kind = channels.OutcomeUnknown
	case status == http.StatusBadRequest:
		e.Kind = badRequest(answer.Body)
	case status == http.StatusRequestEntityTooLarge:
		e.Kind = channels.TryNever
	default:
		e.Kind = channels.OperatorMustAct // key, account, sender or base URL
	}
	return e
}

// addressField is the address of somebody in the request.
var addressField = regexp.MustCompile(`^personalizations\.\d+\.to\.`)

// badRequest says what a refused field means for us.
func badRequest(body string) channels.SendErrorKind {
	var answer struct {
		Errors []struct {
			Field string `json:"field"`
		} `json:"errors"`
	}
	_ = json.Unmarshal([]byte(body), &answer) // what could be read counts
	if len(answer.Errors) == 0 {
		return channels.OperatorMustAct // not SendGrid's words: the base URL or a proxy
	}
	kind := channels.TryNever
	for _, e := range answer.Errors {
		switch part, _, _ := strings.Cut(e.Field, "."); {
		case addressField.MatchString(e.Field):
			return channels.AddressIsBad
		case part == "from" || part == "asm":
			kind = channels.OperatorMustAct
		}
	}
	return kind
}

// wait reads how long to wait: Retry-After in seconds or as a date (RFC 9110
// section 10.2.3), else the moment when SendGrid's limit starts anew, as Unix
// seconds: https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits
// Moments count from the answer's own date.
func wait(header http.Header) time.Duration {
	const longest = 24 * time.Hour
	if seconds, err := strconv.Atoi(header.Get("Retry-After")); err == nil {
		return time.Duration(min(max(seconds, 0), int(longest/time.Second))) * time.Second
	}
	now, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return 0
	}
	if until, err := http.ParseTime(header.Get("Retry-After")); err == nil {
		return min(max(until.Sub(now), 0), longest)
	}
	seconds, err := strconv.ParseInt(header.Get("X-RateLimit-Reset"), 10, 64)
	if err != nil {
		return 0
	}
	first, last := now.Unix(), now.Add(longest).Unix()
	return time.Duration(min(max(seconds, first), last)-first) * time.Second
}
