package link

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"harmonize.care/heed/preferences"
)

const public = "https://heed.example"

var (
	secret  = bytes.Repeat([]byte("s"), 32)
	another = bytes.Repeat([]byte("t"), 32)
)

func newLinks(t testing.TB, url string, secret []byte, previous ...[]byte) *Links {
	t.Helper()
	l, err := New(url, secret, previous...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// tokens makes one token of each kind.
func tokens(l *Links, id int64) map[kind]string {
	return map[kind]string{
		secure: tokenOf(l.Secure(id)), preference: tokenOf(l.Preferences(id, 0)), preferenceAt: tokenOf(l.Preferences(id, addressOf(id))),
		marketing: tokenOf(l.Unsubscribe(id, 0, preferences.TopicMarketing)), marketingAt: tokenOf(l.Unsubscribe(id, addressOf(id), preferences.TopicMarketing)),
		nonEssential: tokenOf(l.Unsubscribe(id, 0, preferences.TopicNonEssential)), nonEssentialAt: tokenOf(l.Unsubscribe(id, addressOf(id), preferences.TopicNonEssential)),
		proof: l.Proof(id, addressOf(id), time.UnixMicro(id)),
	}
}

// addressOf is the address in the tests' tokens of an id; 0 would be none.
func addressOf(id int64) int64 { return ^id | 1 }

func tokenOf(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

// readers read a token as each kind, and give the id.
func readers(l *Links) map[kind]func(string) (int64, error) {
	held := func(id, address int64, withAddress bool, err error) (int64, error) {
		switch {
		case err != nil && (id != 0 || address != 0):
			return 0, errors.New("an id came with an error")
		case err == nil && (address != 0) != withAddress:
			return 0, ErrToken // of the other kind
		case err == nil && withAddress && address != addressOf(id):
			return 0, errors.New("the address is another one")
		}
		return id, err
	}
	optOut := func(want string, withAddress bool) func(string) (int64, error) {
		return func(token string) (int64, error) {
			id, address, topic, err := l.ReadUnsubscribe(token)
			switch {
			case err != nil && topic != "":
				return 0, errors.New("a topic came with an error")
			case err == nil && topic != want:
				return 0, ErrToken // of the other topic
			}
			return held(id, address, withAddress, err)
		}
	}
	page := func(withAddress bool) func(string) (int64, error) {
		return func(token string) (int64, error) {
			id, address, err := l.ReadPreferences(token)
			return held(id, address, withAddress, err)
		}
	}
	return map[kind]func(string) (int64, error){
		secure: l.ReadSecure, preference: page(false), preferenceAt: page(true),
		marketing: optOut(preferences.TopicMarketing, false), marketingAt: optOut(preferences.TopicMarketing, true),
		nonEssential: optOut(preferences.TopicNonEssential, false), nonEssentialAt: optOut(preferences.TopicNonEssential, true),
		proof: func(token string) (int64, error) {
			id, address, until, err := l.ReadProof(token)
			if err == nil && until.UnixMicro() != id {
				return 0, errors.New("the moment is another one")
			}
			return held(id, address, true, err)
		},
	}
}

func TestRoundTrip(t *testing.T) {
	l := newLinks(t, public+"/", secret)
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Int64().Draw(t, "id")
		for k, token := range tokens(l, id) {
			if got, err := readers(l)[k](token); got != id || err != nil {
				t.Errorf("%s: %d became %d, %v", k, id, got, err)
			}
			if k == secure && len(token) > 27 || k != proof && strings.HasSuffix(token, "-") {
				t.Errorf("%s: %s does not travel well in a text", k, token)
			}
		}
	})
}

// Links in messages that were sent must work for years: these must never change.
func TestGolden(t *testing.T) {
	l := newLinks(t, public, secret)
	for got, want := range map[string]string{
		l.Secure(1):         "https://heed.example/m/P9aKgXQktOD4xL7754izEA7y2xQ",
		l.Preferences(1, 0): "https://heed.example/p/4Q0cyThdKftBfbeCzXTqg8ExJuI",
		l.Preferences(1, 2): "https://heed.example/p/lq7QA3tUavpYbLnGGjHdPr6CncbJ2DqliqrAgw",
		l.Unsubscribe(1, 2, preferences.TopicMarketing):           "https://heed.example/u/GgftZgvKGyJvxZwTpH2syb82pY_gAkZSTy9MKg",
		l.Unsubscribe(1, 2, preferences.TopicNonEssential):        "https://heed.example/u/4TpFXk2msSi3POogx5QEgsprPCRaMslbo-ELQA",
		l.Unsubscribe(1, 0, preferences.TopicMarketing):           "https://heed.example/u/mmJhz9GWPPq1lRyZBV72GEsRN_E",
		l.Unsubscribe(1, 0, preferences.TopicNonEssential):        "https://heed.example/u/8O82wp31azwv1xlW5dy93DzRlmA",
		l.Secure(math.MaxInt64):                                   "https://heed.example/m/AVRGikdKpV5EHm054_0mLB1tgaY",
		newLinks(t, public, another, secret).Secure(1):            "https://heed.example/m/hzQkvXAleY10hL6EGpx0wplVvlw",
		newLinks(t, "http://127.0.0.1:8080/x/", secret).Secure(1): "http://127.0.0.1:8080/x/m/P9aKgXQktOD4xL7754izEA7y2xQ",
	} {
		if got != want {
			t.Errorf("%s\nis not %s", got, want)
		}
	}
}

// An opt-out of something narrower or unknown is heard as one of everything.
func TestOtherTopics(t *testing.T) {
	l := newLinks(t, public, secret)
	for _, topic := range []string{"", "survey", "newsletter", "Marketing"} {
		if got := l.Unsubscribe(7, 0, topic); got != l.Unsubscribe(7, 0, preferences.TopicNonEssential) {
			t.Errorf("%q is not everything", topic)
		}
	}
}

func TestEveryFlippedBit(t *testing.T) {
	l := newLinks(t, public, secret, another)
	rapid.Check(t, func(t *rapid.T) {
		for k, token := range tokens(l, rapid.Int64().Draw(t, "id")) {
			raw, err := base64.RawURLEncoding.DecodeString(token)
			if err != nil {
				t.Fatal(err)
			}
			for bit := range len(raw) * 8 {
				flipped := bytes.Clone(raw)
				flipped[bit/8] ^= 1 << (bit % 8)
				if _, err := readers(l)[k](base64.RawURLEncoding.EncodeToString(flipped)); err != ErrToken {
					t.Fatalf("%s: bit %d flipped gives %v", k, bit, err)
				}
			}
		}
	})
}

// One token has one spelling.
func TestSpellings(t *testing.T) {
	l := newLinks(t, public, secret)
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. \n%"
	for id := range int64(6) {
		for k, token := range tokens(l, id) {
			read := readers(l)[k]
			for at := range len(token) {
				for _, letter := range []byte(letters) {
					if other := token[:at] + string(letter) + token[at+1:]; other != token {
						if _, err := read(other); err != ErrToken {
							t.Fatalf("%s: %q reads as %q: %v", k, other, token, err)
						}
					}
				}
			}
			for _, other := range []string{
				"", token[1:], token[:len(token)-1], token + "A", token + "=", token + "\n", "\n" + token, token[:5] + "\r\n" + token[5:],
				strings.ToLower(token), token + token, public + "/" + string(k) + "/" + token, strings.Repeat("A", len(token)), strings.Repeat("\n", len(token)), strings.Repeat("A", 1<<20),
			} {
				if got, err := read(other); other != token && (err != ErrToken || got != 0) {
					t.Errorf("%s: %d, %v", k, got, err)
				}
			}
		}
	}
}

func TestKindsDoNotMix(t *testing.T) {
	l := newLinks(t, public, secret, another)
	rapid.Check(t, func(t *rapid.T) {
		for k, token := range tokens(l, rapid.Int64().Draw(t, "id")) {
			for other, read := range readers(l) {
				if _, err := read(token); (other == k) != (err == nil) || err != nil && err != ErrToken {
					t.Errorf("a token of %s read as %s: %v", k, other, err)
				}
			}
		}
	})
}

// Ids are ordered in time; their tokens must not show it, nor which belong together.
func TestTokensTellNothing(t *testing.T) {
	l := newLinks(t, public, secret)
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Int64Range(0, math.MaxInt64-100).Draw(t, "id")
		var list []string
		for id := first; id < first+20; id++ {
			for _, token := range tokens(l, id) {
				list = append(list, token)
			}
		}
		for i, a := range list {
			for _, b := range list[:i] {
				if sharedPrefix(a, b) > 8 || sharedSuffix(a, b) > 8 {
					t.Errorf("%s and %s look alike", a, b)
				}
			}
		}
	})
}

func sharedPrefix(a, b string) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

func sharedSuffix(a, b string) int {
	x, y := []byte(a), []byte(b)
	slices.Reverse(x)
	slices.Reverse(y)
	return sharedPrefix(string(x), string(y))
}

func TestRotation(t *testing.T) {
	before := newLinks(t, public, secret)
	during := newLinks(t, public, another, secret)
	after := newLinks(t, public, another)
	for k, old := range tokens(before, 7) {
		fresh := tokens(during, 7)[k]
		if got, err := readers(during)[k](old); got != 7 || err != nil {
			t.Errorf("%s: an old link gives %d, %v", k, got, err)
		}
		if got, err := readers(after)[k](fresh); got != 7 || err != nil {
			t.Errorf("%s: a link made during the change is not written with the new secret: %d, %v", k, got, err)
		}
		if _, err := readers(after)[k](old); err != ErrToken {
			t.Errorf("%s: a link of a forgotten secret gives %v", k, err)
		}
		if _, err := readers(before)[k](fresh); err != ErrToken {
			t.Errorf("%s: a link of another secret gives %v", k, err)
		}
	}
}

// The digest of a code is bound to its patient, its address and the secret.
func TestCodeDigest(t *testing.T) {
	l := newLinks(t, public, secret)
	got := l.CodeDigest(1, 2, "123456")
	if !bytes.Equal(got, l.CodeDigest(1, 2, "123456")) || len(got) != 32 {
		t.Error("the same code has another digest")
	}
	for name, other := range map[string][]byte{
		"patient": l.CodeDigest(2, 2, "123456"), "address": l.CodeDigest(1, 1, "123456"), "code": l.CodeDigest(1, 2, "123457"),
		"secret": newLinks(t, public, another).CodeDigest(1, 2, "123456"),
	} {
		if bytes.Equal(got, other) {
			t.Errorf("another %s has the same digest", name)
		}
	}
}

func TestShortSecrets(t *testing.T) {
	short := []byte("hunter2-hunter2-hunter2-hunter2")
	for name, list := range map[string][][]byte{"the secret": {short}, "a previous one": {secret, another, short}, "none": {nil}, "an empty one": {secret, {}}} {
		l, err := New(public, list[0], list[1:]...)
		if err == nil || l != nil {
			t.Errorf("%s was taken", name)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells it: %v", name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	l := newLinks(f, public, secret, another)
	old := newLinks(f, public, another)
	for _, made := range []*Links{l, old} {
		for _, token := range tokens(made, 12345) {
			f.Add(token)
		}
	}
	f.Add("")
	f.Add("====\n")
	f.Fuzz(func(t *testing.T, token string) {
		for k, read := range readers(l) {
			id, err := read(token)
			if err != nil {
				if err != ErrToken || id != 0 {
					t.Errorf("%s: %d, %v", k, id, err)
				}
				continue
			}
			// Whatever reads was written by us, letter for letter.
			if token != tokens(l, id)[k] && token != tokens(old, id)[k] {
				t.Errorf("%s: %q was not made by us and reads as %d", k, token, id)
			}
		}
	})
}
