package campaign

import (
	"context"
	"slices"
	"strings"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
)

// testTime is how long a test send waits for its provider.
const testTime = 10 * time.Minute

// Test sends the text to whoever asks for it, at their own addresses, and to nobody else. An
// address that stands on a patient's record, or that stopped the program, gets none. It
// gives how many are on their way. gateway.NotNow.
func (s *Service) Test(ctx context.Context, call Call, id int64, locale string) (int, gateway.Kept, error) {
	c, err := s.Office.Campaign(ctx, id)
	if err != nil {
		return 0, gateway.Kept{}, err
	}
	if err := s.Check(BriefOf(c)); err != nil {
		return 0, gateway.Kept{}, err
	}
	cat, _ := s.Policy.Category(c.Category) // it was just checked
	now := s.Now()
	change := s.change(call, "campaign.test", id)
	for _, to := range s.Testers[call.By.Name] {
		ch := channels.SMS
		if strings.Contains(to, "@") {
			ch = channels.Email
		}
		if !slices.Contains(cat.Channels, ch) || len(c.Channels) > 0 && !slices.Contains(c.Channels, ch) {
			continue
		}
		n, err := s.Office.Number(ctx, to)
		if err != nil {
			return 0, gateway.Kept{}, err
		}
		if len(n.Holders) > 0 || n.Stops.Has(cat.Program) {
			continue
		}
		change.Accepts = append(change.Accepts, gateway.Message{
			ID: s.NewID(), Queue: gateway.SingleQueue, Template: c.Template, Due: now, Expires: now.Add(testTime), Created: now,
			Body: gateway.Body{Variables: c.Variables, Actor: call.By.Name, Answer: &gateway.Answer{To: to, Program: cat.Program, Locale: locale}},
		})
	}
	if len(change.Accepts) == 0 {
		return 0, gateway.Kept{}, gateway.NotNow{Code: "no_own_address", Problem: "No address of yours can get it: the operator sets one up under campaigns.testers, for a channel of this campaign. One on a patient's record, or that texted STOP, gets no test."}
	}
	kept, err := s.Office.Commit(ctx, change)
	if err == nil {
		s.Wake()
	}
	return len(change.Accepts), kept, err
}
