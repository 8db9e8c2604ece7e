package smtp

import (
	"mime"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
)

// sent sends one message and gives it as the relay took it.
func sent(t *testing.T, m channels.Outgoing, change ...func(*Options)) (taken, channels.Receipt) {
	t.Helper()
	r := newRelay(t)
	o := r.options()
	for _, c := range change {
		c(&o)
	}
	receipt, err := newAdapter(t, o).Send(t.Context(), m)
	mails := r.taken()
	if err != nil || len(mails) != 1 {
		t.Fatalf("%v, %d mails", err, len(mails))
	}
	return mails[0], receipt
}

func TestMessage(t *testing.T) {
	m := letter(1, "reader")
	m.Subject = "Über your visit on the 3rd of March, which we would like to move to another day of the same week"
	m.Headers = map[string]string{
		"List-Unsubscribe":      "<https://heed.example/u/" + strings.Repeat("a", 200) + ">",
		"List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
	}
	got, receipt := sent(t, m)
	if got.hello != "clinic.example" || got.from != "<care@clinic.example> BODY=8BITMIME" || got.to != "<reader+301@patients.example>" || !got.secured || got.login != "PLAIN" {
		t.Errorf("the envelope is %+v", got)
	}
	if receipt.ProviderID != "heed.9001@clinic.example" {
		t.Errorf("the receipt is %+v", receipt)
	}
	header, text, html := got.read(t)
	if text != m.Text || html != m.HTML {
		t.Errorf("the texts are %q and %q", text, html)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
	if err != nil || subject != m.Subject {
		t.Errorf("the subject is %q, %v", subject, err)
	}
	for name, want := range map[string]string{
		"From": `"Your provider" <care@clinic.example>`, "To": "<reader+301@patients.example>", "Date": "Tue, 03 Mar 2026 22:00:00 +0000",
		"Message-Id": "<heed.9001@clinic.example>", "Mime-Version": "1.0",
		"List-Unsubscribe": m.Headers["List-Unsubscribe"], "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
	} {
		if len(header[name]) != 1 || header.Get(name) != want {
			t.Errorf("%s is %q, not %q", name, header[name], want)
		}
	}
	// Nothing else tells of us: no machine's name, no software, nobody copied.
	if len(header) != 7+len([]string{"Subject", "Content-Type"}) {
		t.Errorf("the header is %v", header)
	}
	for line := range strings.SplitSeq(got.raw, "\r\n") {
		if len(line) > maxLine || strings.ContainsFunc(line, func(r rune) bool { return r > unicode.MaxASCII || r == '\r' || r == '\n' }) {
			t.Errorf("the line %q cannot travel", line)
		}
	}
	// RFC 8058 wants the link found: on its header's own line, and as it is.
	if !strings.Contains(got.raw, "\r\nList-Unsubscribe: <https://") {
		t.Error("the link is folded")
	}
}

func TestSenders(t *testing.T) {
	m := letter(1, "reader")
	m.Program, m.HTML = channels.Marketing, ""
	got, receipt := sent(t, m, func(o *Options) { o.FromName, o.Hello = "", "heed.clinic.example" })
	header, text, html := got.read(t)
	if !strings.HasPrefix(got.from, "<news@shop.example>") || header.Get("From") != "<news@shop.example>" || got.hello != "heed.clinic.example" || receipt.ProviderID != "heed.9001@shop.example" {
		t.Errorf("from %q, %q, hello %q, receipt %q", got.from, header.Get("From"), got.hello, receipt.ProviderID)
	}
	if text != m.Text || html != "" || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") {
		t.Errorf("the texts are %q and %q, of %s", text, html, header.Get("Content-Type"))
	}
	got, _ = sent(t, m, func(o *Options) { o.FromName = `Dr. "É" <boss@clinic.example>,` })
	header, _, _ = got.read(t)
	from, err := header.AddressList("From")
	if err != nil || len(from) != 1 || from[0].Address != "news@shop.example" || from[0].Name != `Dr. "É" <boss@clinic.example>,` {
		t.Errorf("from %v, %v", from, err)
	}
}

// Whatever a message says arrives as it is, and stays where it belongs.
func TestAnyText(t *testing.T) {
	r := newRelay(t)
	a := newAdapter(t, r.options())
	letters := rapid.RuneFrom([]rune("a .=_?:<>@-\té😀\u00a0"), unicode.Latin)
	words := rapid.StringOfN(letters, 0, 300, -1)
	lines := rapid.StringOfN(rapid.RuneFrom([]rune("a .=-\n\té😀:"), unicode.Latin), 0, 3000, -1)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		m := letter(1, "reader")
		m.Subject = "a" + strings.ReplaceAll(words.Draw(t, "subject"), "\t", " ") + "z"
		m.Text = lines.Draw(t, "text") + "z"
		m.HTML = lines.Draw(t, "html")
		if _, err := a.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		n++
		mails := r.taken()
		if len(mails) != n {
			t.Fatalf("%d mails of %d", len(mails), n)
		}
		header, text, html := mails[n-1].read(t)
		subject, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
		if err != nil || subject != m.Subject || text != m.Text || html != m.HTML {
			t.Fatalf("sent %q %q %q\ntaken %q %q %q, %v", m.Subject, m.Text, m.HTML, subject, text, html, err)
		}
	})
}

func TestNothingIsSent(t *testing.T) {
	r := newRelay(t)
	a := newAdapter(t, r.options())
	change := func(what func(*channels.Outgoing)) channels.Outgoing {
		m := letter(1, "reader")
		what(&m)
		return m
	}
	to := func(text string) channels.Outgoing { return change(func(m *channels.Outgoing) { m.To = text }) }
	header := func(name, value string) channels.Outgoing {
		return change(func(m *channels.Outgoing) { m.Headers = map[string]string{name: value} })
	}
	for name, c := range map[string]struct {
		m    channels.Outgoing
		want channels.SendErrorKind
	}{
		"a text":            {change(func(m *channels.Outgoing) { m.Channel = channels.SMS }), channels.TryNever},
		"no sender":         {change(func(m *channels.Outgoing) { m.Program = channels.Billing }), channels.OperatorMustAct},
		"no address":        {to(""), channels.AddressIsBad},
		"a name":            {to("Ann <ann@patients.example>"), channels.AddressIsBad},
		"two":               {to("ann@patients.example, bea@patients.example"), channels.AddressIsBad},
		"two lines":         {to("ann@patients.example\r\nRCPT TO:<bea@patients.example>"), channels.AddressIsBad},
		"a second command":  {to("ann@patients.example>\nDATA"), channels.AddressIsBad},
		"a parameter":       {to("ann@patients.example> NOTIFY=NEVER <x"), channels.AddressIsBad},
		"a quoted space":    {to(`"ann lee"@patients.example`), channels.AddressIsBad},
		"not ASCII":         {to("änn@patients.example"), channels.AddressIsBad},
		"no domain":         {to("ann"), channels.AddressIsBad},
		"a subject of two":  {change(func(m *channels.Outgoing) { m.Subject += "\r\nBcc: x@patients.example" }), channels.TryNever},
		"a subject of CR":   {change(func(m *channels.Outgoing) { m.Subject += "\rBcc: x@patients.example" }), channels.TryNever},
		"a header of two":   {header("X-A", "b\r\nBcc: x@patients.example"), channels.TryNever},
		"a header of LF":    {header("X-A", "b\nBcc: x@patients.example"), channels.TryNever},
		"a zero byte":       {header("X-A", "b\x00"), channels.TryNever},
		"not ASCII inside":  {header("X-A", "é"), channels.TryNever},
		"too long":          {header("X-A", strings.Repeat("a", 994)), channels.TryNever},
		"no name":           {header("", "b"), channels.TryNever},
		"a name of two":     {header("X-A: b\r\nBcc", "x@patients.example"), channels.TryNever},
		"a name with colon": {header("X-A:b", "c"), channels.TryNever},
		"a quoted bracket":  {to(`"a>b"@patients.example`), channels.AddressIsBad},
		"a name and more":   {header("X-A: b", "c"), channels.TryNever},
		"a name with space": {header("X A", "c"), channels.TryNever},
		"another sender":    {header("From", "x@patients.example"), channels.TryNever},
		"another address":   {header("BCC", "x@patients.example"), channels.TryNever},
		"another type":      {header("content-Type", "text/html"), channels.TryNever},
	} {
		_, err := a.Send(t.Context(), c.m)
		if e := failed(t, err); e.Kind != c.want || e.Err == nil || strings.Contains(e.Err.Error(), "patients") {
			t.Errorf("%s: %s: %v", name, e.Kind, e.Err)
		}
	}
	if r.sessionsMade() != 0 {
		t.Errorf("%d calls were made", r.sessionsMade())
	}
	if _, err := a.Send(t.Context(), header("X-A", strings.Repeat("a", 993))); err != nil {
		t.Errorf("the longest header: %v", err)
	}
}

func TestRefusedOptions(t *testing.T) {
	boxes := func(box string) map[channels.Program]string { return map[channels.Program]string{channels.Care: box} }
	for name, o := range map[string]Options{
		"no host":               {},
		"a host with a path":    {Host: "hunter2/"},
		"a host of two lines":   {Host: "hunter2\r\n"},
		"a port below 1":        {Host: "relay.example", Port: -1},
		"a port too large":      {Host: "relay.example", Port: 65536},
		"plaintext over a wire": {Host: "hunter2.example", Plaintext: true},
		"plaintext nearby":      {Host: "192.168.0.1", Plaintext: true},
		"no username":           {Host: "relay.example", Password: "hunter2"},
		"a hello of two lines":  {Host: "relay.example", Hello: "hunter2\r\nMAIL"},
		"a hello with a space":  {Host: "relay.example", Hello: "hunter2 x"},
		"a name of two lines":   {Host: "relay.example", FromName: "hunter2\nBcc: x"},
		"a sender with a name":  {Host: "relay.example", From: boxes("Hunter2 <hunter2@clinic.example>")},
		"a sender of two lines": {Host: "relay.example", From: boxes("hunter2@clinic.example\r\nBcc: x")},
		"no mailbox":            {Host: "relay.example", From: boxes("hunter2")},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s was taken", name)
		} else if !strings.HasPrefix(err.Error(), "smtp: ") || strings.Contains(strings.ToLower(err.Error()), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for host, want := range map[string]string{"relay.example": "relay.example:587", "::1": "[::1]:587", "192.0.2.1": "192.0.2.1:587"} {
		if a := newAdapter(t, Options{Host: host, From: boxes("")}); a.address != want || a.tls == nil || a.implicit {
			t.Errorf("%s: %s", host, a.address)
		}
	}
	for _, host := range []string{"localhost", "127.0.0.2", "::1"} {
		newAdapter(t, Options{Host: host, Plaintext: true})
	}
	if a := newAdapter(t, Options{Host: "relay.example", Port: 465}); !a.implicit || a.tls.ServerName != "relay.example" {
		t.Error("port 465 does not begin with TLS")
	}
}
