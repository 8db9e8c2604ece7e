package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	long   = "a-secret-of-more-than-thirty-two-characters"
	public = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAELQHFGtaIXml5u7JOrGJuiAOGvbVu5GFG5zsI5M/hDL/3ZAOGkIgVePiTpxgpiT/y2YyPUvugLdWa7g/F9pHZKQ=="
)

// TestMistakes changes live settings that are right, one or a few at a time.
func TestMistakes(t *testing.T) {
	file := write(t, live)
	for _, c := range []struct {
		set   string // KEY=VALUE | KEY=VALUE
		wrong string // the settings that must be told, separated by spaces
	}{
		{"", ""},
		{"http.listen=localhost", "http.listen"},
		{"http.listen=localhost:http", "http.listen"},
		{"http.listen=:70000", "http.listen"},
		{"http.listen=:443", ""},
		{"http.listen=[::1]:80", ""},
		{"http.public_url=http://heed.example", "http.public_url"},
		{"http.public_url=http://heed.example | providers.mode=sandbox", ""},
		{"http.public_url=http://127.0.0.1:9000", ""},
		{"http.public_url=http://[::1]:9000/heed/", ""},
		{"http.public_url=heed.example", "http.public_url"},
		{"http.public_url=ftp://heed.example", "http.public_url"},
		{"http.public_url=https://user:password@heed.example", "http.public_url"},
		{"http.public_url=https://heed.example/?a=b", "http.public_url"},
		{"http.public_url=https://heed.example/#top", "http.public_url"},
		{"http.public_url=https://", "http.public_url"},
		{"http.public_url=", "http.public_url"},
		{"http.tls.cert=cert.pem", "http.tls.key"},
		{"http.tls.key=key.pem", "http.tls.cert"},
		{"http.tls.key=key.pem | http.tls.cert=cert.pem", ""},
		{"database.url=", "database.url"},
		{"database.url=heed.db", "database.url"},
		{"database.url=sqlite:", "database.url"},
		{"database.url=sqlite::memory:", "database.url"},
		{"database.url=sqlite:///var/heed.db", "database.url"},
		{"database.url=sqlite:heed.db?mode=ro", "database.url"},
		{"database.url=sqlite:/var/lib/heed.db", ""},
		{"database.url=mysql://heed@host/db", "database.url"},
		{"database.url=postgres://heed:s/e@host/db", "database.url"},
		{"database.url=postgres:///db", "database.url"},
		{"database.url=postgres://heed@host/db", ""},
		{"database.url=postgresql://heed@/db?host=/run/postgresql", ""},
		{"database.url=postgres://heed@host/db | keys.secret=", "keys.secret"},
		{"keys.secret=", ""},
		{"keys.secret=short", "keys.secret"},
		{"keys.previous=" + long + ",short", "keys.previous[1]"},
		{"keys.previous=" + strings.TrimSuffix(strings.Repeat(long+",", 11), ","), "keys.previous"},
		{"auth.admin_key=fifteen-letters", "auth.admin_key"},
		{"auth.admin_key=sixteen-letters!", ""},
		{"redis.url=localhost:6379", "redis.url"},
		{"redis.url=http://localhost", "redis.url"},
		{"redis.url=redis://", "redis.url"},
		{"redis.url=redis://a,b", "redis.url"},
		{"redis.url=redis://secret@host", "redis.url"},
		{"redis.url=redis://host?password=secret", "redis.url"},
		{"redis.url=redis+sentinel://a,b", "redis.url"},
		{"redis.url=redis+sentinel://a,b/", "redis.url"},
		{"redis.url=redis+sentinel://:s@a:1,b:2/main", ""},
		{"redis.url=redis+cluster://a,b", ""},
		{"redis.url=rediss://heed:s@host:6380/2", ""},
		{"practice.name=", "practice.name"},
		{"practice.name= ", "practice.name"},
		{"practice.phone=303-555-0142", "practice.phone"},
		{"practice.phone=+443035550142", "practice.phone"},
		{"practice.phone=+11035550142", "practice.phone"},
		{"practice.opt_out_phone=+1800555019", "practice.opt_out_phone"},
		{"practice.privacy_email=privacy", "practice.privacy_email"},
		{"practice.privacy_email=Privacy <privacy@cedar.example>", "practice.privacy_email"},
		{"practice.privacy_email=a@b.example,c@d.example", "practice.privacy_email"},
		{"practice.on_call=+13035550142,x@cedar.example", ""},
		{"practice.on_call=+13035550142,nobody", "practice.on_call[1]"},
		{"practice.on_call=" + strings.Repeat("+13035550142,", 21), "practice.on_call"},
		{"practice.time_zone=Mountain", "practice.time_zone"},
		{"practice.time_zone=Local", "practice.time_zone"},
		{"practice.time_zone=../../etc/passwd", "practice.time_zone"},
		{"programs.care.sms_from=18885550101", "programs.care.sms_from"},
		{"programs.billing.voice_from=nobody | programs.billing.email_from=nobody", "programs.billing.voice_from programs.billing.email_from"},
		{"programs.care.messaging_service=MG123", "programs.care.messaging_service"},
		{"programs.care.messaging_service=MGaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ""},
		{"programs.care.messaging_service=MGaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | programs.care.sms_from=", "programs.care.sms_from"},
		{"programs.care.email=pigeon", "programs.care.email"},
		{"providers.mode=production", "providers.mode"},
		{"providers.email=pigeon", "providers.email"},
		{"providers.twilio.account_sid=SK123", "providers.twilio.account_sid"},
		{"providers.twilio.account_sid= | providers.twilio.auth_token=", "providers.twilio.account_sid providers.twilio.auth_token"},
		{"providers.twilio.account_sid= | providers.twilio.auth_token= | programs.care.sms_from=", ""},
		{"providers.twilio.auth_token= | programs.care.sms_from= | programs.care.voice_from=+18885550101", "providers.twilio.auth_token"},
		{"providers.twilio.base_url=http://twilio.example", "providers.twilio.base_url"},
		{"providers.twilio.base_url=http://localhost.twilio.example", "providers.twilio.base_url"},
		{"providers.twilio.base_url=http://0.0.0.0:1", "providers.twilio.base_url"},
		{"providers.twilio.base_url=https://u:p@twilio.example", "providers.twilio.base_url"},
		{"providers.twilio.base_url=http://127.0.0.1:9/x", ""},
		{"providers.sendgrid.base_url=http://localhost:9", ""},
		{"providers.sendgrid.base_url=sendgrid.example", "providers.sendgrid.base_url"},
		{"providers.twilio.agreement=yes", "providers.twilio.agreement"},
		{"providers.sendgrid.agreement=minimal", "providers.sendgrid.agreement"},
		{"providers.smtp.agreement=", "providers.smtp.agreement"},
		{"providers.twilio.opt_out_replies=both", "providers.twilio.opt_out_replies"},
		{"providers.sendgrid.api_key=", "providers.sendgrid.api_key"},
		{"providers.sendgrid.api_key= | programs.care.email_from=", ""},
		{"providers.sendgrid.api_key= | providers.email=smtp", "providers.smtp.host"},
		{"providers.sendgrid.api_key= | programs.care.email=smtp | providers.smtp.host=relay.example", ""},
		{"providers.sendgrid.webhook_public_key=" + public, ""},
		{"providers.sendgrid.webhook_public_key=" + public[:40], "providers.sendgrid.webhook_public_key"},
		{"providers.sendgrid.webhook_public_key=!", "providers.sendgrid.webhook_public_key"},
		{"providers.sendgrid.asm_group=-1", "providers.sendgrid.asm_group"},
		{"providers.sendgrid.asm_group=many", "providers.sendgrid.asm_group"},
		{"mirrors.twilio=true", "mirrors.twilio"},
		{"mirrors.sendgrid=perhaps", "mirrors.sendgrid"},
		{"providers.smtp.host=smtp://relay.example", "providers.smtp.host"},
		{"providers.smtp.port=0", "providers.smtp.port"},
		{"providers.smtp.port=65536", "providers.smtp.port"},
		{"providers.smtp.username=heed", "providers.smtp.password"},
		{"providers.smtp.password=" + long, "providers.smtp.username"},
		{"providers.smtp.plaintext=true | providers.smtp.host=relay.example", "providers.smtp.plaintext"},
		{"providers.smtp.plaintext=true | providers.smtp.host=localhost", ""},
		{"providers.smtp.plaintext=yes", "providers.smtp.plaintext"},
		{"providers.smtp.host=relay.example", ""},
		{"providers.smtp.bounces.secret=short", "providers.smtp.bounces.secret"},
		{"providers.smtp.bounces.secret=" + long, ""},
		{"providers.smtp.bounces.imap.host=imap.example", "providers.smtp.bounces.imap.username providers.smtp.bounces.imap.password"},
		{"providers.smtp.bounces.imap.username=heed | providers.smtp.bounces.imap.password=x", "providers.smtp.bounces.imap.host"},
		{"providers.smtp.bounces.imap.host=imap.example | providers.smtp.bounces.imap.username=heed | providers.smtp.bounces.imap.password=x", ""},
		{"providers.smtp.bounces.imap.host=imap.example | providers.smtp.bounces.imap.username=heed | providers.smtp.bounces.imap.password=x | providers.mode=sandbox", "providers.smtp.bounces.imap.host"},
		{"providers.smtp.bounces.imap.port=0", "providers.smtp.bounces.imap.port"},
		{"providers.smtp.bounces.imap.mailbox=", "providers.smtp.bounces.imap.mailbox"},
		{"providers.smtp.host=relay.example | providers.mode=sandbox", "providers.smtp.host"},
		{"providers.smtp.host=::1 | providers.mode=sandbox", ""},
		{"sending.lease=999ms", "sending.lease"},
		{"sending.lease=1s", ""},
		{"sending.lease=10s", ""},
		{"sending.lease=10001ms", "sending.lease"},
		{"sending.lease=5", "sending.lease"},
		{"sending.lookup_after=0s", "sending.lookup_after"},
		{"sending.lookup_after=500ms", ""},
		{"sending.lookup_after=10m", "sending.unknown_after"},
		{"sending.unknown_after=-1s", "sending.unknown_after"},
		{"retention.ledger_years=5", "retention.ledger_years"},
		{"retention.ledger_years=6.5", "retention.ledger_years"},
		{"retention.content_days=0", "retention.content_days"},
		{"retention.content_days=36501", "retention.content_days"},
		{"events.networks=10.0.0.1", "events.networks[0]"},
		{"database.ulr=x", "database.ulr"},
		{"sending.lease=1h | practice.time_zone=Moon | redis.url=x | keys.secret=x | unknown=x", "unknown redis.url practice.time_zone keys.secret sending.lease"},
	} {
		flags := map[string]string{}
		for _, pair := range strings.Split(c.set, " | ") {
			if key, value, ok := strings.Cut(pair, "="); ok {
				flags[key] = value
			}
		}
		_, err := Load(Source{File: file, Flags: flags})
		if c.wrong == "" {
			if err != nil {
				t.Errorf("%s: %v", c.set, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s was taken", c.set)
			continue
		}
		if diff := cmp.Diff(strings.Fields(c.wrong), keysOf(t, err)); diff != "" {
			t.Errorf("%s: %s", c.set, diff)
		}
		for key, value := range flags {
			if len(value) > len("https://") && strings.Contains(strings.ReplaceAll(err.Error(), key, ""), value) {
				t.Errorf("%s: the value is repeated: %v", c.set, err)
			}
		}
	}
}

func TestWrongKindsInTheFile(t *testing.T) {
	for text, wrong := range map[string]string{
		"http: 5":                                         "http",
		"http: [a]":                                       "http",
		"http: {tls: {cert: {a: b}}}":                     "http.tls.cert",
		"http: {tls: {cert: {1: b}}}":                     "http.tls.cert",
		"http: {1: b}":                                    "http",
		"practice: {phone: +18885550100}":                 "practice.phone",
		"practice: {name: 5}":                             "practice.name",
		"practice: {name: 2024-01-01}":                    "practice.name",
		"practice: {name: true}":                          "practice.name",
		"practice: {name: [a]}":                           "practice.name",
		"practice: {name: \"two\\nlines\"}":               "practice.name",
		"practice: {on_call: [[a]]}":                      "practice.on_call",
		"practice: {on_call: [+18885550100]}":             "practice.on_call",
		"practice: {on_call: 5}":                          "practice.on_call",
		"practice: {on_call: {a: b}}":                     "practice.on_call",
		"sending: {lease: 5}":                             "sending.lease",
		"sending: {lease: [5s]}":                          "sending.lease",
		"retention: {content_days: thirty}":               "retention.content_days",
		"retention: {content_days: 30.5}":                 "retention.content_days",
		"retention: {content_days: 99999999999999999999}": "retention.content_days",
		"providers: {smtp: {plaintext: 1}}":               "providers.smtp.plaintext",
		"programs: {care: +18885550100}":                  "programs.care",
		"programs: {news: {sms_from: a}}":                 "programs.news",
		"programs: {care: {sms: a}}":                      "programs.care.sms",
		"auth: {oidc: {issuer: a}}":                       "auth.oidc",
		"colour: blue":                                    "colour",
		"colour:":                                         "colour",
		"http: {listen: null, colour: null}":              "http.colour",
		"\"a\\nb\": 1":                                    `"a\nb"`,
		fmt.Sprintf("%s: 1", strings.Repeat("x", 99)):     fmt.Sprintf("%.60q", strings.Repeat("x", 99)),
	} {
		_, err := Load(Source{File: write(t, text)})
		if err == nil {
			t.Errorf("%s was taken", text)
			continue
		}
		if diff := cmp.Diff([]string{wrong}, keysOf(t, err)); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestUnknownNamesAreUnderstood(t *testing.T) {
	for _, c := range []struct {
		source Source
		want   string
	}{
		{Source{File: write(t, "databse: {url: a}")}, "databse: is no setting: is database meant?"},
		{Source{File: write(t, "database: {uri: a}")}, "database.uri: is no setting: is database.url meant?"},
		{Source{File: write(t, "listen: a")}, "listen: is no setting: write http.listen"},
		{Source{File: write(t, "twilio: {auth_token: a}")}, "twilio: is no setting: write providers.twilio"},
		{Source{File: write(t, "zebra: a")}, "zebra: is no setting: `heed config` prints them all"},
		{Source{Flags: map[string]string{"http.lisen": "a"}}, "http.lisen: is no setting: is http.listen meant?"},
		{Source{Env: []string{"HEED_DATABASE_URI=a"}}, "HEED_DATABASE_URI: is no setting of Heed: is HEED_DATABASE_URL meant?"},
		{Source{Env: []string{"HEED_ADMIN_KEY=a"}}, "HEED_ADMIN_KEY: is no setting of Heed: is HEED_AUTH_ADMIN_KEY meant?"},
		{Source{Env: []string{"HEED_ZEBRA="}}, "HEED_ZEBRA: is no setting of Heed: `heed config` prints them all"},
		{Source{Env: []string{"HEED_SENDING_LEASE=1h"}}, "sending.lease (set by HEED_SENDING_LEASE): must be from 1s to 10s"},
		{Source{Flags: map[string]string{"sending.lease": "1h"}}, "sending.lease (set by a flag): must be from 1s to 10s"},
		{Source{Env: []string{"HEED_PRACTICE_ON_CALL=nobody"}}, "practice.on_call[0] (set by HEED_PRACTICE_ON_CALL): must be"},
	} {
		_, err := Load(c.source)
		if err == nil || !slices.ContainsFunc(strings.Split(err.Error(), "\n"), func(line string) bool { return strings.HasPrefix(line, "  "+c.want) }) {
			t.Errorf("%v: not %q", err, c.want)
		}
	}
	mustLoad(t, Source{Env: []string{"HEED_TEST_ANYTHING=a", "HEEDLESS=a", "heed_redis_url=a"}})
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"url", "uri", 1}, {"kitten", "sitting", 3}, {"abc", "abc", 0}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q and %q: %d", c.a, c.b, got)
		}
	}
}

// FuzzLoad: whatever the file holds, it is read or refused, and a value of the
// wrong kind never ends up in a setting.
func FuzzLoad(f *testing.F) {
	f.Add(live)
	f.Add("a: b")
	f.Add("http: {tls: [1, {2: 3}]}\n---\n&a x: *a")
	f.Fuzz(func(t *testing.T, text string) {
		tree, problem := parse([]byte(text))
		if problem != "" {
			return
		}
		l := newTable()
		l.sift("", tree)
		if err := l.v.MergeConfigMap(tree); err != nil {
			t.Fatal(err)
		}
		l.fill()
		for _, s := range l.list {
			if text, ok := s.at.(*string); ok && !s.lines && strings.ContainsFunc(*text, control) {
				t.Fatalf("%s holds control characters", s.key)
			}
		}
	})
}
