package sendgrid

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

// listener answers every connection by hand.
func listener(t *testing.T, serve func(conn net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return l.Addr().String()
}

func wireAdapter(t *testing.T, base string, transport *http.Transport) *Adapter {
	t.Cleanup(transport.CloseIdleConnections)
	return newAdapter(t, Options{APIKey: testKey, BaseURL: base, From: map[channels.Program]string{channels.Care: careBox}, HTTP: &http.Client{Transport: transport}})
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

const wireTaken = "HTTP/1.1 202 Accepted\r\nX-Message-Id: SG1\r\nContent-Length: 0\r\n\r\n"

// An idle connection that the server has closed is the classic trap: a transport
// may send again only while nothing was written.
func TestConnectionClosedUnderAWrittenRequest(t *testing.T) {
	for name, ending := range map[string]func(net.Conn){
		"closed":    func(c net.Conn) { c.Close() },
		"reset":     func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() },
		"no HTTP":   func(c net.Conn) { io.WriteString(c, "HTTP/1.1 reader+302@patients.example\r\n\r\n"); c.Close() },
		"half head": func(c net.Conn) { io.WriteString(c, "HTTP/1.1 202 Acc"); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int64
			address := listener(t, func(conn net.Conn) {
				for in := bufio.NewReader(conn); readRequest(in); {
					if requests.Add(1) == 2 {
						ending(conn)
						return
					}
					io.WriteString(conn, wireTaken)
				}
			})
			a := wireAdapter(t, "http://"+address, &http.Transport{})
			if _, err := a.Send(t.Context(), letter(1, "reader")); err != nil {
				t.Fatal(err)
			}
			_, err := a.Send(t.Context(), letter(2, "reader"))
			e := failed(t, err)
			if e.Kind != channels.OutcomeUnknown || requests.Load() != 2 {
				t.Errorf("%s after %d requests: %v", e.Kind, requests.Load(), e)
			}
			if strings.Contains(e.Err.Error(), "patients") {
				t.Errorf("the error quotes the wire: %v", e.Err)
			}
		})
	}
}

// A yes whose body breaks off is still a yes, and a no is still a no.
func TestHalfAnAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		head string
		want channels.SendErrorKind // 0: taken
	}{
		"yes": {"HTTP/1.1 202 Accepted\r\nX-Message-Id: SG1\r\nContent-Length: 400\r\n\r\n{", 0},
		"no":  {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 400\r\n\r\n{", channels.OperatorMustAct},
	} {
		address := listener(t, func(conn net.Conn) {
			defer conn.Close()
			if readRequest(bufio.NewReader(conn)) {
				io.WriteString(conn, c.head)
			}
		})
		r, err := wireAdapter(t, "http://"+address, &http.Transport{}).Send(t.Context(), letter(1, "reader"))
		switch {
		case c.want == 0 && (err != nil || r.ProviderID != "SG1"):
			t.Errorf("%s: %+v, %v", name, r, err)
		case c.want != 0 && failed(t, err).Kind != c.want:
			t.Errorf("%s: %v", name, err)
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

// A stale connection that nothing was written to is replaced, and the mail goes
// out; when nobody listens any more, it surely did not.
func TestStaleConnection(t *testing.T) {
	for name, gone := range map[string]bool{"still there": false, "gone": true} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int64
			address := listener(t, func(conn net.Conn) {
				for in := bufio.NewReader(conn); readRequest(in); {
					requests.Add(1)
					io.WriteString(conn, wireTaken)
				}
			})
			var broken atomic.Bool
			a := wireAdapter(t, "http://"+address, &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				switch {
				case !broken.Load():
					conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
					return &mute{Conn: conn, broken: &broken}, err
				case gone:
					return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("refused")}
				}
				return (&net.Dialer{}).DialContext(ctx, network, address)
			}})
			if _, err := a.Send(t.Context(), letter(1, "reader")); err != nil {
				t.Fatal(err)
			}
			broken.Store(true)
			r, err := a.Send(t.Context(), letter(2, "reader"))
			switch {
			case gone && (failed(t, err).Kind != channels.TryLater || requests.Load() != 1):
				t.Errorf("%v after %d requests", err, requests.Load())
			case !gone && (err != nil || r.ProviderID != "SG1" || requests.Load() != 2):
				t.Errorf("%+v, %v after %d requests", r, err, requests.Load())
			}
		})
	}
}

// watchedBody is an endless body that tells whether it was closed, and how much of
// it was read.
type watchedBody struct {
	read   int
	closed bool
}

func (b *watchedBody) Read(p []byte) (int, error) { b.read += len(p); return len(p), nil }
func (b *watchedBody) Close() error               { b.closed = true; return nil }

type roundTrip func(*http.Request) (*http.Response, error)

func (r roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }

// Of a transport that does not tell how far it got, only a dial error is sure.
func TestSilentTransport(t *testing.T) {
	for want, err := range map[channels.SendErrorKind]error{
		channels.OutcomeUnknown: errors.New("broken"), channels.TryLater: &net.OpError{Op: "dial", Err: errors.New("refused")},
	} {
		a := wireAdapter(t, "", &http.Transport{})
		a.http.Transport = roundTrip(func(*http.Request) (*http.Response, error) { return nil, err })
		if _, err := a.Send(t.Context(), letter(1, "reader")); failed(t, err).Kind != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestBodiesAreClosed(t *testing.T) {
	for _, status := range []int{200, 202, 302, 400, 429, 500} {
		body := &watchedBody{}
		a := newAdapter(t, Options{
			APIKey: testKey, From: map[channels.Program]string{channels.Care: careBox},
			HTTP: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: body}, nil
			})},
		})
		if _, err := a.Send(t.Context(), letter(1, "reader")); err == nil || !body.closed || body.read > 2*maxAnswer {
			t.Errorf("%d: %v, closed: %v, read: %d", status, err, body.closed, body.read)
		}
	}
}

// What fails before a request is begun surely did not go out.
func TestNotBegun(t *testing.T) {
	held := listener(t, func(conn net.Conn) { io.Copy(io.Discard, conn) }) // never ends a handshake
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
			_, err := wireAdapter(t, base, &http.Transport{DialContext: nowhere.DialContext}).Send(ctx, letter(1, "reader"))
			if e := failed(t, err); e.Kind != channels.TryLater || e.Err == nil {
				t.Errorf("%s: %v", e.Kind, e)
			}
		})
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
			address := listener(t, func(conn net.Conn) { breakStreams(tls.Server(conn, config), code, &requests) })
			transport := &http.Transport{TLSClientConfig: secured.Client().Transport.(*http.Transport).TLSClientConfig.Clone(), ForceAttemptHTTP2: true}
			_, err := wireAdapter(t, "https://"+address, transport).Send(t.Context(), letter(1, "reader"))
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
