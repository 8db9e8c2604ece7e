package sandbox

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

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
	seconds, noNumber := strconv.Atoi(form.Get("Timeout"))
	switch {
	case form.Get("To") == "":
		return refusal(http.StatusBadRequest, 21201, "No 'To' number is specified")
	case form.Get("From") == "":
		return refusal(http.StatusBadRequest, 21213, "No 'From' number is specified")
	case form.Get("Twiml") == "" && form.Get("Url") == "":
		return refusal(http.StatusBadRequest, 21205, "Url parameter is required")
	case len(form.Get("Twiml")) > maxTwiml:
		return refusal(http.StatusBadRequest, 21218, "Invalid Twiml parameter: longer than 4000 characters")
	case form.Get("Timeout") != "" && (noNumber != nil || seconds < 1 || seconds > maxTimeout):
		return refusal(http.StatusBadRequest, 21220, "Invalid Timeout")
	}
	for _, event := range form["StatusCallbackEvent"] {
		if !strings.Contains(" initiated ringing answered completed ", " "+event+" ") {
			return refusal(http.StatusBadRequest, 21626, "Invalid statusEvents")
		}
	}
	if mode := form.Get("MachineDetection"); mode != "" && mode != "Enable" && mode != "DetectMessageEnd" {
		return refusal(http.StatusBadRequest, 20001, "Invalid MachineDetection")
	}
	if script := form.Get("Twiml"); script != "" && CheckTwiML([]byte(script)) != nil {
		return refusal(http.StatusBadRequest, 12100, "Document parse failure")
	}
	if u, err := url.Parse(form.Get("Url")); form.Get("Url") != "" && (err != nil || u.Host == "") {
		return refusal(http.StatusBadRequest, 21205, "Url is not a valid URL")
	}
	return s.checkParties(form, 21210)
}

func (s *Sandbox) newCall(form url.Values) *Message {
	seconds, _ := strconv.Atoi(form.Get("Timeout"))
	if seconds == 0 {
		seconds = defaultTimeout
	}
	now := s.opt.Now()
	return &Message{
		ID: s.newID("CA"), Channel: channels.Voice, From: form.Get("From"), To: form.Get("To"), Status: "queued",
		Callback: form.Get("StatusCallback"), Created: now, Updated: now, Validity: time.Duration(seconds) * time.Second,
		call: newLine(form),
	}
}

func (s *Sandbox) callResource(m Message) map[string]any {
	uri := s.accountPath() + "/Calls/" + m.ID
	stamp := func(t time.Time) *string {
		if t.IsZero() {
			return nil
		}
		return filled(t.UTC().Format(twilioTime))
	}
	direction := "outbound-api"
	if m.Inbound {
		direction = "inbound"
	}
	return map[string]any{
		"sid": m.ID, "account_sid": s.opt.AccountSID, "api_version": apiVersion,
		"to": m.To, "to_formatted": m.To, "from": m.From, "from_formatted": m.From,
		"status": shownStatus(m.Status), "direction": direction, "answered_by": filled(m.AnsweredBy),
		"date_created": stamp(m.Created), "date_updated": stamp(m.Updated), "start_time": stamp(m.Sent), "end_time": stamp(m.Ended),
		"duration": nil, "price": nil, "price_unit": "USD", "parent_call_sid": nil,
		"phone_number_sid": nil, "forwarded_from": nil, "caller_name": nil, "group_sid": nil,
		"queue_time": "0", "trunk_sid": nil, "uri": uri + ".json",
		"subresource_uris": map[string]string{},
	}
}

// shownStatus is a call's status as the API shows it: "initiated" is a word of the
// callbacks alone. https://www.twilio.com/docs/voice/api/call-resource#call-status-values
func shownStatus(status string) string {
	if status == "initiated" {
		return "queued"
	}
	return status
}

// listCalls is GET …/Calls.json: newest first, filtered by To, From and StartTime>
// (a day or a moment; a call that has not begun yet is as old as its making).
func (s *Sandbox) listCalls(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	size, number, ok := paging(query)
	var since time.Time
	var err error
	if v := query.Get("StartTime>"); v != "" {
		since, err = parseDate(v)
	}
	if err != nil || !ok {
		refusal(http.StatusBadRequest, 20001, "A filter or page cannot be read").write(w)
		return
	}
	to, from := query.Get("To"), query.Get("From")
	found := s.find(channels.Voice, func(m *Message) bool {
		return (to == "" || m.To == to) && (from == "" || m.From == from) && !leftAt(m).Before(since)
	})
	head, part := s.pageOf(found, query, "/Calls", []string{"To", "From", "StartTime>"}, size, number)
	list := callPage{pageHead: head, Calls: []map[string]any{}}
	for _, m := range part {
		list.Calls = append(list.Calls, s.callResource(m))
	}
	writeJSON(w, http.StatusOK, list)
}

// callForm is what every webhook about a call carries.
func (s *Sandbox) callForm(m Message) url.Values {
	direction, from := "outbound-api", m.From
	if m.Inbound {
		direction = "inbound"
	}
	if from == "" {
		from = hiddenNumber
	}
	form := url.Values{
		"AccountSid": {s.opt.AccountSID}, "ApiVersion": {apiVersion}, "CallSid": {m.ID},
		"CallStatus": {m.Status}, "Direction": {direction}, "From": {from}, "To": {m.To}, "Called": {m.To}, "Caller": {from},
	}
	if m.ErrorCode != 0 {
		form.Set("ErrorCode", strconv.Itoa(m.ErrorCode))
	}
	return form
}

// hiddenNumber is what Twilio gives for a caller who hides the number: ANONYMOUS.
const hiddenNumber = "+266696687"

// Call plays a person who calls one of our numbers; from "" hides the number. keys
// are pressed one at each question, and then the page may press more.
func (s *Sandbox) Call(from, to, keys string) Message {
	now := s.opt.Now()
	m := &Message{
		ID: s.newID("CA"), Channel: channels.Voice, Inbound: true, From: from, To: to, Status: "ringing",
		Created: now, Updated: now, Sent: now, call: newLine(nil),
	}
	m.call.keys, m.call.url = keys, s.opt.Webhooks.Voice
	call := m.copy()
	s.add(m)
	s.enqueue(s.replies, func() { s.workers.Go(func() { s.takeCall(m) }) })
	return call
}
