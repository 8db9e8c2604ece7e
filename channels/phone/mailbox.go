package phone

import (
	"errors"
	"net/mail"
	"strings"
)

var (
	errMailbox = errors.New("not an email address: write it alone, such as name@example.org, without a name beside it")
	errASCII   = errors.New("the email address has letters beyond a to z, which many mail servers refuse (RFC 6531): ask for the address's plain form")
	errLong    = errors.New("the email address is too long: at most 64 characters before the @ and 254 in all")
	errDomain  = errors.New("the part of the email address after the @ is not a domain: write it such as name@example.org")
)

// ParseMailbox reads one bare email address and gives it in lower case. By
// RFC 5321 the part before the @ may tell cases apart; no mailbox provider does,
// and a stop must bind whichever way the address was written.
func ParseMailbox(text string) (string, error) {
	text = strings.TrimSpace(text)
	for _, r := range text {
		switch {
		case r < ' ' || r == 0x7f:
			return "", errMailbox
		case r > 0x7f:
			return "", errASCII
		}
	}
	local, domain, found := strings.Cut(text, "@")
	// RFC 5321 section 4.5.3.1; 254 is what its path of 256 leaves between < and >.
	if found && (len(local) > 64 || len(text) > 254) {
		return "", errLong
	}
	address, err := mail.ParseAddress(text)
	if err != nil || address.Name != "" || address.Address != text {
		return "", errMailbox // not one, or with a name, quotes, brackets or a comment
	}
	if !isDomain(domain) {
		return "", errDomain
	}
	return strings.ToLower(text), nil
}

// isDomain takes host names of at least two labels and no IP addresses.
// RFC 1123 section 2.1.
func isDomain(text string) bool {
	labels := strings.Split(text, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return len(labels) > 1 && strings.Trim(labels[len(labels)-1], "0123456789") != ""
}
