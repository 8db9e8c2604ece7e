package policy

import (
	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// word is what somebody said: when, whether it was a yes, and what a yes counts as.
type word struct {
	at    int64
	in    bool
	level preferences.Consent
}

// lastWord gives the latest choice that covers a category on a channel, however
// broad or narrow; at the same instant the refusal. A spam report is such a word,
// said of the mailbox. False: nothing was said.
func lastWord(s *preferences.Snapshot, cat *Category, ch channels.Channel, a *preferences.Address) (last word, said bool) {
	if ch == channels.Email && a.OptedOut != 0 {
		last, said = word{at: a.OptedOut}, true
	}
	for i := range s.Choices {
		c := &s.Choices[i]
		if !covers(c, cat, ch) {
			continue
		}
		w := word{c.At, c.In, level(c)}
		if !said || w.at > last.at || w.at == last.at && weaker(w, last) {
			last, said = w, true
		}
	}
	return last, said
}

func covers(c *preferences.Choice, cat *Category, ch channels.Channel) bool {
	if c.Channel != 0 && c.Channel != ch {
		return false
	}
	return c.Topic == cat.Name || c.Topic == preferences.TopicNonEssential ||
		c.Topic == preferences.TopicMarketing && cat.Purpose == Marketing
}

// weaker orders words of the same instant: a refusal before a consent, a weaker
// consent before a stronger one.
func weaker(a, b word) bool {
	if a.in != b.in {
		return !a.in
	}
	return a.level < b.level
}

// level is what an opt-in counts as: one without a level as provided, one to
// everything non-essential at most as express.
func level(c *preferences.Choice) preferences.Consent {
	l := max(c.Consent, preferences.Provided)
	if c.Topic == preferences.TopicNonEssential {
		l = min(l, preferences.Express)
	}
	return l
}
