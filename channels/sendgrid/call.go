package sendgrid

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptrace"
	"net/url"
	"sync"

	"github.com/sendgrid/rest"

	"harmonize.care/heed/channels"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// post makes one HTTP request, never twice. The answer is read whole, so that no
// connection stays behind. Nothing names the request an idempotent one, which
// would make Go's transport send it again by itself.
func (a *Adapter) post(ctx context.Context, body []byte) (*rest.Response, *channels.SendError) {
	req, err := rest.BuildRequestObject(rest.Request{Method: rest.Post, BaseURL: a.endpoint, Body: body, Headers: map[string]string{
		"Authorization": "Bearer " + a.key,
		"Accept":        "application/json",
		"User-Agent":    "heed sendgrid-rest/" + rest.Version,
	}})
	if err != nil {
		return nil, &channels.SendError{Kind: channels.OperatorMustAct, Err: errors.New("the request could not be made")}
	}
	way := &wire{}
	req = req.WithContext(httptrace.WithClientTrace(ctx, way.trace()))
	req.GetBody = way.guard(req.GetBody)
	res, err := (&rest.Client{HTTPClient: a.http}).MakeRequest(req) //nolint:bodyclose // BuildResponse reads and closes it
	if err != nil {
		return nil, way.failed(err)
	}
	res.Body = limited{io.LimitReader(res.Body, maxAnswer), res.Body}
	// The status and the headers are there. What is missing of the body is what the
	// status says by itself.
	answer, _ := rest.BuildResponse(res)
	return answer, nil
}

// limited reads a part of a body and closes the whole.
type limited struct {
	io.Reader
	io.Closer
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
		err = wrapped.Err
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
