package events

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"code.dny.dev/ssrf"
)

func TestGuard(t *testing.T) {
	own := Guard{Networks: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("fd12::/16")}}
	for address, may := range map[string][3]bool{ // live, live with networks of its own, sandbox
		"93.184.216.34":            {true, true, false},
		"2606:2800:220:1::1":       {true, true, false},
		"127.0.0.1":                {false, false, true},
		"127.9.9.9":                {false, false, true},
		"::1":                      {false, false, true},
		"0.0.0.0":                  {false, false, false},
		"::":                       {false, false, false},
		"10.0.0.1":                 {false, false, false},
		"10.20.3.4":                {false, true, false},
		"172.16.0.1":               {false, false, false},
		"192.168.1.1":              {false, false, false},
		"169.254.169.254":          {false, false, false}, // the metadata service of most clouds
		"fd00:ec2::254":            {false, false, false}, // and by IPv6
		"fd12::7":                  {false, true, false},
		"fe80::1":                  {false, false, false},
		"100.64.0.1":               {false, false, false},
		"224.0.0.1":                {false, false, false},
		"255.255.255.255":          {false, false, false},
		"::ffff:169.254.169.254":   {false, false, false},
		"::ffff:127.0.0.1":         {false, false, false},
		"64:ff9b::a9fe:a9fe":       {false, false, false}, // NAT64 of the metadata service
		"2002:a9fe:a9fe::1":        {false, false, false}, // 6to4 of it
		"2001:0:4136:e378:8000::1": {false, false, false}, // Teredo
	} {
		for i, g := range []Guard{{}, own, {Loopback: true}} {
			err := g.guardian().SafeAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), 443))
			if (err == nil) != may[i] {
				t.Errorf("%s, guard %d: %v", address, i, err)
			}
		}
	}
}

func TestGuardStandsAtTheDial(t *testing.T) {
	called := false
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	defer receiver.Close()
	if _, err := (Guard{}).client().Get(receiver.URL); !errors.Is(err, ssrf.ErrProhibitedIP) || called {
		t.Errorf("a live gateway called this machine: %v", err)
	}
	answer, err := (Guard{Loopback: true}).client().Get(receiver.URL)
	if err != nil || !called {
		t.Fatal(err)
	}
	answer.Body.Close()
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	followed := false
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	defer inner.Close()
	receiver := httptest.NewServer(http.RedirectHandler(inner.URL, http.StatusTemporaryRedirect))
	defer receiver.Close()
	answer, err := (Guard{Loopback: true}).client().Get(receiver.URL)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if followed || answer.StatusCode != http.StatusTemporaryRedirect {
		t.Error("it went where the answer pointed")
	}
}
