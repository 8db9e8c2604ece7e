package sendgrid

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"harmonize.care/heed/channels"
)

// provider answers every call in the same way and keeps what it was sent.
type provider struct {
	*httptest.Server
	asked  []*http.Request
	bodies [][]byte
}

func newProvider(t *testing.T, answer http.HandlerFunc) *provider {
	t.Helper()
	p := &provider{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		p.asked, p.bodies = append(p.asked, r), append(p.bodies, body)
		answer(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) options() Options {
	return Options{
		APIKey: testKey, BaseURL: p.URL + "/", ASMGroup: 12, FromName: fromName, HTTP: p.Client(),
		From: map[channels.Program]string{channels.Care: careBox, channels.Marketing: shopBox},
	}
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if status == http.StatusAccepted {
			w.Header().Set("X-Message-Id", "Cy7CjT6pQ-aWeyFPZ2d5XA")
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func failed(t *testing.T, err error) *channels.SendError {
	t.Helper()
	e, ok := err.(*channels.SendError)
	if !ok {
		t.Fatalf("the error is %T %v", err, err)
	}
	return e
}

type object = map[string]any

// wanted is the whole request body: nothing else may be in it.
func wanted(more object) object {
	off := object{"enable": false}
	body := object{
		"from":    object{"email": careBox, "name": fromName},
		"subject": "About visit 1",
		"personalizations": []any{object{
			"to": []any{object{"email": "reader+301@patients.example"}}, "custom_args": object{"attempt": "9001"},
		}},
		"content": []any{
			object{"type": "text/plain", "value": letter(1, "").Text}, object{"type": "text/html", "value": letter(1, "").HTML},
		},
		"tracking_settings": object{
			"click_tracking": object{"enable": false, "enable_text": false},
			"open_tracking":  off, "subscription_tracking": off, "ganalytics": off,
		},
	}
	for k, v := range more {
		body[k] = v
	}
	return body
}

func TestRequest(t *testing.T) {
	p := newProvider(t, answering(http.StatusAccepted, ""))
	o := p.options()
	a := newAdapter(t, o)
	o.From[channels.Billing] = careBox // the adapter has its own copy
	bulk := letter(1, "reader")
	bulk.Program, bulk.Bulk = channels.Marketing, true
	headers := letter(1, "reader")
	headers.Headers = map[string]string{"List-Unsubscribe": "<https://heed.example/u/abc>"}
	plain := letter(1, "reader")
	plain.HTML = ""
	for name, c := range map[string]struct {
		m    channels.Outgoing
		want object
	}{
		"essential": {letter(1, "reader"), wanted(nil)},
		"bulk":      {bulk, wanted(object{"from": object{"email": shopBox, "name": fromName}, "asm": object{"group_id": 12.0}})},
		"headers": {headers, wanted(object{"personalizations": []any{object{
			"to": []any{object{"email": headers.To}}, "custom_args": object{"attempt": "9001"}, "headers": object{"List-Unsubscribe": "<https://heed.example/u/abc>"},
		}}})},
		"no HTML": {plain, wanted(object{"content": []any{object{"type": "text/plain", "value": plain.Text}}})},
	} {
		p.asked, p.bodies = nil, nil
		r, err := a.Send(t.Context(), c.m)
		if err != nil || r.ProviderID != "Cy7CjT6pQ-aWeyFPZ2d5XA" || len(p.asked) != 1 {
			t.Fatalf("%s: %+v, %v after %d calls", name, r, err, len(p.asked))
		}
		if diff := cmp.Diff(c.want, decode(t, p.bodies[0])); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		asked := p.asked[0]
		if asked.Method != http.MethodPost || asked.URL.RequestURI() != "/v3/mail/send" || asked.Header.Get("Authorization") != "Bearer "+testKey || asked.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s %s %v", name, asked.Method, asked.URL, asked.Header)
		}
		// With either header Go's transport would send the POST again by itself.
		for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
			if asked.Header.Get(name) != "" {
				t.Errorf("the call has the header %s", name)
			}
		}
	}
	o.ASMGroup, o.FromName = 0, ""
	if _, err := newAdapter(t, o).Send(t.Context(), bulk); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wanted(object{"from": object{"email": shopBox}}), decode(t, p.bodies[1])); diff != "" {
		t.Errorf("without a group and a name: %s", diff)
	}
}

func TestNothingIsSent(t *testing.T) {
	p := newProvider(t, answering(http.StatusAccepted, ""))
	nobody := p.options()
	nobody.APIKey = ""
	change := func(what func(*channels.Outgoing)) channels.Outgoing {
		m := letter(1, "reader")
		what(&m)
		return m
	}
	for name, c := range map[string]struct {
		o    Options
		m    channels.Outgoing
		want channels.SendErrorKind
	}{
		"a text":               {p.options(), change(func(m *channels.Outgoing) { m.Channel = channels.SMS }), channels.TryNever},
		"no key":               {nobody, letter(1, "reader"), channels.OperatorMustAct},
		"no sender":            {p.options(), change(func(m *channels.Outgoing) { m.Program = channels.Billing }), channels.OperatorMustAct},
		"an address of two":    {p.options(), change(func(m *channels.Outgoing) { m.To += "\r\nBcc: x@patients.example" }), channels.AddressIsBad},
		"a subject of two":     {p.options(), change(func(m *channels.Outgoing) { m.Subject += "\nBcc: x@patients.example" }), channels.TryNever},
		"a header of two":      {p.options(), change(func(m *channels.Outgoing) { m.Headers = map[string]string{"X-A": "b\r\nBcc: x@patients.example"} }), channels.TryNever},
		"a header name of two": {p.options(), change(func(m *channels.Outgoing) { m.Headers = map[string]string{"X-A: b\rBcc": "x@patients.example"} }), channels.TryNever},
		"a zero byte":          {p.options(), change(func(m *channels.Outgoing) { m.Subject = "a\x00b" }), channels.TryNever},
	} {
		_, err := newAdapter(t, c.o).Send(t.Context(), c.m)
		if e := failed(t, err); e.Kind != c.want || e.Err == nil || strings.Contains(e.Error(), "patients") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(p.asked) != 0 {
		t.Errorf("%d calls were made", len(p.asked))
	}
}

func errorsOf(fields ...string) string {
	var list []string
	for _, f := range fields {
		list = append(list, fmt.Sprintf(`{"message":"reader+301@patients.example is wrong","field":%s,"help":null}`, f))
	}
	return `{"errors":[` + strings.Join(list, ",") + `]}`
}

func TestRefusals(t *testing.T) {
	const html = "<html><head><title>reader+301@patients.example</title></head></html>"
	for name, c := range map[string]struct {
		status int
		body   string
		want   channels.SendErrorKind
	}{
		"bad address":             {400, errorsOf(`"personalizations.0.to.0.email"`), channels.AddressIsBad},
		"bad address and more":    {400, errorsOf(`"from.email"`, `"personalizations.0.to.0.email"`), channels.AddressIsBad},
		"nobody":                  {400, errorsOf(`"personalizations.0.to"`), channels.TryNever},
		"bad content":             {400, errorsOf(`"content.0.value"`), channels.TryNever},
		"bad sender":              {400, errorsOf(`"subject"`, `"from.email"`), channels.OperatorMustAct},
		"no sender":               {400, errorsOf(`"from"`), channels.OperatorMustAct},
		"from what":               {400, errorsOf(`"fromage"`), channels.TryNever},
		"no such group":           {400, errorsOf(`"asm.group_id"`), channels.OperatorMustAct},
		"no field":                {400, errorsOf(`null`), channels.TryNever},
		"a field of another sort": {400, errorsOf(`7`), channels.TryNever},
		"somebody else's words":   {400, html, channels.OperatorMustAct},
		"no words":                {400, "", channels.OperatorMustAct},
		"bad key":                 {401, errorsOf(`null`), channels.OperatorMustAct},
		"out of credits":          {402, "", channels.OperatorMustAct},
		"unverified sender":       {403, errorsOf(`"from"`), channels.OperatorMustAct},
		"wrong base URL":          {404, html, channels.OperatorMustAct},
		"timeout":                 {408, "", channels.OutcomeUnknown},
		"too large":               {413, html, channels.TryNever},
		"too many":                {429, errorsOf(`null`), channels.TryLater},
		"fault":                   {500, errorsOf(`"personalizations.0.to.0.email"`), channels.OutcomeUnknown},
		"unavailable":             {503, html, channels.OutcomeUnknown},
		"redirect":                {307, "", channels.OutcomeUnknown},
		"another yes":             {200, "{}", channels.OutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				answering(c.status, c.body)(w, r)
			})
			r, err := newAdapter(t, p.options()).Send(t.Context(), letter(1, "reader"))
			e := failed(t, err)
			if e.Kind != c.want || e.Code != fmt.Sprint(c.status) || r.ProviderID != "" || len(p.asked) != 1 {
				t.Errorf("%s %q, %+v after %d calls", e.Kind, e.Code, r, len(p.asked))
			}
			if strings.Contains(fmt.Sprintf("%+v %v", e, e.Err), "patients.example") {
				t.Errorf("the error tells the address: %v", e.Err)
			}
		})
	}
}

func TestAYesWithoutAnID(t *testing.T) {
	p := newProvider(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	_, err := newAdapter(t, p.options()).Send(t.Context(), letter(1, "reader"))
	if e := failed(t, err); e.Kind != channels.OutcomeUnknown {
		t.Errorf("%s", e.Kind)
	}
}

func TestWait(t *testing.T) {
	date := time.Date(2026, 3, 3, 15, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string { return date.Add(d).Format(http.TimeFormat) }
	reset := func(d time.Duration) string { return fmt.Sprint(date.Add(d).Unix()) }
	for _, c := range []struct {
		after, date, reset string
		want               time.Duration
	}{
		{"", "", "", 0}, {"3", "", "", 3 * time.Second}, {"-3", at(0), reset(time.Minute), 0}, {"99999999", "", "", 24 * time.Hour},
		{at(time.Minute), at(0), "", time.Minute}, {at(-time.Minute), at(0), "", 0}, {at(time.Minute), "", "", 0},
		{"", at(0), reset(40 * time.Second), 40 * time.Second}, {"", at(0), reset(-time.Second), 0}, {"", "", reset(time.Second), 0},
		{"", at(0), "soon", 0}, {"soon", at(0), reset(time.Second), time.Second}, {"", at(0), "9223372036854775807", 24 * time.Hour}, {"", at(0), "-9223372036854775808", 0},
		{"2", at(0), reset(time.Minute), 2 * time.Second},
	} {
		h := http.Header{}
		h.Set("Retry-After", c.after)
		h.Set("Date", c.date)
		h.Set("X-RateLimit-Reset", c.reset)
		if got := wait(h); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestRefusedOptions(t *testing.T) {
	boxes := func(box string) map[channels.Program]string { return map[channels.Program]string{channels.Care: box} }
	for name, o := range map[string]Options{
		"a key of two lines":    {APIKey: "SG.hunter2\r\nX: y"},
		"a key with a space":    {APIKey: "SG.hunter2 "},
		"plain http":            {BaseURL: "http://hunter2.example"},
		"another scheme":        {BaseURL: "ftp://127.0.0.1"},
		"no host":               {BaseURL: "https:///hunter2"},
		"a user":                {BaseURL: "https://hunter2@api.example"},
		"a query":               {BaseURL: "https://api.example/?hunter2"},
		"no URL":                {BaseURL: "http://127.0.0.1:hunter2"},
		"a group below 0":       {ASMGroup: -1},
		"a name of two lines":   {FromName: "hunter2\nBcc: x"},
		"a sender with a name":  {From: boxes("Hunter2 <hunter2@clinic.example>")},
		"a sender of two lines": {From: boxes("hunter2@clinic.example\r\nBcc: x")},
		"no sender":             {From: boxes("hunter2")},
		"no public key":         {WebhookPublicKey: "hunter2"},
		"no base64":             {WebhookPublicKey: "hunter2!"},
	} {
		if a, err := New(o); err == nil {
			t.Errorf("%s was taken: %v", name, a)
		} else if !strings.HasPrefix(err.Error(), "sendgrid: ") || strings.Contains(strings.ToLower(err.Error()), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, base := range []string{"", "https://api.eu.sendgrid.com", "http://127.0.0.1:8080/sandbox/", "http://localhost:1", "http://[::1]:1"} {
		a, err := New(Options{BaseURL: base, From: boxes("")})
		if err != nil || strings.HasSuffix(a.base, "/") {
			t.Errorf("%q: %v", base, err)
		}
	}
	if a := newAdapter(t, Options{}); a.base != "https://api.sendgrid.com" {
		t.Errorf("calls go to %s", a.base)
	}
}

// A call that is over before it begins reaches nobody.
func TestOver(t *testing.T) {
	p := newProvider(t, answering(http.StatusAccepted, ""))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newAdapter(t, p.options()).Send(ctx, letter(1, "reader"))
	if failed(t, err).Kind != channels.TryLater || len(p.asked) != 0 {
		t.Errorf("%v after %d calls", err, len(p.asked))
	}
}
