package sendgrid

import (
	"context"
	"errors"
	"fmt"

	"harmonize.care/heed/channels"
)

// maxFill is how many bytes of substitutions SendGrid takes for one person:
// https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
const maxFill = 10_000

// SendBatch hands a letter over in one request. What stands in it for one person alone
// goes as substitutions of a personalization; each has a custom argument of its own,
// so that every event names the attempt.
func (a *Adapter) SendBatch(ctx context.Context, l channels.Letter) (channels.Receipt, error) {
	if n := len(l.People); n == 0 || n > channels.MaxBatch {
		return channels.Receipt{}, &channels.SendError{Kind: channels.TryNever, Err: fmt.Errorf("a letter goes to 1 to %d people", channels.MaxBatch)}
	}
	for i := range l.People {
		size := 0
		for mark, value := range l.People[i].Fill {
			size += len(mark) + len(value)
		}
		if size > maxFill {
			return channels.Receipt{}, &channels.SendError{Kind: channels.TryNever, Err: errors.New("what one person gets alone is too long")}
		}
	}
	letter, failed := a.fill(l)
	if failed != nil {
		return channels.Receipt{}, failed
	}
	return a.hand(ctx, letter)
}
