package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"harmonize.care/heed/channels"
)

// minSecret and minAdminKey are how many characters these must have.
const (
	minSecret   = 32
	minAdminKey = 16
)

// checker holds the settings against each other.
type checker struct {
	*Config
	add func(key, problem string)
}

func check(c *Config, add func(key, problem string)) {
	k := checker{c, add}
	k.checkHTTP()
	k.checkStores()
	k.checkPractice()
	for _, p := range channels.Programs {
		k.checkProgram("programs."+p.String()+".", c.Programs[p])
	}
	k.checkProviders()
	k.checkKeys()
	k.checkTimes()
	k.checkEvents()
}

// unless adds a mistake where something does not hold.
func (k checker) unless(holds bool, key, problem string) {
	if !holds {
		k.add(key, problem)
	}
}

// oneOf checks a word against the words that may stand there.
func (k checker) oneOf(key, value string, words ...string) {
	k.unless(slices.Contains(words, value), key, "must be "+strings.Join(words, " or "))
}

func (k checker) checkHTTP() {
	_, port, err := net.SplitHostPort(k.HTTP.Listen)
	_, noPort := strconv.ParseUint(port, 10, 16)
	k.unless(err == nil && noPort == nil, "http.listen", "must be host:port, such as 127.0.0.1:8080")
	u := plainURL(k.HTTP.PublicURL)
	switch {
	case k.HTTP.PublicURL == "" && k.Providers.Mode != Live: // it follows from http.listen, which is told above
	case k.HTTP.PublicURL == "":
		k.add("http.public_url", "is needed in live mode: how patients and providers reach this gateway, such as https://heed.practice.example")
	case u == nil:
		k.add("http.public_url", "must be https://host, with a port or a path where needed, and nothing behind it")
	default:
		// The links in messages open what is personal, and a provider's webhooks carry it. 45 CFR 164.312(e)(1).
		k.unless(u.Scheme == "https" || loopback(u.Hostname()) || k.Providers.Mode != Live, "http.public_url", "must be https in live mode")
	}
	k.unless(k.HTTP.TLS.Key != "" || k.HTTP.TLS.Cert == "", "http.tls.key", "is needed with http.tls.cert: name the file of its private key")
	k.unless(k.HTTP.TLS.Cert != "" || k.HTTP.TLS.Key == "", "http.tls.cert", "is needed with http.tls.key: name the file of its certificate")
}

// plainURL gives an http or https URL that has nothing but host, port and path, or nil.
func plainURL(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || strings.ContainsAny(text, "?#") {
		return nil
	}
	return u
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (k checker) checkStores() {
	path, sqlite := strings.CutPrefix(k.Database.URL, "sqlite:")
	switch {
	case sqlite:
		k.unless(path != "" && path != ":memory:" && !strings.HasPrefix(path, "//") && !strings.ContainsRune(path, '?'),
			"database.url", "must be sqlite: and the path of a file, as in sqlite:heed.db or sqlite:/var/lib/heed/heed.db")
	default:
		u, err := url.Parse(k.Database.URL)
		k.unless(err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") && (u.Host != "" || u.Query().Get("host") != ""),
			"database.url", "must be sqlite:PATH or postgres://user:password@host/database; escape special characters of the password as %XX")
	}
	k.oneOf("database.after_failover", k.Database.AfterFailover, "hold", "send")
	k.unless(k.Redis.URL == "" || redisURL(k.Redis.URL), "redis.url",
		"must be redis://[[user]:password@]host[:port][/number], rediss://… for TLS, redis+sentinel://host,host/master or redis+cluster://host,host; or empty for the cache in this process")
}

// redisURL looks at a Redis address from outside; the cache takes it apart.
func redisURL(text string) bool {
	scheme, rest, _ := strings.Cut(text, "://")
	user, hosts, rest := authority(rest)
	if !slices.Contains([]string{"redis", "rediss", "redis+sentinel", "redis+cluster"}, scheme) || strings.ContainsAny(rest, "?#") {
		return false
	}
	if scheme == "redis+sentinel" && len(rest) < 2 || user != "" && !strings.Contains(user, ":") {
		return false
	}
	for _, host := range strings.Split(hosts, ",") {
		if host == "" || strings.ContainsAny(host, " @") {
			return false
		}
	}
	return len(strings.Split(hosts, ",")) == 1 || strings.Contains(scheme, "+")
}

// authority takes apart what stands behind ://. net/url refuses a list of hosts.
func authority(text string) (user, hosts, rest string) {
	end := len(text)
	if i := strings.IndexAny(text, "/?#"); i >= 0 {
		end = i
	}
	hosts, rest = text[:end], text[end:]
	if i := strings.LastIndexByte(hosts, '@'); i >= 0 {
		return hosts[:i], hosts[i+1:], rest
	}
	return "", hosts, rest
}

// needed are the words for what has no default in live mode.
const needed = "is needed: messages name it"

func (k checker) checkPractice() {
	p := k.Practice
	k.unless(p.Name != "", "practice.name", needed)
	k.unless(p.DiscreetName != "", "practice.discreet_name", "is needed: it stands where the practice must not be named, such as: Your provider")
	k.phone("practice.phone", p.Phone, true)
	// A call must offer a toll-free way to opt out where it leaves a voicemail: 47 CFR 64.1200(b)(3).
	k.phone("practice.opt_out_phone", p.OptOutPhone, true)
	k.unless(len(p.OnCall) <= 20, "practice.on_call", "must be at most 20: each is told of every crisis reply")
	for i, t := range k.Campaigns.Testers {
		name, to, _ := strings.Cut(t, "=")
		k.unless(name != "" && (isPhone(to) || isMailbox(to)), fmt.Sprintf("campaigns.testers[%d]", i), "must be NAME=ADDRESS: the name of a key, and that person's phone as +13035550142 or mailbox")
	}
	for i, to := range p.OnCall {
		k.unless(isPhone(to) || isMailbox(to), fmt.Sprintf("practice.on_call[%d]", i), "must be a phone as +13035550142 or a mailbox as name@practice.example")
	}
	k.unless(p.PostalAddress != "", "practice.postal_address", "is needed: newsletters must carry it (15 U.S.C. 7704(a)(5)(A)(iii))")
	k.mailbox("practice.privacy_email", p.PrivacyEmail, true)
	_, err := time.LoadLocation(p.TimeZone)
	k.unless(err == nil && p.TimeZone != "" && p.TimeZone != "Local", "practice.time_zone", "must be the name of a time zone, such as America/Denver")
}

func (k checker) checkProgram(prefix string, p ProgramConfig) {
	k.phone(prefix+"sms_from", p.SMSFrom, false)
	k.phone(prefix+"voice_from", p.VoiceFrom, false)
	k.mailbox(prefix+"email_from", p.EmailFrom, false)
	k.unless(p.MessagingService == "" || twilioID(p.MessagingService, "MG"), prefix+"messaging_service", "must be MG and 32 hexadecimal digits, as Twilio shows it")
	// A STOP names no program: only the number it was sent to does.
	k.unless(p.MessagingService == "" || p.SMSFrom != "", prefix+"sms_from", "is needed with messaging_service: the number of that service which patients answer to")
	if p.Email != "" {
		k.oneOf(prefix+"email", p.Email, "sendgrid", "smtp")
	}
}

// carriers gives the first program that each mail adapter carries mail for.
func (c *Config) carriers() map[string]channels.Program {
	used := map[string]channels.Program{}
	for _, p := range slices.Backward(channels.Programs[:]) {
		switch pc := c.Programs[p]; {
		case pc.EmailFrom == "":
		case pc.Email == "":
			used[c.Providers.Email] = p
		default:
			used[pc.Email] = p
		}
	}
	return used
}

func (k checker) checkProviders() {
	p, t := k.Providers, k.Providers.Twilio
	k.oneOf("providers.mode", p.Mode, Sandbox, Live)
	k.oneOf("providers.email", p.Email, "sendgrid", "smtp")
	for _, program := range channels.Programs {
		pc := k.Programs[program]
		if pc.SMSFrom == "" && pc.MessagingService == "" && pc.VoiceFrom == "" {
			continue
		}
		reason := "is needed: texts or calls of " + program.String() + " go through Twilio"
		k.unless(t.AccountSID != "", "providers.twilio.account_sid", reason)
		k.unless(t.AuthToken != "", "providers.twilio.auth_token", reason)
	}
	k.unless(t.AccountSID == "" || twilioID(t.AccountSID, "AC"), "providers.twilio.account_sid", "must be AC and 32 hexadecimal digits, as Twilio shows it")
	k.baseURL("providers.twilio.base_url", t.BaseURL)
	k.oneOf("providers.twilio.agreement", t.Agreement, "baa", "none")
	k.oneOf("providers.twilio.opt_out_replies", t.OptOutReplies, "gateway", "provider")
	// Twilio would refuse what the gateway still answers to people who stopped: the one
	// confirmation, HELP, the crisis text. Where Twilio answers itself it does so already.
	k.unless(!k.Mirrors.Twilio || t.OptOutReplies == "provider", "mirrors.twilio",
		"may be true only with providers.twilio.opt_out_replies: provider, because Twilio would block the answers that the gateway gives to people who stopped, the crisis text among them")
	k.checkSendGrid(p.SendGrid)
	k.checkSMTP(p.SMTP)
}

func (k checker) checkSendGrid(g SendGrid) {
	if program, used := k.carriers()["sendgrid"]; used {
		k.unless(g.APIKey != "", "providers.sendgrid.api_key", "is needed: mail of "+program.String()+" goes through SendGrid")
	}
	k.baseURL("providers.sendgrid.base_url", g.BaseURL)
	k.unless(g.WebhookPublicKey == "" || isPublicKey(g.WebhookPublicKey), "providers.sendgrid.webhook_public_key", "must be the verification key as SendGrid shows it, base64 on one line")
	k.oneOf("providers.sendgrid.agreement", g.Agreement, "baa", "none")
	k.unless(g.ASMGroup >= 0, "providers.sendgrid.asm_group", "must be the number of the unsubscribe group, or 0 for none")
}

func (k checker) checkSMTP(m SMTP) {
	program, used := k.carriers()["smtp"]
	k.unless(m.Host != "" || !used, "providers.smtp.host", "is needed: mail of "+program.String()+" goes through SMTP")
	// The pretend carrier does not speak SMTP, and nothing may leave this machine.
	k.unless(k.Providers.Mode != Sandbox || m.Host == "" || loopback(m.Host), "providers.smtp.host", "must be on this machine in sandbox mode: localhost")
	k.unless(!strings.ContainsAny(m.Host, "/: ") || loopback(m.Host), "providers.smtp.host", "must be a host name alone")
	k.unless(m.Port > 0 && m.Port < 1<<16, "providers.smtp.port", "must be a port, such as 587")
	k.unless(m.Password != "" || m.Username == "", "providers.smtp.password", "is needed with providers.smtp.username")
	k.unless(m.Username != "" || m.Password == "", "providers.smtp.username", "is needed with providers.smtp.password")
	k.oneOf("providers.smtp.agreement", m.Agreement, "baa", "none")
	k.unless(!m.Plaintext || loopback(m.Host), "providers.smtp.plaintext", "may be true only for a relay on this machine")
	k.checkBounces(m.Bounces)
}

func (k checker) checkBounces(b Bounces) {
	k.unless(b.Secret == "" || len(b.Secret) >= minSecret, "providers.smtp.bounces.secret", fmt.Sprintf("must have at least %d characters: make one with `openssl rand -hex 32`", minSecret))
	i, prefix := b.IMAP, "providers.smtp.bounces.imap."
	k.unless(k.Providers.Mode != Sandbox || i.Host == "" || loopback(i.Host), prefix+"host", "must be on this machine in sandbox mode: localhost")
	k.unless(!strings.ContainsAny(i.Host, "/: ") || loopback(i.Host), prefix+"host", "must be a host name alone")
	k.unless(i.Port > 0 && i.Port < 1<<16, prefix+"port", "must be a port: 993, or 143 for STARTTLS")
	set := i.Host != "" || i.Username != "" || i.Password != ""
	k.unless(!set || i.Host != "", prefix+"host", "is needed with a username: the server whose mailbox is read")
	k.unless(!set || i.Username != "", prefix+"username", "is needed with a host")
	k.unless(!set || i.Password != "", prefix+"password", "is needed with a host")
	k.unless(i.Mailbox != "", prefix+"mailbox", "is needed, such as INBOX")
}

func (k checker) checkKeys() {
	k.unless(k.Auth.AdminKey == "" || len(k.Auth.AdminKey) >= minAdminKey, "auth.admin_key", fmt.Sprintf("must have at least %d characters: make one with `openssl rand -hex 32`", minAdminKey))
	how := fmt.Sprintf("must have at least %d characters: make one with `openssl rand -hex 32`", minSecret)
	if k.Keys.Secret == "" {
		k.unless(!strings.HasPrefix(k.Database.URL, "postgres"), "keys.secret", "is needed with PostgreSQL, the same on every replica; it "+how)
	} else {
		k.unless(len(k.Keys.Secret) >= minSecret, "keys.secret", how)
	}
	k.unless(len(k.Keys.Previous) <= 10, "keys.previous", "must be at most 10: each is tried on every link")
	for i, old := range k.Keys.Previous {
		k.unless(len(old) >= minSecret, fmt.Sprintf("keys.previous[%d]", i), fmt.Sprintf("must have at least %d characters, as every secret had", minSecret))
	}
}

func (k checker) checkTimes() {
	s := k.Sending
	// A STOP's answer may wait for a lease, and the provider waits 15 seconds for it.
	k.unless(s.Lease >= time.Second && s.Lease <= 10*time.Second, "sending.lease", "must be from 1s to 10s")
	k.unless(s.LookupAfter > 0, "sending.lookup_after", "must be longer than nothing, such as 10s")
	k.unless(s.ConfirmAfter > s.UnknownAfter, "sending.confirm_after", "must be longer than sending.unknown_after, such as 24h")
	k.unless(s.UnknownAfter > s.LookupAfter, "sending.unknown_after", "must be longer than sending.lookup_after, such as 10m")
	k.unless(k.Retention.LedgerYears >= 6 && k.Retention.LedgerYears <= 100, "retention.ledger_years", "must be from 6 (45 CFR 164.530(j)(2)) to 100")
	k.unless(k.Retention.ContentDays >= 1 && k.Retention.ContentDays <= 36500, "retention.content_days", "must be from 1 to 36500")
}

// CheckPrograms holds the programs against those that the policy's categories use:
// each must have somebody its messages come from.
func (c *Config) CheckPrograms(used []channels.Program) error {
	var m Mistakes
	for _, p := range channels.Programs {
		if pc := c.Programs[p]; slices.Contains(used, p) && pc.SMSFrom == "" && pc.VoiceFrom == "" && pc.EmailFrom == "" {
			m = append(m, Mistake{Key: "programs." + p.String(), Problem: "is needed, as categories of the policy use it: give sms_from, email_from, or both"})
		}
	}
	if len(m) == 0 {
		return nil
	}
	return m
}

func (k checker) checkEvents() {
	k.unless(len(k.Events.Networks) <= 50, "events.networks", "must be at most 50: each is looked at on every call")
	for i, network := range k.Events.Networks {
		_, err := netip.ParsePrefix(network)
		k.unless(err == nil, fmt.Sprintf("events.networks[%d]", i), "must be a network of your own that endpoints may stand in, such as 10.20.0.0/16")
	}
}
