package dispatch

import (
	"context"
	"fmt"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences/policy"
)

// inPace takes a place for a message of a campaign that looks for another way: its campaign
// bounds what a sender sends in a second, whichever way the messages come.
func (d *Dispatcher) inPace(ctx context.Context, m *gateway.Message, cat *policy.Category, dec policy.Decision) bool {
	if m.Rate == 0 {
		return true
	}
	n, err := d.Pace.Take(ctx, gateway.Sender(cat.Program, dec.Pair.Channel), m.Rate, 1)
	if err != nil {
		d.Fault(fmt.Errorf("the pace of senders is not known, so nothing goes: %w", err))
	}
	return n > 0
}
