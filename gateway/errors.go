package gateway

import "strings"

// Invalid is what a caller got wrong, field by field. It never repeats a value.
type Invalid []Mistake

// Mistake is one wrong field: where, and what to do.
type Mistake struct {
	Field   string // as the API spells it: addresses[0].value
	Problem string
}

func (v Invalid) Error() string {
	var lines []string
	for _, m := range v {
		lines = append(lines, m.Field+": "+m.Problem)
	}
	return strings.Join(lines, "; ")
}

// Wrong makes an Invalid of one mistake.
func Wrong(field, problem string) Invalid { return Invalid{{field, problem}} }

// Or gives the mistakes as an error, or nil when there are none.
func (v Invalid) Or() error {
	if len(v) == 0 {
		return nil
	}
	return v
}

// NotNow is a call that is right by itself, and does not fit how things stand.
type NotNow struct {
	Code    string // stable: made for programs
	Problem string // what stands against it, and what to do
}

func (n NotNow) Error() string { return n.Problem }
