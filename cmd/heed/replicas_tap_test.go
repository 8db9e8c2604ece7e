package main

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// tap stands between one replica and a service. It can be cut, be made to hang, and reads
// along where it is told how, so that a replica can be stopped at a named point of its work.
type tap struct {
	listener net.Listener
	behind   string
	reads    func(*tap, net.Conn, net.Conn) // relays one connection and reads along; nil: relays

	mu     sync.Mutex
	change *sync.Cond
	mode   tapMode
	conns  map[net.Conn]bool
	ears   map[net.Conn]bool                         // the connections on which a replica hears of others' revocations
	deaf   tapMode                                   // how those do
	acts   func(point string, done bool) (lost bool) // at each named point, before it and after it; nil: nothing
}

type tapMode int

const (
	flows tapMode = iota
	cut           // every connection is closed, and new ones at once
	hangs         // nothing goes through; new connections are taken and never answered
)

// tapBefore puts a tap before the service at an address, and gives the address to use instead.
func tapBefore(t *testing.T, address string, reads func(*tap, net.Conn, net.Conn)) (*tap, string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{listener: l, behind: u.Host, reads: reads, conns: map[net.Conn]bool{}, ears: map[net.Conn]bool{}}
	p.change = sync.NewCond(&p.mu)
	if p.reads == nil {
		p.reads = relayed
	}
	go p.serve()
	t.Cleanup(func() {
		l.Close()
		p.set(cut)
	})
	u.Host = l.Addr().String()
	return p, u.String()
}

func (p *tap) serve() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.take(from)
	}
}

func (p *tap) take(from net.Conn) {
	defer p.forget(from)
	if !p.keep(from) {
		return
	}
	p.passes(from)
	to, err := net.Dial("tcp", p.behind)
	if err != nil {
		return
	}
	defer p.forget(to)
	if p.keep(to) {
		p.reads(p, from, to)
	}
}

// keep remembers a connection, so that it can be cut.
func (p *tap) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == cut {
		c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *tap) forget(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	delete(p.ears, c)
}

// set changes what the tap does from now on.
func (p *tap) set(m tapMode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	if m == cut {
		for c := range p.conns {
			c.Close()
		}
	}
	p.change.Broadcast()
}

// deafen changes what becomes of the connections on which a replica hears of the others'
// revocations; all else flows.
func (p *tap) deafen(m tapMode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = m
	if m == cut {
		for c := range p.ears {
			c.Close()
		}
	}
	p.change.Broadcast()
}

// ear notes that a replica hears on a connection, and says whether it may.
func (p *tap) ear(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ears[c] = true
	return p.deaf != cut
}

// at sets what happens at the named points; nil: nothing. What is lost before a point does
// not get through.
func (p *tap) at(acts func(point string, done bool) (lost bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acts = acts
}

func (p *tap) reached(point string, done bool) (lost bool) {
	p.mu.Lock()
	acts := p.acts
	p.mu.Unlock()
	return acts != nil && acts(point, done)
}

// passes waits as long as nothing goes through on a replica's connection.
func (p *tap) passes(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.mode == hangs || p.deaf == hangs && p.ears[c] {
		p.change.Wait()
	}
}

func relayed(p *tap, from, to net.Conn) {
	go func() {
		defer from.Close()
		p.copy(from, to, from)
	}()
	defer to.Close()
	p.copy(to, from, from)
}

func (p *tap) copy(to, from, replica net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			p.passes(replica)
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// session is one connection to PostgreSQL, read along: which statements are prepared, and
// what the transaction has done so far.
// https://www.postgresql.org/docs/current/protocol-message-formats.html
type session struct {
	*tap
	texts map[string]string // prepared statements by name
	done  []string          // what the transaction did

	mu    sync.Mutex
	point string // the next answer says that this point is behind us
}

// readPostgres relays a connection to PostgreSQL, message by message.
func readPostgres(p *tap, from, to net.Conn) {
	s := &session{tap: p, texts: map[string]string{}}
	go func() {
		defer from.Close()
		s.answers(from, to)
	}()
	defer to.Close()
	head := make([]byte, 5)
	for first := true; ; first = false {
		// The first message has no letter before its length.
		start := head[1:]
		if !first {
			start = head
		}
		if _, err := io.ReadFull(from, start); err != nil {
			return
		}
		length := int(binary.BigEndian.Uint32(head[1:]))
		if length < 4 || length > 64<<20 {
			return
		}
		body := make([]byte, length-4)
		if _, err := io.ReadFull(from, body); err != nil {
			return
		}
		point := ""
		if !first {
			point = s.reads(head[0], body)
		}
		if point == atListen && !p.ear(from) {
			return
		}
		p.passes(from)
		if point != "" && point != atListen {
			if p.reached(point, false) {
				return
			}
			s.expect(point)
		}
		if _, err := to.Write(append(append([]byte(nil), start...), body...)); err != nil {
			return
		}
	}
}

func (s *session) expect(point string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.point = point
}

// answers relays what the server says. A point that it answers for is behind us before the
// replica knows.
func (s *session) answers(to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			s.mu.Lock()
			point := s.point
			s.point = ""
			s.mu.Unlock()
			if point != "" {
				s.reached(point, true)
			}
			s.passes(to)
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// reads notes what one message asks for, and names the point that it comes to.
func (s *session) reads(kind byte, body []byte) string {
	switch kind {
	case 'P':
		name, rest, _ := strings.Cut(string(body), "\x00")
		s.texts[name], _, _ = strings.Cut(rest, "\x00")
	case 'B':
		_, rest, _ := strings.Cut(string(body), "\x00")
		name, _, _ := strings.Cut(rest, "\x00")
		return s.runs(s.texts[name])
	case 'Q':
		text := strings.TrimRight(string(body), "\x00")
		if strings.HasPrefix(text, "LISTEN") {
			return atListen
		}
		return s.runs(text)
	}
	return ""
}

// runs notes a statement. A transaction's begin and end come by themselves, or among the
// statements that are sent with them: held at its end, it is not kept.
func (s *session) runs(text string) string {
	switch word := strings.ToLower(text); {
	case strings.HasPrefix(word, "begin"):
		s.done = nil
	case strings.HasPrefix(word, "commit"):
		defer func() { s.done = nil }()
		return pointOf(s.done)
	case strings.HasPrefix(text, "UPDATE slices SET status = 2 "):
		return atSliceBegun
	default:
		s.done = append(s.done, text)
	}
	return ""
}

// The named points: commits, told by what their transactions wrote.
const (
	atAccept      = "accept"
	atClaim       = "claim"
	atBegun       = "begun mark"
	atRecord      = "record"
	atSliceClaim  = "claim of a slice"
	atSliceBegun  = "begun mark of a slice"
	atSliceRecord = "record of a slice"
	atRefusal     = "refusal"
	atListen      = "listen" // no commit: the connection is an ear from here on
)

func pointOf(statements []string) string {
	wrote := func(start string) bool {
		for _, text := range statements {
			if strings.HasPrefix(text, start) {
				return true
			}
		}
		return false
	}
	switch {
	case wrote("INSERT INTO slices"):
		return atSliceClaim
	case wrote("INSERT INTO attempts"):
		return atClaim
	case wrote("INSERT INTO revocations"):
		return atRefusal
	case wrote("INSERT INTO messages"):
		return atAccept
	case wrote("UPDATE slices"):
		return atSliceRecord
	case wrote("UPDATE attempts") && wrote("INSERT INTO message_events"):
		return atRecord
	case wrote("UPDATE attempts"):
		return atBegun
	}
	return ""
}
