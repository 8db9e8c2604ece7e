package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/campaign"
)

// A receipt of a text may come before its slice has ended: both then write the try, which
// had no row. Whoever is first, one row is kept, and it is found at any moment.
func receiptsCross(t *testing.T, a audience) {
	var who []int
	for i := range a.patients {
		who = append(who, i)
	}
	a.later(t, who...)
	for i := range a.patients {
		c := a.slice(t, wait, channels.SMS, i)
		a.claimSlice(t, c)
		a.begin(t, c)
		item := c.Slices[0].Items[0]
		id := fmt.Sprintf("SM%032x", item.Message)
		ends := campaign.End{At: a.Now(), Campaign: a.campaign.ID, Slice: c.Slices[0].ID, Status: campaign.SliceSent, Taken: []campaign.Taken{{Open: item.Open(), ProviderID: id}}}
		heard := gateway.Change{
			Edits: []gateway.Edit{{Attempt: item.Attempt, Status: gateway.AttemptDelivered, ProviderID: id}},
			Steps: []gateway.Step{{Message: item.Message, From: gateway.Sending, To: gateway.Delivered, Try: 1}},
		}
		both, over := sync.WaitGroup{}, make(chan struct{})
		both.Go(func() {
			if err := a.db.EndSlice(context.Background(), ends); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			if _, err := a.try(heard); err != nil {
				t.Error(err)
			}
		})
		go func() {
			both.Wait()
			close(over)
		}()
		for looking := true; looking; {
			select {
			case <-over:
				looking = false
			default:
			}
			if _, err := a.db.Attempt(t.Context(), item.Attempt); err != nil {
				t.Errorf("the try of somebody was not found: %v", err)
			}
			if m, err := a.db.Message(t.Context(), item.Message); err != nil || len(m.Tries) != 1 {
				t.Errorf("%+v, %v", m, err)
			}
		}
		at, err := a.db.Attempt(t.Context(), item.Attempt)
		if err != nil || at.ProviderID != id || at.Status < gateway.AttemptTaken {
			t.Errorf("%+v, %v", at, err)
		}
	}
}
