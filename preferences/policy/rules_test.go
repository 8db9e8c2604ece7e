package policy

import (
	"slices"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// What is known of the address itself, and the ways that are offered at all.
func TestRulesOnTheAddress(t *testing.T) {
	state := func(i int, st preferences.AddressState) func(*preferences.Snapshot) {
		return func(s *preferences.Snapshot) { s.Addresses[i].State = st }
	}
	landline := func(s *preferences.Snapshot) { s.Addresses[0].Line = preferences.Landline }
	line := func(l preferences.LineType) func(*preferences.Snapshot) {
		return func(s *preferences.Snapshot) { s.Addresses[0].Line = l }
	}
	phoneOnly := func(s *preferences.Snapshot) { s.Addresses = s.Addresses[:1] }
	removed := func(s *preferences.Snapshot) { s.Addresses[0].OnRecord = false }
	runRules(t, testPolicy(t), []ruleCase{
		{"no_address", "newsletter", day, phoneOnly, nil, want{Suppress, NoAddress, 0, 0, ""}},
		{"no_address: an essential message goes to a person", "legal_notice", day, phoneOnly, nil, want{NeedsStaff, NoAddress, 0, 0, ""}},
		{"no_address: nothing at all on record", "follow_up", day, has(), nil, want{NeedsStaff, NoAddress, 0, 0, ""}},
		{"no_address: a removed address is none", "follow_up", day, removed, only(channels.SMS, channels.Voice), want{NeedsStaff, NoAddress, 0, 0, ""}},
		{"channel_not_offered: the category has no texts", "legal_notice", day, nil, only(channels.SMS), want{NeedsStaff, ChannelNotOffered, 0, 0, ""}},
		{"channel_not_offered: of a non-essential message", "newsletter", day, nil, only(channels.SMS, channels.Voice), want{Suppress, ChannelNotOffered, 0, 0, ""}},
		{"channel_not_offered comes before no_address", "newsletter", day, has(), only(channels.SMS), want{Suppress, ChannelNotOffered, 0, 0, ""}},
		{"channel_not_offered: the request narrows", "appointment_reminder", day, nil, only(channels.Email), want{Send, "", channels.Email, 2, ""}},

		{"address_bad", "newsletter", day, state(1, preferences.Bad), nil, want{Suppress, AddressBad, 0, 0, ""}},
		{"address_bad: an essential message finds another way", "appointment_reminder", day, state(0, preferences.Bad), nil, want{Send, "", channels.Email, 2, ""}},
		{"address_bad comes before stopped", "follow_up", day, all(state(0, preferences.Bad), stop(channels.Care), phoneOnly), nil, want{NeedsStaff, AddressBad, 0, 0, ""}},
		{"wrong_person", "appointment_reminder", day, state(0, preferences.WrongPerson), nil, want{Send, "", channels.Email, 2, ""}},
		{"wrong_person comes before not_textable", "follow_up", day, all(state(0, preferences.WrongPerson), landline, phoneOnly), nil, want{NeedsStaff, WrongPerson, 0, 0, ""}},
		{"wrong_person: an override does not pass it", "follow_up", day, all(state(0, preferences.WrongPerson), phoneOnly), func(q *Question) { q.Override, q.Urgent = true, true }, want{NeedsStaff, WrongPerson, 0, 0, ""}},
		{"not_textable: a landline is called", "appointment_reminder", day, all(landline, phoneOnly), nil, want{Send, "", channels.Voice, 1, ""}},
		{"not_textable comes before stopped", "follow_up", day, all(landline, stop(channels.Care), phoneOnly), only(channels.SMS), want{NeedsStaff, NotTextable, 0, 0, ""}},
		{"a line of unknown type is texted", "follow_up", day, line(preferences.UnknownLine), nil, want{Send, "", channels.SMS, 1, ""}},
		{"a line over the internet is texted", "follow_up", day, line(preferences.VoIP), nil, want{Send, "", channels.SMS, 1, ""}},

		{"delivery_failed: fallback passes the failed pair over", "appointment_reminder", day, nil, func(q *Question) { q.Excluded = []preferences.Pair{pair(channels.SMS, 1)} }, want{Send, "", channels.Email, 2, ""}},
		{"delivery_failed: the same number may still be called", "appointment_reminder", day, phoneOnly, func(q *Question) { q.Excluded = []preferences.Pair{pair(channels.SMS, 1)} }, want{Send, "", channels.Voice, 1, ""}},
		{"delivery_failed: fallback reaches nothing that the rules refuse", "appointment_reminder", day, all(phoneOnly, stop(channels.Care)), func(q *Question) { q.Excluded = []preferences.Pair{pair(channels.SMS, 1)} }, want{NeedsStaff, DeliveryFailed, 0, 0, ""}},
		{"no_adapter: at dispatch the next way is taken", "appointment_reminder", day, nil, func(q *Question) { q.AtDispatch, q.Adapters[channels.Email] = true, true }, want{Send, "", channels.Email, 2, ""}},
		{"no_adapter: nothing is set up", "appointment_reminder", day, nil, func(q *Question) { q.AtDispatch = true }, want{NeedsStaff, NoAdapter, 0, 0, ""}},
		{"no_adapter: never in a dry run", "appointment_reminder", day, nil, nil, want{Send, "", channels.SMS, 1, ""}},
		{"no_adapter: what would wait for its hour is refused at once", "appointment_reminder", night, nil, func(q *Question) { q.AtDispatch = true }, want{NeedsStaff, NoAdapter, 0, 0, ""}},
		{"no_adapter comes before too_late", "appointment_reminder", day, nil, func(q *Question) { q.AtDispatch, q.ExpiresAt = true, q.Now }, want{NeedsStaff, NoAdapter, 0, 0, ""}},
	})
}

// 45 CFR 164.522(b): no class, consent, opt-in, staff override or fallback passes it.
func TestConfidentialOnly(t *testing.T) {
	hidden := phone(9, "+13035550199")
	hidden.OnRecord = false
	withHidden := func(s *preferences.Snapshot) { s.Addresses = append(s.Addresses, hidden) }
	runRules(t, testPolicy(t), []ruleCase{
		{"confidential_only: only by email", "appointment_reminder", day, confidential(false, pair(channels.Email, 2)), nil, want{Send, "", channels.Email, 2, ""}},
		{"confidential_only: the channel counts, not the number alone", "appointment_reminder", day, confidential(false, pair(channels.Voice, 1)), nil, want{Send, "", channels.Voice, 1, ""}},
		{"confidential_only: an empty instruction is letters only", "legal_notice", day, confidential(false), nil, want{NeedsStaff, ConfidentialOnly, 0, 0, ""}},
		{"confidential_only binds a legal duty too", "legal_notice", day, confidential(false, pair(channels.SMS, 1)), nil, want{NeedsStaff, ConfidentialOnly, 0, 0, ""}},
		{"confidential_only: an opt-in does not pass it", "newsletter", day, all(confidential(false, pair(channels.SMS, 1)), said(yes("newsletter", channels.Email, preferences.Written))), nil, want{Suppress, ConfidentialOnly, 0, 0, ""}},
		{"confidential_only: staff, urgency and fallback do not pass it", "follow_up", day, confidential(false), func(q *Question) {
			q.Override, q.Urgent, q.Excluded = true, true, []preferences.Pair{pair(channels.SMS, 1)}
		}, want{NeedsStaff, ConfidentialOnly, 0, 0, ""}},
		{"confidential_only comes before address_bad", "follow_up", day, all(confidential(false), func(s *preferences.Snapshot) { s.Addresses[0].State = preferences.Bad }), nil, want{NeedsStaff, ConfidentialOnly, 0, 0, ""}},
		{"confidential: an address that is not on the record", "appointment_reminder", day, all(withHidden, confidential(false, pair(channels.SMS, 9))), nil, want{Send, "", channels.SMS, 9, ""}},
		{"confidential: named over one channel, it is not offered over another", "appointment_reminder", day, all(withHidden, confidential(false, pair(channels.Voice, 9)), func(s *preferences.Snapshot) { s.Addresses = s.Addresses[2:] }), only(channels.SMS), want{NeedsStaff, NoAddress, 0, 0, ""}},
		{"confidential: without an instruction nobody uses it", "appointment_reminder", day, all(withHidden, func(s *preferences.Snapshot) { s.Addresses = s.Addresses[2:] }), nil, want{NeedsStaff, NoAddress, 0, 0, ""}},
		{"confidential: the other rules hold for it as well", "appointment_reminder", day, all(withHidden, confidential(false, pair(channels.SMS, 9)), func(s *preferences.Snapshot) { s.Addresses[2].Stops = channels.SetOf(channels.Care) }), nil, want{NeedsStaff, Stopped, 0, 0, ""}},
	})
}

// 47 CFR 64.1200(a)(10): a stop binds the number, whoever has it, for texts and calls.
func TestStopped(t *testing.T) {
	express := func(id int64) preferences.Address {
		a := phone(id, "+13035550112")
		a.Consent = preferences.Express
		return a
	}
	other := func(s *preferences.Snapshot) { s.Addresses = append(s.Addresses, express(3)) }
	before := func(s *preferences.Snapshot) { s.Addresses[2].Rank = 0 }
	removedStop := func(s *preferences.Snapshot) {
		s.Addresses[0].Stops, s.Addresses[0].OnRecord = channels.AllPrograms, false
	}
	runRules(t, testPolicy(t), []ruleCase{
		{"stopped: an essential message finds another way", "appointment_reminder", day, stop(channels.Care), nil, want{Send, "", channels.Email, 2, ""}},
		{"stopped: with nothing but a phone a person takes over", "appointment_reminder", day, all(stop(channels.Care), func(s *preferences.Snapshot) { s.Addresses = s.Addresses[:1] }), nil, want{NeedsStaff, Stopped, 0, 0, ""}},
		{"stopped: calls too", "appointment_reminder", day, stop(channels.Care), only(channels.Voice), want{NeedsStaff, Stopped, 0, 0, ""}},
		{"stopped: staff override never passes it", "appointment_reminder", day, stop(channels.Care), func(q *Question) { q.Override, q.Urgent, q.Channels = true, true, []channels.Channel{channels.SMS} }, want{NeedsStaff, Stopped, 0, 0, ""}},
		{"stopped: an opt-in never lifts it", "symptom_check_in", day, all(stop(channels.CheckIn), said(yes("symptom_check_in", channels.SMS, preferences.Written))), only(channels.SMS), want{Suppress, Stopped, 0, 0, ""}},
		{"stopped comes before opted_out", "symptom_check_in", day, all(stop(channels.CheckIn), said(no("symptom_check_in", 0))), only(channels.SMS), want{Suppress, Stopped, 0, 0, ""}},
		{"stopped: marketing's stop leaves reminders alone", "appointment_reminder", day, stop(channels.Marketing), nil, want{Send, "", channels.SMS, 1, ""}},
		{"stopped: a stop takes no email", "survey", day, stop(channels.CheckIn), nil, want{Send, "", channels.Email, 2, ""}},
		{"stopped: another number comes last for an essential message", "appointment_reminder", day, all(stop(channels.Care), other), nil, want{Send, "", channels.Email, 2, ""}},
		{"stopped: another number, where there is nothing else", "appointment_reminder", day, all(stop(channels.Care), other), only(channels.SMS), want{Send, "", channels.SMS, 3, ""}},
		{"stopped: by text before by call, among the last", "appointment_reminder", day, all(stop(channels.Care), other), only(channels.Voice, channels.SMS), want{Send, "", channels.Voice, 3, ""}},
		{"stopped: another number is refused for a non-essential message", "symptom_check_in", day, all(stop(channels.CheckIn), other), only(channels.SMS), want{Suppress, Stopped, 0, 0, ""}},
		{"stopped: of another program it is free", "symptom_check_in", day, all(stop(channels.Care), other), only(channels.SMS), want{Send, "", channels.SMS, 3, ""}},
		{"stopped: the code of a non-essential message is its best-ranked pair's, which no stop moves", "symptom_check_in", day, all(stop(channels.CheckIn), other, before, func(s *preferences.Snapshot) { s.Addresses[2].State = preferences.Bad }), only(channels.SMS), want{Suppress, AddressBad, 0, 0, ""}},
		{"stopped: a number that was removed is not the patient's, and binds no other", "symptom_check_in", day, all(removedStop, other), only(channels.SMS), want{Send, "", channels.SMS, 3, ""}},
		{"stopped: one that a confidential instruction names is", "symptom_check_in", day, all(removedStop, other, confidential(false, pair(channels.Voice, 1), pair(channels.SMS, 3))), only(channels.SMS), want{Suppress, Stopped, 0, 0, ""}},
	})
}

// Staff override passes channel_declined, quiet_hours and frequency_cap for an
// essential message, and nothing else.
func TestStaffOverride(t *testing.T) {
	override := func(q *Question) { q.Override, q.Channels = true, []channels.Channel{channels.SMS} }
	full := func(q *Question) {
		override(q)
		for i := range 10 {
			for program := range q.Usage {
				q.Usage[program] = append(q.Usage[program], q.Now.Add(-time.Minute).UnixMicro()+int64(i))
			}
		}
	}
	declined := func(s *preferences.Snapshot) { s.Care.Declined = []channels.Channel{channels.SMS} }
	runRules(t, testPolicy(t), []ruleCase{
		{"channel_declined", "appointment_reminder", day, declined, nil, want{Send, "", channels.Email, 2, ""}},
		{"channel_declined: with no other way", "appointment_reminder", day, declined, only(channels.SMS), want{NeedsStaff, ChannelDeclined, 0, 0, ""}},
		{"channel_declined: for care only", "symptom_check_in", day, all(declined, consented(preferences.Express)), only(channels.SMS), want{Send, "", channels.SMS, 1, ""}},
		{"override passes channel_declined", "appointment_reminder", day, declined, override, want{Send, "", channels.SMS, 1, ""}},
		{"override passes quiet_hours", "appointment_reminder", night, nil, override, want{Send, "", channels.SMS, 1, ""}},
		{"override passes frequency_cap", "follow_up", day, nil, full, want{Send, "", channels.SMS, 1, ""}},
		{"override does not pass consent_missing", "billing_notice", day, nil, override, want{NeedsStaff, ConsentMissing, 0, 0, ""}},
		{"override does not pass too_late", "follow_up", day, nil, func(q *Question) { override(q); q.ExpiresAt = q.Now }, want{NeedsStaff, TooLate, 0, 0, ""}},
		{"override means nothing for a non-essential message", "symptom_check_in", night, consented(preferences.Express), override, want{Defer, QuietHours, channels.SMS, 1, "2026-11-25T15:00:00Z"}},
	})
}

// The clock at or after expires_at is too late: the span is half-open.
func TestTooLate(t *testing.T) {
	expires := func(moment string, list ...channels.Channel) func(*Question) {
		return func(q *Question) { q.ExpiresAt, q.Channels = at(t, moment), list }
	}
	runRules(t, testPolicy(t), []ruleCase{
		{"too_late: a second before it is in time", "newsletter", day, nil, expires("2026-11-24T18:00:01Z"), want{Send, "", channels.Email, 2, ""}},
		{"too_late: at the moment itself", "newsletter", day, nil, expires(day), want{Suppress, TooLate, 0, 0, ""}},
		{"too_late: a deferral ends a second before it", "follow_up", night, nil, expires("2026-11-25T15:00:01Z", channels.SMS), want{Defer, QuietHours, channels.SMS, 1, "2026-11-25T15:00:00Z"}},
		{"too_late: a deferral ends at the moment itself", "follow_up", night, nil, expires("2026-11-25T15:00:00Z", channels.SMS), want{NeedsStaff, TooLate, 0, 0, ""}},
		{"too_late: what would come too late by text goes by email", "appointment_reminder", night, nil, expires("2026-11-25T14:00:00Z"), want{Send, "", channels.Email, 2, ""}},
		{"too_late: an urgent message too", "follow_up", day, nil, func(q *Question) { q.Urgent, q.ExpiresAt = true, q.Now }, want{NeedsStaff, TooLate, 0, 0, ""}},
		{"too_late is judged at send_at", "newsletter", day, nil, func(q *Question) { q.SendAt, q.ExpiresAt = q.Now.Add(time.Hour), q.Now.Add(time.Hour) }, want{Suppress, TooLate, 0, 0, ""}},
	})
}

// considered lists every offered pair, also those behind the chosen one, each with
// the first rule that stopped it.
func TestConsideredListsEveryOfferedPair(t *testing.T) {
	p := testPolicy(t)
	s := ana()
	stop(channels.Care)(s)
	s.Addresses[0].Line = preferences.Landline
	s.Addresses = append(s.Addresses, mailbox(3))
	d := p.Decide(s, ask("appointment_reminder", at(t, day)))
	wanted := []Considered{
		{Pair: pair(channels.SMS, 1), Verdict: Refused, Code: NotTextable},
		{Pair: pair(channels.Email, 2), Verdict: Allowed, Form: SecureLink},
		{Pair: pair(channels.Email, 3), Verdict: Allowed, Form: SecureLink},
		{Pair: pair(channels.Voice, 1), Verdict: Refused, Code: Stopped},
	}
	if !slices.Equal(d.Considered, wanted) || d.Pair != wanted[1].Pair || d.Form != SecureLink {
		t.Errorf("considered %+v", d.Considered)
	}
	d = p.Decide(s, bySMS("legal_notice", at(t, day)))
	if len(d.Considered) != 1 || d.Considered[0] != (Considered{Verdict: Refused, Code: ChannelNotOffered}) {
		t.Errorf("nothing offered is said once, with no pair: %+v", d.Considered)
	}
	d = p.Decide(&preferences.Snapshot{Zones: preferences.ZoneSetOf("America/Denver")}, ask("appointment_reminder", at(t, day)))
	if len(d.Considered) != 1 || d.Considered[0] != (Considered{Verdict: Refused, Code: NoAddress}) {
		t.Errorf("no address is said once, with no pair: %+v", d.Considered)
	}
}
