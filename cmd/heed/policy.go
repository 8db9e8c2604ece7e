package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/config"
	"harmonize.care/heed/preferences/policy"
)

// maxPolicy bounds a policy file.
const maxPolicy = 1 << 20

// loadPolicy reads a policy file, or gives the built-in policy for "".
func loadPolicy(path string) (*policy.Policy, error) {
	file := policy.Default()
	if path != "" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("policy.file: %w", err)
		}
		defer f.Close()
		body, err := io.ReadAll(io.LimitReader(f, maxPolicy))
		if err != nil {
			return nil, fmt.Errorf("policy.file: %w", err)
		}
		if file, err = readPolicy(body); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	p, err := policy.New(file)
	if err != nil {
		return nil, fmt.Errorf("the policy is not right:\n%w", err)
	}
	return p, nil
}

// readPolicy reads the text of a policy; a key it does not know is an error.
func readPolicy(body []byte) (policy.File, error) {
	var file policy.File
	dec := yaml.NewDecoder(bytes.NewReader(body))
	dec.KnownFields(true)
	return file, policyMistakes(dec.Decode(&file))
}

// How the parser tells what a policy file has wrong; its words name types of ours.
var (
	notAKey    = regexp.MustCompile(`^line (\d+): field (.*) not found in type policy\.(\w+)$`)
	keyTwice   = regexp.MustCompile(`^line (\d+): mapping key .* already defined at line (\d+)$`)
	notAValue  = regexp.MustCompile(`^line (\d+): cannot unmarshal .* into (\S+)$`)
	lineNumber = regexp.MustCompile(`line (\d+)`)
)

// valueNames says what belongs where the parser found something else.
var valueNames = map[string]string{"int": "a whole number", "bool": "true or false", "string": "a text", "[]string": "a list of texts"}

// policyMistakes tells what is wrong with the text of a policy in words of its reader.
func policyMistakes(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	var list *yaml.TypeError
	if !errors.As(err, &list) {
		where := ""
		if m := lineNumber.FindStringSubmatch(err.Error()); m != nil {
			where = "line " + m[1] + ": "
		}
		return errors.New(where + "this is not YAML as a policy needs it: look at indentation, colons and quotes")
	}
	var errs []error
	for _, said := range list.Errors {
		errs = append(errs, errors.New(policyMistake(said)))
	}
	return errors.Join(errs...)
}

func policyMistake(said string) string {
	if m := notAKey.FindStringSubmatch(said); m != nil {
		told := fmt.Sprintf("line %s: %q is no key here", m[1], m[2])
		if near := config.Nearest(m[2], policyKeys(m[3])); near != "" {
			return told + ": is " + near + " meant?"
		}
		return told + ": it takes " + strings.Join(policyKeys(m[3]), ", ")
	}
	if m := keyTwice.FindStringSubmatch(said); m != nil {
		return fmt.Sprintf("line %s: a key stands there that stands in line %s already: join the two", m[1], m[2])
	}
	if m := notAValue.FindStringSubmatch(said); m != nil {
		what := valueNames[m[2]]
		if what == "" {
			what = "a group: write its keys under it, indented"
		}
		return fmt.Sprintf("line %s: must be %s", m[1], what)
	}
	return "a part of it cannot be read: `heed policy print` shows how a policy looks"
}

// policyKeys lists the keys of one part of a policy.
func policyKeys(part string) []string {
	for _, of := range []reflect.Type{reflect.TypeFor[policy.File](), reflect.TypeFor[policy.CategoryRule](), reflect.TypeFor[policy.ProgramRule](), reflect.TypeFor[policy.CapRule]()} {
		if of.Name() != part {
			continue
		}
		var keys []string
		for i := range of.NumField() {
			key, _, _ := strings.Cut(of.Field(i).Tag.Get("yaml"), ",")
			keys = append(keys, key)
		}
		return keys
	}
	return nil
}

// keepPolicy keeps the policy in force, so that its decisions can be replayed when
// another one has taken its place.
func (h *house) keepPolicy(ctx context.Context) error {
	body, err := json.Marshal(h.policy.File)
	if err != nil {
		return err
	}
	return h.db.KeepPolicy(ctx, h.policy.Version, body)
}

// programsOf lists the programs that some category of the policy uses.
func programsOf(p *policy.Policy) []channels.Program {
	var used channels.ProgramSet
	for name := range p.File.Categories {
		if c, ok := p.Category(name); ok {
			used |= channels.SetOf(c.Program)
		}
	}
	return used.List()
}
