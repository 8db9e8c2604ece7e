package campaign

import (
	"context"
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// Office keeps campaigns and their audiences. Errors: gateway.ErrNotFound, gateway.NotNow,
// and what a change gives.
type Office interface {
	AddCampaign(ctx context.Context, c gateway.Change, made gateway.Campaign) (gateway.Kept, error)
	ChangeCampaign(ctx context.Context, c gateway.Change, id int64, judge func(*gateway.Campaign) error) (gateway.Kept, error)
	WithdrawMessages(ctx context.Context, id int64) error
	Campaign(ctx context.Context, id int64) (*gateway.Campaign, error)
	Campaigns(ctx context.Context, after int64, limit int) ([]gateway.Campaign, error)

	PatientIDs(ctx context.Context, refs []string) (map[string]int64, error)
	AddRecipients(ctx context.Context, c gateway.Change, id int64, editor gateway.Person, list []Recipient) (Added, error)
	ClearRecipients(ctx context.Context, c gateway.Change, id int64, editor gateway.Person) error
	Recipients(ctx context.Context, id, after int64, limit int) ([]Recipient, error)
	Recipient(ctx context.Context, id, patient int64) (Standing, error)
	CampaignShards(ctx context.Context, id int64) ([]Shard, error)
	Tallies(ctx context.Context, id int64) ([]Tally, error)

	Commit(ctx context.Context, c gateway.Change) (gateway.Kept, error)
	Number(ctx context.Context, e164 string) (gateway.Number, error)
}

// Service is what people do with campaigns.
type Service struct {
	Office    Office
	Door      Door
	Policy    *policy.Policy
	Templates func() *templates.Set
	Identity  templates.Identity
	Now       func() time.Time
	NewID     func() int64
	Wake      func()
	// Testers are the addresses of people who work here, by name: test sends go to their own.
	Testers map[string][]string
}

// Brief is what a campaign says and how it may go.
type Brief struct {
	Name      string
	Category  string
	Template  string
	Variables map[string]string
	Channels  []channels.Channel
	Rate      int
}

// Call is who asks for something, and the idempotency key of the call.
type Call struct {
	By  gateway.Person
	Key *gateway.Key
}

// MaxRate is the most messages a second that a campaign may ask for.
const MaxRate = 100_000

// Check says what is wrong with a brief: gateway.Invalid, or nil. A text that the lint would
// refuse is refused here, before anybody is in the audience.
func (s *Service) Check(b Brief) error {
	cat, ok := s.Policy.Category(b.Category)
	if !ok {
		return gateway.Wrong("category", "not a category of the policy in force")
	}
	if cat.Class != policy.NonEssential {
		return gateway.Wrong("category", "is essential; a campaign carries only what a patient may refuse. Send essential messages one by one: POST /v1/messages")
	}
	t, ok := s.Templates().Get(b.Template)
	switch {
	case !ok || t.Category == "":
		return gateway.Wrong("template", "no template has this name; `heed templates list` lists them")
	case t.Category != b.Category:
		return gateway.Wrong("template", "belongs to another category")
	}
	if b.Rate < 0 || b.Rate > MaxRate {
		return gateway.Wrong("rate_per_second", "say 0 for no bound, or at most 100000")
	}
	if err := t.Check(b.Variables); err != nil {
		return gateway.Wrong("variables", err.Error())
	}
	return s.checkTexts(cat, t, b)
}

// checkTexts renders every text that the campaign may come to.
func (s *Service) checkTexts(cat *policy.Category, t *templates.Template, b Brief) error {
	for _, ch := range cat.Channels {
		if len(b.Channels) > 0 && !slices.Contains(b.Channels, ch) {
			continue
		}
		for _, locale := range []string{"en", "es"} {
			for _, discreet := range []bool{false, true} {
				if !t.Has(ch, templates.Full, discreet) {
					continue
				}
				_, err := t.Render(templates.Request{
					Channel: ch, Discreet: discreet, Locale: locale, Vars: b.Variables, Identity: s.Identity, Links: templates.SampleLinks(),
				})
				if err != nil {
					return gateway.Wrong("variables", err.Error())
				}
			}
		}
	}
	return nil
}

// Draft makes a campaign of a brief; it is not kept yet. gateway.Invalid.
func (s *Service) Draft(by gateway.Person, b Brief) (gateway.Campaign, error) {
	return gateway.Campaign{
		ID: s.NewID(), Name: b.Name, Category: b.Category, Template: b.Template, Variables: b.Variables, Channels: b.Channels, Rate: b.Rate,
		Revision: 1, Author: by, Editor: by, Created: s.Now(),
	}, s.Check(b)
}

// Create keeps a draft.
func (s *Service) Create(ctx context.Context, call Call, c gateway.Campaign) (gateway.Kept, error) {
	return s.Office.AddCampaign(ctx, s.change(call, "campaign.create", c.ID), c)
}

func (s *Service) change(call Call, verb string, id int64) gateway.Change {
	return gateway.Change{At: s.Now(), Actor: call.By.Name, Key: call.Key, Audit: []gateway.Audit{{Verb: verb, Object: Object(id)}}}
}

// Edit changes the brief of a draft or of an approved campaign, whose approval ends with it.
func (s *Service) Edit(ctx context.Context, call Call, id int64, change func(*Brief)) (gateway.Kept, error) {
	return s.Office.ChangeCampaign(ctx, s.change(call, "campaign.edit", id), id, func(c *gateway.Campaign) error {
		if err := Editable(c); err != nil {
			return err
		}
		b := BriefOf(c)
		change(&b)
		if err := s.Check(b); err != nil {
			return err
		}
		c.Name, c.Category, c.Template, c.Variables, c.Channels, c.Rate = b.Name, b.Category, b.Template, b.Variables, b.Channels, b.Rate
		Edited(c, call.By)
		return nil
	})
}

// BriefOf gives what a campaign says and how it may go.
func BriefOf(c *gateway.Campaign) Brief {
	return Brief{Name: c.Name, Category: c.Category, Template: c.Template, Variables: c.Variables, Channels: c.Channels, Rate: c.Rate}
}

// Approve is the second person's word. It is of this text and this audience: with a
// revision, of that one alone; 0: of whatever stands there.
func (s *Service) Approve(ctx context.Context, call Call, id, revision int64) (gateway.Kept, error) {
	return s.Office.ChangeCampaign(ctx, s.change(call, "campaign.approve", id), id, func(c *gateway.Campaign) error {
		switch {
		case revision != 0 && revision != c.Revision:
			return gateway.NotNow{Code: "revision_moved", Problem: "The campaign was changed since it was looked at. Look at it again, and approve what stands there now."}
		case c.Status != gateway.CampaignDraft:
			return standsAs(c, "can no longer be approved")
		case c.People == 0:
			return gateway.NotNow{Code: "no_audience", Problem: "The campaign has no audience yet. Upload one first: what is approved is the text and the audience together."}
		case same(call.By, c.Author):
			return ErrSecondPerson
		case same(call.By, c.Editor):
			return ErrOwnChange
		}
		if err := s.Check(BriefOf(c)); err != nil {
			return err
		}
		t, _ := s.Templates().Get(c.Template) // it was just there
		c.Status, c.Approver, c.Approved, c.Wording = gateway.CampaignApproved, call.By, s.Now(), t.Digest
		return nil
	})
}

func same(a, b gateway.Person) bool { return a.ID == b.ID || a.Name == b.Name }

// The reasons why somebody cannot approve.
var (
	ErrSecondPerson = gateway.NotNow{Code: "second_person_needed", Problem: "Whoever made a campaign cannot approve it: a second person has to."}
	ErrOwnChange    = gateway.NotNow{Code: "second_person_needed", Problem: "Whoever changed the text or the audience last cannot approve it: somebody else has to."}
)

// Start lets an approved campaign go.
func (s *Service) Start(ctx context.Context, call Call, id int64) (gateway.Kept, error) {
	return s.move(ctx, call, "campaign.start", id, func(c *gateway.Campaign) error {
		switch {
		case c.Status == gateway.CampaignDraft:
			return gateway.NotNow{Code: "not_approved", Problem: "The campaign is not approved, or was changed since. A second person has to approve it first."}
		case c.Status != gateway.CampaignApproved:
			return standsAs(c, "cannot be started")
		}
		if t, ok := s.Templates().Get(c.Template); !ok || t.Digest != c.Wording {
			return gateway.NotNow{Code: "not_approved", Problem: "The template was changed since the campaign was approved. Change the campaign, or approve it once more: PATCH it first, which takes it back to a draft."}
		}
		c.Status, c.Started = gateway.CampaignRunning, s.Now()
		return nil
	})
}

// Pause holds a running campaign: what is claimed already still goes.
func (s *Service) Pause(ctx context.Context, call Call, id int64) (gateway.Kept, error) {
	return s.move(ctx, call, "campaign.pause", id, func(c *gateway.Campaign) error {
		if c.Status != gateway.CampaignRunning {
			return standsAs(c, "cannot be paused")
		}
		c.Status = gateway.CampaignPaused
		return nil
	})
}

// Resume lets a paused campaign go on where it stood.
func (s *Service) Resume(ctx context.Context, call Call, id int64) (gateway.Kept, error) {
	return s.move(ctx, call, "campaign.resume", id, func(c *gateway.Campaign) error {
		if c.Status != gateway.CampaignPaused {
			return standsAs(c, "cannot be resumed")
		}
		c.Status = gateway.CampaignRunning
		return nil
	})
}

// Cancel ends a campaign for good: what is claimed already still goes, nothing else does.
func (s *Service) Cancel(ctx context.Context, call Call, id int64) (gateway.Kept, error) {
	kept, err := s.move(ctx, call, "campaign.cancel", id, func(c *gateway.Campaign) error {
		if c.Status == gateway.CampaignCompleted || c.Status == gateway.CampaignCanceled {
			return standsAs(c, "cannot be canceled")
		}
		c.Status, c.Ended = gateway.CampaignCanceled, s.Now()
		return nil
	})
	if err != nil {
		return kept, err
	}
	return kept, s.Office.WithdrawMessages(ctx, id)
}

func (s *Service) move(ctx context.Context, call Call, verb string, id int64, judge func(*gateway.Campaign) error) (gateway.Kept, error) {
	kept, err := s.Office.ChangeCampaign(ctx, s.change(call, verb, id), id, judge)
	if err == nil {
		s.Wake()
	}
	return kept, err
}

func standsAs(c *gateway.Campaign, cannot string) error {
	return gateway.NotNow{Code: "wrong_status", Problem: "The campaign is " + c.Status.String() + " and " + cannot + "."}
}

// Editable says why text and audience stay as they are, or nil.
func Editable(c *gateway.Campaign) error {
	if c.Status == gateway.CampaignDraft || c.Status == gateway.CampaignApproved {
		return nil
	}
	return standsAs(c, "can no longer be changed")
}

// Edited notes a change of text or audience: an approval ends with it.
func Edited(c *gateway.Campaign, by gateway.Person) {
	c.Status, c.Revision, c.Editor = gateway.CampaignDraft, c.Revision+1, by
	c.Approver, c.Approved, c.Wording = gateway.Person{}, time.Time{}, ""
}
