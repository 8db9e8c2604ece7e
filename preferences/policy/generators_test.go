package policy

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// The generators draw what can really be on record, weighted so that many questions
// find a way, and now and then something that should not be there: an unknown zone,
// a written consent on an address, an expiry in the past.

// firstDay is the first moment that is drawn. The days after it hold the change of the
// clocks (2026-11-01, 2027-03-14), holidays on a weekend, and a leap of years.
var firstDay = time.Date(2026, 10, 28, 0, 0, 0, 0, time.UTC)

const drawnDays = 440

// patientZones are what a record may say of where the patient lives.
var patientZones = [][]string{
	{"America/Denver"}, nil, {"America/New_York"}, {"America/Los_Angeles"}, {"America/Chicago", "America/New_York"},
	{"America/Boise", "America/Los_Angeles"}, {"America/Phoenix", "America/Denver"}, {"America/Anchorage", "America/Adak"}, {"Pacific/Honolulu"},
	{"America/Puerto_Rico"}, {"Pacific/Guam"}, {"Europe/Madrid"}, {"Australia/Lord_Howe"}, {"America/Havana"}, {"Mars/Olympus_Mons"}, {"Local"}, {""},
	{"America/Denver"}, {"America/Chicago"},
}

// numbers lie in one zone, in two, in none that is known, and far from each other.
var numbers = []string{"+13035550111", "+12125550112", "+12085550113", "+18505550114", "+18885550115", "+19075550116", "+18085550117", "+13105550118", "+16715550119"}

func drawTime() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		day := rapid.IntRange(0, drawnDays).Draw(t, "day")
		if rapid.Bool().Draw(t, "edge") { // the edges of windows and days, to the second
			zone := load(rapid.SampledFrom([]string{"America/Denver", "America/New_York", "Pacific/Honolulu"}).Draw(t, "zone"))
			hour := rapid.SampledFrom([]int{0, 8, 10, 18, 21}).Draw(t, "hour")
			second := rapid.IntRange(-1, 1).Draw(t, "second")
			return time.Date(2026, 10, 28+day, hour, 0, second, 0, zone)
		}
		return firstDay.AddDate(0, 0, day).Add(time.Duration(rapid.IntRange(0, 86399).Draw(t, "second")) * time.Second)
	})
}

func drawAddress(id int64) *rapid.Generator[preferences.Address] {
	return rapid.Custom(func(t *rapid.T) preferences.Address {
		a := preferences.Address{
			ID: id, Kind: rapid.SampledFrom([]channels.Kind{channels.Phone, channels.Mailbox, channels.Phone, channels.Mailbox, channels.Phone}).Draw(t, "kind"),
			State:    rapid.SampledFrom([]preferences.AddressState{0, 0, 0, preferences.Bad, 0, preferences.WrongPerson, 0, 0, 0, 0}).Draw(t, "state"),
			OnRecord: rapid.IntRange(0, 5).Draw(t, "off record") < 5,
			Rank:     int16(rapid.IntRange(0, 3).Draw(t, "rank")),
			Consent: rapid.SampledFrom([]preferences.Consent{
				preferences.Provided, preferences.Express, preferences.Provided, preferences.NoConsent, preferences.Written, preferences.Express, preferences.Provided,
			}).Draw(t, "consent"),
		}
		if a.Kind == channels.Phone {
			if rapid.IntRange(0, 5).Draw(t, "stopped") == 5 {
				a.Stops = channels.ProgramSet(rapid.IntRange(0, int(channels.AllPrograms)).Draw(t, "stops"))
			}
			a.Line = preferences.LineType(rapid.IntRange(0, 3).Draw(t, "line"))
			a.Zones = preferences.ZoneSetOf(preferences.ZonesOfNumber(rapid.SampledFrom(numbers).Draw(t, "number"))...)
		} else {
			if rapid.IntRange(0, 7).Draw(t, "spam") == 7 {
				a.OptedOut = int64(rapid.IntRange(1, 4).Draw(t, "reported"))
			}
		}
		return a
	})
}

func drawChoice() *rapid.Generator[preferences.Choice] {
	return rapid.Custom(func(t *rapid.T) preferences.Choice {
		return preferences.Choice{
			Topic:   rapid.SampledFrom([]string{"marketing", "non_essential", "newsletter", "survey", "symptom_check_in", "sponsored_marketing", "gone_from_the_policy"}).Draw(t, "topic"),
			Channel: channels.Channel(rapid.IntRange(0, 3).Draw(t, "channel")),
			In:      rapid.IntRange(0, 2).Draw(t, "in") > 0,
			Consent: preferences.Consent(rapid.IntRange(0, 3).Draw(t, "level")),
			At:      int64(rapid.IntRange(1, 4).Draw(t, "said")), // few moments, many ties
		}
	})
}

func drawPair(s *preferences.Snapshot) *rapid.Generator[preferences.Pair] {
	return rapid.Custom(func(t *rapid.T) preferences.Pair {
		return preferences.Pair{
			Channel: channels.Channel(rapid.IntRange(1, 3).Draw(t, "channel")),
			Address: int64(rapid.IntRange(1, len(s.Addresses)+1).Draw(t, "address")),
		}
	})
}

func drawSnapshot(now time.Time) *rapid.Generator[*preferences.Snapshot] {
	return rapid.Custom(func(t *rapid.T) *preferences.Snapshot {
		seldom := func(what string) bool { return rapid.IntRange(0, 19).Draw(t, what) == 19 }
		s := &preferences.Snapshot{Patient: 7, Version: 3, Zones: preferences.ZoneSetOf(rapid.SampledFrom(patientZones).Draw(t, "zones")...)}
		if seldom("standing") {
			s.Standing = preferences.Standing(rapid.IntRange(1, 2).Draw(t, "which"))
		}
		if seldom("minor") {
			s.AdultFrom = now.Add(time.Duration(rapid.IntRange(-48, 48).Draw(t, "hours")) * time.Hour).UnixMicro()
		}
		for id := range rapid.SampledFrom([]int{1, 2, 3, 4, 5, 2, 3, 0}).Draw(t, "addresses") {
			s.Addresses = append(s.Addresses, drawAddress(int64(id+1)).Draw(t, "address"))
		}
		s.Choices = rapid.SliceOfN(drawChoice(), 0, 4).Draw(t, "choices")
		channel := rapid.SampledFrom(channels.Channels[:])
		s.Care.Order = rapid.SliceOfNDistinct(channel, 0, 3, rapid.ID).Draw(t, "order")
		s.Care.Declined = rapid.SliceOfNDistinct(channel, 0, 1, rapid.ID).Draw(t, "declined")
		if rapid.IntRange(0, 5).Draw(t, "confidential") == 5 {
			s.Confidential = &preferences.Confidential{Only: rapid.SliceOfN(drawPair(s), 0, 4).Draw(t, "only"), Discreet: rapid.Bool().Draw(t, "discreet")}
		}
		if seldom("restricted") {
			s.Restrictions = []preferences.Restriction{drawRestriction().Draw(t, "restriction")}
		}
		for range rapid.IntRange(0, 2).Draw(t, "authorizations") {
			signed := now.AddDate(0, 0, rapid.IntRange(-40, 2).Draw(t, "signed"))
			s.Authorizations = append(s.Authorizations, preferences.Authorization{
				ID: 1, Category: "sponsored_marketing", SignedOn: preferences.DateOf(signed),
				ExpiresOn: preferences.DateOf(signed.AddDate(0, 0, rapid.IntRange(0, 60).Draw(t, "days"))),
			})
		}
		s.UnencryptedOK = rapid.Bool().Draw(t, "unencrypted")
		return s
	})
}

func drawRestriction() *rapid.Generator[preferences.Restriction] {
	return rapid.Custom(func(t *rapid.T) preferences.Restriction {
		if rapid.Bool().Draw(t, "whole purpose") {
			return preferences.Restriction{ID: 1, Purpose: string(rapid.SampledFrom(Purposes).Draw(t, "purpose"))}
		}
		return preferences.Restriction{ID: 1, Category: rapid.SampledFrom(categories).Draw(t, "category")}
	})
}

var categories = []string{
	"appointment_reminder", "appointment_change", "follow_up", "treatment_update", "legal_notice", "billing_notice",
	"symptom_check_in", "survey", "newsletter", "marketing", "sponsored_marketing",
}

func drawQuestion(now time.Time, s *preferences.Snapshot) *rapid.Generator[Question] {
	return rapid.Custom(func(t *rapid.T) Question {
		seldom := func(what string) bool { return rapid.IntRange(0, 7).Draw(t, what) == 7 }
		q := Question{
			Category: rapid.SampledFrom(categories).Draw(t, "category"), Now: now,
			Urgent: seldom("urgent"), Override: seldom("override"), AtDispatch: rapid.Bool().Draw(t, "at dispatch"),
		}
		if rapid.IntRange(0, 2).Draw(t, "narrowed") == 2 {
			q.Channels = rapid.SliceOfNDistinct(rapid.SampledFrom(channels.Channels[:]), 1, 3, rapid.ID).Draw(t, "channels")
		}
		if rapid.Bool().Draw(t, "content known") {
			q.ContentKnown, q.Content = true, Content(rapid.IntRange(0, 2).Draw(t, "content"))
		}
		q.DiscreetKnown = rapid.Bool().Draw(t, "discreet known")
		for _, ch := range channels.Channels {
			q.Adapters[ch] = !seldom("no adapter")
			q.Agreement[ch] = Content(rapid.IntRange(0, 2).Draw(t, "agreement"))
			for form := range q.HasDiscreet[ch] {
				q.HasDiscreet[ch][form] = rapid.Bool().Draw(t, "discreet text")
			}
		}
		if seldom("send at") {
			q.SendAt = now.Add(time.Duration(rapid.IntRange(-3600, 200*3600).Draw(t, "later")) * time.Second)
		}
		if rapid.Bool().Draw(t, "expires") {
			q.ExpiresAt = q.at().Add(time.Duration(rapid.IntRange(-1, 40*3600).Draw(t, "good for")) * time.Second)
		}
		if len(s.Addresses) > 0 && seldom("fallback") {
			q.Excluded = []preferences.Pair{drawPair(s).Draw(t, "failed")}
		}
		for i := range q.Usage {
			for range rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3, 10}).Draw(t, "sends") {
				q.Usage[i] = append(q.Usage[i], now.Add(-time.Duration(rapid.IntRange(0, 9*24*3600).Draw(t, "ago"))*time.Second).UnixMicro())
			}
		}
		return q
	})
}

// draw gives a patient and a question about them.
func draw(t *rapid.T) (*preferences.Snapshot, Question) {
	now := drawTime().Draw(t, "now")
	s := drawSnapshot(now).Draw(t, "snapshot")
	return s, drawQuestion(now, s).Draw(t, "question")
}

// copied gives a snapshot that shares nothing with s.
func copied(s *preferences.Snapshot) *preferences.Snapshot {
	c := *s
	c.Addresses, c.Choices = slices.Clone(s.Addresses), slices.Clone(s.Choices)
	c.Care.Order, c.Care.Declined = slices.Clone(s.Care.Order), slices.Clone(s.Care.Declined)
	c.Restrictions, c.Authorizations = slices.Clone(s.Restrictions), slices.Clone(s.Authorizations)
	if s.Confidential != nil {
		instruction := *s.Confidential
		instruction.Only = slices.Clone(instruction.Only)
		c.Confidential = &instruction
	}
	return &c
}

func load(name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		panic(err) // a name written in these tests
	}
	return loc
}
