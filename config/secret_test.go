package config

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func onSQLite(t *testing.T) (*Config, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "heed.db")
	return &Config{Database: Database{URL: "sqlite:" + path}}, path
}

func TestSecretThatIsSet(t *testing.T) {
	c, path := onSQLite(t)
	c.Keys.Secret = long
	if got, err := Secret(c); err != nil || string(got) != long {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := os.Stat(path + ".key"); err == nil {
		t.Error("a file was made that nobody needs")
	}
	if _, err := Secret(&Config{Database: Database{URL: "postgres://host/db"}}); err == nil {
		t.Error("PostgreSQL without a secret")
	}
}

func TestSecretIsMadeOnce(t *testing.T) {
	c, path := onSQLite(t)
	secrets := make([]string, 20)
	var running sync.WaitGroup
	for i := range secrets {
		running.Go(func() { // as processes that start together
			got, err := Secret(c)
			if err != nil {
				t.Error(err)
			}
			secrets[i] = string(got)
		})
	}
	running.Wait()
	for _, s := range secrets {
		if s != secrets[0] {
			t.Fatal("they do not agree")
		}
	}
	if random, err := base64.StdEncoding.DecodeString(secrets[0]); err != nil || len(random) != 32 {
		t.Errorf("%d random bytes, %v", len(random), err)
	}
	info, err := os.Stat(path + ".key")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	if err := os.WriteFile(path, []byte("a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Secret(c); err != nil || string(got) != secrets[0] {
		t.Errorf("at the next start it is another: %v", err)
	}
	other, _ := onSQLite(t)
	if got, err := Secret(other); err != nil || string(got) == secrets[0] {
		t.Errorf("two databases have one secret: %v", err)
	}
	moved := &Config{Database: c.Database, Keys: Keys{Secret: secrets[0]}}
	if got, err := Secret(moved); err != nil || string(got) != secrets[0] {
		t.Error("the file's text, set as keys.secret, is not the same secret")
	}
}

// TestSecretIsNeverReplaced: what another process has put there a moment ago stays.
func TestSecretIsNeverReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "heed.db.key")
	if err := makeSecret(path); err != nil {
		t.Fatal(err)
	}
	first, err := readSecret(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := makeSecret(path); err != nil {
		t.Fatal(err)
	}
	if second, err := readSecret(path); err != nil || string(second) != string(first) {
		t.Errorf("it was replaced: %v", err)
	}
}

// TestSecretOfAnOldDatabase: a new secret would leave everything in it sealed for good.
func TestSecretOfAnOldDatabase(t *testing.T) {
	c, path := onSQLite(t)
	if err := os.WriteFile(path, []byte("a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Secret(c); err == nil || !strings.Contains(err.Error(), path+".key") {
		t.Errorf("it went on: %v", err)
	}
	if _, err := os.Stat(path + ".key"); err == nil {
		t.Error("a new secret was made")
	}
}

func TestSecretFilesThatAreRefused(t *testing.T) {
	good := strings.Repeat("s", 44) + "\n"
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		ok   bool
	}{
		"good": {good, 0o600, true}, "read only": {good, 0o400, true}, "others may read": {good, 0o604, false}, "the group may read": {good, 0o640, false}, "others may write": {good, 0o602, false},
		"short": {"short\n", 0o600, false}, "empty": {"", 0o600, false}, "blank": {strings.Repeat(" ", 64), 0o600, false},
	} {
		conf, path := onSQLite(t)
		if err := os.WriteFile(path+".key", []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path+".key", c.mode); err != nil {
			t.Fatal(err)
		}
		got, err := Secret(conf)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if c.ok && string(got) != strings.TrimSpace(c.text) {
			t.Errorf("%s: another secret was read", name)
		}
		if err != nil && strings.Contains(err.Error(), strings.TrimSpace(good)) {
			t.Errorf("%s: the secret is told", name)
		}
	}
	conf, path := onSQLite(t)
	if err := os.Mkdir(path+".key", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Secret(conf); err == nil {
		t.Error("a folder was read")
	}
	conf.Database.URL = "sqlite:" + filepath.Join(filepath.Dir(path), "missing", "heed.db")
	if _, err := Secret(conf); err == nil || !strings.Contains(err.Error(), "keys.secret") {
		t.Errorf("in a folder that is not there: %v", err)
	}
}
