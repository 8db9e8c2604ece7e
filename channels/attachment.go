package channels

import (
	"errors"
	"strings"
)

// Attachment is a file that goes with an email.
type Attachment struct {
	Name    string // as the person sees it: letters, digits, dots and dashes
	Type    string // a media type without parameters, such as text/calendar
	Content []byte
}

// What may go with one email. Heed attaches calendar files of a few hundred bytes; a
// provider takes megabytes.
const (
	maxAttachments     = 4
	maxAttachmentBytes = 256 << 10
)

// CheckAttachments says what keeps files from going with a message. The error holds
// nothing of them.
func CheckAttachments(m Outgoing) error {
	size := 0
	for _, a := range m.Attachments {
		size += len(a.Content)
		kind, sub, _ := strings.Cut(a.Type, "/")
		if !isToken(a.Name) || !isToken(kind) || !isToken(sub) || strings.HasPrefix(a.Name, ".") || len(a.Name) > 64 {
			return errors.New("the name or the type of an attachment cannot be written in a header")
		}
		if len(a.Content) == 0 {
			return errors.New("an attachment is empty")
		}
	}
	if m.Channel != Email && size > 0 {
		return errors.New("only an email carries attachments")
	}
	if len(m.Attachments) > maxAttachments || size > maxAttachmentBytes {
		return errors.New("the attachments are too many or too large")
	}
	return nil
}

// isToken: what stands in a header without quotes, and is no path. RFC 2045 section
// 5.1 allows more.
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_+", r)
	})
}
