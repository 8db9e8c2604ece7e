package templates

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// The languages that every template is written in.
const (
	english = "en"
	spanish = "es"
)

func languages() []string { return []string{english, spanish} }

// languageOf picks the language for a locale such as "es-MX" or "es_US".
func languageOf(locale string) string {
	primary, _, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(locale), "_", "-"), "-")
	if strings.EqualFold(primary, spanish) {
		return spanish
	}
	return english
}

// Speaks says whether there are texts in a locale's own language.
func Speaks(locale string) bool {
	primary, _, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(locale), "_", "-"), "-")
	return slices.ContainsFunc(languages(), func(language string) bool { return strings.EqualFold(primary, language) })
}

// moment writes an appointment's time as a person says it: "Mon, Jan 7 at 10:30 AM",
// "lunes 7 de enero a las 10:30 a. m."; long adds the year.
func moment(t time.Time, language string, long bool) string {
	if language == spanish {
		return spanishDay(t, long) + spanishYear(t, long) + spanishClock(t)
	}
	if long {
		return t.Format("Monday, January 2, 2006 at 3:04 PM")
	}
	return t.Format("Mon, Jan 2 at 3:04 PM")
}

// day writes a date: "Jan 7, 2030", "7 de enero de 2030".
func day(t time.Time, language string) string {
	if language == spanish {
		return strconv.Itoa(t.Day()) + " de " + spanishMonth(t) + spanishYear(t, true)
	}
	return t.Format("Jan 2, 2006")
}

func spanishDay(t time.Time, accents bool) string {
	weekday := [...]string{"domingo", "lunes", "martes", "miércoles", "jueves", "viernes", "sábado"}[t.Weekday()]
	if !accents && t.Weekday() == time.Saturday {
		weekday = "sabado" // á is not in GSM-7: one would double the price of the whole text
	}
	return weekday + " " + strconv.Itoa(t.Day()) + " de " + spanishMonth(t)
}

func spanishMonth(t time.Time) string {
	return [...]string{
		"enero", "febrero", "marzo", "abril", "mayo", "junio",
		"julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre",
	}[t.Month()-1]
}

func spanishYear(t time.Time, long bool) string {
	if !long {
		return ""
	}
	return " de " + strconv.Itoa(t.Year())
}

func spanishClock(t time.Time) string {
	hour, half := (t.Hour()+11)%12+1, "a. m."
	if t.Hour() >= 12 {
		half = "p. m."
	}
	article := " a las "
	if hour == 1 {
		article = " a la "
	}
	return article + strconv.Itoa(hour) + t.Format(":04 ") + half
}
