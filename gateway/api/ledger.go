package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/preferences"
)

// LedgerOut is one entry of a patient's consent ledger, or of the ledger of a number
// while the patient had it.
type LedgerOut struct {
	ID       string            `json:"id"`
	Kind     string            `json:"kind"`
	At       time.Time         `json:"at" doc:"When it was recorded."`
	SaidAt   *time.Time        `json:"said_at,omitempty" doc:"When it was said, where that is told."`
	Source   string            `json:"source,omitempty"`
	Actor    string            `json:"actor,omitempty"`
	Said     string            `json:"said" doc:"What was said, in words."`
	Event    LedgerEventOut    `json:"event"`
	Evidence map[string]string `json:"evidence,omitempty"`
}

// LedgerEventOut is what an entry says. A field that its kind does not name is absent.
type LedgerEventOut struct {
	Number        string            `json:"number,omitempty" doc:"Of what was said of a number, which binds everybody who has it."`
	Programs      []string          `json:"programs,omitempty"`
	Text          string            `json:"text,omitempty" doc:"A text, word for word: only while nobody but this patient has ever had the number."`
	Contact       *ContactOut       `json:"contact,omitempty"`
	Choice        *ChoiceOut        `json:"choice,omitempty"`
	Address       string            `json:"address,omitempty"`
	Consent       string            `json:"consent,omitempty"`
	CareChannels  *CareIn           `json:"care_channels,omitempty"`
	UnencryptedOK *bool             `json:"unencrypted_ok,omitempty"`
	Confidential  *ConfidentialOut  `json:"confidential,omitempty"`
	Restriction   *RestrictionOut   `json:"restriction,omitempty"`
	Authorization *AuthorizationOut `json:"authorization,omitempty"`
	Ended         string            `json:"ended,omitempty" doc:"The id of what was ended."`
	Note          string            `json:"note,omitempty"`
}

// ContactOut is a contact record as it bears on decisions.
type ContactOut struct {
	BirthDate string              `json:"birth_date,omitempty"`
	Locale    string              `json:"locale,omitempty"`
	TimeZones []string            `json:"time_zones,omitempty"`
	Deceased  bool                `json:"deceased,omitempty"`
	Addresses []ContactAddressOut `json:"addresses"`
}

// ContactAddressOut is one address of it.
type ContactAddressOut struct {
	Kind     string `json:"kind"`
	Value    string `json:"value,omitempty"`
	LineType string `json:"line_type,omitempty"`
	Rank     int    `json:"rank"`
	Consent  string `json:"consent,omitempty" doc:"Absent: not stated, which changes nothing."`
}

type ledgerOut struct {
	Body struct {
		Entries []LedgerOut `json:"entries"`
		Next    string      `json:"next,omitempty"`
	}
}

func (a *API) ledger(h huma.API) {
	register(a, h, sees("ledger.read", op(http.MethodGet, "/v1/patients/{id}/ledger", "Every consent event of a patient, and of the patient's numbers", auth.ReadLedger)),
		func(ctx context.Context, in *struct {
			PatientPath
			Page
		}) (*ledgerOut, error) {
			id, err := a.patientID(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			after, err := cursor(in.After)
			if err != nil {
				return nil, err
			}
			looksAt(ctx, id)
			out := &ledgerOut{}
			if out.Body.Entries, err = a.Ledger(ctx, id, after, in.Limit); err != nil {
				return nil, err
			}
			if n := len(out.Body.Entries); n == in.Limit {
				out.Body.Next = out.Body.Entries[n-1].ID
			}
			return out, nil
		})
}

// ledgerBatch is how many events are read at a time.
const ledgerBatch = 500

// Ledger tells what was said by and of a patient after an entry, and what was said of
// the patient's numbers and mailboxes while the patient had them. A number's events
// belong to the number, so one patient's ledger never shows another's words: stops and starts are
// told as facts, which bind the patient too, but texts, and the evidence that staff
// wrote, only where nobody else is known ever to have had the number.
func (a *API) Ledger(ctx context.Context, patient, after int64, limit int) ([]LedgerOut, error) {
	v, err := a.ledgerView(ctx, patient)
	if err != nil {
		return nil, err
	}
	list, _, err := a.ledgerPage(ctx, v, after, limit)
	return list, err
}

// ledgerPage tells a page, and gives the cursor of the next one; 0: this is the last.
func (a *API) ledgerPage(ctx context.Context, v *ledgerView, after int64, limit int) ([]LedgerOut, int64, error) {
	list := []LedgerOut{}
	for {
		rows, err := a.Store.History(ctx, v.p.ID, v.addresses, after, ledgerBatch)
		if err != nil {
			return nil, 0, err
		}
		for i := range rows {
			if len(list) == limit {
				return list, after, nil
			}
			after = rows[i].ID
			if entry, ok := v.entry(&rows[i]); ok {
				list = append(list, entry)
			}
		}
		if len(rows) < ledgerBatch {
			return list, 0, nil
		}
	}
}

// ledgerView is what may be seen of the numbers and mailboxes of one patient.
type ledgerView struct {
	p         *gateway.Patient
	addresses []string
	held      map[string][]preferences.Span
	alone     map[string]bool // nobody else ever had it
}

func (a *API) ledgerView(ctx context.Context, patient int64) (*ledgerView, error) {
	p, err := a.Store.Patient(ctx, patient)
	if err != nil {
		return nil, err
	}
	v := &ledgerView{p: p, held: map[string][]preferences.Span{}, alone: map[string]bool{}}
	if p.Snapshot.Standing == preferences.Erased {
		return v, nil // whose the numbers were is gone
	}
	var own []preferences.Event
	for after := int64(0); ; {
		events, err := a.Store.Ledger(ctx, patient, after, ledgerBatch)
		if err != nil {
			return nil, err
		}
		own = append(own, events...)
		if len(events) < ledgerBatch {
			break
		}
		after = events[len(events)-1].ID
	}
	held := preferences.Held(patient, own)
	for _, address := range p.Addresses {
		if address.Value == "" {
			continue
		}
		had, err := a.Store.EverHad(ctx, address.Value)
		if err != nil {
			return nil, err
		}
		v.addresses = append(v.addresses, address.Value)
		v.held[address.Value], v.alone[address.Value] = held[address.ID], had == 1
	}
	return v, nil
}

// entry tells one event, or says that it is not this patient's to show.
func (v *ledgerView) entry(r *gateway.HistoryRow) (LedgerOut, bool) {
	e := &r.Event
	alone := r.Number == "" || v.alone[r.Number]
	if r.Number != "" && (!preferences.During(v.held[r.Number], e.At) || e.Kind == preferences.TextReceived && !alone) {
		return LedgerOut{}, false
	}
	out := LedgerOut{ID: strconv.FormatInt(e.ID, 10), Kind: string(e.Kind), At: time.UnixMicro(e.At).UTC(), Source: string(e.Source), Actor: e.Actor, Event: v.event(r)}
	if e.Said != 0 {
		said := time.UnixMicro(e.Said).UTC()
		out.SaidAt = &said
	}
	if alone {
		out.Evidence = e.Evidence
	}
	out.Said = inWords(e.Kind, &out.Event)
	return out, true
}

func (v *ledgerView) event(r *gateway.HistoryRow) LedgerEventOut {
	e := &r.Event
	out := LedgerEventOut{Number: r.Number, Consent: e.Consent.String(), Note: e.Note}
	if e.Kind == preferences.SpamReported { // of a mailbox
		out.Number, out.Address = "", r.Number
	}
	for _, p := range e.Programs.List() {
		out.Programs = append(out.Programs, p.String())
	}
	switch {
	case e.Kind == preferences.TextReceived:
		out.Text, out.Note = e.Note, ""
	case e.Kind == preferences.UnencryptedSet && v.p.Snapshot.Standing != preferences.Erased:
		yes := e.Yes
		out.UnencryptedOK = &yes
	case e.Contact != nil:
		out.Contact = v.contact(e.Contact)
	case e.Choice != nil:
		choice := choiceOf(*e.Choice)
		out.Choice = &choice
	case e.Care != nil:
		out.CareChannels = &CareIn{Order: namesOf(e.Care.Order), Declined: namesOf(e.Care.Declined)}
	case e.Confidential != nil:
		out.Confidential = confidentialOf(e.Confidential, v.p)
	case e.Restriction != nil:
		out.Restriction = &RestrictionOut{strconv.FormatInt(e.Restriction.ID, 10), e.Restriction.Category, e.Restriction.Purpose}
	case e.Authorization != nil:
		x := e.Authorization
		out.Authorization = &AuthorizationOut{strconv.FormatInt(x.ID, 10), x.Category, x.SignedOn.String(), x.ExpiresOn.String()}
	}
	if e.Address != 0 {
		out.Address = v.p.Text(e.Address)
	}
	if e.Ended != 0 {
		out.Ended = strconv.FormatInt(e.Ended, 10)
	}
	return out
}

func (v *ledgerView) contact(c *preferences.Contact) *ContactOut {
	out := &ContactOut{BirthDate: c.BirthDate.String(), Locale: c.Locale, TimeZones: c.Zones, Deceased: c.Deceased, Addresses: []ContactAddressOut{}}
	for _, a := range c.Addresses {
		row := ContactAddressOut{Kind: a.Kind.String(), Value: v.p.Text(a.ID), Rank: int(a.Rank), Consent: a.Consent.String()}
		if a.Kind == channels.Phone {
			row.LineType = a.Line.String()
		}
		out.Addresses = append(out.Addresses, row)
	}
	return out
}

// inWords tells an event in a sentence.
func inWords(kind preferences.EventKind, e *LedgerEventOut) string {
	switch kind {
	case preferences.NumberStopped:
		return "Stopped " + strings.Join(e.Programs, ", ") + " at " + e.Number + "."
	case preferences.NumberStarted:
		return "Started " + strings.Join(e.Programs, ", ") + " again at " + e.Number + "."
	case preferences.TextReceived:
		return "Wrote from " + e.Number + "."
	case preferences.ContactSet:
		return "The contact record was written."
	case preferences.ConsentGiven:
		return "The consent on " + e.Address + " is " + e.Consent + "."
	case preferences.AddressVerified:
		return e.Address + " was verified."
	case preferences.AddressBad:
		return e.Address + " does not work."
	case preferences.AddressWrong:
		return "Somebody else answers at " + e.Address + "."
	case preferences.AddressLandline:
		return e.Address + " takes no texts."
	case preferences.SpamReported:
		return "A mail to " + e.Address + " was reported as spam: an opt-out of everything non-essential."
	case preferences.ConfidentialEnded:
		return "The confidential communication instruction was ended."
	case preferences.RestrictionEnded:
		return "A restriction was ended."
	case preferences.AuthorizationRevoked:
		return "An authorization was revoked."
	case preferences.PatientErased:
		return "The patient was erased."
	}
	return detailInWords(kind, e)
}

// detailInWords tells the events that have a detail; of an erased patient it is gone.
func detailInWords(kind preferences.EventKind, e *LedgerEventOut) string {
	switch {
	case e.Choice != nil && e.Choice.Choice == "opt_in":
		return "Opted in to " + e.Choice.Topic + " on " + e.Choice.Channel + " (" + e.Choice.Consent + ")."
	case e.Choice != nil:
		return "Opted out of " + e.Choice.Topic + " on " + e.Choice.Channel + "."
	case e.CareChannels != nil:
		said := []string{}
		if order := e.CareChannels.Order; len(order) > 0 {
			said = append(said, "by "+strings.Join(order, ", then "))
		}
		if declined := e.CareChannels.Declined; len(declined) > 0 {
			said = append(said, "not by "+strings.Join(declined, ", "))
		}
		if len(said) == 0 {
			said = append(said, "by any channel")
		}
		return "Messages about care: " + strings.Join(said, "; ") + "."
	case e.UnencryptedOK != nil && *e.UnencryptedOK:
		return "Was warned and still prefers plain texts and mails."
	case e.UnencryptedOK != nil:
		return "Wants no plain texts and mails with clinical content."
	case e.Confidential != nil && e.Confidential.Hold:
		return "On hold: nothing goes out until a person has looked."
	case e.Confidential != nil && len(e.Confidential.Only) == 0:
		return "Confidential communication: letters only."
	case e.Confidential != nil:
		var ways []string
		for _, w := range e.Confidential.Only {
			ways = append(ways, w.Channel+" to "+w.Address)
		}
		return "Confidential communication: only " + strings.Join(ways, ", ") + "."
	case e.Restriction != nil:
		return "The practice agreed to a restriction on " + e.Restriction.Category + e.Restriction.Purpose + "."
	case e.Authorization != nil:
		return "Signed an authorization for " + e.Authorization.Category + ", until " + e.Authorization.ExpiresOn + "."
	}
	return strings.ReplaceAll(string(kind), "_", " ") + "."
}
