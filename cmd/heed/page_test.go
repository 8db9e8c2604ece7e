package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
)

// guest is somebody with a browser and a link.
type guest struct {
	h      *heedUnderTest
	client *http.Client
	link   string
}

func (h *heedUnderTest) guest(link string) *guest {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &guest{h, &http.Client{Jar: jar}, link}
}

func (g *guest) read(r *http.Response, err error) (int, string) {
	g.h.t.Helper()
	if err != nil {
		g.h.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		g.h.t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

func (g *guest) opens(view string) (int, string) {
	g.h.t.Helper()
	return g.read(g.client.Get(g.link + view))
}

func (g *guest) presses(form url.Values) (int, string) {
	g.h.t.Helper()
	return g.read(g.client.PostForm(g.link, form))
}

var (
	pageLink  = regexp.MustCompile(`https?://\S+/p/\S+`)
	digitsOf  = regexp.MustCompile(`\b[0-9]{6}\b`)
	askCode   = url.Values{"do": {"code"}}
	surveyOn  = url.Values{"do": {"topics"}, "on": {"survey/email"}}
	surveyOff = url.Values{"do": {"topics"}, "was": {"survey/email"}}
)

// A patient follows the link of a real mail, stops something with it alone, and turns
// it on again with a code that comes to the same mailbox.
func TestThePreferencePage(t *testing.T) {
	h := start(t, nil)
	h.enrol("P-1", "+13035550161", "page@mailbox.example")
	h.settles(h.send(map[string]any{"patient": "P-1", "category": "follow_up", "template": "follow_up", "channels": []string{"email"}, "variables": map[string]string{"text": "Your letter is ready."}}), "sent", "delivered")
	g := h.guest(pageLink.FindString(h.to("page@mailbox.example")[0].Body))
	survey := func() any {
		return h.ok("POST", "/v1/decisions", map[string]any{"patient": "P-1", "category": "survey", "channels": []string{"email"}})["outcome"]
	}
	if status, page := g.presses(surveyOff); status != 200 || survey() != "suppress" {
		t.Fatalf("a stop answered %d: %s", status, page)
	}
	if status, _ := g.presses(surveyOn); status != 403 || survey() != "suppress" {
		t.Fatalf("a yes without a code answered %d", status)
	}
	if status, page := g.presses(askCode); status != 200 {
		t.Fatalf("asking for a code answered %d: %s", status, page)
	}
	eventually(t, "the code comes", func() bool { return len(h.to("page@mailbox.example")) == 2 })
	code := digitsOf.FindString(h.to("page@mailbox.example")[1].Body)
	if status, page := g.presses(url.Values{"do": {"prove"}, "code": {code}}); status != 200 || !strings.Contains(page, "view=sent") {
		t.Fatalf("the code answered %d: %s", status, page)
	}
	if status, _ := g.presses(surveyOn); status != 200 || survey() != "send" {
		t.Fatalf("a yes with a code answered %d", status)
	}
	if status, page := g.opens("?view=sent"); status != 200 || !strings.Contains(page, "After a visit") {
		t.Errorf("what was sent answered %d: %s", status, page)
	}
	if status, page := h.guest(g.link).opens("?view=sent"); status != 200 || strings.Contains(page, "After a visit") {
		t.Errorf("another browser sees what was sent: %d", status)
	}
	for _, private := range []string{code, strings.TrimPrefix(g.link, h.url), "page@mailbox", "3035550161"} {
		if strings.Contains(h.log.String(), private) {
			t.Errorf("the log holds %q", private)
		}
	}
}

// A code that was asked for never goes out after a STOP from that phone was answered.
func TestNoCodeAfterAStop(t *testing.T) {
	h := start(t, nil)
	held := 0
	for i := range 20 {
		phone, ref := fmt.Sprintf("+130355502%02d", i), fmt.Sprint("S-", i)
		h.enrol(ref, phone, fmt.Sprintf("s%d@mailbox.example", i))
		id, err := h.server.db.PatientID(context.Background(), ref)
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.server.db.Snapshots(context.Background(), []int64{id})
		if err != nil {
			t.Fatal(err)
		}
		var address int64
		for _, a := range got[id].Addresses {
			if a.Kind == channels.Phone {
				address = a.ID
			}
		}
		codes := func() (n int) {
			for _, m := range h.to(phone) {
				if strings.Contains(m.Body, "Your code is") {
					n++
				}
			}
			return n
		}
		asked := make(chan int, 1)
		go func() {
			r, err := http.PostForm(h.server.links.Preferences(id, address), askCode)
			if err != nil {
				t.Error(err)
				asked <- 0
				return
			}
			r.Body.Close()
			asked <- r.StatusCode
		}()
		if i%2 == 0 {
			<-asked
			asked <- 0
		}
		if err := h.server.intake.Stop(context.Background(), "staff", phone, channels.Care, false, nil); err != nil {
			t.Fatal(err)
		}
		before := codes() // the stop was answered
		<-asked
		eventually(t, "the code's message has ended", func() bool {
			list, err := h.server.db.Messages(context.Background(), gateway.MessageFilter{Patient: id, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range list {
				if m.Status == gateway.Waiting || m.Status == gateway.Sending {
					return false
				}
				if m.Template == "page_code" && m.Status == gateway.Suppressed {
					held++
				}
			}
			return true
		})
		if after := codes(); after != before {
			t.Errorf("patient %d: a code went out after the stop was answered", i)
		}
	}
	t.Logf("%d codes were held back by the claim", held)
}
