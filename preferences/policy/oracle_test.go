package policy

import (
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// What follows says the rules a second time, from their description and without
// the decision's own code, for the properties to hold the decision against.

// hours are the built-in windows, half-open, in whole hours.
var hours = map[channels.Program][2]int{channels.Care: {8, 21}, channels.CheckIn: {8, 21}, channels.Billing: {8, 21}, channels.Marketing: {10, 18}}

// observed are the federal holidays of the years that are drawn, and the days on
// which they are observed, as the Office of Personnel Management lists them.
var observed = []string{
	"2026-11-11", "2026-11-26", "2026-12-25",
	"2027-01-01", "2027-01-18", "2027-02-15", "2027-05-31", "2027-06-18", "2027-06-19", "2027-07-04", "2027-07-05", "2027-09-06", "2027-10-11",
	"2027-11-11", "2027-11-25", "2027-12-24", "2027-12-25", "2027-12-31", "2028-01-01",
}

// inside says whether a text or call of the program may reach this person now.
func inside(program channels.Program, now time.Time, s *preferences.Snapshot, a *preferences.Address) bool {
	return !slices.ContainsFunc(zonesOf(s, a), func(loc *time.Location) bool {
		local := now.In(loc)
		h := hours[program]
		if local.Hour() < h[0] || local.Hour() >= h[1] {
			return true
		}
		weekend := local.Weekday() == time.Saturday || local.Weekday() == time.Sunday
		return program == channels.Marketing && (weekend || slices.Contains(observed, local.Format(time.DateOnly)))
	})
}

// zonesOf gives every zone the person may be in; a name that says nothing stands
// for every zone of the 50 states.
func zonesOf(s *preferences.Snapshot, a *preferences.Address) []*time.Location {
	var list []*time.Location
	names := slices.Concat(s.Zones.Names(), a.Zones.Names())
	if len(names) == 0 {
		names = preferences.AllZones()
	}
	for _, name := range names {
		loc, err := time.LoadLocation(name)
		if err == nil && name != "" && name != "Local" {
			list = append(list, loc)
			continue
		}
		for _, state := range preferences.AllZones() {
			list = append(list, load(state))
		}
	}
	return list
}

// refusedByWord says whether the last word on an address is an opt-out: the
// patient's, or a spam report from the mailbox.
func refusedByWord(s *preferences.Snapshot, cat *Category, ch channels.Channel, a *preferences.Address) bool {
	in, out := int64(-1), int64(-1)
	if ch == channels.Email && a.OptedOut != 0 {
		out = a.OptedOut
	}
	for _, c := range s.Choices {
		topic := c.Topic == cat.Name || c.Topic == "non_essential" || c.Topic == "marketing" && cat.Purpose == Marketing
		switch {
		case !topic || c.Channel != 0 && c.Channel != ch:
		case c.In:
			in = max(in, c.At)
		default:
			out = max(out, c.At)
		}
	}
	return out >= 0 && out >= in
}

// stoppedFor says whether some number of the patient stopped the program.
func stoppedFor(s *preferences.Snapshot, program channels.Program) bool {
	return slices.ContainsFunc(s.Addresses, func(a preferences.Address) bool {
		named := s.Confidential != nil && slices.ContainsFunc(s.Confidential.Only, func(p preferences.Pair) bool { return p.Address == a.ID })
		return a.Stops.Has(program) && (a.OnRecord || named)
	})
}
