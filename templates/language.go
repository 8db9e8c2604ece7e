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

// Language gives the language that texts have for a locale: en or es.
func Language(locale string) string { return languageOf(locale) }

// momentAloud says a time as a person says it: "Monday, January 7, at 10:30 AM",
// "lunes 7 de enero, a las 10 y media de la mañana".
func momentAloud(t time.Time, language string) string {
	if language == spanish {
		day := strconv.Itoa(t.Day())
		if t.Day() == 1 {
			day = "primero"
		}
		weekday, _, _ := strings.Cut(spanishDay(t, true), " ")
		return weekday + " " + day + " de " + spanishMonth(t) + "," + spanishHour(t)
	}
	at := t.Format("Monday, January 2, at ")
	switch {
	case t.Hour() == 12 && t.Minute() == 0:
		return at + "noon"
	case t.Hour() == 0 && t.Minute() == 0:
		return at + "midnight"
	case t.Minute() == 0:
		return at + t.Format("3 PM")
	}
	return at + t.Format("3:04 PM")
}

// spanishHour says the time of day: " a la una y cuarto de la tarde".
func spanishHour(t time.Time) string {
	hour := " a las " + strconv.Itoa((t.Hour()+11)%12+1)
	if t.Hour()%12 == 1 {
		hour = " a la una"
	}
	minutes := map[int]string{0: "", 15: " y cuarto", 30: " y media"}
	past, named := minutes[t.Minute()]
	if !named {
		past = " y " + strconv.Itoa(t.Minute())
	}
	switch {
	case t.Hour() == 0 && t.Minute() == 0:
		return " a medianoche"
	case t.Hour() == 12 && t.Minute() == 0:
		return " al mediodía"
	case t.Hour() < 6:
		return hour + past + " de la madrugada"
	case t.Hour() < 12:
		return hour + past + " de la mañana"
	case t.Hour() < 20:
		return hour + past + " de la tarde"
	}
	return hour + past + " de la noche"
}
