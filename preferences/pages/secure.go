package pages

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/preferences"
)

// maxWrong is how many wrong dates of birth a message takes in all: with some
// 25,000 days to guess from, five tell nothing.
const maxWrong = 5

// message shows the form behind a secure link. It shows nothing of the message, and
// changes nothing.
func (p *Pages) message(w http.ResponseWriter, r *http.Request) {
	id, _, lang, ok := p.behind(w, r)
	if !ok {
		return
	}
	taken, err := p.Store.TriesTaken(r.Context(), id)
	switch {
	case err != nil:
		p.fault(w, r, err)
	case taken >= maxWrong:
		p.notice(w, http.StatusForbidden, lang, "locked")
	default:
		p.showForm(w, http.StatusOK, lang, problem{})
	}
}

// open checks the date of birth and shows the message. A try is taken before the
// look and given back when it was right, so that many guesses at once get no more
// looks than one after the other.
func (p *Pages) open(w http.ResponseWriter, r *http.Request) {
	id, m, lang, ok := p.behind(w, r)
	if !ok {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		p.notice(w, http.StatusBadRequest, lang, "unreadable")
		return
	}
	day, wrong := dateOfBirth(lang, r.PostFormValue("month"), r.PostFormValue("day"), r.PostFormValue("year"))
	if wrong.Text != "" {
		p.showForm(w, http.StatusUnprocessableEntity, lang, wrong) // no day at all is no guess
		return
	}
	try, err := p.Store.TakeTry(r.Context(), id, maxWrong)
	switch {
	case err != nil:
		p.fault(w, r, err)
	case try == 0:
		p.notice(w, http.StatusForbidden, lang, "locked")
	case !m.BornOn(day):
		p.wrongDate(w, r, lang, m, maxWrong-try)
	default:
		p.opened(w, r, lang, id, m)
	}
}

func (p *Pages) opened(w http.ResponseWriter, r *http.Request, lang string, id int64, m dispatch.Secure) {
	ctx, cancel := outlast(r.Context())
	defer cancel()
	if err := p.Store.GiveTryBack(ctx, id); err != nil {
		p.Log.Error("a right date of birth was counted as a wrong one", "error", err)
	}
	subject, text, err := p.Dispatcher.Open(ctx, m)
	switch {
	case errors.Is(err, dispatch.ErrGone):
		p.notice(w, http.StatusGone, lang, "gone")
	case err != nil:
		p.fault(w, r, err)
	default:
		f := p.frame(lang, say(lang, "secure.title")) // the title stays in the browser's history, so it says no more than before
		f.Other = ""                                  // in the other language the form would have to be filled in again
		f.Page = struct {
			Lang, Subject string
			Text          reading
		}{languageOf(m.Locale), subject, read(text)}
		p.show(w, http.StatusOK, "message", f)
	}
}

// wrongDate says how many tries are left; after the last, staff can see it.
func (p *Pages) wrongDate(w http.ResponseWriter, r *http.Request, lang string, m dispatch.Secure, left int) {
	wrong := problem{Text: say(lang, "secure.wrong"), Field: "month"}
	switch left {
	case 0:
		ctx, cancel := outlast(r.Context())
		defer cancel()
		if err := p.Dispatcher.Locked(ctx, m); err != nil {
			p.Log.Error("that a link was locked could not be kept", "error", err)
		}
		p.notice(w, http.StatusForbidden, lang, "locked")
		return
	case 1:
		wrong.Left = say(lang, "secure.one_try")
	default:
		wrong.Left = say(lang, "secure.tries", left)
	}
	p.showForm(w, http.StatusUnprocessableEntity, lang, wrong)
}

// behind reads the link and finds its message. When it gives false, the answer has
// been written.
func (p *Pages) behind(w http.ResponseWriter, r *http.Request) (int64, dispatch.Secure, string, bool) {
	id, err := p.Links.ReadSecure(r.PathValue("token"))
	if err != nil {
		p.missing(w, r)
		return 0, dispatch.Secure{}, "", false
	}
	m, err := p.Dispatcher.Secure(r.Context(), id)
	lang := langOf(r, languageOf(m.Locale))
	if m.Locale == "" {
		lang = guessed(r)
	}
	if err != nil && !errors.Is(err, dispatch.ErrGone) {
		p.fault(w, r, err)
		return 0, m, "", false
	}
	// Counted from when the link went out: a message may be asked for weeks ahead.
	if err != nil || !p.Now().Before(m.Sent.Add(p.Retention)) {
		p.notice(w, http.StatusGone, lang, "gone")
		return 0, m, "", false
	}
	return id, m, lang, true
}

// problem is what is wrong with the form, and the field to mend it in. What was
// typed is not shown again.
type problem struct {
	Text, Left, Field string
}

func (p *Pages) showForm(w http.ResponseWriter, status int, lang string, wrong problem) {
	f := p.frame(lang, say(lang, "secure.title"))
	f.Wrong = wrong.Text != ""
	type month struct{ Number, Name string }
	var months []month
	for i := range 12 {
		n := strconv.Itoa(i + 1)
		months = append(months, month{n, say(lang, "month."+n)})
	}
	f.Page = struct {
		Problem problem
		Months  []month
	}{wrong, months}
	p.show(w, status, "secure", f)
}

// dateOfBirth reads three fields. Each problem names the first field to mend.
func dateOfBirth(lang, month, day, year string) (preferences.Date, problem) {
	m, ok := number(month, 1, 2, 12)
	if !ok {
		return preferences.Date{}, problem{Text: say(lang, "secure.no_month"), Field: "month"}
	}
	d, ok := number(day, 1, 2, 31)
	if !ok {
		return preferences.Date{}, problem{Text: say(lang, "secure.no_day"), Field: "day"}
	}
	y, ok := number(year, 4, 4, 9999)
	if !ok {
		return preferences.Date{}, problem{Text: say(lang, "secure.no_year"), Field: "year"}
	}
	date, err := preferences.ParseDate(fmt.Sprintf("%04d-%02d-%02d", y, m, d))
	if err != nil {
		return preferences.Date{}, problem{Text: say(lang, "secure.no_date"), Field: "day"}
	}
	return date, problem{}
}

// number reads a number of so many digits, from 1 to most.
func number(text string, fewest, digits, most int) (int, bool) {
	text = strings.TrimSpace(text)
	if len(text) < fewest || len(text) > digits || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 1 && n <= most
}
