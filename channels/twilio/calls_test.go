package twilio

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/channelstest"
	"harmonize.care/heed/channels/sandbox"
)

const voiceURL = "https://heed.example/webhooks/twilio/voice"

// phoneCall makes the nth call; the last four digits decide how it fares.
func phoneCall(n int, last string) channels.Outgoing {
	m := text(n, last)
	m.Channel, m.Text = channels.Voice, ""
	return m
}

func TestAdapterOfCalls(t *testing.T) {
	last := map[channelstest.Trouble]string{
		channelstest.TooMany: "0014", channelstest.Refused: "0012", channelstest.Fault: "0015",
		channelstest.Lost: "0017", channelstest.Dropped: "0016", channelstest.Hanging: "0019",
	}
	channelstest.Adapter(t, func(t *testing.T) channelstest.Case {
		w := newWorld(t)
		return channelstest.Case{
			Adapter:    w.adapter(t),
			Message:    func(n int) channels.Outgoing { return phoneCall(n, "0143") },
			Troubled:   func(tr channelstest.Trouble, n int) channels.Outgoing { return phoneCall(n, last[tr]) },
			Refusal:    channels.AddressIsBad,
			RetryAfter: 2 * time.Second, RefusalCode: "21211",
			Calls: func() int { return int(w.posts.Load()) },
			Taken: func() (list []channelstest.Taken) {
				for _, m := range w.Messages() {
					list = append(list, channelstest.Taken{ProviderID: m.ID, To: m.To, Attempt: attemptIn(t, m.Callback)})
				}
				return list
			},
			Unplug: w.unplug,
		}
	})
}

func (p *provider) callOptions() Options {
	o := p.options()
	o.VoiceFrom, o.VoiceURL = map[channels.Program]string{channels.Care: careNumber}, voiceURL
	return o
}

const takenCall = `{"sid": "CA00000000000000000000000000000001", "status": "queued"}`

func TestCallForm(t *testing.T) {
	p := newProvider(t, answering(http.StatusCreated, takenCall))
	o := p.callOptions()
	o.StatusCallback = "https://heed.example/webhooks/twilio/status"
	m := phoneCall(1, "0143")
	m.Attempt, m.Text = 41, "the words of the message"
	r, err := newAdapter(t, o).Send(t.Context(), m)
	if err != nil || r.ProviderID != "CA00000000000000000000000000000001" {
		t.Fatalf("%+v, %v", r, err)
	}
	want := url.Values{ // neither the words, nor a recording, nor detection beside the talk
		"To": {m.To}, "From": {careNumber}, "Url": {voiceURL + "?attempt=41"}, "Method": {"POST"}, "MachineDetection": {"DetectMessageEnd"}, "Timeout": {"60"},
		"StatusCallback":      {"https://heed.example/webhooks/twilio/status?attempt=41"},
		"StatusCallbackEvent": {"initiated", "ringing", "answered", "completed"},
	}
	if diff := cmp.Diff(want, p.forms[0]); diff != "" {
		t.Error(diff)
	}
}

func TestHowLongItRings(t *testing.T) {
	p := newProvider(t, answering(http.StatusCreated, takenCall))
	a := newAdapter(t, p.callOptions())
	for validity, want := range map[time.Duration]string{0: "60", time.Hour: "60", 65 * time.Second: "60", 40 * time.Second: "35", 20 * time.Second: "15", 19 * time.Second: "", -1: ""} {
		m, before := phoneCall(1, "0143"), len(p.forms)
		m.Validity = validity
		_, err := a.Send(t.Context(), m)
		switch {
		case want == "" && (failed(t, err).Kind != channels.TryLater || len(p.forms) != before):
			t.Errorf("%s: %v", validity, err)
		case want != "" && (err != nil || p.forms[len(p.forms)-1].Get("Timeout") != want):
			t.Errorf("%s: %v, %v", validity, err, p.forms[len(p.forms)-1])
		}
	}
}

func TestAnswersToCalls(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   channels.SendErrorKind
		code   string
	}{
		"a number that is none":       {400, `{"code": 21217}`, channels.AddressIsBad, "21217"},
		"a caller that is not ours":   {400, `{"code": 21210}`, channels.OperatorMustAct, "21210"},
		"a region that is not open":   {400, `{"code": 21215}`, channels.OperatorMustAct, "21215"},
		"too many at once":            {429, `{"code": 10004}`, channels.TryLater, "10004"},
		"a fault":                     {500, ``, channels.OutcomeUnknown, ""},
		"no id":                       {201, `{"status": "queued"}`, channels.OutcomeUnknown, ""},
		"taken and cancelled at once": {201, `{"sid": "CA1", "status": "canceled"}`, channels.TryNever, "canceled"},
	} {
		p := newProvider(t, answering(c.status, c.body))
		_, err := newAdapter(t, p.callOptions()).Send(t.Context(), phoneCall(1, "0143"))
		if e := failed(t, err); e.Kind != c.want || e.Code != c.code {
			t.Errorf("%s: %s, code %q", name, e.Kind, e.Code)
		}
	}
}

func callRow(sid, direction, from, status string, at time.Time) map[string]any {
	return map[string]any{"sid": sid, "direction": direction, "from": from, "to": phoneCall(1, "0143").To, "status": status, "date_created": at.Format(time.RFC1123Z)}
}

func TestFindCall(t *testing.T) {
	ours := callRow("CA1", "outbound-api", careNumber, "completed", noon)
	rest := []map[string]any{
		callRow("CA2", "inbound", careNumber, "completed", noon), callRow("CA3", "outbound-api", shopNumber, "completed", noon),
		callRow("CA4", "outbound-api", careNumber, "completed", noon.Add(-time.Minute)),
	}
	m := phoneCall(1, "0143")
	m.Text = "what would have been said"
	for name, c := range map[string]struct {
		rows []map[string]any
		want []channels.Found
	}{
		"one call": {append(rest, ours), []channels.Found{{ProviderID: "CA1", From: careNumber, To: m.To, Body: m.Text, Created: noon, Status: channels.Delivered}}},
		"nobody took it": {[]map[string]any{callRow("CA1", "outbound-api", careNumber, "no-answer", noon)},
			[]channels.Found{{ProviderID: "CA1", From: careNumber, To: m.To, Body: m.Text, Created: noon, Status: channels.Failed, Kind: channels.TryLater, Code: "no-answer"}}},
		"two that cannot be told apart": {[]map[string]any{ours, callRow("CA9", "outbound-api", careNumber, "queued", noon)}, nil},
		"none":                          {rest, nil},
	} {
		p := newProvider(t, func(w http.ResponseWriter, _ *http.Request) {
			json.NewEncoder(w).Encode(map[string]any{"calls": c.rows, "next_page_uri": nil})
		})
		found, err := newAdapter(t, p.callOptions()).Find(t.Context(), m, noon)
		if diff := cmp.Diff(c.want, found); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
		if q := p.asked[0].URL.Query(); q.Get("To") != m.To || q.Get("From") != careNumber || q.Get("StartTime>") != "2026-03-03T00:00:00Z" {
			t.Errorf("asked for %v", q)
		}
	}
}

func TestCallStatuses(t *testing.T) {
	form := func(status, code string) url.Values {
		f := url.Values{"AccountSid": {testAccount}, "CallSid": {"CA1"}, "CallStatus": {status}, "Direction": {"outbound-api"}, "To": {patient}, "From": {careNumber}}
		if code != "" {
			f.Set("ErrorCode", code)
		}
		return f
	}
	at := "https://heed.example/webhooks/twilio/status?attempt=7"
	for _, c := range []struct {
		status, code string
		want         channels.DeliveryStatus
		kind         channels.SendErrorKind
		shown        string
	}{
		{"queued", "", channels.Accepted, 0, ""}, {"initiated", "", channels.Accepted, 0, ""}, {"ringing", "", channels.OnItsWay, 0, ""}, {"in-progress", "", channels.OnItsWay, 0, ""},
		{"completed", "", channels.Delivered, 0, ""}, {"busy", "", channels.Failed, channels.TryLater, "busy"}, {"no-answer", "", channels.Failed, channels.TryLater, "no-answer"},
		{"canceled", "", channels.Failed, channels.TryLater, "canceled"}, {"failed", "", channels.Failed, channels.TryLater, "failed"}, {"failed", "21217", channels.Failed, channels.AddressIsBad, "21217"},
		{"failed", "21610", channels.Failed, channels.PersonOptedOut, "21610"},
	} {
		heard, err := reader(t).Read(signedHook(at, form(c.status, c.code)), noon)
		want := channels.Delivery{EventID: "CA1:" + c.status, Attempt: 7, ProviderID: "CA1", Status: c.want, Kind: c.kind, Code: c.shown, To: patient, At: noon}
		if err != nil || len(heard.Deliveries) != 1 || heard.Deliveries[0] != want {
			t.Errorf("%s: %+v, %v", c.status, heard, err)
		}
	}
	in := form("completed", "")
	in.Set("Direction", "inbound")
	for _, f := range []url.Values{in, form("dreaming", "")} {
		if heard, err := reader(t).Read(signedHook(at, f), noon); err != nil || len(heard.Deliveries) != 0 {
			t.Errorf("%v: %+v, %v", f, heard, err)
		}
	}
}

func questionForm(more ...string) url.Values {
	f := url.Values{"AccountSid": {testAccount}, "CallSid": {"CA1"}, "CallStatus": {"in-progress"}, "Direction": {"outbound-api"}, "From": {careNumber}, "To": {patient}}
	for i := 0; i < len(more); i += 2 {
		f.Set(more[i], more[i+1])
	}
	return f
}

func TestReadCall(t *testing.T) {
	for who, want := range map[string]channels.AnsweredBy{
		"human": channels.Human, "machine_start": channels.Machine, "machine_end_beep": channels.Machine, "machine_end_silence": channels.Machine,
		"machine_end_other": channels.Machine, "fax": channels.Fax, "unknown": channels.NotSure, "": channels.NotSure, "Human ": channels.NotSure,
	} {
		c, err := reader(t).ReadCall(signedHook(voiceURL+"?attempt=7", questionForm("AnsweredBy", who)), noon)
		if err != nil || c.AnsweredBy != want || c.Attempt != 7 || c.ID != "CA1" || c.From != careNumber || c.To != patient || c.Inbound || c.Asked != 0 || !c.At.Equal(noon) {
			t.Errorf("%q: %+v, %v", who, c, err)
		}
	}
	c, err := reader(t).ReadCall(signedHook(voiceURL+"?attempt=7&asked=2", questionForm("Digits", "9")), noon)
	if err != nil || c.Key != "9" || c.Asked != 2 {
		t.Errorf("%+v, %v", c, err)
	}
	for from, want := range map[string]string{
		patient: patient, "+266696687": "", "+7378742833": "", "+86282452253": "", "anonymous": "", "Restricted": "", "": "", "sip:someone@example.com": "", "303555XXXX": "", "+1303555XXXX": "",
	} {
		c, err := reader(t).ReadCall(signedHook(voiceURL, questionForm("Direction", "inbound", "From", from, "To", careNumber)), noon)
		if err != nil || !c.Inbound || c.From != want {
			t.Errorf("%q: %+v, %v", from, c, err)
		}
	}
	if c, err := reader(t).ReadCall(hook(voiceURL, "AAAA", questionForm("Digits", "9")), noon); !errors.Is(err, channels.ErrForged) || c != (channels.Call{}) {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := reader(t).ReadCall(signedHook(voiceURL, stopForm()), noon); err == nil || errors.Is(err, channels.ErrForged) {
		t.Errorf("a text: %v", err)
	}
}

func TestSpeak(t *testing.T) {
	a := newAdapter(t, Options{VoiceURL: voiceURL + "?tenant=7"})
	lines := []channels.Line{{Language: "en", Text: `Tom & "Jerry" <b>`}, {Language: "es", Text: "Adiós"}}
	doc, err := a.Speak(channels.Script{Lines: lines, Ask: 1, Attempt: 41})
	want := `<?xml version="1.0" encoding="UTF-8"?><Response><Gather action="https://heed.example/webhooks/twilio/voice?asked=1&amp;attempt=41&amp;tenant=7" actionOnEmptyResult="true" input="dtmf" method="POST" numDigits="1" timeout="5">` +
		`<Say language="en-US" voice="Polly.Joanna">Tom &amp; &quot;Jerry&quot; &lt;b&gt;</Say><Say language="es-US" voice="Polly.Lupe">Adiós</Say></Gather></Response>`
	if err != nil || string(doc) != want {
		t.Errorf("%v\n%s", err, doc)
	}
	for name, s := range map[string]channels.Script{"nothing": {}, "an end": {Lines: lines}, "a question": {Lines: lines, Ask: 2}} {
		doc, err := a.Speak(s)
		if err == nil {
			err = sandbox.CheckTwiML(doc)
		}
		if err != nil || strings.Contains(string(doc), "<Hangup") == (s.Ask > 0) {
			t.Errorf("%s: %v\n%s", name, err, doc)
		}
	}
	for name, s := range map[string]channels.Script{
		"too long": {Lines: []channels.Line{{Language: "en", Text: strings.Repeat("long ", 900)}}}, "no such voice": {Lines: []channels.Line{{Language: "tlh", Text: "x"}}},
	} {
		if doc, err := a.Speak(s); err == nil {
			t.Errorf("%s: %s", name, doc)
		}
	}
	if _, err := newAdapter(t, Options{}).Speak(channels.Script{Ask: 1}); err == nil {
		t.Error("keys are sent nowhere")
	}
}

// Whatever is said, Twilio can read it.
func TestSpokenTwiMLIsValid(t *testing.T) {
	a := newAdapter(t, Options{VoiceURL: voiceURL})
	rapid.Check(t, func(t *rapid.T) {
		s := channels.Script{Ask: rapid.IntRange(0, 3).Draw(t, "ask"), Attempt: rapid.Int64Range(0, 1<<62).Draw(t, "attempt")}
		for range rapid.IntRange(1, 4).Draw(t, "lines") {
			text := rapid.StringMatching(`[a-zñ]{1,20}`).Draw(t, "word") + rapid.String().Draw(t, "text")
			s.Lines = append(s.Lines, channels.Line{Language: rapid.SampledFrom([]string{"en", "es"}).Draw(t, "language"), Text: text})
		}
		doc, err := a.Speak(s)
		if err != nil {
			return
		}
		if err := sandbox.CheckTwiML(doc); err != nil {
			t.Fatalf("%v\n%q", err, doc)
		}
	})
}

// From the form of a call to its receipts and questions, over the wire.
func TestReceiptsOfAPretendCall(t *testing.T) {
	for last, want := range map[string][]channels.DeliveryStatus{
		"0143": {channels.Accepted, channels.OnItsWay, channels.OnItsWay, channels.Delivered},
		"0013": {channels.Accepted, channels.OnItsWay, channels.OnItsWay, channels.Delivered}, // a landline
		"0022": {channels.Accepted, channels.OnItsWay, channels.OnItsWay, channels.Delivered},
		"0023": {channels.Accepted, channels.OnItsWay, channels.Failed},
		"0024": {channels.Accepted, channels.OnItsWay, channels.Failed},
		"0011": {channels.Accepted, channels.Failed},
	} {
		t.Run(last, func(t *testing.T) {
			w := newWorld(t)
			a := w.adapter(t)
			if _, err := a.Send(t.Context(), phoneCall(1, last)); err != nil {
				t.Fatal(err)
			}
			var got []channels.DeliveryStatus
			questions := 0
			for len(got) < len(want) {
				h := w.next(t)
				if strings.Contains(h.URL, "/voice") {
					c, err := a.ReadCall(h, noon)
					if questions++; err != nil || c.Attempt != phoneCall(1, last).Attempt || (c.AnsweredBy == channels.Human) != (last != "0022") {
						t.Fatalf("%+v, %v", c, err)
					}
					continue
				}
				heard, err := a.Read(h, noon)
				if err != nil || len(heard.Deliveries) != 1 || heard.Deliveries[0].Attempt != phoneCall(1, last).Attempt {
					t.Fatalf("%+v, %v", heard, err)
				}
				got = append(got, heard.Deliveries[0].Status)
			}
			if diff := cmp.Diff(want, got); diff != "" || (questions > 0) != (want[len(want)-1] == channels.Delivered) {
				t.Errorf("%d questions\n%s", questions, diff)
			}
		})
	}
}
