package pages

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strings"
)

//go:embed web/*.html
var files embed.FS

type page = *template.Template

// names are the pages, each with a file of its own inside the layout.
var names = []string{"unsubscribe", "unsubscribed", "preferences", "private", "code", "sent", "secure", "message", "notice"}

// parse reads every page in every language; the words come in by {{t "key"}}.
func parse() map[string]page {
	pages := map[string]page{}
	for _, lang := range languages {
		t := func(key string, args ...any) string { return say(lang, key, args...) }
		for _, name := range names {
			pages[lang+" "+name] = template.Must(template.New("layout.html").Funcs(template.FuncMap{"t": t}).
				ParseFS(files, "web/layout.html", "web/"+name+".html"))
		}
	}
	return pages
}

// frame is what the layout shows around a page.
type frame struct {
	Lang, Other string // the language of the page, and the one to switch to; no Other: no switch
	View        string // which of the pages behind one link this is, for the switch
	Title       string
	Wrong       bool // the form below has a mistake
	Practice    string
	Phone       string
	Call        template.URL
	Page        any
}

// frame begins a page. The practice is always called by its discreet name: the
// link may lie where others read it.
func (p *Pages) frame(lang, title string) frame {
	f := frame{Lang: lang, Other: spanish, Title: title, Practice: p.Identity.DiscreetName, Phone: spoken(p.Identity.Phone), Call: call(p.Identity.Phone)}
	if lang == spanish {
		f.Other = english
	}
	return f
}

// show writes a page. It is made as a whole first: a page that breaks off halfway
// could leave the one sentence out that matters.
func (p *Pages) show(w http.ResponseWriter, status int, name string, f frame) {
	var b bytes.Buffer
	if err := p.pages[f.Lang+" "+name].Execute(&b, f); err != nil {
		p.Log.Error("a page could not be written", "page", name, "error", err)
		http.Error(w, say(f.Lang, "fault.title"), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", f.Lang)
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the reader is gone: nothing left to tell
}

// notice shows a page of two sentences: what is the matter, and what to do.
func (p *Pages) notice(w http.ResponseWriter, status int, lang, what string) {
	f := p.frame(lang, say(lang, what+".title"))
	f.Page = say(lang, what+".what")
	p.show(w, status, "notice", f)
}

// missing answers a link that nobody made, or that lost a part.
func (p *Pages) missing(w http.ResponseWriter, r *http.Request) {
	p.notice(w, http.StatusNotFound, guessed(r), "missing")
}

func (p *Pages) crossOrigin(w http.ResponseWriter, r *http.Request) {
	p.notice(w, http.StatusForbidden, guessed(r), "refused")
}

// fault answers what went wrong here, and tells the operator without saying whose
// page it was.
func (p *Pages) fault(w http.ResponseWriter, r *http.Request, err error) {
	p.Log.Error("a page failed", "route", r.Pattern, "error", err)
	p.notice(w, http.StatusInternalServerError, guessed(r), "fault")
}

// langOf is the language a person chose on the page, else the one given.
func langOf(r *http.Request, otherwise string) string {
	switch chosen := r.URL.Query().Get("lang"); chosen {
	case english, spanish:
		return chosen
	}
	return otherwise
}

// guessed is the language of a page for somebody of whom we know nothing else.
func guessed(r *http.Request) string { return langOf(r, accepted(r.Header.Get("Accept-Language"))) }

// spoken writes a US number as people write it; another stays as it is.
func spoken(e164 string) string {
	if len(e164) == 12 && strings.HasPrefix(e164, "+1") {
		return e164[2:5] + "-" + e164[5:8] + "-" + e164[8:]
	}
	return e164
}

// call is the address that dials a number of ours: RFC 3966. Only what a number
// has is let through, as html/template knows no tel addresses.
func call(e164 string) template.URL {
	return template.URL("tel:" + strings.Map(func(r rune) rune {
		if r == '+' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, e164))
}
