package twilio

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"harmonize.care/heed/channels"
)

// listener answers the nth connection by hand.
func listener(t *testing.T, serve func(n int, conn net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for n := 1; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(n, conn)
		}
	}()
	return l.Addr().String()
}

func wireAdapter(t *testing.T, base string, transport *http.Transport) *Adapter {
	t.Cleanup(transport.CloseIdleConnections)
	return newAdapter(t, Options{
		AccountSID: testAccount, AuthToken: testToken, BaseURL: base,
		From: map[channels.Program]string{channels.Care: careNumber}, HTTP: &http.Client{Transport: transport},
	})
}

// readRequest reads one POST off the wire.
func readRequest(in *bufio.Reader) bool {
	r, err := http.ReadRequest(in)
	if err != nil {
		return false
	}
	_, err = io.ReadAll(r.Body)
	return err == nil && r.Method == http.MethodPost
}

const wireTaken = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 35\r\n\r\n" + `{"sid": "SM1", "status": "queued"} `

// An idle connection that the server has closed is the classic trap: a transport
// may send again only while nothing was written.
func TestConnectionClosedUnderAWrittenRequest(t *testing.T) {
	for name, ending := range map[string]func(net.Conn){
		"closed": func(c net.Conn) { c.Close() },
		"reset":  func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() },
		"half an answer": func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 201 Created\r\nContent-Length: 400\r\n\r\n{\"sid\"")
			c.Close()
		},
		"no HTTP":   func(c net.Conn) { io.WriteString(c, "HTTP/1.1 +13035550143\r\n\r\n"); c.Close() },
		"half head": func(c net.Conn) { io.WriteString(c, "HTTP/1.1 201 Cre"); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int64
			address := listener(t, func(_ int, conn net.Conn) {
				in := bufio.NewReader(conn)
				for readRequest(in) {
					if requests.Add(1) == 2 {
						ending(conn)
						return
					}
					io.WriteString(conn, wireTaken)
				}
			})
			a := wireAdapter(t, "http://"+address, &http.Transport{})
			if _, err := a.Send(t.Context(), text(1, "0143")); err != nil {
				t.Fatal(err)
			}
			_, err := a.Send(t.Context(), text(2, "0143"))
			e := failed(t, err)
			if e.Kind != channels.OutcomeUnknown || requests.Load() != 2 {
				t.Errorf("%s after %d requests: %v", e.Kind, requests.Load(), e)
			}
			if strings.Contains(e.Err.Error(), "5550143") {
				t.Errorf("the error quotes the wire: %v", e.Err)
			}
		})
	}
}

// A stale connection that nothing was written to is replaced, and the text goes out.
func TestStaleConnection(t *testing.T) {
	var requests atomic.Int64
	address := listener(t, func(_ int, conn net.Conn) {
		in := bufio.NewReader(conn)
		for readRequest(in) {
			requests.Add(1)
			io.WriteString(conn, wireTaken)
		}
	})
	var broken atomic.Bool
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if broken.Load() {
			return conn, err
		}
		return &mute{Conn: conn, broken: &broken}, err
	}}
	a := wireAdapter(t, "http://"+address, transport)
	for n := range 2 {
		if n == 1 {
			broken.Store(true)
		}
		if r, err := a.Send(t.Context(), text(n+1, "0143")); err != nil || r.ProviderID != "SM1" {
			t.Fatalf("text %d: %+v, %v", n, r, err)
		}
	}
	if requests.Load() != 2 {
		t.Errorf("%d requests came", requests.Load())
	}
}

// When nobody listens any more, such a text surely did not go out.
func TestStaleConnectionAndNobodyListens(t *testing.T) {
	address := listener(t, func(_ int, conn net.Conn) {
		for in := bufio.NewReader(conn); readRequest(in); {
			io.WriteString(conn, wireTaken)
		}
	})
	var broken atomic.Bool
	a := wireAdapter(t, "http://"+address, &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if broken.Load() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("refused")}
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &mute{Conn: conn, broken: &broken}, err
	}})
	if _, err := a.Send(t.Context(), text(1, "0143")); err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	_, err := a.Send(t.Context(), text(2, "0143"))
	if e := failed(t, err); e.Kind != channels.TryLater {
		t.Errorf("%s: %v", e.Kind, e)
	}
}

// watchedBody is an endless body that tells whether it was closed.
type watchedBody struct{ closed bool }

func (b *watchedBody) Read(p []byte) (int, error) { return len(p), nil }
func (b *watchedBody) Close() error               { b.closed = true; return nil }

func TestBodiesAreClosed(t *testing.T) {
	for _, status := range []int{200, 201, 302, 400, 429, 500} {
		body := &watchedBody{}
		a := newAdapter(t, Options{
			AccountSID: testAccount, AuthToken: testToken, From: map[channels.Program]string{channels.Care: careNumber},
			HTTP: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: body}, nil
			})},
		})
		if _, err := a.Send(t.Context(), text(1, "0143")); err == nil || !body.closed {
			t.Errorf("%d: %v, closed: %v", status, err, body.closed)
		}
	}
}

// mute is a connection that takes not a byte once it is broken.
type mute struct {
	net.Conn
	broken *atomic.Bool
}

func (m *mute) Write(p []byte) (int, error) {
	if m.broken.Load() {
		m.Conn.Close()
		return 0, errors.New("broken pipe")
	}
	return m.Conn.Write(p)
}

// What fails before a request is begun surely did not go out.
func TestNotBegun(t *testing.T) {
	held := listener(t, func(_ int, conn net.Conn) { io.Copy(io.Discard, conn) }) // never ends a handshake
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	for name, base := range map[string]string{
		"nobody listens":             "http://127.0.0.1:1",
		"no such host":               "https://heed.invalid",
		"a handshake without an end": "https://" + held,
		"no TLS":                     strings.Replace(plain.URL, "http", "https", 1),
		"not trusted":                untrusted.URL,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			// The name must not be asked of a server beyond this machine.
			nowhere := &net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("no resolver")
			}}}
			_, err := wireAdapter(t, base, &http.Transport{DialContext: nowhere.DialContext}).Send(ctx, text(1, "0143"))
			if e := failed(t, err); e.Kind != channels.TryLater || e.Err == nil {
				t.Errorf("%s: %v", e.Kind, e)
			}
		})
	}
}

// A call that ends while it waits for a connection was never begun.
func TestWaitingForAConnection(t *testing.T) {
	w := newWorld(t)
	w.opt.HTTP.Transport.(*http.Transport).MaxConnsPerHost = 1
	a := w.adapter(t)
	hold, release := context.WithCancel(t.Context())
	held := make(chan error)
	go func() {
		_, err := a.Send(hold, text(1, "0019"))
		held <- err
	}()
	for w.posts.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := a.Send(ctx, text(2, "0143"))
	if e := failed(t, err); e.Kind != channels.TryLater || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: %v", e.Kind, err)
	}
	release()
	if failed(t, <-held).Kind != channels.OutcomeUnknown || w.posts.Load() != 1 {
		t.Error("the call that was held is not unknown")
	}
}

// Over HTTP/2 Go's transport sends a request again after errors of a server that
// has had all of it: here a server breaks the stream after it read the body.
func TestHTTP2IsNotRepeated(t *testing.T) {
	const refusedStream, protocolError = 7, 1
	for name, code := range map[string]uint32{"protocol error": protocolError, "refused stream": refusedStream} {
		t.Run(name, func(t *testing.T) {
			secured := httptest.NewTLSServer(nil) // for its certificate
			defer secured.Close()
			var requests atomic.Int64
			config := &tls.Config{Certificates: secured.TLS.Certificates, NextProtos: []string{"h2"}}
			address := listener(t, func(_ int, conn net.Conn) {
				breakStreams(tls.Server(conn, config), code, &requests)
			})
			transport := &http.Transport{TLSClientConfig: secured.Client().Transport.(*http.Transport).TLSClientConfig.Clone(), ForceAttemptHTTP2: true}
			_, err := wireAdapter(t, "https://"+address, transport).Send(t.Context(), text(1, "0143"))
			if e := failed(t, err); e.Kind != channels.OutcomeUnknown || requests.Load() != 1 {
				t.Errorf("%s after %d requests: %v", e.Kind, requests.Load(), e.Err)
			}
		})
	}
}

// breakStreams reads HTTP/2 requests to their end and resets each. RFC 9113
// sections 3.4, 4.1 and 6.
func breakStreams(conn net.Conn, code uint32, requests *atomic.Int64) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	if _, err := in.Discard(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")); err != nil {
		return
	}
	const data, resetStream, settings, endStream, ack = 0, 3, 4, 1, 1
	frame := func(kind, flags byte, stream uint32, payload []byte) {
		var b bytes.Buffer
		b.Write([]byte{0, byte(len(payload) >> 8), byte(len(payload)), kind, flags})
		binary.Write(&b, binary.BigEndian, stream)
		b.Write(payload)
		conn.Write(b.Bytes())
	}
	frame(settings, 0, 0, nil)
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(in, head); err != nil {
			return
		}
		length := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
		if _, err := in.Discard(length); err != nil {
			return
		}
		switch kind, flags, stream := head[3], head[4], binary.BigEndian.Uint32(head[5:]); {
		case kind == settings && flags&ack == 0:
			frame(settings, ack, 0, nil)
		case kind == data && flags&endStream != 0:
			requests.Add(1)
			frame(resetStream, 0, stream, binary.BigEndian.AppendUint32(nil, code))
		}
	}
}
