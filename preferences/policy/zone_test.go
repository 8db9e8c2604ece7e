package policy

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"harmonize.care/heed/preferences"
)

// A zone says what the standard library says, inside its tables and beyond, by day
// and by second, and most of all around a change of the clocks.
func TestAZoneAgreesWithTheStandardLibrary(t *testing.T) {
	names := append(preferences.KnownZones(), "Australia/Lord_Howe", "America/Havana", "Africa/Casablanca", "Asia/Kathmandu", "Europe/Dublin", "UTC")
	rapid.Check(t, func(t *rapid.T) {
		z := newZone(load(rapid.SampledFrom(names).Draw(t, "zone")))
		at := rapid.Int64Range(time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC).Unix()).Draw(t, "at")
		if rapid.Bool().Draw(t, "a change") {
			for day := at; day < at+300*aDay; day += aDay {
				if turn := z.turnBetween(day, day+aDay); turn != 0 {
					at = turn + rapid.Int64Range(-2*aDay, 2*aDay).Draw(t, "near")
					break
				}
			}
		}
		shows := time.Unix(at, 0).In(z.loc)
		day, clock := z.local(at)
		date := time.Unix(day*aDay, 0).UTC()
		if shows.Format(time.DateOnly) != date.Format(time.DateOnly) || clock != int64(shows.Hour()*3600+shows.Minute()*60+shows.Second()) {
			t.Fatalf("%s is %s, %d seconds", shows, date.Format(time.DateOnly), clock)
		}
		hour := rapid.IntRange(0, 23).Draw(t, "hour")
		if got, want := z.instant(day, int64(hour)*3600), time.Date(date.Year(), date.Month(), date.Day(), hour, 0, 0, 0, z.loc).Unix(); got != want {
			t.Fatalf("%d o'clock on %s is %d, not %d", hour, date.Format(time.DateOnly), got, want)
		}
		if got, want := z.dayStart(day), preferences.DateOf(date).In(z.loc).Unix(); got != want {
			t.Fatalf("%s starts at %d, not %d", date.Format(time.DateOnly), got, want)
		}
		if got := dayOf(preferences.DateOf(date)); got != day {
			t.Fatalf("%s is day %d, not %d", date.Format(time.DateOnly), got, day)
		}
	})
}

// The zones of the United States are looked up in their tables; a zone whose clocks
// change too often for one is not.
func TestZonesAreLaidOut(t *testing.T) {
	for i, z := range testPolicy(t).zones.known {
		if len(z.spans) == 0 || z.loc.String() != preferences.KnownZones()[i] {
			t.Errorf("zone %d is %s and has %d spans", i, z.loc, len(z.spans))
		}
	}
	if z := newZone(load("Africa/Casablanca")); z.spans != nil { // twice around Ramadan
		t.Error("a table was made that cannot be right")
	}
}

// A zone that was asked for once is kept, whoever asks, and at once with others.
func TestOtherZonesAreReadOnce(t *testing.T) {
	p := testPolicy(t)
	names := []string{"Europe/Madrid", "Asia/Tokyo", "Mars/Olympus_Mons", "America/Havana", "Europe/Madrid", "Local"}
	everywhere, two := preferences.ZoneSetOf(names...), preferences.ZoneSetOf(names[:2]...)
	got := make(chan []*zone)
	for range 8 {
		go func() { got <- p.zones.places(nil, &everywhere, &preferences.ZoneSet{}) }()
	}
	for range 8 {
		if list := <-got; len(list) != 3+len(preferences.AllZones()) { // the two that are none stand for the nation
			t.Errorf("%d places", len(list))
		}
	}
	first := p.zones.places(nil, &two, &preferences.ZoneSet{})
	if again := p.zones.places(nil, &two, &preferences.ZoneSet{}); !slices.Equal(first, again) {
		t.Error("a zone was read again")
	}
}

// The table of working days says what the calendar says, and so does what lies beyond it.
func TestWorkingDays(t *testing.T) {
	p := testPolicy(t)
	for i := range p.programs {
		g := &p.programs[i]
		for day := int64(tableFrom/aDay - 400); day < tableFrom/aDay+tableDays+400; day++ {
			if g.works(day) != g.worksOn(day) {
				t.Fatalf("program %d, day %d", i, day)
			}
		}
	}
}
