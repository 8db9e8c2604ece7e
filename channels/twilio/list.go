package twilio

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/mail"
	"net/url"
	"slices"
	"time"

	openapi "github.com/twilio/twilio-go/rest/api/v2010"

	"harmonize.care/heed/channels"
)

const (
	pageSize = 500
	maxPages = 200
	// precision is how coarse Twilio's dates are.
	precision = time.Second
)

// statuses are Twilio's words for how far a message got. Others are ignored.
// https://www.twilio.com/docs/messaging/api/message-resource#message-status-values
var statuses = map[string]channels.DeliveryStatus{
	"accepted": channels.Accepted, "queued": channels.Accepted, "sending": channels.Accepted,
	"sent":      channels.OnItsWay,
	"delivered": channels.Delivered, "read": channels.Delivered,
	"undelivered": channels.Failed, "failed": channels.Failed,
}

// Find lists the texts (or calls, see findCall) that Twilio took for m.To since the given moment, newest
// or not; dates are whole seconds, so one of the same second counts. Accounts
// that redact numbers or bodies list nothing that can be recognised.
func (a *Adapter) Find(ctx context.Context, m channels.Outgoing, since time.Time) ([]channels.Found, error) {
	if m.Channel == channels.Voice {
		return a.findCall(ctx, m, since)
	}
	var found []channels.Found
	err := a.list(ctx, parties{to: m.To}, since, func(r *openapi.ApiV2010Message) error {
		created, err := dateOf(r.DateCreated)
		if err != nil || value(r.Direction) == inbound || !within(created, since) {
			return err
		}
		f := channels.Found{
			ProviderID: value(r.Sid), From: value(r.From), To: value(r.To), Body: value(r.Body),
			Created: created, Status: statuses[value(r.Status)], Code: codeText(value(r.ErrorCode)),
		}
		if f.Status == channels.Failed {
			f.Kind = kindOf(value(r.ErrorCode))
		}
		found = append(found, f)
		return nil
	})
	return found, err
}

// inbound is Twilio's word for a text that a person sent us.
const inbound = "inbound"

// Inbox lists the texts that came in since the given moment, oldest first: all of
// them, or an error. A text is left out when the account redacts its sender,
// because nobody can tell who wrote it.
func (a *Adapter) Inbox(ctx context.Context, since time.Time) ([]channels.Inbound, error) {
	byID := map[string]channels.Inbound{}
	for _, number := range a.inboxes() {
		err := a.list(ctx, parties{to: number}, since, func(r *openapi.ApiV2010Message) error {
			if value(r.Direction) != inbound || !isNumber(value(r.From)) {
				return nil
			}
			at, err := dateOf(r.DateCreated, r.DateSent)
			if err != nil || !within(at, since) {
				return err
			}
			// A page may repeat what the one before it held.
			byID[value(r.Sid)] = channels.Inbound{
				ID: value(r.Sid), From: value(r.From), To: value(r.To), Body: value(r.Body),
				Service: value(r.MessagingServiceSid), At: at, Precision: precision,
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.SortedFunc(maps.Values(byID), func(x, y channels.Inbound) int {
		return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.ID, y.ID))
	}), nil
}

// inboxes gives the numbers whose texts are read; "" stands for every number of
// the account. The numbers of a messaging service are not known here, so that
// with one all are read: a STOP too many can be taken back, one that was lost
// cannot.
func (a *Adapter) inboxes() []string {
	set := map[string]bool{}
	for _, program := range channels.Programs {
		switch {
		case a.service[program] != "":
			return []string{""}
		case a.from[program] != "":
			set[a.from[program]] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// parties are whose messages are listed; "" is anybody.
type parties struct{ from, to string }

// list gives every message between the parties that was sent at the
// given moment or later, page by page. It ends with an error rather than with a
// part of them.
func (a *Adapter) list(ctx context.Context, who parties, since time.Time, each func(*openapi.ApiV2010Message) error) error {
	params := &openapi.ListMessageParams{}
	params.SetPageSize(pageSize)
	// Twilio documents days and takes moments. By either reading this asks for
	// enough: what was sent since was not sent before that minute or that day.
	params.SetDateSentAfter(since.UTC().Truncate(time.Minute))
	if who.from != "" {
		params.SetFrom(who.from)
	}
	if who.to != "" {
		params.SetTo(who.to)
	}
	token, number := "", ""
	for range maxPages {
		page, err := a.api(ctx).PageMessage(params, token, number)
		if err != nil {
			return sendError(err)
		}
		for i := range page.Messages {
			if err := each(&page.Messages[i]); err != nil {
				return err
			}
		}
		if value(page.NextPageUri) == "" {
			return nil
		}
		// Only the place in the list is taken from the answer, never where to call.
		next, err := url.Parse(*page.NextPageUri)
		if err != nil {
			return errors.New("twilio: the next page's address could not be read")
		}
		token, number = next.Query().Get("PageToken"), next.Query().Get("Page")
	}
	return errors.New("twilio: the list is longer than can be read at once: ask for a later moment")
}

// within says whether a moment told in whole seconds may lie at or after since.
func within(at, since time.Time) bool { return at.Add(precision).After(since) }

// dateOf reads the first date that is there. RFC 5322 section 3.3.
func dateOf(texts ...*string) (time.Time, error) {
	for _, text := range texts {
		if at, err := mail.ParseDate(value(text)); err == nil {
			return at, nil
		}
	}
	return time.Time{}, errors.New("twilio: a listed message has no date that can be read")
}

// isNumber says whether a sender is a whole phone number or short code. Redacted
// ones have letters in place of digits.
func isNumber(from string) bool {
	if len(from) > 1 && from[0] == '+' {
		from = from[1:]
	}
	for _, r := range from {
		if r < '0' || r > '9' {
			return false
		}
	}
	return from != ""
}
