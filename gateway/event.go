package gateway

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// Happening is one thing that happened and that other systems are told of: an
// outgoing event. What leaves holds ids and codes, and nothing of anybody.
type Happening struct {
	ID       int64
	At       time.Time
	Type     EventType
	Patient  int64 // whom it concerns; 0: nobody, or not one alone. It never leaves in a payload
	Endpoint int64 // for this endpoint alone; 0: for every one that asked for the type
	Data     EventData
}

// EventType names what happened. Receivers rely on the names.
type EventType string

// The types beside those of messages, which are "message." and the new status.
const (
	PreferenceChanged EventType = "preference.changed"
	TaskOpened        EventType = "task.opened"
	TaskClosed        EventType = "task.closed"
	TaskOverdue       EventType = "task.overdue"
	ReplyReceived     EventType = "reply.received"
	ReplyUnderstood   EventType = "reply.understood" // what a person responded to one message
	Ping              EventType = "ping"             // a test: only to the endpoint that asked for it
)

// MessageMoved is the type for a message that came to a status.
func MessageMoved(to Status) EventType { return EventType("message." + statusNames[to]) }

// EventTypes lists every type that an endpoint can ask for.
func EventTypes() []EventType {
	var list []EventType
	for s := range Status(len(statusNames)) {
		list = append(list, MessageMoved(s))
	}
	return append(list, PreferenceChanged, TaskOpened, TaskClosed, TaskOverdue, ReplyReceived, ReplyUnderstood)
}

// EventData is what a payload says: our own ids, codes and versions.
type EventData struct {
	Event   string `json:"event"` // the id, as in the webhook-id header
	Message string `json:"message,omitempty"`
	Task    string `json:"task,omitempty"`
	Kind    string `json:"kind,omitempty"` // the kind of task
	Reply   string `json:"reply,omitempty"`
	Status  string `json:"status,omitempty"`
	Code    string `json:"code,omitempty"`
	Change  string `json:"change,omitempty"` // the kind of ledger event
	Version int64  `json:"version,omitempty"`
}

// Payload is the body that goes out, byte for byte the same each time.
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#payload-structure
func (h *Happening) Payload() ([]byte, error) {
	h.Data.Event = h.Name()
	return json.Marshal(struct {
		Type      EventType `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      EventData `json:"data"`
	}{h.Type, h.At.UTC(), h.Data})
}

// Name is the event's id as others see it.
func (h *Happening) Name() string { return strconv.FormatInt(h.ID, 10) }

// maxCode bounds what a provider may call its codes.
const maxCode = 64

// PlainCode passes a code on, and leaves out what is none: a provider's field that
// holds words could hold anything.
func PlainCode(code string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '.' || r == '-'
	}
	if len(code) > maxCode || slices.ContainsFunc([]rune(code), func(r rune) bool { return !plain(r) }) || longNumber(code) {
		return ""
	}
	return code
}

// longNumber: providers' codes have at most five digits in a row; seven or more are
// a phone number or somebody's record number.
func longNumber(code string) bool {
	run := 0
	for _, r := range code {
		if r < '0' || r > '9' {
			run = 0
		} else if run++; run >= 7 {
			return true
		}
	}
	return false
}

// Delivery is one event on its way to one endpoint.
type Delivery struct {
	ID       int64
	Event    int64
	Type     EventType
	Endpoint int64
	Status   DeliveryStatus
	Tries    int
	Code     string // what came of the last try
	Created  time.Time
	Due      time.Time // the next try
	Ended    time.Time // zero: not yet
}

// DeliveryStatus is how far a delivery got. Numbers stand in the database.
type DeliveryStatus uint8

// The statuses of a delivery.
const (
	DeliveryPending   DeliveryStatus = iota // waits until Due
	DeliveryQueued                          // a job has it, until Due at the longest
	DeliveryDelivered                       // answered with 2xx
	DeliveryDead                            // given up: the dead-letter list
)

var deliveryNames = [...]string{"pending", "queued", "delivered", "dead"}

// String gives the API's word.
func (s DeliveryStatus) String() string { return deliveryNames[s] }

// ParseDeliveryStatus reads the API's word; 0, false for none.
func ParseDeliveryStatus(word string) (DeliveryStatus, bool) {
	i := slices.Index(deliveryNames[:], word)
	return DeliveryStatus(max(i, 0)), i >= 0
}

// retryAfter is how long after each failed try the next one comes, as the standard
// proposes; the first comes at once, and after the last the delivery is dead.
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#deliverability-and-reliability
var retryAfter = [...]time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// RetryAfter gives the wait after a number of failed tries, and whether there is another try.
func RetryAfter(tries int) (time.Duration, bool) {
	if tries < 1 || tries > len(retryAfter) {
		return 0, false
	}
	return retryAfter[tries-1], true
}

// DeliveryFilter picks deliveries of an endpoint, by id upwards.
type DeliveryFilter struct {
	Endpoint int64
	Status   *DeliveryStatus // nil: any
	After    int64
	Limit    int
}

// Response is what a person responds to a message, by text or by key. It stands as an
// event of the message.
type Response string

// The responses.
const (
	Confirmed       Response = "confirmed"
	RescheduleAsked Response = "reschedule_asked"
	CallBackAsked   Response = "call_back_asked"
)

// Responses lists them.
var Responses = []Response{Confirmed, RescheduleAsked, CallBackAsked}
