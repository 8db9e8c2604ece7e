package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/api"
)

// day is a day at a practice: its people, its staff, and a running gateway that they
// reach only by the doors they really have.
type day struct {
	*heedUnderTest
	rng      *rand.Rand
	people   []*dayPatient
	desk     []string                   // the header of the front desk's key
	privacy  []string                   // that of whoever answers for privacy
	asked    map[string]*dayMessage     // what staff asked for, by the message's id
	early    map[string][]api.LedgerOut // ledgers as they were read before an erasure
	numbers  []string                   // that play a part and belong to nobody
	browsers *http.Client
}

// dayFirst is the day: a Wednesday, before a federal holiday.
var dayFirst = time.Date(2027, time.November, 10, 0, 0, 0, 0, time.UTC)

// clock moves the sandbox's clock on to a time in Denver, so many days after the first.
// Nothing may be under way: the clocks of a real practice do not jump.
func (d *day) clock(days int, at string) {
	d.t.Helper()
	denver, err := time.LoadLocation("America/Denver")
	if err != nil {
		d.t.Fatal(err)
	}
	when, err := time.ParseInLocation("2006-01-02 15:04", dayFirst.AddDate(0, 0, days).Format(time.DateOnly)+" "+at, denver)
	if err != nil {
		d.t.Fatal(err)
	}
	d.moveTo(when)
}

func (d *day) moveTo(when time.Time) {
	d.t.Helper()
	d.quiet()
	if now := d.server.now(); when.Before(now) && len(d.asked) > 0 {
		d.t.Fatalf("the clock would go back from %s to %s", now, when)
	}
	d.sandboxDoes("clock", url.Values{"set": {when.In(time.Local).Format("2006-01-02T15:04")}})
}

// sandboxDoes presses a button of the sandbox's page.
func (d *day) sandboxDoes(what string, form url.Values) {
	d.t.Helper()
	r, err := d.browsers.PostForm(d.url+"/sandbox/"+what, form)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusSeeOther {
		d.t.Fatalf("the sandbox answers %s %v with %d", what, form, r.StatusCode)
	}
}

// quiet waits until nothing is under way: every message waits for its time or has
// ended, and the carriers have told everything.
func (d *day) quiet() {
	d.t.Helper()
	last := ""
	defer func() {
		if last != "" {
			d.t.Log("still under way: " + last)
			for _, id := range digitRuns.FindAllString(last, -1) {
				if len(id) > 8 {
					d.t.Logf("%s", d.call("GET", "/v1/messages/"+id, nil).raw)
				}
			}
		}
	}()
	waited := time.Now()
	eventually(d.t, "the practice is quiet", func() bool {
		last = d.underWay()
		if !strings.HasPrefix(last, unknownAlone) {
			waited = time.Now()
		} else if time.Since(waited) > time.Second {
			// What a carrier never answered is waited for by the gateway's clock. A few seconds
			// are no jump: leases are over, and webhooks stay fresh for minutes.
			d.sandboxDoes("clock", url.Values{"add": {"3s"}})
			waited = time.Now()
		}
		return last == ""
	})
}

// unknownAlone begins what is under way when nothing else is than messages that a
// carrier gave no answer about.
const unknownAlone = "unknown: "

func (d *day) underWay() string {
	spam, inbound := map[string]bool{}, 0
	for _, m := range d.server.sandbox.Messages() {
		ended := slices.Contains([]string{"delivered", "undelivered", "failed", "bounce", "blocked", "dropped", "spamreport", "unsubscribe"}, m.Status)
		switch {
		case m.Channel == channels.Voice && m.Ended.IsZero(), !m.Inbound && m.Channel != channels.Voice && !ended:
			return fmt.Sprintf("%s to %s is %s", m.Channel, m.To, m.Status)
		case m.Inbound && m.Channel == channels.SMS:
			inbound++
		case m.Status == "spamreport" || m.Status == "unsubscribe":
			spam[m.To] = true
		}
	}
	if got := d.heard(); got < inbound {
		return fmt.Sprintf("%d of %d texts were taken in", got, inbound)
	}
	if got := d.rows("SELECT count(*) FROM ledger WHERE kind = 'spam_reported'"); got < len(spam) {
		return fmt.Sprintf("%d of %d spam reports were taken in", got, len(spam))
	}
	return d.moving()
}

// mute lists the tries of which no receipt ever comes: what was taken stays sent until
// the provider is asked, a day later.
func (d *day) mute() string {
	tries := []string{"0"}
	for _, m := range d.server.sandbox.Messages() {
		if id := dayTry(&m); dayMute(m.To) && id != "" {
			tries = append(tries, id)
		}
	}
	return strings.Join(tries, ", ")
}

func dayMute(number string) bool {
	return strings.HasSuffix(number, "0020") || strings.HasSuffix(number, "0021")
}

// moving tells of messages that are due, with a provider, or not known to have ended.
func (d *day) moving() string {
	d.t.Helper()
	db, _ := d.server.db.SQL()
	list, err := db.Query(`SELECT id, template, status, code FROM messages WHERE status IN (1, 2) OR status = 0 AND due_at <= $1
		OR status = 3 AND (ask_at > 0 AND ask_at <= $1 OR id NOT IN (SELECT message FROM attempts WHERE id IN (`+d.mute()+`))) LIMIT 10`, d.server.now().UnixMicro())
	if err != nil {
		d.t.Fatal(err)
	}
	defer list.Close()
	var words []string
	alone := unknownAlone
	for list.Next() {
		var id, status int64
		var template, code string
		if err := list.Scan(&id, &template, &status, &code); err != nil {
			d.t.Fatal(err)
		}
		if status != 2 {
			alone = ""
		}
		words = append(words, fmt.Sprintf("message %d (%s): status %d %s", id, template, status, code))
	}
	if err := list.Err(); err != nil {
		d.t.Fatal(err)
	}
	if words == nil {
		return ""
	}
	return alone + strings.Join(words, "; ")
}

func (d *day) rows(query string) int {
	d.t.Helper()
	db, _ := d.server.db.SQL()
	var n int
	if err := db.QueryRow(query).Scan(&n); err != nil {
		d.t.Fatal(err)
	}
	return n
}

// staff makes a call with a key of the front desk, or of whoever answers for privacy.
func (d *day) staff(key []string, method, path string, body any) map[string]any {
	d.t.Helper()
	return d.ok(method, path, body, key...)
}

// asks lets staff ask for messages, as many as they like in a call.
func (d *day) asks(list ...map[string]any) []string {
	d.t.Helper()
	a := d.call("POST", "/v1/messages", list, d.desk...)
	var taken []struct {
		ID    string          `json:"id"`
		Error json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(a.raw, &taken); err != nil || len(taken) != len(list) {
		d.t.Fatalf("%d %s", a.status, a.raw)
	}
	var ids []string
	for i, one := range taken {
		patient, _ := list[i]["patient"].(string)
		if one.ID == "" && d.early[patient] != nil && strings.Contains(string(one.Error), "erased") {
			continue // staff had not heard of it yet
		}
		if one.ID == "" {
			d.t.Fatalf("%v was not taken in: %s", list[i], one.Error)
		}
		m := &dayMessage{}
		m.Patient = patient
		m.urgent, _ = list[i]["urgent"].(bool)
		m.channels, _ = list[i]["channels"].([]string)
		m.variables, _ = list[i]["variables"].(map[string]string)
		d.asked[one.ID] = m
		ids = append(ids, one.ID)
	}
	return ids
}

// texting plays a person who texts a program.
func (d *day) texting(from string, program channels.Program, body string) {
	d.t.Helper()
	d.sandboxDoes("reply", url.Values{"from": {from}, "to": {d.server.cfg.Programs[program].SMSFrom}, "body": {body}})
}

var digitRuns = regexp.MustCompile(`[0-9]+`)

var dayLink = regexp.MustCompile(`https?://[^\s<>"]+/[pum]/[^\s<>"]+`)

// links gives the links of the newest mail or text to an address that lead to a page
// of a kind: p, u or m.
func (d *day) link(address, kind string) string {
	list := d.to(address)
	for _, m := range slices.Backward(list) {
		for _, link := range dayLink.FindAllString(m.Body, -1) {
			if strings.Contains(link, "/"+kind+"/") {
				return link
			}
		}
	}
	return ""
}

// reads opens a page.
func (d *day) reads(client *http.Client, link string) (int, string) {
	d.t.Helper()
	r, err := client.Get(link)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.page(r)
}

// presses sends a form of a page, as a browser does: after it was read, with what a
// browser says of where the form came from.
func (d *day) presses(client *http.Client, link, site string, form url.Values) (int, string) {
	d.t.Helper()
	d.reads(client, link)
	r, err := http.NewRequest(http.MethodPost, link, strings.NewReader(form.Encode()))
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", site)
	answer, err := client.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.page(answer)
}

func (d *day) page(r *http.Response) (int, string) {
	d.t.Helper()
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

// does presses a form of a page that must be taken.
func (d *day) does(p *dayPatient, kind string, form url.Values) {
	d.t.Helper()
	link := d.link(p.mailbox, kind)
	if link == "" {
		d.t.Fatalf("no mail to %s leads to a page of kind %s", p.ref, kind)
	}
	if status, page := d.presses(d.guest(link).client, link, "same-origin", form); status != http.StatusOK {
		d.t.Fatalf("%v of %s: %d %s", form, p.ref, status, page)
	}
}

// ledger reads a patient's ledger, as the API tells it.
func (d *day) ledger(ref string) []api.LedgerOut {
	d.t.Helper()
	var list []api.LedgerOut
	for after := ""; ; {
		var page struct {
			Entries []api.LedgerOut `json:"entries"`
			Next    string          `json:"next"`
		}
		d.get("/v1/patients/"+ref+"/ledger?limit=500&after="+after, d.privacy, &page)
		list = append(list, page.Entries...)
		if after = page.Next; after == "" {
			return list
		}
	}
}
