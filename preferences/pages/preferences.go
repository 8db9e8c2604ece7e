package pages

import (
	"net/http"
	"slices"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// preferences shows what is on and what is stopped.
func (p *Pages) preferences(w http.ResponseWriter, r *http.Request) {
	if snapshot, lang, ok := p.holder(w, r); ok {
		p.showPreferences(w, lang, snapshot, "")
	}
}

// stop stops all marketing, or everything that is not essential, in one press.
func (p *Pages) stop(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := outlast(r.Context())
	defer cancel()
	r = r.WithContext(ctx)
	snapshot, lang, ok := p.holder(w, r)
	if !ok {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	topic := r.PostFormValue("stop")
	if topic != preferences.TopicMarketing && topic != preferences.TopicNonEssential {
		p.notice(w, http.StatusBadRequest, lang, "unreadable")
		return
	}
	if !stopped(snapshot, p.Policy, topic, 0) {
		err := p.Intake.Prefer(ctx, actor, snapshot.Patient, intake.Said{Choices: []intake.Choice{{Topic: topic}}, Source: preferences.FromWeb})
		if err == nil {
			snapshot, err = p.snapshot(ctx, snapshot.Patient)
		}
		if err != nil {
			p.fault(w, r, err)
			return
		}
	}
	p.showPreferences(w, lang, snapshot, p.topicWords(lang, topic))
}

// holder reads the link. When it gives false, the answer has been written.
func (p *Pages) holder(w http.ResponseWriter, r *http.Request) (*preferences.Snapshot, string, bool) {
	patient, err := p.Links.ReadPreferences(r.PathValue("token"))
	if err != nil {
		p.missing(w, r)
		return nil, "", false
	}
	return p.person(w, r, patient)
}

// choices is what the preference page shows.
type choices struct {
	Done         string // what was just stopped
	Topics       []topicState
	NoMarketing  bool
	NoExtras     bool
	Carrier      []string // how to lift each stop
	Care         []string // the channels by which essential messages come
	Declined     []string
	Confidential bool
}

// topicState is one topic and how it stands on each channel.
type topicState struct {
	Name string
	Ways []wayState
}

type wayState struct {
	Channel, State string
	On             bool
}

func (p *Pages) showPreferences(w http.ResponseWriter, lang string, snapshot *preferences.Snapshot, done string) {
	f := p.frame(lang, say(lang, "preferences.title"))
	f.Page = choices{
		Done:         done,
		Topics:       p.topics(lang, snapshot),
		NoMarketing:  stopped(snapshot, p.Policy, preferences.TopicMarketing, 0),
		NoExtras:     stopped(snapshot, p.Policy, preferences.TopicNonEssential, 0),
		Carrier:      p.carrier(lang, snapshot),
		Care:         channelNames(lang, p.careChannels(snapshot)),
		Declined:     channelNames(lang, snapshot.Care.Declined),
		Confidential: snapshot.Confidential != nil,
	}
	p.show(w, http.StatusOK, "preferences", f)
}

// topicOrder is how the topics of the built-in policy stand on the page; those that
// a practice added follow.
var topicOrder = []string{"symptom_check_in", "survey", "newsletter", "marketing", "sponsored_marketing"}

// topics asks the policy itself what would become of a message of each category
// that is not essential: the page says what is, not what was once said.
func (p *Pages) topics(lang string, snapshot *preferences.Snapshot) []topicState {
	var list []topicState
	for _, category := range p.optional() {
		name := say(lang, topicLabel(p.Policy, category.Name))
		var ways []wayState
		for _, ch := range category.Channels {
			state := p.state(snapshot, category.Name, ch)
			ways = append(ways, wayState{say(lang, "channel."+ch.String()), say(lang, state), state == "state.on"})
		}
		if at := slices.IndexFunc(list, func(t topicState) bool { return t.Name == name }); at >= 0 {
			list[at].Ways = merge(list[at].Ways, ways)
		} else {
			list = append(list, topicState{name, ways})
		}
	}
	return list
}

// merge puts two topics of one name together: a channel is on when either is.
func merge(a, b []wayState) []wayState {
	for _, way := range b {
		at := slices.IndexFunc(a, func(old wayState) bool { return old.Channel == way.Channel })
		if at < 0 {
			a = append(a, way)
		} else if way.On {
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

// carrier says, for each program that one of the patient's phones stopped, how to
// lift it: only a START from that phone does. 47 CFR 64.1200(a)(10). No number of
// the patient is shown, and the word may have been another holder's.
func (p *Pages) carrier(lang string, snapshot *preferences.Snapshot) []string {
	var stops channels.ProgramSet
	for _, a := range snapshot.Addresses {
		if a.OnRecord && a.Kind == channels.Phone {
			stops |= a.Stops
		}
	}
	var list []string
	for _, program := range stops.List() {
		about := say(lang, "program."+program.String())
		if from := p.Dispatcher.Senders[program]; from != "" {
			list = append(list, say(lang, "carrier.lift", about, spoken(from)))
		} else {
			list = append(list, say(lang, "carrier.from", about))
		}
	}
	return list
}

// careChannels lists the channels by which some message of the care program comes
// now, in the patient's own order.
func (p *Pages) careChannels(snapshot *preferences.Snapshot) []channels.Channel {
	open := map[channels.Channel]bool{}
	for name := range p.Policy.File.Categories {
		c, ok := p.Policy.Category(name)
		if !ok || c.Class != policy.Essential || c.Program != channels.Care {
			continue
		}
		for _, ch := range c.Channels {
			outcome, _, _ := p.Policy.Screen(snapshot, p.question(name, ch))
			open[ch] = open[ch] || outcome == policy.Send || outcome == policy.Defer
		}
	}
	var list []channels.Channel
	for _, ch := range append(slices.Clone(snapshot.Care.Order), channels.SMS, channels.Email, channels.Voice) {
		if open[ch] && !slices.Contains(list, ch) {
			list = append(list, ch)
		}
	}
	return list
}

func channelNames(lang string, list []channels.Channel) []string {
	var names []string
	for _, ch := range list {
		names = append(names, say(lang, "channel."+ch.String()))
	}
	return names
}
