package twilio

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/twilio/twilio-go/client"
	openapi "github.com/twilio/twilio-go/rest/api/v2010"

	"harmonize.care/heed/channels"
)

// maxAnswer bounds what is read of an answer, in bytes. A page of the longest
// texts stays below it.
const maxAnswer = 8 << 20

// call is one call of the API. twilio-go asks for a client and passes no context
// on, so that each call brings a client of its own.
type call struct {
	*Adapter
	ctx context.Context
}

var _ client.BaseClient = (*call)(nil)

// api gives Twilio's API for one call. twilio-go lets TWILIO_EDGE and
// TWILIO_REGION in the environment choose a host; request replaces it.
func (a *Adapter) api(ctx context.Context) *openapi.ApiService {
	return openapi.NewApiServiceWithClient(&call{Adapter: a, ctx: ctx})
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
	way := &wire{}
	req, err := c.request(way, method, rawURL, data)
	if err != nil {
		return nil, &channels.SendError{Kind: channels.TryNever, Err: errors.New("the request could not be made")}
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, way.failed(err)
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

// request makes the HTTP request, led to the base URL.
func (c *call) request(way *wire, method, rawURL string, data url.Values) (*http.Request, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	u.Scheme, u.Host, u.Path = c.base.Scheme, c.base.Host, c.base.Path+u.Path
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(data.Encode())
	} else {
		u.RawQuery = data.Encode()
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(c.ctx, way.trace()), method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.GetBody = way.guard(req.GetBody)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "heed twilio-go/"+client.LibraryVersion)
	req.SetBasicAuth(c.account, c.token)
	return req, nil
}

// wire watches how far a request got, which tells what surely did not go out
// from what may have.
type wire struct {
	mu      sync.Mutex // the hooks run on the transport's own goroutines
	watched bool       // the transport tells us what it does
	begun   bool       // the request may have been written, in part or whole
	http2   bool
}

func (w *wire) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		// A second connection is asked for only when nothing went out over the first.
		GetConn: func(string) { w.note(func() { w.watched, w.begun = true, false }) },
		GotConn: func(info httptrace.GotConnInfo) {
			conn, secured := info.Conn.(*tls.Conn)
			w.note(func() { w.http2 = secured && conn.ConnectionState().NegotiatedProtocol == "h2" })
		},
		WroteHeaders: func() { w.note(func() { w.begun = true }) },
	}
}

func (w *wire) note(what func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what()
}

// guard keeps the transport from sending a POST a second time. Over HTTP/1 it
// asks for the body again only when not a byte of the request was written, as
// when an idle connection turns out to be closed; that is safe and is let
// through. Over HTTP/2 it also asks after errors of a server that has had the
// whole request.
func (w *wire) guard(again func() (io.ReadCloser, error)) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.http2 && w.begun {
			return nil, errors.New("the request was written and is not repeated")
		}
		return again()
	}
}

// failed says what an error without an answer means: later when nothing went out
// for sure, else unknown. After something was written, the transport's words may
// quote the wire, so that they are not kept.
func (w *wire) failed(err error) *channels.SendError {
	w.mu.Lock()
	defer w.mu.Unlock()
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // its text holds the URL, and a list's URL holds the number
	}
	if !w.begun && (w.watched || dialing(err)) {
		return &channels.SendError{Kind: channels.TryLater, Err: err}
	}
	cause := errors.New("the connection broke before an answer came")
	for _, known := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			cause = fmt.Errorf("no answer came in time: %w", known)
		}
	}
	return &channels.SendError{Kind: channels.OutcomeUnknown, Err: cause}
}

func dialing(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
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
