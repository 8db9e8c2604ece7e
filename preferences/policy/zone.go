package policy

import (
	"maps"
	"math"
	"math/bits"
	"sort"
	"sync/atomic"
	"time"

	"harmonize.care/heed/preferences"
)

// Moments are counted in Unix microseconds, as in the ledger; what a clock shows is
// reckoned in whole seconds, for no window and no day begins in between.
const (
	second     = 1_000_000
	aDay       = 24 * 60 * 60
	ages       = 1 << 30       // days before which nothing can be counted in microseconds
	tableFrom  = 1_577_836_800 // 2020-01-01, the first second of the tables below
	tableDays  = 34 * 365
	spanBits   = 23      // 97 days: the clocks change at most once in so many, nearly everywhere
	spanStep   = 1 << 20 // 12 days: no clocks change twice in so many
	tableSpans = tableDays * aDay >> spanBits
)

// zone is a time zone with its changes of the clocks laid out, so that local time is
// one look and one addition. The standard library works the rule of the year out anew.
type zone struct {
	loc   *time.Location
	spans []span // nil where the clocks change more often than a span allows
}

// span is a stretch of time with at most one change of the clocks, at turn.
type span struct {
	turn          int64
	before, after int32 // seconds east of UTC
}

func newZone(loc *time.Location) *zone {
	z := &zone{loc: loc}
	spans := make([]span, tableSpans)
	for i := range spans {
		s := &spans[i]
		start := int64(tableFrom + i<<spanBits)
		s.turn, s.before, s.after = math.MaxInt64, int32(z.lookup(start)), int32(z.lookup(start))
		for from := start; from < start+1<<spanBits; from += spanStep {
			turn := z.turnBetween(from, from+spanStep)
			if turn != 0 && s.turn != math.MaxInt64 {
				return z
			}
			if turn != 0 {
				s.turn, s.after = turn, int32(z.lookup(turn))
			}
		}
	}
	z.spans = spans
	return z
}

// turnBetween gives the moment at which the clocks change between two others, which
// lie less than two changes apart; 0 when they do not. (Time.ZoneBounds counts the
// turn of the year as well, and may come back from it with the moment it was given.)
func (z *zone) turnBetween(from, to int64) int64 {
	was := z.lookup(from)
	if z.lookup(to) == was {
		return 0
	}
	return from + int64(sort.Search(int(to-from), func(n int) bool { return z.lookup(from+int64(n)) != was }))
}

func (z *zone) lookup(at int64) int64 {
	_, offset := time.Unix(at, 0).In(z.loc).Zone()
	return int64(offset)
}

// offset gives how far local time is ahead of UTC, in seconds.
func (z *zone) offset(at int64) int64 {
	i := uint64(at-tableFrom) >> spanBits
	if i >= uint64(len(z.spans)) {
		return z.lookup(at)
	}
	s := &z.spans[i]
	if at < s.turn {
		return int64(s.before)
	}
	return int64(s.after)
}

// local gives what a calendar and a clock show: the day, counted from 1970-01-01, and
// the second of the day.
func (z *zone) local(at int64) (day, clock int64) {
	at += z.offset(at)
	day = int64(uint64(at+ages*aDay)/aDay) - ages // no second is below zero so, and needs no rounding down
	return day, at - day*aDay
}

// instant is when a clock shows this second of this day. As the clocks change there
// may be two such moments, or none; it takes one, or one nearby, as time.Date does.
func (z *zone) instant(day, clock int64) int64 {
	local := day*aDay + clock
	return local - z.offset(local-z.offset(local))
}

// dayStart is the first second of a day.
func (z *zone) dayStart(day int64) int64 {
	start := z.instant(day, 0)
	if start+z.offset(start) < day*aDay { // midnight is skipped: the day begins with the new time
		return z.turnBetween(start, start+aDay)
	}
	return start
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// zones are the time zones that a policy has read.
type zones struct {
	known  []*zone                          // as a preferences.ZoneSet numbers them
	nation uint32                           // every zone of the 50 states, as such a set
	others atomic.Pointer[map[string]*zone] // by name, kept as they are asked for
}

func readZones() (*zones, error) {
	t := &zones{nation: preferences.ZoneSetOf(preferences.AllZones()...).Known}
	t.others.Store(&map[string]*zone{})
	for _, name := range preferences.KnownZones() {
		loc, err := time.LoadLocation(name)
		if err != nil {
			return nil, err
		}
		t.known = append(t.known, newZone(loc))
	}
	return t, nil
}

// room is how many zones fit where no memory is asked for.
const room = 16

// places adds every zone a pair's person may be in to list, which is empty: the
// patient's own (or every zone of the postal code or state), and every zone of the
// number's area code. Nothing known, or a zone that this build does not know: every
// zone of the 50 states as well.
func (t *zones) places(list []*zone, own, area *preferences.ZoneSet) []*zone {
	known := own.Known | area.Known
	for _, name := range own.Others {
		list, known = t.named(list, known, name)
	}
	for _, name := range area.Others {
		list, known = t.named(list, known, name)
	}
	if known == 0 && len(list) == 0 {
		known = t.nation
	}
	for ; known != 0; known &= known - 1 {
		list = append(list, t.known[bits.TrailingZeros32(known)])
	}
	return list
}

// named adds a zone of another country, or else the nation.
func (t *zones) named(list []*zone, known uint32, name string) ([]*zone, uint32) {
	if z := t.other(name); z != nil {
		return append(list, z), known
	}
	return list, known | t.nation
}

// other gives a zone by its IANA name, or nil for a name that says nothing. Reading a
// zone takes long, so each is read once. They are few, and are looked up far more
// often than one is added: whoever adds one puts a new map in the place of the old.
func (t *zones) other(name string) *zone {
	if z := (*t.others.Load())[name]; z != nil {
		return z
	}
	loc, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" { // Local is this machine's zone, not the patient's
		return nil
	}
	z := newZone(loc)
	for {
		old := t.others.Load()
		more := maps.Clone(*old)
		more[name] = z
		if t.others.CompareAndSwap(old, &more) {
			return z
		}
	}
}

// dayOf counts a day of the calendar from 1970-01-01.
func dayOf(d preferences.Date) int64 { return floorDiv(d.In(time.UTC).Unix(), aDay) }
