package intake

import (
	"context"
	"fmt"
	"strings"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// askFor bounds the question when a START was said: the provider waits for its own
// answer meanwhile, 15 seconds at Twilio.
const askFor = 5 * time.Second

// date asks the provider when a START was said, before it can lift anything. STOP
// and START count by the provider's clock, and a webhook carries no time: a START
// whose call was tried again, or played to us again, would lift a later STOP.
//
//   - The provider knows: its word counts, and at the same second the STOP.
//   - It cannot be asked: an error, so that nothing is kept. It tells us again, and
//     then the reading of the inbox takes the START up with its date.
//   - It knows other texts of this number and not this one: nothing is lifted, a
//     person looks, and the inbox may still take the START up.
//   - It knows no text of this number at all, the STOP neither: there is no clock but
//     ours, and both count by their arrival. What is played to us again later is
//     known by its id, which is never forgotten.
func (t *text) date(ctx context.Context) error {
	if !t.heard.Start || t.stops() || t.in.Precision != 0 || t.Dater == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	d, err := t.Dater.Date(ctx, t.in)
	switch {
	case err != nil:
		return fmt.Errorf("when a START was said is not known yet: %w", err)
	case d.Found:
		t.in.At, t.in.Precision = d.At, d.Precision
	case d.Others:
		t.undated = true
	}
	return nil
}

// start lifts what a STOP to the same programs took, and nothing else.
func (t *text) start() {
	programs := channels.SetOf(t.programs...)
	stopped := t.number.Stops & programs
	switch {
	case !t.listed:
		t.open(gateway.TaskStart, "START came to a number of ours that stands in no settings, so nothing was lifted. Find out what they want to get again.")
		return
	case t.undated:
		if stopped != 0 {
			t.open(gateway.TaskStart, "START came, but the provider does not know when, so nothing was lifted. Ask whether they want texts again.")
		}
		return
	}
	e := t.event(preferences.NumberStarted, programs)
	for _, p := range stopped.List() {
		if !t.number.Since[p].Before(t.in.At) {
			t.open(gateway.TaskStart, "START came, but a STOP was said after it or in the same second, so that it stays. Ask whether they want texts again.")
			break
		}
	}
	fact := gateway.NumberFact{Number: t.in.From, Event: e}
	if t.weAnswer() {
		fact.Reply = t.reply(startConfirmation)
	}
	t.change.Numbers = append(t.change.Numbers, fact)
}

// unreadAfter is how long a text without its words waits for its webhook, which
// comes within seconds, twice at most.
const unreadAfter = 5 * time.Minute

// Listed takes one text of the provider's list, in case no webhook told of it. A
// text whose words the account hides is not taken in: its webhook brings them, and
// would find it known. Where that never comes, a person has to ask.
func (s *Service) Listed(ctx context.Context, source string, in channels.Inbound) error {
	if readable(in.Body) {
		return s.Text(ctx, source, in)
	}
	known, err := s.Store.WasHeard(ctx, source, in.ID)
	if err != nil || known || s.Now().Before(in.At.Add(unreadAfter)) {
		return err
	}
	t, err := s.text(ctx, source, in)
	if err != nil {
		return err
	}
	t.change.Seen.Event += ":unread"
	t.open(gateway.TaskUnread, "A text came in at "+in.At.UTC().Format(time.RFC3339)+" whose words the provider hides and did not tell us. It may be a STOP: call and ask.")
	_, err = s.commit(ctx, t.change)
	return err
}

// readable says whether a listed text has its words: accounts that redact show
// nothing, or marks in their place.
func readable(body string) bool {
	body = strings.ToLower(strings.Trim(body, " \t\r\n*xX#-_[]<>()."))
	return body != "" && body != "redacted"
}
