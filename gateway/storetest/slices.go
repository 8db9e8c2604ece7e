package storetest

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/campaign"
)

// How the messages of a slice stand, and how slices end.

func asTheSliceSays(t *testing.T, a audience) {
	c := a.slice(t, ahead(2), channels.Email, 0, 1)
	a.claimSlice(t, c)
	m := a.stands(t, c, 0, gateway.Sending)
	if m.Campaign != a.campaign.ID || m.Body.Variables["title"] != "x" || len(m.Tries) != 1 || m.Tries[0].Status != gateway.AttemptClaimed || m.Last == nil {
		t.Errorf("%+v", m)
	}
	if n, err := a.db.Calling(t.Context(), a.patients[:1]); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if !a.begin(t, c) || a.begin(t, c) {
		t.Error("a slice begins once")
	}
	if m = a.stands(t, c, 0, gateway.Sending); m.Tries[0].Status != gateway.AttemptBegun {
		t.Errorf("%+v", m.Tries)
	}
	if first := m.Tries[0]; first.ID != m.ID || first.Number != 1 || first.Pair != c.Slices[0].Items[0].Pair || first.Provider != "sendgrid" || first.Form != "full" || first.Wording != "w" ||
		first.Version != c.Slices[0].Items[0].Version || !first.At.Equal(c.At.Truncate(time.Microsecond)) {
		t.Errorf("%+v", first)
	}
	if at, err := a.db.Attempt(t.Context(), m.ID); err != nil || *at != m.Tries[0] {
		t.Errorf("%+v, %v", at, err)
	}
	if d := m.Last; d.Outcome != "send" || string(d.Asked) != `{"asked":1}` || string(d.Body) != "facts" || d.Pair != c.Slices[0].Items[0].Pair || d.Form != "full" || !d.At.Equal(c.At.Truncate(time.Microsecond)) {
		t.Errorf("%+v", d)
	}
	swept := campaign.End{At: a.Now(), Campaign: a.campaign.ID, Slice: c.Slices[0].ID, Status: campaign.SliceUnsent, Swept: true}
	if err := a.db.EndSlice(t.Context(), swept); err != nil {
		t.Fatal(err)
	}
	a.stands(t, c, 0, gateway.Sending) // what was begun is not taken back as unsent
	a.end(t, c, campaign.SliceUnknown)
	if m = a.stands(t, c, 0, gateway.Unknown); m.Tries[0].Status != gateway.AttemptUnknown {
		t.Errorf("%+v", m.Tries)
	}
	if n, err := a.db.Calling(t.Context(), a.patients[:1]); err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
	// A receipt of one of them is its own.
	a.commit(t, gateway.Change{Steps: []gateway.Step{{Message: c.Slices[0].Items[0].Message, From: gateway.Unknown, To: gateway.Delivered, Try: 1}}})
	a.end(t, c, campaign.SliceGivenUp)
	a.stands(t, c, 0, gateway.Delivered)
	if m = a.stands(t, c, 1, gateway.Failed); m.Code != "outcome_unknown" {
		t.Errorf("%+v", m)
	}
	a.end(t, c, campaign.SliceSent) // the provider's answer came after all
	a.stands(t, c, 1, gateway.Sent)
	a.end(t, c, campaign.SliceUnsent, 0, 1)
	a.stands(t, c, 1, gateway.Sent)
}

func neverBegun(t *testing.T, a audience) {
	c := a.slice(t, ahead(2), channels.SMS, 0, 1)
	a.claimSlice(t, c)
	open, err := a.db.AbandonedSlices(t.Context(), a.Now().Add(time.Minute), 10)
	if err != nil || len(open) != 1 || open[0].Status != campaign.SliceClaimed || len(open[0].Items) != 2 || open[0].Items[0] != c.Slices[0].Items[0].Open() {
		t.Fatalf("%+v, %v", open, err)
	}
	a.end(t, c, campaign.SliceUnsent, 0, 1)
	if a.begin(t, c) {
		t.Error("a slice that was taken back began")
	}
	m := a.stands(t, c, 0, gateway.Waiting)
	if m.Tries[0].Status != gateway.AttemptUnsent {
		t.Errorf("%+v", m.Tries)
	}
	if n := len(a.waiting(t)); n != 2 {
		t.Errorf("%d wait", n)
	}
	again := a.slice(t, wait, channels.SMS, 0, 1)
	a.claimSlice(t, again)
	if m = a.stands(t, again, 0, gateway.Sending); m.ID != c.Slices[0].Items[0].Message || m.Attempts != 2 || len(m.Tries) != 2 {
		t.Errorf("it did not keep its message: %+v", m)
	}
}

func begun(t *testing.T, a audience) {
	c := a.slice(t, ahead(2), channels.Email, 0, 1)
	a.claimSlice(t, c)
	a.begin(t, c)
	open, err := a.db.AbandonedSlices(t.Context(), a.Now().Add(time.Minute), 10)
	if err != nil || len(open) != 1 || open[0].Status != campaign.SliceBegun || !open[0].Batch {
		t.Fatalf("%+v, %v", open, err)
	}
	a.end(t, c, campaign.SliceUnknown)
	if n := len(a.waiting(t)); n != 0 {
		t.Errorf("%d wait to be sent again", n)
	}
	if open, err = a.db.UnresolvedSlices(t.Context(), a.Now().Add(time.Second), 10); err != nil || len(open) != 1 {
		t.Errorf("%+v, %v", open, err)
	}
}

func takenBack(t *testing.T, a audience) {
	c := a.slice(t, ahead(2), channels.SMS, 0, 1)
	a.claimSlice(t, c)
	a.end(t, c, campaign.SliceUnsent, 0, 1)
	a.commit(t, gateway.Change{Steps: []gateway.Step{{Message: c.Slices[0].Items[0].Message, From: gateway.Waiting, To: gateway.Canceled}}})
	again := a.slice(t, wait, channels.SMS, 0, 1)
	for i := range again.Slices[0].Items {
		again.Slices[0].Items[i].Cap = &gateway.Cap{Program: channels.Marketing, Keep: 3, Frees: func([]int64) (bool, time.Time) { return true, time.Time{} }}
	}
	got := a.claimSlice(t, again)
	if !got.Gone[1] || got.Gone[2] {
		t.Errorf("%+v", got)
	}
	a.stands(t, c, 0, gateway.Canceled)
	// Who is not claimed after all takes no place under the cap.
	if u, err := a.db.Usages(t.Context(), a.patients[:2]); err != nil || len(u[a.patients[0]][channels.Marketing]) != 0 || len(u[a.patients[1]][channels.Marketing]) != 1 {
		t.Errorf("%v, %v", u, err)
	}
}

func cappedOnce(t *testing.T, a audience) {
	one := func(lane campaign.Lane) campaign.Claim {
		c := a.slice(t, lane, channels.SMS, 0)
		c.Slices[0].Items[0].Cap = &gateway.Cap{Program: channels.Marketing, Keep: 3, Frees: func(sent []int64) (bool, time.Time) {
			return len(sent) == 0, a.Now().Add(time.Second)
		}}
		return c
	}
	c := one(ahead(1))
	a.claimSlice(t, c)
	a.end(t, c, campaign.SliceUnsent, 0) // the place is given back
	if u, err := a.db.Usages(t.Context(), a.patients[:1]); err != nil || len(u[a.patients[0]][channels.Marketing]) != 0 {
		t.Errorf("%v, %v", u, err)
	}
	c = one(wait)
	a.claimSlice(t, c)
	a.begin(t, c)
	a.end(t, c, campaign.SliceSent)
	a.commit(t, gateway.Change{Accepts: nil})
	if u, err := a.db.Usages(t.Context(), a.patients[:1]); err != nil || len(u[a.patients[0]][channels.Marketing]) != 1 {
		t.Errorf("%v, %v", u, err)
	}
	// What a single message took counts for who comes ahead too, and is not written over.
	taken := a.slice(t, campaign.Lane{From: 1, To: 2}, channels.SMS, 1)
	message := gateway.Message{ID: a.NewID(), Patient: a.patients[1], Queue: gateway.SingleQueue, Category: "marketing", Template: "marketing", Due: a.Now(), Created: a.Now()}
	a.commit(t, gateway.Change{Accepts: []gateway.Message{message}})
	single := func(sent []int64) (bool, time.Time) { return len(sent) == 0, a.Now().Add(time.Second) }
	a.commit(t, gateway.Change{Steps: []gateway.Step{{
		Message: message.ID, Patient: a.patients[1], From: gateway.Waiting, To: gateway.Sending, Version: a.snapshot(t, a.patients[1]).Version, Lease: a.Now().Add(time.Minute),
		Cap: &gateway.Cap{Program: channels.Marketing, Keep: 3, Frees: single}, Attempt: &gateway.Attempt{ID: a.NewID(), Number: 1, At: a.Now(), Pair: taken.Slices[0].Items[0].Pair},
	}}})
	seen := -1
	taken.Slices[0].Items[0].Cap = &gateway.Cap{Program: channels.Marketing, Keep: 3, Frees: func(sent []int64) (bool, time.Time) {
		seen = len(sent)
		return true, time.Time{}
	}}
	a.claimSlice(t, taken)
	if u, err := a.db.Usages(t.Context(), a.patients[1:2]); err != nil || seen != 1 || len(u[a.patients[1]][channels.Marketing]) != 2 {
		t.Errorf("%d seen, %v, %v", seen, u, err)
	}
	other := a.slice(t, campaign.Lane{From: 2, To: 3}, channels.SMS, 2)
	other.Slices[0].Items[0].Cap = &gateway.Cap{Program: channels.Marketing, Keep: 3, Frees: func([]int64) (bool, time.Time) { return false, a.Now().Add(time.Second) }}
	if got := a.claimSlice(t, other); !got.Gone[3] {
		t.Errorf("%+v", got)
	}
	if r, err := a.db.Recipient(t.Context(), a.campaign.ID, a.patients[2]); err != nil || r.State != 1 || r.Code != "frequency_cap" {
		t.Errorf("%+v, %v", r, err)
	}
}

func newsOnce(t *testing.T, a audience) {
	ctx := t.Context()
	c := a.slice(t, ahead(3), channels.Email, 0, 1, 2)
	a.claimSlice(t, c)
	a.begin(t, c)
	items := c.Slices[0].Items
	news := func(event string, i int, s channels.DeliveryStatus) channels.Delivery {
		return channels.Delivery{EventID: event, Attempt: items[i].Attempt, Status: s, At: a.Now()}
	}
	hear := func(rest int, list ...channels.Delivery) {
		t.Helper()
		if got, err := a.db.HearMany(ctx, "sendgrid", a.Now(), list); err != nil || len(got) != rest {
			t.Errorf("%d were left, not %d: %v", len(got), rest, err)
		}
	}
	a.end(t, c, campaign.SliceUnknown)
	hear(1, news("e1", 0, channels.Accepted), news("e2", 1, channels.Accepted), news("e3", 1, channels.Delivered),
		channels.Delivery{EventID: "e4", Attempt: items[2].Attempt, Status: channels.Failed, Kind: channels.AddressIsBad})
	a.stands(t, c, 0, gateway.Sent)
	m := a.stands(t, c, 1, gateway.Delivered)
	if len(m.Events) != 2 || m.Tries[0].Status != gateway.AttemptDelivered {
		t.Errorf("%+v", m)
	}
	a.stands(t, c, 2, gateway.Unknown)
	hear(2, news("e1", 0, channels.Accepted), news("e3", 1, channels.Delivered)) // they do not ride any more
	hear(0, news("e5", 2, channels.Accepted), news("e5", 2, channels.Accepted))
	m = a.stands(t, c, 2, gateway.Sent)
	if len(m.Events) != 1 {
		t.Errorf("%+v", m.Events)
	}
	if heard, err := a.db.WasHeard(ctx, "sendgrid", "e4"); err != nil || heard {
		t.Errorf("what was left was taken for heard: %v", err)
	}
}

func scattered(t *testing.T, a audience) {
	c := a.slice(t, ahead(2), channels.SMS, 0, 1)
	a.claimSlice(t, c)
	a.begin(t, c)
	a.commit(t, gateway.Change{Steps: []gateway.Step{{Message: c.Slices[0].Items[0].Message, From: gateway.Sending, To: gateway.Delivered, Try: 1}}})
	open, err := a.db.AbandonedSlices(t.Context(), a.Now().Add(time.Minute), 10)
	if err != nil || len(open) != 1 {
		t.Fatalf("%+v, %v", open, err)
	}
	if err := a.db.ScatterSlice(t.Context(), open[0], a.Now(), a.Now()); err != nil {
		t.Fatal(err)
	}
	a.stands(t, c, 0, gateway.Delivered)
	a.stands(t, c, 1, gateway.Unknown)
	list, err := a.db.Unresolved(t.Context(), a.Now().Add(time.Second), 10)
	if err != nil || len(list) != 1 || list[0].ID != c.Slices[0].Items[1].Message || list[0].Tries[0].Status != gateway.AttemptUnknown {
		t.Errorf("%+v, %v", list, err)
	}
}

func crossing(t *testing.T, a audience) {
	var who []int
	for i := range a.patients {
		who = append(who, i)
	}
	a.later(t, who...)
	end := time.Now().Add(2 * time.Second)
	var all sync.WaitGroup
	for worker := range 6 {
		all.Go(func() {
			for n := 0; time.Now().Before(end); n++ {
				if worker == 5 {
					if _, err := a.try(gateway.Change{Numbers: []gateway.NumberFact{a.stop(number(rand.IntN(20)), a.Now())}}); err != nil {
						t.Error(err)
						return
					}
					continue
				}
				mine := rand.Perm(20)[:8]
				c := a.slice(t, wait, channels.SMS, mine...)
				for i := range c.Slices[0].Items {
					c.Slices[0].Items[i].Cap = &gateway.Cap{Program: channels.Marketing, Keep: 3, Frees: func([]int64) (bool, time.Time) { return true, time.Time{} }}
				}
				got, err := a.db.ClaimSlices(context.Background(), c)
				if err != nil {
					t.Error(err)
					return
				}
				e := campaign.End{At: a.Now(), Campaign: a.campaign.ID, Slice: c.Slices[0].ID, Status: campaign.SliceUnsent}
				for i := range c.Slices[0].Items {
					if !got.Gone[c.Slices[0].Items[i].Pos] {
						e.Back = append(e.Back, campaign.Back{Open: c.Slices[0].Items[i].Open(), Due: a.Now()})
					}
				}
				if err := a.db.EndSlice(context.Background(), e); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if n := len(a.waiting(t)); n != 20 && !t.Failed() {
		t.Errorf("%d of 20 wait", n)
	}
}

func over(t *testing.T, a audience) {
	finish := func(want bool) {
		t.Helper()
		if done, err := a.db.FinishCampaign(t.Context(), a.campaign.ID, a.Now()); err != nil || done != want {
			t.Errorf("%v, %v", done, err)
		}
	}
	finish(false)
	c := a.slice(t, ahead(20), channels.SMS, 0)
	a.claimSlice(t, c)
	finish(false)
	a.begin(t, c)
	a.end(t, c, campaign.SliceUnsent, 0)
	finish(false)
	c = a.slice(t, wait, channels.SMS, 0)
	a.claimSlice(t, c)
	a.begin(t, c)
	a.end(t, c, campaign.SliceSent)
	finish(true)
	finish(false)
	tallies, err := a.db.Tallies(t.Context(), a.campaign.ID)
	if err != nil || len(tallies) != 1 || tallies[0].Count != 1 {
		t.Errorf("%+v, %v", tallies, err)
	}
}

func withdrawn(t *testing.T, a audience) {
	c := a.slice(t, ahead(3), channels.Email, 0, 1, 2)
	a.claimSlice(t, c)
	a.begin(t, c)
	a.end(t, c, campaign.SliceSent, 1)
	items := c.Slices[0].Items
	a.commit(t, gateway.Change{Steps: []gateway.Step{{Message: items[2].Message, From: gateway.Sent, To: gateway.Waiting, Try: 1, Due: a.Now()}}})
	due := func() int {
		t.Helper()
		list, err := a.db.Due(t.Context(), gateway.CampaignQueue, a.Now().Add(time.Second), 10)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	a.becomes(t, gateway.CampaignPaused)
	if due() != 0 {
		t.Error("a message of a paused campaign is due")
	}
	kept := a.commit(t, gateway.Change{Steps: []gateway.Step{a.claim(items[2].Message, a.patients[2], a.addresses[2], a.snapshot(t, a.patients[2]).Version)}})
	if kept.Refused[items[2].Message].Why != gateway.Taken {
		t.Errorf("%+v", kept.Refused)
	}
	a.becomes(t, gateway.CampaignRunning)
	if due() != 1 {
		t.Error("a message of a running campaign is not due")
	}
	a.becomes(t, gateway.CampaignCanceled)
	if err := a.db.WithdrawMessages(t.Context(), a.campaign.ID); err != nil {
		t.Fatal(err)
	}
	a.stands(t, c, 0, gateway.Sent)
	a.stands(t, c, 1, gateway.Canceled)
	a.stands(t, c, 2, gateway.Canceled)
}

func approvalEnds(t *testing.T, a audience) {
	ctx := t.Context()
	draft := gateway.Campaign{ID: a.NewID(), Created: a.Now(), Status: gateway.CampaignApproved, Approver: gateway.Person{ID: "ben"}, Revision: 1}
	if _, err := a.db.AddCampaign(ctx, gateway.Change{At: a.Now()}, draft); err != nil {
		t.Fatal(err)
	}
	if _, err := a.db.AddRecipients(ctx, gateway.Change{At: a.Now()}, draft.ID, gateway.Person{ID: "ana"}, []campaign.Recipient{{Pos: 1, Patient: a.patients[0]}}); err != nil {
		t.Fatal(err)
	}
	c, err := a.db.Campaign(ctx, draft.ID)
	if err != nil || c.Status != gateway.CampaignDraft || c.Approver.ID != "" || c.Editor.ID != "ana" || c.Revision != 2 {
		t.Errorf("%+v, %v", c, err)
	}
}

func heldAfterTry(t *testing.T, a audience) {
	c := a.slice(t, ahead(20), channels.SMS, 0)
	a.claimSlice(t, c)
	a.end(t, c, campaign.SliceUnsent, 0)
	id, version := c.Slices[0].Items[0].Message, a.snapshot(t, a.patients[0]).Version
	minor := gateway.Task{ID: a.NewID(), Kind: gateway.TaskMinor, Patient: a.patients[0], Created: a.Now(), Due: a.Now()}
	a.claimSlice(t, campaign.Claim{
		At: a.Now(), Campaign: a.campaign, Lane: wait, Minors: []gateway.Task{minor},
		Held: []campaign.Held{{Pos: 1, Patient: a.patients[0], Version: version, Code: "patient_minor", Message: id}},
	})
	if m := a.stands(t, c, 0, gateway.Suppressed); m.Code != "patient_minor" {
		t.Errorf("%+v", m)
	}
	if done, err := a.db.FinishCampaign(t.Context(), a.campaign.ID, a.Now()); err != nil || !done {
		t.Errorf("the campaign is not over: %v", err)
	}
	if tasks, err := a.db.Tasks(t.Context(), gateway.TaskFilter{Kind: gateway.TaskMinor, Limit: 10}); err != nil || len(tasks) != 1 {
		t.Errorf("%+v, %v", tasks, err)
	}
}

// heldBlindly: whoever judged them knew of no message of theirs, which would wait for ever.
func heldBlindly(t *testing.T, a audience) {
	a.later(t, 0)
	version := a.snapshot(t, a.patients[0]).Version
	c := a.slice(t, wait, channels.SMS, 0)
	a.claimSlice(t, c)
	a.end(t, c, campaign.SliceUnsent, 0)
	a.claimSlice(t, campaign.Claim{
		At: a.Now(), Campaign: a.campaign, Lane: wait,
		Held: []campaign.Held{{Pos: 1, Patient: a.patients[0], Version: version, Code: "opted_out"}},
	})
	if w := a.waiting(t); len(w) != 1 || w[0].Message != c.Slices[0].Items[0].Message {
		t.Errorf("%+v", w)
	}
}
