package main

import "testing"

// What PostgreSQL would refuse is refused at the edge, on every database alike.
func TestControlCharactersAreRefusedAtTheEdge(t *testing.T) {
	h := start(t, nil)
	contact := map[string]any{"birth_date": "1980-04-02", "addresses": []any{}}
	for name, a := range map[string]answer{
		"an id with NUL":       h.call("PUT", "/v1/patients/%00x", contact),
		"an id that is broken": h.call("PUT", "/v1/patients/%ff", contact),
		"an id with a line":    h.call("PUT", "/v1/patients/%0d%0aX", contact),
		"a filter":             h.call("GET", "/v1/messages?reference=%00", nil),
		"a body":               h.call("POST", "/v1/decisions", map[string]any{"patient": "a\x00b", "category": "follow_up"}),
	} {
		if a.status != 422 {
			t.Errorf("%s: %d", name, a.status)
		}
	}
}
