package sendgrid

import (
	"context"
	"errors"
	"io"
	"net/http/httptrace"

	"github.com/sendgrid/rest"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/wire"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// post hands a mail over.
func (a *Adapter) post(ctx context.Context, body []byte) (*rest.Response, *channels.SendError) {
	return a.call(ctx, rest.Post, "/v3/mail/send", body, maxAnswer)
}

// call makes one HTTP request, never twice. The answer is read whole, up to a limit in
// bytes, so that no connection stays behind. Nothing names the request an idempotent
// one, which would make Go's transport send it again by itself.
func (a *Adapter) call(ctx context.Context, method rest.Method, path string, body []byte, limit int64) (*rest.Response, *channels.SendError) {
	req, err := rest.BuildRequestObject(rest.Request{Method: method, BaseURL: a.base + path, Body: body, Headers: map[string]string{
		"Authorization": "Bearer " + a.key,
		"Accept":        "application/json",
		"User-Agent":    "heed sendgrid-rest/" + rest.Version,
	}})
	if err != nil {
		return nil, &channels.SendError{Kind: channels.OperatorMustAct, Err: errors.New("the request could not be made")}
	}
	way := &wire.Watch{}
	req = req.WithContext(httptrace.WithClientTrace(ctx, way.Trace()))
	req.GetBody = way.Guard(req.GetBody)
	res, err := (&rest.Client{HTTPClient: a.http}).MakeRequest(req) //nolint:bodyclose // BuildResponse reads and closes it
	if err != nil {
		return nil, way.Failed(err)
	}
	res.Body = limited{io.LimitReader(res.Body, limit), res.Body}
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
