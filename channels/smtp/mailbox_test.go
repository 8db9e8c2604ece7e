package smtp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"harmonize.care/heed/channels"
)

// post is an IMAP server on this machine with one mailbox of bounces.
type post struct {
	*testing.T
	user    *imapmemserver.User
	options MailboxOptions
}

func newPost(t *testing.T, implicit bool) (*post, *Mailbox) {
	t.Helper()
	config, roots := certificate(t)
	p := &post{T: t, user: imapmemserver.NewUser(user, password)}
	if err := p.user.Create("Bounces", nil); err != nil {
		t.Fatal(err)
	}
	memory := imapmemserver.New()
	memory.AddUser(p.user)
	options := &imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return memory.NewSession(), nil, nil
		},
		TLSConfig: config, Logger: log.New(io.Discard, "", 0),
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if implicit {
		listener = tls.NewListener(listener, config)
	}
	server := imapserver.New(options)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); <-ended })
	p.options = MailboxOptions{Host: "127.0.0.1", Port: port, Username: user, Password: password, Name: "Bounces", RootCAs: roots}
	return p, p.mailbox(implicit)
}

func (p *post) mailbox(implicit bool) *Mailbox {
	p.Helper()
	m, err := NewMailbox(p.options)
	if err != nil {
		p.Fatal(err)
	}
	m.implicit = implicit // its port is not 993
	return m
}

func (p *post) deliver(raw string, flags ...imap.Flag) {
	p.Helper()
	if _, err := p.user.Append("Bounces", literal{bytes.NewReader([]byte(raw))}, &imap.AppendOptions{Flags: flags}); err != nil {
		p.Fatal(err)
	}
}

type literal struct{ *bytes.Reader }

func (l literal) Size() int64 { return l.Reader.Size() }

// unseen counts mails that nobody has seen.
func (p *post) unseen() uint32 {
	p.Helper()
	got, err := p.user.Status("Bounces", &imap.StatusOptions{NumUnseen: true})
	if err != nil {
		p.Fatal(err)
	}
	return *got.NumUnseen
}

// Notifications are taken once; what could not be taken is there the next time, and
// other people's mail is left as it is.
func TestMailbox(t *testing.T) {
	for name, implicit := range map[string]bool{"STARTTLS": false, "TLS from the first byte": true} {
		t.Run(name, func(t *testing.T) {
			p, m := newPost(t, implicit)
			gone := fields("failed", "5.1.1", "x")
			p.deliver(notification(ourID(t, 9001, secrets[0]), gone))
			p.deliver("From: ann@patients.example\r\nSubject: For a person\r\n\r\nHello\r\n")
			p.deliver(notification(ourID(t, 9002, secrets[0]), gone), imap.FlagSeen)
			p.deliver(notification("somebody-else@clinic.example", gone))
			p.deliver(notification(ourID(t, 9003, secrets[0]), gone))
			b, down := bounces(t), errors.New("the database is away")
			var got []channels.Delivery
			take := func(raw []byte) error {
				list := b.Letter(raw, testNow)
				if down != nil && len(list) > 0 && list[0].Attempt == 9003 {
					return down
				}
				got = append(got, list...)
				return nil
			}
			if n, err := m.Fetch(t.Context(), take); n != 2 || !errors.Is(err, down) {
				t.Fatalf("%d, %v", n, err)
			}
			if len(got) != 1 || got[0].Attempt != 9001 || p.unseen() != 2 {
				t.Fatalf("%+v, %d unseen", got, p.unseen())
			}
			down = nil
			if n, err := m.Fetch(t.Context(), take); n != 1 || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
			if n, err := m.Fetch(t.Context(), take); n != 0 || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
			if len(got) != 2 || got[1].Attempt != 9003 || p.unseen() != 1 {
				t.Errorf("%+v, %d unseen", got, p.unseen())
			}
		})
	}
}

func TestMailboxTroubles(t *testing.T) {
	p, m := newPost(t, false)
	take := func([]byte) error { return nil }
	none := func(name string, m *Mailbox, ctx context.Context) {
		t.Helper()
		n, err := m.Fetch(ctx, take)
		if err == nil || n != 0 {
			t.Errorf("%s: %d, %v", name, n, err)
			return
		}
		if strings.Contains(err.Error(), password) || strings.Contains(err.Error(), p.options.Username+"@") {
			t.Errorf("%s: the error tells too much: %v", name, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	none("a visit that is over", m, ended)
	right := p.options
	p.options.Password = "wrong"
	none("a wrong password", p.mailbox(false), t.Context())
	p.options = right
	p.options.Name = "Nothing"
	none("no such mailbox", p.mailbox(false), t.Context())
	p.options = right
	_, p.options.RootCAs = certificate(t)
	none("a server that nobody vouches for", p.mailbox(false), t.Context())
	none("the same, with TLS from the first byte", p.mailbox(true), t.Context())
	p.options = right
	p.options.Port = 1
	none("a server that is down", p.mailbox(false), t.Context())
}

// A server that says nothing any more does not hold the visit longer than its context.
func TestMailboxThatHangs(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			cancel() // once it is connected
			io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	m, err := NewMailbox(MailboxOptions{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, Username: user, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Fetch(ctx, func([]byte) error { return nil }); err == nil {
		t.Error("it went well")
	}
}

func TestMailboxOptions(t *testing.T) {
	for name, o := range map[string]MailboxOptions{
		"no host": {Username: "x", Password: "x"}, "a URL": {Host: "imap://x", Username: "x", Password: "x"}, "no password": {Host: "x", Username: "x"}, "a bad port": {Host: "x", Username: "x", Password: "x", Port: 70000},
	} {
		if _, err := NewMailbox(o); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
