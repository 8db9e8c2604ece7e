package api

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"harmonize.care/heed/gateway"
)

// What was read into an operation's input is looked at once, before anything is done
// with it: every text in it, wherever it stands. Free text carries the tag
// lines:"free"; what stands in a map is free text too.

// badTexts gives every text that must not come in, by where it stands. A member's
// name in a map is the caller's own, so the place ends before it.
func badTexts(in any, at string) []Field {
	var list []Field
	walkTexts(reflect.ValueOf(in), at, false, func(where, problem string) {
		list = append(list, Field{Location: where, Message: problem})
	})
	return list
}

func walkTexts(v reflect.Value, at string, lines bool, bad func(where, problem string)) {
	switch v.Kind() {
	case reflect.String:
		if problem := gateway.TextProblem(v.String(), lines); problem != "" {
			bad(at, problem)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			walkTexts(v.Elem(), at, lines, bad)
		}
	case reflect.Slice:
		for i := range v.Len() {
			walkTexts(v.Index(i), at+"["+strconv.Itoa(i)+"]", lines, bad)
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			walkTexts(entries.Key(), at, false, bad)
			walkTexts(entries.Value(), at, true, func(_, problem string) { bad(at, problem) })
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				walkTexts(v.Field(i), placeOf(f, at), lines || f.Tag.Get("lines") != "", bad)
			}
		}
	}
}

// placeOf names a field as the caller knows it.
func placeOf(f reflect.StructField, at string) string {
	for _, in := range []string{"path", "query", "header"} {
		if name := f.Tag.Get(in); name != "" {
			return in + "." + name
		}
	}
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	switch {
	case f.Anonymous:
		return at
	case name == "":
		name = strings.ToLower(f.Name) // Body
	}
	return strings.TrimPrefix(at+"."+name, ".")
}

// refuseTexts is what a caller is told of bad texts: an id in the path that cannot be
// one names nothing.
func refuseTexts(bad []Field) error {
	for _, f := range bad {
		if strings.HasPrefix(f.Location, "path.") {
			return gateway.ErrNotFound
		}
	}
	if len(bad) == 0 {
		return nil
	}
	p := problem(http.StatusUnprocessableEntity, "invalid", "Some fields are not right; nothing was changed.")
	p.Errors = bad
	return p
}
