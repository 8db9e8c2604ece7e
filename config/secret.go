package config

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Secret gives what signs links and seals fields. On SQLite, when none is set, it
// stands in a file beside the database that only its owner may read; the first
// start makes it. Whoever moves the database moves that file too.
func Secret(c *Config) ([]byte, error) {
	if c.Keys.Secret != "" {
		return []byte(c.Keys.Secret), nil
	}
	database, ok := strings.CutPrefix(c.Database.URL, "sqlite:")
	if !ok {
		return nil, errors.New("keys.secret is needed with PostgreSQL")
	}
	path := database + ".key"
	secret, err := readSecret(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	// A new secret would leave the fields of an old database sealed for good.
	if info, err := os.Stat(database); err == nil && info.Size() > 0 {
		return nil, fmt.Errorf("%s is there and its secret is not: bring back %s, or set keys.secret to what it was", database, path)
	}
	if err := makeSecret(path); err != nil {
		return nil, err
	}
	return readSecret(path)
}

func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return nil, fmt.Errorf("%s cannot be read: it holds the secret, so give it to the user who runs Heed", path)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s must be a plain file: it holds the secret", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("others may read %s, which holds the secret: run `chmod 600` on it", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return nil, err
	}
	secret := strings.TrimSpace(string(text))
	if len(secret) < minSecret {
		return nil, fmt.Errorf("%s is damaged: it must hold the secret, at least %d characters; bring it back from a backup", path, minSecret)
	}
	return []byte(secret), nil
}

// makeSecret puts a new secret there whole, or leaves the one that another process
// has just put there: a link fails where there is a file, and shows no half of one.
func makeSecret(path string) error {
	fault := func(err error) error {
		return fmt.Errorf("the secret cannot be kept beside the database (%w): see to the folder, or set keys.secret", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".heed-*.key") // 0600
	if err != nil {
		return fault(err)
	}
	defer os.Remove(f.Name())
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails: it ends the process instead
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(random) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fault(err)
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fault(err)
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return fault(err)
	}
	return nil
}

// syncFolder: after a power failure a database without its secret would be lost.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
