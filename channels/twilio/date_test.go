package twilio

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"harmonize.care/heed/channels"
)

// sid gives the id of the nth text, in the form that Twilio's have.
func sid(n int) string { return fmt.Sprintf("SM%032d", n) }

// The pretend carrier knows what a person texted, and when.
func TestDate(t *testing.T) {
	w := newWorld(t)
	a := w.adapter(t)
	m := w.Reply(patient, careNumber, "START", true)
	in := channels.Inbound{ID: m.ID, From: patient, To: careNumber, At: time.Now()}
	d, err := a.Date(t.Context(), in)
	if want := (channels.Dated{Found: true, At: m.Created.UTC().Truncate(time.Second), Precision: time.Second}); err != nil || !d.At.Equal(want.At) || !d.Found || d.Precision != want.Precision {
		t.Errorf("%+v, %v, want %+v", d, err, want)
	}
	for name, c := range map[string]struct {
		in     channels.Inbound
		others bool
	}{
		"another text of a number it knows": {channels.Inbound{ID: sid(0), From: patient, To: careNumber, At: time.Now()}, true},
		"a number it does not know":         {channels.Inbound{ID: sid(0), From: "+13035550144", To: careNumber, At: time.Now()}, false},
		"to another number of ours":         {channels.Inbound{ID: sid(0), From: patient, To: shopNumber, At: time.Now()}, false},
		"an id that leads elsewhere":        {channels.Inbound{ID: "../" + m.ID, From: "+13035550144", To: careNumber, At: time.Now()}, false},
	} {
		if d, err := a.Date(t.Context(), c.in); err != nil || d.Found || d.Others != c.others {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// A text that cannot be fetched by its id may still be in the list; what is no
// answer about this text is an error, so that it is asked again.
func TestDateFromTheList(t *testing.T) {
	lists := func(rows ...map[string]any) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/Messages.json") {
				answering(404, `{"code": 20404, "status": 404}`)(w, r)
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"messages": rows})
		}
	}
	in := channels.Inbound{ID: sid(1), From: patient, To: careNumber, At: noon.Add(time.Minute)}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   channels.Dated
		fails  bool
	}{
		"listed":            {lists(row(sid(1), "inbound", patient, careNumber, "", noon)), channels.Dated{Found: true, At: noon, Precision: time.Second}, false},
		"only others":       {lists(row(sid(2), "inbound", patient, careNumber, "", noon)), channels.Dated{Others: true}, false},
		"ours, not theirs":  {lists(row(sid(2), "outbound-api", patient, careNumber, "", noon)), channels.Dated{}, false},
		"somebody else's":   {lists(row(sid(2), "inbound", "+13035550199", careNumber, "", noon)), channels.Dated{}, false},
		"nothing":           {lists(), channels.Dated{}, false},
		"a fault":           {answering(500, ``), channels.Dated{}, true},
		"too many":          {answering(429, `{"code": 20429}`), channels.Dated{}, true},
		"not Twilio's page": {answering(404, `no`), channels.Dated{}, true},
		"another message":   {answering(200, `{"sid": "`+sid(9)+`", "date_created": "Tue, 03 Mar 2026 12:00:00 +0000"}`), channels.Dated{}, true},
		"no date":           {answering(200, `{"sid": "`+sid(1)+`"}`), channels.Dated{}, true},
	} {
		p := newProvider(t, c.answer)
		got, err := newAdapter(t, p.options()).Date(t.Context(), in)
		if got.At = got.At.UTC(); c.want.At.IsZero() {
			got.At = time.Time{}
		}
		if diff := cmp.Diff(c.want, got); (err != nil) != c.fails || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
		if list := p.asked[len(p.asked)-1]; len(p.asked) == 2 && (list.URL.Query().Get("From") != patient || list.URL.Query().Get("To") != careNumber) {
			t.Errorf("%s: asked for %v", name, list.URL.Query())
		}
	}
}
