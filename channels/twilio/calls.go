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

const (
	// maxRinging is the longest that a call may ring, in seconds, and leastRinging the
	// shortest that is worth a call.
	maxRinging, leastRinging = 60, 15
	// ringingOver is what Twilio may add to it:
	// https://www.twilio.com/docs/voice/api/call-resource#create-a-call-resource
	ringingOver = 5 * time.Second
)

// callStatuses are Twilio's words for how far a call got. "completed" is every
// call that was answered, whoever took it.
// https://www.twilio.com/docs/voice/api/call-resource#call-status-values
var callStatuses = map[string]channels.DeliveryStatus{
	"queued": channels.Accepted, "initiated": channels.Accepted,
	"ringing": channels.OnItsWay, "in-progress": channels.OnItsWay,
	"completed": channels.Delivered,
	"busy":      channels.Failed, "no-answer": channels.Failed, "failed": channels.Failed, "canceled": channels.Failed,
}

// place makes one call. Twilio gets the two numbers and nothing of the message: it
// asks for the words when somebody has answered (45 CFR 164.502(b)). As with texts
// there is no idempotency key.
func (a *Adapter) place(ctx context.Context, m channels.Outgoing) (channels.Receipt, error) {
	params, err := a.callForm(m)
	if err != nil {
		return channels.Receipt{}, err
	}
	if ctx.Err() != nil {
		return channels.Receipt{}, &channels.SendError{Kind: channels.TryLater, Err: ctx.Err()}
	}
	answer, err := a.api(ctx).CreateCall(params)
	switch {
	case err != nil:
		return channels.Receipt{}, sendError(err)
	case value(answer.Sid) == "":
		return channels.Receipt{}, unreadable()
	case callStatuses[value(answer.Status)] == channels.Failed:
		return channels.Receipt{}, &channels.SendError{Kind: channels.TryNever, Code: value(answer.Status), Err: errors.New("taken and failed at once")}
	}
	return channels.Receipt{ProviderID: *answer.Sid}, nil
}

// callForm fills in the request. Detection of machines runs before a word is
// spoken (no AsyncAmd), so that a machine never hears what is meant for a person;
// with DetectMessageEnd the voicemail begins after the beep. Nothing is recorded.
// https://www.twilio.com/docs/voice/answering-machine-detection
func (a *Adapter) callForm(m channels.Outgoing) (*openapi.CreateCallParams, error) {
	switch {
	case a.caller[m.Program] == "" || a.voice == nil:
		return nil, &channels.SendError{Kind: channels.OperatorMustAct, Err: fmt.Errorf("program %s has no number to call from", m.Program)}
	case m.Validity < 0 || m.Validity > 0 && m.Validity-ringingOver < leastRinging*time.Second:
		return nil, &channels.SendError{Kind: channels.TryLater, Err: errors.New("the call's time is over before anybody could answer")}
	}
	ringing := maxRinging
	if m.Validity > 0 {
		ringing = min(ringing, int((m.Validity-ringingOver)/time.Second))
	}
	params := &openapi.CreateCallParams{}
	params.SetTo(m.To).SetFrom(a.caller[m.Program]).SetUrl(withAttempt(a.voice, m.Attempt)).SetMethod("POST").
		SetMachineDetection("DetectMessageEnd").SetTimeout(ringing)
	if a.callback != nil {
		params.SetStatusCallback(withAttempt(a.callback, m.Attempt)).
			SetStatusCallbackEvent([]string{"initiated", "ringing", "answered", "completed"})
	}
	return params, nil
}

// findCall lists the calls from the program's number to m.To that were made since
// the given moment. A call has no body and nothing else of ours, so two lost calls
// to one phone cannot be told apart. That is safe for two reasons: with more than
// one call in question none is shown, and a call counts as heard only where our own
// webhook, which carries the attempt, has spoken in it. A call that was taken for
// another can therefore ring a second time, but no message is lost to it.
func (a *Adapter) findCall(ctx context.Context, m channels.Outgoing, since time.Time) ([]channels.Found, error) {
	params := &openapi.ListCallParams{}
	// Twilio documents days alone here.
	params.SetTo(m.To).SetFrom(a.caller[m.Program]).SetStartTimeAfter(since.UTC().Truncate(24 * time.Hour)).SetPageSize(pageSize)
	// Calls of one day to one phone fill no second page.
	page, err := a.api(ctx).PageCall(params, "", "")
	if err != nil {
		return nil, sendError(err)
	}
	var found []channels.Found
	for i := range page.Calls {
		c := &page.Calls[i]
		created, err := dateOf(c.DateCreated)
		if err != nil {
			return nil, err
		}
		if value(c.Direction) == inbound || value(c.From) != a.caller[m.Program] || !within(created, since) {
			continue
		}
		status := value(c.Status)
		f := channels.Found{
			ProviderID: value(c.Sid), From: value(c.From), To: value(c.To), Body: m.Text, Created: created, Status: callStatuses[status],
		}
		if f.Status == channels.Failed {
			f.Kind, f.Code = channels.TryLater, status
		}
		found = append(found, f)
	}
	if len(found) > 1 || value(page.NextPageUri) != "" {
		return nil, nil
	}
	return found, nil
}

// heardCallStatus reads a call's status callback. As with texts they come
// unordered and more than once.
// https://www.twilio.com/docs/voice/api/call-resource#statuscallbackevent
func heardCallStatus(at string, form url.Values, now time.Time) channels.Heard {
	sid, word := form.Get("CallSid"), form.Get("CallStatus")
	status := callStatuses[word]
	if status == 0 || form.Get("Direction") == inbound {
		return channels.Heard{} // a call that a person made to us has no outcome of a message
	}
	d := channels.Delivery{EventID: sid + ":" + word, Attempt: attemptOf(at), ProviderID: sid, Status: status, To: form.Get("To"), At: now}
	if status == channels.Failed {
		// Nobody took it: another way, or another time. Only a code of Twilio's says more.
		d.Kind, d.Code = channels.TryLater, word
		if code, err := strconv.Atoi(form.Get("ErrorCode")); err == nil && code != 0 {
			d.Kind, d.Code = kindOf(code), codeText(code)
		}
	}
	return channels.Heard{Deliveries: []channels.Delivery{d}}
}
