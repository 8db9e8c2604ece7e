package intake

import (
	"context"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// Key takes a key that a person pressed in a call: in one of ours about a message
// (asked), or in one that the person made to us. When it returns without an error,
// what the key asks for is kept, and after a stop nothing decided before can still
// go out. The same key in the same call again changes nothing.
//
// 9 is a stop like a texted STOP (47 CFR 64.1200(a)(10), (b)(3)), of every program
// that shares our number; the opt-out line is shared by all of them.
func (s *Service) Key(ctx context.Context, source string, call channels.Call, asked *gateway.Asked) (gateway.PressedKey, error) {
	key := keyOf(call, asked)
	now := s.Now()
	c := gateway.Change{At: now, Actor: source, Seen: &gateway.Seen{Source: source, Event: call.ID + ":key:" + call.Key}}
	person := call.To
	if call.Inbound {
		person = call.From
	}
	switch key {
	case gateway.KeyNothing:
		return key, nil
	case gateway.KeyStop:
		c.Numbers = []gateway.NumberFact{{Number: person, Event: s.stopByKey(source, call, asked)}}
	case gateway.KeyConfirm:
		s.Respond(&c, asked.Message, gateway.Confirmed, gateway.TaskDetail{})
	case gateway.KeyCallBack:
		detail := gateway.TaskDetail{Number: person}
		if number, err := s.Store.Number(ctx, person); err != nil {
			return key, err
		} else if len(number.Holders) > 1 {
			detail.Reasons = []string{"Several patients share this number: find out who answered before you name anybody."}
		}
		s.Respond(&c, asked.Message, gateway.CallBackAsked, detail)
	}
	_, err := s.commit(ctx, c)
	return key, err
}

func keyOf(call channels.Call, asked *gateway.Asked) gateway.PressedKey {
	hidden := call.Inbound && call.From == ""
	switch {
	case call.Asked == 0 || hidden:
		return gateway.KeyNothing
	case call.Key == "9":
		return gateway.KeyStop
	case asked != nil && call.Key == "1" && asked.Confirms:
		return gateway.KeyConfirm
	case asked != nil && call.Key == "2":
		return gateway.KeyCallBack
	}
	return gateway.KeyNothing
}

func (s *Service) stopByKey(source string, call channels.Call, asked *gateway.Asked) preferences.Event {
	now := s.Now()
	ours := call.From
	if call.Inbound {
		ours = call.To
	}
	programs, _ := s.programsOf(channels.Inbound{To: ours})
	if call.Inbound && ours == s.OptOutLine {
		programs = channels.Programs[:]
	}
	var stops channels.ProgramSet
	for _, p := range programs {
		stops |= s.Policy.Stops(p, false, now)
	}
	if asked != nil {
		stops |= s.Policy.Stops(asked.Program, false, now)
	}
	return preferences.Event{
		ID: s.NewID(), Kind: preferences.NumberStopped, At: now.UnixMicro(), Said: call.At.UnixMicro(), Source: preferences.FromVoice,
		Actor: source, Programs: stops, Evidence: map[string]string{"key": "9", "to": ours, "provider_id": call.ID},
	}
}
