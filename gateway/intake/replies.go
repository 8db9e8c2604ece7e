package intake

import (
	"context"
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// Respond puts a person's response to a message into a change: as an event of the
// message, and as a task where somebody has to call. The detail says what else is
// known: the number, the person's own words.
func (s *Service) Respond(c *gateway.Change, m *gateway.Message, r gateway.Response, detail gateway.TaskDetail) {
	c.Heard = append(c.Heard, gateway.MessageHeard{Message: m.ID, Event: gateway.MessageEvent{At: c.At, Kind: string(r)}})
	kind := gateway.TaskReschedule
	switch r {
	case gateway.RescheduleAsked:
		detail.Title = "Asked to reschedule, or to be called back about it."
	case gateway.CallBackAsked:
		kind, detail.Title = gateway.TaskCallBack, "Asked in a call to be called back."
	default:
		return
	}
	detail.Reminder, detail.Heard = m.ID, r
	if at, ok := appointmentOf(m); ok {
		detail.Reasons = append(detail.Reasons, "The message was about "+at.Format("Monday 2006-01-02 15:04 -0700")+".")
	}
	if m.Reference != "" {
		detail.Reasons = append(detail.Reasons, "Its reference is "+m.Reference+".")
	}
	c.Tasks = append(c.Tasks, s.task(kind, m.Patient, detail))
}

// appointmentOf gives the time that a reminder speaks of. Where its words are past
// their retention, its expiry tells: a reminder expires with its appointment.
func appointmentOf(m *gateway.Message) (time.Time, bool) {
	if at, err := time.Parse(time.RFC3339, m.Body.Variables["appointment_time"]); err == nil {
		return at, true
	}
	return m.Expires, !m.Expires.IsZero()
}

// The acknowledgements.
const (
	confirmReceived    = "confirm_received"
	rescheduleReceived = "reschedule_received"
	startConfirmation  = "start_confirmation"
)

const (
	// answerable is how long after it went out a reminder can be answered.
	answerable = 7 * 24 * time.Hour
	// maxOpen bounds how many reminders of one patient are looked at.
	maxOpen = 50
)

// reminders finds the open reminders that a text may answer: sent by one of the
// programs that it came to, to this number, lately, about an appointment that had not
// passed. Newest first; of one appointment only the newest.
func (t *text) reminders(ctx context.Context) ([]gateway.Message, error) {
	type dated struct {
		m  gateway.Message
		at time.Time
	}
	var found []dated
	for _, h := range t.number.Holders {
		list, err := t.Store.Reached(ctx, h, []string{"appointment_reminder", "appointment_change"}, t.now.Add(-answerable), maxOpen)
		if err != nil {
			return nil, err
		}
		for i := range list {
			if at, ok := t.opened(&list[i], h.Address); ok {
				found = append(found, dated{list[i], at})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b dated) int { return b.at.Compare(a.at) })
	var open []gateway.Message
	for i := range found {
		m := &found[i].m
		if !slices.ContainsFunc(open, func(o gateway.Message) bool { return sameAppointment(&o, m) }) {
			open = append(open, *m)
		}
	}
	return open, nil
}

// opened gives when a reminder went to the number; not when its appointment had
// passed, or when another program sent it.
func (t *text) opened(m *gateway.Message, address int64) (time.Time, bool) {
	if at, ok := appointmentOf(m); ok && !at.After(t.in.At) {
		return time.Time{}, false
	}
	for _, try := range slices.Backward(m.Tries) {
		went := try.Status == gateway.AttemptTaken || try.Status == gateway.AttemptDelivered
		if went && try.Pair.Address == address && try.Pair.Channel != channels.Email && slices.Contains(t.programs, try.Program) {
			return try.At, true
		}
	}
	return time.Time{}, false
}

func sameAppointment(a, b *gateway.Message) bool {
	if a.Patient != b.Patient {
		return false
	}
	if a.Reference != "" && a.Reference == b.Reference {
		return true
	}
	at, ok := appointmentOf(a)
	bt, ok2 := appointmentOf(b)
	return ok && ok2 && at.Equal(bt)
}

// respond takes a confirmation, a wish to reschedule or a plain reply, against the
// open reminder where it is certain which that is. Several patients on one phone:
// staff find out who wrote, and the answer names nobody.
func (t *text) respond(ctx context.Context) error {
	asks := t.heard.Confirm || t.heard.Reschedule
	if !asks && !t.plainReply() && !t.heard.Cancel {
		return nil
	}
	open, err := t.reminders(ctx)
	if err != nil {
		return err
	}
	switch {
	case t.heard.Cancel:
		t.about(gateway.TaskAppointment, open)
		return nil
	case !asks:
		t.open(gateway.TaskReply, "A reply to read.")
		t.about(gateway.TaskReply, open)
		return nil
	}
	shared := len(t.number.Holders) > 1
	kind, answer, title, thanks := gateway.TaskReply, gateway.Confirmed, "A confirmation.", confirmReceived
	if t.heard.Reschedule {
		kind, answer, title, thanks = gateway.TaskReschedule, gateway.RescheduleAsked, "Asked to reschedule.", rescheduleReceived
	}
	switch {
	case len(open) == 0:
		t.open(gateway.TaskReply, title+" No reminder to this number is open.")
		t.about(gateway.TaskReply, nil)
		return nil
	case shared:
		t.open(kind, title+" It is not certain whose appointment is meant.")
		t.about(kind, open)
	default:
		t.Respond(&t.change, &open[0], answer, gateway.TaskDetail{Quote: t.in.Body, Number: t.in.From, Candidates: several(open)})
	}
	if t.mayThank() {
		t.change.Accepts = append(t.change.Accepts, *t.thanks(thanks))
	}
	return nil
}

// about says in the task of a kind which message was answered, where that is certain,
// and else which it may be. What the person asked for is kept beside it.
func (t *text) about(kind gateway.TaskKind, open []gateway.Message) {
	for i := range t.change.Tasks {
		if t.change.Tasks[i].Kind != kind {
			continue
		}
		detail := &t.change.Tasks[i].Detail
		switch {
		case t.heard.Confirm:
			detail.Heard = gateway.Confirmed
		case t.heard.Reschedule:
			detail.Heard = gateway.RescheduleAsked
		}
		if len(open) == 1 && len(t.number.Holders) == 1 {
			detail.Reminder = open[0].ID
			continue
		}
		detail.Candidates = ids(open)
	}
}

// several lists messages of which one was answered; of one alone there is no doubt.
func several(open []gateway.Message) []int64 {
	if len(open) < 2 {
		return nil
	}
	return ids(open)
}

func ids(list []gateway.Message) []int64 {
	var got []int64
	for i := range list {
		got = append(got, list[i].ID)
	}
	return got
}

// thanks makes an acknowledgement. It is none of the exceptions to a stop, so it goes to
// the address on record, under the fence: a stop moves everybody who has the number, so
// that one of them is enough.
func (t *text) thanks(template string) *gateway.Message {
	m, one := t.reply(template), t.number.Holders[0]
	m.Patient = one.Patient
	m.Body.Answer.To, m.Body.Answer.Pair = "", preferences.Pair{Channel: channels.SMS, Address: one.Address}
	return m
}

// mayThank: an acknowledgement is none of the exceptions to a stop or to a
// confidential communication instruction, and says nothing to somebody who may not
// be the patient. 45 CFR 164.522(b).
func (t *text) mayThank() bool {
	if !t.inTime() || t.number.Stops.Has(t.programs[0]) || len(t.holders) != len(t.number.Holders) {
		return false
	}
	for i, s := range t.holders {
		address := t.number.Holders[i].Address
		a := s.AddressByID(address)
		if s.Standing != preferences.Active || a == nil || a.State == preferences.WrongPerson {
			return false
		}
		if c := s.Confidential; c != nil && !slices.Contains(c.Only, preferences.Pair{Channel: channels.SMS, Address: address}) {
			return false
		}
	}
	return true
}

// takeBackThanks: an acknowledgement that still waits, or the confirmation of a START, may
// not follow a STOP that came right after it. A thank-you that is being sent is waited
// for, as every call is.
func (t *text) takeBackThanks(ctx context.Context) error {
	if !t.stops() || len(t.number.Holders) == 0 {
		return nil
	}
	waiting, err := t.Store.Messages(ctx, gateway.MessageFilter{Patient: t.number.Holders[0].Patient, Open: true, Newest: true, Limit: maxOpen})
	for i := range waiting {
		if m := &waiting[i]; m.Template == confirmReceived || m.Template == rescheduleReceived || m.Template == startConfirmation {
			t.change.Steps = append(t.change.Steps, gateway.Step{Message: m.ID, From: gateway.Waiting, To: gateway.Canceled, Code: "stopped"})
		}
	}
	return err
}
