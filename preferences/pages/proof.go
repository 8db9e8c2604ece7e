package pages

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// A link may be forwarded, printed, or lie in a shared mailbox for years. Whoever
// loosens something, or wants to see what was sent, shows first that they read what
// comes to the address that the link was sent to. With 50 guesses a day at most, a
// million codes hold out.
const (
	codeFor     = 10 * time.Minute
	codeTries   = 5
	codesHourly = 3
	codesDaily  = 10
	proofFor    = 30 * time.Minute
	proofCookie = "heed_page"
)

// visit is somebody who came by a link to the preference page.
type visit struct {
	snapshot *preferences.Snapshot
	lang     string
	token    string
	address  int64     // that the link was sent to; 0: unknown
	proved   bool      // a code that was sent there was given
	until    time.Time // and for how long that counts
}

// codeWay says by which channel a code may go to the address of the link, or the
// rule that forbids it.
func (p *Pages) codeWay(v *visit) (channels.Channel, policy.Code) {
	pair, refused := policy.CodeWay(v.snapshot, v.address, p.Now())
	if refused == "" && p.Dispatcher.Ways[dispatch.WayOf{Program: channels.Care, Channel: pair.Channel}].Adapter == nil {
		return 0, policy.NoAdapter
	}
	return pair.Channel, refused
}

// prove reads the proof in the browser. It is of no use for another patient, another
// address, or once the address is none that the patient may be reached at.
func (p *Pages) prove(r *http.Request, v *visit) {
	cookie, err := r.Cookie(proofCookie)
	if err != nil {
		return
	}
	patient, address, until, err := p.Links.ReadProof(cookie.Value)
	if err != nil || patient != v.snapshot.Patient || address != v.address || address == 0 || !p.Now().Before(until) {
		return
	}
	if _, refused := policy.CodeWay(v.snapshot, v.address, p.Now()); refused == "" {
		v.proved, v.until = true, until
	}
}

// sendCode sends a code and asks for it.
func (p *Pages) sendCode(w http.ResponseWriter, r *http.Request, v *visit) {
	channel, refused := p.codeWay(v)
	if refused != "" {
		p.showCode(w, http.StatusConflict, v, problem{})
		return
	}
	digits, err := p.digits()
	if err != nil {
		p.fault(w, r, err)
		return
	}
	now := p.Now()
	kept, err := p.Store.KeepCode(r.Context(), gateway.PageCode{
		Patient: v.snapshot.Patient, Address: v.address, Digest: p.Links.CodeDigest(v.snapshot.Patient, v.address, digits), At: now,
	}, func(made []time.Time) bool { return mayMakeCode(made, now) })
	switch {
	case err != nil:
		p.fault(w, r, err)
		return
	case !kept:
		p.showCode(w, http.StatusTooManyRequests, v, problem{Text: say(v.lang, "code.too_many"), Field: "code"})
		return
	}
	if refused, err = p.Intake.SendCode(r.Context(), actor, v.snapshot, v.address, digits, v.lang); err != nil {
		p.fault(w, r, err)
		return
	}
	if refused != "" {
		p.showCode(w, http.StatusConflict, v, problem{})
		return
	}
	p.showCodeSent(w, v, say(v.lang, "code.sent."+channel.String()))
}

// mayMakeCode counts the codes of the last hour and of the last day.
func mayMakeCode(made []time.Time, now time.Time) bool {
	hour, day := 0, 0
	for _, at := range made {
		if at.After(now.Add(-time.Hour)) {
			hour++
		}
		if at.After(now.Add(-24 * time.Hour)) {
			day++
		}
	}
	return hour < codesHourly && day < codesDaily
}

// digits draws a code; every one is as likely as the others.
func (p *Pages) digits() (string, error) {
	n, err := rand.Int(p.Random, big.NewInt(1_000_000))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%06d", n), nil
}

// takeCode checks a code. A try is taken before the look, so that many guesses at
// once get no more looks than one after the other.
func (p *Pages) takeCode(w http.ResponseWriter, r *http.Request, v *visit) {
	given := strings.Map(func(c rune) rune {
		if c == ' ' || c == '-' || c == '\u00a0' { // as people copy it from a message
			return -1
		}
		return c
	}, r.PostFormValue("code"))
	if _, ok := number("1"+given, 7, 7, 1_999_999); !ok {
		p.showCode(w, http.StatusUnprocessableEntity, v, problem{Text: say(v.lang, "code.unread"), Field: "code"})
		return // no code at all is no guess
	}
	digest, try, err := p.Store.TryCode(r.Context(), v.snapshot.Patient, v.address, p.Now().Add(-codeFor), codeTries)
	right := try > 0 && subtle.ConstantTimeCompare(digest, p.Links.CodeDigest(v.snapshot.Patient, v.address, given)) == 1
	if err == nil && right {
		right, err = p.Store.UseCode(r.Context(), v.snapshot.Patient, digest)
		try = max(try, codeTries) // somebody else used it meanwhile: it is used up
	}
	switch {
	case err != nil:
		p.fault(w, r, err)
	case right:
		p.proved(w, r, v)
	case try == 0 || try >= codeTries:
		p.showCode(w, http.StatusUnprocessableEntity, v, problem{Text: say(v.lang, "code.over"), Field: "again"})
	case try == codeTries-1:
		p.showCode(w, http.StatusUnprocessableEntity, v, problem{Text: say(v.lang, "code.wrong"), Left: say(v.lang, "secure.one_try"), Field: "code"})
	default:
		p.showCode(w, http.StatusUnprocessableEntity, v, problem{Text: say(v.lang, "code.wrong"), Left: say(v.lang, "secure.tries", codeTries-try), Field: "code"})
	}
}

func (p *Pages) proved(w http.ResponseWriter, r *http.Request, v *visit) {
	if _, refused := policy.CodeWay(v.snapshot, v.address, p.Now()); refused != "" {
		p.showCode(w, http.StatusConflict, v, problem{}) // closed while the code was under way
		return
	}
	if err := p.Intake.Looked(r.Context(), actor, v.snapshot.Patient, "page.proved"); err != nil {
		p.fault(w, r, err)
		return
	}
	v.proved, v.until = true, p.Now().Add(proofFor)
	p.setProof(w, v, p.Links.Proof(v.snapshot.Patient, v.address, v.until), int(proofFor/time.Second))
	p.showPreferences(w, v, say(v.lang, "proof.done"))
}

// leave ends what a code opened, for whoever shares the device.
func (p *Pages) leave(w http.ResponseWriter, v *visit) {
	v.proved = false
	p.setProof(w, v, "", -1)
	p.showPreferences(w, v, say(v.lang, "proof.left"))
}

// setProof keeps the proof in the browser, for this page alone: no script reads it,
// and no other site's press or link sends it along.
func (p *Pages) setProof(w http.ResponseWriter, v *visit, value string, seconds int) {
	path := "/p/" + v.token
	u, err := url.Parse(p.PublicURL)
	if err == nil {
		path = strings.TrimRight(u.EscapedPath(), "/") + path
	}
	http.SetCookie(w, &http.Cookie{
		Name: proofCookie, Value: value, Path: path, MaxAge: seconds,
		Secure: err == nil && u.Scheme == "https", HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

// codePage asks for a code, or to have one sent.
type codePage struct {
	Sent    string // what was just sent
	Closed  string // why no code can be sent, and what to do
	Problem problem
	Ask     bool // a code may be under way: there is a field for it
	Why     string
}

func (p *Pages) showCode(w http.ResponseWriter, status int, v *visit, wrong problem) {
	p.codePage(w, status, v, codePage{Problem: wrong, Ask: true})
}

func (p *Pages) showCodeSent(w http.ResponseWriter, v *visit, sent string) {
	p.codePage(w, http.StatusOK, v, codePage{Sent: sent, Ask: true})
}

// codeFirst asks somebody who has no proof yet to have a code sent.
func (p *Pages) codeFirst(w http.ResponseWriter, v *visit, why string) {
	p.codePage(w, http.StatusOK, v, codePage{Why: why})
}

func (p *Pages) codePage(w http.ResponseWriter, status int, v *visit, c codePage) {
	if _, refused := p.codeWay(v); refused != "" {
		c = codePage{Closed: say(v.lang, closedKey(refused))}
	}
	f := p.frame(v.lang, say(v.lang, "code.title"))
	f.Wrong, f.View, f.Page = c.Problem.Text != "", "code", c
	p.show(w, status, "code", f)
}

// closedKey is the phrase for why no code can go to the address of a link. That an
// instruction forbids it is not told: see tellsInstruction.
func closedKey(refused policy.Code) string {
	switch refused {
	case policy.NoAddress:
		return "closed.unknown"
	case policy.Stopped:
		return "closed.stopped"
	}
	return "closed.other"
}

// evidence is kept with what was said on the page: which words were shown, in which
// language, and how sure it is who said it.
func (p *Pages) evidence(v *visit) map[string]string {
	by := "link"
	if v.proved {
		by = "link_and_code"
	}
	return map[string]string{"page": "preferences", "wording": p.wording, "language": v.lang, "shown_by": by}
}

func (p *Pages) again(ctx context.Context, v *visit) error {
	s, err := p.snapshot(ctx, v.snapshot.Patient)
	if err == nil && s != nil {
		v.snapshot = s
	}
	return err
}
