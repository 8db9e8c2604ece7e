// Package gateway holds the life of a message: its states, the changes that one
// step wants kept, and the ports through which they are kept and read.
package gateway

import (
	"errors"
	"fmt"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// The errors that the ports return. Everything else is a fault.
var (
	ErrNotFound = errors.New("not found")
	ErrStale    = errors.New("the record has moved on since it was read")
	ErrErased   = errors.New("this patient was erased")
	ErrConflict = errors.New("the same idempotency key came with another body")
	ErrReplayed = errors.New("this idempotency key was used before: nothing was done again")
	ErrClosed   = errors.New("this task is done already; its first outcome stands")
)

// Status is where a message stands. Numbers stand in the database.
type Status uint8

// The statuses. From Sent on nothing is sent any more unless a fallback begins.
const (
	Waiting    Status = iota // scheduled or queued: Due tells which
	Sending                  // claimed under a lease
	Unknown                  // handed over, outcome not known yet
	Sent                     // taken by the provider
	Delivered                // confirmed
	Suppressed               // final: a rule said no
	NeedsStaff               // final: a person takes over
	Failed                   // final: the provider refused it for good
	Expired                  // final: its time had passed
	Canceled                 // final: taken back
)

var statusNames = [...]string{"scheduled", "sending", "unknown", "sent", "delivered", "suppressed", "needs_staff", "failed", "expired", "canceled"}

// Name gives the API's word at a moment: a waiting message is scheduled until it is due, then queued.
func (s Status) Name(due, now time.Time) string {
	if s == Waiting && !due.After(now) {
		return "queued"
	}
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// Queue keeps kinds of work apart, so that none starves another.
type Queue uint8

// The queues.
const (
	AnswerQueue   Queue = iota // what a patient just asked for or must hear now
	UrgentQueue                // urgent essential messages
	SingleQueue                // due at once
	ReminderQueue              // scheduled ahead
	CampaignQueue              // of a campaign, and looking for another way: what is sent first goes in slices
)

// Queues lists every queue.
var Queues = [...]Queue{AnswerQueue, UrgentQueue, SingleQueue, ReminderQueue, CampaignQueue}

// Message is one accepted request, or one answer to what a person just said.
type Message struct {
	ID        int64
	Patient   int64 // 0: an answer to a number that no patient has
	Queue     Queue
	Category  string // "" for an answer
	Template  string
	Essential bool
	Status    Status
	Due       time.Time
	Expires   time.Time // zero: never
	Attempts  int
	Lease     time.Time
	Reference string
	Created   time.Time
	Code      string // the rule, or the provider's code, that decided the status
	Body      Body
	Tries     []Attempt          // oldest first; only where the reader says so
	Last      *DecisionRecord    // the newest decision; only where the reader says so
	Events    []MessageEvent     // what was heard of it; only where the reader says so
	Failed    []preferences.Pair // pairs that a delivery failed on: fallback passes them over
	Campaign  int64              // 0: none
	// Withdrawn: its campaign was canceled, so that it does not go any more.
	Withdrawn bool
	Wording   string // digest of the text that was approved with its campaign; "": whatever is in force
	Rate      int    // the most a second that its campaign lets a sender send; 0: no bound
}

// Body is what a message says and how it may go: sealed at rest under the patient's key.
type Body struct {
	Variables map[string]string  `json:"variables,omitempty"`
	Channels  []channels.Channel `json:"channels,omitempty"`
	Urgent    bool               `json:"urgent,omitempty"`
	Override  string             `json:"override,omitempty"` // staff's written reason
	Actor     string             `json:"actor,omitempty"`
	Slot      string             `json:"slot,omitempty"` // which of the messages of its reference it is: a reminder's offset, or what it was asked with
	Answer    *Answer            `json:"answer,omitempty"`
}

// Answer is what makes a message an answer: it goes straight to the number that
// has just written, from the program it wrote to.
type Answer struct {
	To string `json:"to"`
	// Pair is set instead of To where it goes to an address on record and is no exception to
	// a stop: a code that somebody asked for on a page, a thank-you for a C or an R. It is
	// fenced like every message that is no answer.
	Pair    preferences.Pair `json:"pair,omitzero"`
	Program channels.Program `json:"program"`
	Locale  string           `json:"locale"`
	// Discreet: the practice is not named.
	Discreet bool `json:"discreet,omitempty"`
}

// AttemptStatus is how far one try got.
type AttemptStatus uint8

// The statuses of an attempt; it only moves down this list. Claimed without begun
// is surely unsent.
const (
	AttemptClaimed AttemptStatus = iota + 1
	AttemptBegun
	AttemptUnknown
	AttemptTaken
	AttemptDelivered
	AttemptFailed
	AttemptUnsent
)

var attemptNames = [...]string{"", "claimed", "begun", "unknown", "sent", "delivered", "failed", "unsent"}

// String gives the API's word.
func (s AttemptStatus) String() string { return attemptNames[s] }

// Attempt is one try to hand a message to a provider.
type Attempt struct {
	ID         int64 // rides in the callback URL and in custom_args
	Message    int64
	Number     int // 1 first
	Pair       preferences.Pair
	Version    int64 // of the snapshot it was fenced on
	Status     AttemptStatus
	ProviderID string
	Code       string
	At         time.Time
	Program    channels.Program
	Form       string // full, secure_link or call_back
	Discreet   bool
	Wording    string // digest of the text that went out; "": before this was kept
	Provider   string // who carried it; "": before this was kept
}

// MessageEvent is one thing that was heard of a message.
type MessageEvent struct {
	At     time.Time
	Kind   string // sent, delivered, failed, deferred, looked_up, …
	Code   string
	Detail string
}

// NewsWord is the kind of event for a provider's news of a message.
func NewsWord(s channels.DeliveryStatus) string {
	return [...]string{"heard", "accepted", "on_its_way", "delivered", "failed"}[s]
}

// DecisionRecord is a decision as kept: enough to explain and to replay it.
type DecisionRecord struct {
	ID      int64
	Message int64
	Patient int64 // whose key seals the body
	At      time.Time
	Outcome string
	Code    string
	Body    []byte // JSON of the decision and of the question it answers; nil once the patient is erased
	// Asked is the question, where a campaign asked it of many; then Body holds this
	// person's facts alone, and the way that was chosen stands here.
	Asked    []byte
	Pair     preferences.Pair
	Form     string
	Discreet bool
}
