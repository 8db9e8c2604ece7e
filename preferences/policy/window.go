package policy

import (
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// horizon is how far ahead an opening is looked for.
const horizon = 8 * 24 * time.Hour

// room is how many zones fit where no memory is asked for.
const room = 16

// places adds every zone a pair's person may be in to list, which is empty: the
// patient's own (or every zone of the postal code or state), and every zone of the
// number's area code. Nothing known, or a zone that this build does not know: every
// zone of the 50 states as well.
func (p *Policy) places(list []*time.Location, own, area preferences.ZoneSet) []*time.Location {
	known := true
	for _, names := range [...][]string{own.Names(), area.Names()} {
		for _, name := range names {
			if loc := p.location(name); loc != nil {
				list = append(list, loc)
			} else {
				known = false
			}
		}
	}
	if !known || len(list) == 0 {
		list = append(list, p.nation...)
	}
	return list
}

// openAt says whether a local time is inside. The window is half-open.
func (g *program) openAt(local time.Time) bool {
	minute := local.Hour()*60 + local.Minute()
	return minute >= g.open && minute < g.close && g.works(local)
}

func (g *program) works(local time.Time) bool {
	return g.days[local.Weekday()] && !(g.holidays && federalHoliday(local))
}

// next gives the first moment from t on that is inside in every place, or false
// when there is none within the horizon.
func (g *program) next(t time.Time, places []*time.Location) (time.Time, bool) {
	end := t.Add(horizon)
	for at := t; !at.After(end); {
		moved := false
		for _, loc := range places {
			if local := at.In(loc); !g.openAt(local) {
				at, moved = g.opening(local), true
			}
		}
		if !moved {
			return at, true
		}
	}
	return time.Time{}, false
}

// opening gives the next opening after a local moment that is outside, on the
// local calendar: a window that opens at 08:00 opens at 08:00 on the day the
// clocks change.
func (g *program) opening(local time.Time) time.Time {
	y, m, d := local.Date()
	for day := 0; day <= 14; day++ {
		open := time.Date(y, m, d+day, g.open/60, g.open%60, 0, 0, local.Location())
		if g.works(open) && open.After(local) {
			return open
		}
	}
	return local.Add(2 * horizon)
}

// closing gives the end of the window that t is inside of, in the place where it closes first.
func (g *program) closing(t time.Time, places []*time.Location) time.Time {
	var first time.Time
	for _, loc := range places {
		y, m, d := t.In(loc).Date()
		end := time.Date(y, m, d, g.close/60, g.close%60, 0, 0, loc)
		if first.IsZero() || end.Before(first) {
			first = end
		}
	}
	return first
}

// lastBefore gives the last whole minute inside the last window that ends at or
// before t, or false when there is none within the horizon.
func (g *program) lastBefore(t time.Time, places []*time.Location) (time.Time, bool) {
	at := t.Truncate(time.Minute)
	if at.Equal(t) {
		at = at.Add(-time.Minute)
	}
	for end := t.Add(-horizon); at.After(end); {
		moved := false
		for _, loc := range places {
			if local := at.In(loc); !g.openAt(local) {
				at, moved = g.closeBefore(local), true
			}
		}
		if !moved {
			return at, true
		}
	}
	return time.Time{}, false
}

// closeBefore gives the last minute of the window before a local moment that is outside.
func (g *program) closeBefore(local time.Time) time.Time {
	y, m, d := local.Date()
	for day := 0; day <= 14; day++ {
		last := time.Date(y, m, d-day, g.close/60, g.close%60, 0, 0, local.Location()).Add(-time.Minute)
		if g.works(last) && last.Before(local) {
			return last
		}
	}
	return local.Add(-2 * horizon)
}

// ScheduleAt gives the moment at which a scheduled essential message should go.
// When its time falls into quiet hours and the next opening is too late, that is
// the last whole minute inside the last window before its time, never before now.
func (p *Policy) ScheduleAt(s *preferences.Snapshot, q Question) time.Time {
	cat, ok := p.category[q.Category]
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
	g, places := &p.programs[cat.Program], p.places(nil, s.Zones, a.Zones)
	if open, ok := g.next(q.at(), places); ok && open.Equal(q.at()) {
		return time.Time{}, false
	}
	early, ok := g.lastBefore(q.at(), places)
	if early.Before(q.Now) {
		early = q.Now
	}
	return early, ok
}
