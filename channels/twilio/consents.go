package twilio

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	accounts "github.com/twilio/twilio-go/rest/accounts/v1"

	"harmonize.care/heed/channels"
)

// maxConsents is how many consents one request sets.
// https://www.twilio.com/docs/messaging/features/bulk-upsert-consents-api
const maxConsents = 25

// consent is one item of the request.
type consent struct {
	Contact     string `json:"contact_id"`
	Correlation string `json:"correlation_id"`
	Sender      string `json:"sender_id"`
	Status      string `json:"status"`
	Source      string `json:"source"`
	Date        string `json:"date_of_consent,omitempty"`
}

// Keep tells Twilio's Consent Management API who opted out of which sender, and who asked
// for its texts again. Setting the same twice changes nothing ("upsert"). The API is a
// pilot, is not HIPAA eligible, and gives no list back, so that there is no
// channels.OptOutReader here.
// https://www.twilio.com/docs/messaging/features/consent-api
func (a *Adapter) Keep(ctx context.Context, entries []channels.OptOut) (map[int]*channels.SendError, error) {
	refused := map[int]*channels.SendError{}
	for from := 0; from < len(entries); from += maxConsents {
		chunk := entries[from:min(from+maxConsents, len(entries))]
		some, err := a.setConsents(ctx, chunk)
		switch {
		case err != nil && from == 0:
			return nil, err
		case err != nil: // those before are done
			for i := from; i < len(entries); i++ {
				refused[i] = err
			}
			return refused, nil
		}
		for i, e := range some {
			refused[from+i] = e
		}
	}
	return refused, nil
}

func (a *Adapter) setConsents(ctx context.Context, entries []channels.OptOut) (map[int]*channels.SendError, *channels.SendError) {
	items := make([]any, len(entries))
	place := map[string]int{}
	for i, e := range entries {
		// How somebody opted out is nobody's business: the source is always the same.
		c := consent{Contact: e.Address, Correlation: correlation(), Sender: e.Sender, Status: "opt-out", Source: "others"}
		if e.Off {
			c.Status = "opt-in"
		}
		if !e.Said.IsZero() {
			c.Date = e.Said.UTC().Format(time.RFC3339)
		}
		items[i], place[c.Correlation] = c, i
	}
	params := &accounts.CreateBulkConsentsParams{}
	params.SetItems(items)
	api := accounts.NewApiServiceWithClient(&call{Adapter: a, ctx: ctx, to: a.accounts})
	answer, err := api.CreateBulkConsents(params)
	if err != nil {
		return nil, sendError(err)
	}
	return outcomes(answer, place), nil
}

// correlation is 32 hexadecimal digits, new for each item, and tells nothing.
func correlation() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it never fails: it ends the process instead
	return hex.EncodeToString(b)
}

// outcomes reads what became of each item. One that is not told of is not known to be done.
func outcomes(answer *accounts.AccountsV1BulkConsents, place map[string]int) map[int]*channels.SendError {
	var items []struct {
		Correlation string   `json:"correlation_id"`
		Code        int      `json:"error_code"`
		Messages    []string `json:"error_messages"`
	}
	if answer.Items != nil {
		text, err := json.Marshal(*answer.Items)
		if err == nil {
			_ = json.Unmarshal(text, &items) // what cannot be read counts as not told of
		}
	}
	refused := map[int]*channels.SendError{}
	for _, i := range place {
		refused[i] = &channels.SendError{Kind: channels.OutcomeUnknown, Err: errors.New("the answer does not tell of this consent")}
	}
	for _, item := range items {
		i, ours := place[item.Correlation]
		switch {
		case !ours:
		case item.Code == 0:
			delete(refused, i)
		default:
			refused[i] = &channels.SendError{Kind: consentKind(item.Messages), Code: strconv.Itoa(item.Code)}
		}
	}
	return refused
}

// consentKind says what the words of error 30646 mean for us.
// https://www.twilio.com/docs/api/errors/30646
func consentKind(messages []string) channels.SendErrorKind {
	said := func(word string) bool {
		return slices.ContainsFunc(messages, func(m string) bool { return strings.Contains(m, word) })
	}
	switch {
	case said("INTERNAL_SERVER_ERROR"):
		return channels.TryLater
	case said("INVALID_CONTACT_ID"):
		return channels.AddressIsBad
	case said("INVALID_SENDER_ID"):
		return channels.OperatorMustAct
	}
	return channels.TryNever
}
