package sandbox

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// verb is one element of TwiML.
type verb struct {
	name  string
	attrs map[string]string
	text  string
	inner []*verb
}

// element says what an element of TwiML may have.
type element struct {
	inner []string
	text  bool
	attrs map[string]*regexp.Regexp
}

// grammar is the part of TwiML for calls that the pretend carrier knows; the rest
// it refuses, as Twilio refuses what it does not know.
// https://www.twilio.com/docs/voice/twiml/say, …/gather, …/pause, …/hangup
func grammar() map[string]element {
	word := func(pattern string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + pattern + `)$`) }
	number := word(`[0-9]{1,3}`)
	return map[string]element{
		"Response": {inner: []string{"Say", "Gather", "Pause", "Hangup"}},
		"Say": {text: true, attrs: map[string]*regexp.Regexp{
			"language": word(`[a-z]{2,3}(-[A-Z0-9]{2,3})?`), "voice": word(`man|woman|alice|Polly\.[A-Z][A-Za-z]+(-Neural)?|Google\.[A-Za-z0-9-]+`), "loop": number,
		}},
		"Gather": {inner: []string{"Say", "Pause"}, attrs: map[string]*regexp.Regexp{
			"input": word(`dtmf|speech|dtmf speech`), "numDigits": word(`[1-9][0-9]?`), "timeout": number, "finishOnKey": word(`[0-9*#]?`),
			"action": word(`.+`), "method": word(`GET|POST`), "actionOnEmptyResult": word(`true|false`),
		}},
		"Pause":  {attrs: map[string]*regexp.Regexp{"length": number}},
		"Hangup": {},
	}
}

// CheckTwiML says what Twilio would not take of a script for a call: more than
// 4,000 characters, what is not well-formed, or verbs and attributes that it does
// not know or that stand in the wrong place.
func CheckTwiML(doc []byte) error {
	_, err := readTwiML(doc)
	return err
}

// readTwiML reads a script and holds it against the grammar.
func readTwiML(doc []byte) (*verb, error) {
	if utf8.RuneCount(doc) > maxTwiml {
		return nil, fmt.Errorf("the script is longer than %d characters", maxTwiml)
	}
	root, err := parseTwiML(doc)
	if err != nil {
		return nil, err
	}
	if root.name != "Response" {
		return nil, errors.New("the script does not begin with Response")
	}
	return root, root.check(grammar())
}

// parseTwiML reads the elements of a document.
func parseTwiML(doc []byte) (*verb, error) {
	var root *verb
	var open []*verb
	decoder := xml.NewDecoder(bytes.NewReader(doc))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) && root != nil {
			return root, nil
		}
		if err != nil {
			return nil, errors.New("the script is not well-formed")
		}
		switch t := token.(type) {
		case xml.StartElement:
			v := &verb{name: t.Name.Local, attrs: map[string]string{}}
			for _, a := range t.Attr {
				v.attrs[a.Name.Local] = a.Value
			}
			switch {
			case len(open) > 0:
				last := open[len(open)-1]
				last.inner = append(last.inner, v)
			case root == nil:
				root = v
			default:
				return nil, errors.New("the script has two beginnings")
			}
			open = append(open, v)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if text := strings.TrimSpace(string(t)); text != "" && len(open) > 0 {
				open[len(open)-1].text += text
			}
		}
	}
}

// check holds an element and what stands in it against the grammar.
func (v *verb) check(g map[string]element) error {
	rule, known := g[v.name]
	switch {
	case !known:
		return fmt.Errorf("%s is no verb that is known", v.name)
	case v.text != "" && !rule.text:
		return fmt.Errorf("%s holds words: they stand in Say", v.name)
	case v.text == "" && rule.text:
		return fmt.Errorf("%s says nothing", v.name)
	}
	for name, value := range v.attrs {
		allowed, ok := rule.attrs[name]
		if !ok {
			return fmt.Errorf("%s has no attribute %s", v.name, name)
		}
		if !allowed.MatchString(value) {
			return fmt.Errorf("the attribute %s of %s has a value that is not taken", name, v.name)
		}
	}
	if action := v.attrs["action"]; action != "" {
		if _, err := url.Parse(action); err != nil {
			return fmt.Errorf("the action of %s is no URL", v.name)
		}
	}
	for _, inner := range v.inner {
		if !slices.Contains(rule.inner, inner.name) {
			return fmt.Errorf("%s may not stand in %s", inner.name, v.name)
		}
		if err := inner.check(g); err != nil {
			return err
		}
	}
	return nil
}

// words lists what is said in an element.
func (v *verb) words() []string {
	var list []string
	if v.text != "" {
		list = append(list, v.text)
	}
	for _, inner := range v.inner {
		list = append(list, inner.words()...)
	}
	return list
}
