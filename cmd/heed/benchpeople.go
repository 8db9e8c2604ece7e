package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// population is who was made up for a run. Each is known by a number, from 0 up.
type population struct {
	mu    sync.Mutex
	made  []int64 // everybody's id
	crowd int     // how many there are from 0 up, who get messages and campaigns
}

func (p *population) add(ids []int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made = append(p.made, ids...)
}

func (p *population) ids() []int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.made)
}

// stoppers is the number of the first of those who will text STOP: nobody of the crowd.
const stoppers = 6_000_000

func refOf(n int) string   { return fmt.Sprintf("bench-%d", n) }
func phoneOf(n int) string { return fmt.Sprintf("+1303%07d", 2_000_000+n) }
func mailOf(n int) string  { return fmt.Sprintf("p%d@patients.example", n) }

// enrolBatch is how many people are put on file in one commit.
const enrolBatch = 250

// enrolUpTo sees to it that there is a crowd of n.
func (b *bench) enrolUpTo(ctx context.Context, n int) error {
	if n <= b.people.crowd {
		return nil
	}
	from := b.people.crowd
	b.people.crowd = n
	return b.enrol(ctx, from, n)
}

// enrol puts people on file by the store's own Commit, many at a time. It is not measured.
func (b *bench) enrol(ctx context.Context, from, to int) error {
	b.tell("putting %s people on file", short(float64(to-from)))
	zone := awakeZone(time.Now())
	ids := make([]int64, to-from)
	for i := range ids {
		ids[i] = b.ids.New()
	}
	b.people.add(ids) // before they are kept: what a run that is broken off leaves is taken away too
	err := sideBySide(ctx, 4, (len(ids)+enrolBatch-1)/enrolBatch, func(ctx context.Context, part int) error {
		c := gateway.Change{At: b.now(), Actor: "bench"}
		for i := part * enrolBatch; i < min((part+1)*enrolBatch, len(ids)); i++ {
			c.Patients = append(c.Patients, b.somebody(ids[i], from+i, zone))
		}
		_, err := b.db.Commit(ctx, c)
		return err
	})
	// What a gateway does by itself within a minute: what was said is sealed, and the database
	// knows its tables. Else it would be done while something else is measured.
	if err == nil {
		_, err = b.db.Seal(ctx, false)
	}
	if writer, postgres := b.db.SQL(); err == nil && postgres != "" {
		_, err = writer.ExecContext(ctx, "ANALYZE")
	}
	return err
}

// somebody is a patient with a phone and a mailbox, who agreed to campaigns by text.
func (b *bench) somebody(id int64, n int, zone string) gateway.PatientFact {
	now, phone, mailbox := b.now().UnixMicro(), b.ids.New(), b.ids.New()
	return gateway.PatientFact{
		Patient: id, Ref: refOf(n), Record: &gateway.Record{GivenName: "Bench", FamilyName: "Person", BirthDate: "1980-04-02", Locale: "en", TimeZone: zone},
		Texts: []gateway.AddressText{{ID: phone, Kind: channels.Phone, Value: phoneOf(n)}, {ID: mailbox, Kind: channels.Mailbox, Value: mailOf(n)}},
		Events: []preferences.Event{
			{ID: b.ids.New(), Kind: preferences.ContactSet, At: now, Contact: &preferences.Contact{
				BirthDate: preferences.Date{Year: 1980, Month: 4, Day: 2}, Locale: "en", Zones: []string{zone},
				Addresses: []preferences.ContactAddress{
					{ID: phone, Kind: channels.Phone, Line: preferences.Mobile, Rank: 1, Zones: []string{zone}}, {ID: mailbox, Kind: channels.Mailbox, Rank: 1},
				},
			}},
			{ID: b.ids.New(), Kind: preferences.ChoiceMade, At: now, Said: now, Choice: &preferences.Choice{Topic: preferences.TopicMarketing, Channel: channels.SMS, In: true, Consent: preferences.Written}},
		},
	}
}

// awakeZone is a time zone in which a campaign may text for some hours from now on, so that
// a run at night is the same as one by day.
func awakeZone(now time.Time) string {
	for _, name := range []string{"America/New_York", "America/Denver", "Pacific/Honolulu", "Pacific/Auckland", "Asia/Tokyo", "Asia/Dhaka", "Europe/Athens"} {
		if zone, err := time.LoadLocation(name); err == nil && now.In(zone).Hour() >= 8 && now.In(zone).Hour() < 18 {
			return name
		}
	}
	return "UTC" // never: these cover the day
}
