package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/channelstest"
)

var testNow = time.Date(2026, 3, 3, 15, 0, 0, 0, time.FixedZone("", -7*3600))

// letter makes the nth message; the first part of the mailbox decides how it fares.
func letter(n int, local string) channels.Outgoing {
	return channels.Outgoing{
		Attempt: int64(9000 + n), Program: channels.Care, Channel: channels.Email, To: fmt.Sprintf("%s+%d@patients.example", local, 300+n),
		Subject: fmt.Sprintf("About visit %d", n),
		Text:    fmt.Sprintf("Cedar Practice: visit %d is at 10:30 & all's well é\n.\n.. a line of dots", n),
		HTML:    fmt.Sprintf("<p>Visit %d é</p>", n),
	}
}

func newAdapter(t *testing.T, o Options) *Adapter {
	t.Helper()
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func failed(t *testing.T, err error) *channels.SendError {
	t.Helper()
	e, ok := err.(*channels.SendError)
	if !ok {
		t.Fatalf("the error is %T %v", err, err)
	}
	return e
}

// fates scripts how mails to certain mailboxes fare.
func fates(r *relay) {
	r.answer = func(verb, to string) (string, ending) {
		local, _, _ := strings.Cut(strings.TrimPrefix(to, "<"), "+")
		switch verb + " " + local {
		case "RCPT later":
			return "450 4.2.1 " + to + " is busy", goOn
		case "RCPT nobody":
			return "550 5.1.1 " + to + " is not here", goOn
		case ". lose", ". drop":
			return "", hangUp
		case ". hang":
			return "", hang
		}
		return "", goOn
	}
}

func TestAdapter(t *testing.T) {
	local := map[channelstest.Trouble]string{
		channelstest.TooMany: "later", channelstest.Refused: "nobody",
		channelstest.Lost: "lose", channelstest.Dropped: "drop", channelstest.Hanging: "hang",
	}
	channelstest.Adapter(t, func(t *testing.T) channelstest.Case {
		r := newRelay(t, fates)
		return channelstest.Case{
			Adapter:  newAdapter(t, r.options()),
			Message:  func(n int) channels.Outgoing { return letter(n, "reader") },
			Troubled: func(tr channelstest.Trouble, n int) channels.Outgoing { return letter(n, local[tr]) },
			Cannot:   map[channelstest.Trouble]string{channelstest.Fault: "every reply of SMTP says whether the message was taken"},
			Refusal:  channels.AddressIsBad, RefusalCode: "550 5.1.1",
			Calls: func() int { return r.heard("MAIL") },
			Taken: func() (list []channelstest.Taken) {
				for _, m := range r.taken() {
					header, texts, files := m.apart(t)
					id := strings.Trim(header.Get("Message-ID"), "<>")
					attempt, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(id, "heed."), "@clinic.example"), 10, 64)
					list = append(list, channelstest.Taken{ProviderID: id, To: strings.Trim(m.to, "<>"), Text: texts["text/plain"], Attempt: attempt, Attachments: files})
				}
				return list
			},
			Unplug: r.unplug,
		}
	})
}

// said makes a relay answer a verb in its own way.
func said(verb, reply string, then ending) func(*relay) {
	return func(r *relay) {
		r.answer = func(v, _ string) (string, ending) {
			if v == verb {
				return reply, then
			}
			return "", goOn
		}
	}
}

// Every way in which a relay can fail, at every step.
func TestEveryStep(t *testing.T) {
	const (
		later, never, bad = channels.TryLater, channels.TryNever, channels.AddressIsBad
		operator, unknown = channels.OperatorMustAct, channels.OutcomeUnknown
	)
	long := strings.Repeat("reader+301@patients.example ", 50_000)
	for name, c := range map[string]struct {
		verb, reply string
		then        ending
		want        channels.SendErrorKind
		code        string
	}{
		"greeting: busy":              {"", "421 4.3.2 reader+301@patients.example", hangUp, later, "421 4.3.2"},
		"greeting: no":                {"", "554 5.3.2 no service", hangUp, operator, "554 5.3.2"},
		"greeting: gone":              {"", "", hangUp, later, ""},
		"greeting: not SMTP":          {"", "HTTP/1.1 400 reader+301@patients.example", goOn, later, ""},
		"greeting: endless":           {"", "220-" + strings.ReplaceAll(long, " ", "\r\n220-"), hang, later, ""},
		"EHLO: no":                    {"EHLO", "550 no", goOn, operator, "550"},
		"EHLO: gone":                  {"EHLO", "", hangUp, later, ""},
		"STARTTLS: busy":              {"STARTTLS", "454 4.7.0 not now", goOn, later, "454 4.7.0"},
		"STARTTLS: no":                {"STARTTLS", "502 no", goOn, operator, "502"},
		"STARTTLS: no TLS":            {"STARTTLS", "220 go on\r\n220 no TLS", goOn, later, ""},
		"STARTTLS: gone":              {"STARTTLS", "", hangUp, later, ""},
		"AUTH: busy":                  {"AUTH", "454 4.7.0 not now", goOn, later, "454 4.7.0"},
		"AUTH: no":                    {"AUTH", "535 5.7.8 no", goOn, operator, "535 5.7.8"},
		"AUTH: too weak":              {"AUTH", "534 5.7.9 no", goOn, operator, "534 5.7.9"},
		"AUTH: gone":                  {"AUTH", "", hangUp, later, ""},
		"MAIL: busy":                  {"MAIL", "451 4.3.0 later", goOn, later, "451 4.3.0"},
		"MAIL: closing":               {"MAIL", "421 later", hangUp, later, "421"},
		"MAIL: no":                    {"MAIL", "550 5.7.1 not you", goOn, operator, "550 5.7.1"},
		"MAIL: login needed":          {"MAIL", "530 5.7.0 login", goOn, operator, "530 5.7.0"},
		"MAIL: gone":                  {"MAIL", "", hangUp, later, ""},
		"RCPT: busy":                  {"RCPT", "450 reader+301@patients.example", goOn, later, "450"},
		"RCPT: full":                  {"RCPT", "452 4.2.2 later", goOn, later, "452 4.2.2"},
		"RCPT: nobody":                {"RCPT", "550 reader+301@patients.example", goOn, bad, "550"},
		"RCPT: nobody 5.1.1":          {"RCPT", "550 5.1.1 reader+301@patients.example", goOn, bad, "550 5.1.1"},
		"RCPT: nobody, lines":         {"RCPT", "550-5.1.1 not here\r\n550 5.1.1 ask elsewhere", goOn, bad, "550 5.1.1"},
		"RCPT: elsewhere":             {"RCPT", "551 not here", goOn, bad, "551"},
		"RCPT: no name":               {"RCPT", "553 no name", goOn, bad, "553"},
		"RCPT: no domain":             {"RCPT", "550 5.1.2 no", goOn, bad, "550 5.1.2"},
		"RCPT: null MX":               {"RCPT", "556 5.1.10 no", goOn, bad, "556 5.1.10"},
		"RCPT: takes none":            {"RCPT", "556 no", goOn, bad, "556"},
		"RCPT: disabled":              {"RCPT", "550 5.2.1 no", goOn, bad, "550 5.2.1"},
		"RCPT: full for good":         {"RCPT", "552 5.2.2 no", goOn, never, "552 5.2.2"},
		"RCPT: policy":                {"RCPT", "550 5.7.1 no", goOn, never, "550 5.7.1"},
		"RCPT: failed":                {"RCPT", "554 no", goOn, never, "554"},
		"RCPT: bad sender":            {"RCPT", "550 5.1.8 no", goOn, operator, "550 5.1.8"},
		"RCPT: login needed":          {"RCPT", "530 5.7.0 no", goOn, operator, "530 5.7.0"},
		"RCPT: odd status":            {"RCPT", "550 4.1.1 no", goOn, bad, "550"},
		"RCPT: long status":           {"RCPT", "550 5.1.1234 no", goOn, bad, "550"},
		"RCPT: gone":                  {"RCPT", "", hangUp, later, ""},
		"RCPT: garbage":               {"RCPT", "reader+301@patients.example", goOn, later, ""},
		"RCPT: endless":               {"RCPT", "250-" + strings.ReplaceAll(long, " ", "\r\n250-"), hang, later, ""},
		"RCPT: neither":               {"RCPT", "334 what", goOn, later, "334"},
		"DATA: busy":                  {"DATA", "451 4.3.0 later", goOn, later, "451 4.3.0"},
		"DATA: no":                    {"DATA", "554 5.5.1 no", goOn, never, "554 5.5.1"},
		"DATA: a yes of another sort": {"DATA", "250 ok", goOn, later, "250"},
		"DATA: gone":                  {"DATA", "", hangUp, later, ""},
		"end: busy":                   {".", "451 4.3.0 later", goOn, later, "451 4.3.0"},
		"end: closing":                {".", "421 4.3.2 later", hangUp, later, "421 4.3.2"},
		"end: spam":                   {".", "550 5.7.1 no", goOn, never, "550 5.7.1"},
		"end: no":                     {".", "550 no", goOn, never, "550"},
		"end: too large":              {".", "552 5.3.4 no", goOn, never, "552 5.3.4"},
		"end: nobody 5.1.1":           {".", "550 5.1.1 no", goOn, bad, "550 5.1.1"},
		"end: gone":                   {".", "", hangUp, unknown, ""},
		"end: garbage":                {".", "reader+301@patients.example", goOn, unknown, ""},
		"end: half a line":            {".", "250", hangUp, unknown, ""},
		"end: neither":                {".", "354 what", goOn, unknown, "354"},
		"end: endless":                {".", "250-" + strings.ReplaceAll(long, " ", "\r\n250-"), hang, unknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRelay(t, said(c.verb, c.reply, c.then))
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			receipt, err := newAdapter(t, r.options()).Send(ctx, letter(1, "reader"))
			e := failed(t, err)
			if e.Kind != c.want || e.Code != c.code || receipt.ProviderID != "" || e.Err == nil || r.sessionsMade() != 1 || ctx.Err() != nil {
				t.Errorf("%s %q in %d sessions: %v", e.Kind, e.Code, r.sessionsMade(), e.Err)
			}
			if said := fmt.Sprintf("%v %+v %v", e, e, e.Err); strings.Contains(said, "patients.example") {
				t.Errorf("the error tells the address: %s", said)
			}
		})
	}
}

// A call that ends ends the session, wherever it hangs.
func TestHangsAtEveryStep(t *testing.T) {
	for _, verb := range []string{"", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "."} {
		for name, why := range map[string]error{"deadline": context.DeadlineExceeded, "cancelled": context.Canceled} {
			t.Run(verb+" "+name, func(t *testing.T) {
				t.Parallel()
				reached := make(chan struct{})
				r := newRelay(t, func(r *relay) {
					r.answer = func(v, _ string) (string, ending) {
						if v != verb {
							return "", goOn
						}
						select {
						case <-reached:
						default:
							close(reached)
						}
						return "", hang
					}
				})
				ctx, cancel := context.WithCancel(t.Context())
				if why == context.DeadlineExceeded {
					ctx, cancel = context.WithTimeout(t.Context(), 500*time.Millisecond)
				} else {
					go func() { <-reached; cancel() }()
				}
				defer cancel()
				want := channels.TryLater
				if verb == "." {
					want = channels.OutcomeUnknown
				}
				_, err := newAdapter(t, r.options()).Send(ctx, letter(1, "reader"))
				if e := failed(t, err); e.Kind != want || !errors.Is(err, why) {
					t.Errorf("%s: %v", e.Kind, e.Err)
				}
			})
		}
	}
}

// What is said after the message was taken changes nothing, nor does it hold the
// answer up for long.
func TestAfterTheAnswer(t *testing.T) {
	for name, change := range map[string]func(*relay){
		"no bye": said("QUIT", "", hang), "gone": said("QUIT", "", hangUp), "a no": said("QUIT", "500 what", goOn), "gone at once": said(".", "250 ok", hangUp),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRelay(t, change)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			receipt, err := newAdapter(t, r.options()).Send(ctx, letter(1, "reader"))
			if err != nil || receipt.ProviderID == "" || len(r.taken()) != 1 || ctx.Err() != nil {
				t.Errorf("%+v, %v", receipt, err)
			}
		})
	}
}

// After a no the session is ended as it should be.
func TestQuit(t *testing.T) {
	for name, c := range map[string]struct {
		verb, reply string
		want        int
	}{"taken": {"RSET", "", 1}, "no sender": {"MAIL", "550 no", 1}, "nobody": {"RCPT", "550 no", 1}, "no data": {"DATA", "554 no", 1}, "no message": {".", "554 no", 1}} {
		r := newRelay(t, said(c.verb, c.reply, goOn))
		_, _ = newAdapter(t, r.options()).Send(t.Context(), letter(1, "reader"))
		if got := r.heard("QUIT"); got != c.want {
			t.Errorf("%s: QUIT came %d times", name, got)
		}
	}
}

// A transfer that breaks off before the last line surely did not go out.
func TestHalfAMessage(t *testing.T) {
	m := letter(1, "reader")
	m.Text = strings.Repeat("A line of the message.\n", 10_000)
	r := newRelay(t)
	a := newAdapter(t, r.options())
	dial := a.dial
	a.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return &tiring{conn, len(m.Text) / 2}, err
	}
	_, err := a.Send(t.Context(), m)
	if e := failed(t, err); e.Kind != channels.TryLater || r.heard("DATA") != 1 {
		t.Errorf("%s: %v", e.Kind, e.Err)
	}
	r.unplug()
	r.working.Wait()
	if len(r.taken()) != 0 {
		t.Error("half a message was taken")
	}
}

// tiring is a connection that takes no more than so many bytes.
type tiring struct {
	net.Conn
	left int
}

func (c *tiring) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		return 0, errors.New("broken pipe")
	}
	return c.Conn.Write(p)
}

func TestTLS(t *testing.T) {
	_, strangers := certificate(t)
	old := func(r *relay) { r.noTLS = true }
	for name, c := range map[string]struct {
		change func(*relay)
		option func(*Options)
		want   channels.SendErrorKind // 0: taken
	}{
		"STARTTLS":                 {func(*relay) {}, func(*Options) {}, 0},
		"LOGIN":                    {func(r *relay) { r.mechanisms = "LOGIN" }, func(*Options) {}, 0},
		"no login asked":           {func(r *relay) { r.mechanisms = "" }, func(o *Options) { o.Username, o.Password = "", "" }, 0},
		"no login offered":         {func(r *relay) { r.mechanisms = "GSSAPI" }, func(*Options) {}, channels.OperatorMustAct},
		"no AUTH":                  {func(r *relay) { r.mechanisms = "" }, func(*Options) {}, channels.OperatorMustAct},
		"wrong password":           {func(*relay) {}, func(o *Options) { o.Password = "wrong" }, channels.OperatorMustAct},
		"wrong at LOGIN":           {func(r *relay) { r.mechanisms = "LOGIN" }, func(o *Options) { o.Password = "wrong" }, channels.OperatorMustAct},
		"no STARTTLS":              {old, func(*Options) {}, channels.OperatorMustAct},
		"plaintext":                {old, func(o *Options) { o.Plaintext = true }, 0},
		"plaintext though":         {func(*relay) {}, func(o *Options) { o.Plaintext = true }, 0},
		"not trusted":              {func(*relay) {}, func(o *Options) { o.RootCAs = strangers }, channels.OperatorMustAct},
		"another name":             {func(*relay) {}, func(o *Options) { o.Host = "localhost" }, channels.OperatorMustAct},
		"TLS at once":              {func(r *relay) { r.implicit = true }, func(o *Options) { o.Port = 465 }, 0},
		"TLS at once, not trusted": {func(r *relay) { r.implicit = true }, func(o *Options) { o.Port, o.RootCAs = 465, strangers }, channels.OperatorMustAct},
		"TLS at once, not spoken":  {func(*relay) {}, func(o *Options) { o.Port = 465 }, channels.TryLater},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRelay(t, c.change)
			o := r.options()
			c.option(&o)
			a := newAdapter(t, o)
			there := r.listener.Addr().String()
			a.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, there)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := a.Send(ctx, letter(1, "reader"))
			if c.want != 0 {
				if e := failed(t, err); e.Kind != c.want || e.Err == nil || strings.Contains(e.Err.Error(), "correct horse") || strings.Contains(e.Err.Error(), "wrong") {
					t.Errorf("%s: %v", e.Kind, e.Err)
				}
				if r.heard("MAIL") != 0 {
					t.Error("the mail was begun")
				}
				return
			}
			mails := r.taken()
			if err != nil || len(mails) != 1 {
				t.Fatalf("%v, %d mails", err, len(mails))
			}
			if mails[0].secured == o.Plaintext || (mails[0].login != "") != (o.Username != "") {
				t.Errorf("secured %v, login %q", mails[0].secured, mails[0].login)
			}
		})
	}
}

// A relay that knows no TLS newer than 1.1 hears nothing.
func TestOldTLS(t *testing.T) {
	r := newRelay(t)
	r.config.MinVersion, r.config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	_, err := newAdapter(t, r.options()).Send(t.Context(), letter(1, "reader"))
	if e := failed(t, err); e.Kind != channels.TryLater || r.heard("MAIL") != 0 {
		t.Errorf("%s: %v", e.Kind, e.Err)
	}
}

func (r *relay) sessionsMade() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions
}
