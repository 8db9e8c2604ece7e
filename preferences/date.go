package preferences

import (
	"errors"
	"time"
)

// Date is a day on the calendar, without a zone.
type Date struct {
	Year  int16
	Month time.Month
	Day   int8
}

// ErrDate is a text that is no day of the calendar.
var ErrDate = errors.New("not a calendar day: write it as YYYY-MM-DD")

// ParseDate reads YYYY-MM-DD.
func ParseDate(text string) (Date, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return Date{}, ErrDate
	}
	return DateOf(t), nil
}

// DateOf gives the day that t shows in its own location.
func DateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date{int16(y), m, int8(d)}
}

// IsZero says that no day was given.
func (d Date) IsZero() bool { return d == Date{} }

// String writes YYYY-MM-DD, or "" for the zero value.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return d.In(time.UTC).Format(time.DateOnly)
}

// In gives the first instant of the day in a location.
func (d Date) In(loc *time.Location) time.Time {
	t := time.Date(int(d.Year), d.Month, int(d.Day), 0, 0, 0, 0, loc)
	if t.Hour() > 12 { // midnight is skipped as the clocks change: the day begins with the new time
		_, t = t.ZoneBounds()
	}
	return t
}

// MarshalText writes the day.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a day; the empty text is the zero value.
func (d *Date) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = Date{}
		return nil
	}
	got, err := ParseDate(string(text))
	*d = got
	return err
}
