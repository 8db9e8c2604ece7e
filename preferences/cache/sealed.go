package cache

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"strconv"

	"harmonize.care/heed/preferences"
)

// Key is where a patient's snapshot lies.
func Key(patient int64) string { return Keys([]int64{patient})[0] }

// Keys is Key for many: they share one text.
func Keys(patients []int64) []string {
	text := make([]byte, 0, len(patients)*(len(prefix)+13)) // 13 digits hold 64 bits
	ends := make([]int, len(patients))
	for i, patient := range patients {
		text = strconv.AppendUint(append(text, prefix...), uint64(patient), 36)
		ends[i] = len(text)
	}
	all, from := string(text), 0
	keys := make([]string, len(patients))
	for i, end := range ends {
		keys[i], from = all[from:end], end
	}
	return keys
}

// versionDigits is how many digits stand before the binary form.
const versionDigits = 20

// versionOrder maps versions to numbers from 0 up, in the same order.
func versionOrder(version int64) uint64 { return uint64(version) + 1<<63 }

// versionText writes versions so that their order is that of their texts.
func versionText(version int64) string { return fmt.Sprintf("%020d", versionOrder(version)) }

// seals seal what lies in Redis: who can write there and has not the secret can make us
// ask the database, and nothing else, and who can read there learns who is cached. A key
// may seal 2^32 values (NIST SP 800-38D, 8.3): patients are spread over many keys, so
// that a large practice does not come near that in its life.
type seals [256]cipher.AEAD

func newSeals(secret []byte) (*seals, error) {
	s := &seals{}
	for i := range s {
		key, err := hkdf.Key(sha256.New, secret, nil, fmt.Sprintf("heed cache 3 %d", i), 32)
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		if s[i], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// of mixes the id first: its low bits tell which gateway gave it, and are alike for many.
func (s *seals) of(patient int64) cipher.AEAD { return s[uint64(patient)*0x9e3779b97f4a7c15>>56] }

// A value is the version, and the snapshot's binary form, sealed.
func (s *seals) appendValue(shot *preferences.Snapshot) ([]byte, error) {
	body, err := shot.AppendBinary(make([]byte, 0, 128))
	if err != nil {
		return nil, err
	}
	return s.of(shot.Patient).Seal([]byte(versionText(shot.Version)), nil, body, nil), nil
}

// reader reads values one after the other, each in the memory of the one before.
type reader struct {
	*seals
	sealed, body []byte
}

// read reads a value into the snapshot, and says whether it is one of this patient. The two
// versions must agree: a value that claims to be newer than it is would keep every later
// one out.
func (r *reader) read(patient int64, value string, s *preferences.Snapshot) bool {
	if len(value) < versionDigits {
		return false
	}
	order, err := strconv.ParseUint(value[:versionDigits], 10, 64)
	if err != nil {
		return false
	}
	r.sealed = append(r.sealed[:0], value[versionDigits:]...)
	body, err := r.of(patient).Open(r.body[:0], nil, r.sealed, nil)
	if err != nil {
		return false
	}
	r.body = body
	return s.Refill(body) == nil && s.Patient == patient && versionOrder(s.Version) == order
}
