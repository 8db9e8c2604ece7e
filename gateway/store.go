package gateway

import (
	"context"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// Store keeps changes and answers questions. It decides nothing. Readers give
// ErrNotFound where one thing was asked for and is not there.
type Store interface {
	// Commit keeps a change. Errors: ErrStale, ErrConflict, ErrErased, ErrNotFound.
	Commit(ctx context.Context, c Change) (Kept, error)

	PatientID(ctx context.Context, ref string) (int64, error)
	Patient(ctx context.Context, id int64) (*Patient, error)
	Snapshots(ctx context.Context, ids []int64) (map[int64]*preferences.Snapshot, error)
	Usage(ctx context.Context, patient int64) (policy.Usage, error)
	Usages(ctx context.Context, patients []int64) (map[int64]policy.Usage, error)
	Number(ctx context.Context, e164 string) (Number, error) // a number nobody has is not an error
	AddressTexts(ctx context.Context, ids []int64) (map[int64]string, error)
	Ledger(ctx context.Context, patient int64, after int64, limit int) ([]preferences.Event, error)
	// History is the ledger of a patient together with that of numbers, by id upwards.
	History(ctx context.Context, patient int64, numbers []string, after int64, limit int) ([]HistoryRow, error)
	NumberWords(ctx context.Context, e164 string) ([]preferences.Event, error) // stops and starts, newest first
	// EverHad counts the patients who have, or ever had, an address.
	EverHad(ctx context.Context, address string) (int, error)

	// Due lists waiting messages of a queue, oldest first, Failed filled.
	Due(ctx context.Context, q Queue, now time.Time, limit int) ([]Message, error)
	Message(ctx context.Context, id int64) (*Message, error) // with Tries, Last, Events
	Messages(ctx context.Context, f MessageFilter) ([]Message, error)
	LastDecisions(ctx context.Context, messages []int64) (map[int64]DecisionRecord, error)
	DecisionsOf(ctx context.Context, messages []int64) ([]DecisionRecord, error) // every one, oldest first
	// Disclosures lists what left the gateway about a patient since a moment, by id upwards.
	Disclosures(ctx context.Context, patient int64, since time.Time, after int64, limit int) ([]Disclosure, error)
	MessageEvents(ctx context.Context, messages []int64) (map[int64][]MessageEvent, error)
	Attempt(ctx context.Context, id int64) (*Attempt, error)
	// HearMany keeps what is plain news of messages of campaigns, and gives back the rest.
	HearMany(ctx context.Context, source string, at time.Time, list []channels.Delivery) ([]channels.Delivery, error)
	// WasHeard says whether a provider's event was kept (Seen).
	WasHeard(ctx context.Context, source, event string) (bool, error)
	// Reached lists messages of some categories that were sent or delivered to an
	// address by text or call since a moment, newest first, with their tries.
	Reached(ctx context.Context, h Holder, categories []string, since time.Time, limit int) ([]Message, error)
	AttemptByProvider(ctx context.Context, providerID string) (*Attempt, error)
	// Policy gives the file of a policy that was in force. ErrNotFound.
	Policy(ctx context.Context, version string) ([]byte, error)
	// Abandoned lists messages that are Sending with a lease before the given moment;
	// with Tries.
	Abandoned(ctx context.Context, before time.Time, limit int) ([]Message, error)
	// Unresolved lists messages whose outcome, or whose receipt, is to be asked for by
	// now; with Tries.
	Unresolved(ctx context.Context, now time.Time, limit int) ([]Message, error)
	// Calling counts messages of these patients that are Sending, and words that are being
	// said in a call. Answers that were judged on nothing are left out: the confirmation
	// of a stop goes out after the stop.
	Calling(ctx context.Context, patients []int64) (int, error)

	Tasks(ctx context.Context, f TaskFilter) ([]Task, error)
	// Untold lists open tasks that are to be told of as overdue by now; without Detail.
	Untold(ctx context.Context, now time.Time, limit int) ([]Task, error)
	Audits(ctx context.Context, after int64, limit int) ([]AuditRow, error)
}

// HistoryRow is one event of a ledger.
type HistoryRow struct {
	preferences.Event
	Number string // whose it is; "": the patient's own
}

// Patient is the contact record as staff see it.
type Patient struct {
	ID        int64
	Ref       string
	Record    Record
	Snapshot  *preferences.Snapshot
	Addresses []AddressText // of every address in the snapshot
}

// Text gives the text of an address, or "".
func (p *Patient) Text(address int64) string {
	for _, a := range p.Addresses {
		if a.ID == address {
			return a.Value
		}
	}
	return ""
}

// Number is what is known of a phone number.
type Number struct {
	Stops   channels.ProgramSet
	Since   map[channels.Program]time.Time // when the last STOP or START of a program was said
	Holders []Holder
}

// Holder is a patient who has an address now.
type Holder struct {
	Patient int64
	Address int64
}

// MessageFilter picks messages, by id upwards.
type MessageFilter struct {
	Patient   int64  // 0: any
	Reference string // "": any
	Open      bool   // only waiting ones
	After     int64
	Limit     int
	Newest    bool // newest first
}

// TaskFilter picks tasks: a crisis first, then by when they are due.
type TaskFilter struct {
	ID      int64 // one task; 0: any
	Kind    TaskKind
	Patient int64
	Done    bool // those that are done instead of the open ones
	// Assignee picks those of one person, Unassigned those of nobody.
	Assignee   string
	Unassigned bool
	DueBefore  time.Time // zero: whenever they are due
	After      int64     // the id of the last one of the page before
	Limit      int
}

// AuditRow is an entry of the audit log.
type AuditRow struct {
	ID    int64
	At    time.Time
	Actor string
	Audit
}

// Cache holds snapshots. It never fails: what it cannot give is a miss, and a
// miss never means consent.
type Cache interface {
	GetMany(ctx context.Context, patients []int64) map[int64]*preferences.Snapshot
	Put(ctx context.Context, list ...*preferences.Snapshot)
	Delete(ctx context.Context, patient int64)
}

// Pace bounds how much goes out.
type Pace interface {
	// Take gives as many of the wanted places as a sender has left now, of all replicas
	// together. An error: nothing may go.
	Take(ctx context.Context, sender string, perSecond, want int) (int, error)
}

// Sender is the name under which what one program sends on one channel is paced.
func Sender(p channels.Program, ch channels.Channel) string { return p.String() + "/" + ch.String() }
