// Package smtp hands email to a relay by SMTP submission (RFC 6409), for
// practices whose mail goes through a server that an agreement covers.
//
// go-mail writes the message and speaks the protocol. The steps are taken here
// one by one, because what an error means depends on how far the message got: up
// to its last line it surely did not go out, after it nobody knows without the
// relay's answer.
//
// A relay tells of a bounce by a mail to the sender's mailbox. Bounces reads it, from
// a webhook or from that mailbox; what arrives well has no later news, and an outcome
// that was lost stays unknown.
package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"time"

	"harmonize.care/heed/channels"
)

// Options set up an Adapter.
type Options struct {
	Host string // name or IP address of the relay, without a port
	// Port 465 speaks TLS from the first byte (RFC 8314 section 3.3), every other
	// one begins it with STARTTLS. 0: 587.
	Port               int
	Username, Password string // "": no login
	// Plaintext leaves TLS out. It is taken for a relay on this machine only.
	Plaintext bool
	RootCAs   *x509.CertPool // whom to trust; nil: the system's
	Hello     string         // the name given in EHLO; "": the domain of the sender's mailbox
	// From is the bare mailbox each program writes from.
	From     map[channels.Program]string
	FromName string // stands beside the mailbox; may be empty
	// Secrets sign the Message-IDs, so that bounces are found and cannot be made up: the
	// first signs. None: bounces say nothing.
	Secrets [][]byte
	Now     func() time.Time // dates the messages; nil: the host's clock
}

// Adapter sends mail through one relay, each message over a connection of its
// own. It is safe for concurrent use. A call is bounded by its context.
type Adapter struct {
	host, address      string
	implicit           bool        // TLS from the first byte
	tls                *tls.Config // nil: no TLS
	username, password string
	hello              string
	from               map[channels.Program]string
	fromName           string
	marks              marks
	now                func() time.Time
	dial               func(ctx context.Context, network, address string) (net.Conn, error)
}

var _ channels.Adapter = (*Adapter)(nil)

const dialTimeout = 10 * time.Second

// New makes an adapter. It makes no call; errors are about the options.
func New(o Options) (*Adapter, error) {
	if o.Port == 0 {
		o.Port = 587
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	a := &Adapter{
		host: o.Host, address: net.JoinHostPort(o.Host, strconv.Itoa(o.Port)), implicit: o.Port == 465,
		username: o.Username, password: o.Password, hello: o.Hello, from: maps.Clone(o.From), fromName: o.FromName, now: o.Now,
		dial: (&net.Dialer{Timeout: dialTimeout}).DialContext,
	}
	var err error
	if a.marks, err = newMarks(o.Secrets); err != nil {
		return nil, err
	}
	if !o.Plaintext {
		// TLS 1.2 is the least that NIST SP 800-52 revision 2 section 3.1 allows.
		a.tls = &tls.Config{ServerName: o.Host, RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12}
	}
	return a, nil
}

func (o Options) check() error {
	switch {
	case o.Host == "" || strings.ContainsAny(o.Host, " /[]@\r\n"):
		return errors.New("smtp: the host must be the relay's name or IP address alone")
	case o.Port < 1 || o.Port > 65535:
		return errors.New("smtp: the port must be from 1 to 65535")
	case o.Plaintext && !loopback(o.Host):
		return errors.New("smtp: without TLS mail and password would cross the network in the clear: plaintext is for a relay on this machine only")
	case o.Username == "" && o.Password != "":
		return errors.New("smtp: there is a password and no username")
	case strings.ContainsFunc(o.Hello, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("smtp: the name for EHLO must be a domain name, such as heed.example.org")
	case !oneLine(o.FromName):
		return errors.New("smtp: the sender's name must be on one line")
	}
	for _, p := range channels.Programs {
		if box := o.From[p]; box != "" && !isMailbox(box) {
			return fmt.Errorf("smtp: program %s must write from a bare mailbox, such as care@example.org", p)
		}
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// isMailbox takes one bare address in ASCII: it stands in commands, and what goes
// beyond needs SMTPUTF8 (RFC 6531), which the next relay may not speak.
func isMailbox(text string) bool {
	parsed, err := mail.ParseAddress(text)
	return err == nil && parsed.Address == text && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// oneLine says whether a text can stand in a header without beginning another.
func oneLine(text string) bool { return !strings.ContainsAny(text, "\r\n\x00") }
