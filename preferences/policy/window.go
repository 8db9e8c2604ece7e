package policy

import (
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// horizon is how far ahead an opening is looked for, in seconds.
const horizon = 8 * aDay

// program is a program, compiled.
type program struct {
	days        [7]bool
	open, close int64 // seconds of the day
	holidays    bool
	cap         CapRule
	working     [(tableDays + 63) / 64]uint64 // worksOn, one bit for each day of the tables
}

// layOut fills the table of working days.
func (g *program) layOut() {
	for n := range int64(tableDays) {
		if g.worksOn(tableFrom/aDay + n) {
			g.working[n/64] |= 1 << (n % 64)
		}
	}
}

func (g *program) works(day int64) bool {
	if n := uint64(day - tableFrom/aDay); n < tableDays {
		return g.working[n/64]>>(n%64)&1 == 1
	}
	return g.worksOn(day)
}

func (g *program) worksOn(day int64) bool {
	date := time.Unix(day*aDay, 0).UTC()
	return g.days[date.Weekday()] && !(g.holidays && federalHoliday(date))
}

// openAt says whether a moment is inside. The window is half-open.
func (g *program) openAt(at int64, z *zone) bool {
	day, clock := z.local(at)
	return clock >= g.open && clock < g.close && g.works(day)
}

// next gives the first second from one on that is inside in every place, or false
// when there is none within the horizon.
func (g *program) next(from int64, places []*zone) (int64, bool) {
	for at := from; at <= from+horizon; {
		moved := false
		for _, z := range places {
			if !g.openAt(at, z) {
				at, moved = g.opening(at, z), true
			}
		}
		if !moved {
			return at, true
		}
	}
	return 0, false
}

// opening gives the next opening after a moment that is outside, on the local
// calendar: a window that opens at 08:00 opens at 08:00 on the day the clocks change.
func (g *program) opening(after int64, z *zone) int64 {
	today, _ := z.local(after)
	for day := today; day <= today+14; day++ {
		if !g.works(day) {
			continue
		}
		if open := z.instant(day, g.open); open > after {
			return open
		}
	}
	return after + 2*horizon
}

// closing gives the end of the window that a moment is inside of, in the place where
// it closes first.
func (g *program) closing(at int64, places []*zone) int64 {
	first := at + horizon
	for _, z := range places {
		day, _ := z.local(at)
		first = min(first, z.instant(day, g.close))
	}
	return first
}

// lastBefore gives the last whole minute inside the last window that ends at or
// before a moment, or false when there is none within the horizon.
func (g *program) lastBefore(moment int64, places []*zone) (int64, bool) {
	for at := floorDiv(moment-1, 60*second) * 60; at > floorDiv(moment, second)-horizon; {
		moved := false
		for _, z := range places {
			if !g.openAt(at, z) {
				at, moved = g.closeBefore(at, z), true
			}
		}
		if !moved {
			return at, true
		}
	}
	return 0, false
}

// closeBefore gives the last minute of the window before a moment that is outside.
func (g *program) closeBefore(before int64, z *zone) int64 {
	today, _ := z.local(before)
	for day := today; day >= today-14; day-- {
		if !g.works(day) {
			continue
		}
		if last := z.instant(day, g.close) - 60; last < before {
			return last
		}
	}
	return before - 2*horizon
}

// ScheduleAt gives the moment at which a scheduled essential message should go.
// When its time falls into quiet hours and the next opening is too late, that is
// the last whole minute inside the last window before its time, never before now.
func (p *Policy) ScheduleAt(s *preferences.Snapshot, q Question) time.Time {
	cat, ok := p.Category(q.Category)
	if !ok || s == nil || cat.Class != Essential || q.ExpiresAt.IsZero() {
		return q.at()
	}
	d := p.Decide(s, q)
	for _, c := range d.Considered {
		if c.Pair == d.Pair { // this way is open in time, and better than what is behind it
			break
		}
		if c.Code != TooLate || c.Pair.Channel == channels.Email {
			continue
		}
		earlier := q
		earlier.SendAt, ok = p.beforeQuiet(s, &q, cat, s.AddressByID(c.Pair.Address))
		if !ok {
			continue
		}
		if e := p.Decide(s, earlier); e.Outcome == Send && e.Pair == c.Pair {
			return earlier.SendAt
		}
	}
	return q.at()
}

// beforeQuiet gives the last moment before the quiet hours that the question falls
// into, or false when it falls into none. What is left of the minute in which the
// window closes is still inside it.
func (p *Policy) beforeQuiet(s *preferences.Snapshot, q *Question, cat *Category, a *preferences.Address) (time.Time, bool) {
	g, places := &p.programs[cat.Program], p.zones.places(nil, &s.Zones, &a.Zones)
	at := q.at()
	if open, ok := g.next(at.Unix(), places); ok && open == at.Unix() {
		return time.Time{}, false
	}
	last, ok := g.lastBefore(at.UnixMicro(), places)
	early := time.Unix(last, 0).UTC()
	if early.Before(q.Now) {
		early = q.Now
	}
	return early, ok
}
