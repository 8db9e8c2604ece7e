package fhir_test

import (
	"fmt"
	"net/http"
	"testing"

	"pgregory.net/rapid"

	"harmonize.care/heed/gateway"
)

// TestAnyHistory tells any story of a request, in any order and with any repeats: never
// is more than one message of it under way or gone, and none waits once it was taken back.
func TestAnyHistory(t *testing.T) {
	h := newHouse(t)
	story := 0
	rapid.Check(t, func(rt *rapid.T) {
		story++
		id := fmt.Sprint("r", story)
		over := false // taken back for good, with a message there
		for range rapid.IntRange(1, 7).Draw(rt, "length") {
			change := object{"payload": list{object{"contentString": rapid.SampledFrom([]string{"Please call us.", "Please write to us."}).Draw(rt, "text")}}}
			if rapid.Bool().Draw(rt, "identified") {
				change["identifier"] = list{object{"system": "urn:ehr", "value": id}}
			}
			status := rapid.SampledFrom([]string{"active", "active", "active", "draft", "on-hold", "revoked", "completed", "entered-in-error", "unknown", "goes out"}).Draw(rt, "status")
			if status == "goes out" {
				for _, m := range h.messages("CommunicationRequest/" + id) {
					if m.Status == gateway.Waiting {
						h.becomes(m.ID, gateway.Sent, "")
					}
				}
				continue
			}
			change["status"] = status
			forbidden := rapid.IntRange(0, 5).Draw(rt, "forbidden") == 0
			if forbidden {
				change["doNotPerform"] = true
			}
			got := h.call("PUT", "/fhir/CommunicationRequest/"+id, asks(id, change))
			if got.status >= 500 || (got.status == http.StatusUnprocessableEntity) != (status == "unknown") {
				rt.Fatalf("%s: %d %s", status, got.status, got.raw)
			}
			waits, alive, all := 0, 0, h.messages("CommunicationRequest/"+id)
			for i := range all {
				if all[i].Status == gateway.Waiting {
					waits++
				}
				if all[i].Status != gateway.Canceled {
					alive++
				}
			}
			ends := status == "active" && forbidden || !forbidden && (status == "revoked" || status == "completed" || status == "entered-in-error")
			holds := !forbidden && (status == "draft" || status == "on-hold")
			if alive > 1 || (ends || holds || over) && waits > 0 {
				rt.Fatalf("after %s: %d alive, %d wait", status, alive, waits)
			}
			for i := range all {
				over = over || all[i].Code == "request_revoked"
			}
		}
	})
}
