package twilio

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"harmonize.care/heed/channels"
)

var noon = time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC)

// row is a listed message with just what a provider must say.
func row(sid, direction, from, to, body string, at time.Time) map[string]any {
	return map[string]any{
		"sid": sid, "direction": direction, "from": from, "to": to, "body": body, "status": "sent", "error_code": nil,
		"date_created": at.Format(time.RFC1123Z), "date_sent": nil, "messaging_service_sid": nil,
	}
}

// listing answers with rows, whatever the filters ask for.
func listing(t *testing.T, rows ...map[string]any) *provider {
	return newProvider(t, func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"messages": rows, "page": 0, "page_size": 50, "next_page_uri": nil})
	})
}

func TestFind(t *testing.T) {
	failedRow := row("SM3", "outbound-api", careNumber, patient, "c", noon.Add(time.Minute))
	failedRow["status"], failedRow["error_code"] = "undelivered", 30003
	service := row("SM4", "outbound-api", "", patient, "d", noon.Add(2*time.Minute))
	service["from"], service["status"] = nil, "accepted"
	p := listing(t,
		service, failedRow,
		row("SM2", "outbound-api", careNumber, patient, "b", noon),
		row("SM1", "outbound-api", careNumber, patient, "a", noon.Add(-time.Second)),
		row("SM0", "inbound", patient, careNumber, "STOP", noon),
	)
	found, err := newAdapter(t, p.options()).Find(t.Context(), text(1, "0143"), noon.Add(300*time.Millisecond))
	want := []channels.Found{
		{ProviderID: "SM4", To: patient, Body: "d", Created: noon.Add(2 * time.Minute), Status: channels.Accepted},
		{ProviderID: "SM3", From: careNumber, To: patient, Body: "c", Created: noon.Add(time.Minute), Status: channels.Failed, Kind: channels.TryLater, Code: "30003"},
		{ProviderID: "SM2", From: careNumber, To: patient, Body: "b", Created: noon, Status: channels.OnItsWay},
	}
	if diff := cmp.Diff(want, found); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	query := p.asked[0].URL.Query()
	if query.Get("To") != text(1, "0143").To || query.Get("DateSent>") != "2026-03-03T12:00:00Z" || query.Get("PageSize") != "500" {
		t.Errorf("asked for %v", query)
	}
}

func TestListErrors(t *testing.T) {
	undated := row("SM1", "inbound", patient, careNumber, "STOP", noon)
	undated["date_created"] = "+13035550143"
	for name, p := range map[string]*provider{
		"a date nobody can read": listing(t, undated),
		"too many":               newProvider(t, answering(429, `{"code": 20429}`)),
		"a fault":                newProvider(t, answering(500, ``)),
		"no JSON":                newProvider(t, answering(200, `+13035550143`)),
		"another shape":          newProvider(t, answering(200, `{"messages": "+13035550143"}`)),
		"a strange next page":    newProvider(t, answering(200, `{"messages": [], "next_page_uri": "://+13035550143\u0000"}`)),
		"a list without end":     newProvider(t, answering(200, `{"messages": [], "next_page_uri": "/x?Page=1&PageToken=PA1"}`)),
	} {
		a := newAdapter(t, p.options())
		texts, err := a.Inbox(t.Context(), noon)
		if err == nil || texts != nil || strings.Contains(err.Error(), "5550143") {
			t.Errorf("%s: Inbox: %v", name, err)
		}
		if _, ours := err.(*channels.SendError); strings.Contains(name, "JSON") && !ours {
			t.Errorf("%s: the error is %T", name, err)
		}
		if len(p.asked) > maxPages {
			t.Errorf("%s: asked %d times", name, len(p.asked))
		}
	}
}

func TestInbox(t *testing.T) {
	sentOnly := row("SM5", "inbound", patient, careNumber, "5", noon)
	sentOnly["date_created"], sentOnly["date_sent"] = nil, noon.Add(time.Minute).Format(time.RFC1123Z)
	p := listing(t,
		row("SM9", "outbound-api", careNumber, patient, "ours", noon),
		sentOnly,
		row("SM4", "inbound", "+1303555XXXX", careNumber, "redacted", noon),
		row("SM3", "inbound", "72975", careNumber, "from a short code", noon.Add(time.Second)),
		row("SM2", "inbound", patient, careNumber, "START", noon),
		row("SM1", "inbound", patient, careNumber, "STOP", noon),
		row("SM2", "inbound", patient, careNumber, "START", noon), // again
		row("SM0", "inbound", patient, careNumber, "too old", noon.Add(-time.Second)),
	)
	texts, err := newAdapter(t, p.options()).Inbox(t.Context(), noon.Add(999*time.Millisecond))
	in := func(id, from, body string, at time.Time) channels.Inbound {
		return channels.Inbound{ID: id, From: from, To: careNumber, Body: body, At: at, Precision: time.Second}
	}
	want := []channels.Inbound{
		in("SM1", patient, "STOP", noon), in("SM2", patient, "START", noon),
		in("SM3", "72975", "from a short code", noon.Add(time.Second)), in("SM5", patient, "5", noon.Add(time.Minute)),
	}
	if diff := cmp.Diff(want, texts); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestInboxes(t *testing.T) {
	for name, c := range map[string]struct {
		from, service map[channels.Program]string
		want          []string
	}{
		"none":    {nil, nil, nil},
		"numbers": {map[channels.Program]string{channels.Care: careNumber, channels.CheckIn: careNumber, channels.Marketing: shopNumber, channels.Billing: ""}, nil, []string{careNumber, shopNumber}},
		"service": {map[channels.Program]string{channels.Care: careNumber}, map[channels.Program]string{channels.Marketing: testService}, []string{""}},
	} {
		p := listing(t)
		o := p.options()
		o.From, o.MessagingService = c.from, c.service
		if _, err := newAdapter(t, o).Inbox(t.Context(), noon); err != nil {
			t.Fatal(err)
		}
		var asked []string
		for _, r := range p.asked {
			asked = append(asked, r.URL.Query().Get("To"))
		}
		if !slices.Equal(asked, c.want) {
			t.Errorf("%s: asked for texts to %q, want %q", name, asked, c.want)
		}
	}
}

// Every text is read once, however many pages they fill and however many come in
// meanwhile.
func TestInboxIsComplete(t *testing.T) {
	const many = 1203
	w := newWorld(t)
	a := w.adapter(t)
	since := time.Now()
	want := map[string]bool{}
	for n := range many {
		to := careNumber
		if n%3 == 0 {
			to = shopNumber
		}
		want[w.Reply(fmt.Sprintf("+1305555%04d", n), to, "STOP", true).ID] = true
		if n%100 == 0 {
			if _, err := a.Send(t.Context(), text(n/100, "0143")); err != nil {
				t.Fatal(err)
			}
		}
	}
	texts, err := a.Inbox(t.Context(), since)
	if err != nil || len(texts) != many {
		t.Fatalf("%d texts of %d, %v", len(texts), many, err)
	}
	if !slices.IsSortedFunc(texts, func(x, y channels.Inbound) int { return x.At.Compare(y.At) }) {
		t.Error("the texts are not in order")
	}
	for _, in := range texts {
		if !want[in.ID] || in.Body != "STOP" {
			t.Errorf("read %+v", in)
		}
		delete(want, in.ID)
	}
	if later, err := a.Inbox(t.Context(), time.Now().Add(time.Minute)); err != nil || len(later) != 0 {
		t.Errorf("%d texts of times to come, %v", len(later), err)
	}
}

// A second page that fails fails the whole: a part would hide the rest for ever.
func TestInboxIsWholeOrNothing(t *testing.T) {
	p := newProvider(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("Page") == "1" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{
			"messages":      []any{row("SM1", "inbound", patient, careNumber, "STOP", noon)},
			"next_page_uri": "https://elsewhere.example/2010-04-01/Accounts/" + testAccount + "/Messages.json?Page=1&PageToken=PASM1&PageSize=500",
		})
	})
	texts, err := newAdapter(t, p.options()).Inbox(t.Context(), noon)
	if err == nil || texts != nil || len(p.asked) != 2 {
		t.Errorf("%v, %v after %d calls", texts, err, len(p.asked))
	}
	if got := p.asked[1].URL.Query(); got.Get("PageToken") != "PASM1" || got.Get("DateSent>") == "" || got.Get("To") != careNumber {
		t.Errorf("the second page was asked for with %v", got)
	}
}
