package sandbox

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"harmonize.care/heed/channels"
)

// createCall is POST …/Calls.json.
func (s *Sandbox) createCall(w http.ResponseWriter, r *http.Request) {
	form, bad := readForm(w, r)
	if bad == nil {
		bad = s.checkCall(form)
	}
	if bad != nil {
		bad.write(w)
		return
	}
	s.carry(w, r, s.newCall(form), func(m *Message) any { return s.callResource(*m) }, s.progressCall)
}

func (s *Sandbox) checkCall(form url.Values) *problem {
	switch {
	case form.Get("To") == "":
		return refusal(http.StatusBadRequest, 21201, "No 'To' number is specified")
	case form.Get("From") == "":
		return refusal(http.StatusBadRequest, 21213, "No 'From' number is specified")
	case form.Get("Twiml") == "" && form.Get("Url") == "":
		return refusal(http.StatusBadRequest, 21205, "Url parameter is required")
	case len(form.Get("Twiml")) > maxTwiml:
		return refusal(http.StatusBadRequest, 21218, "Invalid Twiml parameter: longer than 4000 characters")
	}
	if _, _, err := readScript(form.Get("Twiml")); err != nil {
		return refusal(http.StatusBadRequest, 12100, "Document parse failure")
	}
	return s.checkParties(form, 21210)
}

func (s *Sandbox) newCall(form url.Values) *Message {
	spoken, action, _ := readScript(form.Get("Twiml")) // checked before
	if form.Get("Twiml") == "" {
		spoken = "(the script at the call's URL)"
	}
	if action == "" {
		action = s.opt.Webhooks.Voice
	}
	now := s.opt.Now()
	return &Message{
		ID:         s.newID("CA"),
		Channel:    channels.Voice,
		From:       form.Get("From"),
		To:         form.Get("To"),
		Body:       spoken,
		Status:     "queued",
		Callback:   form.Get("StatusCallback"),
		Created:    now,
		Updated:    now,
		action:     action,
		callEvents: form["StatusCallbackEvent"],
	}
}

// readScript gives what a call's TwiML says and where its Gather sends keys.
func readScript(twiml string) (spoken, action string, err error) {
	var words []string
	script := xml.NewDecoder(strings.NewReader(twiml))
	for {
		token, err := script.Token()
		if errors.Is(err, io.EOF) {
			return strings.Join(words, " "), action, nil
		}
		if err != nil {
			return "", "", errors.New("the script is not well-formed")
		}
		switch t := token.(type) {
		case xml.CharData:
			if text := strings.TrimSpace(string(t)); text != "" {
				words = append(words, text)
			}
		case xml.StartElement:
			for _, a := range t.Attr {
				if t.Name.Local == "Gather" && a.Name.Local == "action" {
					action = a.Value
				}
			}
		}
	}
}

func (s *Sandbox) callResource(m Message) map[string]any {
	uri := "/" + apiVersion + "/Accounts/" + s.opt.AccountSID + "/Calls/" + m.ID
	stamp := m.Created.UTC().Format(twilioTime)
	return map[string]any{
		"sid": m.ID, "account_sid": s.opt.AccountSID, "api_version": apiVersion,
		"to": m.To, "to_formatted": m.To, "from": m.From, "from_formatted": m.From,
		"status": m.Status, "direction": "outbound-api", "answered_by": nil,
		"date_created": stamp, "date_updated": stamp, "start_time": nil, "end_time": nil,
		"duration": nil, "price": nil, "price_unit": "USD", "parent_call_sid": nil,
		"phone_number_sid": nil, "forwarded_from": nil, "caller_name": nil, "group_sid": nil,
		"annotation": nil, "queue_time": "0", "trunk_sid": nil, "uri": uri + ".json",
		"subresource_uris": map[string]string{},
	}
}

// progressCall rings, is answered by a person and ends; a number that fails
// later is not answered. Only the events asked for are called back, the end
// alone when none were named.
func (s *Sandbox) progressCall(m *Message, f Failure) {
	steps := [][2]string{{"initiated", "initiated"}, {"ringing", "ringing"}, {"answered", "in-progress"}, {"completed", "completed"}}
	switch f.event {
	case "failed":
		steps = [][2]string{{"initiated", "initiated"}, {"completed", "failed"}}
	case "undelivered":
		steps = [][2]string{{"initiated", "initiated"}, {"ringing", "ringing"}, {"completed", "no-answer"}}
	}
	for i, step := range steps {
		call := s.update(m, func(m *Message) {
			m.Status = step[1]
			m.Sent = s.opt.Now()
			if step[1] == "failed" {
				m.ErrorCode = f.code
			}
		})
		wanted := slices.Contains(call.callEvents, step[0]) || len(call.callEvents) == 0 && step[0] == "completed"
		if wanted {
			form := s.callForm(call)
			form.Set("SequenceNumber", strconv.Itoa(i))
			if step[1] == "completed" {
				form.Set("CallDuration", "20")
				form.Set("AnsweredBy", "human")
			}
			s.callTwilio(call.Callback, form)
		}
	}
}

func (s *Sandbox) callForm(m Message) url.Values {
	form := url.Values{
		"AccountSid": {s.opt.AccountSID}, "ApiVersion": {apiVersion}, "CallSid": {m.ID},
		"CallStatus": {m.Status}, "Direction": {"outbound-api"}, "From": {m.From}, "To": {m.To},
	}
	if m.ErrorCode != 0 {
		form.Set("ErrorCode", strconv.Itoa(m.ErrorCode))
	}
	return form
}

// Press plays a person who presses a key in a call. It says whether there is
// such a call.
func (s *Sandbox) Press(callID, digit string) bool {
	m, ok := s.get(callID)
	if !ok || m.Channel != channels.Voice {
		return false
	}
	form := s.callForm(m)
	form.Set("CallStatus", "in-progress")
	form.Set("Digits", digit)
	s.enqueue(s.replies, func() { s.callTwilio(m.action, form) })
	return true
}
