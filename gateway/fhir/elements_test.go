package fhir_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
)

// variants gives a value with one thing in it changed, for everything in it: each
// value in turn becomes something else, and each name one that R4 does not have.
func variants(v any) []any {
	all := []any{secret, secret + "\n\x00", 17.5, true, nil, object{}, object{secret: secret}, list{}, list{secret}, list{nil}}
	switch x := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(x)) {
			for _, other := range variants(x[name]) {
				one := maps.Clone(x)
				one[name] = other
				all = append(all, one)
			}
			gone, renamed := maps.Clone(x), maps.Clone(x)
			delete(gone, name)
			delete(renamed, name)
			renamed[secret] = x[name]
			said := maps.Clone(gone)
			said["_"+name] = object{"extension": list{object{"url": secret, "valueCode": "unknown"}}}
			all = append(all, gone, renamed, said)
		}
	case []any:
		for i := range x {
			for _, other := range variants(x[i]) {
				one := slices.Clone(x)
				one[i] = other
				all = append(all, one)
			}
		}
	}
	return all
}

// TestEveryElement puts something else in the place of every element of every kind of
// call. No answer is a fault, or repeats what was sent (call looks).
func TestEveryElement(t *testing.T) {
	h := newHouse(t)
	full := asks("r1", object{
		"identifier": list{object{"system": "urn:ehr", "value": "7", "use": "official"}}, "replaces": list{object{"reference": "CommunicationRequest/r0"}}, "priority": "urgent", "doNotPerform": false,
		"medium": list{mode("SMSWRIT")}, "occurrencePeriod": object{"start": "2026-11-04T12:00:00-07:00", "end": "2026-11-05T12:00:00-07:00"}, "recipient": list{object{"reference": "Patient/P1"}},
		"extension": list{variable("text", object{"valueString": "x"}), object{"url": "https://harmonize.care/heed/template", "valueCode": "follow_up"}}, "contained": list{object{"resourceType": "Patient", "id": "p"}},
	})
	n := 0 // variants
	for path, resource := range map[string]object{
		"/fhir/CommunicationRequest": full, "/fhir/Appointment": booked("a1", object{"identifier": list{object{"value": "A1", "use": "official"}}, "priority": 5}),
		"/fhir": bundle("batch", put(asks("r2", nil)), post(booked("a2", nil))),
	} {
		raw, err := json.Marshal(resource)
		if err != nil {
			t.Fatal(err)
		}
		var plain any
		if err := json.Unmarshal(raw, &plain); err != nil {
			t.Fatal(err)
		}
		for _, one := range variants(plain) {
			n++
			if got := h.call("POST", path, one); got.status >= 500 {
				sent, _ := json.Marshal(one)
				t.Errorf("%s: %d: %s", path, got.status, sent)
			}
		}
	}
	if n < 1000 {
		t.Errorf("only %d variants", n)
	}
	t.Log(fmt.Sprint(n, " variants, ", len(h.of("P1")), " messages"))
}
