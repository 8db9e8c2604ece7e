package events

import (
	"net"
	"net/http"
	"net/netip"
	"time"

	// ssrf: the special-purpose networks of IANA's registries, looked at when the name is
	// already resolved, so that a name that changes its mind leads nowhere else.
	"code.dny.dev/ssrf"
)

// timeout bounds a whole try, from the name's resolution to the end of the answer.
const timeout = 10 * time.Second

// Guard says which addresses events may go to. An endpoint is named by a person, and
// a name may lead to this machine, to the practice's own network, or to a cloud's
// metadata service (169.254.169.254), which hands out credentials.
type Guard struct {
	// Loopback: this machine and nothing else. The sandbox keeps its promise that
	// nothing leaves this machine.
	Loopback bool
	// Networks of the practice's own that endpoints may stand in.
	Networks []netip.Prefix
}

func (g Guard) guardian() *ssrf.Guardian {
	v4, v6 := []netip.Prefix{}, []netip.Prefix{}
	options := []ssrf.Option{ssrf.WithAnyPort()}
	allow := g.Networks
	if g.Loopback {
		allow = append([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}, allow...)
		options = append(options, ssrf.WithDeniedV4Prefixes(netip.MustParsePrefix("0.0.0.0/0")), ssrf.WithDeniedV6Prefixes(netip.MustParsePrefix("::/0")))
	}
	for _, p := range allow {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return ssrf.New(append(options, ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...))...)
}

// client makes the one HTTP client: no proxy, which would dial for us what we may not;
// no redirects, which would lead past the address that was registered.
func (g Guard) client() *http.Client {
	dialer := &net.Dialer{Timeout: timeout, Control: g.guardian().Safe}
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout, MaxResponseHeaderBytes: 16 << 10,
			MaxIdleConnsPerHost: 4, MaxIdleConns: 40, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		},
	}
}
