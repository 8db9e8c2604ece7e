package fhir

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"harmonize.care/heed/gateway"
)

// stranger is what is read of a resource that only a reference leads to.
type stranger struct {
	ResourceType string          `json:"resourceType"`
	ID           string          `json:"id"`
	Name         json.RawMessage `json:"name"`
	Identifier   []r4.Identifier `json:"identifier"`
}

// world is what references can lead to: what a resource contains, and the other
// entries of its Bundle.
type world struct{ sent, contained map[string]stranger }

func (w world) add(url string, raw json.RawMessage) {
	var s stranger
	if url != "" && json.Unmarshal(raw, &s) == nil { // what cannot be read is not there
		w.sent[url] = s
	}
}

func (w world) find(reference string) (stranger, bool) {
	id, contained := strings.CutPrefix(reference, "#")
	if contained {
		s, ok := w.contained[id]
		return s, ok
	}
	s, ok := w.sent[reference]
	return s, ok
}

// with adds what a resource contains. https://hl7.org/fhir/R4/references.html#contained
func (w world) with(raw json.RawMessage) world {
	var of struct {
		Contained []json.RawMessage `json:"contained"`
	}
	if json.Unmarshal(raw, &of) != nil || len(of.Contained) == 0 {
		return w
	}
	w.contained = map[string]stranger{}
	for _, one := range of.Contained {
		var s stranger
		if json.Unmarshal(one, &s) == nil && s.ID != "" {
			w.contained[s.ID] = s
		}
	}
	return w
}

// unversioned cuts the version off a reference.
func unversioned(reference string) string {
	plain, _, _ := strings.Cut(reference, "/_history/")
	return plain
}

// typeAndID reads the end of a reference such as https://ehr.example/fhir/Patient/17.
func typeAndID(reference string) (kind, id string) {
	parts := strings.Split(unversioned(reference), "/")
	if len(parts) < 2 {
		return "", ""
	}
	return parts[len(parts)-2], parts[len(parts)-1]
}

// inside says that a reference leads to something sent along, and not by type and id.
func inside(reference string) bool {
	return strings.HasPrefix(reference, "#") || strings.HasPrefix(reference, "urn:")
}

// kindOf says which type of resource a reference leads to, or "".
func (w world) kindOf(ref *r4.Reference) string {
	if reference := text(ref.Reference); reference != "" {
		if s, ok := w.find(reference); ok {
			return s.ResourceType
		}
		if kind, _, conditional := strings.Cut(reference, "?"); conditional {
			return kind[strings.LastIndex(kind, "/")+1:]
		}
		if kind, _ := typeAndID(reference); kind != "" {
			return kind
		}
	}
	return text(ref.Type)
}

// patient gives the practice's id of the patient that a reference leads to, or says
// what is wrong with it. Only one reading is ever tried: a second guess could be
// somebody else's number.
func (w world) patient(ref *r4.Reference) (id, problem string) {
	if kind := w.kindOf(ref); kind != "" && kind != "Patient" {
		return "", "This is not a Patient."
	}
	reference := text(ref.Reference)
	switch {
	case reference != "" && inside(reference):
		s, ok := w.find(reference)
		if ok {
			id, problem = s.patientID(strings.HasPrefix(reference, "#"))
		} else if ref.Identifier == nil {
			return "", "Nothing that came along has this address."
		} else {
			id = text(ref.Identifier.Value)
		}
	case reference != "" && !strings.Contains(reference, "?"):
		_, id = typeAndID(reference)
	case ref.Identifier != nil:
		id = text(ref.Identifier.Value)
	}
	switch {
	case problem != "":
		return "", problem
	case id == "":
		return "", "Say who it is: reference Patient/{the practice's id}, or identifier.value."
	}
	return id, idProblem(id)
}

// patientID is the record number of a patient sent along, else its id: inside a
// resource an id means nothing outside it.
func (s *stranger) patientID(contained bool) (id, problem string) {
	if s.ResourceType != "Patient" {
		return "", "This is not a Patient."
	}
	for _, i := range s.Identifier {
		if i.Type == nil || i.Value == nil {
			continue
		}
		for _, c := range i.Type.Coding {
			if text(c.System) != systemIdentifier || text(c.Code) != recordNumber {
				continue
			}
			if id != "" && id != *i.Value {
				return "", "The Patient has several record numbers."
			}
			id = *i.Value
		}
	}
	if id == "" && !contained {
		id = s.ID
	}
	return id, ""
}

// maxID is how long an id may be, as the patient's id in the API.
const maxID = 128

func idProblem(id string) string {
	switch {
	case len(id) > maxID:
		return "An id has at most 128 bytes."
	case gateway.TextProblem(id, false) != "":
		return "The id " + gateway.TextProblem(id, false) + "."
	}
	return ""
}

// keyed is the identity that an Idempotency-Key gives to a resource without one of its own.
func keyed(kind, caller, key, place string) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(caller + "\n" + key + "\n" + place))
	return kind + "#" + hex.EncodeToString(sum[:16])
}

// byID and byIdentifier are how a message says which CommunicationRequest asked for
// it: the two ways in which R4 itself refers to one. An id of another kind of
// resource, or of the other interfaces, is never taken for it.
func byID(id string) string { return request + "/" + id }

const identified = request + "?identifier="

func byIdentifier(i *r4.Identifier) string {
	return identified + text(i.System) + "|" + text(i.Value)
}

// maxNames is under how many names a request may be known.
const maxNames = 4

// names lists the names of a request, the one that it is kept under first: its id,
// which is what other resources refer to it by, then its identifiers.
func names(id *string, identifiers []r4.Identifier, key string) []string {
	var list []string
	if text(id) != "" {
		list = append(list, byID(*id))
	}
	for i := range identifiers {
		if text(identifiers[i].Value) != "" && len(list) < maxNames {
			list = append(list, byIdentifier(&identifiers[i]))
		}
	}
	if len(list) == 0 && key != "" {
		list = append(list, key)
	}
	return list
}

// maxReference is how long a message's reference may be, as in the API.
const maxReference = 200

func namesProblem(list []string) string {
	for _, name := range list {
		if len(name) > maxReference {
			return "It is too long: the system and the value of an identifier have at most 150 characters together."
		}
		if problem := gateway.TextProblem(name, false); problem != "" {
			return "It " + problem + "."
		}
	}
	return ""
}
