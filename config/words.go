package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"net/mail"
	"regexp"
	"strings"
)

// phonePattern is a US number as E.164: the service is for the US and its
// territories, which share the North American numbering plan.
var phonePattern = regexp.MustCompile(`^\+1[2-9][0-9]{2}[2-9][0-9]{6}$`)

func isPhone(text string) bool { return phonePattern.MatchString(text) }

func isMailbox(text string) bool {
	a, err := mail.ParseAddress(text)
	return err == nil && a.Address == text && len(text) <= 254 // RFC 5321, 4.5.3.1.3
}

func (k checker) phone(key, value string, must bool) {
	k.unless(value != "" || !must, key, needed+", as +13035550142")
	k.unless(value == "" || isPhone(value), key, "must be a US number as +13035550142, in quotes")
}

func (k checker) mailbox(key, value string, must bool) {
	k.unless(value != "" || !must, key, needed+", as name@practice.example")
	k.unless(value == "" || isMailbox(value), key, "must be a mailbox alone, as name@practice.example")
}

// baseURL: what goes to a provider is personal, so it is encrypted or stays here.
func (k checker) baseURL(key, value string) {
	u := plainURL(value)
	k.unless(value == "" || u != nil && (u.Scheme == "https" || loopback(u.Hostname())), key, "must be https://host, or http:// on this machine, or empty for the provider's own")
}

var hexDigits = regexp.MustCompile(`^[0-9a-fA-F]{32}$`)

func twilioID(text, kind string) bool {
	rest, ok := strings.CutPrefix(text, kind)
	return ok && hexDigits.MatchString(rest)
}

// isPublicKey: SendGrid signs with ECDSA on P-256 and shows the key as base64 of DER.
func isPublicKey(text string) bool {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return false
	}
	key, err := x509.ParsePKIXPublicKey(der)
	public, ok := key.(*ecdsa.PublicKey)
	return err == nil && ok && public.Curve == elliptic.P256()
}
