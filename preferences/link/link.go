// Package link makes the signed links that patients reach a page by, and reads
// them back: a message behind a date-of-birth check (/m/), the preference page
// (/p/) and the one-click opt-out (/u/).
//
// A token says nothing about the person: our own id is encrypted inside it, as it
// would tell when the record was made. The same id always gives the same token,
// because a message whose outcome was lost is rendered again and its words are
// compared. A token never ends by itself: an opt-out must work for years
// (RFC 8058 section 3.1), and how long a message may be read is the message's
// own matter.
//
// The scheme is a synthetic IV (RFC 5297 section 1.3.2), with HMAC-SHA256 for the
// tag and AES-256 in counter mode: the tag signs the id and is the IV it is
// encrypted under. Each kind of link has keys of its own, so that a token of one
// kind is never one of another.
package link

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"harmonize.care/heed/preferences"
)

// ErrToken is a text that is no token of the kind asked for, or whose secret is
// no longer known. It says no more on purpose.
var ErrToken = errors.New("the link is not one of ours")

const (
	minSecret = 32 // bytes: as many as the keys that are drawn from it
	tagSize   = 12 // bytes: short enough for a text message, 1 in 2^96 to guess
	size      = tagSize + 8
)

// encoding is strict: else the unused bits at the end would let other spellings of
// a token pass. Of 20 bytes the last letter holds four bits, so that it is never
// the "-" that phones leave out when they make a link of a text.
var encoding = base64.RawURLEncoding.Strict()

// kind is what a link leads to. Its first letter is the path; the whole draws the
// keys, so that none ever changes. An opt-out has a kind for each topic.
type kind string

const (
	secure       kind = "m"
	preference   kind = "p"
	marketing    kind = "u/" + preferences.TopicMarketing
	nonEssential kind = "u/" + preferences.TopicNonEssential
)

// Links makes and reads links. It is safe for concurrent use.
type Links struct {
	url  string
	keys map[kind][]key // the first writes, all read
}

// key is what one secret gives for one kind of link.
type key struct {
	mac   []byte
	block cipher.Block
}

// New makes links under publicURL. Tokens are written with secret and read with
// the previous ones too, so that links in old messages outlive a change. Every
// secret must have at least 32 bytes.
func New(publicURL string, secret []byte, previous ...[]byte) (*Links, error) {
	l := &Links{url: strings.TrimRight(publicURL, "/"), keys: map[kind][]key{}}
	for i, s := range append([][]byte{secret}, previous...) {
		if len(s) < minSecret {
			return nil, fmt.Errorf("secret %d of %d for links is too short: it must have at least %d bytes", i+1, len(previous)+1, minSecret)
		}
		for _, k := range []kind{secure, preference, marketing, nonEssential} {
			made, err := newKey(s, k)
			if err != nil {
				return nil, err
			}
			l.keys[k] = append(l.keys[k], made)
		}
	}
	return l, nil
}

func newKey(secret []byte, k kind) (key, error) {
	drawn, err := hkdf.Key(sha256.New, secret, nil, "heed link 1 "+string(k), 64)
	if err != nil {
		return key{}, fmt.Errorf("keys for links: %w", err)
	}
	block, err := aes.NewCipher(drawn[32:])
	return key{mac: drawn[:32], block: block}, err
}

// Secure links to a message that is read behind the date-of-birth check.
func (l *Links) Secure(message int64) string { return l.write(secure, message) }

// Preferences links to a patient's preference page.
func (l *Links) Preferences(patient int64) string { return l.write(preference, patient) }

// Unsubscribe links to the opt-out of preferences.TopicMarketing or
// preferences.TopicNonEssential by email. Any other topic becomes the latter: then
// a no is heard as too wide, never as too narrow.
func (l *Links) Unsubscribe(patient int64, topic string) string {
	if topic == preferences.TopicMarketing {
		return l.write(marketing, patient)
	}
	return l.write(nonEssential, patient)
}

// ReadSecure gives the message of a token that Secure made, or ErrToken.
func (l *Links) ReadSecure(token string) (message int64, err error) { return l.read(secure, token) }

// ReadPreferences gives the patient of a token that Preferences made, or ErrToken.
func (l *Links) ReadPreferences(token string) (patient int64, err error) {
	return l.read(preference, token)
}

// ReadUnsubscribe gives the patient and the topic of a token that Unsubscribe
// made, or ErrToken.
func (l *Links) ReadUnsubscribe(token string) (patient int64, topic string, err error) {
	if patient, err = l.read(marketing, token); err == nil {
		return patient, preferences.TopicMarketing, nil
	}
	if patient, err = l.read(nonEssential, token); err == nil {
		return patient, preferences.TopicNonEssential, nil
	}
	return 0, "", ErrToken
}

func (l *Links) write(k kind, id int64) string {
	key, plain := l.keys[k][0], binary.BigEndian.AppendUint64(nil, uint64(id))
	tag := key.tag(plain)
	return l.url + "/" + string(k[0]) + "/" + encoding.EncodeToString(append(tag, key.crypt(tag, plain)...))
}

func (l *Links) read(k kind, token string) (int64, error) {
	if len(token) != encoding.EncodedLen(size) {
		return 0, ErrToken
	}
	raw, err := encoding.DecodeString(token)
	if err != nil || len(raw) != size { // the decoder passes over line breaks
		return 0, ErrToken
	}
	tag, sealed := raw[:tagSize], raw[tagSize:]
	for _, key := range l.keys[k] {
		if plain := key.crypt(tag, sealed); hmac.Equal(tag, key.tag(plain)) {
			return int64(binary.BigEndian.Uint64(plain)), nil
		}
	}
	return 0, ErrToken
}

func (k key) tag(plain []byte) []byte {
	mac := hmac.New(sha256.New, k.mac)
	mac.Write(plain)
	return mac.Sum(nil)[:tagSize:tagSize]
}

// crypt encrypts and decrypts.
func (k key) crypt(tag, text []byte) []byte {
	iv := append(bytes.Clone(tag), make([]byte, aes.BlockSize-tagSize)...)
	out := make([]byte, len(text))
	cipher.NewCTR(k.block, iv).XORKeyStream(out, text)
	return out
}
