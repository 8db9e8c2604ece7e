package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
)

// TestMaskedHoldsNoSecret makes secrets of any letters and looks for them.
func TestMaskedHoldsNoSecret(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		n := 0
		// The number in it keeps a secret from being part of what may be shown.
		secret := func(letters string) string {
			n++
			return fmt.Sprintf("zq%dx", n) + rapid.StringMatching(letters+`{32,40}`).Draw(t, "secret")
		}
		anything, inURL := `[!-)+-~]`, `[A-Za-z0-9._~!$&'()+,;=-]` // no *: a mask is refused
		flags := map[string]string{}
		secrets := map[string]string{}
		for _, s := range newTable().list {
			switch {
			case s.hide == all && s.key == "keys.previous":
				secrets[s.key] = strings.ReplaceAll(secret(anything), ",", ";") + "," + strings.ReplaceAll(secret(anything), ",", ";")
			case s.hide == all:
				secrets[s.key] = secret(anything)
			}
		}
		for key, value := range secrets {
			flags[key] = value
		}
		flags["providers.smtp.username"] = "heed"
		flags["providers.smtp.bounces.imap.host"], flags["providers.smtp.bounces.imap.username"] = "localhost", "heed"
		inDatabase, inQuery, inRedis := secret(inURL), secret(`[A-Za-z0-9]`), secret(inURL)
		flags["database.url"] = rapid.SampledFrom([]string{"postgres://heed:" + inDatabase + "@host:1/db?sslmode=verify-full&sslpassword=" + inQuery, "postgresql://heed@/db?host=/run&pass%77ord=" + inQuery + "&x=y"}).Draw(t, "database")
		flags["redis.url"] = rapid.SampledFrom([]string{"redis://:" + inRedis + "@host/1", "rediss://heed:" + inRedis + "@host", "redis+sentinel://:" + inRedis + "@a,b:2/main"}).Draw(t, "redis")
		file := filepath.Join(dir, "none.yaml")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(Source{File: file, Flags: flags})
		if err != nil {
			t.Fatal(err)
		}
		shown := string(c.Masked())
		for i := range n {
			if mark := fmt.Sprintf("zq%dx", i+1); strings.Contains(shown, mark) {
				t.Fatalf("a secret is shown, at %s:\n%s", mark, shown)
			}
		}
	})
}

// TestMaskedReadsAgain: what is printed, with the secrets put in again, is the same.
func TestMaskedReadsAgain(t *testing.T) {
	for _, text := range []string{"", live, live + "redis: {url: \"redis+cluster://a,b:1\"}\nsending: {lease: 1500ms}\npolicy: {file: \"off\"}\n", mustRead(t)} {
		c := mustLoad(t, Source{File: write(t, text)})
		flags := map[string]string{
			"keys.secret": c.Keys.Secret, "providers.twilio.auth_token": c.Providers.Twilio.AuthToken, "providers.sendgrid.api_key": c.Providers.SendGrid.APIKey,
			"providers.smtp.bounces.secret": c.Providers.SMTP.Bounces.Secret, "providers.smtp.bounces.imap.password": c.Providers.SMTP.Bounces.IMAP.Password,
			"providers.smtp.password": c.Providers.SMTP.Password, "auth.admin_key": c.Auth.AdminKey,
		}
		again, err := Load(Source{File: write(t, string(c.Masked())), Flags: flags})
		if err != nil {
			t.Fatalf("%v in\n%s", err, c.Masked())
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Error(diff)
		}
		if !bytes.Equal(c.Masked(), again.Masked()) {
			t.Error("it is not printed the same again")
		}
	}
}

// TestMaskedIsNotTaken: masks must not become secrets that everybody knows.
func TestMaskedIsNotTaken(t *testing.T) {
	c := mustLoad(t, Source{File: write(t, live), Flags: map[string]string{
		"auth.admin_key": long, "keys.previous": long, "database.url": "postgres://heed:password@host/db", "redis.url": "redis://:password@host", "providers.twilio.previous_auth_token": "token",
	}})
	_, err := Load(Source{File: write(t, string(c.Masked()))})
	want := []string{
		"database.url", "redis.url", "providers.twilio.auth_token", "providers.twilio.previous_auth_token", "providers.sendgrid.api_key", "auth.admin_key", "keys.secret", "keys.previous", "keys.previous[0]",
	}
	if diff := cmp.Diff(want, keysOf(t, err)); diff != "" {
		t.Error(diff)
	}
}

func mustRead(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "heed.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMaskURL(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "",
		"sqlite:/var/lib/heed.db":          "sqlite:/var/lib/heed.db",
		"postgres://heed@host/db":          "postgres://heed@host/db",
		"postgres://heed:s@host/db":        "postgres://heed:********@host/db",
		"postgres://heed:s@t@host/db":      "postgres://heed:********@host/db",
		"postgres://h/d?password=s&a=b":    "postgres://h/d?password=********&a=b",
		"postgres://h/d?a=b&SSLPASSWORD=s": "postgres://h/d?a=b&SSLPASSWORD=********",
		"redis://:s@a:1,b:2":               "redis://:********@a:1,b:2",
	} {
		if got := maskURL(text); got != want {
			t.Errorf("%s is shown as %s", text, got)
		}
	}
}

func TestMaskedShowsEverySetting(t *testing.T) {
	alone(t)
	c := mustLoad(t, Source{})
	tree, problem := parse(c.Masked())
	if problem != "" {
		t.Fatal(problem)
	}
	l := newTable()
	l.sift("", tree)
	if len(l.mistakes) > 0 {
		t.Error(l.mistakes)
	}
	if err := l.v.MergeConfigMap(tree); err != nil {
		t.Fatal(err)
	}
	for _, s := range l.list {
		if !l.v.InConfig(strings.Split(s.key, ".")[0]) || l.v.Get(s.key) == nil {
			t.Errorf("%s is not shown", s.key)
		}
	}
	delete(c.Programs, channels.Billing)
	c.Masked()
	if _, there := c.Programs[channels.Billing]; there {
		t.Error("printing set up a program")
	}
}
