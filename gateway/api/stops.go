package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/preferences"
)

func (a *API) stops(h huma.API) {
	type stopIn struct {
		Number   string         `json:"number" maxLength:"40"`
		Program  string         `json:"program" enum:"care,check_in,billing,marketing,all"`
		Evidence map[string]any `json:"evidence,omitempty"`
	}
	register(a, h, op(http.MethodPost, "/v1/stops", "Record a stop that a person made by another way", auth.ManageStops),
		func(ctx context.Context, in *struct{ Body stopIn }) (*stopsOut, error) {
			number, err := a.phone(in.Body.Number)
			if err != nil {
				return nil, err
			}
			program, _ := channels.ParseProgram(in.Body.Program) // "all" stops everything
			if err := a.Intake.Stop(ctx, caller(ctx).Name, number, program, in.Body.Program == "all", evidence(in.Body.Evidence)); err != nil {
				return nil, err
			}
			return a.numberStops(ctx, number)
		})
	register(a, h, op(http.MethodPost, "/v1/stops/lift", "Lift a stop, on evidence dated after it", auth.ManageStops),
		func(ctx context.Context, in *struct {
			Body struct {
				Number      string         `json:"number" maxLength:"40"`
				Program     string         `json:"program" enum:"care,check_in,billing,marketing"`
				Evidence    map[string]any `json:"evidence"`
				ConsentedOn string         `json:"consented_on" maxLength:"40" doc:"A day, or an instant on the same day as the stop."`
			}
		}) (*stopsOut, error) {
			number, err := a.phone(in.Body.Number)
			if err != nil {
				return nil, err
			}
			at, err := dayOrInstant(in.Body.ConsentedOn)
			if err != nil {
				return nil, err
			}
			program, _ := channels.ParseProgram(in.Body.Program)
			if err := a.Intake.Lift(ctx, caller(ctx).Name, number, program, at, evidence(in.Body.Evidence)); err != nil {
				return nil, err
			}
			return a.numberStops(ctx, number)
		})
	register(a, h, sees("stops.read", op(http.MethodGet, "/v1/stops", "List stops by number or by patient", auth.ManageStops)),
		func(ctx context.Context, in *struct {
			Number  string `query:"number" maxLength:"40"`
			Patient string `query:"patient" maxLength:"128"`
		}) (*stopsOut, error) {
			switch {
			case (in.Number == "") == (in.Patient == ""):
				return nil, problem(http.StatusUnprocessableEntity, "invalid", "Say whose stops: give either number or patient.")
			case in.Number == "":
				return a.patientStops(ctx, in.Patient)
			}
			number, err := a.phone(in.Number)
			if err != nil {
				return nil, err
			}
			looks(ctx, "stops")
			return a.numberStops(ctx, number)
		})
}

type stopsOut struct {
	Body struct {
		Stops []StopOut `json:"stops"`
		// SharedBy is how many patients have the number: a lift concerns them all.
		SharedBy int `json:"shared_by,omitempty"`
	}
}

func (a *API) phone(text string) (string, error) {
	number, err := a.ParsePhone(text)
	if err != nil {
		return "", gateway.Wrong("number", err.Error())
	}
	return number, nil
}

// numberStops tells the stops of a number with all that is known of them: the number
// is what was asked for.
func (a *API) numberStops(ctx context.Context, number string) (*stopsOut, error) {
	n, err := a.Store.Number(ctx, number)
	if err != nil {
		return nil, err
	}
	words, err := a.Store.NumberWords(ctx, number)
	if err != nil {
		return nil, err
	}
	out := &stopsOut{}
	out.Body.Stops, out.Body.SharedBy = []StopOut{}, len(n.Holders)
	for _, h := range n.Holders {
		alsoShows(ctx, h.Patient)
	}
	for _, p := range n.Stops.List() {
		out.Body.Stops = append(out.Body.Stops, stopOf(number, p, words, true))
	}
	return out, nil
}

// patientStops tells the stops that bind a patient's numbers.
func (a *API) patientStops(ctx context.Context, ref string) (*stopsOut, error) {
	id, err := a.patientID(ctx, ref)
	if err != nil {
		return nil, err
	}
	p, err := a.Store.Patient(ctx, id)
	if err != nil {
		return nil, err
	}
	looksAt(ctx, id)
	out := &stopsOut{}
	out.Body.Stops, err = a.stopsBinding(ctx, p)
	return out, err
}

// stopsBinding tells the stops of a patient's numbers: as facts, and with the evidence
// only where nobody else has ever had the number.
func (a *API) stopsBinding(ctx context.Context, p *gateway.Patient) ([]StopOut, error) {
	list := []StopOut{}
	for _, ad := range p.Snapshot.Addresses {
		number := p.Text(ad.ID)
		if ad.Stops == 0 || number == "" {
			continue
		}
		words, err := a.Store.NumberWords(ctx, number)
		if err != nil {
			return nil, err
		}
		had, err := a.Store.EverHad(ctx, number)
		if err != nil {
			return nil, err
		}
		for _, program := range ad.Stops.List() {
			list = append(list, stopOf(number, program, words, had == 1))
		}
	}
	return list, nil
}

// stopOf tells a stop that is in force: the one that was said last.
func stopOf(number string, program channels.Program, words []preferences.Event, evidence bool) StopOut {
	out := StopOut{Number: number, Program: program.String()}
	var last *preferences.Event
	for i := range words {
		if e := &words[i]; e.Kind == preferences.NumberStopped && e.Programs.Has(program) && (last == nil || e.Said > last.Said) {
			last = e
		}
	}
	if last != nil {
		said := time.UnixMicro(last.Said).UTC()
		out.At, out.Source = &said, string(last.Source)
		if evidence {
			out.Evidence = last.Evidence
		}
	}
	return out
}

// dayOrInstant reads a day as its first instant in UTC, so that a consent of the
// day of the stop does not pass for a later one.
func dayOrInstant(text string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	d, err := preferences.ParseDate(text)
	if err != nil {
		return time.Time{}, gateway.Wrong("consented_on", err.Error())
	}
	return d.In(time.UTC), nil
}
