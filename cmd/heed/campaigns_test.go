package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/preferences"
)

// somebody is a person in a test's audience.
type somebody struct {
	ref, email, phone, zone string
	choices                 []preferences.Choice
}

func optOut(topic string, ch channels.Channel) preferences.Choice {
	return preferences.Choice{Topic: topic, Channel: ch}
}

func optIn(topic string, ch channels.Channel, consent preferences.Consent) preferences.Choice {
	return preferences.Choice{Topic: topic, Channel: ch, In: true, Consent: consent}
}

// crowd puts many people on file at once.
func (h *heedUnderTest) crowd(list []somebody) {
	h.t.Helper()
	for from := 0; from < len(list); from += 250 {
		c := gateway.Change{At: h.server.now(), Actor: "test"}
		for _, p := range list[from:min(from+250, len(list))] {
			c.Patients = append(c.Patients, h.somebody(p))
		}
		if _, err := h.server.db.Commit(h.t.Context(), c); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *heedUnderTest) somebody(p somebody) gateway.PatientFact {
	id, now := h.server.ids.New(), h.server.now()
	zone := p.zone
	if zone == "" {
		zone = "America/Denver"
	}
	contact := &preferences.Contact{BirthDate: preferences.Date{Year: 1980, Month: 4, Day: 2}, Zones: []string{zone}}
	f := gateway.PatientFact{Patient: id, Ref: p.ref, Record: &gateway.Record{GivenName: "Xiomara", BirthDate: "1980-04-02"}}
	add := func(kind channels.Kind, value string, zones []string) {
		if value != "" {
			a := h.server.ids.New()
			f.Texts = append(f.Texts, gateway.AddressText{ID: a, Kind: kind, Value: value})
			contact.Addresses = append(contact.Addresses, preferences.ContactAddress{ID: a, Kind: kind, Rank: 1, Zones: zones})
		}
	}
	add(channels.Mailbox, p.email, nil)
	add(channels.Phone, p.phone, []string{zone})
	f.Events = append(f.Events, preferences.Event{ID: h.server.ids.New(), Kind: preferences.ContactSet, At: now.UnixMicro(), Contact: contact})
	for _, choice := range p.choices {
		f.Events = append(f.Events, preferences.Event{ID: h.server.ids.New(), Kind: preferences.ChoiceMade, At: now.UnixMicro(), Said: now.UnixMicro(), Choice: &choice})
	}
	return f
}

// staff makes keys of people who work here.
func (h *heedUnderTest) staff(names ...string) {
	h.t.Helper()
	for _, name := range names {
		if err := h.server.db.AddAPIKey(h.t.Context(), name, auth.Marketer, auth.Hash("key-of-"+name)); err != nil {
			h.t.Fatal(err)
		}
	}
}

func as(name string) []string { return []string{"Authorization", "Bearer key-of-" + name} }

// campaign makes a campaign with an audience, not approved yet.
func (h *heedUnderTest) campaign(list []somebody, brief map[string]any) string {
	h.t.Helper()
	body := map[string]any{
		"name": "Autumn", "category": "newsletter", "template": "newsletter",
		"variables": map[string]string{"title": "Groups this autumn", "text": "New groups begin in October."},
	}
	for k, v := range brief {
		body[k] = v
	}
	id := h.ok("POST", "/v1/campaigns", body, as("ana")...)["id"].(string)
	h.upload(id, list)
	return id
}

func csvOf(list []somebody) string {
	var b strings.Builder
	b.WriteString("patient\n")
	for _, p := range list {
		b.WriteString(p.ref + "\n")
	}
	return b.String()
}

func (h *heedUnderTest) upload(id string, list []somebody) map[string]any {
	h.t.Helper()
	return h.ok("POST", "/v1/campaigns/"+id+"/audience", csvOf(list), append(as("ana"), "Content-Type", "text/csv")...)
}

func (h *heedUnderTest) begin(id string) {
	h.t.Helper()
	h.ok("POST", "/v1/campaigns/"+id+"/approve", nil, as("ben")...)
	h.ok("POST", "/v1/campaigns/"+id+"/start", nil, as("ana")...)
}

// counts gives a report by outcome and code.
func counts(from map[string]any) map[string]int {
	got := map[string]int{}
	for _, row := range from["report"].([]any) {
		r := row.(map[string]any)
		key := r["outcome"].(string)
		if code, ok := r["code"].(string); ok {
			key += " " + code
		}
		got[key] += int(r["count"].(float64))
	}
	return got
}

func (h *heedUnderTest) progress(id string) map[string]any {
	h.t.Helper()
	return h.ok("GET", "/v1/campaigns/"+id, nil, as("ana")...)
}

func (h *heedUnderTest) reportOf(id string) map[string]int {
	h.t.Helper()
	return counts(h.progress(id)["progress"].(map[string]any))
}

func (h *heedUnderTest) comesTo(id, status string) map[string]any {
	h.t.Helper()
	var c map[string]any
	defer func() {
		if h.t.Failed() {
			h.t.Logf("%v", c)
		}
	}()
	eventually(h.t, "campaign is "+status, func() bool {
		c = h.progress(id)
		return c["status"] == status
	})
	return c
}

// mailed counts what each mailbox got.
func (h *heedUnderTest) mailed() map[string]int {
	got := map[string]int{}
	for _, m := range h.server.sandbox.Messages() {
		if m.Channel == channels.Email {
			got[m.To]++
		}
	}
	return got
}

func people(n int, each func(i int, p *somebody)) []somebody {
	list := make([]somebody, n)
	for i := range list {
		list[i] = somebody{ref: fmt.Sprintf("c%05d", i), email: fmt.Sprintf("c%05d@patients.example", i)}
		if each != nil {
			each(i, &list[i])
		}
	}
	return list
}

func TestCampaignByEmailWithMixedConsents(t *testing.T) {
	onBoth(t, func(t *testing.T, h *heedUnderTest) {
		h.staff("ana", "ben")
		list := people(1000, func(i int, p *somebody) {
			switch {
			case i%10 == 0:
				p.choices = append(p.choices, optOut("marketing", channels.Email))
			case i%10 == 1:
				p.email = ""
			case i%10 == 2: // a household of ten shares a mailbox
				p.email = fmt.Sprintf("household%d@patients.example", i/100)
			}
		})
		h.crowd(list)
		id := h.campaign(append(list, somebody{ref: "nobody"}), nil)
		screening := counts(h.ok("GET", "/v1/campaigns/"+id+"/screening", nil, as("ana")...))
		if screening["send"] != 800 || screening["suppress opted_out"] != 100 || screening["suppress no_address"] != 100 || screening["suppress patient_unknown"] != 1 {
			t.Fatalf("screening: %v", screening)
		}
		if n := len(h.server.sandbox.Messages()); n != 0 {
			t.Fatalf("the screening sent %d", n)
		}
		h.begin(id)
		h.comesTo(id, "completed")
		eventually(t, "every receipt came", func() bool { return h.reportOf(id)["delivered"] == 800 })
		report := h.reportOf(id)
		if report["suppressed opted_out"] != 100 || report["suppressed no_address"] != 100 || report["suppressed patient_unknown"] != 1 {
			t.Errorf("report: %v", report)
		}
		mailed := h.mailed()
		for i, p := range list {
			want := 1
			switch {
			case i%10 == 0:
				want = 0
			case i%10 == 2:
				want = 10
			case p.email == "":
				continue
			}
			if mailed[p.email] != want {
				t.Errorf("person %d got %d mails, not %d", i, mailed[p.email], want)
			}
		}
		h.ownLinks()
	})
}

// ownLinks sees that every mail of a letter carries links of its own, the same in the
// text as in the one-click header, and no mark.
func (h *heedUnderTest) ownLinks() {
	h.t.Helper()
	seen := map[string]bool{}
	for _, m := range h.server.sandbox.Messages() {
		way := strings.Trim(m.Headers["List-Unsubscribe"], "<>")
		if way == "" || m.Headers["List-Unsubscribe-Post"] != "List-Unsubscribe=One-Click" || !strings.Contains(m.Body, way) || !strings.Contains(m.HTML, way) {
			h.t.Fatalf("no way out: %v %s", m.Headers, m.Body)
		}
		if strings.Contains(m.Body+m.HTML, "mark.invalid") {
			h.t.Fatalf("a mark went out: %s", m.Body)
		}
		if seen[way] {
			h.t.Fatal("two people have one link")
		}
		seen[way] = true
	}
}

func TestAnUnsubscribeInTheMiddleHoldsTheRestBack(t *testing.T) {
	onBoth(t, func(t *testing.T, h *heedUnderTest) {
		h.staff("ana", "ben")
		list := people(600, nil)
		h.crowd(list)
		id := h.campaign(list, map[string]any{"rate_per_second": 150})
		h.begin(id)
		eventually(t, "the first have it", func() bool { return len(h.server.sandbox.Messages()) > 20 })
		// The last hundred leave, one after the other, while it runs: none gets it after the answer.
		late := map[string]int{}
		for _, p := range list[500:] {
			h.ok("POST", "/v1/patients/"+p.ref+"/preferences", map[string]any{
				"choices": []map[string]any{{"topic": "marketing", "channel": "email", "choice": "opt_out"}}, "source": "web",
			})
			late[p.email] = h.mailed()[p.email]
		}
		h.comesTo(id, "completed")
		mailed, held := h.mailed(), 0
		for _, p := range list {
			had, left := late[p.email]
			switch n := mailed[p.email]; {
			case left && n != had:
				t.Errorf("%s got it after leaving was acknowledged", p.ref)
			case left && n == 0:
				held++
			case n != 1:
				t.Errorf("%s got %d", p.ref, n)
			}
		}
		if held == 0 {
			t.Error("nobody left in time: it proves nothing")
		}
		if report := h.reportOf(id); report["suppressed opted_out"] != held {
			t.Errorf("%d were held back: %v", held, report)
		}
	})
}

func TestPauseResumeAndCancel(t *testing.T) {
	onBoth(t, func(t *testing.T, h *heedUnderTest) {
		h.staff("ana", "ben")
		list := people(400, nil)
		h.crowd(list)
		id := h.campaign(list, map[string]any{"rate_per_second": 100})
		h.begin(id)
		some := func(n int) {
			eventually(t, "some have it", func() bool { return len(h.server.sandbox.Messages()) > n })
		}
		some(10)
		h.ok("POST", "/v1/campaigns/"+id+"/pause", nil, as("ana")...)
		h.still()
		paused := len(h.server.sandbox.Messages())
		if paused == len(list) {
			t.Fatal("it was over before it could be paused")
		}
		if a := h.call("POST", "/v1/campaigns/"+id+"/pause", nil, as("ana")...); a.status != http.StatusConflict || a.json["code"] != "wrong_status" {
			t.Errorf("paused twice: %d %s", a.status, a.raw)
		}
		h.ok("POST", "/v1/campaigns/"+id+"/resume", nil, as("ana")...)
		some(paused)
		h.ok("POST", "/v1/campaigns/"+id+"/cancel", nil, as("ana")...)
		h.still()
		sent := len(h.server.sandbox.Messages())
		c := h.comesTo(id, "canceled")
		report := counts(c["progress"].(map[string]any))
		if sent == len(list) || report["canceled campaign_canceled"] != len(list)-sent {
			t.Errorf("%d were sent: %v", sent, report)
		}
		for box, n := range h.mailed() {
			if n != 1 {
				t.Errorf("%s got %d", box, n)
			}
		}
		for _, verb := range []string{"start", "resume", "cancel", "approve"} {
			if a := h.call("POST", "/v1/campaigns/"+id+"/"+verb, nil, as("ben")...); a.status != http.StatusConflict {
				t.Errorf("%s after cancel: %d %s", verb, a.status, a.raw)
			}
		}
	})
}

// still waits until no slice is under way, and then for as long as a worker may take to find
// more to do.
func (h *heedUnderTest) still() {
	h.t.Helper()
	eventually(h.t, "no slice is under way", func() bool {
		open, err := h.server.db.AbandonedSlices(h.t.Context(), h.server.now().Add(time.Hour), 1)
		return err == nil && len(open) == 0
	})
	before := len(h.server.sandbox.Messages())
	<-time.After(time.Second)
	if n := len(h.server.sandbox.Messages()); n != before {
		h.t.Errorf("%d went out after it was held", n-before)
	}
}

func TestARefusedLetterIsHalvedUntilTheOneIsFound(t *testing.T) {
	h := start(t, nil)
	h.staff("ana", "ben")
	list := people(250, func(i int, p *somebody) {
		if i == 77 {
			p.email = "refused@patients.example"
		}
	})
	h.crowd(list)
	id := h.campaign(list, nil)
	h.begin(id)
	h.comesTo(id, "completed")
	for box, n := range h.mailed() {
		if n != 1 {
			t.Errorf("%s got %d", box, n)
		}
	}
	if n := len(h.mailed()); n != 249 {
		t.Errorf("%d got it", n)
	}
	if report := h.reportOf(id); report["failed delivery_failed"] != 1 {
		t.Errorf("%v", report)
	}
	if d := h.decision("c00077", "newsletter"); d["code"] != "address_bad" {
		t.Errorf("nothing was learned of the address: %v", d)
	}
}

func TestWhoIsNotInTheirWindowWaitsInsideTheCampaign(t *testing.T) {
	onBoth(t, func(t *testing.T, h *heedUnderTest) {
		h.staff("ana", "ben")
		denver, err := time.LoadLocation("America/Denver")
		if err != nil {
			t.Fatal(err)
		}
		h.server.clock.Set(time.Date(2027, 3, 9, 9, 30, 0, 0, denver)) // a Tuesday: 11:30 in New York
		list := people(60, func(i int, p *somebody) {
			p.email, p.phone = "", fmt.Sprintf("+1303555%04d", 2000+i)
			if i%2 == 1 {
				p.zone, p.phone = "America/New_York", fmt.Sprintf("+1212555%04d", 2000+i)
			}
			p.choices = append(p.choices, optIn("marketing", channels.SMS, preferences.Written))
			if i%10 == 0 {
				p.choices = []preferences.Choice{optIn("marketing", channels.SMS, preferences.Express)}
			}
		})
		h.crowd(list)
		id := h.campaign(list, map[string]any{"category": "marketing", "template": "marketing", "channels": []string{"sms"}})
		h.begin(id)
		eventually(t, "New York has it", func() bool { return len(h.server.sandbox.Messages()) == 30 })
		h.still()
		if r := h.reportOf(id); r["waiting quiet_hours"] != 24 || r["suppressed consent_missing"] != 6 {
			t.Fatalf("%v", r)
		}
		h.texts("+13035552002", channels.Marketing, "STOP")
		eventually(t, "the stop is heard", func() bool { return h.stopped("+13035552002").Has(channels.Marketing) })
		h.server.clock.Set(time.Date(2027, 3, 9, 10, 1, 0, 0, denver))
		h.comesTo(id, "completed")
		eventually(t, "every receipt came", func() bool { return h.reportOf(id)["delivered"] == 53 })
		if r := h.reportOf(id); r["suppressed stopped"] != 1 {
			t.Errorf("%v", r)
		}
		for i, p := range list {
			n, want := 0, 1
			for _, m := range h.to(p.phone) {
				if !strings.Contains(m.Body, "opted out") && !strings.Contains(strings.ToLower(m.Body), "no more") {
					n++
				}
			}
			if i%10 == 0 || i == 2 {
				want = 0
			}
			if i != 2 && n != want {
				t.Errorf("person %d got %d", i, n)
			}
		}
		// Again today: the cap of one a day holds everybody until tomorrow.
		again := h.campaign(list, map[string]any{"category": "marketing", "template": "marketing", "channels": []string{"sms"}})
		h.begin(again)
		defer func() {
			if t.Failed() {
				t.Log(h.reportOf(again))
			}
		}()
		eventually(t, "they wait", func() bool { return h.reportOf(again)["waiting frequency_cap"] == 53 })
	})
}

// A message that looks for another way says what was approved, whatever is in force by then.
func TestAnotherWayKeepsTheApprovedWording(t *testing.T) {
	h := start(t, map[string]string{"providers.sendgrid.agreement": "baa", "providers.twilio.agreement": "baa"})
	h.staff("ana", "ben")
	priv := h.people(map[string]auth.Role{"pri": auth.Privacy})["pri"]
	denver, err := time.LoadLocation("America/Denver")
	if err != nil {
		t.Fatal(err)
	}
	h.server.clock.Set(time.Date(2027, 3, 9, 22, 0, 0, 0, denver)) // no hour for texts
	text := func(words string) {
		t.Helper()
		v := h.ok("POST", "/v1/templates", ownText(t, "survey", "How did we do? A few", words), as("ana")...)
		h.ok("POST", fmt.Sprintf("/v1/templates/survey/versions/%v/approve", v["version"]), nil, priv...)
	}
	text("Approved words: a few")
	list := people(1, func(_ int, p *somebody) {
		p.email, p.phone = "bounce@patients.example", "+13035552000"
		p.choices = append(p.choices, optIn("survey", channels.SMS, preferences.Express), optIn("survey", channels.Email, preferences.Express))
	})
	h.crowd(list)
	id := h.campaign(list, map[string]any{
		"category": "survey", "template": "survey", "channels": []string{"email", "sms"}, "variables": map[string]string{"url": "https://forms.cedar.example/s/1"},
	})
	h.begin(id)
	eventually(t, "it waits for the morning", func() bool {
		return h.ok("GET", "/v1/campaigns/"+id+"/recipients/c00000", nil)["code"] == "quiet_hours"
	})
	text("Other words: a few")
	h.server.clock.Set(time.Date(2027, 3, 10, 9, 0, 0, 0, denver))
	eventually(t, "it went by text", func() bool { return len(h.to("+13035552000")) == 1 })
	if m := h.to("+13035552000")[0]; !strings.Contains(m.Body, "Approved words") {
		t.Errorf("it says %q", m.Body)
	}
	h.comesTo(id, "completed")
}

// Nor do they come faster than its campaign lets a sender send.
func TestAnotherWayKeepsThePace(t *testing.T) {
	h := start(t, map[string]string{"providers.sendgrid.agreement": "baa", "providers.twilio.agreement": "baa"})
	h.staff("ana", "ben")
	denver, err := time.LoadLocation("America/Denver")
	if err != nil {
		t.Fatal(err)
	}
	h.server.clock.Set(time.Date(2027, 3, 9, 22, 0, 0, 0, denver)) // no hour for texts
	const crowd, rate = 12, 3
	list := people(crowd, func(i int, p *somebody) {
		p.email, p.phone = fmt.Sprintf("bounce+%d@patients.example", i), fmt.Sprintf("+1303555%04d", 2000+i)
		p.choices = append(p.choices, optIn("survey", channels.SMS, preferences.Express), optIn("survey", channels.Email, preferences.Express))
	})
	h.crowd(list)
	id := h.campaign(list, map[string]any{
		"category": "survey", "template": "survey", "channels": []string{"email", "sms"}, "variables": map[string]string{"url": "https://forms.cedar.example/s/1"}, "rate_per_second": rate,
	})
	h.begin(id)
	eventually(t, "all wait for the morning", func() bool { return h.reportOf(id)["scheduled quiet_hours"] == crowd })
	h.server.clock.Set(time.Date(2027, 3, 10, 9, 0, 0, 0, denver))
	h.comesTo(id, "completed")
	var came []time.Time
	for _, p := range list {
		for _, m := range h.to(p.phone) {
			came = append(came, m.Created)
		}
	}
	slices.SortFunc(came, time.Time.Compare)
	if len(came) != crowd {
		t.Fatalf("%d came", len(came))
	}
	for i := 2 * rate; i < crowd; i++ { // what may come at once, and what a second adds
		if d := came[i].Sub(came[i-2*rate]); d < 900*time.Millisecond {
			t.Errorf("%d came within %s", 2*rate+1, d)
		}
	}
}

func TestACampaignByPhone(t *testing.T) {
	h := start(t, nil)
	h.staff("ana", "ben")
	denver, err := time.LoadLocation("America/Denver")
	if err != nil {
		t.Fatal(err)
	}
	h.server.clock.Set(time.Date(2027, 3, 9, 11, 0, 0, 0, denver))
	list := people(5, func(i int, p *somebody) {
		p.email, p.phone = "", fmt.Sprintf("+1303555%04d", 2000+i)
		p.choices = append(p.choices, optIn("marketing", channels.Voice, preferences.Written))
	})
	list[4].phone = "+13035550016" // the answer to the call is lost
	h.crowd(list)
	id := h.campaign(list, map[string]any{"category": "marketing", "template": "marketing", "channels": []string{"voice"}})
	h.begin(id)
	h.comesTo(id, "completed")
	eventually(t, "every call is over", func() bool { return h.reportOf(id)["delivered"] == 5 })
	for _, p := range list {
		if n := len(h.calls(p.phone)); n != 1 {
			t.Errorf("%s was called %d times", p.ref, n)
		}
	}
}

func TestATestGoesToWhoeverAsksForIt(t *testing.T) {
	h := start(t, map[string]string{"campaigns.testers": "ana=ana@staff.example,ana=+13035550177,ben=shared@patients.example,ben=+13035550178"})
	h.staff("ana", "ben", "cem")
	h.enrol("p1", "+13035550151", "shared@patients.example")
	id := h.campaign([]somebody{{ref: "p1"}}, map[string]any{"category": "marketing", "template": "marketing"})
	if got := h.ok("POST", "/v1/campaigns/"+id+"/test?locale=es", nil, as("ana")...); got["sent"].(float64) != 2 {
		t.Errorf("%v", got)
	}
	eventually(t, "ana has both", func() bool { return len(h.to("ana@staff.example")) == 1 && len(h.to("+13035550177")) == 1 })
	h.texts("+13035550178", channels.Marketing, "STOP")
	eventually(t, "the stop is heard", func() bool { return h.stopped("+13035550178").Has(channels.Marketing) })
	for _, name := range []string{"ben", "cem"} {
		if a := h.call("POST", "/v1/campaigns/"+id+"/test", nil, as(name)...); a.status != http.StatusConflict || a.json["code"] != "no_own_address" {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	if n := len(h.to("shared@patients.example")); n != 0 {
		t.Error("a test reached a patient")
	}
}

func TestWhoMayDoWhatWithACampaign(t *testing.T) {
	h := start(t, nil)
	h.staff("ana", "ben")
	list := people(20, nil)
	h.crowd(list)
	id := h.campaign(list, nil)
	path := "/v1/campaigns/" + id
	refused := func(what, method, path string, body any, status int, code string, header ...string) {
		t.Helper()
		if a := h.call(method, path, body, header...); a.status != status || code != "" && a.json["code"] != code {
			t.Errorf("%s: %d %s", what, a.status, a.raw)
		}
	}
	refused("started without an approval", "POST", path+"/start", nil, 409, "not_approved", as("ana")...)
	refused("approved by whoever made it", "POST", path+"/approve", nil, 403, "second_person_needed", as("ana")...)
	refused("approved as another revision than was seen", "POST", path+"/approve?revision=99", nil, 409, "revision_moved", as("ben")...)
	h.ok("POST", fmt.Sprintf("%s/approve?revision=%v", path, h.progress(id)["revision"]), nil, as("ben")...)
	if again := h.upload(id, list); again["already"].(float64) != 20 || again["added"].(float64) != 0 || h.progress(id)["status"] != "approved" {
		t.Errorf("the same list again: %v %v", again, h.progress(id)["status"])
	}
	h.ok("PATCH", path, map[string]any{"variables": map[string]string{"title": "Another", "text": "New words."}}, as("ben")...)
	if c := h.progress(id); c["status"] != "draft" || c["approved_by"] != nil {
		t.Errorf("an approval outlived a change of the text: %v", c)
	}
	refused("approved by whoever changed it", "POST", path+"/approve", nil, 403, "second_person_needed", as("ben")...)
	h.ok("PATCH", path, map[string]any{"name": "Autumn again"}, as("ana")...)
	h.ok("POST", path+"/approve", nil, as("ben")...)
	more := somebody{ref: "c90000", email: "c90000@patients.example"}
	h.crowd([]somebody{more})
	h.ok("POST", path+"/audience?from=21", `{"patient": "c90000"}`, append(as("ana"), "Content-Type", "application/x-ndjson")...)
	if c := h.progress(id); c["status"] != "draft" {
		t.Errorf("an approval outlived a change of the audience: %v", c)
	}
	refused("another list at the same positions", "POST", path+"/audience", "patient\nc90000\n", 409, "audience_differs", append(as("ana"), "Content-Type", "text/csv")...)
	refused("an essential category", "POST", "/v1/campaigns", map[string]any{"name": "x", "category": "follow_up", "template": "follow_up", "variables": map[string]string{"text": "x"}}, 422, "invalid", as("ana")...)
	refused("a text the lint refuses", "POST", "/v1/campaigns", map[string]any{"name": "x", "category": "newsletter", "template": "newsletter", "variables": map[string]string{"title": "Your therapy", "text": "depression"}}, 422, "invalid", as("ana")...)
	refused("a recipient, asked for by a marketer", "GET", path+"/recipients/c00001", nil, 403, "forbidden", as("ana")...)
	refused("a patient, asked for by a marketer", "GET", "/v1/patients/c00001", nil, 403, "forbidden", as("ana")...)
	refused("a list of no column", "POST", path+"/audience", "name\nx\n", 422, "invalid", append(as("ana"), "Content-Type", "text/csv")...)
	refused("a list of JSON", "POST", path+"/audience", "{}", 415, "", append(as("ana"), "Content-Type", "application/json")...)
	refused("no campaign", "GET", "/v1/campaigns/12", nil, 404, "not_found", as("ana")...)
	h.ok("POST", path+"/preview", map[string]any{"locale": "es"}, as("ana")...)
	h.ok("POST", path+"/approve", nil, as("ben")...)
	h.ok("POST", path+"/start", nil, as("ana")...)
	refused("an audience while it runs", "POST", path+"/audience", csvOf(list), 409, "wrong_status", append(as("ana"), "Content-Type", "text/csv")...)
	h.comesTo(id, "completed")
	r := h.ok("GET", path+"/recipients/c00001", nil)
	if r["message"] == nil || r["outcome"] != "sent" && r["outcome"] != "delivered" {
		t.Errorf("%v", r)
	}
	small := h.campaign([]somebody{{ref: "c00001"}, {ref: "nobody"}}, nil)
	if s := counts(h.ok("GET", "/v1/campaigns/"+small+"/screening", nil, as("ana")...)); s["suppress"] != 1 || s["send"] != 1 {
		t.Errorf("a marketer learns from a list of two why somebody is left out: %v", s)
	}
}
