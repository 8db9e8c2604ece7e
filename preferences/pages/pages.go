// Package pages serves the pages that patients reach by a signed link: stopping
// emails, choosing what comes and how, and reading a message whose words may not
// travel in the open. Nobody logs in, and every page works without JavaScript.
//
// Whoever holds a link has only the link: a page shows no name, no address, and
// nothing of what the practice treats. A link alone stops and narrows, for ever. What
// turns something on, or shows what was sent, asks first for a code that goes to the
// address that the link was sent to; a cookie then holds for half an hour that it was
// right, and nothing else is kept in the browser.
package pages

import (
	"context"
	_ "embed" // the stylesheet
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/link"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// Options is what the pages need.
type Options struct {
	Store      Store
	Intake     *intake.Service
	Dispatcher *dispatch.Dispatcher
	Policy     *policy.Policy
	Links      *link.Links
	Identity   templates.Identity
	Now        func() time.Time
	Random     io.Reader // where codes are drawn from
	Log        *slog.Logger
	PublicURL  string
	// Retention is how long a message stays behind its link, from when the link
	// went out; 0: 30 days.
	Retention time.Duration
}

// Store reads, and counts wrong dates of birth by message: they survive a restart,
// and every replica sees them.
type Store interface {
	gateway.Store
	// TakeTry takes one of the most tries that a message has and says which one it
	// is, 1 first; 0: none is left.
	TakeTry(ctx context.Context, message int64, most int) (int, error)
	GiveTryBack(ctx context.Context, message int64) error
	TriesTaken(ctx context.Context, message int64) (int, error)
	// KeepCode keeps a code in place of the patient's last, when free says that one more
	// may be made after those made lately, oldest first.
	KeepCode(ctx context.Context, c gateway.PageCode, free func(made []time.Time) bool) (bool, error)
	// TryCode takes one of the most tries of the code made after since, and gives its
	// digest and which try this is, 1 first; 0: there is none left.
	TryCode(ctx context.Context, patient, address int64, since time.Time, most int) (digest []byte, try int, err error)
	// UseCode takes a code out of use and says whether it still was there.
	UseCode(ctx context.Context, patient int64, digest []byte) (bool, error)
}

// Pages serves the pages.
type Pages struct {
	Options
	pages  map[string]page // by language and name
	origin *http.CrossOriginProtection
	// wording names the words that are shown: kept as evidence with every choice.
	wording string
}

// Paths are the patterns that the pages answer to.
var Paths = [...]string{"/u/{token}", "/p/{token}", "/m/{token}", "/p/pages.css"}

const (
	// maxForm bounds the forms of the pages: some ticks, and one short text.
	maxForm = 16 << 10
	// patience bounds what one page does. An opt-out waits for at most one lease.
	patience = 15 * time.Second
	// actor stands in the ledger and the audit log: who the person is stands in the row.
	actor = "patient"
)

//go:embed web/pages.css
var stylesheet []byte

// New makes the pages.
func New(o Options) *Pages {
	if o.Retention == 0 {
		o.Retention = 30 * 24 * time.Hour
	}
	p := &Pages{Options: o, pages: parse(), origin: http.NewCrossOriginProtection(), wording: wordingOf(phrases)}
	p.origin.SetDenyHandler(http.HandlerFunc(p.crossOrigin))
	// Behind a proxy the host that we see may be another one than the public one.
	if u, err := url.Parse(o.PublicURL); err == nil && u.Host != "" {
		if err := p.origin.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
			o.Log.Warn("http.public_url is no origin: forms are checked by their host alone")
		}
	}
	return p
}

// Handler serves the Paths.
func (p *Pages) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /u/{token}", p.unsubscribe)
	mux.HandleFunc("POST /u/{token}", p.unsubscribed) // one click comes from the mailbox provider: RFC 8058
	mux.HandleFunc("GET /p/{token}", p.preferences)
	mux.Handle("POST /p/{token}", p.fromHere(p.change))
	mux.HandleFunc("GET /m/{token}", p.message)
	mux.Handle("POST /m/{token}", p.fromHere(p.open))
	mux.HandleFunc("GET /p/pages.css", p.css)
	return p.guard(mux)
}

// guard sets what keeps the pages to themselves: nothing loads from elsewhere,
// nothing frames them, nothing keeps them, and no address of theirs, which is the
// secret, goes on to another site.
func (p *Pages) guard(next http.Handler) http.Handler {
	https := strings.HasPrefix(p.PublicURL, "https://")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Robots-Tag", "noindex, nofollow")
		h.Set("Cache-Control", "no-store")
		if https {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// fromHere refuses a form that another website sent. There is no login to ride on,
// as the address itself is the secret; this is a second lock.
//
// A browser too old for Sec-Fetch-Site tells its origin instead, and under our own
// no-referrer it has to say "null" (Fetch, "append a request Origin header"). Old
// phones are what some patients have: their stop must not be refused.
func (p *Pages) fromHere(next http.HandlerFunc) http.Handler {
	checked := p.origin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "null" {
			next(w, r)
			return
		}
		checked.ServeHTTP(w, r)
	})
}

func (p *Pages) css(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	_, _ = w.Write(stylesheet) // the reader is gone: nothing left to tell
}

// snapshot reads what is known of a patient from the database: a page that says
// what is stopped must not be older than the last word. nil: nobody.
func (p *Pages) snapshot(ctx context.Context, patient int64) (*preferences.Snapshot, error) {
	got, err := p.Store.Snapshots(ctx, []int64{patient})
	return got[patient], err
}

// outlast lets a word be kept and answered even when whoever brought it hangs up.
func outlast(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), patience)
}
