package gateway

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// TaskOutcome is one way in which a task can end. Codes are stable: they stand in the
// ledger as evidence.
type TaskOutcome struct {
	Code  string
	Means string // for people
	Does  TaskEffect
	// Note: a note is needed. What loosens needs evidence: how the patient said it.
	Note bool
}

// TaskEffect is what an outcome records beside itself.
type TaskEffect uint8

// The effects. Whoever may work on tasks may do by hand what each of them does.
const (
	RecordsNothing  TaskEffect = iota
	RecordsStop                // the number stopped: the patient said so to staff
	LiftsStop                  // the stop that the task is about, and no newer one
	MarksWrong                 // somebody else answers at the number
	MarksRight                 // the number is the patient's: verified
	Confirms                   // the patient confirmed the appointment of the reminder
	TakesBack                  // nothing more goes out about the appointment
	KeepsConfidence            // the confidential communication instruction in force was confirmed
	EndsHold                   // the hold that an import put in place
	NeedsNoHold                // refused while such a hold is in force: the note asks for something, so it has to be put in force first
	NeedsNone                  // refused while a confidential communication instruction is in force: it has to be ended first
)

const spoken = "A person spoke with the patient."

// The outcomes that several kinds share.
var (
	meantStop   = TaskOutcome{"meant_stop", "They meant to stop the texts and calls.", RecordsStop, false}
	noStop      = TaskOutcome{"was_not_a_stop", "The patient said that it was no stop and that texts may come again: the stop is lifted.", LiftsStop, true}
	wantsTexts  = TaskOutcome{"wants_texts", "The patient said that texts may come again: the stop is lifted.", LiftsStop, true}
	wasStop     = TaskOutcome{"was_a_stop", "It asked us to stop.", RecordsStop, false}
	isConfirmed = TaskOutcome{"confirmed", "They confirm the appointment.", Confirms, false}
)

// taskOutcomes is the one table of how each kind of task can end.
var taskOutcomes = map[TaskKind][]TaskOutcome{
	TaskCrisis: {
		{"reached", spoken, RecordsNothing, false},
		{"handed_over", "Somebody who helps in a crisis has taken over.", RecordsNothing, false},
		{"not_in_danger", "A person made sure that nobody is in danger.", RecordsNothing, false},
	},
	TaskNeedsStaff: {
		{"reached_by_phone", "A person told the patient by phone.", RecordsNothing, false},
		{"letter_sent", "A letter was posted.", RecordsNothing, false},
		{"not_needed", "It need not be told any more.", RecordsNothing, false},
	},
	TaskUnread: {
		wasStop,
		{"was_something_else", "It asked for something else.", RecordsNothing, false},
	},
	TaskAppointment: {
		{"appointment_canceled", "They meant the appointment. The stop stays; reminders that wait for the appointment are taken back.", TakesBack, false},
		meantStop,
		{"neither", "They meant neither. The stop stays.", RecordsNothing, false},
		wantsTexts,
	},
	TaskHighOrLow: {
		meantStop, noStop,
		{"was_an_answer", "They meant high or low. The stop stays.", RecordsNothing, false},
	},
	TaskReschedule: {
		{"rescheduled", "There is a new time.", RecordsNothing, false},
		{"kept", "The appointment stays: they confirm it.", Confirms, false},
		{"canceled", "The appointment is canceled; reminders that wait for it are taken back.", TakesBack, false},
	},
	TaskCallBack: {
		{"called_back", spoken, RecordsNothing, false},
		{"not_needed", "No call is needed any more.", RecordsNothing, false},
	},
	TaskHold: {
		{"instruction_set", "The note was read, and what it asks for is in force.", NeedsNoHold, false},
		{"asks_for_nothing", "The note asks for nothing: the hold ends.", EndsHold, true},
	},
	TaskWrongNumber: {
		{"number_is_wrong", "The number is not the patient's.", MarksWrong, false},
		{"number_is_right", "The number is the patient's after all.", MarksRight, true},
	},
	TaskRevocation: {
		{"confirmed", "It was a stop.", RecordsStop, false},
		noStop,
	},
	TaskStart: {
		wantsTexts,
		{"stays_stopped", "They want nothing to come again.", RecordsNothing, false},
	},
	TaskReply: {
		{"read", "It asks for nothing.", RecordsNothing, false},
		{"answered", "A person answered it.", RecordsNothing, false},
		isConfirmed, wasStop,
	},
	TaskMinor: {
		{"record_removed", "The record was erased.", RecordsNothing, false},
		{"birth_date_mended", "The birth date was mistyped and is right now.", RecordsNothing, false},
	},
	TaskConfidential: {
		{"confirmed", "The patient confirmed what is in force.", KeepsConfidence, false},
		{"changed", "The patient wants it otherwise, and it was put in force so.", RecordsNothing, false},
		{"withdrawn", "The patient no longer asks for it, and it was ended.", NeedsNone, false},
	},
	TaskData: {
		{"given", "The patient has the copy.", RecordsNothing, false},
		{"not_the_patient", "Somebody else asked; nothing was given.", RecordsNothing, false},
		{"withdrawn", "The patient no longer asks for it.", RecordsNothing, false},
	},
	TaskMirror: {
		{"cause_mended", "What changed the list, or kept it from being read, was found and ended.", RecordsNothing, false},
		{"meant_so", "Whoever changes the list is meant to.", RecordsNothing, false},
		{"not_found", "Nobody could tell what changed the list.", RecordsNothing, false},
	},
}

// Outcomes lists how a task of a kind can end.
func (k TaskKind) Outcomes() []TaskOutcome { return slices.Clone(taskOutcomes[k]) }

// likeCode is how codes are written: no sentence of anybody's looks like it.
var likeCode = regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)+$`)

// Outcome reads how a task of a kind ended: one of its codes, or people's own words,
// which record nothing. What looks like a code and is none of this kind is refused: it
// would be taken for words, and record nothing where somebody thinks that it did.
func (k TaskKind) Outcome(text string) (TaskOutcome, error) {
	codes, elsewhere := []string{}, false
	for kind, list := range taskOutcomes {
		for _, o := range list {
			elsewhere = elsewhere || o.Code == text
			if kind != k {
				continue
			}
			if o.Code == text {
				return o, nil
			}
			codes = append(codes, o.Code)
		}
	}
	if elsewhere || likeCode.MatchString(text) {
		return TaskOutcome{}, Wrong("outcome", fmt.Sprintf("no outcome of this kind of task: use one of %s, or say it in a sentence of your own", strings.Join(codes, ", ")))
	}
	return TaskOutcome{}, nil
}

// TaskDone closes a task.
type TaskDone struct {
	ID      int64
	Outcome string
	Note    string
	Code    string // the outcome, where it is a code: other systems are told of it
}

// TaskAssign gives a task to somebody. ErrStale when it is not open.
type TaskAssign struct {
	ID int64
	To string // "": to nobody
}

// TaskTold notes that an open task was told of as overdue. ErrStale when it is not
// open, or when it was told more often than Times meanwhile: another replica did.
type TaskTold struct {
	ID    int64
	Times int       // how often it had been told
	Next  time.Time // when it is told again
}

// crisisGrace: a crisis is told at once as it opens, to other systems and to the phones
// on call. Told again at the same moment it would say nothing new.
const crisisGrace = 5 * time.Minute

// TellAt is when an open task is told of as overdue for the first time.
func (t *Task) TellAt() time.Time {
	if t.Kind == TaskCrisis {
		return t.Due.Add(crisisGrace)
	}
	return t.Due
}

// How long after each telling an open task is told of again; the last of them repeats
// until it is done. Of a crisis somebody should hear within the time in which a call
// can still help. Of everything else twice on the first working day, and then daily:
// often enough that nothing is forgotten, seldom enough that it is read.
var (
	tellCrisis = []time.Duration{5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute}
	tellOthers = []time.Duration{4 * time.Hour, 8 * time.Hour, 24 * time.Hour}
)

// TellAgain is how long after a telling the next one comes; told counts those before.
func (k TaskKind) TellAgain(told int) time.Duration {
	list := tellOthers
	if k == TaskCrisis {
		list = tellCrisis
	}
	return list[min(max(told, 0), len(list)-1)]
}
