package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/campaign"
	"harmonize.care/heed/preferences"
)

// Campaigns is a store of campaigns under test.
type Campaigns interface {
	gateway.Store
	campaign.Store
	campaign.Office
}

// RunCampaigns holds a store to what campaigns need of it.
func RunCampaigns(t *testing.T, open func(t *testing.T) Bench) {
	for name, test := range map[string]func(*testing.T, audience){
		"a list is kept by position, once":                  listOnce,
		"a cursor moves once":                               cursorOnce,
		"who waits is claimed once":                         waitingOnce,
		"a campaign that does not run claims nothing":       pausedClaimsNothing,
		"who moved on waits and is judged again":            staleWaits,
		"an address stands once in a letter":                addressOnce,
		"messages stand as their slice says":                asTheSliceSays,
		"what was never begun is claimed again":             neverBegun,
		"what was begun is not":                             begun,
		"a message that was taken back is not claimed":      takenBack,
		"the last place under a cap, in a campaign":         cappedOnce,
		"news of a letter is kept once and forwards":        newsOnce,
		"calls of which nothing was kept are looked up":     scattered,
		"a receipt that crosses the end of its slice":       receiptsCross,
		"claims, stops and ends that cross never deadlock":  crossing,
		"a campaign is over when everybody has an outcome":  over,
		"a canceled campaign takes back what waits of it":   withdrawn,
		"who is held back after a try ends with a code":     heldAfterTry,
		"an approval does not outlive a change of the list": approvalEnds,
		"who was tried meanwhile is not held back blindly":  heldBlindly,
	} {
		t.Run(name, func(t *testing.T) { test(t, newAudience(t, open(t), 20)) })
	}
}

// audience is a running campaign of one text, for people with a phone each.
type audience struct {
	Bench
	db        Campaigns
	campaign  *gateway.Campaign
	patients  []int64
	addresses []int64
}

func number(i int) string { return fmt.Sprintf("+1303555%04d", 3000+i) }

func newAudience(t *testing.T, b Bench, n int) audience {
	t.Helper()
	a := audience{Bench: b, db: b.Store.(Campaigns)}
	var rows []campaign.Recipient
	for i := range n {
		patient, address := b.enrol(t, fmt.Sprintf("p%d", i), number(i))
		a.patients, a.addresses = append(a.patients, patient), append(a.addresses, address)
		rows = append(rows, campaign.Recipient{Pos: int64(i + 1), Patient: patient})
	}
	a.campaign = &gateway.Campaign{
		ID: b.NewID(), Name: "Autumn", Category: "newsletter", Template: "newsletter", Variables: map[string]string{"title": "x"}, Revision: 1, Created: b.Now(),
	}
	ctx := t.Context()
	if _, err := a.db.AddCampaign(ctx, gateway.Change{At: b.Now()}, *a.campaign); err != nil {
		t.Fatal(err)
	}
	if _, err := a.db.AddRecipients(ctx, gateway.Change{At: b.Now()}, a.campaign.ID, gateway.Person{Name: "ana"}, rows); err != nil {
		t.Fatal(err)
	}
	a.becomes(t, gateway.CampaignApproved)
	a.becomes(t, gateway.CampaignRunning)
	return a
}

func (a audience) becomes(t *testing.T, s gateway.CampaignStatus) {
	t.Helper()
	if _, err := a.db.ChangeCampaign(t.Context(), gateway.Change{At: a.Now()}, a.campaign.ID, func(c *gateway.Campaign) error {
		c.Status = s
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// slice claims the people at some indexes, as they stand now.
func (a audience) slice(t *testing.T, lane campaign.Lane, ch channels.Channel, who ...int) campaign.Claim {
	t.Helper()
	s := campaign.Slice{ID: a.NewID(), Channel: ch, Program: channels.Marketing, Batch: ch == channels.Email, Lease: a.Now().Add(5 * time.Second), Provider: "sendgrid", Form: "full", Wording: "w", Asked: []byte(`{"asked":1}`)}
	for _, i := range who {
		message := a.NewID()
		if r, err := a.db.Recipient(t.Context(), a.campaign.ID, a.patients[i]); err == nil && r.Message != 0 {
			message = r.Message
		}
		item := campaign.Item{
			Pos: int64(i + 1), Patient: a.patients[i], Message: message, Attempt: a.NewID(), Number: a.tries(t, i) + 1, Version: a.snapshot(t, a.patients[i]).Version,
			Pair: preferences.Pair{Channel: ch, Address: a.addresses[i]}, Form: "full",
		}
		if item.Number > 1 {
			item.Decision = &gateway.DecisionRecord{ID: a.NewID(), Message: message, Patient: a.patients[i], At: a.Now(), Outcome: "send", Body: []byte(`{}`)}
		} else {
			item.Facts, item.Attempt = []byte("facts"), message
		}
		s.Items = append(s.Items, item)
	}
	return campaign.Claim{At: a.Now(), Campaign: a.campaign, Lane: lane, Slices: []campaign.Slice{s}}
}

func (a audience) tries(t *testing.T, i int) int {
	t.Helper()
	r, err := a.db.Recipient(t.Context(), a.campaign.ID, a.patients[i])
	if err != nil || r.Message == 0 {
		return 0
	}
	m, err := a.db.Message(t.Context(), r.Message)
	if err != nil {
		t.Fatal(err)
	}
	return m.Attempts
}

func (a audience) claimSlice(t *testing.T, c campaign.Claim) campaign.Claimed {
	t.Helper()
	got, err := a.db.ClaimSlices(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (a audience) end(t *testing.T, c campaign.Claim, s campaign.SliceStatus, back ...int) {
	t.Helper()
	e := campaign.End{At: a.Now(), Campaign: a.campaign.ID, Slice: c.Slices[0].ID, Status: s}
	for _, i := range back {
		e.Back = append(e.Back, campaign.Back{Open: c.Slices[0].Items[i].Open(), Due: a.Now(), Code: "429"})
	}
	if err := a.db.EndSlice(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

func (a audience) begin(t *testing.T, c campaign.Claim) bool {
	t.Helper()
	ok, err := a.db.BeginSlice(t.Context(), c.Slices[0].ID, a.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func (a audience) stands(t *testing.T, c campaign.Claim, i int, want gateway.Status) *gateway.Message {
	t.Helper()
	m, err := a.db.Message(t.Context(), c.Slices[0].Items[i].Message)
	if err != nil {
		t.Fatal(err)
	}
	if m.Status != want {
		t.Errorf("the message stands at %d, not %d", m.Status, want)
	}
	return m
}

func (a audience) waiting(t *testing.T) []campaign.Recipient {
	t.Helper()
	got, err := a.db.RecipientsWaiting(t.Context(), a.campaign.ID, a.Now().Add(time.Minute), 100)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func ahead(to int64) campaign.Lane { return campaign.Lane{To: to} }

var wait = campaign.Lane{Waiting: true}

func listOnce(t *testing.T, a audience) {
	ctx := t.Context()
	draft := gateway.Campaign{ID: a.NewID(), Created: a.Now()}
	if _, err := a.db.AddCampaign(ctx, gateway.Change{At: a.Now()}, draft); err != nil {
		t.Fatal(err)
	}
	add := func(rows ...campaign.Recipient) (campaign.Added, error) {
		return a.db.AddRecipients(ctx, gateway.Change{At: a.Now()}, draft.ID, gateway.Person{Name: "ana"}, rows)
	}
	p := a.patients
	list := []campaign.Recipient{{Pos: 1, Patient: p[0]}, {Pos: 2, Patient: -2}, {Pos: 3, Patient: p[1]}, {Pos: 4, Patient: p[0]}}
	if got, err := add(list...); err != nil || got.New != 3 || got.Unknown != 1 || got.Repeated != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := add(list...); err != nil || got.New != 0 || got.Already != 3 || got.Repeated != 1 {
		t.Errorf("again: %+v, %v", got, err)
	}
	if got, err := add(campaign.Recipient{Pos: 2, Patient: p[2]}); err != nil || got.New != 1 {
		t.Errorf("put on file since: %+v, %v", got, err)
	}
	var now gateway.NotNow
	if _, err := add(campaign.Recipient{Pos: 5, Patient: p[3]}, campaign.Recipient{Pos: 1, Patient: p[4]}); !errors.As(err, &now) {
		t.Errorf("another list: %v", err)
	}
	rows, err := a.db.Recipients(ctx, draft.ID, 0, 10)
	if err != nil || len(rows) != 3 {
		t.Errorf("%+v, %v", rows, err)
	}
	if c, err := a.db.Campaign(ctx, draft.ID); err != nil || c.People != 4 || c.Revision != 2 {
		t.Errorf("%+v, %v", c, err)
	}
	// Clearing it began, and was broken off: nothing is added to what is left.
	if _, err := a.db.ChangeCampaign(ctx, gateway.Change{At: a.Now()}, draft.ID, func(c *gateway.Campaign) error {
		c.People = 0
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := add(list...); !errors.As(err, &now) || now.Code != "audience_clearing" {
		t.Errorf("added to half an audience: %v", err)
	}
	if err := a.db.ClearRecipients(ctx, gateway.Change{At: a.Now()}, draft.ID, gateway.Person{Name: "ana"}); err != nil {
		t.Fatal(err)
	}
	if rows, err = a.db.Recipients(ctx, draft.ID, 0, 10); err != nil || len(rows) != 0 {
		t.Errorf("cleared: %+v, %v", rows, err)
	}
	if _, err := a.db.AddRecipients(ctx, gateway.Change{At: a.Now()}, a.campaign.ID, gateway.Person{}, list); !errors.As(err, &now) {
		t.Errorf("an audience while it runs: %v", err)
	}
}

// together runs claims side by side and counts those that were kept.
func (a audience) together(t *testing.T, claims ...campaign.Claim) (kept int, positions map[int64]int) {
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	positions = map[int64]int{}
	for _, c := range claims {
		all.Go(func() {
			got, err := a.db.ClaimSlices(context.Background(), c)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			if got.Lost {
				return
			}
			kept++
			for _, i := range c.Slices[0].Items {
				if !got.Gone[i.Pos] {
					positions[i.Pos]++
				}
			}
		})
	}
	all.Wait()
	return kept, positions
}

func cursorOnce(t *testing.T, a audience) {
	var claims []campaign.Claim
	for range 8 {
		claims = append(claims, a.slice(t, ahead(10), channels.SMS, 0, 1, 2, 3))
	}
	if kept, positions := a.together(t, claims...); kept != 1 || len(positions) != 4 {
		t.Errorf("%d claims were kept: %v", kept, positions)
	}
	shards, err := a.db.CampaignShards(t.Context(), a.campaign.ID)
	if err != nil || len(shards) != 1 || shards[0].Cursor != 10 {
		t.Errorf("%+v, %v", shards, err)
	}
}

// later lets people wait.
func (a audience) later(t *testing.T, who ...int) {
	t.Helper()
	c := campaign.Claim{At: a.Now(), Campaign: a.campaign, Lane: ahead(20)}
	for _, i := range who {
		c.Later = append(c.Later, campaign.Later{Pos: int64(i + 1), Patient: a.patients[i], Version: a.snapshot(t, a.patients[i]).Version, Code: "quiet_hours", Until: a.Now()})
	}
	a.claimSlice(t, c)
}

func waitingOnce(t *testing.T, a audience) {
	a.later(t, 0, 1, 2, 3)
	if n := len(a.waiting(t)); n != 4 {
		t.Fatalf("%d wait", n)
	}
	var claims []campaign.Claim
	for range 8 {
		claims = append(claims, a.slice(t, wait, channels.SMS, 0, 1, 2, 3))
	}
	_, positions := a.together(t, claims...)
	for pos, n := range positions {
		if n != 1 {
			t.Errorf("position %d was claimed %d times", pos, n)
		}
	}
	if len(positions) != 4 || len(a.waiting(t)) != 0 {
		t.Errorf("%v, and %d wait", positions, len(a.waiting(t)))
	}
}

func pausedClaimsNothing(t *testing.T, a audience) {
	a.later(t, 5)
	a.becomes(t, gateway.CampaignPaused)
	if got := a.claimSlice(t, a.slice(t, campaign.Lane{From: 20, To: 20}, channels.SMS, 0)); !got.Lost {
		t.Error("a paused campaign moved its cursor")
	}
	if got := a.claimSlice(t, a.slice(t, wait, channels.SMS, 5)); !got.Lost {
		t.Error("a paused campaign claimed somebody who waits")
	}
	if list, err := a.db.RunnableCampaigns(t.Context(), a.Now()); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func staleWaits(t *testing.T, a audience) {
	c := a.slice(t, ahead(3), channels.SMS, 0, 1)
	c.Held = []campaign.Held{{Pos: 3, Patient: a.patients[2], Version: a.snapshot(t, a.patients[2]).Version, Code: "opted_out"}}
	a.commit(t, gateway.Change{Numbers: []gateway.NumberFact{a.stop(number(1), a.Now()), a.stop(number(2), a.Now())}})
	got := a.claimSlice(t, c)
	if got.Lost || got.Gone[1] || !got.Gone[2] || len(got.Stale) != 2 {
		t.Fatalf("%+v", got)
	}
	if w := a.waiting(t); len(w) != 2 || w[0].Pos != 2 || w[1].Pos != 3 {
		t.Errorf("%+v", w)
	}
	if n, err := a.db.Calling(t.Context(), a.patients[:2]); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
}

func addressOnce(t *testing.T, a audience) {
	shared, other := a.NewID(), a.NewID()
	for i, id := range []int64{shared, other} {
		f := a.record(a.patients[i], id, "", "Home@Patients.example")
		if i == 1 {
			f.Texts[0].Value = "home@patients.example"
		}
		f.Expect, f.Texts[0].Kind = -1, channels.Mailbox
		f.Events[0].Contact.Addresses[0].Kind = channels.Mailbox
		a.commit(t, gateway.Change{Patients: []gateway.PatientFact{f}})
		a.addresses[i] = id
	}
	got := a.claimSlice(t, a.slice(t, ahead(2), channels.Email, 0, 1))
	if got.Gone[1] || !got.Gone[2] {
		t.Errorf("%+v", got)
	}
	if w := a.waiting(t); len(w) != 1 || w[0].Pos != 2 {
		t.Errorf("%+v", w)
	}
}
