package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
)

// keys are derived from the one secret. The address key is never rotated: a stop
// is found by it after the person was erased.
type keys struct {
	address []byte
	answers []byte      // hides the keys and the bodies of calls
	chain   []byte      // keys the chain over ledger and audit log
	print   []byte      // tells two secrets apart, and nothing of either
	wrap    cipher.AEAD // wraps patients' data keys
	general cipher.AEAD // seals what belongs to no patient
}

var errSeal = errors.New("a sealed row could not be opened: the secret is another one, or the row was altered")

func deriveKeys(secret []byte) (keys, error) {
	if len(secret) < 32 {
		return keys{}, errors.New("keys.secret: give at least 32 characters")
	}
	derive := func(use string) []byte {
		k, err := hkdf.Key(sha256.New, secret, nil, "heed "+use, 32)
		if err != nil {
			panic(err) // 32 bytes are always to be had
		}
		return k
	}
	return keys{address: derive("addresses"), answers: derive("answers"), chain: derive("chain"), print: derive("print"), wrap: aead(derive("data keys")), general: aead(derive("general"))}, nil
}

func aead(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // every key here has 32 bytes
	}
	g, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return g
}

// addressKey is how a number or a mailbox is found without being written down.
func (k *keys) addressKey(value string) string {
	mac := hmac.New(sha256.New, k.address)
	mac.Write([]byte(value))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// refKey is how an erased patient's id is known without being written down: under the
// same key, because nobody is ever given the id again.
func (k *keys) refKey(ref string) string { return erasedRef + k.addressKey("ref\x00"+ref) }

const erasedRef = "erased:"

// answerKey is how a call is found by its Idempotency-Key, which callers may build
// of what they like, a record number too.
func (k *keys) answerKey(key string) string {
	return base64.RawURLEncoding.EncodeToString(k.answerHash([]byte(key)))
}

// answerHash hides a body: a digest alone could be guessed again.
func (k *keys) answerHash(body []byte) []byte {
	mac := hmac.New(sha256.New, k.answers)
	mac.Write(body)
	return mac.Sum(nil)
}

// newDataKey makes a patient's data key and its wrapped form.
func (k *keys) newDataKey() (cipher.AEAD, []byte) {
	key := make([]byte, 32)
	rand.Read(key) // it never fails: it ends the process instead
	return aead(key), k.wrap.Seal(nil, nil, key, nil)
}

// dataKey opens a wrapped data key; nil for an erased patient.
func (k *keys) dataKey(wrapped []byte) (cipher.AEAD, error) {
	if wrapped == nil {
		return nil, nil
	}
	key, err := k.wrap.Open(nil, nil, wrapped, nil)
	if err != nil {
		return nil, errSeal
	}
	return aead(key), nil
}

func seal(a cipher.AEAD, v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return a.Seal(nil, nil, plain, nil), nil
}

// open reads a sealed row into v; a row without a seal (erased) leaves v alone.
func open(a cipher.AEAD, sealed []byte, v any) error {
	if sealed == nil || a == nil {
		return nil
	}
	plain, err := a.Open(nil, nil, sealed, nil)
	if err != nil {
		return errSeal
	}
	return json.Unmarshal(plain, v)
}
