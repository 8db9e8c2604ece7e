package pages

import (
	"net/http"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// wish is what an unsubscribe link is about.
type wish struct {
	lang     string
	snapshot *preferences.Snapshot
	address  int64 // where the link was sent; 0: unknown
	topic    string
}

// unsubscribe shows what a press would stop. Mail scanners open every link they
// find: it changes nothing.
func (p *Pages) unsubscribe(w http.ResponseWriter, r *http.Request) {
	if on, ok := p.wish(w, r); ok {
		if stopped(on.snapshot, p.Policy, on.topic, channels.Email) {
			p.showStopped(w, on)
			return
		}
		f := p.frame(on.lang, say(on.lang, "unsubscribe.title"))
		f.Page = p.topicWords(on.lang, on.topic)
		p.show(w, http.StatusOK, "unsubscribe", f)
	}
}

// unsubscribed opts out: the button of the page above, or one click in a mailbox
// provider's own list (RFC 8058). That comes from anywhere, with any body and no
// cookie, and is answered without a redirect. The body is never read.
func (p *Pages) unsubscribed(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := outlast(r.Context())
	defer cancel()
	on, ok := p.wish(w, r.WithContext(ctx))
	if !ok {
		return
	}
	if !stopped(on.snapshot, p.Policy, on.topic, channels.Email) {
		if err := p.Intake.OptOut(ctx, actor, on.snapshot.Patient, on.topic, channels.Email, preferences.FromEmail); err != nil {
			p.fault(w, r, err)
			return
		}
	}
	p.showStopped(w, on)
}

func (p *Pages) showStopped(w http.ResponseWriter, on wish) {
	f := p.frame(on.lang, say(on.lang, "stopped.title"))
	// Whoever has the unsubscribe link has the mail, and with it the link to the
	// preference page.
	f.Page = struct{ About, More string }{p.topicWords(on.lang, on.topic), p.Links.Preferences(on.snapshot.Patient, on.address)}
	p.show(w, http.StatusOK, "unsubscribed", f)
}

// wish reads the link. When it gives false, the answer has been written.
func (p *Pages) wish(w http.ResponseWriter, r *http.Request) (wish, bool) {
	patient, address, topic, err := p.Links.ReadUnsubscribe(r.PathValue("token"))
	if err != nil {
		p.missing(w, r)
		return wish{}, false
	}
	snapshot, lang, ok := p.person(w, r, patient)
	return wish{lang, snapshot, address, p.topicNow(topic)}, ok
}

// person reads what is known of whoever a link is about. When it gives false, the
// answer has been written: to somebody who died or was erased nothing goes out.
func (p *Pages) person(w http.ResponseWriter, r *http.Request, patient int64) (*preferences.Snapshot, string, bool) {
	snapshot, err := p.snapshot(r.Context(), patient)
	switch {
	case err != nil:
		p.fault(w, r, err)
		return nil, "", false
	case snapshot == nil:
		p.missing(w, r)
		return nil, "", false
	case snapshot.Standing == preferences.Erased:
		p.notice(w, http.StatusOK, guessed(r), "nothing")
		return nil, "", false
	}
	lang := langOf(r, languageOf(snapshot.Locale))
	if snapshot.Standing == preferences.Deceased {
		p.notice(w, http.StatusOK, lang, "nothing")
		return nil, "", false
	}
	return snapshot, lang, true
}

// topicNow is the topic that the policy in force has for a link's. The link works
// for years: where its topic is gone, or has become essential, the wish to get less
// is still heard, as everything that may be stopped.
func (p *Pages) topicNow(topic string) string {
	if !p.Policy.KnownTopic(topic) || p.Policy.TopicIsEssential(topic) {
		return preferences.TopicNonEssential
	}
	return topic
}

// topicWords names a topic inside a sentence.
func (p *Pages) topicWords(lang, topic string) string {
	switch topic {
	case preferences.TopicMarketing:
		return say(lang, "all_marketing")
	case preferences.TopicNonEssential:
		return say(lang, "all_non_essential")
	}
	return say(lang, "one_topic", say(lang, topicLabel(p.Policy, topic)))
}

// stopped says whether an opt-out of a topic on a channel (0: all) would change
// nothing: one that covers it is on record, and no yes that touches it came later.
func stopped(s *preferences.Snapshot, p *policy.Policy, topic string, on channels.Channel) bool {
	var out, in int64
	for _, c := range s.Choices {
		switch {
		case !c.In && within(p, topic, c.Topic) && (c.Channel == 0 || c.Channel == on):
			out = max(out, c.At)
		case c.In && (within(p, topic, c.Topic) || within(p, c.Topic, topic)) && (c.Channel == 0 || on == 0 || c.Channel == on):
			in = max(in, c.At)
		}
	}
	return out != 0 && in <= out // at the same instant the refusal wins
}

// within says whether one topic lies inside another. A topic that the policy lost
// lies in every wide one: then a stop is rather recorded once too often.
func within(p *policy.Policy, topic, wide string) bool {
	switch wide {
	case topic, preferences.TopicNonEssential:
		return true
	case preferences.TopicMarketing:
		c, ok := p.Category(topic)
		return topic != preferences.TopicNonEssential && (!ok || c.Purpose == policy.Marketing)
	}
	return false
}
