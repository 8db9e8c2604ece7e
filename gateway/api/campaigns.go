package api

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/gateway/campaign"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/preferences/policy"
)

// CampaignIn is what a campaign says and how it may go.
type CampaignIn struct {
	Name      string            `json:"name" minLength:"1" maxLength:"200"`
	Category  string            `json:"category" minLength:"1" maxLength:"64" doc:"One that is not essential."`
	Template  string            `json:"template" minLength:"1" maxLength:"64"`
	Variables map[string]string `json:"variables,omitempty"`
	Channels  []string          `json:"channels,omitempty" maxItems:"3" nullable:"false" enum:"sms,voice,email" doc:"Without it: the category's."`
	Rate      int               `json:"rate_per_second,omitempty" minimum:"0" maximum:"100000" doc:"Messages a second from each sender, over all replicas; 0: no bound."`
}

// CampaignPatch changes a campaign; what is absent stays.
type CampaignPatch struct {
	Name      *string            `json:"name,omitempty" minLength:"1" maxLength:"200"`
	Template  *string            `json:"template,omitempty" minLength:"1" maxLength:"64"`
	Category  *string            `json:"category,omitempty" minLength:"1" maxLength:"64"`
	Variables *map[string]string `json:"variables,omitempty"`
	Channels  *[]string          `json:"channels,omitempty" maxItems:"3" enum:"sms,voice,email"`
	Rate      *int               `json:"rate_per_second,omitempty" minimum:"0" maximum:"100000"`
}

// CampaignOut is a campaign and where it stands. It counts, and names nobody.
type CampaignOut struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Category   string            `json:"category"`
	Template   string            `json:"template"`
	Variables  map[string]string `json:"variables"`
	Channels   []string          `json:"channels"`
	Rate       int               `json:"rate_per_second"`
	Status     string            `json:"status" enum:"draft,approved,running,paused,completed,canceled"`
	Revision   int64             `json:"revision" doc:"Goes up with every change of text or audience; an approval is of one revision."`
	CreatedBy  string            `json:"created_by"`
	ApprovedBy string            `json:"approved_by,omitempty"`
	CreatedAt  time.Time         `json:"created_at"`
	ApprovedAt *time.Time        `json:"approved_at,omitempty"`
	StartedAt  *time.Time        `json:"started_at,omitempty"`
	EndedAt    *time.Time        `json:"ended_at,omitempty"`
	HoldUntil  *time.Time        `json:"hold_until,omitempty" doc:"The provider is in trouble, or asked to wait: nothing is claimed before this."`
	Progress   *CampaignCounts   `json:"progress,omitempty" doc:"Only where one campaign is asked for."`
}

// CampaignCounts are totals.
type CampaignCounts struct {
	Total  int64         `json:"total" doc:"Everybody in the audience."`
	Done   int64         `json:"done" doc:"Those who have an outcome: nothing more is done for them."`
	Report []CampaignRow `json:"report"`
}

// CampaignRow is how many came to the same.
type CampaignRow struct {
	Outcome string `json:"outcome" doc:"pending, waiting, or a message's status; in a screening: send, defer or suppress."`
	Code    string `json:"code,omitempty" doc:"The rule, or the provider's code."`
	Reason  string `json:"reason,omitempty" doc:"The code in words, with its source."`
	Channel string `json:"channel,omitempty"`
	Count   int64  `json:"count"`
}

// RecipientOut says where one recipient stands, and why.
type RecipientOut struct {
	Outcome      string       `json:"outcome" doc:"pending, waiting, suppressed, or a message's status."`
	Code         string       `json:"code,omitempty"`
	Reason       string       `json:"reason,omitempty"`
	Message      string       `json:"message,omitempty"`
	Until        *time.Time   `json:"until,omitempty"`
	RecordMoved  bool         `json:"record_moved" doc:"The patient's record changed since: the decision below is of the record as it is now."`
	DecisionNow  *DecisionOut `json:"decision_now,omitempty" doc:"The same question asked now, with its whole reasoning."`
	JudgedBefore bool         `json:"judged" doc:"Whether it was judged for sending yet."`
}

type campaignOut struct{ Body CampaignOut }

type countsOut struct{ Body CampaignCounts }

// CampaignPath is a path with a campaign's id.
type CampaignPath struct {
	ID string `path:"id" maxLength:"24"`
}

func (p CampaignPath) id() (int64, error) { return MessagePath(p).id() }

func (a *API) campaigns(h huma.API) {
	create := op(http.MethodPost, "/v1/campaigns", "Make a draft of a campaign", auth.RunCampaigns)
	create.DefaultStatus = http.StatusCreated
	register(a, h, create, func(ctx context.Context, in *struct{ Body CampaignIn }) (*campaignOut, error) {
		b := in.Body
		c, err := a.Campaigns.Draft(personOf(ctx), campaign.Brief{
			Name: b.Name, Category: b.Category, Template: b.Template, Variables: b.Variables, Channels: channelsOf(b.Channels), Rate: b.Rate,
		})
		if err != nil {
			return nil, err
		}
		out := &campaignOut{CampaignOf(&c)}
		call := callOf(ctx)
		keepAnswer(call.Key, http.StatusCreated, out.Body)
		return out, kept(a.Campaigns.Create(ctx, call, c))
	})
	type campaignList struct {
		Body struct {
			Campaigns []CampaignOut `json:"campaigns"`
			Next      string        `json:"next,omitempty"`
		}
	}
	register(a, h, op(http.MethodGet, "/v1/campaigns", "Campaigns, oldest first", auth.ReadCampaigns), func(ctx context.Context, in *struct{ Page }) (*campaignList, error) {
		after, err := cursor(in.After)
		if err != nil {
			return nil, err
		}
		found, err := a.Campaigns.Office.Campaigns(ctx, after, in.Limit)
		out := &campaignList{}
		out.Body.Campaigns = []CampaignOut{}
		for i := range found {
			out.Body.Campaigns = append(out.Body.Campaigns, CampaignOf(&found[i]))
		}
		if len(found) == in.Limit {
			out.Body.Next = out.Body.Campaigns[len(found)-1].ID
		}
		return out, err
	})
	register(a, h, op(http.MethodGet, "/v1/campaigns/{id}", "A campaign, its progress and its report", auth.ReadCampaigns),
		func(ctx context.Context, in *CampaignPath) (*campaignOut, error) { return a.campaign(ctx, in) })
	a.editCampaign(h)
	a.moveCampaigns(h)
	a.lookAtCampaigns(h)
	a.testCampaign(h)
}

func (a *API) editCampaign(h huma.API) {
	register(a, h, op(http.MethodPatch, "/v1/campaigns/{id}", "Change a campaign that was not started; an approval ends with it", auth.RunCampaigns),
		func(ctx context.Context, in *struct {
			CampaignPath
			Body CampaignPatch
		}) (*campaignOut, error) {
			id, err := in.id()
			if err == nil && !gateway.AlreadyDone(ctx) {
				err = kept(a.Campaigns.Edit(ctx, callOf(ctx), id, in.Body.apply))
			}
			if err != nil {
				return nil, err
			}
			return a.campaign(ctx, &in.CampaignPath)
		})
}

func (p *CampaignPatch) apply(b *campaign.Brief) {
	if p.Name != nil {
		b.Name = *p.Name
	}
	if p.Category != nil {
		b.Category = *p.Category
	}
	if p.Template != nil {
		b.Template = *p.Template
	}
	if p.Variables != nil {
		b.Variables = *p.Variables
	}
	if p.Channels != nil {
		b.Channels = channelsOf(*p.Channels)
	}
	if p.Rate != nil {
		b.Rate = *p.Rate
	}
}

// moveCampaigns are the calls that move a campaign on.
func (a *API) moveCampaigns(h huma.API) {
	register(a, h, op(http.MethodPost, "/v1/campaigns/{id}/approve", "Approve text and audience, as a second person", auth.ApproveCampaigns),
		func(ctx context.Context, in *struct {
			CampaignPath
			Revision int64 `query:"revision" minimum:"0" doc:"the revision that was looked at: another one is not approved (409 revision_moved); 0: whatever stands there"`
		}) (*campaignOut, error) {
			id, err := in.id()
			if err == nil && !gateway.AlreadyDone(ctx) {
				err = kept(a.Campaigns.Approve(ctx, callOf(ctx), id, in.Revision))
			}
			if err != nil {
				return nil, err
			}
			return a.campaign(ctx, &in.CampaignPath)
		})
	for _, m := range []struct {
		verb, summary string
		need          auth.Permission
		move          func(context.Context, campaign.Call, int64) (gateway.Kept, error)
	}{
		{"start", "Let an approved campaign go", auth.RunCampaigns, a.Campaigns.Start},
		{"pause", "Hold a running campaign", auth.RunCampaigns, a.Campaigns.Pause},
		{"resume", "Let a paused campaign go on", auth.RunCampaigns, a.Campaigns.Resume},
		{"cancel", "End a campaign for good", auth.RunCampaigns, a.Campaigns.Cancel},
	} {
		o := op(http.MethodPost, "/v1/campaigns/{id}/"+m.verb, m.summary, m.need)
		register(a, h, o, func(ctx context.Context, in *CampaignPath) (*campaignOut, error) {
			id, err := in.id()
			if err == nil && !gateway.AlreadyDone(ctx) {
				err = kept(m.move(ctx, callOf(ctx), id))
			}
			if err != nil {
				return nil, err
			}
			return a.campaign(ctx, in)
		})
	}
}

// screenTime is how long the screening of a large audience may take.
const screenTime = 10 * time.Minute

// lookAtCampaigns are the calls that send nothing to anybody in the audience.
func (a *API) lookAtCampaigns(h huma.API) {
	screening := op(http.MethodGet, "/v1/campaigns/{id}/screening", "Who would get it now: counts by rule and channel; nothing is sent", auth.ReadCampaigns)
	screening.Middlewares = huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		_, w := humago.Unwrap(ctx)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(screenTime)) // where it cannot be moved, the usual one holds
		next(ctx)
	}}
	register(a, h, screening, func(ctx context.Context, in *CampaignPath) (*countsOut, error) {
		c, err := a.campaignByID(ctx, in)
		if err != nil {
			return nil, err
		}
		r, err := a.Campaigns.Screen(ctx, c)
		return &countsOut{CountsOf(blur(ctx, r))}, err
	})
	register(a, h, op(http.MethodPost, "/v1/campaigns/{id}/preview", "The text as it would go out", auth.ReadCampaigns),
		func(ctx context.Context, in *struct {
			CampaignPath
			Body PreviewIn
		}) (*struct{ Body PreviewOut }, error) {
			c, err := a.campaignByID(ctx, &in.CampaignPath)
			if err != nil {
				return nil, err
			}
			in.Body.Channel = cmp.Or(in.Body.Channel, a.firstChannel(c).String())
			in.Body.Variables = c.Variables
			out, err := a.Preview(ctx, c.Template, in.Body)
			return &struct{ Body PreviewOut }{out}, err
		})
	register(a, h, sees("campaign.recipient", op(http.MethodGet, "/v1/campaigns/{id}/recipients/{patient}", "Where one recipient stands, and why", auth.Decide)),
		func(ctx context.Context, in *struct {
			CampaignPath
			Patient string `path:"patient" minLength:"1" maxLength:"128"`
		}) (*struct{ Body RecipientOut }, error) {
			c, err := a.campaignByID(ctx, &in.CampaignPath)
			if err != nil {
				return nil, err
			}
			patient, err := a.patientID(ctx, in.Patient)
			if err != nil {
				return nil, err
			}
			looksAt(ctx, patient)
			out, err := a.recipient(ctx, c, patient)
			return &struct{ Body RecipientOut }{out}, err
		})
}

// testCampaign sends the text to the caller's own addresses.
func (a *API) testCampaign(h huma.API) {
	type testOut struct {
		Body struct {
			Sent int `json:"sent" doc:"How many are on their way to addresses of your own."`
		}
	}
	test := op(http.MethodPost, "/v1/campaigns/{id}/test", "Send the text to yourself: to the addresses that are set up for the name of your key", auth.RunCampaigns)
	test.DefaultStatus = http.StatusAccepted
	register(a, h, test, func(ctx context.Context, in *struct {
		CampaignPath
		Locale string `query:"locale" enum:"en,es" default:"en"`
	}) (*testOut, error) {
		out := &testOut{}
		id, err := in.id()
		if err != nil || gateway.AlreadyDone(ctx) {
			return out, err
		}
		n, committed, err := a.Campaigns.Test(ctx, callOf(ctx), id, in.Locale)
		out.Body.Sent = n
		return out, kept(committed, err)
	})
}

func (a *API) firstChannel(c *gateway.Campaign) channels.Channel {
	if len(c.Channels) > 0 {
		return c.Channels[0]
	}
	if cat, ok := a.Policy.Category(c.Category); ok && len(cat.Channels) > 0 {
		return cat.Channels[0]
	}
	return channels.Email
}

// recipient explains one recipient: what was kept, and the same question asked now.
func (a *API) recipient(ctx context.Context, c *gateway.Campaign, patient int64) (RecipientOut, error) {
	r, err := a.Campaigns.Office.Recipient(ctx, c.ID, patient)
	if err != nil {
		return RecipientOut{}, err
	}
	out := RecipientOut{Outcome: campaign.Pending, Code: r.Code, Until: instant(r.Due), JudgedBefore: r.Version != 0}
	switch {
	case r.State == 2:
		m, err := a.Store.Message(ctx, r.Message)
		if err != nil {
			return out, err
		}
		out.Outcome, out.Code, out.Message, out.Until = m.Status.Name(m.Due, a.Now()), m.Code, strconv.FormatInt(m.ID, 10), nil
	case c.Status == gateway.CampaignCanceled && r.State < 2:
		out.Outcome, out.Code, out.Until = "canceled", gateway.CampaignCanceledCode, nil
	case r.State == 1:
		out.Outcome = campaign.Waits
	case r.State == 3:
		out.Outcome = "suppressed"
	}
	out.Reason = policy.Code(out.Code).Sentence()
	if out.Code == "" {
		out.Reason = ""
	}
	now, err := a.Dispatcher.DryRun(ctx, dispatch.Ask{Patient: patient, Category: c.Category, Template: c.Template, Channels: c.Channels})
	if err != nil {
		return out, err
	}
	out.RecordMoved = r.Version != 0 && now.SnapshotVersion != r.Version
	told, err := a.Decision(ctx, now)
	out.DecisionNow = &told
	return out, err
}

func personOf(ctx context.Context) gateway.Person {
	c := caller(ctx)
	return gateway.Person{ID: c.ID, Name: c.Name}
}

func callOf(ctx context.Context) campaign.Call {
	return campaign.Call{By: personOf(ctx), Key: gateway.KeyOf(ctx)}
}

func (a *API) campaignByID(ctx context.Context, in *CampaignPath) (*gateway.Campaign, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	return a.Campaigns.Office.Campaign(ctx, id)
}

// campaign tells one campaign with its counts.
func (a *API) campaign(ctx context.Context, in *CampaignPath) (*campaignOut, error) {
	c, err := a.campaignByID(ctx, in)
	if err != nil {
		return nil, err
	}
	r, err := a.Campaigns.Report(ctx, c)
	out := CampaignOf(c)
	counts := CountsOf(blur(ctx, r))
	out.Progress = &counts
	return &campaignOut{out}, err
}

// blur: a marketer never learns why a named person was left out.
func blur(ctx context.Context, r campaign.Report) campaign.Report {
	if caller(ctx).Role == auth.Marketer {
		return r.Blur()
	}
	return r
}

// CampaignOf tells a campaign without its counts.
func CampaignOf(c *gateway.Campaign) CampaignOut {
	out := CampaignOut{
		ID: strconv.FormatInt(c.ID, 10), Name: c.Name, Category: c.Category, Template: c.Template, Variables: c.Variables, Channels: namesOf(c.Channels), Rate: c.Rate,
		Status: c.Status.String(), Revision: c.Revision, CreatedBy: c.Author.Name, ApprovedBy: c.Approver.Name, CreatedAt: c.Created.UTC(),
		ApprovedAt: instant(c.Approved), StartedAt: instant(c.Started), EndedAt: instant(c.Ended),
	}
	if out.Variables == nil {
		out.Variables = map[string]string{}
	}
	if c.Status == gateway.CampaignRunning {
		out.HoldUntil = instant(c.Hold)
	}
	return out
}

// CountsOf tells totals.
func CountsOf(r campaign.Report) CampaignCounts {
	out := CampaignCounts{Total: r.People, Done: r.Done, Report: []CampaignRow{}}
	for _, row := range r.Rows {
		told := CampaignRow{Outcome: row.Outcome, Code: row.Code, Channel: row.Channel.String(), Count: row.Count}
		if row.Code != "" {
			told.Reason = policy.Code(row.Code).Sentence()
		}
		out.Report = append(out.Report, told)
	}
	return out
}
