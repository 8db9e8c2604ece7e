package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/sandbox"
	"harmonize.care/heed/config"
)

// openSandbox plays the carriers: the production adapters speak to it through our
// own address, and it calls our webhooks, signed as the carriers sign them.
func (s *server) openSandbox() *sandbox.Sandbox {
	programs := map[string]string{}
	for _, program := range channels.Programs {
		p := s.cfg.Programs[program]
		for _, sender := range []string{p.SMSFrom, p.VoiceFrom, p.MessagingService} {
			if sender != "" {
				programs[sender] = program.String()
			}
		}
	}
	hooks := s.cfg.HTTP.PublicURL + "/webhooks"
	return sandbox.New(sandbox.Options{
		AccountSID: s.cfg.Providers.Twilio.AccountSID, AuthToken: s.cfg.Providers.Twilio.AuthToken, SendGridKey: s.cfg.Providers.SendGrid.APIKey,
		SendGridSigning: s.signing, Programs: programs, ASMGroup: s.cfg.Providers.SendGrid.ASMGroup, Clock: s.clock, OptOutLine: s.cfg.Practice.OptOutPhone,
		Webhooks: sandbox.Webhooks{SMS: hooks + "/twilio/sms", Status: hooks + "/twilio/status", Voice: hooks + "/twilio/voice", SendGridEvents: hooks + "/sendgrid/events"},
	})
}

// tlsConfig: TLS 1.2 is the least that is still current (NIST SP 800-52r2); Go picks
// the ciphers.
func tlsConfig() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }

// signingKey makes the key that the sandbox signs its mail events with, and lets
// the adapter trust it, as a person does in the provider's console.
func signingKey(cfg *config.Config) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	cfg.Providers.SendGrid.WebhookPublicKey = base64.StdEncoding.EncodeToString(public)
	return key, err
}
