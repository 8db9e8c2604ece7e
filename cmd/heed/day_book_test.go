package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/api"
)

// dayMercy is longer than the lease that the day is played with: the pretend carrier
// itself may be slow on a busy machine.
const dayMercy = 5 * time.Second

// book reads everything that the checker looks at, when the day is over. People on
// call are told of overdue tasks at any time: then it is read once more.
func (d *day) book() *dayBook {
	d.t.Helper()
	for {
		d.quiet()
		before := d.rows("SELECT count(*) FROM messages")
		b := d.readBook()
		if d.rows("SELECT count(*) FROM messages") == before {
			return b
		}
	}
}

func (d *day) readBook() *dayBook {
	d.t.Helper()
	b := &dayBook{
		practice: d.server.cfg.Practice.Name, discreet: d.server.cfg.Practice.DiscreetName, phone: "8 8 8, 5 5 5, 0 1 0 0", optOut: "8 8 8, 5 5 5, 0 1 9 9",
		postal: d.server.cfg.Practice.PostalAddress, onCall: d.server.cfg.Practice.OnCall, mercy: dayMercy, senders: map[string][]string{},
		messages: map[string]*dayMessage{}, tries: map[string]string{}, ledgers: map[string][]api.LedgerOut{}, addresses: map[string][]api.LedgerOut{},
		tasks: map[string]bool{}, takenBack: map[string]bool{},
	}
	for program, p := range d.server.cfg.Programs {
		b.senders[program.String()] = []string{p.SMSFrom, p.VoiceFrom, p.EmailFrom}
	}
	d.readProvider(b)
	d.readMessages(b)
	d.readLedgers(b)
	for _, done := range []string{"false", "true"} {
		for _, t := range d.all("/v1/tasks?done="+done, "tasks") {
			if id, ok := t["message"].(string); ok {
				b.tasks[id] = true
			}
		}
	}
	for _, row := range d.audits() {
		if object, _ := row["object"].(string); row["verb"] == "message.cancel" {
			b.takenBack[strings.TrimPrefix(object, "message:")] = true
		}
	}
	return b
}

// readProvider takes what the provider took and what it turned away, as it came.
func (d *day) readProvider(b *dayBook) {
	d.t.Helper()
	for _, m := range d.server.sandbox.Messages() {
		b.provider = append(b.provider, daySeen{Message: m})
	}
	if len(b.provider) >= 2000 {
		d.t.Fatal("the sandbox may have forgotten some of what it saw")
	}
	for _, m := range d.server.sandbox.TurnedAway() {
		b.provider = append(b.provider, daySeen{Message: m, refused: true})
	}
	sort.SliceStable(b.provider, func(i, j int) bool { return b.provider[i].Created.Before(b.provider[j].Created) })
}

// readMessages reads every message by the API; the list of them comes from the store,
// because answers to numbers that nobody has belong to no patient.
func (d *day) readMessages(b *dayBook) {
	d.t.Helper()
	for after := int64(0); ; {
		list, err := d.server.db.Messages(d.t.Context(), gateway.MessageFilter{After: after, Limit: 500})
		if err != nil {
			d.t.Fatal(err)
		}
		for i := range list {
			after = list[i].ID
			m := &dayMessage{}
			if asked := d.asked[strconv.FormatInt(after, 10)]; asked != nil {
				m = asked
			}
			d.get("/v1/messages/"+strconv.FormatInt(after, 10), d.desk, &m.MessageFull)
			b.messages[m.ID] = m
			for _, try := range m.Attempts {
				b.tries[try.ID] = m.ID
			}
		}
		if len(list) < 500 {
			return
		}
	}
}

// get reads one thing from the API, without holding the answer to its description:
// there are more than a thousand, and other tests do that.
func (d *day) get(path string, key []string, into any) {
	d.t.Helper()
	r, err := http.NewRequest(http.MethodGet, d.url+path, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set(key[0], key[1])
	answer, err := d.browsers.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	if status, body := d.page(answer); status != http.StatusOK || json.Unmarshal([]byte(body), into) != nil {
		d.t.Fatalf("%s: %d %s", path, status, body)
	}
}

// readLedgers reads the patients' ledgers by the API, and those of the numbers and
// mailboxes from the store: what was said of a number before a patient had it binds
// the patient, too.
func (d *day) readLedgers(b *dayBook) {
	d.t.Helper()
	addresses := slices.Clone(d.numbers)
	for _, p := range d.people {
		list := d.early[p.ref]
		for _, e := range d.ledger(p.ref) {
			if known := slices.ContainsFunc(list, func(old api.LedgerOut) bool { return old.ID == e.ID }); !known {
				list = append(list, e)
			}
		}
		// What is said of a number is read once, from the number's own ledger.
		b.ledgers[p.ref] = slices.DeleteFunc(list, func(e api.LedgerOut) bool { return e.Event.Number != "" })
		for address := range b.person(p.ref, d.server.now().Add(time.Hour)).places {
			addresses = append(addresses, address)
		}
	}
	id, err := d.server.db.PatientID(d.t.Context(), d.people[0].ref)
	if err != nil {
		d.t.Fatal(err)
	}
	for after := int64(0); ; {
		rows, err := d.server.db.History(d.t.Context(), id, addresses, after, 1000)
		if err != nil {
			d.t.Fatal(err)
		}
		for i := range rows {
			if r := &rows[i]; r.Number != "" {
				b.addresses[r.Number] = append(b.addresses[r.Number], dayEntry(r))
			}
			after = rows[i].ID
		}
		if len(rows) < 1000 {
			return
		}
	}
}

func dayEntry(r *gateway.HistoryRow) api.LedgerOut {
	said := time.UnixMicro(r.Said)
	out := api.LedgerOut{Kind: string(r.Kind), At: time.UnixMicro(r.At), Source: string(r.Source), Evidence: r.Evidence, Event: api.LedgerEventOut{Number: r.Number}}
	if r.Said != 0 {
		out.SaidAt = &said
	}
	for _, p := range channels.Programs {
		if r.Programs.Has(p) {
			out.Event.Programs = append(out.Event.Programs, p.String())
		}
	}
	return out
}

// all reads every page of a list.
func (d *day) all(path, name string) []map[string]any {
	d.t.Helper()
	var list []map[string]any
	for after := ""; ; {
		page := d.staff(d.desk, "GET", path+"&limit=500&after="+after, nil)
		for _, one := range page[name].([]any) {
			list = append(list, one.(map[string]any))
		}
		if page["next"] == nil {
			return list
		}
		after = page["next"].(string)
	}
}
