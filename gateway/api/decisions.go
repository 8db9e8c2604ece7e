package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/preferences/policy"
)

// DecisionIn asks whether a message may go, without sending it.
type DecisionIn struct {
	Patient   string    `json:"patient" minLength:"1" maxLength:"128"`
	Category  string    `json:"category" maxLength:"64"`
	Channels  []string  `json:"channels,omitempty" maxItems:"3" nullable:"false" enum:"sms,voice,email"`
	Template  string    `json:"template,omitempty" maxLength:"64"`
	At        time.Time `json:"at,omitempty" doc:"Stands in for the clock."`
	SendAt    time.Time `json:"send_at,omitempty"`
	ExpiresAt time.Time `json:"expires_at,omitempty"`
	Urgent    bool      `json:"urgent,omitempty"`
}

// DecisionOut is a decision with its whole reasoning.
type DecisionOut struct {
	Outcome         string          `json:"outcome" enum:"send,defer,suppress,needs_staff"`
	Code            string          `json:"code,omitempty"`
	Reason          string          `json:"reason" doc:"The same in words, with its source."`
	Channel         string          `json:"channel,omitempty"`
	Address         string          `json:"address,omitempty"`
	Content         string          `json:"content,omitempty"`
	Discreet        bool            `json:"discreet,omitempty"`
	Until           *time.Time      `json:"until,omitempty"`
	MovedTo         *time.Time      `json:"moved_to,omitempty" doc:"A dry run with send_at: when it would go instead, as its time lies in quiet hours and the next opening is too late. The rest is judged at send_at."`
	Considered      []ConsideredOut `json:"considered"`
	UrgentIgnored   bool            `json:"urgent_ignored,omitempty" doc:"urgent counts only for essential categories."`
	PolicyVersion   string          `json:"policy_version,omitempty" doc:"It and what follows are gone once the patient is erased."`
	SnapshotVersion int64           `json:"snapshot_version,omitempty"`
	FactsFrom       string          `json:"facts_from,omitempty" enum:"cache,database"`
	At              time.Time       `json:"at"`
}

// ConsideredOut is one pair that was looked at.
type ConsideredOut struct {
	Channel string     `json:"channel,omitempty"`
	Address string     `json:"address,omitempty"`
	Verdict string     `json:"verdict" enum:"allowed,deferred,refused"`
	Code    string     `json:"code,omitempty"`
	Reason  string     `json:"reason,omitempty" doc:"The code in words, with its source."`
	Until   *time.Time `json:"until,omitempty"`
}

type decisionOut struct{ Body DecisionOut }

func (a *API) decisions(h huma.API) {
	register(a, h, sees("decision.ask", op(http.MethodPost, "/v1/decisions", "Ask for a decision; nothing is sent or kept", auth.Decide)),
		func(ctx context.Context, in *struct{ Body DecisionIn }) (*decisionOut, error) {
			b := in.Body
			id, err := a.patientID(ctx, b.Patient)
			if err != nil && !errors.Is(err, gateway.ErrNotFound) {
				return nil, err
			}
			d, err := a.Dispatcher.DryRun(ctx, dispatch.Ask{
				Patient: id, Category: b.Category, Template: b.Template, Channels: channelsOf(b.Channels), At: b.At, SendAt: b.SendAt, Expires: b.ExpiresAt, Urgent: b.Urgent,
			})
			if err != nil {
				return nil, err
			}
			looksAt(ctx, id)
			out, err := a.Decision(ctx, d)
			return &decisionOut{out}, err
		})
}

// Decision tells a decision with the addresses in it.
func (a *API) Decision(ctx context.Context, d dispatch.Answer) (DecisionOut, error) {
	var ids []int64
	for _, c := range d.Considered {
		ids = append(ids, c.Pair.Address)
	}
	texts, err := a.Store.AddressTexts(ctx, ids)
	if err != nil {
		return DecisionOut{}, err
	}
	out := DecisionOut{
		Outcome: d.Outcome.String(), Code: string(d.Code), Reason: d.Reason(), Discreet: d.Discreet, Until: instant(d.Until), MovedTo: instant(d.MovedTo),
		Considered: []ConsideredOut{}, UrgentIgnored: d.UrgentIgnored, PolicyVersion: d.PolicyVersion,
		SnapshotVersion: d.SnapshotVersion, FactsFrom: d.FactsFrom, At: d.At.UTC(),
	}
	if d.Pair.Channel != 0 {
		out.Channel, out.Address = d.Pair.Channel.String(), texts[d.Pair.Address]
	}
	if d.Outcome == policy.Send || d.Outcome == policy.Defer {
		out.Content = d.Form.String()
	}
	for _, c := range d.Considered {
		row := ConsideredOut{Verdict: c.Verdict.String(), Code: string(c.Code), Until: instant(c.Until)}
		if c.Code != "" {
			row.Reason = c.Code.Sentence()
		}
		if c.Pair.Channel != 0 {
			row.Channel, row.Address = c.Pair.Channel.String(), texts[c.Pair.Address]
		}
		out.Considered = append(out.Considered, row)
	}
	return out, nil
}

// channelsOf reads channels that the schema has checked.
func channelsOf(names []string) []channels.Channel {
	var list []channels.Channel
	for _, name := range names {
		if ch, err := channels.ParseChannel(name); err == nil {
			list = append(list, ch)
		}
	}
	return list
}

func namesOf(list []channels.Channel) []string {
	names := []string{}
	for _, ch := range list {
		names = append(names, ch.String())
	}
	return names
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}
