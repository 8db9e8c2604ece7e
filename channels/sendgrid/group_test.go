package sendgrid

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"harmonize.care/heed/channels"
)

// lists plays SendGrid's unsubscribe group 12, and keeps what was asked of it.
type lists struct {
	*httptest.Server
	asked  []string // method, escaped path and body
	answer func(w http.ResponseWriter, r *http.Request, body string) bool
}

func newLists(t *testing.T) *lists {
	l := &lists{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer "+testKey || len(body) > 0 && r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("headers: %v", r.Header)
		}
		l.asked = append(l.asked, strings.TrimSpace(r.Method+" "+r.URL.EscapedPath()+" "+string(body)))
		switch {
		case l.answer != nil && l.answer(w, r, string(body)):
		case r.Method == http.MethodGet && r.URL.Path == "/v3/asm/groups/12":
			io.WriteString(w, `{"id": 12, "name": "News", "description": "", "is_default": false, "unsubscribes": 3}`)
		case r.Method == http.MethodGet:
			io.WriteString(w, `["One@Patients.example", "two@patients.example"]`)
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		default:
			w.WriteHeader(http.StatusCreated)
			io.WriteString(w, `{"recipient_emails": []}`)
		}
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *lists) adapter(t *testing.T) *Adapter {
	return newAdapter(t, Options{APIKey: testKey, BaseURL: l.URL, ASMGroup: 12, HTTP: l.Client()})
}

const look = "GET /v3/asm/groups/12"

func TestKeepInTheGroup(t *testing.T) {
	l := newLists(t)
	refused, err := l.adapter(t).Keep(t.Context(), []channels.OptOut{
		{Address: "one@patients.example"}, {Address: "o/n?e%2@patients.example", Off: true}, {Address: "two@patients.example", Said: time.Now()}, {Address: "a\nb@patients.example"},
	})
	if err != nil || len(refused) != 1 || refused[3] == nil || refused[3].Kind != channels.AddressIsBad {
		t.Fatalf("%v %v", refused, err)
	}
	want := []string{
		look, `POST /v3/asm/groups/12/suppressions {"recipient_emails":["one@patients.example","two@patients.example"]}`,
		"DELETE /v3/asm/groups/12/suppressions/o%2Fn%3Fe%252@patients.example",
	}
	if diff := cmp.Diff(want, l.asked); diff != "" {
		t.Error(diff)
	}
}

func TestManyGoInSeveralRequests(t *testing.T) {
	l := newLists(t)
	var many []channels.OptOut
	for i := range maxAdded + 1 {
		many = append(many, channels.OptOut{Address: fmt.Sprintf("p%d@patients.example", i)})
	}
	if refused, err := l.adapter(t).Keep(t.Context(), many); err != nil || len(refused) != 0 {
		t.Fatalf("%v %v", refused, err)
	}
	if len(l.asked) != 3 || strings.Count(l.asked[1], "@") != maxAdded || strings.Count(l.asked[2], "@") != 1 {
		t.Errorf("%d requests", len(l.asked))
	}
}

// What is added to a group that is not there fills the global list, which drops essential
// mail too: then nothing is added.
func TestNothingIsAddedToAGroupThatIsGone(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"deleted":    func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
		"another":    func(w http.ResponseWriter) { io.WriteString(w, `{"id": 13}`) },
		"a list":     func(w http.ResponseWriter) { io.WriteString(w, `[{"id": 12}]`) },
		"no words":   func(w http.ResponseWriter) { io.WriteString(w, `<html>`) },
		"not let in": func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLists(t)
			l.answer = func(w http.ResponseWriter, r *http.Request, _ string) bool { answer(w); return true }
			a := l.adapter(t)
			refused, err := a.Keep(t.Context(), []channels.OptOut{{Address: "one@patients.example"}, {Address: "two@patients.example", Off: true}})
			if e := failed(t, err); e.Kind != channels.OperatorMustAct || refused != nil {
				t.Errorf("%v", e)
			}
			if _, err := a.OptedOut(t.Context()); failed(t, err).Kind != channels.OperatorMustAct {
				t.Error(err)
			}
			if !slices.Equal(l.asked, []string{look, look}) {
				t.Errorf("asked %v", l.asked)
			}
		})
	}
}

func TestGroupWithoutKeyOrNumberAsksNothing(t *testing.T) {
	l := newLists(t)
	for _, o := range []Options{{BaseURL: l.URL, ASMGroup: 12}, {BaseURL: l.URL, APIKey: testKey}} {
		a := newAdapter(t, o)
		_, err := a.Keep(t.Context(), []channels.OptOut{{Address: "one@patients.example"}})
		_, err2 := a.OptedOut(t.Context())
		if failed(t, err).Kind != channels.OperatorMustAct || failed(t, err2).Kind != channels.OperatorMustAct || len(l.asked) > 0 {
			t.Errorf("%v, %v, asked %v", err, err2, l.asked)
		}
	}
}

// One mailbox that SendGrid does not take refuses the request; the others still get there.
func TestOneBadMailboxHoldsNoOtherUp(t *testing.T) {
	l := newLists(t)
	taken := map[string]bool{}
	l.answer = func(w http.ResponseWriter, r *http.Request, body string) bool {
		var in struct {
			Emails []string `json:"recipient_emails"`
		}
		if r.Method != http.MethodPost || json.Unmarshal([]byte(body), &in) != nil {
			return false
		}
		if slices.Contains(in.Emails, "bad@patients.example") {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"errors": [{"field": "recipient_emails", "message": "bad@patients.example is bad"}]}`)
			return true
		}
		for _, e := range in.Emails {
			taken[e] = true
		}
		return false
	}
	var many []channels.OptOut
	for i := range 20 {
		many = append(many, channels.OptOut{Address: fmt.Sprintf("p%d@patients.example", i)})
	}
	many[13].Address = "bad@patients.example"
	refused, err := l.adapter(t).Keep(t.Context(), many)
	if err != nil || len(refused) != 1 || refused[13] == nil || refused[13].Kind != channels.TryNever || len(taken) != 19 {
		t.Errorf("%v %v, %d taken", refused, err, len(taken))
	}
	if strings.Contains(refused[13].Error(), "bad@") {
		t.Error("the error repeats the mailbox")
	}
}

func TestWhatTheGroupRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		status int
		header string
		kind   channels.SendErrorKind // 0: done
		wait   time.Duration
	}{
		"too many":               {http.MethodPost, 429, "7", channels.TryLater, 7 * time.Second},
		"a fault":                {http.MethodPost, 500, "", channels.OutcomeUnknown, 0},
		"no rights":              {http.MethodPost, 403, "", channels.OperatorMustAct, 0},
		"not 201":                {http.MethodPost, 200, "", channels.OutcomeUnknown, 0},
		"off: too many":          {http.MethodDelete, 429, "", channels.TryLater, 0},
		"off: it was not there":  {http.MethodDelete, 404, "", 0, 0},
		"off: a fault":           {http.MethodDelete, 503, "", channels.OutcomeUnknown, 0},
		"off: some other number": {http.MethodDelete, 200, "", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLists(t)
			l.answer = func(w http.ResponseWriter, r *http.Request, _ string) bool {
				if r.Method != c.method {
					return false
				}
				w.Header().Set("Retry-After", c.header)
				w.WriteHeader(c.status)
				return true
			}
			refused, err := l.adapter(t).Keep(t.Context(), []channels.OptOut{{Address: "one@patients.example", Off: c.method == http.MethodDelete}})
			switch {
			case err != nil:
				t.Error(err)
			case c.kind == 0 && len(refused) > 0, c.kind != 0 && (refused[0] == nil || refused[0].Kind != c.kind || refused[0].RetryAfter != c.wait):
				t.Errorf("%v", refused)
			}
		})
	}
}

func TestReadTheGroup(t *testing.T) {
	l := newLists(t)
	a := l.adapter(t)
	got, err := a.OptedOut(t.Context())
	if err != nil || !slices.Equal(got, []string{"one@patients.example", "two@patients.example"}) {
		t.Errorf("%v %v", got, err)
	}
	if !slices.Equal(l.asked, []string{look, look + "/suppressions"}) {
		t.Errorf("asked %v", l.asked)
	}
	for name, body := range map[string]string{
		"cut off": `["one@patients.example", "two@pat`, "no list": `{"one@patients.example": 1}`,
		"too long": `["` + strings.Repeat("x", maxList) + `"]`,
	} {
		l.answer = func(w http.ResponseWriter, r *http.Request, _ string) bool {
			if !strings.HasSuffix(r.URL.Path, "/suppressions") {
				return false
			}
			io.WriteString(w, body)
			return true
		}
		got, err := a.OptedOut(t.Context())
		if e := failed(t, err); got != nil || strings.Contains(e.Error(), "patients") {
			t.Errorf("%s: %d addresses, %v", name, len(got), e)
		}
	}
	l.Close()
	if _, err := a.OptedOut(t.Context()); failed(t, err).Kind != channels.TryLater {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Keep(ctx, []channels.OptOut{{Address: "one@patients.example"}}); err == nil {
		t.Error("a call that was cancelled was made")
	}
}

// The adapter and the pretend carrier understand each other, and the group binds what is sent.
func TestTheGroupOfTheSandbox(t *testing.T) {
	w := newWorld(t)
	w.opt.ASMGroup = 1
	a := newAdapter(t, w.opt)
	m := letter(1, "reader")
	m.Bulk, m.Program = true, channels.Marketing
	keep := func(off bool) {
		t.Helper()
		if refused, err := a.Keep(t.Context(), []channels.OptOut{{Address: m.To, Off: off}, {Address: "other@patients.example"}}); err != nil || len(refused) > 0 {
			t.Fatalf("%v %v", refused, err)
		}
	}
	sent := func() channels.Delivery {
		t.Helper()
		if _, err := a.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		return w.nextEvents(t, a)[0]
	}
	keep(false)
	if got, err := a.OptedOut(t.Context()); err != nil || !slices.Contains(got, m.To) || len(got) != 2 {
		t.Errorf("%v %v", got, err)
	}
	if d := sent(); !d.Unsub || d.Status != channels.Failed {
		t.Errorf("marketing went out: %+v", d)
	}
	m.Bulk, m.Program = false, channels.Care
	if d := sent(); d.Status != channels.Accepted {
		t.Errorf("what is essential did not go out: %+v", d)
	}
	w.nextEvents(t, a)
	keep(true)
	m.Bulk, m.Program = true, channels.Marketing
	if d := sent(); d.Status != channels.Accepted {
		t.Errorf("marketing did not go out after it was asked for: %+v", d)
	}
	w.RemoveGroup()
	if _, err := a.Keep(t.Context(), []channels.OptOut{{Address: m.To}}); failed(t, err).Kind != channels.OperatorMustAct || len(w.OptOuts("")) > 0 {
		t.Errorf("%v, on the global list: %v", err, w.OptOuts(""))
	}
}
