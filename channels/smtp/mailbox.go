package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	// go-imap: IMAP4rev1 and rev2, literals and number sets.
	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// MailboxOptions say where bounces are read.
type MailboxOptions struct {
	Host string // name or IP address, without a port
	// Port 993 speaks TLS from the first byte (RFC 8314 section 3.2), every other one
	// begins it with STARTTLS. 0: 993.
	Port               int
	Username, Password string
	Name               string         // of the mailbox; "": INBOX
	RootCAs            *x509.CertPool // whom to trust; nil: the system's
}

// Mailbox reads bounces over IMAP, always under TLS. It should be a mailbox of its
// own: what is read there is marked as seen.
type Mailbox struct {
	o   MailboxOptions
	tls *tls.Config
	// implicit: TLS from the first byte.
	implicit bool
}

// NewMailbox makes a reader. It makes no call; errors are about the options.
func NewMailbox(o MailboxOptions) (*Mailbox, error) {
	if o.Port == 0 {
		o.Port = 993
	}
	if o.Name == "" {
		o.Name = "INBOX"
	}
	switch {
	case o.Host == "" || strings.ContainsAny(o.Host, " /[]@\r\n"):
		return nil, errors.New("imap: the host must be the server's name or IP address alone")
	case o.Port < 1 || o.Port > 65535:
		return nil, errors.New("imap: the port must be from 1 to 65535")
	case o.Username == "" || o.Password == "":
		return nil, errors.New("imap: username and password are needed")
	}
	return &Mailbox{o: o, implicit: o.Port == 993, tls: &tls.Config{ServerName: o.Host, RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12, NextProtos: []string{"imap"}}}, nil
}

// Limits of one visit.
const (
	visit       = 50 * time.Second
	maxLetters  = 200      // more wait for the next visit
	maxMailbox  = 64 << 20 // bytes: the most a server may say
	afterLogout = time.Second
)

// Fetch gives every notification that nobody has seen to take, and marks it as seen
// once it was taken: one that could not be is there again the next time. Other mail
// is not touched. It counts what was taken. Errors hold nothing of any mail.
func (m *Mailbox) Fetch(ctx context.Context, take func(raw []byte) error) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, visit)
	defer cancel()
	client, err := m.open(ctx)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	// The library's own calls know no context.
	defer context.AfterFunc(ctx, func() { client.Close() })()
	letters, err := m.unseen(client)
	if err != nil {
		return 0, err
	}
	for n, uid := range letters {
		if err := m.one(client, uid, take); err != nil {
			return n, err
		}
	}
	defer time.AfterFunc(afterLogout, func() { client.Close() }).Stop()
	_ = client.Logout().Wait() // what is said after the work changes nothing
	return len(letters), nil
}

// open connects under TLS and signs in.
func (m *Mailbox) open(ctx context.Context) (*imapclient.Client, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", net.JoinHostPort(m.o.Host, strconv.Itoa(m.o.Port)))
	if err != nil {
		return nil, fmt.Errorf("imap: the server cannot be reached: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	client, err := m.greet(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("imap: no connection under TLS came about: %w", err)
	}
	if err := client.Login(m.o.Username, m.o.Password).Wait(); err != nil {
		client.Close()
		return nil, saidNo("the login", err)
	}
	if _, err := client.Select(m.o.Name, nil).Wait(); err != nil {
		client.Close()
		return nil, saidNo("opening the mailbox", err)
	}
	return client, nil
}

func (m *Mailbox) greet(ctx context.Context, conn net.Conn) (*imapclient.Client, error) {
	conn = bounded{conn, io.LimitReader(conn, maxMailbox)}
	if !m.implicit {
		return imapclient.NewStartTLS(conn, &imapclient.Options{TLSConfig: m.tls})
	}
	secured := tls.Client(conn, m.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return imapclient.New(secured, nil), nil
}

// unseen finds the notifications: RFC 6522 has them all as multipart/report.
func (m *Mailbox) unseen(client *imapclient.Client) ([]imap.UID, error) {
	found, err := client.UIDSearch(&imap.SearchCriteria{
		NotFlag: []imap.Flag{imap.FlagSeen}, Smaller: maxReport, Header: []imap.SearchCriteriaHeaderField{{Key: "Content-Type", Value: "multipart/report"}},
	}, nil).Wait()
	if err != nil {
		return nil, saidNo("the search", err)
	}
	uids := found.AllUIDs()
	return uids[:min(len(uids), maxLetters)], nil
}

func (m *Mailbox) one(client *imapclient.Client, uid imap.UID, take func([]byte) error) error {
	set := imap.UIDSetNum(uid)
	got, err := client.Fetch(set, &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}}).Collect()
	if err != nil {
		return saidNo("reading a mail", err)
	}
	for _, letter := range got {
		if letter.UID != uid || len(letter.BodySection) == 0 {
			continue
		}
		if err := take(letter.BodySection[0].Bytes); err != nil {
			return err
		}
	}
	if err := client.Store(set, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagSeen}}, nil).Close(); err != nil {
		return saidNo("marking a mail as seen", err)
	}
	return nil
}

// saidNo keeps of a server's no its code alone: its words may hold anything.
func saidNo(what string, err error) error {
	var no *imap.Error
	switch {
	case !errors.As(err, &no):
		return fmt.Errorf("imap: the server broke off at %s", what)
	case no.Code != "":
		return fmt.Errorf("imap: the server refused %s: %s", what, no.Code)
	}
	return fmt.Errorf("imap: the server refused %s", what)
}
