package policy_test

import (
	"testing"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

func TestReasonNamesWhatStoodInTheWay(t *testing.T) {
	sms, mail := preferences.Pair{Channel: channels.SMS, Address: 1}, preferences.Pair{Channel: channels.Email, Address: 2}
	refused := policy.Considered{Pair: sms, Verdict: policy.Refused, Code: policy.Stopped}
	for name, c := range map[string]struct {
		d    policy.Decision
		want string
	}{
		"the first way": {
			policy.Decision{Outcome: policy.Send, Pair: sms, Considered: []policy.Considered{{Pair: sms, Verdict: policy.Allowed}, {Pair: mail, Verdict: policy.Refused, Code: policy.AddressBad}}},
			"Nothing stands against it.",
		},
		"another way": {
			policy.Decision{Outcome: policy.Send, Pair: mail, Considered: []policy.Considered{refused, {Pair: mail, Verdict: policy.Allowed}}},
			"Nothing stands against it. Not by sms: " + policy.Stopped.Sentence(),
		},
		"two numbers, one reason": {
			policy.Decision{Outcome: policy.Send, Pair: mail, Considered: []policy.Considered{refused, {Pair: preferences.Pair{Channel: channels.SMS, Address: 3}, Verdict: policy.Refused, Code: policy.Stopped}, {Pair: mail, Verdict: policy.Allowed}}},
			"Nothing stands against it. Not by sms: " + policy.Stopped.Sentence(),
		},
		"no way": {
			policy.Decision{Outcome: policy.NeedsStaff, Code: policy.Stopped, Considered: []policy.Considered{refused}},
			policy.Stopped.Sentence(),
		},
	} {
		if got := c.d.Reason(); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
