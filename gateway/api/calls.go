package api

import (
	"context"
	"errors"
	"io"
	"net/http"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
)

// Telephone is a provider that asks us what to say in a call.
type Telephone struct {
	Source string
	Phone  channels.Telephone
}

// calls answers the providers' questions in the middle of a call. What a key asks
// for is durable, and a stop in force, before it is said back.
func (a *API) calls(mux *http.ServeMux) {
	for path, hook := range a.Telephones {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
			if err != nil {
				writeProblem(w, problem(http.StatusRequestEntityTooLarge, "too_large", "The body is too large."))
				return
			}
			call, err := hook.Phone.ReadCall(channels.Webhook{URL: a.PublicURL + r.URL.RequestURI(), Header: r.Header, Body: body}, a.Now())
			if err != nil {
				writeProblem(w, unreadWebhook(err))
				return
			}
			script, done, err := a.talk(r.Context(), hook.Source, a.tidyCall(call))
			defer done() // the words are handed over, or there are none
			if err == nil {
				body, err = hook.Phone.Speak(script)
			}
			if err != nil {
				// The provider hangs up; a call whose words were not said has not delivered its message.
				a.Log.Error("a call could not be answered", "source", hook.Source, "error", err)
				writeProblem(w, fault(http.StatusInternalServerError, ""))
				return
			}
			w.Header().Set("Content-Type", "text/xml; charset=utf-8")
			w.Header().Set("Cache-Control", "no-store")
			_, _ = w.Write(body) // the provider is gone: nothing left to tell
		})
	}
}

// talk leads the conversation of one call.
func (a *API) talk(ctx context.Context, source string, call channels.Call) (channels.Script, func(), error) {
	done := func() {}
	if !call.Inbound && call.Asked == 0 {
		return a.Dispatcher.Answered(ctx, source, call)
	}
	var asked *gateway.Asked
	var err error
	if !call.Inbound {
		if asked, err = a.Dispatcher.Asked(ctx, call); err != nil {
			return channels.Script{}, done, err
		}
	}
	key, err := a.Intake.Key(ctx, source, call, asked)
	if err != nil {
		return channels.Script{}, done, err
	}
	script, err := a.Dispatcher.AfterKey(call, asked, key)
	return script, done, err
}

// tidyCall writes both numbers as the store keeps them. A foreign one stays as it came.
func (a *API) tidyCall(call channels.Call) channels.Call {
	for _, number := range []*string{&call.From, &call.To} {
		if e164, err := a.ParsePhone(*number); err == nil {
			*number = e164
		}
	}
	return call
}

// unreadWebhook says what is wrong with a webhook that was not read.
func unreadWebhook(err error) *Problem {
	if errors.Is(err, channels.ErrForged) {
		return problem(http.StatusForbidden, "forged", "The signature does not match.")
	}
	return problem(http.StatusBadRequest, "bad_request", "The call could not be read.")
}
