package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// letterTo is a message to one person, essential, that may go by text or else by mail.
type letterTo struct {
	what   string
	person int
	id     string // the gateway's
}

// sendOne takes one message in, at any replica, with a key, so that asking again is safe.
func (f *fleet) sendOne(no, person int) (letterTo, error) {
	list := []letterTo{{what: fmt.Sprintf("s%d", no), person: person}}
	err := f.sendList(list)
	return list[0], err
}

// sendList takes messages in at once, so that one claim takes as many of them as it may.
func (f *fleet) sendList(list []letterTo) error {
	var bodies []map[string]any
	for _, l := range list {
		body := map[string]any{
			"patient": f.people[l.person].ref, "category": "follow_up", "template": "follow_up", "urgent": true,
			"variables": map[string]string{"text": "Your letter no-" + l.what + " is ready."},
		}
		if strings.HasSuffix(l.what, "0") {
			body["category"], body["template"] = "appointment_reminder", "appointment_reminder"
			body["variables"] = map[string]string{"appointment_time": "2037-01-07T10:30:00-07:00", "location": "Room no-" + l.what}
		}
		bodies = append(bodies, body)
	}
	status, answer, err := f.persist(http.MethodPost, "/v1/messages", marshal(bodies), "Idempotency-Key", "send-"+list[0].what)
	var got []struct{ ID string }
	if err != nil || json.Unmarshal(answer, &got) != nil || len(got) != len(list) {
		return fmt.Errorf("%d %s %w", status, answer, err)
	}
	for i := range list {
		if list[i].id = got[i].ID; list[i].id == "" {
			return fmt.Errorf("not taken: %s", answer)
		}
	}
	return nil
}

// mailing is a campaign to people from one index to another.
type mailing struct {
	what, id, from string
	first, last    int // [first, last)
}

// address is where it goes.
func (m *mailing) address(p *patron) string {
	if m.from == surveyNumber {
		return p.phone
	}
	return p.mailbox
}

// newsletter makes and starts a campaign by mail; survey one by text. rate 0: as fast as it can.
func (f *fleet) newsletter(no, first, last, rate int) *mailing {
	f.Helper()
	m := &mailing{what: fmt.Sprintf("c%d", no), from: newsMailbox, first: first, last: last}
	return f.begin(m, rate, map[string]any{"category": "newsletter", "template": "newsletter", "variables": map[string]string{"title": "Groups", "text": "New groups begin in October, no-" + m.what + "."}})
}

func (f *fleet) survey(no, first, last, rate int) *mailing {
	f.Helper()
	m := &mailing{what: fmt.Sprintf("c%d", no), from: surveyNumber, first: first, last: last}
	return f.begin(m, rate, map[string]any{"category": "survey", "template": "survey", "channels": []string{"sms"}, "variables": map[string]string{"url": "https://cedar.example/no-" + m.what}})
}

func (f *fleet) begin(m *mailing, rate int, brief map[string]any) *mailing {
	f.Helper()
	brief["name"] = m.what
	if rate > 0 {
		brief["rate_per_second"] = rate
	}
	made := f.insist(http.MethodPost, "/v1/campaigns", brief, "Idempotency-Key", "make-"+m.what)
	m.id, _ = made["id"].(string)
	if m.id == "" {
		f.Fatalf("no campaign: %v", made)
	}
	f.upload(m)
	f.insist(http.MethodPost, "/v1/campaigns/"+m.id+"/approve", nil, "Authorization", "Bearer key-of-ben", "Idempotency-Key", "approve-"+m.what)
	f.insist(http.MethodPost, "/v1/campaigns/"+m.id+"/start", nil, "Idempotency-Key", "start-"+m.what)
	return m
}

// upload streams the audience: it is never all in memory, here or there.
func (f *fleet) upload(m *mailing) {
	f.Helper()
	list, into := io.Pipe()
	go func() {
		w := bufio.NewWriter(into)
		fmt.Fprintln(w, "patient")
		for i := m.first; i < m.last; i++ {
			fmt.Fprintln(w, f.people[i].ref)
		}
		into.CloseWithError(w.Flush())
	}()
	r, err := http.NewRequest(http.MethodPost, f.members[0].url+"/v1/campaigns/"+m.id+"/audience", list)
	if err != nil {
		f.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("Content-Type", "text/csv")
	got, err := (&http.Client{}).Do(r)
	if err != nil {
		f.Fatal(err)
	}
	defer got.Body.Close()
	answer, _ := io.ReadAll(got.Body)
	if want := fmt.Sprintf(`"added":%d`, m.last-m.first); !strings.Contains(string(answer), want) {
		f.Fatalf("the audience: %d %s", got.StatusCode, answer)
	}
}

// over waits until campaigns are over, and gives their reports.
func (f *fleet) over(until time.Time, list ...*mailing) map[*mailing]map[string]int {
	f.Helper()
	reports := map[*mailing]map[string]int{}
	for _, m := range list {
		var now map[string]any
		eventuallyUntil(f, until, "campaign "+m.what+" is over", func() bool {
			now = f.insist(http.MethodGet, "/v1/campaigns/"+m.id, nil)
			return now["status"] == "completed"
		})
		reports[m] = counts(now["progress"].(map[string]any))
	}
	return reports
}

// open are messages without an outcome that stays.
func final(status any) bool {
	switch status {
	case "sent", "delivered", "needs_staff", "failed", "suppressed":
		return true
	}
	return false
}

// ended waits until every message has an outcome, and gives them as the gateway tells them.
func (f *fleet) ended(until time.Time, list []letterTo) []map[string]any {
	f.Helper()
	outcomes := make([]map[string]any, len(list))
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for i := worker; i < len(list); i += 8 {
				for time.Now().Before(until) && !f.Failed() {
					_, answer, err := f.persist(http.MethodGet, "/v1/messages/"+list[i].id, nil)
					var m map[string]any
					if err == nil && json.Unmarshal(answer, &m) == nil && final(m["status"]) {
						outcomes[i] = m
						break
					}
					pause(context.Background())
				}
			}
		})
	}
	wait.Wait()
	for i := range outcomes {
		if outcomes[i] == nil {
			f.Fatalf("no outcome of %s", list[i].what)
		}
	}
	return outcomes
}

// verdict counts what came, by the clerk's book and the answers to refusals alone.
type verdict struct {
	came, late, lost, repeated int
	close                      int // came between its refusal and the answer
	kept                       int // did not come, and was refused
}

func (v verdict) String() string {
	return fmt.Sprintf("%d came; %d were held back by a refusal, %d came between a refusal and its answer; %d late, %d lost, %d repeated", v.came, v.kept, v.close, v.late, v.lost, v.repeated)
}

// judge holds what came of one message by some addresses against what was refused.
// certain: the gateway knows what became of it, so that it must be there once.
func (f *fleet) judge(v *verdict, what string, certain bool, lanes ...string) {
	times, refused := 0, false
	for _, l := range lanes {
		from, to, _ := strings.Cut(l, ">")
		since, no := f.barred.of(l)
		refused = refused || no
		for _, a := range f.carrier.arrivals(what, to) {
			if a.from != from {
				continue
			}
			times++
			if no && a.at.After(since.answered) {
				v.late++
				f.Errorf("%s came %s after its refusal was answered", what, a.at.Sub(since.answered))
			} else if no && a.at.After(since.said) {
				v.close++
			}
		}
	}
	v.came += min(1, times)
	switch {
	case times > 1:
		v.repeated++
		f.Logf("%s came %d times", what, times)
	case times == 0 && refused:
		v.kept++
	case times == 0 && certain:
		v.lost++
		f.Logf("%s never came", what)
	}
}

// settles waits until the database has an outcome for every message.
func (f *fleet) settles(until time.Time) {
	f.Helper()
	db, err := sql.Open("pgx", f.database)
	if err != nil {
		f.Fatal(err)
	}
	defer db.Close()
	eventuallyUntil(f, until, "every message has an outcome", func() bool {
		var open int
		if err := db.QueryRow("SELECT count(*) FROM messages WHERE status < 3 AND category <> ''").Scan(&open); err != nil {
			f.Fatal(err)
		}
		return open == 0
	})
}

// judgeSingles judges messages to one person. Only of those that did not come is the gateway
// asked why.
func (f *fleet) judgeSingles(v *verdict, list []letterTo) {
	f.Helper()
	for _, l := range list {
		p, certain := &f.people[l.person], true
		if len(f.carrier.arrivals(l.what, p.phone))+len(f.carrier.arrivals(l.what, p.mailbox)) == 0 {
			m := f.insist(http.MethodGet, "/v1/messages/"+l.id, nil)
			certain = m["status"] != "needs_staff"
		}
		f.judge(v, l.what, certain, lane(careNumber, p.phone), lane(careMailbox, p.mailbox))
	}
}

// judgeMailing judges a whole campaign, and holds its report to what came. unheard: some may
// have been lost on the way, and are on record so.
func (f *fleet) judgeMailing(m *mailing, report map[string]int, unheard bool) verdict {
	f.Helper()
	var v verdict
	all, sent, unknown := 0, 0, report["failed outcome_unknown"]
	for _, key := range slices.Sorted(maps.Keys(report)) {
		all += report[key]
		switch key {
		case "sent", "delivered":
			sent += report[key]
		case "suppressed opted_out", "suppressed stopped", "suppressed confidential_only":
		case "failed outcome_unknown":
			if !unheard {
				f.Errorf("%s: the gateway lost track of %d", m.what, report[key])
			}
		default:
			f.Errorf("%s: %d came to %q", m.what, report[key], key)
		}
	}
	for i := m.first; i < m.last; i++ {
		f.judge(&v, m.what, unknown == 0, lane(m.from, m.address(&f.people[i])))
	}
	if all != m.last-m.first || sent > v.came || sent+unknown < v.came {
		f.Errorf("%s: %d came, and the report is %v", m.what, v.came, report)
	}
	return v
}

// total waits until everything has ended and judges all of it, but for the letters that
// may have come twice, with that on record.
func (f *fleet) total(until time.Time, list []*mailing, singles []letterTo) (v verdict, again int) {
	f.Helper()
	reports := f.over(until, list...)
	outcomes := f.ended(until, singles)
	for _, m := range list {
		v.add(f.judgeMailing(m, reports[m], true))
	}
	for i, l := range singles {
		if strings.Contains(fmt.Sprint(outcomes[i]["events"]), "tried_once_more") {
			again++
			continue
		}
		p := &f.people[l.person]
		f.judge(&v, l.what, outcomes[i]["status"] != "needs_staff", lane(careNumber, p.phone), lane(careMailbox, p.mailbox))
	}
	return v, again
}
