package pages_test

import (
	"context"
	_ "embed" // axe-core
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	// chromedp drives a real Chromium: the only way to know that a page can be used.
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
)

// patience is how long one step in the browser may take.
const patience = 30 * time.Second

// openBrowser starts a Chromium that reaches this machine alone.
func openBrowser(t *testing.T) context.Context {
	t.Helper()
	program := os.Getenv("HEED_TEST_CHROMIUM")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); program == "" && err == nil {
			program = found
		}
	}
	if program == "" {
		t.Skip("no Chromium here: install it, or set HEED_TEST_CHROMIUM to its path")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()), chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's own sandbox does not run as root
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	browser, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	if err := chromedp.Do(browser); err != nil {
		t.Fatal(err)
	}
	return browser
}

// axe is the accessibility checker axe-core 4.14.1 of Deque Systems, as it is published
// (Mozilla Public License 2.0). It lies here so that no machine skips it.
//
//go:embed testdata/axe.min.js
var axe string

// visitor is a person with a keyboard.
type visitor struct {
	*bench
	t     *testing.T
	tab   context.Context
	lang  string
	shots string // prefix of the pictures' names
}

func TestInABrowser(t *testing.T) {
	browser := openBrowser(t)
	folder := os.Getenv("HEED_TEST_SHOTS")
	if folder == "" {
		folder = t.TempDir()
	}
	for _, lang := range []string{"en", "es"} {
		for _, width := range []int64{320, 1280} {
			t.Run(fmt.Sprintf("%s at %d px", lang, width), func(t *testing.T) {
				var b *bench
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.handler.ServeHTTP(w, r) }))
				defer server.Close()
				b = newBenchAt(t, server.URL)
				tab, end := chromedp.NewContext(browser)
				defer end()
				if err := chromedp.Do(tab, chromedp.EmulateViewport(width, 800)); err != nil {
					t.Fatal(err)
				}
				v := &visitor{bench: b, t: t, tab: tab, lang: lang, shots: filepath.Join(folder, fmt.Sprintf("%s-%d-", lang, width))}
				v.walk(b.enrol(lang))
			})
		}
	}
}

// walk opens every page and presses every button.
func (v *visitor) walk(patient int64) {
	v.unsubscribing(patient)
	v.reading()
	v.choosing(patient)
	v.showing(patient)
	v.asking(patient)
	v.closing(patient)
}

func (v *visitor) unsubscribing(patient int64) {
	v.goTo(v.pathOf(v.links.Unsubscribe(patient, v.mailboxOf(patient), "marketing")), 200)
	v.see("unsubscribe")
	v.tabTo(`button`)
	v.enter(200)
	v.see("unsubscribed")
	v.tabTo(`main a`) // to the preference page
	v.enter(200)
	v.see("preferences")
	v.tabTo(`button[value=marketing]`)
	v.enter(200)
	v.see("preferences-marketing")
	v.tabTo(`button[value=non_essential]`)
	v.enter(200)
	v.see("preferences-everything")
	if got := v.snapshot(patient).Choices; len(got) != 3 {
		v.t.Errorf("three presses left %d choices", len(got))
	}
}

func (v *visitor) reading() {
	secure, id := v.secure("Take one tablet in the morning.\n\nQuestions: see https://practice.example/a/rather/long/address/that/does/not/fit/on/a/phone")
	v.goTo(secure, 200)
	v.see("secure")
	v.tabTo(`button`)
	v.enter(422)
	v.see("secure-empty")
	v.follow(`.problem a`) // the summary leads to the field
	v.born("April", "3")
	v.enter(422)
	v.see("secure-wrong")
	v.tabTo(`select`)
	v.born("April", "2")
	v.enter(200)
	v.see("message")

	v.exec("UPDATE page_tries SET tries = 5 WHERE message = $1", id)
	v.goTo(secure, 403)
	v.see("locked")
	v.exec("UPDATE messages SET status = 9 WHERE id = $1", id)
	v.goTo(secure, 410)
	v.see("gone")
	v.goTo("/u/nothing", 404)
	v.see("missing")
}

// choosing turns something off with the link alone, and on again with a code.
func (v *visitor) choosing(patient int64) {
	v.said(patient, intake.Choice{Topic: "survey", Channel: channels.Email, In: true})
	v.clock.move(time.Second)
	v.goTo(v.linkPath(patient), 200)
	v.tabTo(`input[value="survey/email"]`)
	v.keys(" ") // unticks it
	v.tabTo(`button[value=topics]`)
	v.enter(200)
	v.see("topics-saved")
	if v.isOn(patient, "survey", channels.Email) {
		v.t.Error("an unticked topic is on")
	}
	v.tabTo(`input[name=on][value=voice]`)
	v.keys(" ")
	v.tabTo(`button[value=care]`)
	v.enter(200)
	v.see("care-declined")
	v.tabTo(`input[name=on][value=sms]`)
	v.keys(" ")
	v.tabTo(`input[name=on][value=email]`)
	v.keys(" ")
	v.tabTo(`button[value=care]`)
	v.enter(422)
	v.see("care-one-stays")

	v.tabTo(`button[value=code]`)
	v.enter(200)
	v.see("code-sent")
	v.tabTo(`#code`)
	v.keys(wrongCode(v.code()))
	v.tabTo(`button[value=prove]`)
	v.enter(422)
	v.see("code-wrong")
	v.follow(`.problem a`) // the summary leads to the field
	v.on(`#code`)
	v.keys(v.code())
	v.tabTo(`button[value=prove]`)
	v.enter(200)
	v.see("proved")
	v.tabTo(`input[value="survey/email"]`)
	v.keys(" ")
	v.tabTo(`button[value=topics]`)
	v.enter(200)
	v.see("topics-on")
	if !v.isOn(patient, "survey", channels.Email) {
		v.t.Error("a ticked topic is off")
	}
	v.tabTo(`input[name=on][value=voice]`)
	v.keys(" ")
	v.tabTo(`#rank-email`)
	v.keys("1")
	v.tabTo(`#rank-sms`)
	v.keys("2")
	v.tabTo(`button[value=care]`)
	v.enter(200)
	v.see("care-order")
	if care := v.snapshot(patient).Care; len(care.Declined) != 0 || len(care.Order) == 0 || care.Order[0] != channels.Email {
		v.t.Errorf("the care channels are %+v", care)
	}
}

// showing reads what was sent, and ends the proof.
func (v *visitor) showing(patient int64) {
	v.tabTo(`main a[href*="view=sent"]`)
	v.enter(200)
	v.see("sent")
	v.tabTo(`nav a`) // the switch stays on this page
	v.enter(200)
	v.switched()
	v.see("sent-switched")
	v.tabTo(`nav a`)
	v.enter(200)
	v.switched()
	v.tabTo(`button[value=leave]`)
	v.enter(200)
	v.see("left")
	v.goTo(v.linkPath(patient)+"?view=sent&lang="+v.lang, 200)
	v.see("code-first")
	v.exec("UPDATE page_codes SET recent = '[]' WHERE patient = $1", patient)
	for range 3 {
		v.tabTo(`button[value=code]`)
		v.enter(200)
	}
	v.tabTo(`button[value=code]`)
	v.enter(429)
	v.see("code-too-many")
	v.exec("UPDATE page_codes SET tries = 5 WHERE patient = $1", patient)
	v.tabTo(`#code`)
	v.keys("123456")
	v.tabTo(`button[value=prove]`)
	v.enter(422)
	v.see("code-over")
	v.tabTo(`main > p:last-child a`)
	v.enter(200)
	v.tabTo(`button[value=data]`)
	v.enter(200)
	v.see("data")
}

// asking asks for confidential communication.
func (v *visitor) asking(patient int64) {
	v.tabTo(`main a[href*="view=private"]`)
	v.enter(200)
	v.see("private")
	v.tabTo(`button[value=private]`)
	v.enter(422)
	v.see("private-empty")
	v.follow(`.problem a`)
	v.on(`#sms`)
	v.tabTo(`input[value=here]`)
	v.keys(" ")
	v.tabTo(`input[name=discreet]`)
	v.keys(" ")
	v.tabTo(`#elsewhere`)
	v.keys("12 Elm Street")
	v.tabTo(`button[value=private]`)
	v.enter(200)
	v.see("private-done")
	if c := v.snapshot(patient).Confidential; c == nil || !c.Discreet || len(c.Only) != 1 || c.Only[0] != (preferences.Pair{Channel: channels.Email, Address: v.mailboxOf(patient)}) {
		v.t.Errorf("in force is %+v", c)
	}
	v.goTo(v.linkPath(patient)+"?view=private&lang="+v.lang, 200)
	v.see("private-again")
}

// closing visits links that can send no code, and those of somebody who is gone.
func (v *visitor) closing(patient int64) {
	if err := v.intake.Stop(context.Background(), "staff", "+13035550143", channels.Care, false, nil); err != nil {
		v.t.Fatal(err)
	}
	v.goTo(v.preferencesPath(patient), 200)
	v.see("preferences-carrier")
	v.goTo(v.preferencesPath(patient)+"?view=code&lang="+v.lang, 200)
	v.see("code-closed")
	v.confidential(patient, channels.Voice, "+13035550143")
	v.goTo(v.linkPath(patient), 200)
	v.see("preferences-confidential")
	// The switch of the language is a link like every other.
	v.tabTo(`nav a`)
	v.enter(200)
	v.switched()
	v.see("switched")
	v.switched()
	path := v.linkPath(patient)
	if err := v.intake.Erase(context.Background(), "staff", patient, "request"); err != nil {
		v.t.Fatal(err)
	}
	v.goTo(path+"?lang="+v.lang, 200)
	v.see("erased")
}

func (v *visitor) switched() { v.lang = map[string]string{"en": "es", "es": "en"}[v.lang] }

// born types a date of birth that begins in the field that has the focus.
func (v *visitor) born(month, day string) {
	v.t.Helper()
	if v.lang == "es" {
		month = map[string]string{"April": "abril"}[month]
	}
	v.on("select")
	v.keys(month[:3])
	v.tabTo("#day")
	v.keys(day)
	v.tabTo("#year")
	v.keys("1962")
	v.tabTo("button")
}

func (v *visitor) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.tab, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		v.t.Fatalf("%s: %v", what, err)
	}
}

// ask evaluates a question about the page.
func ask[T any](v *visitor, script string) T {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.tab, patience)
	defer cancel()
	answer, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		v.t.Fatalf("asking the page: %v", err)
	}
	return answer
}

func (v *visitor) goTo(path string, status int64) {
	v.t.Helper()
	if v.lang == "es" && strings.HasPrefix(path, "/u/nothing") {
		path += "?lang=es"
	}
	v.load(status, chromedp.Navigate(v.url+path))
}

// enter presses what has the focus and waits for the next page.
func (v *visitor) enter(status int64) {
	v.t.Helper()
	v.load(status, chromedp.KeyEvent(kb.Enter))
}

func (v *visitor) load(status int64, step chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.tab, patience)
	defer cancel()
	answer, err := chromedp.RunResponse(ctx, step)
	if err != nil {
		v.t.Fatalf("no page came: %v", err)
	}
	if answer == nil || answer.Status != status {
		v.t.Fatalf("the page came with %+v instead of %d", answer, status)
	}
}

func (v *visitor) keys(text string) {
	v.t.Helper()
	v.do("typing", chromedp.KeyEvent(text))
}

// follow presses Enter on a link within the page. The key goes down raw, as a keyboard
// sends it: Chromium then keeps its letter from the field that the link leads to.
func (v *visitor) follow(selector string) {
	v.t.Helper()
	v.tabTo(selector)
	v.do("following "+selector, chromedp.KeyEvent(kb.Enter, func(p *input.DispatchKeyEventParams) {
		if p.Type == kb.KeyDown {
			p.Type = kb.KeyRawDown
		}
	}))
}

// tabTo presses Tab until the element has the focus, and looks whether that shows.
func (v *visitor) tabTo(selector string) {
	v.t.Helper()
	for range 60 {
		v.keys(kb.Tab)
		if ask[bool](v, `document.activeElement.matches(`+quote(selector)+`)`) {
			v.on(selector)
			return
		}
	}
	v.t.Fatalf("Tab never comes to %s", selector)
}

// on holds that an element has the focus and shows it: WCAG 2.4.7.
func (v *visitor) on(selector string) {
	v.t.Helper()
	if !ask[bool](v, `document.activeElement.matches(`+quote(selector)+`) && (s => s.outlineStyle === 'solid' && parseFloat(s.outlineWidth) >= 3)(getComputedStyle(document.activeElement))`) {
		v.t.Errorf("%s does not show that it has the focus", selector)
	}
}

func quote(text string) string {
	b, _ := json.Marshal(text) // a text always marshals
	return string(b)
}

// violation is what axe found, with the elements.
type violation struct {
	ID, Help string
	Nodes    []struct{ HTML string }
}

// see takes a picture and holds the page against WCAG 2.1 AA.
func (v *visitor) see(name string) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.tab, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		v.t.Fatal(err)
	}
	if err := os.WriteFile(v.shots+name+".png", picture, 0o600); err != nil {
		v.t.Fatal(err)
	}
	for what, holds := range map[string]string{
		"the language is told":        `document.documentElement.lang === ` + quote(v.lang),
		"one heading of level one":    `document.querySelectorAll('h1').length === 1`,
		"nothing runs out sideways":   `document.documentElement.scrollWidth <= document.documentElement.clientWidth`,
		"the stylesheet is in force":  `getComputedStyle(document.body).maxWidth !== 'none'`,
		"no script":                   `document.scripts.length === 0`,
		"what is pressed is large":    `[...document.querySelectorAll('button, input:not([type=hidden]), select')].every(e => (e.type === 'checkbox' ? e.closest('label') : e).getBoundingClientRect().height >= 44)`,
		"nothing came from elsewhere": `performance.getEntriesByType('resource').every(e => new URL(e.name).origin === location.origin)`,
	} {
		if !ask[bool](v, holds) {
			v.t.Errorf("%s: not true that %s", name, what)
		}
	}
	v.do("loading axe", chromedp.Evaluate[chromedp.Void](axe))
	for _, found := range ask[[]violation](v, `axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})
		.then(r => r.violations.map(v => ({ID: v.id, Help: v.help, Nodes: v.nodes.map(n => ({HTML: n.html}))})))`) {
		v.t.Errorf("%s: %s: %s: %+v", name, found.ID, found.Help, found.Nodes)
	}
}
