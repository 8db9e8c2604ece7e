package templates

import (
	"fmt"
	"slices"
	"strings"

	"harmonize.care/heed/channels"
)

// words are one text of a template. Only email has a subject and a link.
type words struct {
	subject, body phrase
	link          phrase // the words on the link
	target        string // what the link leads to: url or secure_link
}

// footer is what stands below every email of a category: who sent it, and the
// words on the links.
type footer struct {
	from                     phrase
	preferences, unsubscribe string
}

// phrase is text with places to fill: {name} is filled in, and what stands in
// square brackets is left out when one of its names has no value. Nothing else
// means anything, and what is filled in is never read again.
type phrase struct {
	source string
	parts  []part
}

// part is literal text, or a name to fill in, or an optional group of both.
type part struct {
	literal, name string
	group         []part
}

// parsePhrase reads a phrase.
func parsePhrase(source string) (phrase, error) {
	parts, rest, err := parseParts(source, false)
	if err == nil && rest != "" {
		err = fmt.Errorf("a ] without its [")
	}
	return phrase{source, parts}, err
}

func parseParts(s string, inGroup bool) (parts []part, rest string, err error) {
	for s != "" {
		at := strings.IndexAny(s, "{}[]")
		if at < 0 {
			at = len(s)
		}
		if at > 0 {
			parts = append(parts, part{literal: s[:at]})
			s = s[at:]
			continue
		}
		switch s[0] {
		case '{':
			name, after, ok := strings.Cut(s[1:], "}")
			if !ok || !isName(name) {
				return nil, "", fmt.Errorf("a { must be followed by a name and a }")
			}
			parts, s = append(parts, part{name: name}), after
		case '[':
			if inGroup {
				return nil, "", fmt.Errorf("square brackets cannot stand inside one another")
			}
			group, after, err := parseParts(s[1:], true)
			if err != nil {
				return nil, "", err
			}
			if after == "" {
				return nil, "", fmt.Errorf("a [ without its ]")
			}
			parts, s = append(parts, part{group: group}), after[1:]
		case ']':
			return parts, s, nil
		default:
			return nil, "", fmt.Errorf("a } without its {")
		}
	}
	return parts, "", nil
}

func isName(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_0123456789") == ""
}

// names lists the names of a phrase: those that must have a value, and those in
// brackets that need not.
func (p phrase) names() (needed, optional []string) {
	for _, part := range p.parts {
		if part.name != "" {
			needed = append(needed, part.name)
		}
		for _, inner := range part.group {
			if inner.name != "" {
				optional = append(optional, inner.name)
			}
		}
	}
	return needed, optional
}

// fill writes the phrase out. The second result is a name that must have a value
// and has none.
func (p phrase) fill(values map[string]string) (text, missing string) {
	var b strings.Builder
	for _, part := range p.parts {
		switch {
		case part.group != nil:
			if inner, missing := (phrase{parts: part.group}).fill(values); missing == "" {
				b.WriteString(inner)
			}
		case part.name != "":
			if values[part.name] == "" {
				return "", part.name
			}
			b.WriteString(values[part.name])
		default:
			literal := part.literal
			if strings.HasSuffix(b.String(), ".") {
				literal = strings.TrimPrefix(literal, ".") // "a. m." and "St." bring their own
			}
			b.WriteString(literal)
		}
	}
	return b.String(), ""
}

// section is one "== …" part of a file of texts.
type section struct{ title, text string }

// sections cuts a file. What stands before the first title is for its readers.
func sections(file string) []section {
	var list []section
	for line := range strings.Lines(file) {
		if title, ok := strings.CutPrefix(line, "== "); ok {
			list = append(list, section{title: strings.TrimSpace(title)})
		} else if len(list) > 0 {
			list[len(list)-1].text += line
		}
	}
	return list
}

// parseWords reads a file of texts into the form they serve.
func parseWords(file string, form Form, into map[which]words) error {
	for _, s := range sections(file) {
		language, after, _ := strings.Cut(s.title, " ")
		name, variant, _ := strings.Cut(after, " ")
		channel, err := channels.ParseChannel(name)
		if err != nil {
			return fmt.Errorf("== %s: %w", s.title, err)
		}
		w, err := parseSection(s.text, channel)
		if err != nil {
			return fmt.Errorf("== %s: %w", s.title, err)
		}
		discreet, ok := map[string][]bool{"normal": {false}, "discreet": {true}, "normal and discreet": {false, true}}[variant]
		if !ok {
			return fmt.Errorf("== %s: say normal, discreet, or normal and discreet", s.title)
		}
		for _, d := range discreet {
			key := which{language, channel, form, d}
			if _, twice := into[key]; twice {
				return fmt.Errorf("== %s: this text is there twice", s.title)
			}
			into[key] = w
		}
	}
	return nil
}

func parseSection(text string, channel channels.Channel) (words, error) {
	var w words
	var err error
	text = strings.Trim(text, "\n")
	if channel == channels.Email {
		head, body, _ := strings.Cut(text, "\n\n")
		text = strings.Trim(body, "\n")
		fields := header(head)
		if w.subject, err = parsePhrase(fields["Subject"]); err != nil {
			return w, err
		}
		if target, label, ok := strings.Cut(fields["Link"], "} "); ok {
			w.target = strings.TrimPrefix(target, "{")
			if w.link, err = parsePhrase(label); err != nil {
				return w, err
			}
		}
	}
	w.body, err = parsePhrase(text)
	return w, err
}

// header reads "Key: words" lines.
func header(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			fields[key] = strings.TrimSpace(value)
		}
	}
	return fields
}

// parseFooter reads the words below emails, by language.
func parseFooter(file string) (map[string]footer, error) {
	byLanguage := map[string]footer{}
	for _, s := range sections(file) {
		fields := header(s.text)
		for _, key := range []string{"From", "Preferences", "Unsubscribe"} {
			if fields[key] == "" {
				return nil, fmt.Errorf("== %s: %s is missing", s.title, key)
			}
		}
		from, err := parsePhrase(fields["From"])
		if err != nil {
			return nil, fmt.Errorf("== %s: From: %w", s.title, err)
		}
		byLanguage[s.title] = footer{from, fields["Preferences"], fields["Unsubscribe"]}
	}
	return byLanguage, nil
}

// asks says whether a phrase may show this name.
func (p phrase) asks(name string) bool {
	needed, optional := p.names()
	return slices.Contains(needed, name) || slices.Contains(optional, name)
}
