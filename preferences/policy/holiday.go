package policy

import "time"

// federalHoliday says whether a local day is a federal holiday, or the day on
// which one is observed. 5 U.S.C. 6103.
func federalHoliday(local time.Time) bool {
	if legalHoliday(local) {
		return true
	}
	switch local.Weekday() {
	case time.Friday: // a holiday on Saturday is observed on Friday
		return legalHoliday(local.AddDate(0, 0, 1))
	case time.Monday: // one on Sunday on Monday
		return legalHoliday(local.AddDate(0, 0, -1))
	}
	return false
}

func legalHoliday(t time.Time) bool {
	_, month, day := t.Date()
	nth := (day-1)/7 + 1
	last := t.AddDate(0, 0, 7).Month() != month
	switch t.Weekday() {
	case time.Monday:
		switch {
		case month == time.January && nth == 3, // Martin Luther King Jr.
			month == time.February && nth == 3,  // Washington's Birthday
			month == time.May && last,           // Memorial Day
			month == time.September && nth == 1, // Labor Day
			month == time.October && nth == 2:   // Columbus Day
			return true
		}
	case time.Thursday:
		if month == time.November && nth == 4 { // Thanksgiving
			return true
		}
	}
	switch {
	case month == time.January && day == 1, month == time.June && day == 19, month == time.July && day == 4,
		month == time.November && day == 11, month == time.December && day == 25:
		return true
	}
	return false
}
