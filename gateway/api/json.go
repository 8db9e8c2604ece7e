package api

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/gateway"
)

// How bodies are read. The parser's own errors repeat what was sent, so each becomes
// one of these.
const (
	saidNotJSON   = "The body is not JSON."
	saidTwice     = "The body names a member twice: which one counts is not certain."
	saidWrongType = "has the wrong type"
)

type badBody struct{ said string }

func (b *badBody) Error() string { return b.said }

// jsonFormat reads and writes JSON.
func jsonFormat() huma.Format {
	return huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: readJSON}
}

// readJSON is json.Unmarshal, stricter: text is UTF-8 (RFC 8259, 8.1) and no member
// stands twice in an object (RFC 7493, 2.3), where validation and use could each see
// another one. Both are looked at when a body is read as plain data, which is what is
// validated; a list of requests is looked at one by one.
func readJSON(data []byte, v any) error {
	if _, plain := v.(*any); plain {
		if !utf8.Valid(data) {
			return &badBody{saidNotJSON}
		}
		if gateway.NamesTwice(data) {
			return &badBody{saidTwice}
		}
	}
	err := json.Unmarshal(data, v)
	var known *badBody
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.As(err, &syntax), errors.Is(err, io.ErrUnexpectedEOF):
		return &badBody{saidNotJSON}
	case errors.As(err, &kind) && kind.Field != "":
		return &badBody{saidWrongType + " at body." + kind.Field}
	}
	return &badBody{saidWrongType}
}

// names are the words that the description of the API knows.
type names map[string]bool

// learn takes every name of the description in: members and parameters.
func (n names) learn(doc *huma.OpenAPI) {
	for _, where := range []string{"body", "path", "query", "header"} {
		n[where] = true
	}
	for _, s := range doc.Components.Schemas.Map() {
		for name := range s.Properties {
			n[name] = true
		}
	}
	for _, item := range doc.Paths {
		for _, o := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
			if o != nil {
				for _, p := range o.Parameters {
					n[p.Name] = true
				}
			}
		}
	}
}

// cut ends a place before the first name that the description does not know: that one
// is the caller's own word, and may be anything.
func (n names) cut(place string) string {
	parts := strings.Split(place, ".")
	for i, part := range parts {
		name, index, _ := strings.Cut(part, "[")
		if !n[name] || strings.Trim(index, "0123456789[]") != "" {
			return strings.Join(parts[:i], ".")
		}
	}
	return place
}
