package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// patron is somebody on file, with a mailbox and a phone of their own.
type patron struct {
	ref, phone, mailbox string
	id, box             int64 // as the gateway has them
}

// barred is what may not reach whom any more, by sender and address, and since when: since
// its refusal was answered.
type barred struct {
	mu sync.Mutex
	at map[string]refusedAt
}

type refusedAt struct{ said, answered time.Time }

func lane(from, to string) string { return from + ">" + to }

func (b *barred) bar(at refusedAt, lanes []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range lanes {
		if old, ok := b.at[l]; !ok || at.answered.Before(old.answered) {
			b.at[l] = at
		}
	}
}

func (b *barred) of(lane string) (refusedAt, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, ok := b.at[lane]
	return at, ok
}

// noon is a zone in which it is about noon now, so that texts may go whenever the tests run.
func noon() string {
	ahead := 12 - time.Now().UTC().Hour()
	if ahead >= 0 {
		return fmt.Sprintf("Etc/GMT-%d", ahead) // POSIX counts the other way round
	}
	return fmt.Sprintf("Etc/GMT+%d", -ahead)
}

// enrol puts people on file who agreed to surveys by text.
func (f *fleet) enrol(n int) {
	f.Helper()
	for i := range n {
		f.people = append(f.people, patron{
			ref: fmt.Sprintf("r%d", i), mailbox: fmt.Sprintf("r%d@patients.example", i), id: f.ids.New(), box: f.ids.New(),
			phone: fmt.Sprintf("+1303%03d%04d", 200+i/5000, 1000+i%5000), // no number that fails on demand
		})
	}
	const batch = 250
	zones := []string{noon()}
	side((n+batch-1)/batch, func(i int) {
		c := gateway.Change{At: time.Now(), Actor: "test"}
		for k := i * batch; k < min(n, (i+1)*batch); k++ {
			c.Patients = append(c.Patients, f.onFile(&f.people[k], zones))
		}
		if _, err := f.store.Commit(context.Background(), c); err != nil {
			f.Error(err)
		}
	})
	if f.Failed() {
		f.FailNow()
	}
}

func (f *fleet) onFile(p *patron, zones []string) gateway.PatientFact {
	now, phone := time.Now().UnixMicro(), f.ids.New()
	return gateway.PatientFact{
		Patient: p.id, Ref: p.ref, Record: &gateway.Record{BirthDate: "1980-04-02"},
		Texts: []gateway.AddressText{{ID: p.box, Kind: channels.Mailbox, Value: p.mailbox}, {ID: phone, Kind: channels.Phone, Value: p.phone}},
		Events: []preferences.Event{
			{ID: f.ids.New(), Kind: preferences.ContactSet, At: now, Contact: &preferences.Contact{
				BirthDate: preferences.Date{Year: 1980, Month: 4, Day: 2}, Zones: zones,
				Addresses: []preferences.ContactAddress{{ID: p.box, Kind: channels.Mailbox, Rank: 1}, {ID: phone, Kind: channels.Phone, Rank: 1, Zones: zones}},
			}},
			{ID: f.ids.New(), Kind: preferences.ChoiceMade, At: now, Said: now, Choice: &preferences.Choice{Topic: "survey", Channel: channels.SMS, In: true, Consent: preferences.Express}},
		},
	}
}

// refusals are the ways in which people say no, and what each of them ends. The index of
// the person who says it picks the way.
var refusals = []func(*fleet, *patron) (refusal, []string){
	func(f *fleet, p *patron) (refusal, []string) {
		return f.textsStop(p, careNumber), []string{lane(careNumber, p.phone)}
	},
	func(f *fleet, p *patron) (refusal, []string) {
		return f.textsStop(p, surveyNumber), []string{lane(surveyNumber, p.phone)}
	},
	func(f *fleet, p *patron) (refusal, []string) { // one click in the mailbox: RFC 8058
		return f.presses(f.links.Unsubscribe(p.id, p.box, preferences.TopicMarketing), "List-Unsubscribe=One-Click"), []string{lane(newsMailbox, p.mailbox)}
	},
	func(f *fleet, p *patron) (refusal, []string) { // on the preference page
		return f.presses(f.links.Preferences(p.id, p.box), url.Values{"do": {"topics"}, "was": {"newsletter/email"}}.Encode()), []string{lane(newsMailbox, p.mailbox)}
	},
	func(f *fleet, p *patron) (refusal, []string) { // at the desk
		body := map[string]any{"source": "staff", "choices": []map[string]any{{"topic": "non_essential", "channel": "all", "choice": "opt_out"}}}
		return refusal{http.MethodPost, "/v1/patients/" + p.ref + "/preferences", marshal(body), []string{"Idempotency-Key", "no-" + p.ref}},
			[]string{lane(newsMailbox, p.mailbox), lane(surveyNumber, p.phone)}
	},
	func(f *fleet, p *patron) (refusal, []string) { // letters only, from now on: 45 CFR 164.522(b)
		body := map[string]any{"only": []any{}, "discreet": true}
		return refusal{http.MethodPut, "/v1/patients/" + p.ref + "/confidential-communication", marshal(body), nil},
			[]string{lane(careNumber, p.phone), lane(surveyNumber, p.phone), lane(careMailbox, p.mailbox), lane(newsMailbox, p.mailbox)}
	},
}

// refusal is the call that brings a no to a gateway.
type refusal struct {
	method, path string
	body         []byte
	header       []string
}

func marshal(body any) []byte {
	raw, _ := json.Marshal(body) // what the tests say always marshals
	return raw
}

// textsStop is the webhook of a STOP, signed as Twilio signs it:
// https://www.twilio.com/docs/usage/webhooks/webhooks-security
func (f *fleet) textsStop(p *patron, to string) refusal {
	form := url.Values{"AccountSid": {killSID}, "MessageSid": {fmt.Sprintf("SM%032x", p.id)}, "From": {p.phone}, "To": {to}, "Body": {"STOP"}, "NumMedia": {"0"}}
	mac := hmac.New(sha1.New, []byte(killToken))
	mac.Write([]byte(f.door + "/webhooks/twilio/sms"))
	for _, name := range slices.Sorted(maps.Keys(form)) {
		mac.Write([]byte(name + form.Get(name)))
	}
	return refusal{http.MethodPost, "/webhooks/twilio/sms", []byte(form.Encode()), []string{
		"Content-Type", "application/x-www-form-urlencoded", "X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)),
	}}
}

// presses is a form sent to one of the gateway's links.
func (f *fleet) presses(link, form string) refusal {
	return refusal{http.MethodPost, strings.TrimPrefix(link, f.door), []byte(form), []string{"Content-Type", "application/x-www-form-urlencoded"}}
}

// refuses lets somebody say no at any replica, until one has answered; from then on what
// was refused is barred.
func (f *fleet) refuses(p *patron, how int) { f.refusesAt(f.members, p, how) }

// refusesAt is refuses at one of some replicas.
func (f *fleet) refusesAt(where []*member, p *patron, how int) {
	r, lanes := refusals[how%len(refusals)](f, p)
	said := time.Now()
	status, answer, err := f.persistAt(where, r.method, r.path, r.body, r.header...)
	at := time.Now()
	if err != nil || status >= 400 {
		f.Errorf("a refusal (%s %s) was answered %d %s %v", r.method, strings.SplitN(r.path[1:], "/", 2)[0], status, answer, err)
		return
	}
	f.barred.bar(refusedAt{said, at}, lanes)
}
