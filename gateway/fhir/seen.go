package fhir

import (
	"strings"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
)

// The audit log says who saw what: 45 CFR 164.312(b). It has the verbs of the API, because
// what is shown is the same.

// seen writes down what the caller is about to see, and the patients in it beside the
// object itself.
func (c *call) seen(verb, object, patients string) error {
	_, err := c.Store.Commit(c.Context(), gateway.Change{
		At: c.Dispatcher.Now(), Actor: c.caller.Name, Audit: []gateway.Audit{{Verb: verb, Object: object, Detail: patients}},
	})
	return err
}

// refused writes down a call that the caller's role does not allow. It stays refused
// where that fails.
func (c *call) refused(need auth.Permission) {
	if err := c.seen("call.refused", operation(c.Pattern), string(need)); err != nil {
		c.Log.Error("a refused call could not be written down", "operation", c.Pattern, "error", err)
	}
}

// operation names a route as the API names its operations: get-fhir-communication-id.
func operation(pattern string) string {
	return strings.ToLower(strings.NewReplacer(" /", "-", "/{$}", "", "/", "-", "{", "", "}", "").Replace(pattern))
}
