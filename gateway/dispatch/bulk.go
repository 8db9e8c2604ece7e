package dispatch

import (
	"context"
	"errors"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// What a campaign asks of the door: the same decision, the same words and the same
// adapters as for one message, for many people at a time.

// noTemplate is the code of what the policy or the templates lost since it was accepted.
const noTemplate = "no_template"

// Judge decides for many people, each on the snapshot of the moment. Fresh skips the cache.
func (d *Dispatcher) Judge(ctx context.Context, c *gateway.Campaign, list []gateway.Candidate, fresh bool) ([]gateway.Judged, error) {
	b, err := d.bulk(ctx, c, list, func(ids []int64) (map[int64]known, error) {
		// They are written to once. Kept, they would push out those who are written to one by one.
		found, _, err := d.readMany(ctx, ids, fresh)
		return found, err
	})
	if err != nil {
		return nil, err
	}
	judged := make([]gateway.Judged, len(list))
	for i, who := range list {
		judged[i] = b.screen(d, who)
		if o := judged[i].Outcome; o == policy.Send || o == policy.Defer {
			d.decide(b, &judged[i], who.Again)
		}
	}
	return judged, nil
}

// Screen is Judge without what a send needs: it changes nothing and keeps nothing.
func (d *Dispatcher) Screen(ctx context.Context, c *gateway.Campaign, list []gateway.Candidate) ([]gateway.Judged, error) {
	b, err := d.bulk(ctx, c, list, func(ids []int64) (map[int64]known, error) { return d.snapshots(ctx, ids, false) })
	if err != nil {
		return nil, err
	}
	judged := make([]gateway.Judged, len(list))
	for i, who := range list {
		judged[i] = b.screen(d, who)
	}
	return judged, nil
}

// bulk is what is the same for all who are judged together, and what is known of each.
type bulk struct {
	campaign *gateway.Campaign
	category *policy.Category
	template *templates.Template // nil: nothing goes
	question policy.Question
	asked    []byte // the question, as it is kept
	known    map[int64]known
	usage    map[int64]policy.Usage
}

func (d *Dispatcher) bulk(ctx context.Context, c *gateway.Campaign, list []gateway.Candidate, known func([]int64) (map[int64]known, error)) (*bulk, error) {
	m := gateway.Message{Category: c.Category, Template: c.Template, Body: c.Body()}
	b := &bulk{campaign: c}
	if b.category, b.template = d.campaignText(c); b.template == nil || b.category.Class != policy.NonEssential {
		b.template = nil // a campaign is never essential, whatever the policy file says by now
		return b, nil
	}
	ids := make([]int64, len(list))
	for i, who := range list {
		ids[i] = who.Patient
	}
	var err error
	if b.known, err = known(ids); err != nil {
		return nil, err
	}
	if b.question = d.question(&m, b.template, policy.Usage{}); b.category.Counted {
		b.usage, err = d.Store.Usages(ctx, ids)
	}
	return b, err
}

// campaignText gives the category and the text of a campaign: the one that was approved,
// whatever is in force by now. Nil when the policy or the templates lost them.
func (d *Dispatcher) campaignText(c *gateway.Campaign) (*policy.Category, *templates.Template) {
	cat, ok := d.Policy.Category(c.Category)
	t, known := d.Templates().At(c.Template, c.Wording)
	if !ok || !known || t.Category != c.Category {
		return nil, nil
	}
	return cat, t
}

// screen decides without writing down what was looked at.
func (b *bulk) screen(d *Dispatcher, who gateway.Candidate) gateway.Judged {
	j := gateway.Judged{Candidate: who, Outcome: policy.Suppress, Code: noTemplate}
	if b.template == nil {
		return j
	}
	k, q := b.known[who.Patient], b.question
	q.Usage = b.usage[who.Patient]
	var code policy.Code
	j.Outcome, code, j.Pair = d.Policy.Screen(k.Snapshot, q)
	j.Code, j.Program, j.Wording = string(code), b.category.Program, b.template.Digest
	if k.Snapshot != nil {
		j.Version, j.Language = k.Version, templates.Language(k.Locale)
	}
	return j
}

// decide adds what waiting and sending take: until when, the form, the decision in full
// and the cap.
func (d *Dispatcher) decide(b *bulk, j *gateway.Judged, again bool) {
	m := &gateway.Message{ID: j.Message, Patient: j.Patient, Body: gateway.Body{Channels: b.campaign.Channels}}
	k, q := b.known[j.Patient], b.question
	q.Usage = b.usage[j.Patient]
	dec := d.Policy.Decide(k.Snapshot, q)
	j.Outcome, j.Code, j.Until, j.Pair, j.Form, j.Discreet, j.NotAfter = dec.Outcome, string(dec.Code), dec.Until, dec.Pair, dec.Form, dec.Discreet, dec.WindowEnds
	if dec.Outcome != policy.Send {
		return
	}
	if again {
		record := d.record(m, q, k, dec)
		j.Decision = &record
	} else {
		if b.asked == nil {
			b.asked = d.asked(b.question)
		}
		j.Asked, j.Facts = b.asked, facts(k, q.Usage)
	}
	if dec.Pair.Channel != channels.Email && b.category.Counted {
		j.Cap = d.cap(m, k.Snapshot, b.category, dec.Pair)
	}
}

// Carrier gives the adapter of a program on a channel, and its provider's name; nil: none.
func (d *Dispatcher) Carrier(p channels.Program, ch channels.Channel) (channels.Adapter, string) {
	w, _ := d.way(p, ch)
	return w.Adapter, w.Provider
}

// Forget drops what is held of a patient who moved on: they are judged from the database next.
func (d *Dispatcher) Forget(ctx context.Context, patient int64) { d.Cache.Delete(ctx, patient) }

var errNoText = errors.New("its category or its template is no longer there")

// Write renders one message of a campaign, for a call of its own. The attempt, and how long
// it is valid, are the caller's to fill in.
func (d *Dispatcher) Write(c *gateway.Campaign, j *gateway.Judged) (channels.Outgoing, error) {
	cat, t := d.campaignText(c)
	if t == nil {
		return channels.Outgoing{}, errNoText
	}
	dec := policy.Decision{Pair: j.Pair, Form: j.Form, Discreet: j.Discreet}
	out, err := d.write(c.Variables, t, cat, j.Language, dec, d.links(j.Message, j.Patient, cat, dec))
	out.Program = cat.Program
	return out, err
}

// The marks in a letter, each in the place of a link that is a person's own. They look
// like links, so that the texts take them as such. RFC 2606: nothing is at .invalid.
const (
	secureMark      = "https://mark.invalid/-secure-"
	preferencesMark = "https://mark.invalid/-preferences-"
	unsubscribeMark = "https://mark.invalid/-unsubscribe-"
)

// Letter renders the one text that goes to everybody who was judged alike: channel,
// form, language and discretion.
func (d *Dispatcher) Letter(c *gateway.Campaign, j *gateway.Judged) (channels.Letter, error) {
	cat, t := d.campaignText(c)
	if t == nil {
		return channels.Letter{}, errNoText
	}
	links := templates.Links{Preferences: preferencesMark, Unsubscribe: unsubscribeMark}
	if j.Form == policy.SecureLink {
		links.Secure = secureMark
	}
	out, err := d.write(c.Variables, t, cat, j.Language, policy.Decision{Pair: preferences.Pair{Channel: channels.Email}, Form: j.Form, Discreet: j.Discreet}, links)
	return channels.Letter{Program: cat.Program, Subject: out.Subject, Text: out.Text, HTML: out.HTML, Bulk: out.Bulk}, err
}

// Addressed gives what is one person's own in a letter: the links in it, and the
// one-click header.
func (d *Dispatcher) Addressed(c *gateway.Campaign, j *gateway.Judged, attempt int64) channels.Person {
	cat, ok := d.Policy.Category(c.Category)
	if !ok {
		return channels.Person{Attempt: attempt}
	}
	links := d.links(j.Message, j.Patient, cat, policy.Decision{Pair: j.Pair, Form: j.Form})
	p := channels.Person{Attempt: attempt, Headers: oneClick(links.Unsubscribe), Fill: map[string]string{
		preferencesMark: links.Preferences, unsubscribeMark: links.Unsubscribe,
	}}
	if links.Secure != "" {
		p.Fill[secureMark] = links.Secure
	}
	return p
}

// Failed keeps what came of one call of a campaign that failed for good, or whose
// outcome is not known: from here on it is a message like any other.
func (d *Dispatcher) Failed(ctx context.Context, c *gateway.Campaign, a gateway.Attempt, patient int64, to string, e *channels.SendError) error {
	m := &gateway.Message{ID: a.Message, Patient: patient, Category: c.Category, Template: c.Template, Body: c.Body(), Campaign: c.ID}
	return d.failed(ctx, &job{message: m, attempt: a, out: channels.Outgoing{To: to}}, e)
}
