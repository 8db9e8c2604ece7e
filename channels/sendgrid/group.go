package sendgrid

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/sendgrid/rest"

	"harmonize.care/heed/channels"
)

const (
	// maxAdded is how many mailboxes one request adds. SendGrid documents no limit; this
	// stays far below what its other lists take.
	maxAdded = 100
	// maxList bounds what is read of a list, in bytes: some 700,000 mailboxes. SendGrid
	// gives it in one piece, without pages.
	maxList = 24 << 20
)

// groupPath is where the unsubscribe group of marketing mails stands.
// https://www.twilio.com/docs/sendgrid/api-reference/suppressions-unsubscribe-groups
func (a *Adapter) groupPath() string { return "/v3/asm/groups/" + strconv.Itoa(a.group) }

// Keep adds mailboxes to the unsubscribe group, or takes them off.
// https://www.twilio.com/docs/sendgrid/api-reference/suppressions-suppressions/add-suppressions-to-a-suppression-group
func (a *Adapter) Keep(ctx context.Context, entries []channels.OptOut) (map[int]*channels.SendError, error) {
	if failed := a.checkGroup(ctx); failed != nil {
		return nil, failed
	}
	refused := map[int]*channels.SendError{}
	var on, off []int
	for i, e := range entries {
		switch {
		case e.Address == "" || !oneLine(e.Address):
			refused[i] = &channels.SendError{Kind: channels.AddressIsBad, Err: errors.New("this is no mailbox")}
		case e.Off:
			off = append(off, i)
		default:
			on = append(on, i)
		}
	}
	for len(on) > 0 {
		n := min(len(on), maxAdded)
		a.add(ctx, entries, on[:n], refused)
		on = on[n:]
	}
	for _, i := range off {
		if failed := a.remove(ctx, entries[i].Address); failed != nil {
			refused[i] = failed
		}
	}
	return refused, nil
}

// checkGroup asks whether the group is there. What is added to a group that was deleted,
// or never was, goes to the account's global list without a word, and that would drop
// essential mail too:
// https://www.twilio.com/docs/sendgrid/api-reference/suppressions-suppressions/add-suppressions-to-a-suppression-group
func (a *Adapter) checkGroup(ctx context.Context) *channels.SendError {
	if a.key == "" || a.group <= 0 {
		return &channels.SendError{Kind: channels.OperatorMustAct, Err: errors.New("no API key or no unsubscribe group of SendGrid is set")}
	}
	answer, failed := a.call(ctx, rest.Get, a.groupPath(), nil, maxAnswer)
	if failed != nil {
		return failed
	}
	if answer.StatusCode != http.StatusOK {
		return refusal(answer)
	}
	var group struct {
		ID json.Number `json:"id"`
	}
	if err := json.Unmarshal([]byte(answer.Body), &group); err != nil || group.ID.String() != strconv.Itoa(a.group) {
		return &channels.SendError{Kind: channels.OperatorMustAct, Err: errors.New("the unsubscribe group is not there: look at providers.sendgrid.asm_group")}
	}
	return nil
}

// add puts mailboxes on the list in one request. One that SendGrid does not take refuses
// the whole, so that the request is halved until it stands alone.
func (a *Adapter) add(ctx context.Context, entries []channels.OptOut, which []int, refused map[int]*channels.SendError) {
	failed := a.addAll(ctx, entries, which)
	switch {
	case failed == nil:
	case len(which) > 1 && (failed.Kind == channels.TryNever || failed.Kind == channels.AddressIsBad):
		half := len(which) / 2
		a.add(ctx, entries, which[:half], refused)
		a.add(ctx, entries, which[half:], refused)
	default:
		for _, i := range which {
			refused[i] = failed
		}
	}
}

func (a *Adapter) addAll(ctx context.Context, entries []channels.OptOut, which []int) *channels.SendError {
	var in struct {
		Emails []string `json:"recipient_emails"`
	}
	for _, i := range which {
		in.Emails = append(in.Emails, entries[i].Address)
	}
	body, err := json.Marshal(in)
	if err != nil {
		return &channels.SendError{Kind: channels.TryNever, Err: errors.New("the request could not be made")}
	}
	answer, failed := a.call(ctx, rest.Post, a.groupPath()+"/suppressions", body, maxAnswer)
	if failed != nil {
		return failed
	}
	if answer.StatusCode != http.StatusCreated {
		return refusal(answer)
	}
	return nil
}

// remove takes a mailbox off the list. One that is not on it is off.
// https://www.twilio.com/docs/sendgrid/api-reference/suppressions-suppressions/delete-a-suppression-from-a-suppression-group
func (a *Adapter) remove(ctx context.Context, mailbox string) *channels.SendError {
	answer, failed := a.call(ctx, rest.Delete, a.groupPath()+"/suppressions/"+url.PathEscape(mailbox), nil, maxAnswer)
	if failed != nil {
		return failed
	}
	if answer.StatusCode/100 != 2 && answer.StatusCode != http.StatusNotFound {
		return refusal(answer)
	}
	return nil
}

// OptedOut lists the mailboxes of the group, in lower case.
// https://www.twilio.com/docs/sendgrid/api-reference/suppressions-suppressions/retrieve-all-suppressions-for-a-suppression-group
func (a *Adapter) OptedOut(ctx context.Context) ([]string, error) {
	if failed := a.checkGroup(ctx); failed != nil {
		return nil, failed
	}
	answer, failed := a.call(ctx, rest.Get, a.groupPath()+"/suppressions", nil, maxList+1)
	switch {
	case failed != nil:
		return nil, failed
	case answer.StatusCode != http.StatusOK:
		return nil, refusal(answer)
	case len(answer.Body) > maxList:
		return nil, &channels.SendError{Kind: channels.OperatorMustAct, Err: errors.New("the list is longer than is read at once")}
	}
	var list []string
	if json.Unmarshal([]byte(answer.Body), &list) != nil {
		return nil, &channels.SendError{Kind: channels.TryLater, Err: errors.New("the list could not be read")}
	}
	for i := range list {
		list[i] = strings.ToLower(strings.TrimSpace(list[i]))
	}
	return list, nil
}
