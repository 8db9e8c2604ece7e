package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/campaign"
)

// send is a text that a campaign carries.
type campaignText struct {
	category  string
	variables map[string]string
	channels  []channels.Channel
}

var (
	newsletter = campaignText{category: "newsletter", variables: map[string]string{"title": "Groups this autumn", "text": "New groups begin in October. Ask at the desk, or call us: there is room in each of them."}}
	offer      = campaignText{category: "marketing", variables: map[string]string{"title": "Groups this autumn", "text": "New groups begin in October."}, channels: []channels.Channel{channels.SMS}}
)

// email sends a newsletter to a small and a large audience.
func (b *bench) email(ctx context.Context) error {
	small := b.scale.Size / 10
	if err := b.enrolUpTo(ctx, b.scale.Size); err != nil {
		return err
	}
	for range b.scale.Runs {
		few, err := b.campaign(ctx, newsletter, 0, small)
		if err != nil {
			return err
		}
		b.figure(figure{Name: "email_small", What: fmt.Sprintf("campaign email to %s people", short(float64(small))), Unit: "messages/s"}).addSpent(few.rate, few.spent, small)
		many, err := b.campaign(ctx, newsletter, 0, b.scale.Size)
		if err != nil {
			return err
		}
		b.figure(figure{
			Name: "email", What: fmt.Sprintf("campaign email to %s people, rendering, fence and record included", short(float64(b.scale.Size))), Unit: "messages/s",
			Of: "post_email", Aim: b.onPostgres(goal{AtLeast: 60_000, CPU: 0.015, Memory: 128}),
		}).addSpent(many.rate, many.spent, b.scale.Size)
		b.figure(figure{Name: "email_growth", What: "growth: time of a message in the large audience over the small one", Unit: "times", Aim: &goal{AtMost: 1.1}}).add(few.rate / many.rate)
		b.figure(figure{Name: "email_memory", What: "growth: memory with the large audience over the small one", Unit: "times", Aim: &goal{AtMost: 1.1}}).add(many.peak / few.peak)
		limit := figure{Name: "post_email", What: "limit: bare POST of the same letters", Unit: "messages/s"}
		if err := b.postRate(ctx, limit, "/v3/mail/send", "application/json", campaignWorkers, max(b.scale.Size/channels.MaxBatch, 1), min(channels.MaxBatch, b.scale.Size)); err != nil {
			return err
		}
	}
	return nil
}

// sms sends a campaign by text, one request each.
func (b *bench) sms(ctx context.Context) error {
	if err := b.enrolUpTo(ctx, b.scale.texts); err != nil {
		return err
	}
	limit := figure{Name: "post_sms", What: "limit: bare POST of the same text, 64 at a time", Unit: "messages/s"}
	for range b.scale.Runs {
		got, err := b.campaign(ctx, offer, 0, b.scale.texts)
		if err != nil {
			return err
		}
		b.figure(figure{
			Name: "sms", What: "campaign by text, one request each", Unit: "messages/s", Of: "post_sms", Aim: &goal{AtLeast: 20_000, Ratio: 0.45},
		}).addSpent(got.rate, got.spent, b.scale.texts)
		if err := b.postRate(ctx, limit, textPath, "application/x-www-form-urlencoded", 64, b.scale.texts, 1); err != nil {
			return err
		}
	}
	return nil
}

// textPath is where a carrier takes texts.
const textPath = "/2010-04-01/Messages.json"

// ran is what one campaign came to.
type ran struct {
	rate float64 // messages a second
	spent
}

// campaign makes a campaign, lets two people do their part, and times it from its start until
// its end is on record; the provider then has every message.
func (b *bench) campaign(ctx context.Context, text campaignText, from, to int) (ran, error) {
	id, err := b.draft(ctx, text, from, to)
	if err != nil {
		return ran{}, err
	}
	before, err := b.carrier.taken(ctx, 0)
	if err != nil {
		return ran{}, err
	}
	var took time.Duration
	used, err := spending(func() error {
		began := time.Now()
		if _, err := b.campaigns.Start(ctx, benchCall("first"), id); err != nil {
			return err
		}
		if err := b.ended(ctx, id); err != nil {
			return err
		}
		took = time.Since(began)
		return nil
	})
	if err != nil {
		return ran{}, err
	}
	after, err := b.carrier.taken(ctx, 0)
	if got := after.Mails + after.Texts - before.Mails - before.Texts; err == nil && got != int64(to-from) {
		err = fmt.Errorf("%d of %d messages came to the provider", got, to-from)
	}
	return ran{rate: float64(to-from) / took.Seconds(), spent: used}, err
}

// ended waits for a campaign's end.
func (b *bench) ended(ctx context.Context, id int64) error {
	return until(ctx, time.Hour, "the campaign is over", func() (bool, error) {
		c, err := b.db.Campaign(ctx, id)
		if err == nil && c.Trouble > 0 {
			err = errors.New("the provider was in trouble")
		}
		return err == nil && c.Status == gateway.CampaignCompleted, err
	})
}

func (b *bench) draft(ctx context.Context, text campaignText, from, to int) (int64, error) {
	made, err := b.campaigns.Draft(benchCall("first").By, campaign.Brief{Name: "Bench", Category: text.category, Template: text.category, Variables: text.variables, Channels: text.channels})
	if err != nil {
		return 0, err
	}
	if _, err := b.campaigns.Create(ctx, benchCall("first"), made); err != nil {
		return 0, err
	}
	var list strings.Builder
	list.WriteString("patient\n")
	for n := from; n < to; n++ {
		list.WriteString(refOf(n) + "\n")
	}
	added, err := b.campaigns.Upload(ctx, benchCall("first"), made.ID, campaign.CSV, 1, strings.NewReader(list.String()))
	if err == nil && (added.New != int64(to-from) || added.Unknown > 0) {
		err = errors.New("the audience is not what it should be")
	}
	if err != nil {
		return 0, err
	}
	_, err = b.campaigns.Approve(ctx, benchCall("second"), made.ID, 0)
	return made.ID, err
}

func benchCall(who string) campaign.Call {
	return campaign.Call{By: gateway.Person{ID: "bench:" + who, Name: who}}
}
