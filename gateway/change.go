package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// Change is all that one step wants kept: in one transaction, all or none.
// Only steps may be refused one by one (Kept.Refused, unless Whole), and a provider's event
// that was heard before makes the whole change nothing (Kept.Known).
type Change struct {
	At       time.Time
	Actor    string // the key's name, the provider, or "heed"
	Seen     *Seen
	Key      *Key
	Turns    []Turn
	Numbers  []NumberFact
	Patients []PatientFact
	Accepts  []Message
	Steps    []Step
	Edits    []Edit
	Tasks    []Task
	Done     []TaskDone
	Assigns  []TaskAssign
	Told     []TaskTold
	Audit    []Audit
	Decides  []DecisionRecord
	Heard    []MessageHeard
	// Speaks are ids of words that are about to be said in a call, judged in the change's
	// one step: until they are Spoken, they are a call under way of its patient
	// (Store.Calling).
	Speaks    []int64
	Spoken    []int64
	Templates []TemplateStep
	// Whole refuses everything with ErrStale when a step is refused: the step says what
	// the rest of the change is about.
	Whole bool
}

// Seen is a provider's event id: kept once.
type Seen struct {
	Source string // twilio, sendgrid, smtp
	Event  string
	// Lasting: never forgotten, whatever the retention. An old START that is played to
	// us again would lift a STOP.
	Lasting bool
}

// Turn is the right to add to the messages of a reference, judged when it had so many
// of them; one change has it at a time. ErrStale, for the whole change, when it has
// another number by now: the same appointment told twice at one time is reminded of once.
type Turn struct {
	Reference string
	Had       int
}

// Key is an idempotency key, kept with what it did. The answer is kept with it
// where it is known before the commit, else right after (Store.KeepAnswer).
// ErrConflict: the key is kept with another body.
type Key struct {
	Caller   string // auth.Caller's ID, which no other key has
	Key      string
	BodyHash []byte // SHA-256 of method, path and body
	Status   int    // 0: the answer is not kept yet
	Answer   []byte
	// About are patients of whom the answer tells, beside those whom the change itself
	// concerns: it goes when one of them is erased.
	About []int64
	// Done: the call was carried out before and its answer was lost in a crash. Nothing
	// is done again; what is read now is the answer.
	Done bool
}

type keyOfCall struct{}

// WithKey gives the key of a call to every change that the call commits.
func WithKey(ctx context.Context, k *Key) context.Context {
	return context.WithValue(ctx, keyOfCall{}, k)
}

// AlreadyDone says that the call was carried out before and only its answer is asked for.
func AlreadyDone(ctx context.Context) bool {
	k := KeyOf(ctx)
	return k != nil && k.Done
}

// KeyOf is the key of the call, or nil.
func KeyOf(ctx context.Context) *Key {
	k, _ := ctx.Value(keyOfCall{}).(*Key)
	return k
}

// TellsOf notes that the answer of the call tells of a patient.
func TellsOf(ctx context.Context, patient int64) {
	if k := KeyOf(ctx); k != nil && patient != 0 {
		k.About = append(k.About, patient)
	}
}

// NumberFact is something said by, or about, a phone number or a mailbox. The store
// locks its row, looks who has it, folds the event into each of them and gives every
// one a new version.
type NumberFact struct {
	Number string // E.164, or a mailbox as it is kept
	Event  preferences.Event
	// Reply is accepted only when the event changed the number's state: a second
	// STOP is not confirmed again. 47 CFR 64.1200(a)(12).
	Reply *Message
}

// PatientFact is what a patient said, or what is now known of one.
type PatientFact struct {
	Patient int64
	Ref     string // the practice's id; given when the patient may be new
	Expect  int64  // the version it was judged on; -1: any; 0: must be new. Else ErrStale
	Events  []preferences.Event
	Record  *Record       // replaces the sealed names
	Texts   []AddressText // text of every address whose id the events bring in for the first time
	Erase   bool          // drops the data key, the record and the address texts
}

// Record is the sealed part of a patient.
type Record struct {
	GivenName  string `json:"given_name"`
	FamilyName string `json:"family_name"`
	BirthDate  string `json:"birth_date"`
	Locale     string `json:"locale,omitempty"`
	TimeZone   string `json:"time_zone,omitempty"`
	PostalCode string `json:"postal_code,omitempty"`
	State      string `json:"state,omitempty"`
	Deceased   bool   `json:"deceased,omitempty"`
}

// AddressText is the text of an address: E.164 or a mailbox.
type AddressText struct {
	ID    int64
	Kind  channels.Kind
	Value string
}

// Step moves one message. A step that judged a snapshot carries its version and
// is refused alone when the patient has moved on, a "no" as much as a "yes".
type Step struct {
	Message int64
	Patient int64
	From    Status
	To      Status
	Version int64 // the snapshot's; 0: not judged on one
	// Try is the number of the try it speaks of: refused Taken when another one has begun
	// since. 0: it speaks of no try.
	Try     int
	Due     time.Time // To Waiting, Unknown or Sent: when to look again
	Expires time.Time // zero: as it was
	// NotAfter is the end of the window it was judged in: refused TooLate when the
	// clock is past it inside the transaction.
	NotAfter time.Time
	Lease    time.Time // To Sending: no provider call starts after this
	Attempt  *Attempt  // To Sending: the new try
	Code     string
	Cap      *Cap
	Failed   *preferences.Pair // the pair to pass over from now on
}

// Cap asks for one place under a program's cap. Frees is the policy's own
// function, called on the locked usage; sent are Unix microseconds.
type Cap struct {
	Program channels.Program
	Keep    int // how many sends are worth keeping
	Frees   func(sent []int64) (free bool, until time.Time)
}

// Edit records what became of an attempt; a zero field stays as it is. A status
// lower than the one kept is ignored: receipts come out of order.
type Edit struct {
	Attempt    int64
	Status     AttemptStatus
	ProviderID string
	Code       string
	// Unsent gives the place under the cap back: it surely did not go out. Once, and not
	// when a receipt has said meanwhile that it did.
	Unsent *Unsent
}

// Unsent names the cap's place that is given back.
type Unsent struct {
	Patient int64
	Program channels.Program
	At      time.Time // of the attempt
}

// Refusal is why one step was not kept.
type Refusal struct {
	Why   RefusalKind
	Until time.Time // Capped: when a place frees up
}

// RefusalKind says why.
type RefusalKind uint8

// The reasons a step is refused by itself.
const (
	Stale   RefusalKind = iota + 1 // the patient has moved on: decide again from the database
	Taken                          // the message is no longer in the From status, or at that try
	Capped                         // the cap was used up meanwhile
	TooLate                        // the window has closed
)

// Kept is what a change came to.
type Kept struct {
	Known    bool              // the provider's event was heard before: nothing was changed
	Replayed *Key              // the idempotency key was used before: the first answer
	Refused  map[int64]Refusal // by message id
	Versions map[int64]int64   // patients that moved, with the new version
	News     map[string]bool   // by number: the fact changed its state
	Texts    map[int64]string  // by address id: where claimed messages go
}

// MessageHeard adds to what was heard of a message.
type MessageHeard struct {
	Message int64
	Event   MessageEvent
}

// Audit is who did what to which object. Objects are our own ids.
type Audit struct {
	Verb   string
	Object string
	Detail string // without personal data
	Step   int64  // of this message: kept only if its step was. 0: kept with the change
}

// Task is work for a person.
type Task struct {
	ID       int64
	Kind     TaskKind
	Patient  int64
	Message  int64
	Created  time.Time
	Due      time.Time
	DoneAt   time.Time
	Assignee string    // who looks after it, by a name that the practice uses; "": nobody in particular
	Told     int       // how often it was told that it is overdue
	ToldAt   time.Time // the last time; zero: never
	Detail   TaskDetail
}

// TaskKind says what is to be done. Names stand in the database.
type TaskKind string

// The kinds of task.
const (
	TaskNeedsStaff   TaskKind = "needs_staff"       // an essential message found no way
	TaskCrisis       TaskKind = "crisis"            // words of self-harm or danger
	TaskWrongNumber  TaskKind = "wrong_number"      // somebody else answers
	TaskRevocation   TaskKind = "free_text_stop"    // review a stop read from free text
	TaskAppointment  TaskKind = "cancel_or_stop"    // CANCEL: did they mean the appointment?
	TaskHighOrLow    TaskKind = "high_or_low"       // ALTO or BAJA: did they mean high or low?
	TaskReply        TaskKind = "reply"             // a reply to read
	TaskReschedule   TaskKind = "reschedule"        // asked to reschedule
	TaskStart        TaskKind = "start_not_lifted"  // START came, and what was stopped stays so
	TaskUnread       TaskKind = "unread_text"       // a text came whose words nobody here could read
	TaskCallBack     TaskKind = "call_back"         // asked in a call to be called back
	TaskHold         TaskKind = "confidential_note" // an imported note a person must read
	TaskMinor        TaskKind = "minor"             // remove the record
	TaskConfidential TaskKind = "confidential_request"
	TaskMirror       TaskKind = "mirror_drift" // a provider's list of opt-outs and ours differed
	TaskData         TaskKind = "data_request" // asked for a copy of their data: for whoever answers for privacy
)

// TaskKinds lists every kind, the most urgent first.
var TaskKinds = []TaskKind{
	TaskCrisis, TaskNeedsStaff, TaskUnread, TaskAppointment, TaskHighOrLow, TaskReschedule, TaskCallBack, TaskHold, TaskWrongNumber, TaskRevocation, TaskStart, TaskReply,
	TaskMinor, TaskConfidential, TaskData, TaskMirror,
}

// ParseTaskKind reads a kind; "" is every kind.
func ParseTaskKind(name string) (TaskKind, error) {
	if kind := TaskKind(name); name == "" || slices.Contains(TaskKinds, kind) {
		return kind, nil
	}
	return "", Wrong("kind", fmt.Sprintf("no kind of task: use one of %s", strings.Trim(fmt.Sprint(TaskKinds), "[]")))
}

// TaskDetail is sealed at rest.
type TaskDetail struct {
	Title   string   `json:"title"`
	Reasons []string `json:"reasons,omitempty"`
	Quote   string   `json:"quote,omitempty"` // the person's own words
	Number  string   `json:"number,omitempty"`
	// Reminder is the message that the person answered. It is no Task.Message, of which
	// each kind of task has one: people answer a reminder more than once.
	Reminder int64 `json:"reminder,omitempty"`
	// Candidates are the messages that may have been answered, where it is not certain
	// which one was.
	Candidates []int64  `json:"candidates,omitempty"`
	Heard      Response `json:"heard,omitempty"` // what the person asked for, where that was understood
	// Programs share the number of ours that the person wrote to; empty: not known.
	Programs channels.ProgramSet `json:"programs,omitempty"`
	Outcome  string              `json:"outcome,omitempty"` // what staff said on closing it: a code of the kind, or their own words
	Note     string              `json:"note,omitempty"`    // what they wrote beside a code
	DoneBy   string              `json:"done_by,omitempty"`
}

// TaskDueIn says how soon a person should have looked: a crisis at once, what
// holds a message back within the working day, the rest within two.
func TaskDueIn(kind TaskKind) time.Duration {
	switch kind {
	case TaskCrisis:
		return 0
	case TaskNeedsStaff, TaskAppointment, TaskHighOrLow, TaskReschedule, TaskCallBack, TaskHold, TaskStart, TaskUnread:
		return 8 * time.Hour
	}
	return 48 * time.Hour
}
