package channels

import "context"

// MaxBatch is how many people one letter goes to at most.
const MaxBatch = 250

// Letter is one text for many people: nobody sees another, and each gets what is
// theirs alone.
type Letter struct {
	Program Program
	Subject string
	Text    string
	HTML    string
	Bulk    bool // as in Outgoing
	People  []Person
}

// Person is one of those to whom a letter goes. An address stands once in a letter.
type Person struct {
	Attempt int64             // as in Outgoing
	To      string            // a mailbox
	Headers map[string]string // List-Unsubscribe and its like
	Fill    map[string]string // what takes the place of each mark in the text
}

// BatchSender is an adapter that hands a letter over in one request: it is taken for
// everybody in it, or for nobody.
type BatchSender interface {
	// SendBatch never repeats the request by itself. Every error is a *SendError; one that
	// is about a person (AddressIsBad, TryNever) does not say about whom.
	SendBatch(ctx context.Context, l Letter) (Receipt, error)
}
