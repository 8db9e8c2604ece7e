package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/sendgrid"
	"harmonize.care/heed/channels/smtp"
	"harmonize.care/heed/channels/twilio"
	"harmonize.care/heed/config"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/preferences/policy"
)

// carriers are the providers that are set up: which adapter carries what.
type carriers struct {
	twilio   *twilio.Adapter
	sendgrid *sendgrid.Adapter
	bounces  *smtp.Bounces
	mailbox  *smtp.Mailbox // nil: bounces are not read from a mailbox
	ways     map[dispatch.WayOf]dispatch.Way
	senders  map[channels.Program]string // the number a program's texts come from; "" with a messaging service
}

// sandboxPath is where the pretend carrier answers, behind our own address.
const sandboxPath = "/sandbox"

func openCarriers(cfg *config.Config, secret []byte, base string) (carriers, error) {
	c := carriers{ways: map[dispatch.WayOf]dispatch.Way{}, senders: map[channels.Program]string{}}
	client := &http.Client{Transport: punctual{transport()}}
	numbers, services, mailboxes := map[channels.Program]string{}, map[channels.Program]string{}, map[channels.Program]string{}
	callers := map[channels.Program]string{}
	for program, p := range cfg.Programs {
		numbers[program], services[program], mailboxes[program] = p.SMSFrom, p.MessagingService, p.EmailFrom
		callers[program] = p.VoiceFrom
		if p.MessagingService == "" {
			c.senders[program] = p.SMSFrom
		}
	}
	t, s := cfg.Providers.Twilio, cfg.Providers.SendGrid
	if cfg.Providers.Mode == config.Sandbox {
		t.BaseURL, s.BaseURL = base+sandboxPath, base+sandboxPath
		if base == "" { // nothing is sent by this process, and nothing may leave by mistake
			t.BaseURL, s.BaseURL = "http://127.0.0.1:9", "http://127.0.0.1:9"
		}
	}
	var err error
	if c.twilio, err = twilio.New(twilio.Options{
		AccountSID: t.AccountSID, AuthToken: t.AuthToken, PreviousAuthToken: t.PreviousAuthToken, BaseURL: t.BaseURL,
		StatusCallback: cfg.HTTP.PublicURL + "/webhooks/twilio/status", From: numbers, MessagingService: services, HTTP: client,
		VoiceFrom: callers, VoiceURL: cfg.HTTP.PublicURL + "/webhooks/twilio/voice",
	}); err != nil {
		return c, err
	}
	if c.sendgrid, err = sendgrid.New(sendgrid.Options{
		APIKey: s.APIKey, BaseURL: s.BaseURL, WebhookPublicKey: s.WebhookPublicKey, ASMGroup: s.ASMGroup, From: mailboxes, FromName: cfg.Practice.DiscreetName, HTTP: client,
	}); err != nil {
		return c, err
	}
	mail, secrets := cfg.Providers.SMTP, append([][]byte{secret}, previous(cfg)...)
	if err := c.openBounces(mail.Bounces, secrets); err != nil {
		return c, err
	}
	var relay *smtp.Adapter
	if mail.Host != "" {
		if relay, err = smtp.New(smtp.Options{
			Host: mail.Host, Port: mail.Port, Username: mail.Username, Password: mail.Password, Plaintext: mail.Plaintext, From: mailboxes, FromName: cfg.Practice.DiscreetName,
			Secrets: secrets,
		}); err != nil {
			return c, err
		}
	}
	for program, p := range cfg.Programs {
		if p.SMSFrom != "" || p.MessagingService != "" {
			c.ways[dispatch.WayOf{Program: program, Channel: channels.SMS}] = dispatch.Way{Adapter: c.twilio, Provider: "twilio", Agreement: agreement(t.Agreement), Receipts: true}
		}
		if p.VoiceFrom != "" {
			c.ways[dispatch.WayOf{Program: program, Channel: channels.Voice}] = dispatch.Way{Adapter: c.twilio, Provider: "twilio", Agreement: agreement(t.Agreement), Receipts: true}
		}
		carrier := p.Email
		if carrier == "" {
			carrier = cfg.Providers.Email
		}
		switch {
		case p.EmailFrom == "":
		case carrier == "smtp" && relay != nil:
			c.ways[dispatch.WayOf{Program: program, Channel: channels.Email}] = dispatch.Way{Adapter: relay, Provider: carrier, Agreement: agreement(mail.Agreement)}
		case carrier == "sendgrid":
			c.ways[dispatch.WayOf{Program: program, Channel: channels.Email}] = dispatch.Way{
				Adapter: c.sendgrid, Provider: carrier, Agreement: agreement(s.Agreement), Receipts: s.WebhookPublicKey != "",
			}
		}
	}
	return c, nil
}

// openBounces sets up how bounces are heard.
func (c *carriers) openBounces(b config.Bounces, secrets [][]byte) (err error) {
	if c.bounces, err = smtp.NewBounces(secrets, b.Secret); err != nil || b.IMAP.Host == "" {
		return err
	}
	c.mailbox, err = smtp.NewMailbox(smtp.MailboxOptions{
		Host: b.IMAP.Host, Port: b.IMAP.Port, Username: b.IMAP.Username, Password: b.IMAP.Password, Name: b.IMAP.Mailbox,
	})
	return err
}

// agreement is what a provider's agreement covers: a business associate agreement
// everything, none nothing that ties a person to care. 45 CFR 164.504(e).
func agreement(name string) policy.Content {
	if name == "baa" {
		return policy.Clinical
	}
	return policy.None
}

// punctual starts no request after its deadline. The transport itself looks only whether its
// context is done, and in a process that was stopped for longer than a lease the timer that
// would end it may be later than the call: a letter takes a moment to be written out.
type punctual struct{ next http.RoundTripper }

// RoundTrip is http.RoundTripper's.
func (p punctual) RoundTrip(r *http.Request) (*http.Response, error) {
	// Both clocks are asked: the monotonic one stands still while a machine sleeps.
	if end, ok := r.Context().Deadline(); ok && (time.Until(end) <= 0 || !time.Now().Round(0).Before(end.Round(0))) {
		if r.Body != nil {
			_ = r.Body.Close() // nothing was read of it
		}
		return nil, context.DeadlineExceeded
	}
	return p.next.RoundTrip(r)
}

// transport is for the providers' calls: a dead provider is found fast, and no call
// is ever repeated by the transport once anything of it was written.
func transport() *http.Transport {
	dialer := &net.Dialer{Timeout: 2 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: 3 * time.Second, ForceAttemptHTTP2: true,
		MaxIdleConns: 1024, MaxIdleConnsPerHost: 576, IdleConnTimeout: 60 * time.Second, MaxResponseHeaderBytes: 64 << 10,
	}
}
