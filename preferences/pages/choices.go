package pages

import (
	"net/http"
	"slices"
	"strings"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// topicState is one topic and how it stands on each channel.
type topicState struct {
	Name, Key string
	Hint      string
	Choice    bool // something of it can be changed here and now
	Ways      []wayState
}

type wayState struct {
	Channel, State string
	Value          string // in the form
	On             bool
	Can            bool // a yes on this page would turn it on
}

// topicOrder is how the topics of the built-in policy stand on the page; those that
// a practice added follow.
var topicOrder = []string{"symptom_check_in", "survey", "newsletter", "marketing", "sponsored_marketing"}

// topics asks the policy itself what would become of a message of each category
// that is not essential: the page says what is, not what was once said.
func (p *Pages) topics(v *visit) []topicState {
	var list []topicState
	for _, category := range p.optional() {
		key := topicLabel(p.Policy, category.Name)
		name := say(v.lang, key)
		topic := topicState{Name: name, Key: strings.TrimPrefix(key, "topic.")}
		if category.Name == preferences.TopicMarketing {
			topic.Hint = say(v.lang, "topics.marketing_hint")
		}
		for _, ch := range category.Channels {
			topic.Ways = append(topic.Ways, p.wayState(v, topic.Key, category.Name, ch))
		}
		if at := slices.IndexFunc(list, func(t topicState) bool { return t.Name == name }); at >= 0 {
			list[at].Ways = merge(list[at].Ways, topic.Ways)
		} else {
			list = append(list, topic)
		}
	}
	for i := range list {
		list[i].Choice = slices.ContainsFunc(list[i].Ways, func(way wayState) bool { return way.On || way.Can && v.proved })
	}
	return list
}

func (p *Pages) wayState(v *visit, key, category string, ch channels.Channel) wayState {
	state := p.state(v.snapshot, category, ch)
	way := wayState{Channel: say(v.lang, "channel."+ch.String()), Value: key + "/" + ch.String(), On: state == "state.on"}
	if !way.On {
		way.Can = p.turnsOn(v.snapshot, category, ch)
		if !way.Can && v.proved && state != "state.carrier" && p.wouldBe(v.snapshot, category, ch, preferences.Written) {
			state = "state.signature"
		}
	}
	way.State = say(v.lang, state)
	return way
}

// merge puts two topics of one name together: a channel is on when either is.
func merge(a, b []wayState) []wayState {
	for _, way := range b {
		at := slices.IndexFunc(a, func(old wayState) bool { return old.Channel == way.Channel })
		switch {
		case at < 0:
			a = append(a, way)
		case way.On, way.Can && !a[at].On:
			a[at] = way
		}
	}
	return a
}

// optional lists the categories that are not essential, in the page's order.
func (p *Pages) optional() []*policy.Category {
	names := slices.Clone(topicOrder)
	for name := range p.Policy.File.Categories {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names[len(topicOrder):])
	var list []*policy.Category
	for _, name := range names {
		if c, ok := p.Policy.Category(name); ok && c.Class == policy.NonEssential {
			list = append(list, c)
		}
	}
	return list
}

// topicLabel is the words for a category. One that a practice made up gets general
// words: its name might tell what the practice treats.
func topicLabel(p *policy.Policy, category string) string {
	key := "topic." + category
	c, ok := p.Category(category)
	switch {
	case phrases[key] != phrase{}:
		return key
	case ok && c.Class == policy.Essential:
		return "topic.other_essential"
	case ok && c.Purpose == policy.Marketing:
		return "topic.other_marketing"
	}
	return "topic.other"
}

// question asks what would become of a message now. Quiet hours, caps and what our
// providers may carry are not the patient's choice, so they do not count here.
func (p *Pages) question(category string, list ...channels.Channel) policy.Question {
	q := policy.Question{Category: category, Channels: list, Now: p.Now()}
	for i := range q.Agreement {
		q.Agreement[i] = policy.Clinical
	}
	return q
}

// state is the phrase for how a category stands on a channel.
func (p *Pages) state(snapshot *preferences.Snapshot, category string, ch channels.Channel) string {
	switch outcome, code, _ := p.Policy.Screen(snapshot, p.question(category, ch)); {
	case outcome == policy.Send, outcome == policy.Defer:
		return "state.on"
	case code == policy.Stopped:
		return "state.carrier"
	case code == policy.OptedOut, stopped(snapshot, p.Policy, category, ch):
		return "state.stopped"
	}
	return "state.off"
}

// turnsOn says whether a yes on this page turns a category on. It counts as express:
// the page shows no number to sign for, as written consent would need.
// 47 CFR 64.1200(f)(9).
func (p *Pages) turnsOn(snapshot *preferences.Snapshot, category string, ch channels.Channel) bool {
	return p.wouldBe(snapshot, category, ch, preferences.Express)
}

func (p *Pages) wouldBe(snapshot *preferences.Snapshot, category string, ch channels.Channel, consent preferences.Consent) bool {
	return p.state(p.after(snapshot, preferences.Choice{Topic: category, Channel: ch, In: true, Consent: consent}), category, ch) == "state.on"
}

// after is what would be known after one more choice.
func (p *Pages) after(snapshot *preferences.Snapshot, c preferences.Choice) *preferences.Snapshot {
	next := *snapshot
	next.Choices = slices.Clone(snapshot.Choices)
	for _, old := range next.Choices {
		c.At = max(c.At, old.At+1)
	}
	c.At = max(c.At, p.Now().UnixMicro())
	next.Apply(&preferences.Event{Kind: preferences.ChoiceMade, Choice: &c})
	return &next
}

// changeTopics takes the ticks of the topics. Only what differs from what the page
// showed counts: a page that was left open must not take back a stop made elsewhere.
func (p *Pages) changeTopics(w http.ResponseWriter, r *http.Request, v *visit) {
	was, on := r.PostForm["was"], r.PostForm["on"]
	off := p.choicesOf(v, without(was, on), false)
	in := p.choicesOf(v, without(on, was), true)
	evidence := p.evidence(v)
	if len(in) > 0 && v.proved {
		evidence["agreed"] = say(v.lang, "topics.agree")
	}
	said := off
	if v.proved {
		said = append(said, in...)
	}
	if len(said) > 0 {
		if err := p.Intake.Chosen(r.Context(), actor, v.snapshot.Patient, said, evidence); err != nil {
			p.fault(w, r, err)
			return
		}
	}
	if len(in) > 0 && !v.proved {
		p.needsProof(w, r, v)
		return
	}
	p.changed(w, r, v, say(v.lang, "topics.done"))
}

// choicesOf reads ticks as choices: of every category that stands under the words
// that were ticked. What a yes would not turn on is left out; what it would turn on
// besides, which nobody ticked, is refused in the same breath.
func (p *Pages) choicesOf(v *visit, ticks []string, in bool) []intake.Choice {
	var list []intake.Choice
	for _, category := range p.optional() {
		key := strings.TrimPrefix(topicLabel(p.Policy, category.Name), "topic.")
		for _, ch := range category.Channels {
			if !slices.Contains(ticks, key+"/"+ch.String()) || in && !p.turnsOn(v.snapshot, category.Name, ch) {
				continue
			}
			c := intake.Choice{Topic: category.Name, Channel: ch, In: in}
			if in {
				c.Consent = preferences.Express
				list = append(list, p.besides(v, ticks, c)...)
			}
			list = append(list, c)
		}
	}
	return list
}

// besides refuses the categories that a yes would turn on without having been ticked:
// the topic of all marketing bears the name of one category.
func (p *Pages) besides(v *visit, ticks []string, yes intake.Choice) []intake.Choice {
	after := p.after(v.snapshot, preferences.Choice{Topic: yes.Topic, Channel: yes.Channel, In: true, Consent: yes.Consent})
	var list []intake.Choice
	for _, category := range p.optional() {
		key := strings.TrimPrefix(topicLabel(p.Policy, category.Name), "topic.")
		if category.Name == yes.Topic || slices.Contains(ticks, key+"/"+yes.Channel.String()) {
			continue
		}
		if p.state(v.snapshot, category.Name, yes.Channel) != "state.on" && p.state(after, category.Name, yes.Channel) == "state.on" {
			list = append(list, intake.Choice{Topic: category.Name, Channel: yes.Channel})
		}
	}
	return list
}
