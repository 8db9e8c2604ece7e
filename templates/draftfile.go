package templates

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// A draft as one file, for people and for version control: a head, and then the
// texts as texts/README.md describes them.
//
//	Name: appointment_reminder
//	Category: appointment_reminder
//	Content: minimal
//	Variable: appointment_time time required
//	Variable: note text max 200 lines
//
//	== en sms normal
//	…
//
// A line of the head that begins with # is for its readers.

// ReadDraft reads such a file. The error is Findings.
func ReadDraft(file string) (Draft, error) {
	var d Draft
	var found Findings
	head, source := file, ""
	if strings.HasPrefix(file, "== ") {
		head, source = "", file
	} else if at := strings.Index(file, "\n== "); at >= 0 {
		head, source = file[:at+1], file[at+1:]
	}
	d.Source = source
	single := map[string]*string{"Name": &d.Name, "Category": &d.Category, "Content": &d.Content}
	at := 0
	for line := range strings.Lines(head) {
		at++
		where, line := fmt.Sprintf("line %d", at), strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch into := single[key]; {
		case into != nil && *into != "":
			found.add(where, RuleForms, "%s: is there twice", key)
		case into != nil:
			*into = value
		case key == "Variable":
			v, problem := readVariable(value)
			if problem != "" {
				found.add(where, RuleVariables, "%s", problem)
			}
			d.Variables = append(d.Variables, v)
		default:
			found.add(where, RuleForms, "the head has lines of Name:, Category:, Content: and Variable:, and notes behind a #")
		}
	}
	if len(found) > 0 {
		return d, found
	}
	return d, nil
}

// Room is how much a variable takes where nobody says.
func Room(kind string) int {
	switch kind {
	case KindTime:
		return 40
	case KindDate:
		return 10
	case KindURL:
		return 300
	}
	return 200
}

// readVariable reads "name kind [required] [max N] [lines]".
func readVariable(line string) (v Variable, problem string) {
	words := strings.Fields(line)
	if len(words) < 2 {
		return v, "Variable: is a name and a kind, perhaps required, max N and lines"
	}
	v = Variable{Name: words[0], Kind: words[1], Max: Room(words[1])}
	for rest := words[2:]; len(rest) > 0; rest = rest[1:] {
		switch rest[0] {
		case "required":
			v.Required = true
		case "lines":
			v.Lines = true
		case "max":
			n := 0
			if len(rest) > 1 {
				n, _ = strconv.Atoi(rest[1])
				rest = rest[1:]
			}
			if n < 1 {
				return v, "max is followed by a number of characters"
			}
			v.Max = n
		default:
			return v, "behind name and kind stand only required, max N and lines"
		}
	}
	return v, ""
}

// File writes a draft as ReadDraft reads it.
func (d Draft) File() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Name: %s\nCategory: %s\n", d.Name, d.Category)
	if d.Content != "" {
		fmt.Fprintf(&b, "Content: %s\n", d.Content)
	}
	for _, v := range d.Variables {
		fmt.Fprintf(&b, "Variable: %s %s", v.Name, v.Kind)
		if v.Required {
			b.WriteString(" required")
		}
		if v.Max != Room(v.Kind) {
			fmt.Fprintf(&b, " max %d", v.Max)
		}
		if v.Lines {
			b.WriteString(" lines")
		}
		b.WriteString("\n")
	}
	return b.String() + "\n" + d.Source
}

// Draft gives a built-in template as a draft to start from.
func (s *Set) Draft(name string) (Draft, bool) {
	t, ok := s.byName[name]
	text, err := fs.ReadFile(files, "texts/"+name+".txt")
	if !ok || err != nil || t.Category == "" || t.Practice {
		return Draft{}, false
	}
	file := string(text)
	if at := strings.Index(file, "\n== "); at >= 0 {
		file = file[at+1:]
	}
	return Draft{Name: t.Name, Category: t.Category, Content: t.Content, Variables: t.Variables, Source: file}, true
}
