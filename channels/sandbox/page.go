package sandbox

import (
	"bytes"
	"cmp"
	"embed"
	"html/template"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"harmonize.care/heed/channels"
)

//go:embed web
var web embed.FS

const (
	pageCSP = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	// A mail is shown as it was sent, and may do nothing but look and link.
	mailCSP = "sandbox allow-top-navigation-by-user-activation; default-src 'none'; style-src 'unsafe-inline'; img-src data:"

	shownBoxes    = 40 // phones, and mailboxes, on the page
	shownMessages = 20 // messages of each
	clockLayout   = "2006-01-02T15:04"
)

var link = regexp.MustCompile(`https?://[^\s<>"']+[^\s<>"'.,;:!?)\]]`)

func pageTemplate() *template.Template {
	return template.Must(template.New("page.html").Funcs(template.FuncMap{
		"spans":    spans,
		"oneClick": oneClickLink,
		"time":     func(t time.Time) string { return t.Format("Mon 2 Jan 15:04:05") },
		// The name alone may be "Local", which says nothing.
		"zone":      func(t time.Time) string { return t.Format("MST, UTC-07:00") },
		"iso":       func(t time.Time) string { return t.Format(time.RFC3339) },
		"headers":   func(m Message) []string { return slices.Sorted(maps.Keys(m.Headers)) },
		"digits":    func() []string { return strings.Split(keypad, "") },
		"replyForm": func(page view, ours, id string) replyForm { return replyForm{page, ours, id} },
		"isCall":    func(m Message) bool { return m.Channel == channels.Voice },
		"rings":     func(m Message) bool { return m.Status == "ringing" && !m.Inbound && m.Ended.IsZero() },
		"isUp":      func(m Message) bool { return m.Ended.IsZero() && (m.Status == "in-progress" || m.Inbound) },
		"takes":     takes,
	}).ParseFS(web, "web/page.html"))
}

// span is a piece of a message: plain words, or a link.
type span struct{ Text, URL string }

// spans cuts a text at its links.
func spans(text string) []span {
	var list []span
	end := 0
	for _, at := range link.FindAllStringIndex(text, -1) {
		list = append(list, span{Text: text[end:at[0]]}, span{Text: text[at[0]:at[1]], URL: text[at[0]:at[1]]})
		end = at[1]
	}
	return append(list, span{Text: text[end:]})
}

// box is one phone or mailbox with its latest messages, oldest first.
type box struct {
	Address  string
	Anchor   string
	Ours     string // phones: our number they last heard from
	Phone    Phone  // phones: how it takes calls
	Messages []Message
}

// replyForm is what the form to answer one of our numbers needs.
type replyForm struct {
	Page view
	Ours string // the number to choose at first
	ID   string // makes the labels' ids unique
}

// sender is one of our numbers.
type sender struct{ Number, Program string }

type view struct {
	Version     uint64
	Now         time.Time
	NowInput    string
	Movable     bool
	Offset      time.Duration
	Unreachable bool
	Lost        int64
	Query       string
	Watch       bool
	Phones      []box
	Mailboxes   []box
	Senders     []sender
	OptOutLine  string
	PhoneFails  []Failure
	MailFails   []Failure
	OptOuts     []shownOptOut
	ASMGroup    int
}

func (s *Sandbox) showPage(w http.ResponseWriter, r *http.Request) {
	query := strings.TrimSpace(r.URL.Query().Get("q"))
	v := s.view(query)
	v.Watch = r.URL.Query().Has("watch")
	var body bytes.Buffer
	if err := s.page.Execute(&body, v); err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", pageCSP)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Write(body.Bytes())
}

func (s *Sandbox) view(query string) view {
	now := s.opt.Now()
	s.mu.Lock()
	v := view{Version: s.changes, Unreachable: s.cut}
	s.mu.Unlock()
	v.Now, v.NowInput, v.Query, v.Lost = now, now.Format(clockLayout), query, s.lost.Load()
	if s.opt.Clock != nil {
		v.Movable, v.Offset = true, s.opt.Clock.Offset().Round(time.Second)
	}
	v.Senders = s.senders()
	v.PhoneFails, v.MailFails = PhoneFailures(), MailFailures()
	v.OptOuts, v.ASMGroup = s.shownOptOuts(), s.opt.ASMGroup
	v.Phones, v.Mailboxes = boxes(s.Messages(), query)
	v.OptOutLine = s.opt.OptOutLine
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range v.Phones {
		v.Phones[i].Phone = s.phones[v.Phones[i].Address]
	}
	return v
}

// theirs is the person's number of a text or call.
func theirs(m Message) string {
	switch {
	case !m.Inbound:
		return m.To
	case m.From == "":
		return hiddenNumber
	}
	return m.From
}

func (s *Sandbox) senders() []sender {
	var list []sender
	for number, program := range s.opt.Programs {
		if strings.HasPrefix(number, "+") {
			list = append(list, sender{number, program})
		}
	}
	slices.SortFunc(list, func(a, b sender) int { return cmp.Compare(a.Number, b.Number) })
	return list
}

// boxes sorts messages into phones and mailboxes, those heard from last first.
func boxes(messages []Message, query string) (phones, mailboxes []box) {
	index := map[string]*box{}
	var order []string
	for i := len(messages) - 1; i >= 0; i-- {
		m := messages[i]
		theirs, ours := theirs(m), m.From
		if m.Inbound {
			ours = m.To
		}
		if !strings.Contains(strings.ToLower(theirs), strings.ToLower(query)) {
			continue
		}
		b := index[theirs]
		if b == nil {
			b = &box{Address: theirs, Anchor: anchor(theirs)}
			index[theirs] = b
			order = append(order, theirs)
		}
		if b.Ours == "" {
			b.Ours = ours
		}
		if len(b.Messages) < shownMessages {
			b.Messages = append(b.Messages, m)
		}
	}
	for _, address := range order {
		b := index[address]
		slices.Reverse(b.Messages)
		into := &phones
		if strings.Contains(address, "@") {
			into = &mailboxes
		}
		if len(*into) < shownBoxes {
			*into = append(*into, *b)
		}
	}
	return phones, mailboxes
}

// anchor names an address's place on the page.
func anchor(address string) string {
	return "box-" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, address)
}

// showMail shows a mail's HTML part as it was sent.
func (s *Sandbox) showMail(w http.ResponseWriter, r *http.Request) {
	m, ok := s.get(r.PathValue("id"))
	if !ok || m.HTML == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", mailCSP)
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Write([]byte(m.HTML))
}

func asset(path string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, web, path) }
}
