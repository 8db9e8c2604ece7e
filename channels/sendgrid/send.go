package sendgrid

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/sendgrid/sendgrid-go/helpers/mail"

	"harmonize.care/heed/channels"
)

// attemptArg is the custom argument that brings our attempt back with each event.
// SendGrid keeps custom arguments as not personal, so that nothing else goes there.
const attemptArg = "attempt"

// Send hands one mail over. SendGrid knows no idempotency key: what was written
// without an answer is OutcomeUnknown until an event tells.
func (a *Adapter) Send(ctx context.Context, m channels.Outgoing) (channels.Receipt, error) {
	letter, failed := a.letter(m)
	if failed != nil {
		return channels.Receipt{}, failed
	}
	return a.hand(ctx, letter)
}

// hand makes the one request.
func (a *Adapter) hand(ctx context.Context, letter *mail.SGMailV3) (channels.Receipt, error) {
	if ctx.Err() != nil {
		return channels.Receipt{}, &channels.SendError{Kind: channels.TryLater, Err: ctx.Err()}
	}
	answer, failed := a.post(ctx, mail.GetRequestBody(letter))
	if failed != nil {
		return channels.Receipt{}, failed
	}
	if answer.StatusCode != http.StatusAccepted {
		return channels.Receipt{}, refusal(answer)
	}
	id := messageID(http.Header(answer.Headers).Get("X-Message-Id"))
	if id == "" {
		// Not SendGrid's way to say yes. If it was, its events tell.
		return channels.Receipt{}, &channels.SendError{Kind: channels.OutcomeUnknown, Err: errors.New("the answer names no message")}
	}
	return channels.Receipt{ProviderID: id}, nil
}

// messageID gives what X-Message-Id and an event's sg_message_id have in common.
func messageID(text string) string {
	id, _, _ := strings.Cut(text, ".")
	return id
}

// letter fills in the request: one person, who alone stands in it.
func (a *Adapter) letter(m channels.Outgoing) (*mail.SGMailV3, *channels.SendError) {
	if m.Channel != channels.Email {
		return nil, &channels.SendError{Kind: channels.TryNever, Err: fmt.Errorf("this adapter carries email, not %s", m.Channel)}
	}
	if err := channels.CheckAttachments(m); err != nil {
		return nil, &channels.SendError{Kind: channels.TryNever, Err: err}
	}
	letter, failed := a.fill(channels.Letter{
		Program: m.Program, Subject: m.Subject, Text: m.Text, HTML: m.HTML, Bulk: m.Bulk,
		People: []channels.Person{{Attempt: m.Attempt, To: m.To, Headers: m.Headers}},
	})
	if failed != nil {
		return nil, failed
	}
	for _, file := range m.Attachments {
		letter.AddAttachment(mail.NewAttachment().SetFilename(file.Name).SetType(file.Type).SetDisposition("attachment").
			SetContent(base64.StdEncoding.EncodeToString(file.Content)))
	}
	return letter, nil
}

// fill writes a letter as SendGrid wants it: each person in a personalization alone.
func (a *Adapter) fill(l channels.Letter) (*mail.SGMailV3, *channels.SendError) {
	from := a.from[l.Program]
	switch {
	case a.key == "":
		return nil, &channels.SendError{Kind: channels.OperatorMustAct, Err: errors.New("no API key of SendGrid is set")}
	case from == "":
		return nil, &channels.SendError{Kind: channels.OperatorMustAct, Err: fmt.Errorf("program %s has no mailbox to write from", l.Program)}
	case !oneLine(l.Subject):
		return nil, &channels.SendError{Kind: channels.TryNever, Err: errors.New("the subject has more than one line")}
	}
	letter := mail.NewV3Mail().SetFrom(mail.NewEmail(a.fromName, from)).SetTrackingSettings(untracked())
	letter.Subject = l.Subject
	for i := range l.People {
		to, failed := personalization(&l.People[i])
		if failed != nil {
			return nil, failed
		}
		letter.AddPersonalizations(to)
	}
	for _, part := range []*mail.Content{mail.NewContent("text/plain", l.Text), mail.NewContent("text/html", l.HTML)} {
		if part.Value != "" {
			letter.AddContent(part) // text/plain must stand first
		}
	}
	if l.Bulk && a.group > 0 {
		letter.SetASM(mail.NewASM().SetGroupID(a.group))
	}
	return letter, nil
}

func personalization(p *channels.Person) (*mail.Personalization, *channels.SendError) {
	if !oneLine(p.To) {
		return nil, &channels.SendError{Kind: channels.AddressIsBad, Err: errors.New("the address has more than one line")}
	}
	to := mail.NewPersonalization()
	to.AddTos(mail.NewEmail("", p.To))
	to.SetCustomArg(attemptArg, strconv.FormatInt(p.Attempt, 10))
	for name, value := range p.Headers {
		if !oneLine(name) || !oneLine(value) {
			return nil, &channels.SendError{Kind: channels.TryNever, Err: errors.New("a header has more than one line")}
		}
		to.SetHeader(name, value)
	}
	for mark, value := range p.Fill {
		to.SetSubstitution(mark, value)
	}
	return to, nil
}

// untracked turns off what the account may have on: who reads or clicks what is
// nobody's business, and SendGrid's subscription tracking makes unsubscribes that
// drop essential mails too.
func untracked() *mail.TrackingSettings {
	return mail.NewTrackingSettings().
		SetClickTracking(mail.NewClickTrackingSetting().SetEnable(false).SetEnableText(false)).
		SetOpenTracking(mail.NewOpenTrackingSetting().SetEnable(false)).
		SetSubscriptionTracking(mail.NewSubscriptionTrackingSetting().SetEnable(false)).
		SetGoogleAnalytics(mail.NewGaSetting().SetEnable(false))
}
