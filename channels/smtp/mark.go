package smtp

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// marks sign the Message-ID of every mail: a bounce is a mail that anybody can write,
// and counts only when it returns an id that nobody else could have made.
type marks [][]byte // the first signs, all are read

const markSize = 12 // bytes: 1 in 2^96 to guess

func newMarks(secrets [][]byte) (marks, error) {
	var m marks
	for _, s := range secrets {
		key, err := hkdf.Key(sha256.New, s, nil, "heed smtp message ids", 32)
		if err != nil {
			return nil, fmt.Errorf("smtp: the key for Message-IDs: %w", err)
		}
		m = append(m, key)
	}
	return m, nil
}

// id gives the Message-ID of an attempt, without the brackets.
func (m marks) id(attempt int64, domain string) string {
	if len(m) == 0 {
		return fmt.Sprintf("heed.%d@%s", attempt, domain)
	}
	return fmt.Sprintf("heed.%d.%s@%s", attempt, sign(m[0], attempt), domain)
}

func sign(key []byte, attempt int64) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%d", attempt)
	return hex.EncodeToString(mac.Sum(nil)[:markSize])
}

// attempt reads an id back: the attempt, or 0 when it is none of ours.
func (m marks) attempt(id string) int64 {
	local, _, _ := strings.Cut(strings.Trim(strings.TrimSpace(id), "<>"), "@")
	rest, ours := strings.CutPrefix(local, "heed.")
	number, given, signed := strings.Cut(rest, ".")
	attempt, err := strconv.ParseInt(number, 10, 64)
	if !ours || !signed || err != nil || attempt <= 0 || strconv.FormatInt(attempt, 10) != number {
		return 0
	}
	for _, key := range m {
		if subtle.ConstantTimeCompare([]byte(sign(key, attempt)), []byte(given)) == 1 {
			return attempt
		}
	}
	return 0
}
