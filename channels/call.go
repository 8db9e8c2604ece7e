package channels

import "time"

// AnsweredBy says who took a call, as far as the provider can tell.
type AnsweredBy uint8

// Who takes a call. What is not known for sure is treated as a machine: a human
// script on an answering machine tells the message to whoever plays it.
const (
	NotSure AnsweredBy = iota
	Human
	Machine
	Fax
)

// Call is a provider's question in the middle of a call: what is to be said now?
type Call struct {
	ID         string // the provider's id of the call
	Attempt    int64  // ours, as it came back; 0 in a call that a person makes to us
	Inbound    bool   // a person calls one of our numbers
	From, To   string // E.164; From is "" when the caller hides the number
	AnsweredBy AnsweredBy
	Asked      int    // how often this call was asked for a key before
	Key        string // the key that was pressed after that; "" when none was
	At         time.Time
}

// Line is something said in one breath.
type Line struct {
	Language string // en or es
	Text     string
}

// Script is what is said in a call. The zero Script says nothing and hangs up.
type Script struct {
	Lines []Line
	// Ask asks for a key, for the first time with 1: a key counts from the first word
	// on, and for some seconds after the last. With 0 the call ends after the lines.
	Ask     int
	Attempt int64 // of the call; 0 in a call that a person makes to us
}

// Telephone is what an adapter that places calls can do besides: read the
// provider's questions, and write the answers in the provider's language.
type Telephone interface {
	// ReadCall gives ErrForged for a bad or missing signature.
	ReadCall(w Webhook, now time.Time) (Call, error)
	// Speak fails only for a script that the provider would not take.
	Speak(s Script) ([]byte, error)
}
