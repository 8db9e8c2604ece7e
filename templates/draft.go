package templates

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"

	"harmonize.care/heed/channels"
)

// Draft is a practice's own template as it was written down: the same layout as the
// files under texts/, beside what these have in the table.
type Draft struct {
	Name      string     `json:"name"`
	Category  string     `json:"category"`
	Content   string     `json:"content"` // none, minimal or clinical; "": as much as the category may carry
	Variables []Variable `json:"variables"`
	Source    string     `json:"source"`
}

// Finding is one thing that is wrong with a draft. It never repeats the draft's words.
type Finding struct {
	Where   string `json:"where"` // language, channel and form; or the line; or the field
	Rule    Rule   `json:"rule"`
	Problem string `json:"problem"` // what is wrong and what to do
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s: %s", f.Where, f.Rule, f.Problem) }

// Findings are what is wrong with a draft, as an error.
type Findings []Finding

func (f Findings) Error() string {
	var lines []string
	for _, one := range f {
		lines = append(lines, one.String())
	}
	return strings.Join(lines, "\n")
}

func (f *Findings) add(where string, rule Rule, format string, args ...any) {
	*f = append(*f, Finding{where, rule, fmt.Sprintf(format, args...)})
}

// Limits of a draft: all that is built in is far below them.
const (
	maxSource    = 64 << 10
	maxSections  = 64
	maxVariables = 20
	maxValue     = 5000
)

// Digest is of everything that the draft says: what is approved is this and no other.
func (d Draft) Digest() string {
	body, _ := json.Marshal(d) // texts, numbers and flags always marshal
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:16])
}

// Parse reads a draft, whose category the policy describes so, and holds it to
// everything that built-in texts are held to, as this practice would send it too.
// What is wrong is told as Findings.
func (s *Set) Parse(d Draft, c Category, identity Identity) (*Template, error) {
	var found Findings
	d.checkHead(s, &found)
	d.checkSource(&found)
	if len(found) > 0 {
		return nil, found
	}
	if d.Content == "" {
		d.Content = c.Content
	}
	t := &Template{
		Name: d.Name, Category: d.Category, Essential: c.Essential, Content: d.Content, Variables: slices.Clone(d.Variables), Practice: true,
		words: map[which]words{}, footer: s.shared.footer, layout: s.shared.layout,
	}
	if err := t.read(overlay{files, "texts/" + d.Name + ".txt", d.Source}, s.shared.texts, s.shared.voice); err != nil {
		found.add("source", RuleForms, "the texts cannot be read: compare them with `heed templates show appointment_reminder`")
		return nil, found
	}
	sum := sha256.Sum256([]byte(d.Digest() + t.Digest))
	t.Digest = hex.EncodeToString(sum[:8])
	t.checkRoom(&found)
	found = append(found, findings(t, t.Lint(c))...)
	if len(found) == 0 {
		found = findings(t, t.lintAs(c, identity))
	}
	if len(found) > 0 {
		return nil, found
	}
	return t, nil
}

// overlay shows one file more, or in another's place, than the file system below.
type overlay struct {
	fs.FS
	name, text string
}

// ReadFile is fs.ReadFileFS.
func (o overlay) ReadFile(name string) ([]byte, error) {
	if name == o.name {
		return []byte(o.text), nil
	}
	return fs.ReadFile(o.FS, name)
}

// findings takes apart what Lint joined.
func findings(t *Template, err error) Findings {
	var list Findings
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	for _, one := range joined.Unwrap() {
		var refused *Refused
		if !errors.As(one, &refused) {
			continue
		}
		where := strings.TrimSuffix(one.Error(), ": "+refused.Error())
		where = strings.TrimPrefix(strings.TrimPrefix(where, t.Name), ": ")
		if where == "" {
			where = "the template"
		}
		if f := (Finding{where, refused.Rule, refused.Problem}); !slices.Contains(list, f) {
			list = append(list, f)
		}
	}
	return list
}

// checkHead looks at everything beside the texts.
func (d Draft) checkHead(s *Set, found *Findings) {
	if !isName(d.Name) || d.Name[0] < 'a' {
		found.add("name", RuleForms, "must be up to 40 lower-case letters, digits and underscores, a letter first")
	}
	if t, ok := s.byName[d.Name]; ok && t.Category == "" || slices.Contains([]string{"footer", secureLink, "voice", "call_back", "voicemail"}, d.Name) {
		found.add("name", RuleForms, "is kept for an answer or a shared part of the built-in texts: use another")
	}
	if d.Content != "" && rank(d.Content) < 0 {
		found.add("content", RuleContent, "must be none, minimal or clinical")
	}
	if len(d.Variables) > maxVariables {
		found.add("variables", RuleVariables, "are more than %d", maxVariables)
		return
	}
	times := 0
	for i, v := range d.Variables {
		if problem := v.wrong(d.Variables[:i]); problem != "" {
			found.add(fmt.Sprintf("variables[%d]", i), RuleVariables, "%s", problem)
		}
		if v.Kind == KindTime {
			times++
		}
	}
	if times > 1 {
		found.add("variables", RuleVariables, "hold more than one time: it says when the message is of no more use")
	}
}

func (v Variable) wrong(before []Variable) string {
	most := map[string]int{KindText: maxValue, KindTime: 40, KindDate: 10, KindURL: 2000}[v.Kind]
	switch {
	case !isName(v.Name):
		return "needs a name of up to 40 lower-case letters, digits and underscores"
	case slices.Contains(settings(), v.Name) || v.Name == "postal_address":
		return "has the name of something that the gateway fills in: use another"
	case slices.ContainsFunc(before, func(b Variable) bool { return b.Name == v.Name }):
		return "has the name of another one"
	case most == 0:
		return "must be of the kind text, time, date or url"
	case v.Max < 1 || v.Max > most:
		return fmt.Sprintf("must take from 1 to %d characters", most)
	case v.Lines && v.Kind != KindText:
		return "may have line breaks only as a text"
	}
	return ""
}

// checkSource looks at each text by itself, so that a mistake is told with its line.
func (d Draft) checkSource(found *Findings) {
	switch {
	case len(d.Source) > maxSource:
		found.add("source", RuleLength, "is longer than %d bytes", maxSource)
		return
	case !utf8.ValidString(d.Source):
		found.add("source", RuleForms, "is not valid UTF-8")
		return
	}
	if problem := wrongCharacters(strings.ReplaceAll(d.Source, "\r\n", "\n"), true); problem != "" || strings.Contains(d.Source, "\r") {
		found.add("source", RuleForms, "holds a control character, a carriage return or a line separator: use plain text with plain line ends")
		return
	}
	list := sections(d.Source)
	if len(list) == 0 || len(list) > maxSections {
		found.add("source", RuleForms, "must hold from 1 to %d texts, each under a line such as: == en sms normal", maxSections)
		return
	}
	lines := titleLines(d.Source)
	for i, s := range list {
		where := fmt.Sprintf("line %d", lines[i])
		if problem := s.wrong(); problem != "" {
			found.add(where, RuleForms, "%s", problem)
		}
	}
}

// titleLines gives the numbers of the lines that begin a text.
func titleLines(source string) []int {
	var list []int
	at := 0
	for line := range strings.Lines(source) {
		at++
		if strings.HasPrefix(line, "== ") {
			list = append(list, at)
		}
	}
	return list
}

// wrong says what is wrong with one text, without its words.
func (s section) wrong() string {
	language, after, _ := strings.Cut(s.title, " ")
	if !slices.Contains(languages(), language) {
		return "the language must be " + strings.Join(languages(), " or ")
	}
	if err := parseWords("== "+s.title+"\n"+s.text, Full, map[which]words{}); err != nil {
		return strings.TrimPrefix(err.Error(), "== "+s.title+": ")
	}
	if strings.HasPrefix(after, channels.Email.String()+" ") {
		return wrongEmailHead(s.text)
	}
	return ""
}

// wrongEmailHead: a misspelt "Subject" would go unseen otherwise.
func wrongEmailHead(text string) string {
	head, _, _ := strings.Cut(strings.Trim(text, "\n"), "\n\n")
	seen := map[string]bool{}
	for line := range strings.Lines(head) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case key != "Subject" && key != "Link" || seen[key]:
			return "an email begins with one line Subject:, perhaps one line Link:, and then a blank line"
		case key == "Link":
			name, words, ok := strings.Cut(strings.TrimPrefix(value, "{"), "} ")
			if !ok || !strings.HasPrefix(value, "{") || !isName(name) || words == "" {
				return "Link: is {variable} and the words to show"
			}
		}
		seen[key] = true
	}
	if !seen["Subject"] {
		return "an email needs a line Subject:"
	}
	return ""
}

// checkRoom finds a text that would not fit into an SMS, or a call, once its variables
// are as long as they may be: that is better known now than at night.
func (t *Template) checkRoom(found *Findings) {
	for _, w := range t.Wordings() {
		if w.Channel == channels.Email || w.Form != Full {
			continue
		}
		body, room := t.words[which{w.Language, w.Channel, w.Form, w.Discreet}].body, places(w.Body)
		for _, v := range t.Variables {
			if body.asks(v.Name) {
				room += v.Max
			}
		}
		what, most := "SMS", maxSMS
		if w.Channel == channels.Voice {
			what, most = "call", maxSpoken
			for _, l := range []Line{LineOpening, LineNumber, t.Keys(w.Form)} {
				room += places(t.spoken[spokenKey(w.Language, l)].source)
			}
		}
		if room > most {
			found.add(fmt.Sprintf("%s %s, %s", w.Language, w.Channel, w.Form), RuleLength,
				"the %s may come to %d characters with the longest variables, and takes %d: give the variables less room", what, room, most)
		}
	}
}

// Follow says what keeps t from taking the place of an older text of its name:
// messages that wait go out with the newer words, so it must take all that the older
// one took, and need no more.
func (t *Template) Follow(older *Template) error {
	var found Findings
	if t.Category != older.Category {
		found.add("category", RuleContent, "must stay the same: messages that wait are of the older one")
	}
	for _, o := range older.Variables {
		at := slices.IndexFunc(t.Variables, func(v Variable) bool { return v.Name == o.Name })
		switch {
		case at < 0:
			found.add("variables", RuleVariables, "{%s} is missing: messages that wait bring it; a text need not show it", o.Name)
		case t.Variables[at].Kind != o.Kind || t.Variables[at].Max < o.Max || o.Lines && !t.Variables[at].Lines:
			found.add("variables", RuleVariables, "{%s} must take all that it took before: kind %s, up to %d characters", o.Name, o.Kind, o.Max)
		case t.Variables[at].Required && !o.Required:
			found.add("variables", RuleVariables, "{%s} may not become required: messages that wait may be without it", o.Name)
		}
	}
	for _, v := range t.Variables {
		if v.Required && !slices.ContainsFunc(older.Variables, func(o Variable) bool { return o.Name == v.Name }) {
			found.add("variables", RuleVariables, "{%s} is new and may not be required: messages that wait are without it", v.Name)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found
}
