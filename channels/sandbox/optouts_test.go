package sandbox

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// The page's form changes a list, takes no list that is not there, and shows who is on one.
func TestOptOutsOnThePage(t *testing.T) {
	s := New(Options{ASMGroup: 1, Programs: map[string]string{"+18885550101": "care"}})
	defer s.Close()
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, c := range []struct {
		address, from, off string
		status             int
	}{
		{"One@patients.example", "1", "", 303}, {"two@patients.example", "", "", 303}, {"+13035550151", "+18885550101", "", 303},
		{"one@patients.example", "2", "", 422}, {"+13035550151", "+18885550199", "", 422}, {"+13035550151", "1", "", 422}, {"no address", "1", "", 422},
		{"two@patients.example", "", "1", 303},
	} {
		r, err := client.PostForm(server.URL+"/optout", url.Values{"address": {c.address}, "from": {c.from}, "off": {c.off}})
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != c.status {
			t.Errorf("%+v: %d", c, r.StatusCode)
		}
	}
	for from, want := range map[string][]string{"1": {"one@patients.example"}, "": nil, "+18885550101": {"+13035550151"}} {
		if got := s.OptOuts(from); !slices.Equal(got, want) {
			t.Errorf("%q: %v", from, got)
		}
	}
	page := httptest.NewRecorder()
	s.Handler().ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/", nil))
	for _, want := range []string{"SendGrid, group 1", "Twilio, texts of care", "+13035550151"} {
		if !strings.Contains(page.Body.String(), want) && !strings.Contains(page.Body.String(), strings.ReplaceAll(want, "+", "&#43;")) {
			t.Errorf("%q is not on the page", want)
		}
	}
}

// What SendGrid is told of a group that it does not have goes to its global list, and drops
// everything.
func TestAGroupThatIsNotThereFillsTheGlobalList(t *testing.T) {
	s := New(Options{SendGridKey: "k", ASMGroup: 1})
	defer s.Close()
	r := httptest.NewRequest(http.MethodPost, "/v3/asm/groups/9/suppressions", strings.NewReader(`{"recipient_emails": ["one@patients.example"]}`))
	r.Header.Set("Authorization", "Bearer k")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusCreated || !slices.Equal(s.OptOuts(""), []string{"one@patients.example"}) || len(s.OptOuts("9")) > 0 {
		t.Errorf("%d, %v", w.Code, s.OptOuts(""))
	}
	if !s.suppressed(&mailRequest{}, "One@patients.example") || s.suppressed(&mailRequest{}, "two@patients.example") {
		t.Error("the global list does not bind")
	}
}
