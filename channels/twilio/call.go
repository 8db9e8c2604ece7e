package twilio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"github.com/twilio/twilio-go/client"
	openapi "github.com/twilio/twilio-go/rest/api/v2010"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/wire"
)

// maxAnswer bounds what is read of an answer, in bytes. A page of the longest
// texts stays below it.
const maxAnswer = 8 << 20

// call is one call of the API. twilio-go asks for a client and passes no context
// on, so that each call brings a client of its own.
type call struct {
	*Adapter
	ctx context.Context
	to  *url.URL // where it goes
}

var _ client.BaseClient = (*call)(nil)

// api gives Twilio's API for one call. twilio-go lets TWILIO_EDGE and
// TWILIO_REGION in the environment choose a host; request replaces it.
func (a *Adapter) api(ctx context.Context) *openapi.ApiService {
	return openapi.NewApiServiceWithClient(&call{Adapter: a, ctx: ctx, to: a.base})
}

// AccountSid gives the account that paths name.
func (c *call) AccountSid() string { return c.account }

// SetTimeout does nothing: the context bounds the call.
func (c *call) SetTimeout(time.Duration) {}

// SetOauth does nothing: calls sign in with account and token.
func (c *call) SetOauth(client.OAuth) {}

// OAuth gives none, as SetOauth says.
func (c *call) OAuth() client.OAuth { return nil }

// SendRequest makes one HTTP request, never twice. Every error is a
// *channels.SendError. The answer is read whole before it is handed on, so that
// no connection stays behind.
func (c *call) SendRequest(method, rawURL string, data url.Values, _ map[string]any, _ ...byte) (*http.Response, error) {
	if c.account == "" || c.token == "" {
		return nil, &channels.SendError{Kind: channels.OperatorMustAct, Err: errors.New("no account SID or auth token of Twilio is set")}
	}
	way := &wire.Watch{}
	req, err := c.request(way, method, rawURL, data)
	if err != nil {
		return nil, &channels.SendError{Kind: channels.TryNever, Err: errors.New("the request could not be made")}
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, way.Failed(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer)) // what is cut off there cannot be decoded
	switch {
	case res.StatusCode/100 != 2:
		return nil, refusal(res, text)
	case err != nil:
		return nil, unreadable()
	}
	res.Body = io.NopCloser(bytes.NewReader(text))
	return res, nil
}

// request makes the HTTP request, led to where the call goes.
func (c *call) request(way *wire.Watch, method, rawURL string, data url.Values) (*http.Request, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	u.Scheme, u.Host, u.Path = c.to.Scheme, c.to.Host, c.to.Path+u.Path
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(data.Encode())
	} else {
		u.RawQuery = data.Encode()
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(c.ctx, way.Trace()), method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.GetBody = way.Guard(req.GetBody)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "heed twilio-go/"+client.LibraryVersion)
	req.SetBasicAuth(c.account, c.token)
	return req, nil
}

// sendError gives the error of a call. twilio-go's own come from its decoder, whose
// words may quote the answer, and are not kept.
func sendError(err error) *channels.SendError {
	if failed, ok := errors.AsType[*channels.SendError](err); ok {
		return failed
	}
	return unreadable()
}

func unreadable() *channels.SendError {
	return &channels.SendError{Kind: channels.OutcomeUnknown, Err: errors.New("the answer could not be read")}
}
