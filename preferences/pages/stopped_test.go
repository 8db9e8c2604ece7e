package pages

import (
	"testing"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

func defaultPolicy(t *testing.T) *policy.Policy {
	t.Helper()
	p, err := policy.New(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStopped(t *testing.T) {
	p := defaultPolicy(t)
	out := func(topic string, ch channels.Channel, at int64) preferences.Choice {
		return preferences.Choice{Topic: topic, Channel: ch, At: at}
	}
	in := func(topic string, ch channels.Channel, at int64) preferences.Choice {
		return preferences.Choice{Topic: topic, Channel: ch, At: at, In: true}
	}
	for name, c := range map[string]struct {
		choices []preferences.Choice
		topic   string
		on      channels.Channel
		want    bool
	}{
		"nothing said":              {nil, "marketing", 0, false},
		"said so":                   {[]preferences.Choice{out("marketing", channels.Email, 5)}, "marketing", channels.Email, true},
		"on another channel":        {[]preferences.Choice{out("marketing", channels.SMS, 5)}, "marketing", channels.Email, false},
		"on one channel of all":     {[]preferences.Choice{out("marketing", channels.Email, 5)}, "marketing", 0, false},
		"wider":                     {[]preferences.Choice{out("non_essential", 0, 5)}, "marketing", channels.Email, true},
		"narrower":                  {[]preferences.Choice{out("newsletter", 0, 5)}, "marketing", channels.Email, false},
		"yes at the same instant":   {[]preferences.Choice{out("marketing", 0, 5), in("marketing", 0, 5)}, "marketing", 0, true},
		"yes later":                 {[]preferences.Choice{out("marketing", 0, 5), in("marketing", 0, 6)}, "marketing", 0, false},
		"narrow yes later":          {[]preferences.Choice{out("marketing", 0, 5), in("newsletter", channels.Email, 6)}, "marketing", 0, false},
		"wide yes later":            {[]preferences.Choice{out("newsletter", 0, 5), in("non_essential", channels.Email, 6)}, "newsletter", 0, false},
		"yes elsewhere":             {[]preferences.Choice{out("marketing", 0, 5), in("survey", 0, 6)}, "marketing", 0, true},
		"yes on another channel":    {[]preferences.Choice{out("marketing", 0, 5), in("marketing", channels.SMS, 6)}, "marketing", channels.Email, true},
		"no again after the yes":    {[]preferences.Choice{in("newsletter", 0, 6), out("non_essential", 0, 7)}, "marketing", 0, true},
		"yes to a topic that ended": {[]preferences.Choice{out("marketing", 0, 5), in("a_lost_topic", 0, 6)}, "marketing", 0, false},
		"no to a topic that ended":  {[]preferences.Choice{out("a_lost_topic", 0, 5)}, "marketing", 0, false},
	} {
		if got := stopped(&preferences.Snapshot{Choices: c.choices}, p, c.topic, c.on); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// What stopped says holds: where it says that another no would change nothing,
// nothing of the topic goes out, and after a no it says so.
func TestStoppedMeansStopped(t *testing.T) {
	p := defaultPolicy(t)
	topics := []string{"marketing", "non_essential", "newsletter", "survey", "symptom_check_in", "a_lost_topic"}
	list := []channels.Channel{0, channels.SMS, channels.Voice, channels.Email}
	rapid.Check(t, func(t *rapid.T) {
		s := &preferences.Snapshot{Addresses: []preferences.Address{
			{ID: 1, Kind: channels.Mailbox, OnRecord: true, Consent: preferences.Express},
			{ID: 2, Kind: channels.Phone, OnRecord: true, Consent: preferences.Express},
		}}
		for range rapid.IntRange(0, 6).Draw(t, "choices") {
			s.Apply(&preferences.Event{Kind: preferences.ChoiceMade, Choice: &preferences.Choice{
				Topic: rapid.SampledFrom(topics).Draw(t, "topic"), Channel: rapid.SampledFrom(list).Draw(t, "channel"),
				In: rapid.Bool().Draw(t, "in"), Consent: preferences.Written, At: rapid.Int64Range(1, 5).Draw(t, "at"),
			}})
		}
		topic, on := rapid.SampledFrom(topics[:5]).Draw(t, "asked"), rapid.SampledFrom(list).Draw(t, "on")
		before := goes(p, s, topic, on)
		if stopped(s, p, topic, on) && before {
			t.Fatalf("stopped, and goes out: %+v", s.Choices)
		}
		s.Apply(&preferences.Event{Kind: preferences.ChoiceMade, Choice: &preferences.Choice{Topic: topic, Channel: on, At: 6}})
		if !stopped(s, p, topic, on) || goes(p, s, topic, on) {
			t.Fatalf("a no changed nothing: %+v", s.Choices)
		}
	})
}

// goes says whether anything of a topic would go out.
func goes(p *policy.Policy, s *preferences.Snapshot, topic string, on channels.Channel) bool {
	site := &Pages{Options: Options{Policy: p, Now: clockOf}}
	for name := range p.File.Categories {
		c, _ := p.Category(name)
		if c.Class != policy.NonEssential || !within(p, name, topic) {
			continue
		}
		for _, ch := range c.Channels {
			if (on == 0 || on == ch) && site.state(s, name, ch) == "state.on" {
				return true
			}
		}
	}
	return false
}
