// Package config reads the settings: flags over environment over a YAML file over
// defaults. They are checked as a whole, so that one run reports every mistake with
// its key and how to mend it. No error and no log line repeats a value.
package config

import (
	"strings"
	"time"

	"harmonize.care/heed/channels"
)

// The modes of providers.mode.
const (
	Sandbox = "sandbox" // the built-in pretend carrier: nothing leaves this machine
	Live    = "live"    // the real ones
)

// Config is what is in force. Every text is trimmed; times are checked.
type Config struct {
	HTTP      HTTP
	Database  Database
	Redis     Redis
	Practice  Practice
	Programs  map[channels.Program]ProgramConfig // only those that are set up
	Providers Providers
	Auth      Auth
	Keys      Keys
	Sending   Sending
	Policy    Policy
	Retention Retention
	Events    Events
	Mirrors   Mirrors
	Campaigns Campaigns
}

// HTTP is where the gateway answers.
type HTTP struct {
	Listen    string // host:port
	PublicURL string // how providers and patients reach it; without a slash at the end
	TLS       TLS
}

// TLS is a pair of PEM files, or nothing.
type TLS struct{ Cert, Key string }

// Database is where everything is kept.
type Database struct {
	URL           string // sqlite:PATH, or postgres://…
	AfterFailover string // hold or send: what happens once another PostgreSQL server has taken over
}

// Redis is the cache that replicas share.
type Redis struct {
	URL string // "": the cache inside the process
}

// Practice is how the practice names itself, and whom it tells.
type Practice struct {
	Name          string
	DiscreetName  string // stands in the name's place in discreet texts
	Phone         string // E.164
	OptOutPhone   string // E.164
	OnCall        []string
	PostalAddress string
	PrivacyEmail  string
	CrisisText    string // "": the built-in one
	TimeZone      string // IANA
}

// ProgramConfig is who a program's messages come from.
type ProgramConfig struct {
	SMSFrom          string // E.164
	MessagingService string // the provider's id of a pool of numbers, in which SMSFrom is
	VoiceFrom        string // E.164
	EmailFrom        string
	Email            string // the adapter that carries its mail, sendgrid or smtp; "": Providers.Email
}

// Providers are who carries messages.
type Providers struct {
	Mode     string // Sandbox or Live
	Twilio   Twilio
	SendGrid SendGrid
	SMTP     SMTP
	Email    string // the adapter that carries mail where a program names none
}

// Twilio carries texts and calls.
type Twilio struct {
	AccountSID, AuthToken string
	PreviousAuthToken     string // webhooks signed with it are still taken
	BaseURL               string // "": the provider's own
	Agreement             string // baa or none
	OptOutReplies         string // gateway or provider: who confirms a STOP
}

// SendGrid carries mail.
type SendGrid struct {
	APIKey           string
	BaseURL          string // "": the provider's own
	WebhookPublicKey string // base64; "": its events are refused
	Agreement        string // baa or none
	ASMGroup         int    // of marketing mail; 0: none
}

// SMTP carries mail through a relay.
type SMTP struct {
	Host               string
	Port               int
	Username, Password string
	Agreement          string // baa or none
	Plaintext          bool   // a relay on this machine that speaks no TLS
	Bounces            Bounces
}

// Bounces are where the relay's notifications of mail that did not arrive are heard.
type Bounces struct {
	Secret string // signs what is piped to the webhook; "": the webhook is closed
	IMAP   IMAP   // "" as host: no mailbox is read
}

// IMAP is a mailbox that is read, always under TLS.
type IMAP struct {
	Host               string
	Port               int
	Username, Password string
	Mailbox            string
}

// Auth is how the first caller gets in.
type Auth struct {
	AdminKey string // "": no such key
}

// Keys sign links and seal fields.
type Keys struct {
	Secret   string   // "": a file beside the SQLite database; see Secret
	Previous []string // links signed with them still open
}

// Sending times the way to a provider.
type Sending struct {
	Lease        time.Duration // the longest a claimed message may take to reach the provider
	LookupAfter  time.Duration // when an outcome that is not known is asked for
	UnknownAfter time.Duration // when it is given up
	ConfirmAfter time.Duration // when a person looks after an essential message without a receipt
}

// Policy is where the rules stand.
type Policy struct {
	File string // "": the built-in policy
}

// Retention is how long things are kept.
type Retention struct {
	LedgerYears int
	ContentDays int
}

// Events are the outgoing ones.
type Events struct {
	Networks []string // private networks that endpoints may stand in: 10.20.0.0/16
}

// Mirrors are the providers whose own lists hear of opt-outs.
type Mirrors struct {
	SendGrid bool // the unsubscribe group of marketing mail; without one there is nothing to tell
	Twilio   bool // the Consent Management API, where the account has it
}

// Campaigns is how campaigns are tried.
type Campaigns struct {
	// Testers are the addresses that test sends may go to, each as NAME=ADDRESS: the name
	// of the key, or cli:USER, of the person whose address it is. Whoever writes it here
	// has made sure that it is.
	Testers []string
}

// TestersOf gives the addresses of each person.
func (c *Config) TestersOf() map[string][]string {
	of := map[string][]string{}
	for _, t := range c.Campaigns.Testers {
		name, address, _ := strings.Cut(t, "=")
		of[name] = append(of[name], address)
	}
	return of
}
