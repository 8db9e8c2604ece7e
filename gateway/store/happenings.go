package store

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// What happened is written in the transaction of the fact itself, derived from the
// change, so that no use case can forget it and no kill falls between. Where nobody
// asked for events nothing is written, and nothing is read to find that out but once
// in a while.

// wantedFor is how long a process may not know of an endpoint that another one
// registered.
const wantedFor = 3 * time.Second

// wanted is which types of event somebody asked for.
type wanted struct {
	at    time.Time // when it was read; zero: read it now
	every bool
	types map[gateway.EventType]bool
}

func (w *wanted) wants(t gateway.EventType) bool { return w.every || w.types[t] }

// readWanted says for all the changes which events are made.
func (r *ride) readWanted() error {
	now, known := r.now(), r.DB.wanted.Load()
	if age := now.Sub(known.at); age >= 0 && age < wantedFor {
		r.wanted = known
		return nil
	}
	r.wanted = &wanted{at: now, types: map[gateway.EventType]bool{}}
	if err := r.read("SELECT types FROM endpoints WHERE disabled_at = 0", func(s scanner) error {
		var types []gateway.EventType
		err := scanJSON(s, &types)
		r.wanted.every = r.wanted.every || len(types) == 0
		for _, t := range types {
			r.wanted.types[t] = true
		}
		return err
	}); err != nil {
		return err
	}
	// Not when it was forgotten meanwhile: what was read may be older than the change.
	r.DB.wanted.CompareAndSwap(known, r.wanted)
	return nil
}

// forgetWanted makes the next change read again who asked for what.
func (d *DB) forgetWanted() { d.wanted.Store(&wanted{}) }

func scanJSON(s scanner, v any) error {
	var text string
	if err := s.Scan(&text); err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), v)
}

func (u *unit) note(h gateway.Happening) {
	h.ID, h.At = u.newID(), u.c.At
	u.happened = append(u.happened, h)
}

func (u *unit) messageMoved(s *gateway.Step, row waiting) {
	kind := gateway.MessageMoved(s.To)
	if s.To == s.From || !u.wanted.wants(kind) {
		return
	}
	due := s.Due
	if due.IsZero() {
		due = u.c.At
	}
	u.note(gateway.Happening{Type: kind, Patient: row.patient, Data: gateway.EventData{
		Message: strconv.FormatInt(s.Message, 10), Status: s.To.Name(due, u.c.At), Code: gateway.PlainCode(s.Code),
	}})
}

func (u *unit) taskMoved(kind gateway.EventType, t gateway.Task, code string) {
	if !u.wanted.wants(kind) {
		return
	}
	data := gateway.EventData{Task: strconv.FormatInt(t.ID, 10), Kind: string(t.Kind), Code: code}
	if t.Message != 0 {
		data.Message = strconv.FormatInt(t.Message, 10)
	}
	u.note(gateway.Happening{Type: kind, Patient: t.Patient, Data: data})
}

// preferenceChanged tells that something was said by a patient, or by whoever has
// one of the patient's numbers: what kind of thing, and nothing of the words.
func (u *unit) preferenceChanged(patient int64, kind preferences.EventKind) {
	if u.wanted.wants(gateway.PreferenceChanged) {
		u.note(gateway.Happening{Type: gateway.PreferenceChanged, Patient: patient, Data: gateway.EventData{Change: string(kind)}})
	}
}

// replyReceived: the patient is the one who has the number, where it is one alone.
func (u *unit) replyReceived(key string, id int64) error {
	if !u.wanted.wants(gateway.ReplyReceived) {
		return nil
	}
	list, err := u.tx.QueryContext(u.ctx, "SELECT p.id, p.snapshot, a.id FROM addresses a JOIN patients p ON p.id = a.patient WHERE a.key = $1", key)
	if err != nil {
		return err
	}
	holders := map[int64]bool{}
	if err := scan(list, func(s scanner) error {
		var patient, address int64
		var body []byte
		if err := s.Scan(&patient, &body, &address); err != nil {
			return err
		}
		var snapshot preferences.Snapshot
		if err := snapshot.UnmarshalBinary(body); err != nil {
			return err
		}
		if a := snapshot.AddressByID(address); a != nil && snapshot.Has(a) {
			holders[patient] = true
		}
		return nil
	}); err != nil {
		return err
	}
	h := gateway.Happening{Type: gateway.ReplyReceived, Data: gateway.EventData{Reply: strconv.FormatInt(id, 10)}}
	if len(holders) == 1 {
		h.Patient = slices.Collect(maps.Keys(holders))[0]
	}
	u.note(h)
	return nil
}

// replyUnderstood tells what a person responded to a message.
func (u *unit) replyUnderstood(h gateway.MessageHeard) error {
	if !slices.Contains(gateway.Responses, gateway.Response(h.Event.Kind)) || !u.wanted.wants(gateway.ReplyUnderstood) {
		return nil
	}
	var patient int64
	if err := u.tx.QueryRowContext(u.ctx, "SELECT COALESCE(patient, 0) FROM messages WHERE id = $1", h.Message).Scan(&patient); err != nil {
		return found(err)
	}
	u.note(gateway.Happening{Type: gateway.ReplyUnderstood, Patient: patient, Data: gateway.EventData{
		Message: strconv.FormatInt(h.Message, 10), Code: h.Event.Kind,
	}})
	return nil
}

// writeHappened keeps what happened, all in one statement. A preference event
// carries the version that the change came to.
func (r *ride) writeHappened() error {
	var list [][]any
	for _, u := range r.units {
		for i := range u.happened {
			h := &u.happened[i]
			if h.Type == gateway.PreferenceChanged {
				h.Data.Version = u.kept.Versions[h.Patient]
			}
			data, err := json.Marshal(h.Data)
			if err != nil {
				return err
			}
			list = append(list, []any{h.ID, micros(h.At), string(h.Type), null(h.Patient), null(h.Endpoint), string(data)})
		}
	}
	return r.insert(into{"happenings", typed("id BIGINT, at BIGINT, type TEXT, patient BIGINT, endpoint BIGINT, data TEXT"), ""}, list)
}

// Event reads one outgoing event. gateway.ErrNotFound also when it is past its retention.
func (d *DB) Event(ctx context.Context, id int64) (*gateway.Happening, error) {
	h := &gateway.Happening{ID: id}
	var at int64
	var data string
	row := d.read.QueryRowContext(ctx, "SELECT at, type, COALESCE(patient, 0), COALESCE(endpoint, 0), data FROM happenings WHERE id = $1", id)
	if err := found(row.Scan(&at, &h.Type, &h.Patient, &h.Endpoint, &data)); err != nil {
		return nil, err
	}
	h.At = instant(at)
	return h, json.Unmarshal([]byte(data), &h.Data)
}
