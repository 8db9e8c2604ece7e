package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"

	"harmonize.care/heed/channels"
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
	return file, dec.Decode(&file)
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

// keptPolicy gives a policy that was in force.
func (h *house) keptPolicy(ctx context.Context, version string) (*policy.Policy, error) {
	if version == h.policy.Version {
		return h.policy, nil
	}
	body, err := h.db.Policy(ctx, version)
	if err != nil {
		return nil, err
	}
	var file policy.File
	if err := json.Unmarshal(body, &file); err != nil {
		return nil, errors.New("the policy that was kept cannot be read")
	}
	return policy.New(file)
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
