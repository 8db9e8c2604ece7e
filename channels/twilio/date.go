package twilio

import (
	"context"
	"errors"
	"strings"
	"time"

	openapi "github.com/twilio/twilio-go/rest/api/v2010"

	"harmonize.care/heed/channels"
)

// notFound is Twilio's code for what it does not have.
const notFound = "20404"

// Date asks Twilio when a text came in: by its id, or, where nothing is found under
// that, in the list of what this number wrote in the day before it was heard.
// https://www.twilio.com/docs/messaging/api/message-resource#fetch-a-message-resource
func (a *Adapter) Date(ctx context.Context, in channels.Inbound) (channels.Dated, error) {
	// The id stands in a path that twilio-go does not escape.
	if in.ID != "" && !strings.ContainsFunc(in.ID, func(r rune) bool { return !alphanumeric(r) }) {
		m, err := a.api(ctx).FetchMessage(in.ID, &openapi.FetchMessageParams{})
		if err == nil {
			return dated(m, in.ID)
		}
		if failed := sendError(err); failed.Code != notFound {
			return channels.Dated{}, failed
		}
	}
	var d channels.Dated
	err := a.list(ctx, parties{in.From, in.To}, in.At.Add(-24*time.Hour), func(r *openapi.ApiV2010Message) error {
		if value(r.Direction) != inbound || value(r.From) != in.From {
			return nil
		}
		if value(r.Sid) != in.ID {
			d.Others = true
			return nil
		}
		found, err := dated(r, in.ID)
		d.Found, d.At, d.Precision = found.Found, found.At, found.Precision
		return err
	})
	return d, err
}

func dated(m *openapi.ApiV2010Message, id string) (channels.Dated, error) {
	if value(m.Sid) != id {
		return channels.Dated{}, errors.New("twilio: the answer is about another message")
	}
	at, err := dateOf(m.DateCreated, m.DateSent)
	if err != nil {
		return channels.Dated{}, err
	}
	return channels.Dated{Found: true, At: at, Precision: precision}, nil
}
