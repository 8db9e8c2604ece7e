// Package wire is what every adapter that speaks HTTP shares: it watches one
// request, so that an error says whether the message surely did not go out, and
// keeps Go's transport from sending it a second time by itself.
package wire

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

	"harmonize.care/heed/channels"
)

// Watch watches how far a request got, which tells what surely did not go out
// from what may have. One watch for one request.
type Watch struct {
	mu      sync.Mutex // the hooks run on the transport's own goroutines
	watched bool       // the transport tells us what it does
	begun   bool       // the request may have been written, in part or whole
	http2   bool
}

// Trace tells the watch what the transport does: it goes into the request's context.
func (w *Watch) Trace() *httptrace.ClientTrace {
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

func (w *Watch) note(what func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what()
}

// Guard keeps the transport from sending a POST a second time. Over HTTP/1 it
// asks for the body again only when not a byte of the request was written, as
// when an idle connection turns out to be closed; that is safe and is let
// through. Over HTTP/2 it also asks after errors of a server that has had the
// whole request.
func (w *Watch) Guard(again func() (io.ReadCloser, error)) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.http2 && w.begun {
			return nil, errors.New("the request was written and is not repeated")
		}
		return again()
	}
}

// Failed says what an error without an answer means: later when nothing went out
// for sure, else unknown. After something was written, the transport's words may
// quote the wire, so that they are not kept.
func (w *Watch) Failed(err error) *channels.SendError {
	w.mu.Lock()
	defer w.mu.Unlock()
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // its text holds the URL, and a URL may hold a number
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
