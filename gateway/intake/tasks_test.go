package intake_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// opened gives the one open task of a kind.
func (d *desk) opened(kind gateway.TaskKind) gateway.Task {
	d.t.Helper()
	list, err := d.Store.Tasks(d.t.Context(), gateway.TaskFilter{Kind: kind, Limit: 10})
	if err != nil || len(list) != 1 {
		d.t.Fatalf("%s: %+v, %v", kind, list, err)
	}
	return list[0]
}

// open opens a task of the patient's.
func (d *desk) open(kind gateway.TaskKind, detail gateway.TaskDetail) {
	d.t.Helper()
	now := d.Now()
	_, err := d.Store.Commit(d.t.Context(), gateway.Change{At: now, Tasks: []gateway.Task{{ID: d.ids.New(), Kind: kind, Patient: d.patient, Created: now, Due: now, Detail: detail}}})
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) stops() channels.ProgramSet {
	d.t.Helper()
	n, err := d.Store.Number(d.t.Context(), number)
	if err != nil {
		d.t.Fatal(err)
	}
	return n.Stops
}

func (d *desk) snapshot() *preferences.Snapshot {
	d.t.Helper()
	got, err := d.Store.Snapshots(d.t.Context(), []int64{d.patient})
	if err != nil {
		d.t.Fatal(err)
	}
	return got[d.patient]
}

// state tells in short what is in force of the patient's one number.
func (d *desk) state() string {
	d.t.Helper()
	s := d.snapshot()
	words := []string{s.AddressByID(d.address).State.String()}
	for _, p := range d.stops().List() {
		words = append(words, "-"+p.String())
	}
	if s.Confidential != nil {
		words = append(words, fmt.Sprintf("confidential %d hold %t", len(s.Confidential.Only), s.Confidential.Hold))
	}
	return strings.Join(words, " ")
}

// said finds what staff recorded with a task as evidence, newest first.
func (d *desk) said(task int64) (events []preferences.Event) {
	d.t.Helper()
	words, err := d.Store.NumberWords(d.t.Context(), number)
	if err != nil {
		d.t.Fatal(err)
	}
	ledger, err := d.Store.Ledger(d.t.Context(), d.patient, 0, 100)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range append(words, ledger...) {
		if e.Evidence["task"] == fmt.Sprint(task) {
			events = append(events, e)
		}
	}
	return events
}

func TestAnOutcomeRecordsWhatItMeans(t *testing.T) {
	const note = "She said on the phone: keep texting me."
	hold := func(d *desk) {
		if err := d.SetConfidential(t.Context(), "import", d.patient, intake.Confidential{Hold: true, Source: preferences.FromImport}); err != nil {
			t.Fatal(err)
		}
		d.open(gateway.TaskHold, gateway.TaskDetail{})
	}
	asked := func(d *desk) {
		way := intake.Way{Channel: channels.SMS, Address: number}
		if err := d.SetConfidential(t.Context(), "patient", d.patient, intake.Confidential{Only: []intake.Way{way}, Source: preferences.FromWeb}); err != nil {
			t.Fatal(err)
		}
		d.open(gateway.TaskConfidential, gateway.TaskDetail{})
	}
	text := func(body string) func(*desk) { return func(d *desk) { d.texts("SM1", body) } }
	for name, c := range map[string]struct {
		before        func(*desk)
		kind          gateway.TaskKind
		outcome, note string
		state         string
		event         preferences.EventKind // "": none
		wrong         string                // the field that is not right: nothing is closed
	}{
		"CANCEL meant a stop":             {text("CANCEL"), gateway.TaskAppointment, "meant_stop", "", "ok -care -marketing", preferences.NumberStopped, ""},
		"CANCEL meant the appointment":    {text("CANCEL"), gateway.TaskAppointment, "appointment_canceled", "", "ok -care -marketing", "", ""},
		"CANCEL meant neither":            {text("CANCEL"), gateway.TaskAppointment, "neither", "", "ok -care -marketing", "", ""},
		"CANCEL, and texts may come":      {text("CANCEL"), gateway.TaskAppointment, "wants_texts", note, "ok -marketing", preferences.NumberStarted, ""},
		"CANCEL, and nothing to show it":  {text("CANCEL"), gateway.TaskAppointment, "wants_texts", "", "ok -care -marketing", "", "note"},
		"another kind's outcome":          {text("CANCEL"), gateway.TaskAppointment, "number_is_wrong", "", "ok -care -marketing", "", "outcome"},
		"words of their own":              {text("CANCEL"), gateway.TaskAppointment, "She wants to stop, I think.", "", "ok -care -marketing", "", ""},
		"free text was a stop":            {text("please stop texting me"), gateway.TaskRevocation, "confirmed", "", "ok -care -marketing", preferences.NumberStopped, ""},
		"free text was none":              {text("please stop texting me"), gateway.TaskRevocation, "was_not_a_stop", note, "ok -marketing", preferences.NumberStarted, ""},
		"ALTO was high":                   {text("alto"), gateway.TaskHighOrLow, "was_not_a_stop", note, "ok -marketing", preferences.NumberStarted, ""},
		"ALTO was a stop":                 {text("alto"), gateway.TaskHighOrLow, "meant_stop", "", "ok -care -marketing", preferences.NumberStopped, ""},
		"the number is somebody else's":   {text("wrong number"), gateway.TaskWrongNumber, "number_is_wrong", "", "wrong_person", preferences.AddressWrong, ""},
		"the number is right":             {text("wrong number"), gateway.TaskWrongNumber, "number_is_right", note, "ok", preferences.AddressVerified, ""},
		"a reply was a stop":              {text("enough of this nonsense"), gateway.TaskReply, "was_a_stop", "", "ok -care -marketing", preferences.NumberStopped, ""},
		"a reply to no reminder confirms": {text("I will be there"), gateway.TaskReply, "confirmed", "", "ok", "", "outcome"},
		"a request was confirmed":         {asked, gateway.TaskConfidential, "confirmed", "", "ok confidential 1 hold false", preferences.ConfidentialSet, ""},
		"a request was changed":           {asked, gateway.TaskConfidential, "changed", "", "ok confidential 1 hold false", "", ""},
		"a request in force withdrawn":    {asked, gateway.TaskConfidential, "withdrawn", "", "ok confidential 1 hold false", "", "outcome"},
		"a request with nothing in force": {func(d *desk) { d.open(gateway.TaskConfidential, gateway.TaskDetail{}) }, gateway.TaskConfidential, "confirmed", "", "ok", "", "outcome"},
		"a note asks for nothing":         {hold, gateway.TaskHold, "asks_for_nothing", note, "ok", preferences.ConfidentialEnded, ""},
		"a note whose hold still stands":  {hold, gateway.TaskHold, "instruction_set", "", "ok confidential 0 hold true", "", "outcome"},
		"a lift of nobody knows what":     {func(d *desk) { d.open(gateway.TaskStart, gateway.TaskDetail{Number: number}) }, gateway.TaskStart, "wants_texts", note, "ok", "", "outcome"},
		"a stop without a number":         {func(d *desk) { d.open(gateway.TaskReply, gateway.TaskDetail{}) }, gateway.TaskReply, "was_a_stop", "", "ok", "", "outcome"},
		"a stop of nobody knows what":     {func(d *desk) { d.open(gateway.TaskReply, gateway.TaskDetail{Number: number}) }, gateway.TaskReply, "was_a_stop", "", "ok -care -check_in -billing -marketing", preferences.NumberStopped, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			c.before(d)
			task := d.opened(c.kind)
			err := d.CloseTask(t.Context(), "dana", intake.Closing{Task: task.ID, Outcome: c.outcome, Note: c.note})
			var wrong gateway.Invalid
			if errors.As(err, &wrong); (err != nil) != (c.wrong != "") || c.wrong != "" && (len(wrong) != 1 || wrong[0].Field != c.wrong) {
				t.Fatalf("%v, wanted a mistake in %q", err, c.wrong)
			}
			if got := d.state(); got != c.state {
				t.Errorf("in force: %s, wanted %s", got, c.state)
			}
			list, err := d.Store.Tasks(t.Context(), gateway.TaskFilter{ID: task.ID, Limit: 1})
			if err != nil || list[0].DoneAt.IsZero() != (c.wrong != "") {
				t.Fatalf("%+v, %v", list, err)
			}
			events := d.said(task.ID)
			if c.event == "" {
				if len(events) > 0 {
					t.Errorf("recorded %+v", events)
				}
				return
			}
			if len(events) != 1 || events[0].Kind != c.event || events[0].Source != preferences.FromStaff || events[0].Actor != "dana" ||
				events[0].Evidence["outcome"] != c.outcome || events[0].Evidence["note"] != c.note {
				t.Errorf("recorded %+v", events)
			}
			if err := d.CloseTask(t.Context(), "lee", intake.Closing{Task: task.ID, Outcome: c.outcome, Note: c.note}); !errors.Is(err, gateway.ErrClosed) {
				t.Errorf("closed twice: %v", err)
			}
			if again := d.said(task.ID); len(again) != 1 {
				t.Errorf("recorded twice: %+v", again)
			}
		})
	}
}

// A stop that came after the task is the later word, whatever staff heard before it.
func TestClosingLiftsNoNewerStop(t *testing.T) {
	d := newDesk(t)
	start := time.Now().Add(-time.Minute)
	d.Now = func() time.Time { return start }
	if err := d.Text(t.Context(), "twilio", channels.Inbound{ID: "SM1", From: number, To: ours, Body: "CANCEL", At: start}); err != nil {
		t.Fatal(err)
	}
	task := d.opened(gateway.TaskAppointment)
	d.Now = time.Now
	in := intake.Closing{Task: task.ID, Outcome: "wants_texts", Note: "on the phone"}
	in.SaidAt = start.Add(-time.Second)
	if err := d.CloseTask(t.Context(), "dana", in); err == nil {
		t.Error("what was said before the task lifted its stop")
	}
	in.SaidAt = time.Now().Add(time.Hour)
	if err := d.CloseTask(t.Context(), "dana", in); err == nil {
		t.Error("what is said tomorrow lifted a stop")
	}
	in.SaidAt = time.Time{}
	// However the two cross each other, the stop is in force afterwards.
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := d.Text(t.Context(), "twilio", channels.Inbound{ID: "SM2", From: number, To: ours, Body: "STOP", At: time.Now()}); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		var wrong gateway.Invalid
		if err := d.CloseTask(t.Context(), "dana", in); err != nil && !errors.As(err, &wrong) {
			t.Error(err)
		}
	})
	wg.Wait()
	if !d.stops().Has(channels.Care) {
		t.Error("the newer stop was lifted")
	}
}

// A stop that is newer than the task refuses the closing, and says so.
func TestClosingTellsOfANewerStop(t *testing.T) {
	d := newDesk(t)
	start := time.Now().Add(-time.Minute)
	d.Now = func() time.Time { return start }
	if err := d.Text(t.Context(), "twilio", channels.Inbound{ID: "SM1", From: number, To: ours, Body: "CANCEL", At: start}); err != nil {
		t.Fatal(err)
	}
	task := d.opened(gateway.TaskAppointment)
	d.Now = time.Now
	d.texts("SM2", "STOP")
	var wrong gateway.Invalid
	err := d.CloseTask(t.Context(), "dana", intake.Closing{Task: task.ID, Outcome: "wants_texts", Note: "on the phone"})
	if !errors.As(err, &wrong) || !strings.Contains(wrong[0].Problem, "newer stop") {
		t.Errorf("%v", err)
	}
	if d.opened(gateway.TaskAppointment); !d.stops().Has(channels.Care) {
		t.Error("it was closed all the same")
	}
}

// What a person meant who asked to cancel, or to move, an appointment.
func TestClosingConfirmsOrTakesBack(t *testing.T) {
	for _, c := range []struct {
		body    string
		kind    gateway.TaskKind
		outcome string
		kept    bool
		waits   int
	}{
		{"R", gateway.TaskReschedule, "kept", true, 1}, {"R", gateway.TaskReschedule, "canceled", false, 0}, {"R", gateway.TaskReschedule, "rescheduled", false, 1},
		{"CANCEL", gateway.TaskAppointment, "appointment_canceled", false, 0}, {"see you then", gateway.TaskReply, "confirmed", true, 1},
	} {
		d := newDesk(t)
		when := time.Now().Add(48 * time.Hour)
		reminder := d.remindedOf(when, "visit 7")
		now := time.Now()
		later := gateway.Message{
			ID: d.ids.New(), Patient: d.patient, Queue: gateway.ReminderQueue, Category: "appointment_reminder", Template: "appointment_reminder", Essential: true, Reference: "visit 7",
			Due: now.Add(24 * time.Hour), Expires: when, Created: now, Body: gateway.Body{Variables: map[string]string{"appointment_time": when.Format(time.RFC3339)}},
		}
		if _, err := d.Store.Commit(t.Context(), gateway.Change{At: now, Accepts: []gateway.Message{later}}); err != nil {
			t.Fatal(err)
		}
		d.texts("SM1", c.body)
		task := d.opened(c.kind)
		if task.Detail.Reminder != reminder {
			t.Errorf("%s: the reminder is not known: %+v", c.body, task.Detail)
		}
		if err := d.CloseTask(t.Context(), "dana", intake.Closing{Task: task.ID, Outcome: c.outcome}); err != nil {
			t.Fatal(err)
		}
		if d.confirmed(reminder) != c.kept {
			t.Errorf("%s, %s: confirmed %t", c.body, c.outcome, !c.kept)
		}
		waits := slices.DeleteFunc(d.waiting(), func(template string) bool { return template != "appointment_reminder" })
		if len(waits) != c.waits {
			t.Errorf("%s, %s: %d reminders wait", c.body, c.outcome, len(waits))
		}
	}
}

// second puts another patient on the same phone, and gives the patient and a reminder
// that went there.
func (d *desk) second(appointment time.Time) (int64, int64) {
	d.t.Helper()
	out, err := d.Put(d.t.Context(), "ehr", "p2", intake.Contact{
		Record: gateway.Record{BirthDate: "1981-04-02"}, Addresses: []intake.ContactAddress{{Kind: channels.Phone, Value: number, Rank: 1}},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	n, err := d.Store.Number(d.t.Context(), number)
	if err != nil {
		d.t.Fatal(err)
	}
	first, address := d.patient, d.address
	at := slices.IndexFunc(n.Holders, func(h gateway.Holder) bool { return h.Patient == out.Patient })
	d.patient, d.address = out.Patient, n.Holders[at].Address
	reminder := d.reminded(appointment)
	d.patient, d.address = first, address
	return out.Patient, reminder
}

func TestAReplyThatFitsSeveralRemindersIsSettledByStaff(t *testing.T) {
	d := newDesk(t)
	now := time.Now()
	one := d.reminded(now.Add(48 * time.Hour))
	other, two := d.second(now.Add(72 * time.Hour))
	d.texts("SM1", "C")
	task := d.opened(gateway.TaskReply)
	got := slices.Sorted(slices.Values(task.Detail.Candidates))
	if want := slices.Sorted(slices.Values([]int64{one, two})); !slices.Equal(got, want) || task.Detail.Heard != gateway.Confirmed || task.Patient != 0 || d.confirmed(one) || d.confirmed(two) {
		t.Fatalf("%+v", task)
	}
	remedies, err := d.Remedies(t.Context(), &task)
	if err != nil || len(remedies) != 2 {
		t.Fatalf("%+v, %v", remedies, err)
	}
	for _, r := range remedies {
		if !r.Unsure || len(r.Messages) != 1 || r.Messages[0].Appointment.IsZero() || r.Nobody() != "" || len(r.Phones) != 1 || !r.Phones[0].Shared {
			t.Errorf("%+v", r)
		}
	}
	for _, message := range []int64{0, 17} {
		var wrong gateway.Invalid
		if err := d.CloseTask(t.Context(), "dana", intake.Closing{Task: task.ID, Outcome: "confirmed", Message: message}); !errors.As(err, &wrong) || wrong[0].Field != "message" {
			t.Errorf("message %d: %v", message, err)
		}
	}
	var wrong gateway.Invalid
	if err := d.CloseTask(t.Context(), "dana", intake.Closing{Task: task.ID, Outcome: "confirmed", Patient: d.patient, Message: two}); !errors.As(err, &wrong) || wrong[0].Field != "message" {
		t.Errorf("one's word was taken for the other's reminder: %v", err)
	}
	if err := d.CloseTask(t.Context(), "dana", intake.Closing{Task: task.ID, Outcome: "confirmed", Patient: other}); err != nil {
		t.Fatal(err)
	}
	if d.confirmed(one) || !d.confirmed(two) {
		t.Error("another reminder was confirmed")
	}

	// Whose number it is has to be said before it is verified for anybody.
	d.texts("SM2", "wrong number")
	wrongNumber := d.opened(gateway.TaskWrongNumber)
	right := intake.Closing{Task: wrongNumber.ID, Outcome: "number_is_right", Note: "showed the phone at the desk"}
	if err := d.CloseTask(t.Context(), "dana", right); !errors.As(err, &wrong) || wrong[0].Field != "patient" {
		t.Errorf("%v", err)
	}
	right.Patient = other
	if err := d.CloseTask(t.Context(), "dana", right); err != nil {
		t.Fatal(err)
	}
	if got := d.snapshot().AddressByID(d.address).State; got != preferences.WrongPerson {
		t.Errorf("the first patient's number is %s", got)
	}
}

// Two appointments of one patient: taking reminders back needs to know which.
func TestTwoAppointmentsOfOnePatientAreToldApart(t *testing.T) {
	d := newDesk(t)
	now := time.Now()
	far, near := d.reminded(now.Add(96*time.Hour)), d.reminded(now.Add(48*time.Hour))
	d.texts("SM1", "R")
	task := d.opened(gateway.TaskReschedule)
	if task.Detail.Reminder != near || len(task.Detail.Candidates) != 2 {
		t.Errorf("%+v", task.Detail)
	}
	for _, who := range []int64{0, d.patient} {
		if err := d.CloseTask(t.Context(), "dana", intake.Closing{Task: task.ID, Outcome: "kept", Patient: who}); err == nil {
			t.Error("it was closed without saying which")
		}
	}
	for _, outcome := range []string{"kept", "rescheduled"} {
		var wrong gateway.Invalid
		if err := d.CloseTask(t.Context(), "dana", intake.Closing{Task: task.ID, Outcome: outcome, Patient: d.patient + 1, Message: far}); !errors.As(err, &wrong) || wrong[0].Field != "patient" {
			t.Errorf("%s: it was closed for another patient: %v", outcome, err)
		}
	}
	if err := d.CloseTask(t.Context(), "dana", intake.Closing{Task: task.ID, Outcome: "kept", Message: far}); err != nil || !d.confirmed(far) || d.confirmed(near) {
		t.Errorf("%v", err)
	}
}

// One word of the rules for a phone that several share, or that nobody has.
func TestAnInstructionOfOneBindsASharedPhoneForAll(t *testing.T) {
	d := newDesk(t)
	other, _ := d.second(time.Now().Add(-time.Hour))
	d.texts("SM1", "is the office open")
	task := d.opened(gateway.TaskReply)
	say := func(want policy.Code) {
		t.Helper()
		list, err := d.Remedies(t.Context(), &task)
		if err != nil || len(list) != 2 {
			t.Fatalf("%+v, %v", list, err)
		}
		for _, r := range list {
			if r.Nobody() != want || r.Phones[0].Number != number {
				t.Errorf("patient %d: nobody because of %q, wanted %q", r.Patient.ID, r.Nobody(), want)
			}
		}
	}
	say("")
	only := intake.Way{Channel: channels.Email, Address: "p2@patients.example"}
	if err := d.SetConfidential(t.Context(), "dana", other, intake.Confidential{Only: []intake.Way{only}, Source: preferences.FromStaff}); err != nil {
		t.Fatal(err)
	}
	say(policy.ConfidentialOnly)

	// Words of danger are answered all the same: at the number that they came from.
	d.texts("SM2", "I want to kill myself")
	task = d.opened(gateway.TaskCrisis)
	say("")

	for body, want := range map[string]policy.Code{"hello": "", "wrong number": policy.WrongPerson} {
		const stranger = "+13035550199"
		if err := d.Text(t.Context(), "twilio", channels.Inbound{ID: body, From: stranger, To: ours, Body: body, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		kind := gateway.TaskReply
		if want != "" {
			kind = gateway.TaskWrongNumber
		}
		list, err := d.Store.Tasks(t.Context(), gateway.TaskFilter{Kind: kind, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(list, func(task gateway.Task) bool { return task.Detail.Number == stranger })
		got, err := d.Remedies(t.Context(), &list[at])
		if err != nil || len(got) != 1 || got[0].Patient != nil || got[0].Nobody() != want || got[0].Letter == "" {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
}

func TestOverdueIsToldOncePerInterval(t *testing.T) {
	d := newDesk(t)
	d.OnCall = []string{"+13035550190"}
	start := time.Now()
	now := start
	d.Now = func() time.Time { return now }
	d.open(gateway.TaskCrisis, gateway.TaskDetail{})
	d.open(gateway.TaskReply, gateway.TaskDetail{})
	tell := func(after time.Duration, want ...gateway.TaskKind) {
		t.Helper()
		now = start.Add(after)
		told, err := d.TellOverdue(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []gateway.TaskKind
		for _, task := range told {
			got = append(got, task.Kind)
		}
		if !slices.Equal(got, want) {
			t.Errorf("after %s: %v, wanted %v", after, got, want)
		}
		if again, err := d.TellOverdue(t.Context()); err != nil || len(again) != 0 {
			t.Errorf("after %s, twice: %v, %v", after, again, err)
		}
	}
	tell(0, gateway.TaskReply)
	tell(4 * time.Minute)
	tell(5*time.Minute, gateway.TaskCrisis)
	tell(9 * time.Minute)
	tell(10*time.Minute, gateway.TaskCrisis)
	tell(19 * time.Minute)
	tell(20*time.Minute, gateway.TaskCrisis)
	tell(4*time.Hour, gateway.TaskCrisis, gateway.TaskReply) // once, however many intervals have passed
	due, err := d.Store.Due(t.Context(), gateway.AnswerQueue, now, 10)
	if err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for _, m := range due {
		if m.Template == "staff_alert" && m.Body.Answer.To == "+13035550190" && m.Patient == 0 {
			alerts++
		}
	}
	if alerts != 4 {
		t.Errorf("the phone on call hears %d times of a crisis", alerts)
	}
	if err := d.CloseTask(t.Context(), "dana", intake.Closing{Task: d.opened(gateway.TaskCrisis).ID, Outcome: "reached"}); err != nil {
		t.Fatal(err)
	}
	tell(24*time.Hour, gateway.TaskReply)
}
