package policy_test

import (
	"testing"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

func TestRefusesBulk(t *testing.T) {
	p, err := policy.New(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	out := func(topic string, on channels.Channel, at int64) preferences.Choice {
		return preferences.Choice{Topic: topic, Channel: on, At: at}
	}
	in := func(topic string, on channels.Channel, at int64) preferences.Choice {
		return preferences.Choice{Topic: topic, Channel: on, At: at, In: true, Consent: preferences.Provided}
	}
	for name, c := range map[string]struct {
		choices  []preferences.Choice
		optedOut int64
		want     bool
	}{
		"nothing said":          {nil, 0, false},
		"all marketing":         {[]preferences.Choice{out("marketing", 0, 1)}, 0, true},
		"marketing on email":    {[]preferences.Choice{out("marketing", channels.Email, 1)}, 0, true},
		"marketing by text":     {[]preferences.Choice{out("marketing", channels.SMS, 1)}, 0, false},
		"everything":            {[]preferences.Choice{out("non_essential", 0, 1)}, 0, true},
		"one category":          {[]preferences.Choice{out("newsletter", 0, 1)}, 0, false},
		"two of three":          {[]preferences.Choice{out("newsletter", 0, 1), out("sponsored_marketing", 0, 1)}, 0, false},
		"all but one, later":    {[]preferences.Choice{out("marketing", 0, 1), in("newsletter", 0, 2)}, 0, false},
		"all but one, before":   {[]preferences.Choice{out("marketing", 0, 2), in("newsletter", 0, 1)}, 0, true},
		"at the same instant":   {[]preferences.Choice{out("marketing", 0, 2), in("newsletter", 0, 2)}, 0, true},
		"a spam report":         {nil, 5, true},
		"asked for since":       {[]preferences.Choice{in("marketing", 0, 6)}, 5, false},
		"something else wanted": {[]preferences.Choice{out("marketing", 0, 1), in("survey", 0, 2)}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := &preferences.Snapshot{Choices: c.choices, Addresses: []preferences.Address{{ID: 1, Kind: channels.Mailbox, OptedOut: c.optedOut}}}
			if got := p.RefusesBulk(s, &s.Addresses[0]); got != c.want {
				t.Errorf("%t", got)
			}
		})
	}
	file := policy.Default()
	for _, name := range []string{"newsletter", "marketing", "sponsored_marketing"} {
		delete(file.Categories, name)
	}
	if p, err = policy.New(file); err != nil {
		t.Fatal(err)
	}
	s := &preferences.Snapshot{Choices: []preferences.Choice{out("non_essential", 0, 1)}, Addresses: []preferences.Address{{ID: 1, Kind: channels.Mailbox}}}
	if p.SendsBulk() || p.RefusesBulk(s, &s.Addresses[0]) {
		t.Error("a policy without bulk mail fills a list")
	}
}
