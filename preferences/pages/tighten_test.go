package pages_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

var (
	topicsDrawn = []string{"marketing", "non_essential", "newsletter", "survey", "symptom_check_in", "sponsored_marketing"}
	channelDraw = rapid.SampledFrom(channels.Channels[:])
)

// drawPatient puts a patient on file of whom anything may have been said, and gives
// the id and the addresses'.
func (b *bench) drawPatient(t *rapid.T) (int64, []int64) {
	patient := b.ids.New()
	now := b.clock.Now().UnixMicro()
	contact := &preferences.Contact{BirthDate: preferences.Date{Year: 1962, Month: 4, Day: 2}, Locale: "en", Zones: []string{"America/Denver"}}
	fact := gateway.PatientFact{Patient: patient, Ref: fmt.Sprint(patient), Record: &gateway.Record{GivenName: "A", BirthDate: "1962-04-02"}}
	var ids []int64
	add := func(e preferences.Event) {
		e.ID, e.At = b.ids.New(), now
		fact.Events = append(fact.Events, e)
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "addresses") {
		a := preferences.ContactAddress{ID: b.ids.New(), Kind: rapid.SampledFrom([]channels.Kind{channels.Phone, channels.Mailbox}).Draw(t, "kind"), Rank: int16(i), Consent: preferences.Consent(rapid.IntRange(1, 2).Draw(t, "consent"))}
		value := fmt.Sprintf("p%d@mailbox.example", a.ID)
		if a.Kind == channels.Phone {
			value, a.Line = fmt.Sprintf("+1303%07d", a.ID%10_000_000), rapid.SampledFrom([]preferences.LineType{preferences.Mobile, preferences.Landline}).Draw(t, "line")
		}
		fact.Texts = append(fact.Texts, gateway.AddressText{ID: a.ID, Kind: a.Kind, Value: value})
		contact.Addresses = append(contact.Addresses, a)
		ids = append(ids, a.ID)
	}
	add(preferences.Event{Kind: preferences.ContactSet, Contact: contact})
	kinds := []preferences.EventKind{preferences.AddressBad, preferences.AddressWrong, preferences.SpamReported}
	if rapid.IntRange(0, 3).Draw(t, "trouble") == 3 {
		add(preferences.Event{Kind: rapid.SampledFrom(kinds).Draw(t, "what"), Address: rapid.SampledFrom(ids).Draw(t, "whose")})
	}
	for range rapid.IntRange(0, 5).Draw(t, "choices") {
		add(preferences.Event{Kind: preferences.ChoiceMade, Choice: &preferences.Choice{
			Topic: rapid.SampledFrom(topicsDrawn).Draw(t, "topic"), Channel: channels.Channel(rapid.IntRange(0, 3).Draw(t, "channel")),
			In: rapid.Bool().Draw(t, "in"), Consent: preferences.Consent(rapid.IntRange(1, 3).Draw(t, "level")), At: now - int64(rapid.IntRange(0, 3).Draw(t, "ago")),
		}})
	}
	if rapid.Bool().Draw(t, "care") {
		add(preferences.Event{Kind: preferences.CareChannelsSet, Care: &preferences.CareChannels{
			Order: rapid.SliceOfNDistinct(channelDraw, 0, 3, rapid.ID).Draw(t, "order"), Declined: rapid.SliceOfNDistinct(channelDraw, 0, 2, rapid.ID).Draw(t, "declined"),
		}})
	}
	if rapid.IntRange(0, 3).Draw(t, "confidential") == 3 {
		c := &preferences.Confidential{Only: []preferences.Pair{}, Discreet: rapid.Bool().Draw(t, "discreet")}
		for range rapid.IntRange(0, 3).Draw(t, "pairs") {
			c.Only = append(c.Only, preferences.Pair{Channel: channelDraw.Draw(t, "by"), Address: rapid.SampledFrom(ids).Draw(t, "to")})
		}
		add(preferences.Event{Kind: preferences.ConfidentialSet, Confidential: c})
	}
	change := gateway.Change{At: b.clock.Now(), Actor: "staff", Patients: []gateway.PatientFact{fact}}
	if _, err := b.store.Commit(context.Background(), change); err != nil {
		t.Fatal(err)
	}
	if stops := channels.ProgramSet(rapid.IntRange(0, 2*int(channels.AllPrograms)).Draw(t, "stops")); fact.Texts[0].Kind == channels.Phone && stops <= channels.AllPrograms && stops != 0 {
		at := b.clock.Now()
		if _, err := b.store.Commit(context.Background(), gateway.Change{At: at, Actor: "twilio", Numbers: []gateway.NumberFact{{Number: fact.Texts[0].Value, Event: preferences.Event{
			ID: b.ids.New(), Kind: preferences.NumberStopped, At: at.UnixMicro(), Said: at.UnixMicro(), Programs: stops,
		}}}}); err != nil {
			t.Fatal(err)
		}
	}
	return patient, ids
}

// drawForm draws what a browser, or somebody with a tool, could post to the page.
func drawForm() *rapid.Generator[url.Values] {
	keys := []string{"symptom_check_in", "survey", "newsletter", "marketing", "sponsored_marketing", "other", "non_essential", "appointment_reminder"}
	tick := rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 3).Draw(t, "care") == 3 {
			return channelDraw.Draw(t, "channel").String()
		}
		return rapid.SampledFrom(keys).Draw(t, "key") + "/" + channelDraw.Draw(t, "channel").String()
	})
	return rapid.Custom(func(t *rapid.T) url.Values {
		form := url.Values{"was": rapid.SliceOfN(tick, 0, 4).Draw(t, "was"), "on": rapid.SliceOfN(tick, 0, 4).Draw(t, "on")}
		switch do := rapid.SampledFrom([]string{"stop", "topics", "care", "topics", "care", "private", "data", "code", "prove", "leave", "start"}).Draw(t, "do"); do {
		case "stop":
			form.Set("stop", rapid.SampledFrom([]string{"marketing", "non_essential", "newsletter", ""}).Draw(t, "topic"))
		default:
			form.Set("do", do)
		}
		for _, ch := range channels.Channels {
			form.Set("rank_"+ch.String(), fmt.Sprint(rapid.IntRange(0, 4).Draw(t, "rank")))
		}
		form["way"] = rapid.SliceOfN(rapid.SampledFrom([]string{"sms", "voice", "email", "here", "letters", "fax"}), 0, 5).Draw(t, "ways")
		if rapid.Bool().Draw(t, "discreet") {
			form.Set("discreet", "on")
		}
		form.Set("elsewhere", rapid.SampledFrom([]string{"", "12 Elm Street"}).Draw(t, "elsewhere"))
		form.Set("code", rapid.SampledFrom([]string{"", "111111", "48 20 11"}).Draw(t, "code"))
		return form
	})
}

// asked gives one question of each kind about a category.
func asked(category string, now time.Time) []policy.Question {
	var list []policy.Question
	for _, ways := range [][]channels.Channel{nil, {channels.SMS}, {channels.Email}, {channels.Voice}} {
		for _, urgent := range []bool{false, true} {
			q := policy.Question{Category: category, Channels: ways, Now: now, Urgent: urgent}
			for i := range q.Agreement {
				q.Agreement[i] = policy.Clinical
			}
			list = append(list, q)
		}
	}
	return list
}

// looser says what a page allowed that was refused before, or "".
func looser(p *policy.Policy, before, after *preferences.Snapshot, now time.Time) string {
	goes := func(d policy.Decision) bool { return d.Outcome == policy.Send || d.Outcome == policy.Defer }
	for category := range p.File.Categories {
		for _, q := range asked(category, now) {
			was, is := p.Decide(before, q), p.Decide(after, q)
			if goes(is) && (!goes(was) || was.Discreet && !is.Discreet) {
				return fmt.Sprintf("%s by %v: %s %s became %s by %v", category, q.Channels, was.Outcome, was.Code, is.Outcome, is.Pair)
			}
			for _, pair := range is.Considered {
				refused := slices.ContainsFunc(was.Considered, func(c policy.Considered) bool { return c.Pair == pair.Pair && c.Verdict == policy.Refused })
				there := slices.ContainsFunc(was.Considered, func(c policy.Considered) bool { return c.Pair == pair.Pair })
				if pair.Verdict != policy.Refused && (refused || !there) {
					return fmt.Sprintf("%s: %v is no longer refused", category, pair.Pair)
				}
			}
		}
	}
	return ""
}

// Whatever is posted to the page without a proof, in whatever order, and whatever was
// said before: no refusal ever becomes a send, and no order of the ways is changed.
func TestALinkAloneOnlyTightens(t *testing.T) {
	b := newBench(t)
	tightened := 0
	rapid.Check(t, func(t *rapid.T) {
		patient, ids := b.drawPatient(t)
		address := rapid.SampledFrom(append(ids, 0, 12345)).Draw(t, "address")
		path := b.pathOf(b.links.Preferences(patient, address))
		before := b.snapshot(patient)
		for range rapid.IntRange(2, 7).Draw(t, "posts") {
			form := drawForm().Draw(t, "form")
			header := []string{"Content-Type", "application/x-www-form-urlencoded"}
			if rapid.Bool().Draw(t, "cookie") { // a proof that is somebody else's, or over
				proof := rapid.SampledFrom([]string{
					b.links.Proof(patient+1, address, b.clock.Now().Add(time.Hour)), b.links.Proof(patient, address+1, b.clock.Now().Add(time.Hour)),
					b.links.Proof(patient, address, b.clock.Now().Add(-time.Second)), "x",
				}).Draw(t, "proof")
				header = append(header, "Cookie", "heed_page="+proof)
			}
			b.clock.move(time.Second)
			if w := b.do(http.MethodPost, path, strings.NewReader(form.Encode()), header...); w.Code >= 500 {
				t.Fatalf("answered %d: %s", w.Code, b.log)
			}
			after := b.snapshot(patient)
			if after.Version != before.Version {
				tightened++
			}
			if what := looser(b.sender.Policy, before, after, b.clock.Now()); what != "" {
				t.Fatalf("%v: %s\nbefore %+v\nafter %+v", form, what, before, after)
			}
			if !slices.Equal(before.Care.Order, after.Care.Order) {
				t.Fatalf("%v changed the order of the ways", form)
			}
			before = after
		}
	})
	if tightened < 50 {
		t.Errorf("only %d posts changed anything: the property says little", tightened)
	}
}
