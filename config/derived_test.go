package config

import (
	"errors"
	"testing"
)

// TestOneMistakeIsToldOnce: what only follows from a mistake is not told as another.
func TestOneMistakeIsToldOnce(t *testing.T) {
	for key, value := range map[string]string{
		"providers.mode": "pretend", "http.listen": "localhost", "database.url": "mysql://heed@host/db", "sending.lookup_after": "soon",
		"practice.time_zone": "Mountain", "providers.email": "pigeon",
	} {
		_, err := Load(Source{Flags: map[string]string{key: value}})
		var told Mistakes
		if !errors.As(err, &told) || len(told) != 1 || told[0].Key != key {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestNearestName(t *testing.T) {
	names := []string{"categories", "programs", "revocation_scope"}
	for name, want := range map[string]string{"categorys": "categories", "program": "programs", "revocationscope": "revocation_scope", "weather": ""} {
		if got := Nearest(name, names); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
