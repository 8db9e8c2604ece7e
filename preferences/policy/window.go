package policy

import (
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// horizon is how far ahead an opening is looked for.
const horizon = 8 * 24 * time.Hour

// places gives every zone a pair's person may be in: the patient's own (or every
// zone of the postal code or state), and every zone of the number's area code.
// Nothing known: every zone of the 50 states.
func (p *Policy) places(s *preferences.Snapshot, a *preferences.Address) []*time.Location {
	list := make([]*time.Location, 0, 8)
	for _, names := range [2][]string{s.Zones, a.Zones} {
		for _, name := range names {
			if loc := p.location(name); loc != nil {
				list = append(list, loc)
			} else {
				return p.nation // a zone this build does not know is no zone at all
			}
		}
	}
	if len(list) == 0 {
		return p.nation
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
		if d.Outcome == Send && c.Pair == d.Pair {
			break
		}
		if c.Code != TooLate || c.Pair.Channel == channels.Email {
			continue
		}
		a := s.AddressByID(c.Pair.Address)
		early, found := p.programs[cat.Program].lastBefore(q.at(), p.places(s, a))
		if !found || early.Before(q.Now) {
			continue
		}
		earlier := q
		earlier.SendAt = early
		if e := p.Decide(s, earlier); e.Outcome == Send && e.Pair == c.Pair {
			return early
		}
	}
	return q.at()
}
