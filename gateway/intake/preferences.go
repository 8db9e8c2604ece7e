package intake

import (
	"context"
	"fmt"
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// Said is what a patient said about preferences. A field that is absent changes nothing.
type Said struct {
	Choices       []Choice
	Consents      []ConsentTo
	Verified      []string // addresses as written on the record, normalised
	CareChannels  *preferences.CareChannels
	UnencryptedOK *bool
	Source        preferences.Source
	Evidence      map[string]string
}

// Choice is an opt-in or opt-out as it comes in. SaidAt zero: now.
type Choice struct {
	Topic   string
	Channel channels.Channel // 0: all
	In      bool
	Consent preferences.Consent
	SaidAt  time.Time
}

// ConsentTo raises or lowers the consent on one address.
type ConsentTo struct {
	Address string
	Consent preferences.Consent
}

var sources = []preferences.Source{preferences.FromStaff, preferences.FromWeb, preferences.FromSMS, preferences.FromVoice, preferences.FromEmail, preferences.FromImport}

// Prefer records preferences, all or none.
func (s *Service) Prefer(ctx context.Context, actor string, patient int64, said Said) error {
	return s.onPatient(ctx, patient, func(p *gateway.Patient) (gateway.Change, error) {
		events, err := s.preferenceEvents(p, said)
		if err != nil {
			return gateway.Change{}, err
		}
		return s.fact(actor, p, "preferences.set", events...), nil
	})
}

func (s *Service) preferenceEvents(p *gateway.Patient, said Said) ([]preferences.Event, error) {
	var wrong gateway.Invalid
	if p.Snapshot.Standing == preferences.Erased {
		return nil, gateway.ErrErased
	}
	if !slices.Contains(sources, said.Source) {
		wrong = append(wrong, gateway.Mistake{Field: "source", Problem: "say staff, web, sms, voice, email or import"})
	}
	if said.Source == preferences.FromImport {
		said = tightened(p.Snapshot, said, &wrong)
	}
	events := s.choiceEvents(p, said, &wrong)
	events = append(events, consentEvents(p, said, &wrong)...)
	if c := said.CareChannels; c != nil {
		if problem := careProblem(*c); problem != "" {
			wrong = append(wrong, gateway.Mistake{Field: "care_channels", Problem: problem})
		}
		events = append(events, preferences.Event{Kind: preferences.CareChannelsSet, Care: c})
	}
	if said.UnencryptedOK != nil {
		if *said.UnencryptedOK && len(said.Evidence) == 0 {
			wrong = append(wrong, gateway.Mistake{Field: "evidence", Problem: "say how the patient was warned and agreed to plain messages"})
		}
		events = append(events, preferences.Event{Kind: preferences.UnencryptedSet, Yes: *said.UnencryptedOK})
	}
	for i := range events {
		events[i].Source, events[i].Evidence = said.Source, said.Evidence
	}
	return events, wrong.Or()
}

// tightened is what an import may say: imports only tighten. An opt-in counts as
// express where its row carries evidence, else as provided; a channel that was
// declined stays so; nothing is verified, and nobody was warned of plain messages.
func tightened(s *preferences.Snapshot, said Said, wrong *gateway.Invalid) Said {
	most := preferences.Provided
	if len(said.Evidence) > 0 {
		most = preferences.Express
	}
	said.Choices = slices.Clone(said.Choices)
	for i := range said.Choices {
		said.Choices[i].Consent = min(said.Choices[i].Consent, most)
	}
	if c := said.CareChannels; c != nil {
		kept := preferences.CareChannels{Order: c.Order, Declined: slices.Clone(c.Declined)}
		for _, ch := range s.Care.Declined {
			if !slices.Contains(kept.Declined, ch) {
				kept.Declined = append(kept.Declined, ch)
			}
		}
		said.CareChannels = &kept
	}
	if len(said.Verified) > 0 {
		*wrong = append(*wrong, gateway.Mistake{Field: "verified", Problem: "an import cannot verify an address; say which person did, with source staff"})
		said.Verified = nil
	}
	if said.UnencryptedOK != nil && *said.UnencryptedOK {
		*wrong = append(*wrong, gateway.Mistake{Field: "unencrypted_ok", Problem: "an import cannot say that the patient was warned; say which person did, with source staff"})
		said.UnencryptedOK = nil
	}
	return said
}

func (s *Service) choiceEvents(p *gateway.Patient, said Said, wrong *gateway.Invalid) []preferences.Event {
	var events []preferences.Event
	for i, c := range said.Choices {
		field := fmt.Sprintf("choices[%d]", i)
		bad := func(name, problem string) {
			*wrong = append(*wrong, gateway.Mistake{Field: field + name, Problem: problem})
		}
		at, now := c.SaidAt, s.Now()
		if ahead := at.Sub(now); at.IsZero() || ahead > 0 && ahead < time.Minute {
			at = now // a caller's clock a little ahead must not beat an opt-out pressed right after
		}
		switch {
		case !s.Policy.KnownTopic(c.Topic):
			bad(".topic", "not a topic of the policy in force: a non-essential category, marketing or non_essential")
		case s.Policy.TopicIsEssential(c.Topic):
			bad(".topic", "essential messages cannot be opted out of; use care_channels to say how they come")
		case at.After(now):
			bad(".said_at", "lies in the future")
		case c.In && c.Consent >= preferences.Express && len(said.Evidence) == 0:
			bad(".consent", "express and written consent need evidence: who, when, how, which wording")
		}
		if c.In && said.Source == preferences.FromImport && refusedBefore(p.Snapshot, s.Policy, c) {
			continue // an import only tightens
		}
		choice := preferences.Choice{Topic: c.Topic, Channel: c.Channel, In: c.In, At: at.UnixMicro()}
		if c.In {
			choice.Consent = max(c.Consent, preferences.Provided)
		}
		events = append(events, preferences.Event{Kind: preferences.ChoiceMade, Said: at.UnixMicro(), Choice: &choice})
	}
	return events
}

// refusedBefore: an imported opt-in counts only where no opt-out and no stop is on record.
func refusedBefore(s *preferences.Snapshot, p *policy.Policy, c Choice) bool {
	for _, old := range s.Choices {
		if !old.In {
			return true
		}
	}
	for _, a := range s.Addresses {
		if a.Stops != 0 || a.OptedOut != 0 {
			return true
		}
	}
	return false
}

func consentEvents(p *gateway.Patient, said Said, wrong *gateway.Invalid) []preferences.Event {
	var events []preferences.Event
	for i, c := range said.Consents {
		field := fmt.Sprintf("consents[%d]", i)
		a := onRecord(p, c.Address)
		switch {
		case a == nil:
			*wrong = append(*wrong, gateway.Mistake{Field: field + ".address", Problem: "not on this patient's record"})
			continue
		case c.Consent == preferences.NoConsent || c.Consent > preferences.Express:
			*wrong = append(*wrong, gateway.Mistake{Field: field + ".consent", Problem: "say provided or express; written consent is a choice of a topic"})
		case c.Consent > a.Consent && len(said.Evidence) == 0:
			*wrong = append(*wrong, gateway.Mistake{Field: field + ".consent", Problem: "raising a consent needs evidence"})
		}
		if c.Consent > a.Consent && said.Source == preferences.FromImport {
			continue // an import only tightens
		}
		events = append(events, preferences.Event{Kind: preferences.ConsentGiven, Address: a.ID, Consent: c.Consent})
	}
	for i, address := range said.Verified {
		a := onRecord(p, address)
		field := fmt.Sprintf("verified[%d]", i)
		if a == nil {
			*wrong = append(*wrong, gateway.Mistake{Field: field, Problem: "not on this patient's record"})
			continue
		}
		if len(said.Evidence) == 0 {
			*wrong = append(*wrong, gateway.Mistake{Field: field, Problem: "verifying an address needs evidence"})
		}
		events = append(events, preferences.Event{Kind: preferences.AddressVerified, Address: a.ID})
	}
	return events
}

func onRecord(p *gateway.Patient, value string) *preferences.Address {
	for _, a := range p.Addresses {
		if a.Value == value {
			return p.Snapshot.AddressByID(a.ID)
		}
	}
	return nil
}

func careProblem(c preferences.CareChannels) string {
	if len(c.Declined) >= len(channels.Channels) {
		return "at least one channel stays on: essential messages need a way"
	}
	for _, list := range [][]channels.Channel{c.Order, c.Declined} {
		for i, ch := range list {
			if ch == 0 || slices.Contains(list[:i], ch) {
				return "name each channel once: sms, voice, email"
			}
		}
	}
	return ""
}

// OptOut records one opt-out that needs no evidence: a link, a page, a provider.
func (s *Service) OptOut(ctx context.Context, actor string, patient int64, topic string, on channels.Channel, source preferences.Source) error {
	return s.Prefer(ctx, actor, patient, Said{Choices: []Choice{{Topic: topic, Channel: on}}, Source: source})
}
