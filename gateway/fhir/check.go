package fhir

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strings"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"harmonize.care/heed/gateway"
)

// The resources that are acted on.
const (
	request     = "CommunicationRequest"
	appointment = "Appointment"
)

// decode reads a resource of one kind, after holding it to the shape that R4 gives
// it. encoding/json alone takes a misspelt element for none at all, so that
// "doNotPreform" would send; and its errors repeat what was sent.
func decode[T any](raw []byte, kind, path string) (*T, []issue) {
	var plain any
	if err := json.Unmarshal(raw, &plain); err != nil {
		return nil, []issue{wrong(r4.IssueTypeInvalid, path, "This is not JSON.")}
	}
	c := &checker{}
	object, ok := plain.(map[string]any)
	if !ok || object["resourceType"] != kind {
		return nil, []issue{wrong(r4.IssueTypeStructure, path, "This is not a "+kind+": resourceType says what a resource is.")}
	}
	delete(object, "resourceType")
	delete(object, "contained") // read apart: only what a reference leads to
	c.value(object, reflect.TypeFor[T](), path)
	if _, there := object["implicitRules"]; there {
		c.add(r4.IssueTypeNotSupported, path+".implicitRules", "The resource was made by rules that are not known here, so what it means is not known.")
	}
	if len(c.issues) > 0 {
		return nil, c.issues
	}
	out := new(T)
	if err := json.Unmarshal(raw, out); err != nil {
		return nil, []issue{wrong(r4.IssueTypeStructure, path, "An element does not have the form that R4 gives it.")}
	}
	return out, nil
}

// maxDepth is how deep elements may lie in each other. R4 nests extensions without an
// end; none that anybody writes comes near it, and the time that it takes to look at a
// nest grows with the square of its depth.
const maxDepth = 50

// checker holds plain JSON to the R4 structs.
type checker struct {
	issues []issue
	depth  int
}

func (c *checker) add(code r4.IssueType, path, words string) {
	if len(c.issues) < maxIssues {
		c.issues = append(c.issues, wrong(code, path, words))
	}
}

func (c *checker) form(path, form string) {
	c.add(r4.IssueTypeStructure, path, "R4 has "+form+" here.")
}

// value holds one value to its type.
func (c *checker) value(v any, t reflect.Type, path string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	c.depth++
	defer func() { c.depth-- }()
	switch {
	case c.depth > maxDepth:
		c.add(r4.IssueTypeTooCostly, path, "Elements lie too deep in each other.")
	case v == nil:
		c.add(r4.IssueTypeStructure, path, "null is no value: leave the element out.")
	case t == reflect.TypeFor[json.RawMessage]():
		// a resource within a resource: read by itself
	case t == reflect.TypeFor[json.Number]():
		if _, ok := v.(float64); !ok {
			c.form(path, "a number")
		}
	case reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()):
		c.code(v, t, path)
	case t.Kind() == reflect.Struct:
		c.object(v, t, path)
	case t.Kind() == reflect.Slice:
		list, ok := v.([]any)
		if !ok {
			c.form(path, "a list")
			return
		}
		for i, one := range list {
			c.value(one, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
		}
	default:
		c.primitive(v, t, path)
	}
}

func (c *checker) primitive(v any, t reflect.Type, path string) {
	switch x := v.(type) {
	case string:
		// R4's string has line breaks and tabs; where a text is no free one, what uses it looks again.
		if problem := gateway.TextProblem(x, true); problem != "" {
			c.add(r4.IssueTypeValue, path, "The text "+problem+".")
			return
		}
		if t.Kind() == reflect.String {
			return
		}
	case bool:
		if t.Kind() == reflect.Bool {
			return
		}
	case float64:
		if t.Kind() == reflect.Int && x == math.Trunc(x) && math.Abs(x) < math.MaxInt32 {
			return
		}
	}
	c.form(path, map[reflect.Kind]string{reflect.String: "a text", reflect.Bool: "true or false", reflect.Int: "a whole number"}[t.Kind()])
}

// code holds a value to a closed list of codes.
func (c *checker) code(v any, t reflect.Type, path string) {
	said, ok := v.(string)
	if !ok {
		c.form(path, "a code")
		return
	}
	quoted, err := json.Marshal(said)
	if err == nil {
		err = json.Unmarshal(quoted, reflect.New(t).Interface())
	}
	if err != nil {
		c.add(r4.IssueTypeCodeInvalid, path, "This is none of the codes that R4 allows here.")
	}
}

// object holds an object to a struct. An element that is not known could change what
// the rest means; its name is not repeated, for it could be anything.
func (c *checker) object(v any, t reflect.Type, path string) {
	object, ok := v.(map[string]any)
	if !ok {
		c.form(path, "an object")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		plain := strings.TrimPrefix(name, "_")
		field, known := fieldOf(t, plain)
		switch {
		case !known:
			c.add(r4.IssueTypeStructure, path, "It holds an element that R4 does not have here.")
		case plain == "modifierExtension":
			// https://hl7.org/fhir/R4/extensibility.html#modifierExtension: what is not understood must not be acted on.
			c.add(r4.IssueTypeExtension, path+".modifierExtension", "A modifier extension changes what the rest means, and this one is not known here.")
		case plain != name:
			if _, there := object[plain]; !there {
				c.add(r4.IssueTypeIncomplete, path+"."+plain, "Only what is said about the value is there, not the value.")
			}
		default:
			c.value(object[name], field.Type, path+"."+name)
		}
	}
}

func fieldOf(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); tag == name {
			return t.Field(i), true
		}
	}
	return reflect.StructField{}, false
}

// refused makes a refusal of what is wrong with a resource.
func refused(issues []issue) *refusal {
	status := http.StatusUnprocessableEntity
	if len(issues) == 1 && issues[0].code == r4.IssueTypeInvalid {
		status = http.StatusBadRequest
	}
	return &refusal{status, issues}
}
