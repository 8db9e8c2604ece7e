// Package link makes the signed links that patients reach a page by, and reads
// them back: a message behind a date-of-birth check (/m/), the preference page
// (/p/) and the one-click opt-out (/u/).
//
// A token says nothing about the person: our own ids are encrypted inside it, as they
// would tell when the record was made. The same ids always give the same token,
// because a message whose outcome was lost is rendered again and its words are
// compared. A token never ends by itself: an opt-out must work for years
// (RFC 8058 section 3.1), and how long a message may be read is the message's
// own matter.
//
// The scheme is a synthetic IV (RFC 5297 section 1.3.2), with HMAC-SHA256 for the
// tag and AES-256 in counter mode: the tag signs the ids and is the IV they are
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
	"hash"
	"strings"
	"sync"

	"harmonize.care/heed/preferences"
)

// ErrToken is a text that is no token of the kind asked for, or whose secret is
// no longer known. It says no more on purpose.
var ErrToken = errors.New("the link is not one of ours")

const (
	minSecret = 32 // bytes: as many as the keys that are drawn from it
	tagSize   = 12 // bytes: short enough for a text message, 1 in 2^96 to guess
	idSize    = 8
)

// encoding is strict: else the unused bits at the end would let other spellings of
// a token pass. Of 20 or 28 bytes the last letter holds fewer than six bits, so that
// it is never the "-" that phones leave out when they make a link of a text.
var encoding = base64.RawURLEncoding.Strict()

// kind is what a link leads to. Its first letter is the path; the whole draws the
// keys, so that none ever changes. An opt-out has a kind for each topic. The kinds
// that end in "at" also hold the address that the link was sent to.
type kind string

const (
	secure         kind = "m"
	preference     kind = "p"
	preferenceAt   kind = "p/at"
	marketing      kind = "u/" + preferences.TopicMarketing
	marketingAt    kind = "u/" + preferences.TopicMarketing + "/at"
	nonEssential   kind = "u/" + preferences.TopicNonEssential
	nonEssentialAt kind = "u/" + preferences.TopicNonEssential + "/at"
	proof          kind = "proof"
	code           kind = "code"
)

// Links makes and reads links. It is safe for concurrent use.
type Links struct {
	url  string
	keys map[kind][]key // the first writes, all read
}

// key is what one secret gives for one kind of link.
type key struct {
	macs  *sync.Pool // HMACs under the key: a campaign makes two links for each of a million people
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
		for _, k := range []kind{secure, preference, preferenceAt, marketing, marketingAt, nonEssential, nonEssentialAt, proof, code} {
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
	return key{macs: &sync.Pool{New: func() any { return hmac.New(sha256.New, drawn[:32]) }}, block: block}, err
}

// Secure links to a message that is read behind the date-of-birth check.
func (l *Links) Secure(message int64) string { return l.link(secure, message) }

// Preferences links to a patient's preference page, in a message that goes to one of
// the patient's addresses: whoever loosens something there has to show that they
// read what comes to it. Address 0: a link that only tightens.
func (l *Links) Preferences(patient, address int64) string {
	if address == 0 {
		return l.link(preference, patient)
	}
	return l.link(preferenceAt, patient, address)
}

// Unsubscribe links to the opt-out of preferences.TopicMarketing or
// preferences.TopicNonEssential by email, in a message that goes to an address (0:
// unknown). Any other topic becomes the latter: then a no is heard as too wide,
// never as too narrow.
func (l *Links) Unsubscribe(patient, address int64, topic string) string {
	plain, at := nonEssential, nonEssentialAt
	if topic == preferences.TopicMarketing {
		plain, at = marketing, marketingAt
	}
	if address == 0 {
		return l.link(plain, patient)
	}
	return l.link(at, patient, address)
}

// ReadSecure gives the message of a token that Secure made, or ErrToken.
func (l *Links) ReadSecure(token string) (message int64, err error) {
	ids, err := l.read(secure, token, 1)
	return ids[0], err
}

// ReadPreferences gives the patient and the address (0: unknown) of a token that
// Preferences made, or ErrToken.
func (l *Links) ReadPreferences(token string) (patient, address int64, err error) {
	return l.readAt(preference, preferenceAt, token)
}

// ReadUnsubscribe gives the patient, the address (0: unknown) and the topic of a
// token that Unsubscribe made, or ErrToken.
func (l *Links) ReadUnsubscribe(token string) (patient, address int64, topic string, err error) {
	if patient, address, err = l.readAt(marketing, marketingAt, token); err == nil {
		return patient, address, preferences.TopicMarketing, nil
	}
	if patient, address, err = l.readAt(nonEssential, nonEssentialAt, token); err == nil {
		return patient, address, preferences.TopicNonEssential, nil
	}
	return 0, 0, "", ErrToken
}

// readAt reads a token of either kind. Links in old messages name no address, and
// work for years.
func (l *Links) readAt(plain, at kind, token string) (patient, address int64, err error) {
	if ids, err := l.read(plain, token, 1); err == nil {
		return ids[0], 0, nil
	}
	ids, err := l.read(at, token, 2)
	return ids[0], ids[1], err
}

// link makes the address of a page; the first letter of the kind is its path.
func (l *Links) link(k kind, ids ...int64) string {
	return l.url + "/" + string(k[0]) + "/" + l.write(k, ids...)
}

func (l *Links) write(k kind, ids ...int64) string {
	key, plain := l.keys[k][0], pack(ids)
	tag := key.tag(plain)
	return encoding.EncodeToString(append(tag, key.crypt(tag, plain)...))
}

func pack(ids []int64) []byte {
	var plain []byte
	for _, id := range ids {
		plain = binary.BigEndian.AppendUint64(plain, uint64(id))
	}
	return plain
}

// read gives the n ids of a token, all 0 with an error.
func (l *Links) read(k kind, token string, n int) ([]int64, error) {
	ids, size := make([]int64, n), tagSize+n*idSize
	if len(token) != encoding.EncodedLen(size) {
		return ids, ErrToken
	}
	raw, err := encoding.DecodeString(token)
	if err != nil || len(raw) != size { // the decoder passes over line breaks
		return ids, ErrToken
	}
	tag, sealed := raw[:tagSize], raw[tagSize:]
	for _, key := range l.keys[k] {
		if plain := key.crypt(tag, sealed); hmac.Equal(tag, key.tag(plain)) {
			for i := range ids {
				ids[i] = int64(binary.BigEndian.Uint64(plain[i*idSize:]))
			}
			return ids, nil
		}
	}
	return ids, ErrToken
}

func (k key) tag(plain []byte) []byte {
	mac := k.macs.Get().(hash.Hash)
	defer k.macs.Put(mac)
	mac.Reset()
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
