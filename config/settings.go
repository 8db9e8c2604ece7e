package config

import (
	"time"

	"harmonize.care/heed/channels"
)

// setting is one value that can be set.
type setting struct {
	key     string
	at      any // where it goes: *string, *int, *bool, *time.Duration or *[]string
	def     any // the default; nil: the zero value
	sandbox any // the default in sandbox mode, where everything needed has one
	hide    hide
	lines   bool // may have line breaks
}

// hide says what of a value is never shown.
type hide uint8

const (
	nothing  hide = iota
	password      // that of a URL
	all
)

// settings lists every setting of c, in the order in which they are printed. A map
// gives no address of its elements, so the programs stand beside it.
func (c *Config) settings(programs map[channels.Program]*ProgramConfig) []setting {
	p, t, g, m := &c.Practice, &c.Providers.Twilio, &c.Providers.SendGrid, &c.Providers.SMTP
	list := []setting{
		{key: "http.listen", at: &c.HTTP.Listen, def: "127.0.0.1:8080"},
		{key: "http.public_url", at: &c.HTTP.PublicURL}, // in sandbox mode, where http.listen is
		{key: "http.tls.cert", at: &c.HTTP.TLS.Cert},
		{key: "http.tls.key", at: &c.HTTP.TLS.Key},
		{key: "database.url", at: &c.Database.URL, def: "sqlite:heed.db", hide: password},
		{key: "database.after_failover", at: &c.Database.AfterFailover, def: "hold"},
		{key: "redis.url", at: &c.Redis.URL, hide: password},
		{key: "practice.name", at: &p.Name, sandbox: "Sandbox Practice"},
		{key: "practice.discreet_name", at: &p.DiscreetName, sandbox: "Your provider"},
		{key: "practice.phone", at: &p.Phone, sandbox: "+18885550100"},
		{key: "practice.opt_out_phone", at: &p.OptOutPhone, sandbox: "+18885550199"},
		{key: "practice.on_call", at: &p.OnCall},
		{key: "practice.postal_address", at: &p.PostalAddress, sandbox: "1 Sandbox Street, Denver, CO 80202", lines: true},
		{key: "practice.privacy_email", at: &p.PrivacyEmail, sandbox: "privacy@sandbox.example"},
		{key: "practice.crisis_text", at: &p.CrisisText, lines: true},
		{key: "practice.time_zone", at: &p.TimeZone, sandbox: "America/Denver"},
	}
	for _, program := range channels.Programs {
		pc, from := programs[program], sandboxSenders[program]
		prefix := "programs." + program.String() + "."
		list = append(list,
			setting{key: prefix + "sms_from", at: &pc.SMSFrom, sandbox: from.number},
			setting{key: prefix + "messaging_service", at: &pc.MessagingService},
			setting{key: prefix + "voice_from", at: &pc.VoiceFrom, sandbox: from.number},
			setting{key: prefix + "email_from", at: &pc.EmailFrom, sandbox: from.mailbox},
			setting{key: prefix + "email", at: &pc.Email},
		)
	}
	return append(list, []setting{
		{key: "providers.mode", at: &c.Providers.Mode, def: Sandbox},
		{key: "providers.twilio.account_sid", at: &t.AccountSID, sandbox: "AC00000000000000000000000000005a0d"},
		{key: "providers.twilio.auth_token", at: &t.AuthToken, sandbox: "sandbox-auth-token", hide: all},
		{key: "providers.twilio.previous_auth_token", at: &t.PreviousAuthToken, hide: all},
		{key: "providers.twilio.base_url", at: &t.BaseURL},
		{key: "providers.twilio.agreement", at: &t.Agreement, def: "baa"},
		{key: "providers.twilio.opt_out_replies", at: &t.OptOutReplies, def: "gateway"},
		{key: "providers.sendgrid.api_key", at: &g.APIKey, sandbox: "SG.sandbox-api-key", hide: all},
		{key: "providers.sendgrid.base_url", at: &g.BaseURL},
		{key: "providers.sendgrid.webhook_public_key", at: &g.WebhookPublicKey},
		{key: "providers.sendgrid.agreement", at: &g.Agreement, def: "none"},
		{key: "providers.sendgrid.asm_group", at: &g.ASMGroup, sandbox: 1},
		{key: "providers.smtp.host", at: &m.Host},
		{key: "providers.smtp.port", at: &m.Port, def: 587}, // RFC 6409: submission
		{key: "providers.smtp.username", at: &m.Username},
		{key: "providers.smtp.password", at: &m.Password, hide: all},
		{key: "providers.smtp.agreement", at: &m.Agreement, def: "none"},
		{key: "providers.smtp.plaintext", at: &m.Plaintext},
		{key: "providers.smtp.bounces.secret", at: &m.Bounces.Secret, hide: all},
		{key: "providers.smtp.bounces.imap.host", at: &m.Bounces.IMAP.Host},
		{key: "providers.smtp.bounces.imap.port", at: &m.Bounces.IMAP.Port, def: 993}, // RFC 8314: implicit TLS
		{key: "providers.smtp.bounces.imap.username", at: &m.Bounces.IMAP.Username},
		{key: "providers.smtp.bounces.imap.password", at: &m.Bounces.IMAP.Password, hide: all},
		{key: "providers.smtp.bounces.imap.mailbox", at: &m.Bounces.IMAP.Mailbox, def: "INBOX"},
		{key: "providers.email", at: &c.Providers.Email, def: "sendgrid"},
		{key: "auth.admin_key", at: &c.Auth.AdminKey, hide: all},
		{key: "keys.secret", at: &c.Keys.Secret, hide: all},
		{key: "keys.previous", at: &c.Keys.Previous, hide: all},
		{key: "sending.lease", at: &c.Sending.Lease, def: 5 * time.Second},
		{key: "sending.confirm_after", at: &c.Sending.ConfirmAfter, def: 24 * time.Hour},
		{key: "sending.lookup_after", at: &c.Sending.LookupAfter, def: 10 * time.Second},
		{key: "sending.unknown_after", at: &c.Sending.UnknownAfter, def: 10 * time.Minute},
		{key: "policy.file", at: &c.Policy.File},
		{key: "retention.ledger_years", at: &c.Retention.LedgerYears, def: 6},
		{key: "retention.content_days", at: &c.Retention.ContentDays, def: 30},
		{key: "events.networks", at: &c.Events.Networks},
		{key: "campaigns.testers", at: &c.Campaigns.Testers},
		{key: "mirrors.sendgrid", at: &c.Mirrors.SendGrid, def: true},
		{key: "mirrors.twilio", at: &c.Mirrors.Twilio},
	}...)
}

// sandboxSenders are who the programs' messages come from in sandbox mode: numbers
// kept for fiction (555-01XX), and a domain kept for examples (RFC 2606).
var sandboxSenders = map[channels.Program]struct{ number, mailbox string }{
	channels.Care:      {"+18885550101", "care@sandbox.example"},
	channels.CheckIn:   {"+18885550102", "check-in@sandbox.example"},
	channels.Billing:   {"+18885550103", "billing@sandbox.example"},
	channels.Marketing: {"+18885550104", "news@sandbox.example"},
}
