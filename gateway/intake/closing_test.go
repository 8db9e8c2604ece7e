package intake_test

import (
	"errors"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
)

// A note that asks for nothing ends the hold that it put in place, and nothing that the
// patient asked for: not before it, and not on the page meanwhile.
func TestEndingAHoldEndsNoRequestOfThePatient(t *testing.T) {
	hold := func(d *desk) error {
		return d.SetConfidential(t.Context(), "import", d.patient, intake.Confidential{Hold: true, Source: preferences.FromImport})
	}
	way := []intake.Way{{Channel: channels.SMS, Address: number}}
	for name, c := range map[string]struct {
		steps []func(*desk) error
		ends  bool
	}{
		"the note alone": {[]func(*desk) error{hold}, true},
		"a second note":  {[]func(*desk) error{hold, hold}, true},
		"an instruction before it": {[]func(*desk) error{
			func(d *desk) error {
				return d.SetConfidential(t.Context(), "dana", d.patient, intake.Confidential{Only: way, Source: preferences.FromStaff})
			}, hold,
		}, false},
		"one that had ended before it": {[]func(*desk) error{
			func(d *desk) error {
				return d.SetConfidential(t.Context(), "dana", d.patient, intake.Confidential{Only: way, Source: preferences.FromStaff})
			},
			func(d *desk) error { return d.EndConfidential(t.Context(), "dana", d.patient) }, hold,
		}, true},
		"a request on the page meanwhile": {[]func(*desk) error{hold, func(d *desk) error {
			_, err := d.RequestConfidential(t.Context(), "patient", d.patient, intake.ConfidentialRequest{Channels: []channels.Channel{channels.Voice}})
			return err
		}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			for _, step := range c.steps {
				if err := step(d); err != nil {
					t.Fatal(err)
				}
			}
			d.open(gateway.TaskHold, gateway.TaskDetail{})
			in := intake.Closing{Task: d.opened(gateway.TaskHold).ID, Outcome: "asks_for_nothing", Note: "It says to call before noon."}
			err := d.CloseTask(t.Context(), "dana", in)
			if wrong := (gateway.Invalid)(nil); (err == nil) != c.ends || err != nil && !errors.As(err, &wrong) {
				t.Errorf("closed: %v", err)
			}
			if free := d.snapshot().Confidential == nil; free != c.ends {
				t.Errorf("nothing is in force: %t", free)
			}
		})
	}
}

// Somebody who says once more that the number is theirs is heard, whatever the patient
// said about the first time.
func TestClosingVerifiesNoNumberThatWasDisownedAgain(t *testing.T) {
	d := newDesk(t)
	d.texts("SM1", "wrong number")
	task := d.opened(gateway.TaskWrongNumber)
	for !time.Now().After(task.Created.Add(time.Microsecond)) { // the second text comes at a later instant
	}
	d.texts("SM2", "wrong number")
	in := intake.Closing{Task: task.ID, Outcome: "number_is_right", Note: "She said on the phone that it is hers."}
	var wrong gateway.Invalid
	if err := d.CloseTask(t.Context(), "dana", in); !errors.As(err, &wrong) {
		t.Errorf("closed: %v", err)
	}
	if got := d.state(); got != "wrong_person" {
		t.Errorf("in force: %s", got)
	}
	list, err := d.Store.Tasks(t.Context(), gateway.TaskFilter{Kind: gateway.TaskWrongNumber, Limit: 10})
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, in.Task = range []int64{list[0].ID, list[1].ID} {
		if in.Task != task.ID {
			if err := d.CloseTask(t.Context(), "dana", in); err != nil {
				t.Error(err)
			}
		}
	}
	if got := d.state(); got != "ok" {
		t.Errorf("in force after the newest was settled: %s", got)
	}
}

// Where it is not known what a person wrote to, a stop is one of everything, also where
// something was stopped before.
func TestClosingStopsEverythingWhereTheProgramIsNotKnown(t *testing.T) {
	d := newDesk(t)
	if err := d.Stop(t.Context(), "dana", number, channels.Marketing, false, map[string]string{"call": "rang"}); err != nil {
		t.Fatal(err)
	}
	d.open(gateway.TaskReply, gateway.TaskDetail{Number: number})
	if err := d.CloseTask(t.Context(), "dana", intake.Closing{Task: d.opened(gateway.TaskReply).ID, Outcome: "was_a_stop"}); err != nil {
		t.Fatal(err)
	}
	if got := d.state(); got != "ok -care -check_in -billing -marketing" {
		t.Errorf("in force: %s", got)
	}
}
