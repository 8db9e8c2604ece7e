package dispatch

import (
	"context"

	"harmonize.care/heed/gateway"
)

// Forgotten ends what a restored database says is waiting and what may have gone out
// before: an unknown outcome like any other, of which no provider can be asked because
// the attempt is not known either. A non-essential message is given up, an essential one
// goes once more; each is recorded. Sends must be held meanwhile. It gives how many were
// given up, and how many go once more.
func (d *Dispatcher) Forgotten(ctx context.Context, actor string, list []gateway.Message) (given, again int, err error) {
	c := gateway.Change{At: d.Now(), Actor: actor}
	for i := range list {
		m := &list[i]
		if m.Essential {
			again++
			c.Heard = append(c.Heard, heard(m.ID, c.At, "tried_once_more", outcomeUnknown)...)
			continue
		}
		given++
		c.Steps = append(c.Steps, gateway.Step{Message: m.ID, From: gateway.Waiting, To: gateway.Failed, Code: outcomeUnknown})
		c.Heard = append(c.Heard, heard(m.ID, c.At, "given_up", outcomeUnknown)...)
	}
	if len(list) == 0 {
		return 0, 0, nil
	}
	_, err = d.Store.Commit(ctx, c)
	return given, again, err
}
