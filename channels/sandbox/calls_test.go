package sandbox

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	openapi "github.com/twilio/twilio-go/rest/api/v2010"
)

func TestGrammar(t *testing.T) {
	for _, doc := range []string{
		`<Response/>`,
		`<?xml version="1.0" encoding="UTF-8"?><Response><Say>Hello</Say><Pause length="1"/><Hangup/></Response>`,
		`<Response><Gather input="dtmf" numDigits="1" timeout="5" actionOnEmptyResult="true" action="https://heed.example/x?a=1&amp;b=2" method="POST"><Say language="es-US" voice="Polly.Lupe">Hola &amp; adiós</Say></Gather></Response>`,
	} {
		if err := CheckTwiML([]byte(doc)); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
	}
	for name, doc := range map[string]string{
		"nothing":                 "",
		"no XML":                  "Hello",
		"another root":            `<Say>Hello</Say>`,
		"cut short":               `<Response><Say>Hello`,
		"a bare ampersand":        `<Response><Say>Tom & Jerry</Say></Response>`,
		"an unknown verb":         `<Response><Shout>Hello</Shout></Response>`,
		"a verb in small letters": `<Response><say>Hello</say></Response>`,
		"words of nobody":         `<Response>Hello</Response>`,
		"nothing to say":          `<Response><Say/></Response>`,
		"Gather in Gather":        `<Response><Gather><Gather/></Gather></Response>`,
		"Hangup in Gather":        `<Response><Gather><Hangup/></Gather></Response>`,
		"an unknown attribute":    `<Response><Say lang="en">Hello</Say></Response>`,
		"another attribute's":     `<Response><Pause timeout="5"/></Response>`,
		"a voice that is none":    `<Response><Say voice="Polly.">Hello</Say></Response>`,
		"a number that is none":   `<Response><Gather numDigits="0"/></Response>`,
		"a truth that is none":    `<Response><Gather actionOnEmptyResult="yes"/></Response>`,
		"two beginnings":          `<Response/><Response/>`,
		"too long":                `<Response><Say>` + strings.Repeat("é", maxTwiml) + `</Say></Response>`,
	} {
		if err := CheckTwiML([]byte(doc)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func FuzzCheckTwiML(f *testing.F) {
	f.Add([]byte(`<Response><Gather input="dtmf"><Say language="en-US">Hello</Say></Gather><Hangup/></Response>`))
	f.Add([]byte(`</Response>`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if script, err := readTwiML(doc); err == nil && script.name != "Response" {
			t.Fatalf("%q", doc)
		}
	})
}

// talker answers the questions of calls: first with a question for a key, then
// with an end.
func (w *world) talker() (at string, asked chan url.Values) {
	w.t.Helper()
	asked = make(chan url.Values, 100)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		asked <- r.PostForm
		if r.PostForm.Has("Digits") {
			io.WriteString(rw, `<Response><Say>Bye</Say><Hangup/></Response>`)
			return
		}
		io.WriteString(rw, `<Response><Gather timeout="1" actionOnEmptyResult="true" action="http://`+r.Host+`/keys"><Say>Press</Say></Gather></Response>`)
	}))
	w.t.Cleanup(server.Close)
	return server.URL, asked
}

func (w *world) place(to, at string) string {
	w.t.Helper()
	params := (&openapi.CreateCallParams{}).SetTo(to).SetFrom(careNumber).SetUrl(at).SetMachineDetection("DetectMessageEnd").SetTimeout(20)
	call, err := w.sdk().Api.CreateCall(params)
	if err != nil {
		w.t.Fatal(err)
	}
	return *call.Sid
}

// over waits until a call has ended.
func (w *world) over(id string) Message {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if m, ok := w.get(id); ok && !m.Ended.IsZero() {
			return m
		}
	}
	w.t.Fatal("the call does not end")
	return Message{}
}

func TestWhoTakesACall(t *testing.T) {
	for name, c := range map[string]struct {
		to                     string
		phone                  Phone
		status, by, said, keys string
	}{
		"a person":             {patient, Phone{}, "completed", "human", "Press\n[]\nBye", ""},
		"a person with a key":  {patient, Phone{Keys: "9"}, "completed", "human", "Press\n[9]\nBye", "9"},
		"a landline":           {"+13125550013", Phone{}, "completed", "human", "Press\nBye", ""},
		"a machine":            {"+13125550022", Phone{}, "completed", "machine_end_beep", "Press\nBye", ""},
		"a machine, by choice": {patient, Phone{Takes: TakesMachine}, "completed", "machine_end_beep", "Press\nBye", ""},
		"nobody":               {"+13125550023", Phone{}, "no-answer", "", "", ""},
		"busy":                 {"+13125550024", Phone{}, "busy", "", "", ""},
		"nobody can tell":      {"+13125550025", Phone{}, "completed", "unknown", "Press\nBye", ""},
		"a fax":                {"+13125550026", Phone{}, "completed", "fax", "Press\nBye", ""},
		"out of reach":         {"+13125550018", Phone{}, "no-answer", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			at, asked := w.talker()
			w.SetPhone(c.to, c.phone)
			m := w.over(w.place(c.to, at))
			if m.Status != c.status || m.AnsweredBy != c.by || m.Body != strings.Replace(c.said, "\n[]", "", 1) || m.Pressed != c.keys {
				t.Errorf("%+v", m)
			}
			if c.by != "" {
				if form := <-asked; form.Get("AnsweredBy") != c.by || form.Get("Direction") != "outbound-api" || form.Get("CallSid") != m.ID || form.Get("CallStatus") != "in-progress" {
					t.Errorf("asked with %v", form)
				}
			}
		})
	}
}

func TestAPersonAtThePage(t *testing.T) {
	w := newWorld(t)
	w.SetPace(time.Second)
	at, _ := w.talker()
	press := func(path string, form url.Values, want int) {
		t.Helper()
		if res := w.do("POST", path, "application/x-www-form-urlencoded", form.Encode()); res.StatusCode != want {
			t.Errorf("%s %v: %d", path, form, res.StatusCode)
		}
	}
	press("/phone", url.Values{"number": {patient}, "who": {"by-hand"}}, 303)
	press("/phone", url.Values{"number": {patient}, "who": {"a dog"}}, 422)
	press("/phone", url.Values{"number": {patient}, "keys": {"abc"}}, 422)
	id := w.place(patient, at)
	status := func(want string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
			if m, _ := w.get(id); m.Status == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("never %s", want)
			}
		}
	}
	status("ringing")
	page, _ := io.ReadAll(w.do("GET", "/", "", "").Body)
	for _, button := range []string{"Answer", "Let the machine answer", "Let it ring out", "Busy"} {
		if !strings.Contains(string(page), ">"+button+"<") {
			t.Errorf("the page cannot %s", button)
		}
	}
	press("/take", url.Values{"id": {id}, "who": {"a dog"}}, 422)
	press("/take", url.Values{"id": {id}, "who": {"human"}}, 303)
	status("in-progress")
	if page, _ = io.ReadAll(w.do("GET", "/", "", "").Body); !strings.Contains(string(page), ">Hang up<") || !strings.Contains(string(page), ">Press<") {
		t.Error("the page shows no keys")
	}
	press("/press", url.Values{"id": {id}, "digit": {"2"}}, 303)
	if m := w.over(id); m.Pressed != "2" || !strings.HasSuffix(m.Body, "Bye") {
		t.Errorf("%+v", m)
	}
	press("/press", url.Values{"id": {id}, "digit": {"2"}}, 422)
	id = w.place(patient, at)
	status("ringing")
	press("/take", url.Values{"id": {id}, "who": {"human"}}, 303)
	status("in-progress")
	press("/hangup", url.Values{"id": {id}}, 303)
	if m := w.over(id); m.Status != "completed" || m.Pressed != "" {
		t.Errorf("%+v", m)
	}
}

func TestAPersonCallsUs(t *testing.T) {
	w := newWorld(t)
	at, asked := w.talker()
	w.opt.Webhooks.Voice = at
	m := w.over(w.Call(patient, "+18885550199", "9").ID)
	form := <-asked
	if form.Get("Direction") != "inbound" || form.Get("From") != patient || form.Get("To") != "+18885550199" || form.Has("AnsweredBy") || m.Body != "Press\n[9]\nBye" {
		t.Errorf("%v, %+v", form, m)
	}
	<-asked
	w.over(w.Call("", careNumber, "9").ID)
	if form := <-asked; form.Get("From") != hiddenNumber {
		t.Errorf("%v", form)
	}
	for form, want := range map[string]int{"from=%2B13125550101&to=%2B18885550199": 303, "hidden=1&to=%2B18885550199": 303, "from=abc&to=%2B18885550199": 422, "from=%2B13125550101&to=x": 422} {
		if res := w.do("POST", "/call", "application/x-www-form-urlencoded", form); res.StatusCode != want {
			t.Errorf("%s: %d", form, res.StatusCode)
		}
	}
}

func TestCallRefused(t *testing.T) {
	w := newWorld(t)
	good := url.Values{"To": {patient}, "From": {careNumber}, "Url": {"http://127.0.0.1:9/x"}}
	for name, c := range map[string]struct {
		field, value string
		code         int
	}{
		"no To": {"To", "", 21201}, "no From": {"From", "", 21213}, "no words": {"Url", "", 21205}, "no URL": {"Url", "nowhere", 21205}, "another's number": {"From", "+13125559999", 21210},
		"an event that is none": {"StatusCallbackEvent", "sneezed", 21626}, "rings for ever": {"Timeout", "601", 21220}, "a script that is none": {"Twiml", "<Response><Shout/></Response>", 12100},
		"a detection that is none": {"MachineDetection", "Guess", 20001},
	} {
		form := url.Values{}
		for k, v := range good {
			form[k] = v
		}
		form.Set(c.field, c.value)
		res := w.do("POST", "/2010-04-01/Accounts/"+testAccount+"/Calls.json", "application/x-www-form-urlencoded", form.Encode())
		if got := decode[problem](t, res); got.Code != c.code || res.StatusCode != 400 {
			t.Errorf("%s: %d %+v", name, res.StatusCode, got)
		}
	}
	if n := len(w.Messages()); n != 0 {
		t.Errorf("%d calls were taken", n)
	}
}

func TestListCalls(t *testing.T) {
	w := newWorld(t)
	at, _ := w.talker()
	first := w.over(w.place(patient, at))
	w.clock.Add(time.Hour)
	second := w.over(w.place(patient, at))
	w.over(w.place("+13125550101", at))
	for name, c := range map[string]struct {
		since time.Time
		want  []string
	}{"all": {testStart.Add(-time.Hour), []string{second.ID, first.ID}}, "new ones": {testStart.Add(time.Minute), []string{second.ID}}} {
		calls, err := w.sdk().Api.ListCall((&openapi.ListCallParams{}).SetTo(patient).SetFrom(careNumber).SetStartTimeAfter(c.since).SetPageSize(1))
		if err != nil || len(calls) != len(c.want) {
			t.Fatalf("%s: %d calls, %v", name, len(calls), err)
		}
		for i, call := range calls {
			if *call.Sid != c.want[i] || *call.Status != "completed" || *call.AnsweredBy != "human" || *call.Direction != "outbound-api" {
				t.Errorf("%s: %+v", name, call)
			}
		}
	}
}

// The API's words for a call are fewer than the callbacks'.
func TestCallStatusInTheAPI(t *testing.T) {
	w := newWorld(t)
	for status, want := range map[string]string{"queued": "queued", "initiated": "queued", "ringing": "ringing", "completed": "completed"} {
		if got := w.callResource(Message{Status: status})["status"]; got != want {
			t.Errorf("%s is shown as %v", status, got)
		}
	}
}
