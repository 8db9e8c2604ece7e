package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"harmonize.care/heed/channels"
)

const (
	maxHeard = 1 << 20     // bytes: the most a relay may say in one connection
	farewell = time.Second // how long QUIT waits for its answer
)

// Send hands one mail over. The receipt is its Message-ID, without the brackets,
// which holds the attempt.
func (a *Adapter) Send(ctx context.Context, m channels.Outgoing) (channels.Receipt, error) {
	e, failed := a.envelop(m)
	if failed != nil {
		return channels.Receipt{}, failed
	}
	if failed := a.carry(ctx, e); failed != nil {
		return channels.Receipt{}, failed
	}
	return channels.Receipt{ProviderID: e.id}, nil
}

// carry makes one connection and hands the message over.
func (a *Adapter) carry(ctx context.Context, e envelope) *channels.SendError {
	conn, err := a.dial(ctx, "tcp", a.address)
	if err != nil {
		return broken(ctx, dialing, err)
	}
	defer conn.Close()
	// The protocol's own calls know no context.
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	client, at, err := a.greet(ctx, bounded{conn, io.LimitReader(conn, maxHeard)}, e.domain())
	if err != nil {
		return broken(ctx, at, err)
	}
	if at, err = a.login(client); err != nil {
		return broken(ctx, at, err)
	}
	var failed *channels.SendError
	if at, err := hand(client, e); err != nil {
		failed = broken(ctx, at, err)
	}
	if failed == nil || failed.Code != "" { // else there is nobody left to take leave of
		_ = client.UpdateDeadline(farewell)
		_ = client.Quit() // what is said after the answer changes nothing
	}
	return failed
}

// greet begins the session, under TLS unless it was left out by the options.
func (a *Adapter) greet(ctx context.Context, conn net.Conn, domain string) (*smtp.Client, step, error) {
	if a.tls != nil && a.implicit {
		secured := tls.Client(conn, a.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, securing, err
		}
		conn = secured
	}
	client, err := smtp.NewClient(conn, a.host)
	if err != nil {
		return nil, greeting, err
	}
	client.SkipSMTPUTF8(true) // every mailbox is ASCII; a relay beyond may not speak it
	if a.hello != "" {
		domain = a.hello
	}
	if err := client.Hello(domain); err != nil {
		return nil, greeting, err
	}
	if a.tls == nil || a.implicit {
		return client, 0, nil
	}
	if offered, _ := client.Extension("STARTTLS"); !offered {
		return nil, securing, errNoTLS // perhaps somebody between us took it out: RFC 3207 section 6
	}
	return client, securing, client.StartTLS(a.tls)
}

// login signs in where a username is set.
func (a *Adapter) login(client *smtp.Client) (step, error) {
	if a.username == "" {
		return 0, nil
	}
	_, offered := client.Extension("AUTH")
	mechanisms := strings.Fields(offered)
	inTheClear := a.tls == nil // on this machine only
	switch {
	case slices.Contains(mechanisms, "PLAIN"):
		return loggingIn, client.Auth(smtp.PlainAuth("", a.username, a.password, a.host, inTheClear))
	case slices.Contains(mechanisms, "LOGIN"):
		return loggingIn, client.Auth(smtp.LoginAuth(a.username, a.password, a.host, inTheClear))
	}
	return loggingIn, errNoLogin
}

// hand gives the message over. RFC 5321 section 3.3.
func hand(client *smtp.Client, e envelope) (step, error) {
	to := "<" + e.to + ">"
	if offered, _ := client.Extension("DSN"); offered {
		// A bounce shall name the address as we wrote it, wherever it was forwarded to, and
		// bring back nothing of the text: RFC 3461 sections 4.1 to 4.3.
		client.SetDSNMailReturnOption("HDRS")
		to += " NOTIFY=FAILURE ORCPT=rfc822;" + toXtext(e.to)
	}
	if err := client.Mail("<" + e.from + ">"); err != nil {
		return sender, err
	}
	if err := client.Rcpt(to); err != nil {
		return recipient, err
	}
	body, err := client.Data()
	if err != nil {
		return content, err
	}
	if _, err := body.Write(e.body); err != nil {
		return content, err
	}
	return ended, body.Close() // writes the last line, and waits for the answer
}

var (
	errNoTLS   = errors.New("the relay offers no STARTTLS")
	errNoLogin = errors.New("the relay offers no login with a password")
)

// bounded is a connection of which no more than so many bytes are read.
type bounded struct {
	net.Conn
	heard io.Reader
}

func (b bounded) Read(p []byte) (int, error) { return b.heard.Read(p) }
