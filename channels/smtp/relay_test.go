package smtp

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"harmonize.care/heed/channels"
)

const (
	user     = "heed"
	password = "correct horse"
)

// relay is a small mail server whose every answer can be scripted.
type relay struct {
	t        *testing.T
	listener net.Listener
	config   *tls.Config
	roots    *x509.CertPool

	// Set before the first call.
	implicit   bool   // TLS from the first byte
	noTLS      bool   // offers no STARTTLS
	dsn        bool   // offers DSN
	mechanisms string // what AUTH offers, "" for no AUTH
	// answer changes what is said to a command: another reply, or none and an
	// ending. Its argument is the verb ("" is the greeting, "." the end of a
	// message) and the recipient so far.
	answer func(verb, to string) (reply string, then ending)

	mu       sync.Mutex
	open     map[net.Conn]bool
	sessions int
	verbs    []string // every command's verb
	mails    []taken
	working  sync.WaitGroup
}

// ending is what follows an answer.
type ending uint8

const (
	goOn ending = iota
	hangUp
	hang // until the other side goes
)

// taken is one mail as the relay took it.
type taken struct {
	hello, login, from, to string
	secured                bool
	raw                    string
}

func newRelay(t *testing.T, change ...func(*relay)) *relay {
	t.Helper()
	r := &relay{t: t, mechanisms: "PLAIN LOGIN", open: map[net.Conn]bool{}, answer: func(string, string) (string, ending) { return "", goOn }}
	for _, c := range change {
		c(r)
	}
	var err error
	if r.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	r.config, r.roots = certificate(t)
	r.working.Go(r.serve)
	t.Cleanup(func() { r.unplug(); r.working.Wait() })
	return r
}

// certificate makes one for this machine that signs itself.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "relay.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, roots
}

func (r *relay) unplug() {
	r.listener.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.open {
		conn.Close()
	}
}

func (r *relay) options() Options {
	return Options{
		Host: "127.0.0.1", Port: r.listener.Addr().(*net.TCPAddr).Port, Username: user, Password: password, RootCAs: r.roots, FromName: "Your provider",
		From: map[channels.Program]string{channels.Care: "care@clinic.example", channels.Marketing: "news@shop.example"},
		Now:  func() time.Time { return testNow },
	}
}

func (r *relay) serve() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.open[conn] = true
		r.sessions++
		r.mu.Unlock()
		r.working.Go(func() {
			(&session{relay: r, conn: conn}).run()
			conn.Close()
			r.mu.Lock()
			delete(r.open, conn)
			r.mu.Unlock()
		})
	}
}

func (r *relay) taken() []taken {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mails)
}

// heard counts how often a verb came.
func (r *relay) heard(verb string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.verbs {
		if v == verb {
			n++
		}
	}
	return n
}

// session is one connection.
type session struct {
	relay *relay
	conn  net.Conn
	text  *textproto.Reader
	mail  taken
}

func (s *session) run() {
	if s.relay.implicit {
		s.secure()
	} else {
		s.text = textproto.NewReader(bufio.NewReader(s.conn))
	}
	if !s.say("", "220 relay.example ESMTP") {
		return
	}
	for {
		line, err := s.text.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		s.relay.mu.Lock()
		s.relay.verbs = append(s.relay.verbs, verb)
		s.relay.mu.Unlock()
		if !s.command(strings.ToUpper(verb), rest) {
			return
		}
	}
}

func (s *session) secure() {
	conn := tls.Server(s.conn, s.relay.config)
	s.conn, s.text, s.mail.secured = conn, textproto.NewReader(bufio.NewReader(conn)), true
}

// say gives the scripted answer, or else the usual one, and whether to go on.
func (s *session) say(verb, usual string) bool {
	reply, then := s.relay.answer(verb, s.mail.to)
	if reply == "" && then == goOn {
		reply = usual
	}
	if reply != "" {
		if _, err := io.WriteString(s.conn, reply+"\r\n"); err != nil {
			return false
		}
	}
	if then == hang {
		io.Copy(io.Discard, s.conn)
	}
	return then == goOn
}

// refused says whether the script says no to a command.
func (s *session) refused(verb string) bool {
	reply, then := s.relay.answer(verb, s.mail.to)
	return reply != "" || then != goOn
}

func (s *session) command(verb, rest string) bool {
	switch verb {
	case "EHLO":
		s.mail.hello = rest
		reply := "250-relay.example\r\n"
		if !s.relay.noTLS && !s.mail.secured {
			reply += "250-STARTTLS\r\n"
		}
		if s.relay.mechanisms != "" {
			reply += "250-AUTH " + s.relay.mechanisms + "\r\n"
		}
		if s.relay.dsn {
			reply += "250-DSN\r\n"
		}
		return s.say(verb, reply+"250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES")
	case "STARTTLS":
		if s.refused(verb) {
			return s.say(verb, "")
		}
		io.WriteString(s.conn, "220 go on\r\n")
		s.secure()
		return true
	case "AUTH":
		return s.auth(rest)
	case "MAIL":
		s.mail.from, s.mail.to = strings.TrimPrefix(rest, "FROM:"), ""
		return s.say(verb, "250 2.1.0 ok")
	case "RCPT":
		s.mail.to = strings.TrimPrefix(rest, "TO:")
		return s.say(verb, "250 2.1.5 ok")
	case "DATA":
		return s.data()
	case "QUIT":
		s.say(verb, "221 bye")
		return false
	}
	return s.say(verb, "502 5.5.1 what?")
}

func (s *session) auth(rest string) bool {
	if s.refused("AUTH") {
		return s.say("AUTH", "")
	}
	mechanism, first, _ := strings.Cut(rest, " ")
	decode := func(text string) string {
		plain, _ := base64.StdEncoding.DecodeString(text)
		return string(plain)
	}
	got := decode(first)
	if mechanism == "LOGIN" {
		got = ""
		for _, question := range []string{"334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"} {
			io.WriteString(s.conn, question+"\r\n")
			line, err := s.text.ReadLine()
			if err != nil {
				return false
			}
			got += "\x00" + decode(line)
		}
	}
	if got != "\x00"+user+"\x00"+password {
		io.WriteString(s.conn, "535 5.7.8 heed may not come in\r\n")
		return true
	}
	s.mail.login = mechanism
	io.WriteString(s.conn, "235 2.7.0 ok\r\n")
	return true
}

func (s *session) data() bool {
	if s.refused("DATA") {
		return s.say("DATA", "")
	}
	io.WriteString(s.conn, "354 go on\r\n")
	lines, err := s.text.ReadDotLines()
	if err != nil {
		return false
	}
	s.mail.raw = strings.Join(lines, "\r\n") + "\r\n"
	reply, then := s.relay.answer(".", s.mail.to)
	if (reply == "" || reply[0] == '2') && !(then == hangUp && strings.Contains(s.mail.to, "lose")) {
		s.relay.mu.Lock()
		s.relay.mails = append(s.relay.mails, s.mail)
		s.relay.mu.Unlock()
	}
	return s.say(".", "250 2.0.0 queued as 42")
}

// fatal is a test of either sort.
type fatal interface {
	Helper()
	Error(...any)
	Fatal(...any)
	Fatalf(string, ...any)
}

// read takes a mail apart: its header, its plain text and its HTML.
func (m taken) read(t fatal) (mail.Header, string, string) {
	t.Helper()
	header, texts, _ := m.apart(t)
	return header, texts["text/plain"], texts["text/html"]
}

// apart gives the header, the texts by their type, and the files.
func (m taken) apart(t fatal) (mail.Header, map[string]string, []channels.Attachment) {
	t.Helper()
	parsed, err := mail.ReadMessage(strings.NewReader(m.raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(parsed.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	w := &walk{t: t, texts: map[string]string{}}
	if !strings.HasPrefix(kind, "multipart/") {
		// The last line has an end, whether the text has one or not.
		w.texts[kind] = strings.TrimSuffix(reading(t, quotedprintable.NewReader(parsed.Body)), "\n")
	} else {
		w.parts(multipart.NewReader(parsed.Body, params["boundary"]))
	}
	return parsed.Header, w.texts, w.files
}

// walk goes through the parts of a mail.
type walk struct {
	t     fatal
	texts map[string]string
	files []channels.Attachment
}

func (w *walk) parts(list *multipart.Reader) {
	for {
		part, err := list.NextPart()
		if err == io.EOF {
			return
		}
		if err != nil {
			w.t.Fatal(err)
		}
		kind, params, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		switch {
		case err != nil:
			w.t.Fatalf("a part is %s %v, %v", kind, params, err)
		case strings.HasPrefix(kind, "multipart/"):
			w.parts(multipart.NewReader(part, params["boundary"]))
		case part.FileName() != "":
			content, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, part))
			if err != nil {
				w.t.Fatal(err)
			}
			w.files = append(w.files, channels.Attachment{Name: part.FileName(), Type: kind, Content: content})
		case !strings.EqualFold(params["charset"], "utf-8"):
			w.t.Fatalf("a part is %s %v", kind, params)
		default:
			if kind == "text/plain" && len(w.texts) > 0 {
				w.t.Error("the plain text does not stand first") // RFC 2046 section 5.1.4
			}
			w.texts[kind] = reading(w.t, part)
		}
	}
}

// reading gives a decoded part, with our line ends.
func reading(t fatal, part io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(part)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}
