package policy

import (
	"testing"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// The last word wins, however broad or narrow it is; at the same instant the no.
func TestTheLastWord(t *testing.T) {
	sameInstant := func(choices ...preferences.Choice) func(*preferences.Snapshot) {
		return func(s *preferences.Snapshot) { s.Choices = choices }
	}
	newsletter := yes("newsletter", channels.Email, preferences.Express)
	runRules(t, testPolicy(t), []ruleCase{
		{"opted_out", "newsletter", day, said(no("newsletter", channels.Email)), nil, want{Suppress, OptedOut, 0, 0, ""}},
		{"opted_out: on every channel", "survey", day, said(no("survey", 0)), nil, want{Suppress, OptedOut, 0, 0, ""}},
		{"opted_out: of marketing, by topic", "newsletter", day, said(no("marketing", 0)), nil, want{Suppress, OptedOut, 0, 0, ""}},
		{"opted_out: sponsored marketing is marketing, but needs an authorization first", "sponsored_marketing", day, said(no("marketing", 0)), nil, want{Suppress, AuthorizationMissing, 0, 0, ""}},
		{"opted_out: of everything that is not essential", "survey", day, said(no("non_essential", 0)), nil, want{Suppress, OptedOut, 0, 0, ""}},
		{"a no to marketing leaves a survey alone", "survey", day, said(no("marketing", 0)), nil, want{Send, "", channels.Email, 2, ""}},
		{"a no to marketing texts leaves marketing mail alone", "marketing", day, said(no("marketing", channels.SMS)), nil, want{Send, "", channels.Email, 2, ""}},
		{"a no to another category leaves this one alone", "newsletter", day, said(no("survey", 0)), nil, want{Send, "", channels.Email, 2, ""}},
		{"never an essential message: everything", "appointment_reminder", day, said(no("non_essential", 0)), nil, want{Send, "", channels.SMS, 1, ""}},
		{"never an essential message: even one that names it", "appointment_reminder", day, said(no("appointment_reminder", 0)), nil, want{Send, "", channels.SMS, 1, ""}},
		{"a newer broad no ends an older narrow yes", "newsletter", day, said(newsletter, no("non_essential", 0)), nil, want{Suppress, OptedOut, 0, 0, ""}},
		{"a newer narrow yes stands against an older broad no", "newsletter", day, said(no("non_essential", 0), newsletter), nil, want{Send, "", channels.Email, 2, ""}},
		{"a newer narrow no stands against an older broad yes", "newsletter", day, said(yes("non_essential", 0, preferences.Express), no("newsletter", channels.Email)), nil, want{Suppress, OptedOut, 0, 0, ""}},
		{"a newer broad yes ends an older narrow no", "newsletter", day, said(no("newsletter", channels.Email), yes("marketing", 0, preferences.Provided)), nil, want{Send, "", channels.Email, 2, ""}},
		{"at the same instant the no", "newsletter", day, sameInstant(newsletter, no("non_essential", 0)), nil, want{Suppress, OptedOut, 0, 0, ""}},
		{"at the same instant the no, whichever is recorded first", "newsletter", day, sameInstant(no("non_essential", 0), newsletter), nil, want{Suppress, OptedOut, 0, 0, ""}},
		{"by when it was said, not by its place", "newsletter", day, sameInstant(preferences.Choice{Topic: "newsletter", At: 5}, preferences.Choice{Topic: "newsletter", In: true, At: 4}), nil, want{Suppress, OptedOut, 0, 0, ""}},
		{"a yes on another channel says nothing", "newsletter", day, said(no("newsletter", channels.Email), yes("newsletter", channels.SMS, preferences.Written)), nil, want{Suppress, OptedOut, 0, 0, ""}},
		{"opted_out comes before consent_missing", "marketing", day, said(no("marketing", channels.SMS)), only(channels.SMS), want{Suppress, OptedOut, 0, 0, ""}},
		{"a spam report is a no, bound to the mailbox", "newsletter", day, func(s *preferences.Snapshot) { s.Addresses[1].OptedOut = 3 }, nil, want{Suppress, OptedOut, 0, 0, ""}},
		{"a spam report leaves another mailbox alone", "newsletter", day, func(s *preferences.Snapshot) {
			s.Addresses[1].OptedOut = 3
			s.Addresses = append(s.Addresses, mailbox(3))
		}, nil, want{Send, "", channels.Email, 3, ""}},
		{"a spam report leaves essential mail alone", "legal_notice", day, func(s *preferences.Snapshot) { s.Addresses[1].OptedOut = 3 }, nil, want{Send, "", channels.Email, 2, ""}},
		{"a spam report is a no to surveys by mail too", "survey", day, reported(3), only(channels.Email), want{Suppress, OptedOut, 0, 0, ""}},
		{"a spam report says nothing of texts", "survey", day, reported(3, preferences.Choice{Topic: "survey", Channel: channels.SMS, In: true, Consent: preferences.Express, At: 2}), only(channels.SMS), want{Send, "", channels.SMS, 1, ""}},
		{"a newer spam report ends an older yes", "newsletter", day, reported(5, preferences.Choice{Topic: "newsletter", In: true, At: 4}), nil, want{Suppress, OptedOut, 0, 0, ""}},
		{"a newer yes stands against an older spam report", "newsletter", day, reported(4, preferences.Choice{Topic: "newsletter", In: true, At: 5}), nil, want{Send, "", channels.Email, 2, ""}},
		{"of a spam report and a yes at the same instant, the report", "newsletter", day, reported(4, preferences.Choice{Topic: "newsletter", In: true, At: 4}), nil, want{Suppress, OptedOut, 0, 0, ""}},
	})
}

// reported is a spam report on the patient's mailbox, beside choices.
func reported(at int64, choices ...preferences.Choice) func(*preferences.Snapshot) {
	return func(s *preferences.Snapshot) { s.Addresses[1].OptedOut, s.Choices = at, choices }
}

// The levels of consent: 47 CFR 64.1200(a)(1)-(2) and (f)(9).
func TestConsentMissing(t *testing.T) {
	sms := only(channels.SMS)
	missing, goes := want{Suppress, ConsentMissing, 0, 0, ""}, want{Send, "", channels.SMS, 1, ""}
	runRules(t, testPolicy(t), []ruleCase{
		{"marketing by email needs no yes", "marketing", day, nil, nil, want{Send, "", channels.Email, 2, ""}},
		{"marketing by text needs a signed one", "marketing", day, nil, sms, missing},
		{"express is not written", "marketing", day, said(yes("marketing", 0, preferences.Express)), sms, missing},
		{"written", "marketing", day, said(yes("marketing", 0, preferences.Written)), sms, goes},
		{"written, of the category alone, on this channel alone", "marketing", day, said(yes("marketing", channels.SMS, preferences.Written)), sms, goes},
		{"written for texts is not written for calls", "marketing", day, said(yes("marketing", channels.SMS, preferences.Written)), only(channels.Voice), missing},
		{"a yes to everything non-essential counts at most as express", "marketing", day, said(yes("non_essential", 0, preferences.Written)), sms, missing},
		{"and is express where that is enough", "survey", day, said(yes("non_essential", 0, preferences.Written)), sms, goes},
		{"a yes without a level is provided", "survey", day, said(yes("survey", 0, preferences.NoConsent)), sms, missing},
		{"a yes counts at its own level, even where the number holds more", "survey", day, all(consented(preferences.Express), said(yes("survey", 0, preferences.Provided))), sms, missing},
		{"a newer weaker yes stands against an older stronger one", "survey", day, said(yes("survey", 0, preferences.Express), yes("non_essential", 0, preferences.Provided)), sms, missing},
		{"at the same instant the weaker yes", "survey", day, func(s *preferences.Snapshot) {
			s.Choices = []preferences.Choice{yes("survey", 0, preferences.Express), yes("non_essential", 0, preferences.Provided)}
		}, sms, missing},
		{"nothing said: the number's own level", "survey", day, consented(preferences.Express), sms, goes},
		{"nothing said, and only provided", "survey", day, nil, sms, missing},
		{"written comes from a choice, never from an address", "marketing", day, consented(preferences.Written), sms, missing},
		{"an essential category has its level too", "billing_notice", day, nil, sms, want{NeedsStaff, ConsentMissing, 0, 0, ""}},
		{"and asks the address alone", "billing_notice", day, all(consented(preferences.Express), said(yes("non_essential", 0, preferences.Provided))), sms, goes},
		{"an address with no consent at all", "follow_up", day, consented(preferences.NoConsent), nil, want{Send, "", channels.Email, 2, ""}},
		{"consent_missing comes before channel_declined", "billing_notice", day, func(s *preferences.Snapshot) { s.Care.Declined = []channels.Channel{channels.SMS} }, sms, want{NeedsStaff, ConsentMissing, 0, 0, ""}},
		{"consent_missing comes before content_not_allowed", "survey", day, nil, func(q *Question) {
			sms(q)
			q.ContentKnown, q.Content = true, Clinical
		}, missing},
	})
}
