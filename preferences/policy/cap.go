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

const week = 7 * 24 * time.Hour

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
	g := &p.programs[cat.Program]
	if !cat.Counted || a != nil && g.cap.ExpressIsExempt && a.Consent >= preferences.Express {
		return true, time.Time{}
	}
	// The local calendar day is the patient's; where it is not certain, in every place.
	var list [room]*time.Location
	var places []*time.Location
	if s.Zones.Len() > 0 || a == nil {
		places = p.places(list[:0], s.Zones, preferences.ZoneSet{})
	} else {
		places = p.places(list[:0], preferences.ZoneSet{}, a.Zones)
	}
	until := at
	for moved := true; moved; {
		moved = false
		if next := weekFrees(sent, g.cap.Per7Days, until); next.After(until) {
			until, moved = next, true
		}
		for _, loc := range places {
			if next := dayFrees(sent, g.cap.PerDay, until.In(loc)); next.After(until) {
				until, moved = next, true
			}
		}
	}
	if until.Equal(at) {
		return true, time.Time{}
	}
	return false, until
}

// dayFrees gives the start of the next local day when the day's places are used up.
func dayFrees(sent []int64, most int, local time.Time) time.Time {
	today := preferences.DateOf(local)
	tomorrow := today
	tomorrow.Day++
	start, end := today.In(local.Location()), tomorrow.In(local.Location())
	n := 0
	for _, t := range sent {
		if t >= start.UnixMicro() && t < end.UnixMicro() {
			n++
		}
	}
	if n < most {
		return local
	}
	return end
}

// weekFrees gives the moment at which the oldest of the last sends is seven days old.
func weekFrees(sent []int64, most int, at time.Time) time.Time {
	since := at.Add(-week).UnixMicro()
	recent := 0
	for _, t := range sent {
		if t > since {
			recent++
		}
	}
	if recent < most {
		return at
	}
	latest := slices.Clone(sent)
	slices.Sort(latest)
	return time.UnixMicro(latest[len(latest)-most]).Add(week)
}
