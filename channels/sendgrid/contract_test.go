package sendgrid

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/channelstest"
)

var description = sync.OnceValues(func() (*channelstest.Description, error) {
	return channelstest.Describe("testdata/sendgrid.yaml")
})

// described gives what SendGrid publishes about the requests that this adapter makes.
// newAdapter holds every test of this package to it, and newWorld the pretend carrier.
func described(t testing.TB) *channelstest.Description {
	t.Helper()
	d, err := description()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// describedProvider checks every request as it comes over the wire, and takes it.
func describedProvider(t *testing.T) *provider {
	return newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		if operation, err := described(t).Request(r, "/"); err != nil || operation != "SendMail" {
			t.Errorf("over the wire: %s: %v", operation, err)
		}
		answering(http.StatusAccepted, "")(w, r)
	})
}

// Every shape of a mail that the adapter can send, over the wire.
func TestEveryRequestIsAsSendGridDescribes(t *testing.T) {
	p := describedProvider(t)
	oneClick := map[string]string{
		"List-Unsubscribe": "<https://heed.example/u/abc>, <mailto:stop@heed.example?subject=abc>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
		"Auto-Submitted": "auto-generated",
	}
	shapes := map[string]func(*channels.Outgoing){
		"plain and HTML":       func(*channels.Outgoing) {},
		"plain alone":          func(m *channels.Outgoing) { m.HTML = "" },
		"HTML alone":           func(m *channels.Outgoing) { m.Text = "" },
		"one-click headers":    func(m *channels.Outgoing) { m.Headers = oneClick },
		"bulk":                 func(m *channels.Outgoing) { m.Program, m.Bulk, m.Headers = channels.Marketing, true, oneClick },
		"the greatest attempt": func(m *channels.Outgoing) { m.Attempt = 1<<63 - 1 },
		"unicode":              func(m *channels.Outgoing) { m.Subject, m.Text = "¿Mañana? “😀”", "日本語\r\n\u200d" },
		"a long mail":          func(m *channels.Outgoing) { m.HTML = strings.Repeat("<p>é</p>", 1<<15) },
		"a tagged mailbox":     func(m *channels.Outgoing) { m.To = "o'reader+x_y/z@mail.xn--bcher-kva.example" },
	}
	unnamed, ungrouped := p.options(), p.options()
	unnamed.FromName = ""
	ungrouped.ASMGroup = 0
	for account, o := range map[string]Options{"named": p.options(), "unnamed": unnamed, "without a group": ungrouped} {
		a := newAdapter(t, o)
		for name, change := range shapes {
			m := letter(1, "reader")
			change(&m)
			if _, err := a.Send(t.Context(), m); err != nil {
				t.Errorf("%s, %s: %v", account, name, err)
			}
		}
	}
	if want := 3 * len(shapes); len(p.asked) != want {
		t.Errorf("%d requests came, of %d", len(p.asked), want)
	}
}

// Every call about the unsubscribe group, over the wire.
func TestEveryCallOfTheGroupIsAsSendGridDescribes(t *testing.T) {
	called := map[string]int{}
	p := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		operation, err := described(t).Request(r, "/")
		if err != nil {
			t.Errorf("over the wire: %v", err)
		}
		called[operation]++
		switch operation {
		case "GetAsmGroup":
			answering(http.StatusOK, `{"id": 12}`)(w, r)
		case "ListSuppressionFromAsmGroup":
			answering(http.StatusOK, `["a@patients.example"]`)(w, r)
		case "DeleteSuppressionFromAsmGroup":
			answering(http.StatusNoContent, "")(w, r)
		default:
			answering(http.StatusCreated, `{"recipient_emails": []}`)(w, r)
		}
	})
	a := newAdapter(t, p.options())
	var entries []channels.OptOut
	for _, mailbox := range []string{"a@patients.example", "x+y@patients.example", "o'reader/z?a=b#c@patients.example", "50%&more@patients.example"} {
		entries = append(entries, channels.OptOut{Address: mailbox}, channels.OptOut{Address: mailbox, Off: true})
	}
	if refused, err := a.Keep(t.Context(), entries); err != nil || len(refused) != 0 {
		t.Errorf("%v, %v", refused, err)
	}
	if list, err := a.OptedOut(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	for _, operation := range described(t).Operations() {
		if called[operation] == 0 && operation != "SendMail" {
			t.Errorf("%s was never called: %v", operation, called)
		}
	}
}

// Whatever a mail holds, its request is one that SendGrid describes.
func TestAnyRequestIsAsSendGridDescribes(t *testing.T) {
	p := describedProvider(t)
	a := newAdapter(t, p.options())
	line := rapid.StringN(1, 200, -1).Filter(oneLine)
	rapid.Check(t, func(r *rapid.T) {
		m := channels.Outgoing{
			Channel: channels.Email, Program: rapid.SampledFrom([]channels.Program{channels.Care, channels.Marketing}).Draw(r, "program"),
			Attempt: rapid.Int64Min(1).Draw(r, "attempt"), To: rapid.StringMatching(`[a-z0-9.+_-]{1,30}@[a-z0-9-]{1,20}\.example`).Draw(r, "to"),
			Subject: line.Draw(r, "subject"), Text: rapid.StringN(1, -1, -1).Draw(r, "text"), HTML: rapid.String().Draw(r, "html"),
			Headers: rapid.MapOfN(rapid.StringMatching(`X-[A-Za-z-]{1,20}`), line, 0, 4).Draw(r, "headers"), Bulk: rapid.Bool().Draw(r, "bulk"),
		}
		if _, err := a.Send(t.Context(), m); err != nil {
			r.Fatal(err)
		}
		if t.Failed() {
			r.FailNow() // says which mail it was
		}
	})
}

const host = "https://api.sendgrid.com"

// asking is one request by hand.
type asking struct{ method, url, body string }

func (q asking) request(t *testing.T) *http.Request {
	t.Helper()
	var body io.Reader
	if q.body != "" {
		body = strings.NewReader(q.body)
	}
	r := httptest.NewRequestWithContext(t.Context(), q.method, q.url, body)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+testKey)
	return r
}

// fair is a request of each operation that SendGrid takes.
func fair(t *testing.T) map[string]asking {
	t.Helper()
	mail, err := json.Marshal(wanted(object{
		"asm": object{"group_id": 12}, "reply_to": object{"email": careBox},
		"attachments": []any{object{"content": "QkVHSU4=", "type": "text/calendar", "filename": "visit.ics", "disposition": "attachment"}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]asking{
		"SendMail":                      {http.MethodPost, host + "/v3/mail/send", string(mail)},
		"GetAsmGroup":                   {http.MethodGet, host + "/v3/asm/groups/12", ""},
		"AddSuppressionToAsmGroup":      {http.MethodPost, host + "/v3/asm/groups/12/suppressions", `{"recipient_emails":["a@patients.example","b@patients.example"]}`},
		"ListSuppressionFromAsmGroup":   {http.MethodGet, host + "/v3/asm/groups/12/suppressions", ""},
		"DeleteSuppressionFromAsmGroup": {http.MethodDelete, host + "/v3/asm/groups/12/suppressions/o%27reader+x%2Fy@patients.example", ""},
	}
}

// doctored is, for each operation, what stands in a fair request and what makes it
// one that SendGrid would not take.
var doctored = map[string]map[string][2]string{
	"SendMail": {
		"nobody":                  {`"to":[{"email":"reader+301@patients.example"}]`, `"to":[]`},
		"no to":                   {`,"to":[{"email":"reader+301@patients.example"}]`, ``},
		"two in one to":           {`"to":[`, `"to":[{"email":"b@patients.example"},`},
		"a copy":                  {`"to":[`, `"cc":[{"email":"b@patients.example"}],"to":[`},
		"no mailbox":              {`reader+301@`, `reader+301`},
		"no sender":               {`"from":{`, `"sender":{`},
		"a sender without box":    {`"from":{"email":"` + careBox + `",`, `"from":{`},
		"no person":               {`"personalizations":[`, `"personalization":[`},
		"no subject":              {`"subject":"About visit 1"`, `"subject":""`},
		"no words":                {`"value":"\u003cp`, `"value":"","x":"\u003cp`},
		"words without a type":    {`"type":"text/html",`, ``},
		"a number for an arg":     {`"attempt":"9001"`, `"attempt":9001`},
		"more than our id":        {`"attempt":"9001"`, `"attempt":"9001","patient":"7"`},
		"args of the whole":       {`"subject":`, `"custom_args":{"attempt":"9001"},"subject":`},
		"a category":              {`"subject":`, `"categories":["therapy"],"subject":`},
		"a group that is text":    {`"group_id":12`, `"group_id":"12"`},
		"no group":                {`"group_id":12`, `"groups_to_display":[12]`},
		"a group that is none":    {`"group_id":12`, `"group_id":0`},
		"a switch that is text":   {`"enable":false`, `"enable":"false"`},
		"tracking unknown":        {`"ganalytics":`, `"pixel":`},
		"around the list":         {`"subject":`, `"mail_settings":{"bypass_list_management":{"enable":true}},"subject":`},
		"a file without a name":   {`"filename":`, `"name":`},
		"a file that is not ours": {`"QkVHSU4="`, `"BEGIN!"`},
		"another disposition":     {`"disposition":"attachment"`, `"disposition":"hidden"`},
		"another reply":           {`"reply_to":{"email"`, `"reply_to":{"mail"`},
		"a header of a number":    {`"custom_args":`, `"headers":{"X-A":1},"custom_args":`},
		"an unknown field":        {`"subject":`, `"idempotency_key":"1","subject":`},
		"no JSON":                 {`{`, ``},
	},
	"GetAsmGroup": {"a group that is none": {"groups/12", "groups/twelve"}, "a query": {"groups/12", "groups/12?id=12"}},
	"AddSuppressionToAsmGroup": {
		"no mailbox": {`b@patients.example`, `b`}, "one for a list": {`["a@patients.example","b@patients.example"]`, `"a@patients.example"`},
		"another field": {`recipient_emails`, `emails`}, "a field too many": {`{`, `{"group":12,`}, "no group": {"/12/", "/0/"},
	},
	"ListSuppressionFromAsmGroup":   {"no group": {"/12/", "/x/"}, "a page": {"suppressions", "suppressions?page=1"}},
	"DeleteSuppressionFromAsmGroup": {"no mailbox": {"@", ""}, "no group": {"/12/", "/x/"}, "a query": {"patients.example", "patients.example?force=1"}},
}

// The description refuses what it should: a check that cannot fail is none.
func TestDoctoredRequestsAreRefused(t *testing.T) {
	d, all := described(t), fair(t)
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, d.Operations()) {
		t.Errorf("tested are %v, described are %v", got, d.Operations())
	}
	refused := func(name string, r *http.Request) {
		t.Helper()
		if _, err := d.Request(r, ""); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for operation, q := range all {
		if got, err := d.Request(q.request(t), ""); err != nil || got != operation {
			t.Fatalf("%s: %q, %v", operation, got, err)
		}
		for name, change := range doctored[operation] {
			bad := q
			bad.url, bad.body = strings.Replace(q.url, change[0], change[1], 1), strings.Replace(q.body, change[0], change[1], 1)
			if bad == q {
				t.Errorf("%s, %s: nothing was doctored", operation, name)
			}
			refused(operation+" with "+name, bad.request(t))
		}
		stranger := q.request(t)
		stranger.Header.Set("Authorization", "Basic "+testKey)
		refused(operation+" of nobody", stranger)
		refused(operation+" at another host", asking{q.method, strings.Replace(q.url, "sendgrid.com", "sendgrid.example", 1), q.body}.request(t))
		refused(operation+" by another method", asking{http.MethodPut, q.url, q.body}.request(t))
		if q.body == "" {
			refused(operation+" with a body", asking{q.method, q.url, "{}"}.request(t))
			continue
		}
		refused(operation+" without a body", asking{q.method, q.url, ""}.request(t))
		form := q.request(t)
		form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		refused(operation+" as a form", form)
	}
}

// Answers that SendGrid gives pass, and others do not.
func TestDoctoredAnswersAreRefused(t *testing.T) {
	d, all := described(t), fair(t)
	kind := http.Header{"Content-Type": {"application/json"}}
	for _, c := range []struct {
		operation string
		status    int
		header    http.Header
		good      string
		bad       []string
	}{
		{"SendMail", 202, http.Header{"X-Message-Id": {"Cy7CjT6pQ-aWeyFPZ2d5XA"}}, "", nil},
		{"SendMail", 400, kind, errorsOf(`"from.email"`, "null"), []string{"{}", `{"errors":[]}`, `{"errors":[{"field":"from"}]}`, `{"errors":[{"message":"x","code":1}]}`, "x"}},
		{"SendMail", 429, kind, errorsOf("null"), []string{`[]`}},
		{"SendMail", 413, http.Header{"Content-Type": {"text/html"}}, "<html></html>", nil},
		{"GetAsmGroup", 200, kind, `{"id":100,"name":"Newsletters","description":"Our news.","is_default":true,"unsubscribes":400}`, []string{`{}`, `{"id":"100"}`, `{"id":100,"members":1}`}},
		{"AddSuppressionToAsmGroup", 201, kind, `{"recipient_emails":["a@patients.example"]}`, []string{`["a@patients.example"]`, `{"recipient_emails":["a"]}`}},
		{"ListSuppressionFromAsmGroup", 200, kind, `["a@patients.example"]`, []string{`{"recipient_emails":[]}`, `["a"]`, `null`}},
		{"DeleteSuppressionFromAsmGroup", 204, http.Header{}, "", nil},
		{"DeleteSuppressionFromAsmGroup", 404, kind, errorsOf("null"), []string{""}},
	} {
		answer := func(status int, header http.Header, body string) error {
			return d.Answer(all[c.operation].request(t), "", status, header, []byte(body))
		}
		if err := answer(c.status, c.header, c.good); err != nil {
			t.Errorf("%s, %d: %v", c.operation, c.status, err)
		}
		for _, bad := range c.bad {
			if answer(c.status, c.header, bad) == nil {
				t.Errorf("%s, %d: %s is taken", c.operation, c.status, bad)
			}
		}
	}
	if d.Answer(all["SendMail"].request(t), "", http.StatusAccepted, http.Header{}, nil) == nil {
		t.Error("a yes without an id is taken")
	}
}
