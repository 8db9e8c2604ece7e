package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"harmonize.care/heed/channels"
)

// outcomes holds the end of every message: there is one, it has a reason, it is true
// by the provider's own record, no essential message vanished, and nothing was held
// back that nothing spoke against.
func (b *dayBook) outcomes() []string {
	var found []string
	b.index()
	for _, id := range slices.Sorted(maps.Keys(b.messages)) {
		m := b.messages[id]
		for _, complaint := range b.outcome(m) {
			found = append(found, fmt.Sprintf("message %s for %s (%s, %s %s): %s", id, m.Patient, m.Template, m.Status, m.Code, complaint))
		}
	}
	return found
}

func (b *dayBook) outcome(m *dayMessage) []string {
	var taken []*daySeen
	for _, i := range b.seenOf[m.ID] {
		if s := &b.provider[i]; !s.refused {
			taken = append(taken, s)
		}
	}
	answer := m.Category == ""
	essential := answer || dayCategories[m.Category].essential
	if !answer && m.Status != "canceled" && (m.Decision == nil || m.Decision.Reason == "") {
		return []string{"no decision tells why"}
	}
	switch m.Status {
	case "delivered":
		return b.delivered(m, taken)
	case "canceled":
		if !b.takenBack[m.ID] && m.Code == "" {
			return []string{"nobody is on record for taking it back"}
		}
		return nil
	case "sent": // of what is not essential nobody asks again
		if essential || len(taken) == 0 || !dayMute(taken[len(taken)-1].To) {
			return []string{"it was taken, and nobody knows whether it arrived"}
		}
		return nil
	case "suppressed", "failed", "expired", "needs_staff":
	default:
		return []string{"it has no outcome"}
	}
	var found []string
	if m.Code == "" {
		found = append(found, "no reason")
	}
	arrived := slices.ContainsFunc(taken, func(s *daySeen) bool { return !dayFailed(s) })
	if arrived && m.Code != "outcome_unknown" && m.Code != "never_confirmed" {
		found = append(found, "the provider delivered it all the same")
	}
	gone := strings.HasPrefix(m.Code, "patient_")
	if essential && !answer && m.Status != "needs_staff" && !gone {
		found = append(found, "an essential message vanished")
	}
	if m.Status == "needs_staff" && !b.tasks[m.ID] {
		found = append(found, "no person was given it")
	}
	if !answer && (m.Status == "suppressed" || m.Status == "needs_staff" || m.Status == "failed") {
		found = append(found, b.needless(m)...)
	}
	return found
}

func (b *dayBook) delivered(m *dayMessage, taken []*daySeen) []string {
	if m.Category != "" && m.Decision.Outcome != "send" {
		return []string{"it was delivered, and its last decision is " + m.Decision.Outcome}
	}
	if len(m.Events) == 0 {
		return []string{"nothing was heard of it"}
	}
	for _, s := range taken {
		said := s.Channel != channels.Voice || s.Status == "completed"
		if said && !dayFailed(s) {
			return nil
		}
	}
	return []string{"the provider did not deliver it"}
}

// dayWords are the codes that come from what the ledger says, and from nothing else.
var dayWords = []string{
	"patient_unknown", "patient_erased", "patient_deceased", "patient_minor", "purpose_restricted", "authorization_missing", "no_address", "channel_not_offered",
	"confidential_only", "address_bad", "wrong_person", "not_textable", "stopped", "opted_out", "consent_missing", "channel_declined",
}

// needless: a message was held back by a rule on what was said, and all that time
// some way stood open.
func (b *dayBook) needless(m *dayMessage) []string {
	if !slices.Contains(dayWords, m.Code) || m.Decision == nil {
		return nil
	}
	var found []string
	at := m.Decision.At
	for channel := range dayCategories[m.Category].needs {
		for address := range b.person(m.Patient, at).places {
			if dayIsPhone(address) == (channel == "email") || m.triedInVain(channel, address) {
				continue
			}
			if b.open(m, channel, address, at) {
				found = append(found, fmt.Sprintf("held back, and nothing speaks against %s to %s", channel, address))
			}
		}
	}
	return found
}

func (b *dayBook) open(m *dayMessage, channel, address string, at time.Time) bool {
	for _, when := range append(b.instants(m.Patient, address, at), at) {
		if len(b.objections(m, channel, address, when)) > 0 {
			return false
		}
	}
	return true
}

func (m *dayMessage) triedInVain(channel, address string) bool {
	for _, a := range m.Attempts {
		if a.Channel == channel && a.Address == address && a.Status == "failed" {
			return true
		}
	}
	return false
}
