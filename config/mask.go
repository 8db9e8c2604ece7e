package config

import (
	"bytes"
	"net/url"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"harmonize.care/heed/channels"
)

// mask stands for what is not shown. It is refused where a secret belongs, so that
// printed settings are not taken for whole ones when they are read in again.
const mask = "********"

// Masked gives what is in force as YAML that can be read in again, apart from what
// is secret.
func (c *Config) Masked() []byte {
	programs := map[channels.Program]*ProgramConfig{}
	for _, p := range channels.Programs {
		pc := c.Programs[p]
		programs[p] = &pc
	}
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, s := range c.settings(programs) {
		groups := strings.Split(s.key, ".")
		at := root
		for _, name := range groups[:len(groups)-1] {
			at = child(at, name)
		}
		at.Content = append(at.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: groups[len(groups)-1]}, scalar(shownValue(s)))
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		panic(err) // a tree of texts, numbers and lists, written to memory
	}
	return b.Bytes()
}

// child gives the group of this name under a group, at its end when it is new.
func child(group *yaml.Node, name string) *yaml.Node {
	for i := 0; i < len(group.Content); i += 2 {
		if group.Content[i].Value == name {
			return group.Content[i+1]
		}
	}
	added := &yaml.Node{Kind: yaml.MappingNode}
	group.Content = append(group.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, added)
	return added
}

func scalar(value any) *yaml.Node {
	n := &yaml.Node{}
	if err := n.Encode(value); err != nil {
		panic(err) // a text, a number or a list of texts
	}
	if n.Kind == yaml.SequenceNode {
		n.Style = yaml.FlowStyle
	}
	return n
}

// shownValue is a setting's value as it may be seen.
func shownValue(s setting) any {
	switch at := s.at.(type) {
	case *string:
		switch {
		case s.hide == all && *at != "":
			return mask
		case s.hide == password:
			return maskURL(*at)
		}
		return *at
	case *[]string:
		list := append([]string{}, *at...)
		for i := range list {
			if s.hide == all {
				list[i] = mask
			}
		}
		return list
	case *time.Duration:
		return at.String()
	case *int:
		return *at
	default:
		return *s.at.(*bool)
	}
}

// maskURL hides the password of an address, before its host or in its query.
func maskURL(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return text
	}
	user, hosts, rest := authority(rest)
	if name, _, has := strings.Cut(user, ":"); has {
		user = name + ":" + mask
	}
	if user != "" {
		user += "@"
	}
	path, query, has := strings.Cut(rest, "?")
	if !has {
		return scheme + "://" + user + hosts + rest
	}
	parts := strings.Split(query, "&")
	for i, part := range parts {
		name, _, _ := strings.Cut(part, "=")
		if read, err := url.QueryUnescape(name); err != nil || strings.Contains(strings.ToLower(read), "password") {
			parts[i] = name + "=" + mask
		}
	}
	return scheme + "://" + user + hosts + path + "?" + strings.Join(parts, "&")
}
