package policy

import (
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// Usage is when automated texts and calls of each program went to a patient
// lately, Unix microseconds, in any order.
type Usage [len(channels.Programs)][]int64

// week is seven days, in microseconds.
const week = 7 * aDay * second

// longestDay is longer than any day on a calendar, also where the clocks change.
const longestDay = 2 * aDay * second

// MaxKept is how many sends per program are worth keeping: the largest cap.
func (p *Policy) MaxKept() int {
	n := 0
	for i := range p.programs {
		n = max(n, p.programs[i].cap.Per7Days)
	}
	return n
}

// CapFrees says whether the program's cap has a place at a moment, and else when
// one frees up. sent are the sends of the program. It is asked again inside the
// claim, on the locked usage.
func (p *Policy) CapFrees(s *preferences.Snapshot, cat *Category, a *preferences.Address, sent []int64, at time.Time) (bool, time.Time) {
	now := at.UnixMicro()
	until := p.capFrees(s, cat, a, sent, now)
	if until == now {
		return true, time.Time{}
	}
	return false, instant(until)
}

// capFrees gives the first moment from one on at which the cap has a place.
func (p *Policy) capFrees(s *preferences.Snapshot, cat *Category, a *preferences.Address, sent []int64, at int64) int64 {
	rule := &p.programs[cat.Program].cap
	switch {
	case !cat.Counted, a != nil && rule.ExpressIsExempt && a.Consent >= preferences.Express:
		return at
	case countFrom(sent, at-longestDay) < rule.PerDay && countFrom(sent, at-week+1) < rule.Per7Days:
		return at // whenever the day began
	}
	// The local calendar day is the patient's; where it is not certain, in every place.
	var list [room]*zone
	var places []*zone
	if s.Zones.Len() > 0 || a == nil {
		places = p.zones.places(list[:0], &s.Zones, &preferences.ZoneSet{})
	} else {
		places = p.zones.places(list[:0], &preferences.ZoneSet{}, &a.Zones)
	}
	until := at
	for moved := true; moved; {
		moved = false
		if next := weekFrees(sent, rule.Per7Days, until); next > until {
			until, moved = next, true
		}
		for _, z := range places {
			if next := dayFrees(sent, rule.PerDay, until, z); next > until {
				until, moved = next, true
			}
		}
	}
	return until
}

// countFrom says how many sends there were from a moment on.
func countFrom(sent []int64, from int64) int {
	n := 0
	for _, t := range sent {
		if t >= from {
			n++
		}
	}
	return n
}

// dayFrees gives the start of the next local day when the day's places are used up.
func dayFrees(sent []int64, most int, at int64, z *zone) int64 {
	today, _ := z.local(floorDiv(at, second))
	n := countFrom(sent, z.dayStart(today)*second)
	if n < most {
		return at
	}
	end := z.dayStart(today+1) * second
	if n-countFrom(sent, end) < most {
		return at
	}
	return end
}

// weekFrees gives the moment at which the oldest of the last sends is seven days old.
func weekFrees(sent []int64, most int, at int64) int64 {
	if countFrom(sent, at-week+1) < most {
		return at
	}
	latest := slices.Sorted(slices.Values(sent))
	return latest[len(latest)-most] + week
}
