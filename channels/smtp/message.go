package smtp

import (
	"bytes"
	"fmt"
	netmail "net/mail"
	"slices"
	"strings"

	"github.com/wneessen/go-mail"

	"harmonize.care/heed/channels"
)

// envelope is a message ready to be handed over.
type envelope struct {
	from, to string
	id       string // Message-ID, without the brackets
	body     []byte
}

func (e envelope) domain() string { return e.from[strings.LastIndexByte(e.from, '@')+1:] }

// envelop writes the message, before anybody is called: an error within the
// transfer would leave half a message with the relay.
func (a *Adapter) envelop(m channels.Outgoing) (envelope, *channels.SendError) {
	e := envelope{from: a.from[m.Program], to: m.To}
	switch {
	case m.Channel != channels.Email:
		return e, sendError(channels.TryNever, "this adapter carries email, not %s", m.Channel)
	case e.from == "":
		return e, sendError(channels.OperatorMustAct, "program %s has no mailbox to write from", m.Program)
	case !isMailbox(m.To):
		return e, sendError(channels.AddressIsBad, "the address is not one bare mailbox")
	case !oneLine(m.Subject):
		return e, sendError(channels.TryNever, "the subject has more than one line")
	}
	if err := channels.CheckAttachments(m); err != nil {
		return e, sendError(channels.TryNever, "%w", err)
	}
	e.id = a.marks.id(m.Attempt, e.domain())
	letter := mail.NewMsg(mail.WithNoDefaultUserAgent())
	letter.FromMailAddress(&netmail.Address{Name: a.fromName, Address: e.from})
	letter.ToMailAddress(&netmail.Address{Address: e.to})
	letter.Subject(m.Subject)
	letter.SetDateWithValue(a.now().UTC())
	letter.SetMessageIDWithValue(e.id)
	for name, value := range m.Headers {
		if !isHeader(name, value) {
			return e, sendError(channels.TryNever, "a header cannot be written, or is the adapter's own")
		}
		// As it is: a link that is folded or encoded is one that nobody finds.
		letter.SetGenHeaderPreformatted(mail.Header(name), value)
	}
	letter.SetBodyString(mail.TypeTextPlain, m.Text)
	if m.HTML != "" {
		letter.AddAlternativeString(mail.TypeTextHTML, m.HTML)
	}
	for _, file := range m.Attachments {
		if err := letter.AttachReader(file.Name, bytes.NewReader(file.Content), mail.WithFileContentType(mail.ContentType(file.Type))); err != nil {
			return e, sendError(channels.TryNever, "an attachment could not be written")
		}
	}
	var body bytes.Buffer
	if _, err := letter.WriteTo(&body); err != nil {
		return e, sendError(channels.TryNever, "the message could not be written")
	}
	e.body = body.Bytes()
	return e, nil
}

// own are the headers that the adapter writes, or that a relay adds.
var own = []string{
	"from", "sender", "to", "cc", "bcc", "subject", "date", "message-id", "mime-version", "content-type", "content-transfer-encoding",
	"received", "return-path", "dkim-signature",
}

// maxLine is the longest line of a message. RFC 5322 section 2.1.1.
const maxLine = 998

// isHeader says whether a header of the message's own can be written as it is.
// RFC 5322 section 2.2.
func isHeader(name, value string) bool {
	notInName := func(r rune) bool { return r <= ' ' || r > '~' || r == ':' }
	notInValue := func(r rune) bool { return r < ' ' || r > '~' }
	return name != "" && !strings.ContainsFunc(name, notInName) && !strings.ContainsFunc(value, notInValue) &&
		len(name)+len(": ")+len(value) <= maxLine && !slices.Contains(own, strings.ToLower(name))
}

func sendError(kind channels.SendErrorKind, format string, args ...any) *channels.SendError {
	return &channels.SendError{Kind: kind, Err: fmt.Errorf(format, args...)}
}
