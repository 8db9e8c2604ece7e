package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"harmonize.care/heed/channels/smtp"
)

const bounceSecret = "secret-of-the-bounces-webhook-0123456789"

// relay is a mail server on this machine that takes everything.
type relay struct {
	listener net.Listener
	mu       sync.Mutex
	mails    []string
	work     sync.WaitGroup
}

func newRelay(t *testing.T) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l}
	r.work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.work.Go(func() { defer conn.Close(); r.talk(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); r.work.Wait() })
	return r
}

func (r *relay) port() string { return strconv.Itoa(r.listener.Addr().(*net.TCPAddr).Port) }

func (r *relay) talk(conn net.Conn) {
	in := textproto.NewReader(bufio.NewReader(conn))
	fmt.Fprint(conn, "220 relay.example\r\n")
	for {
		line, err := in.ReadLine()
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.ToUpper(line), " "); verb {
		case "DATA":
			fmt.Fprint(conn, "354 go on\r\n")
			lines, err := in.ReadDotLines()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.mails = append(r.mails, strings.Join(lines, "\r\n"))
			r.mu.Unlock()
			fmt.Fprint(conn, "250 queued\r\n")
		case "QUIT":
			fmt.Fprint(conn, "221 bye\r\n")
			return
		default:
			fmt.Fprint(conn, "250 relay.example\r\n")
		}
	}
}

// last gives the header of the latest mail, once there are so many.
func (r *relay) last(t *testing.T, n int) mail.Header {
	t.Helper()
	var raw string
	eventually(t, "the mail is there", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.mails) == n {
			raw = r.mails[n-1]
		}
		return len(r.mails) == n
	})
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header
}

// bounced is the notification that a mail to somebody did not arrive.
func bounced(id, to, status string) []byte {
	return []byte(strings.ReplaceAll(fmt.Sprintf(`From: MAILER-DAEMON@relay.example
Subject: Undelivered
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.example

Final-Recipient: rfc822; %s
Action: failed
Status: %s

--b
Content-Type: text/rfc822-headers

Message-ID: %s

--b--
`, to, status, id), "\n", "\r\n"))
}

// pipe hands a mail to the webhook, as a relay's script does.
func (h *heedUnderTest) pipe(raw []byte, secret string) int {
	h.t.Helper()
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%s.%s", stamp, raw)
	r, err := http.NewRequest("POST", h.url+"/webhooks/smtp/bounces", bytes.NewReader(raw))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("X-Heed-Timestamp", stamp)
	r.Header.Set("X-Heed-Signature", hex.EncodeToString(mac.Sum(nil)))
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	got.Body.Close()
	return got.StatusCode
}

func startWithRelay(t *testing.T) (*heedUnderTest, *relay) {
	t.Helper()
	r := newRelay(t)
	h := start(t, map[string]string{
		"programs.care.email": "smtp", "providers.smtp.host": "127.0.0.1", "providers.smtp.port": r.port(), "providers.smtp.plaintext": "true", "providers.smtp.agreement": "baa",
		"providers.smtp.bounces.secret": bounceSecret,
	})
	h.enrol("p1", "+13035550151", "p1@patients.example")
	h.ok("POST", "/v1/patients/p1/preferences", map[string]any{"care_channels": map[string]any{"order": []string{"email", "sms", "voice"}}, "source": "staff"})
	return h, r
}

// emailOf is what a decision says of the patient's mailbox now.
func (h *heedUnderTest) emailOf(patient string) any {
	h.t.Helper()
	return h.decision(patient, "appointment_reminder", "email")["code"]
}

// A mail that the relay took and that bounces is known to be lost: the mailbox is bad,
// and the reminder finds another way. Nothing that is made up does that.
func TestBounceByWebhook(t *testing.T) {
	h, r := startWithRelay(t)
	id := h.send(reminder("p1"))
	header := r.last(t, 1)
	message, to := header.Get("Message-Id"), "P1@Patients.example"
	h.settles(id, "sent")
	attempt, _, _ := strings.Cut(strings.TrimPrefix(message, "<heed."), ".")
	for name, c := range map[string]struct {
		raw    []byte
		secret string
		status int
	}{
		"another secret":            {bounced(message, to, "5.1.1"), bounceSecret + "x", http.StatusForbidden},
		"an id that is not signed":  {bounced("<heed."+attempt+"@sandbox.example>", to, "5.1.1"), bounceSecret, http.StatusOK},
		"another recipient":         {bounced(message, "p2@patients.example", "5.1.1"), bounceSecret, http.StatusOK},
		"a letter":                  {[]byte("From: x@example.org\r\n\r\nHello"), bounceSecret, http.StatusOK},
		"more than a mail may be":   {bytes.Repeat([]byte("x"), 2<<20), bounceSecret, http.StatusRequestEntityTooLarge},
		"something that is no mail": {[]byte{0xff, 0}, bounceSecret, http.StatusOK},
	} {
		if got := h.pipe(c.raw, c.secret); got != c.status {
			t.Errorf("%s: %d", name, got)
		}
	}
	if m := h.ok("GET", "/v1/messages/"+id, nil); m["status"] != "sent" || h.emailOf("p1") != nil {
		t.Fatalf("something made up was believed: %v, the mailbox is %v", m, h.emailOf("p1"))
	}
	for range 2 {
		if got := h.pipe(bounced(message, to, "5.1.1"), bounceSecret); got != http.StatusOK {
			t.Fatal(got)
		}
	}
	m := h.settles(id, "delivered")
	if attempts := m["attempts"].([]any); len(attempts) != 2 || attempts[0].(map[string]any)["code"] != "bounce 5.1.1" || attempts[1].(map[string]any)["channel"] != "sms" {
		t.Errorf("%v", m)
	}
	if got := h.emailOf("p1"); got != "address_bad" {
		t.Errorf("the mailbox is %v", got)
	}
	h.quiet()
}

// A filter's no is no word on the mailbox: this message goes another way, the next one
// may go there again.
func TestBounceByMailbox(t *testing.T) {
	h, r := startWithRelay(t)
	id := h.send(reminder("p1"))
	message := r.last(t, 1).Get("Message-Id")
	h.settles(id, "sent")
	user := imapmemserver.NewUser("bounces", "password")
	if err := user.Create("INBOX", nil); err != nil {
		t.Fatal(err)
	}
	h.server.carriers.mailbox = imapServer(t, user)
	if _, err := user.Append("INBOX", literal{bytes.NewReader(bounced(message, "p1@patients.example", "5.7.1"))}, &imap.AppendOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := h.server.fetchBounces(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	m := h.settles(id, "delivered")
	if attempts := m["attempts"].([]any); len(attempts) != 2 || attempts[0].(map[string]any)["code"] != "bounce 5.7.1" || h.emailOf("p1") != nil {
		t.Errorf("%v, and the mailbox is %v", m, h.emailOf("p1"))
	}
	h.quiet()
}

type literal struct{ *bytes.Reader }

func (l literal) Size() int64 { return l.Reader.Size() }

// imapServer serves one user's mailboxes on this machine, and gives a reader of them.
func imapServer(t *testing.T, user *imapmemserver.User) *smtp.Mailbox {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sheet := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, sheet, sheet, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	memory := imapmemserver.New()
	memory.AddUser(user)
	server := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return memory.NewSession(), nil, nil
		},
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, Logger: log.New(io.Discard, "", 0),
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-ended })
	m, err := smtp.NewMailbox(smtp.MailboxOptions{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Username: "bounces", Password: "password", RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	return m
}
