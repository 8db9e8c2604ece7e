package policy

import (
	"testing"

	"harmonize.care/heed/channels"
)

// What may go, and in which form: 45 CFR 164.502(b), the minimum necessary, and
// 164.504(e), the agreement with whoever carries it.
func TestContentNotAllowed(t *testing.T) {
	builtIn := testPolicy(t)
	forbids := changed(t, "treatment_update", func(c *CategoryRule) { c.SecureLink = new(bool) })
	for _, c := range []struct {
		name      string
		p         *Policy
		category  string
		channel   channels.Channel
		content   Content // of the template; a category's most is Clinical for treatment_update
		agreement Content
		warned    bool // the patient was warned and prefers plain messages
		want      Code
		form      Form
	}{
		{"minimal by text", builtIn, "appointment_reminder", channels.SMS, Minimal, Clinical, false, "", Full},
		{"minimal by email, without an agreement", builtIn, "appointment_reminder", channels.Email, Minimal, None, false, "", SecureLink},
		{"the warning does not stand in for the agreement", builtIn, "appointment_reminder", channels.Email, Minimal, None, true, "", SecureLink},
		{"nothing that ties the person to care needs no agreement", builtIn, "legal_notice", channels.Email, None, None, false, "", Full},
		{"a template above its category", builtIn, "appointment_reminder", channels.SMS, Clinical, Clinical, true, ContentNotAllowed, Full},
		{"a template above its category is not called back either", builtIn, "appointment_reminder", channels.Voice, Clinical, Clinical, true, ContentNotAllowed, Full},
		{"a template below its category", builtIn, "treatment_update", channels.Email, Minimal, Minimal, false, "", Full},
		{"clinical by email", builtIn, "treatment_update", channels.Email, Clinical, Clinical, false, "", SecureLink},
		{"clinical by text, with the acknowledgement", builtIn, "treatment_update", channels.SMS, Clinical, Clinical, true, "", Full},
		{"clinical by text, acknowledged, but not agreed with the provider", builtIn, "treatment_update", channels.SMS, Clinical, Minimal, true, "", SecureLink},
		{"clinical is never spoken", builtIn, "treatment_update", channels.Voice, Clinical, Clinical, true, "", CallBack},
		{"minimal is spoken", builtIn, "treatment_update", channels.Voice, Minimal, Minimal, false, "", Full},
		{"minimal is not spoken by a provider without an agreement", builtIn, "treatment_update", channels.Voice, Minimal, None, false, "", CallBack},
		{"no link allowed: clinical by email", forbids, "treatment_update", channels.Email, Clinical, Clinical, false, ContentNotAllowed, Full},
		{"no link allowed: clinical, acknowledged", forbids, "treatment_update", channels.Email, Clinical, Clinical, true, "", Full},
		{"no link allowed: no agreement", forbids, "treatment_update", channels.SMS, Minimal, None, true, ContentNotAllowed, Full},
		{"no link allowed: no agreement for calls", forbids, "treatment_update", channels.Voice, Minimal, None, true, ContentNotAllowed, Full},
		{"no link allowed: clinical is called back, which needs none", forbids, "treatment_update", channels.Voice, Clinical, Clinical, false, "", CallBack},
	} {
		q := ask(c.category, at(t, day))
		q.Channels, q.ContentKnown, q.Content, q.Agreement[c.channel] = []channels.Channel{c.channel}, true, c.content, c.agreement
		s := ana()
		s.UnencryptedOK = c.warned
		d := c.p.Decide(s, q)
		if d.Code != c.want || d.Form != c.form || (d.Outcome == Send) != (c.want == "") {
			t.Errorf("%s: %s %q %s", c.name, d.Outcome, d.Code, d.Form)
		}
	}
}

// A template that is not named may carry the most its category allows.
func TestUnknownContentIsTheMost(t *testing.T) {
	if d := testPolicy(t).Decide(ana(), ask("treatment_update", at(t, day))); d.Outcome != Send || d.Form != SecureLink || d.Pair.Channel != channels.Email {
		t.Errorf("%+v", d)
	}
}

// A discreet instruction without a discreet text for this channel and form is
// content_not_allowed. 45 CFR 164.522(b).
func TestDiscreetText(t *testing.T) {
	p := testPolicy(t)
	for _, c := range []struct {
		name         string
		asked, known bool
		has          [3]bool // by form
		content      Content
		want         Code
	}{
		{"with the text", true, true, [3]bool{Full: true}, Minimal, ""},
		{"without it", true, true, [3]bool{}, Minimal, ContentNotAllowed},
		{"with the text of another form", true, true, [3]bool{SecureLink: true}, Minimal, ContentNotAllowed},
		{"the form that is needed", true, true, [3]bool{SecureLink: true}, Clinical, ""},
		{"the form that is needed is missing", true, true, [3]bool{Full: true}, Clinical, ContentNotAllowed},
		{"not asked for", false, true, [3]bool{}, Minimal, ""},
		{"no template is named", true, false, [3]bool{}, Minimal, ""},
	} {
		s := ana()
		confidential(c.asked, pair(channels.SMS, 1))(s)
		q := bySMS("treatment_update", at(t, day))
		q.ContentKnown, q.Content, q.DiscreetKnown, q.HasDiscreet[channels.SMS] = true, c.content, c.known, c.has
		d := p.Decide(s, q)
		if d.Code != c.want || d.Discreet != c.asked {
			t.Errorf("%s: %s %q, discreet %t", c.name, d.Outcome, d.Code, d.Discreet)
		}
	}
}

// content_not_allowed comes before quiet_hours.
func TestContentComesBeforeHours(t *testing.T) {
	q := bySMS("appointment_reminder", at(t, night))
	q.ContentKnown, q.Content = true, Clinical
	if d := testPolicy(t).Decide(ana(), q); d.Outcome != NeedsStaff || d.Code != ContentNotAllowed {
		t.Errorf("%s %q", d.Outcome, d.Code)
	}
	s := ana()
	s.Care.Declined = []channels.Channel{channels.SMS}
	if d := testPolicy(t).Decide(s, q); d.Code != ChannelDeclined {
		t.Errorf("channel_declined comes before content_not_allowed, but it was %q", d.Code)
	}
}
