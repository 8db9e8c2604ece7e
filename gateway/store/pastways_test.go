package store_test

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/campaign"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences"
)

// mass is the way of a campaign.
func (p *present) mass() []operation {
	return []operation{
		{"an audience", func(ctx context.Context) error {
			p.campaign = &gateway.Campaign{ID: p.ids.New(), Name: "Now", Category: "newsletter", Template: "newsletter", Revision: 1, Created: time.Now()}
			if _, err := p.db.AddCampaign(ctx, gateway.Change{At: time.Now()}, *p.campaign); err != nil {
				return err
			}
			var list []campaign.Recipient
			for i, patient := range p.people {
				list = append(list, campaign.Recipient{Pos: int64(i + 1), Patient: patient})
			}
			_, err := p.db.AddRecipients(ctx, gateway.Change{At: time.Now()}, p.campaign.ID, gateway.Person{Name: "ana"}, list)
			return err
		}},
		{"a start", func(ctx context.Context) error {
			for _, to := range []gateway.CampaignStatus{gateway.CampaignApproved, gateway.CampaignRunning} {
				if _, err := p.db.ChangeCampaign(ctx, gateway.Change{At: time.Now()}, p.campaign.ID, func(c *gateway.Campaign) error {
					c.Status = to
					return nil
				}); err != nil {
					return err
				}
			}
			_, err := p.db.RunnableCampaigns(ctx, time.Now())
			return err
		}},
		{"who is ahead", looked(func(ctx context.Context) (any, error) {
			parts, err := p.db.CampaignShards(ctx, p.campaign.ID)
			if err != nil || len(parts) != 1 {
				return nil, fmt.Errorf("%d shards: %w", len(parts), err)
			}
			return p.db.RecipientsAhead(ctx, p.campaign.ID, parts[0], 1000)
		})},
		{"a claim of a slice", p.claimSlice},
		{"calls under way in a slice", func(ctx context.Context) error {
			n, err := p.db.Calling(ctx, []int64{p.old.patient, p.people[1]})
			if err == nil && n != 1 {
				err = fmt.Errorf("%d calls", n)
			}
			return err
		}},
		{"a slice", func(ctx context.Context) error {
			s := p.claim.Slices[0]
			if ok, err := p.db.BeginSlice(ctx, s.ID, time.Now()); err != nil || !ok {
				return fmt.Errorf("begun: %v %w", ok, err)
			}
			return p.db.EndSlice(ctx, campaign.End{
				At: time.Now(), Campaign: p.campaign.ID, Slice: s.ID, Status: campaign.SliceSent, ProviderID: "letter", Back: []campaign.Back{{Open: s.Items[0].Open(), Due: time.Now(), Code: "429"}},
			})
		}},
		{"news of a letter", func(ctx context.Context) error {
			var list []channels.Delivery
			for _, i := range p.claim.Slices[0].Items[1:] {
				list = append(list, channels.Delivery{EventID: strconv.FormatInt(i.Message, 10), Attempt: i.Attempt, Status: channels.Delivered, At: time.Now()})
			}
			rest, err := p.db.HearMany(ctx, "sendgrid", time.Now(), list)
			if err == nil && len(rest) > 0 {
				err = fmt.Errorf("%d are left", len(rest))
			}
			return err
		}},
		{"a try that its slice tells", looked(func(ctx context.Context) (any, error) { return p.db.Attempt(ctx, p.claim.Slices[0].Items[1].Attempt) })},
		{"who waits", looked(func(ctx context.Context) (any, error) {
			return p.db.RecipientsWaiting(ctx, p.campaign.ID, time.Now(), 1000)
		})},
		{"where somebody stands", looked(func(ctx context.Context) (any, error) { return p.db.Recipient(ctx, p.campaign.ID, p.people[3]) })},
		{"a report", looked(func(ctx context.Context) (any, error) { return p.db.Tallies(ctx, p.campaign.ID) })},
		{"a report of a past campaign", looked(func(ctx context.Context) (any, error) { return p.db.Tallies(ctx, p.old.campaign) })},
		{"an end", looked(func(ctx context.Context) (any, error) { return p.db.FinishCampaign(ctx, p.campaign.ID, time.Now()) })},
		{"taking back", func(ctx context.Context) error { return p.db.WithdrawMessages(ctx, p.campaign.ID) }},
		{"campaigns", looked(func(ctx context.Context) (any, error) { return p.db.Campaigns(ctx, 0, 100) })},
	}
}

func (p *present) claimSlice(ctx context.Context) error {
	known, err := p.db.Snapshots(ctx, p.people)
	if err != nil {
		return err
	}
	s := campaign.Slice{ID: p.ids.New(), Channel: channels.Email, Program: channels.Marketing, Batch: true, Lease: time.Now().Add(time.Minute), Provider: "sendgrid", Form: "full", Wording: "w", Asked: []byte("{}")}
	for i, patient := range p.people {
		m := p.ids.New()
		s.Items = append(s.Items, campaign.Item{
			Pos: int64(i + 1), Patient: patient, Message: m, Attempt: m, Number: 1, Version: known[patient].Version, Pair: preferences.Pair{Channel: channels.Email, Address: p.phones[i]}, Form: "full", Facts: []byte("f"),
		})
	}
	p.claim = campaign.Claim{At: time.Now(), Campaign: p.campaign, Lane: campaign.Lane{To: int64(len(p.people))}, Slices: []campaign.Slice{s}}
	got, err := p.db.ClaimSlices(ctx, p.claim)
	if err == nil && (got.Lost || len(got.Gone) > 0) {
		err = fmt.Errorf("%+v", got)
	}
	return err
}

// office is what people look at, and what goes on by itself.
func (p *present) office() []operation {
	long := 20 * 365 * 24 * time.Hour // nothing is as old
	return []operation{
		{"a message", looked(func(ctx context.Context) (any, error) { return p.db.Message(ctx, p.old.single) })},
		{"a message of a campaign", looked(func(ctx context.Context) (any, error) { return p.db.Message(ctx, p.old.rides) })},
		{"a patient's messages", looked(func(ctx context.Context) (any, error) {
			return p.db.Messages(ctx, gateway.MessageFilter{Patient: p.old.patient, Newest: true, Limit: 100})
		})},
		{"a patient's waiting messages", looked(func(ctx context.Context) (any, error) {
			return p.db.Messages(ctx, gateway.MessageFilter{Patient: p.old.patient, Open: true, Newest: true, Limit: 100})
		})},
		{"a reference's messages", looked(func(ctx context.Context) (any, error) {
			return p.db.Messages(ctx, gateway.MessageFilter{Reference: pastReference, Limit: 100})
		})},
		{"a reference's waiting messages", looked(func(ctx context.Context) (any, error) {
			return p.db.Messages(ctx, gateway.MessageFilter{Reference: pastReference, Open: true, Limit: 100})
		})},
		{"decisions and news", func(ctx context.Context) error {
			if _, err := p.db.LastDecisions(ctx, []int64{p.old.single, p.old.rides}); err != nil {
				return err
			}
			_, err := p.db.MessageEvents(ctx, []int64{p.old.single, p.old.rides})
			return err
		}},
		{"disclosures", looked(func(ctx context.Context) (any, error) {
			return p.db.Disclosures(ctx, p.old.patient, time.Now().Add(-3*365*24*time.Hour), 0, 100)
		})},
		{"the worklist", looked(func(ctx context.Context) (any, error) { return p.db.Tasks(ctx, gateway.TaskFilter{Limit: 100}) })},
		{"done tasks", func(ctx context.Context) error {
			first, err := p.db.Tasks(ctx, gateway.TaskFilter{Done: true, Limit: 100})
			if err != nil || len(first) != 100 {
				return fmt.Errorf("%d tasks: %w", len(first), err)
			}
			_, err = p.db.Tasks(ctx, gateway.TaskFilter{Done: true, After: first[99].ID, Limit: 100})
			return err
		}},
		{"a patient's tasks", looked(func(ctx context.Context) (any, error) {
			return p.db.Tasks(ctx, gateway.TaskFilter{Done: true, Patient: p.old.patient, Limit: 100})
		})},
		{"overdue tasks", func(ctx context.Context) error {
			if _, err := p.db.Untold(ctx, time.Now(), 100); err != nil {
				return err
			}
			_, _, err := p.db.CountTasks(ctx, time.Now())
			return err
		}},
		{"the audit log", looked(func(ctx context.Context) (any, error) { return p.db.Audits(ctx, p.ids.New(), 100) })},
		{"sealing", looked(func(ctx context.Context) (any, error) { return p.db.Seal(ctx, false) })},
		{"sealing what was overlooked", looked(func(ctx context.Context) (any, error) { return p.db.Seal(ctx, true) })},
		{"retention of nothing", looked(func(ctx context.Context) (any, error) {
			return p.db.Forget(ctx, store.Retention{Content: long, Answers: long, Seen: long, Events: long, Dead: long})
		})},
		{"an erasure", func(ctx context.Context) error {
			return p.commit(ctx, gateway.Change{Patients: []gateway.PatientFact{{
				Patient: p.people[0], Expect: -1, Erase: true, Events: []preferences.Event{{ID: p.ids.New(), Kind: preferences.PatientErased, At: time.Now().UnixMicro()}},
			}}})
		}},
	}
}
