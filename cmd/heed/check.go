package main

import (
	"crypto/tls"
	"errors"
	"fmt"

	"harmonize.care/heed/config"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// checkSettings holds the settings against the policy and what they name, and gives the
// policy in force. Everything that is wrong is told at once.
func checkSettings(cfg *config.Config) (*policy.Policy, error) {
	p, err := loadPolicy(cfg.Policy.File)
	errs := []error{err}
	if err == nil {
		errs = append(errs, cfg.CheckPrograms(programsOf(p)))
	}
	if _, err := openCarriers(cfg, nil, ""); err != nil {
		errs = append(errs, err)
	}
	if cert := cfg.HTTP.TLS; cert.Cert != "" {
		if _, err := tls.LoadX509KeyPair(cert.Cert, cert.Key); err != nil {
			errs = append(errs, fmt.Errorf("http.tls: the certificate cannot be used: %w", err))
		}
	}
	return p, errors.Join(errs...)
}

// checkStart is checkSettings for what sends, and for `heed config`: the texts too. It
// takes most of a second, which a command that only reads need not spend.
func checkStart(cfg *config.Config) error {
	p, err := checkSettings(cfg)
	if p != nil {
		err = errors.Join(err, checkTexts(cfg, p))
	}
	return err
}

// checkTexts holds every text, with the practice's own names in it, against the
// policy in force: what would be held back at its time is told at the start.
func checkTexts(cfg *config.Config, p *policy.Policy) error {
	identity, set := identityOf(cfg), templates.Builtin()
	errs := []error{identity.Check(), identity.CheckLinks(cfg.HTTP.PublicURL)}
	for _, name := range set.Names() {
		t, _ := set.Get(name)
		var held templates.Category // an answer belongs to none
		if t.Category != "" {
			cat, ok := p.Category(t.Category)
			if !ok {
				continue // a policy without this category sends none of it
			}
			held = templates.Category{Name: cat.Name, Essential: cat.Class == policy.Essential, Content: cat.Content.String()}
		}
		if err := t.Lint(held); err != nil {
			errs = append(errs, fmt.Errorf("the text %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func identityOf(cfg *config.Config) templates.Identity {
	p := cfg.Practice
	return templates.Identity{
		Name: p.Name, DiscreetName: p.DiscreetName, Phone: p.Phone, OptOutPhone: p.OptOutPhone, PostalAddress: p.PostalAddress,
		CrisisText: p.CrisisText, TimeZone: p.TimeZone,
	}
}
