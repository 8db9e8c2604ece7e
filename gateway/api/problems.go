package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/wording"
	"harmonize.care/heed/templates"
)

// Problem is an RFC 9457 problem document. It never repeats what was sent.
type Problem struct {
	Type   string  `json:"type" doc:"A stable address for this kind of problem."`
	Title  string  `json:"title"`
	Status int     `json:"status"`
	Code   string  `json:"code" doc:"Stable: made for programs."`
	Detail string  `json:"detail,omitempty" doc:"What was wrong and what to do."`
	Errors []Field `json:"errors,omitempty"`
}

// Field is one wrong field.
type Field struct {
	Location string `json:"location,omitempty"`
	Message  string `json:"message"`
}

func (p *Problem) Error() string { return p.Title }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is RFC 9457's.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func problem(status int, code, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

var codes = map[int]string{
	http.StatusBadRequest: "bad_request", http.StatusUnauthorized: "unauthorized", http.StatusForbidden: "forbidden",
	http.StatusNotFound: "not_found", http.StatusMethodNotAllowed: "method_not_allowed", http.StatusConflict: "conflict",
	http.StatusRequestEntityTooLarge: "too_large", http.StatusUnsupportedMediaType: "unsupported_media_type",
	http.StatusUnprocessableEntity: "invalid", http.StatusNotAcceptable: "not_acceptable", http.StatusRequestTimeout: "timeout",
}

// newProblem replaces huma's error document: that one repeats the values sent,
// which may be personal data. Only places that the description knows are named.
func (n names) newProblem(status int, detail string, errs ...error) huma.StatusError {
	p := fault(status, detail)
	if status >= http.StatusInternalServerError {
		return p
	}
	if status == http.StatusUnsupportedMediaType || status == http.StatusNotAcceptable {
		p.Detail = "Send and take application/json."
		return p
	}
	for _, err := range errs {
		var d *huma.ErrorDetail
		if !errors.As(err, &d) {
			continue
		}
		said, place, _ := strings.Cut(d.Message, " at body")
		switch {
		case d.Message == saidNotJSON || d.Message == saidTwice:
			return problem(http.StatusBadRequest, "bad_request", d.Message)
		case said == saidWrongType:
			p = problem(http.StatusUnprocessableEntity, "invalid", "A field has the wrong type; nothing was changed. Times are RFC 3339.")
			p.Errors = []Field{{Location: n.cut("body" + place), Message: said}}
			return p
		}
		p.Errors = append(p.Errors, Field{Location: n.cut(d.Location), Message: d.Message})
	}
	return p
}

// fault is a problem document for a status alone.
func fault(status int, detail string) *Problem {
	code, ok := codes[status]
	if !ok {
		code = "internal"
	}
	if status >= http.StatusInternalServerError {
		detail = "Something went wrong here. Nothing is known to have changed; try again, and tell the operator when it happens again."
	}
	return problem(status, code, detail)
}

// failure is the one table that turns what went wrong inside into what is told
// outside. An unknown error says nothing.
func failure(err error) error {
	var wrong gateway.Invalid
	var told *Problem
	var now gateway.NotNow
	var found templates.Findings
	switch {
	case err == nil:
		return nil
	case errors.As(err, &now) && now.Code == "second_person_needed":
		return problem(http.StatusForbidden, now.Code, now.Problem)
	case errors.As(err, &now):
		return problem(http.StatusConflict, now.Code, now.Problem)
	case errors.As(err, &told):
		return told
	case errors.As(err, &wrong):
		p := problem(http.StatusUnprocessableEntity, "invalid", "Some fields are not right; nothing was changed.")
		for _, m := range wrong {
			p.Errors = append(p.Errors, Field{Location: "body." + m.Field, Message: m.Problem})
		}
		return p
	case errors.As(err, &found):
		return refusedText(found)
	case errors.Is(err, wording.ErrSamePerson):
		return problem(http.StatusConflict, "same_person", "Somebody else than the author has to approve a text, with a key of their own.")
	case errors.Is(err, wording.ErrOlder):
		return problem(http.StatusConflict, "superseded", "A newer version is in force. Write these words as a new version.")
	case errors.Is(err, gateway.ErrReplayed):
		return huma.ErrorWithHeaders(problem(http.StatusConflict, "replayed", "This Idempotency-Key was used before."), http.Header{replayedHeader: {"1"}})
	case errors.Is(err, gateway.ErrNotFound):
		return problem(http.StatusNotFound, "not_found", "There is nothing under this id.")
	case errors.Is(err, gateway.ErrErased):
		return problem(http.StatusConflict, "erased", "This patient was erased; the id is not used again.")
	case errors.Is(err, gateway.ErrConflict):
		return conflict()
	case errors.Is(err, gateway.ErrClosed):
		return problem(http.StatusConflict, "already_done", "This task is done already; its first outcome stands. GET /v1/tasks/{id} shows it.")
	case errors.Is(err, gateway.ErrStale):
		return problem(http.StatusConflict, "moved_on", "The record changed meanwhile, or the message no longer waits. Read it again.")
	case errors.Is(err, context.Canceled):
		return problem(http.StatusRequestTimeout, "timeout", "The call was given up before it was answered.")
	}
	return &unknown{cause: err, Problem: fault(http.StatusInternalServerError, "")}
}

func answerErased() *Problem {
	return problem(http.StatusConflict, "erased", "This call was carried out before. Its answer told of a patient who was erased since, and is gone.")
}

func conflict() *Problem {
	return problem(http.StatusConflict, "idempotency_conflict", "This Idempotency-Key was used with another body. Use a new key for a new request.")
}

// unknown keeps the cause for the log and shows none of it.
type unknown struct {
	*Problem
	cause error
}

func (u *unknown) Unwrap() error { return u.cause }
