package twilio

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	openapi "github.com/twilio/twilio-go/rest/api/v2010"

	"harmonize.care/heed/channels"
)

// maxValidity is the longest that Twilio holds a message, and what it takes when
// nothing is said.
const maxValidity = 36000 * time.Second

// Send hands one text over, or places one call. Twilio knows no idempotency key: what was written
// without an answer is OutcomeUnknown, to be looked up with Find.
func (a *Adapter) Send(ctx context.Context, m channels.Outgoing) (channels.Receipt, error) {
	if m.Channel == channels.Voice {
		return a.place(ctx, m)
	}
	params, err := a.form(m)
	if err != nil {
		return channels.Receipt{}, err
	}
	if ctx.Err() != nil {
		return channels.Receipt{}, &channels.SendError{Kind: channels.TryLater, Err: ctx.Err()}
	}
	answer, err := a.api(ctx).CreateMessage(params)
	if err != nil {
		return channels.Receipt{}, sendError(err)
	}
	code := value(answer.ErrorCode)
	switch {
	case value(answer.Sid) == "":
		return channels.Receipt{}, unreadable()
	case statuses[value(answer.Status)] == channels.Failed:
		// The first status has no callback, so that this is all we ever hear of it.
		return channels.Receipt{}, &channels.SendError{
			Kind: kindOf(code), Code: codeText(code), Err: errors.New("taken and failed at once"),
		}
	}
	return channels.Receipt{ProviderID: *answer.Sid}, nil
}

// form fills in the request.
func (a *Adapter) form(m channels.Outgoing) (*openapi.CreateMessageParams, error) {
	if m.Channel != channels.SMS {
		return nil, &channels.SendError{Kind: channels.TryNever, Err: fmt.Errorf("this adapter carries sms and voice, not %s", m.Channel)}
	}
	if m.Validity < 0 {
		return nil, &channels.SendError{Kind: channels.TryLater, Err: errors.New("the message's time is over")}
	}
	params := &openapi.CreateMessageParams{}
	params.SetTo(m.To).SetBody(m.Text).SetValidityPeriod(validity(m.Validity))
	switch {
	case a.service[m.Program] != "":
		params.SetMessagingServiceSid(a.service[m.Program])
	case a.from[m.Program] != "":
		params.SetFrom(a.from[m.Program])
	default:
		return nil, &channels.SendError{Kind: channels.OperatorMustAct, Err: fmt.Errorf("program %s has no number to text from", m.Program)}
	}
	if a.callback != nil {
		params.SetStatusCallback(withAttempt(a.callback, m.Attempt))
	}
	return params, nil
}

// validity gives the seconds that Twilio may hold a text, so that it cannot
// arrive in quiet hours or after its appointment.
func validity(d time.Duration) int {
	if d == 0 || d > maxValidity {
		d = maxValidity
	}
	return max(int(d/time.Second), 1)
}

// attemptKey is the query parameter that brings our attempt back.
const attemptKey = "attempt"

func withAttempt(to *url.URL, attempt int64) string {
	u := *to
	query := u.Query()
	query.Set(attemptKey, strconv.FormatInt(attempt, 10))
	u.RawQuery = query.Encode()
	return u.String()
}

// value gives what a field of an answer holds, or the zero value where it is
// null or missing.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
