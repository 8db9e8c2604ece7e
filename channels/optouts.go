package channels

import (
	"context"
	"time"
)

// OptOut is one entry of a list that a provider keeps of who opted out.
type OptOut struct {
	Address string
	Sender  string    // whose messages are refused: one of our numbers or messaging services; "" where a list has one sender
	Off     bool      // takes it off the list: the person asked for messages again, with proof
	Said    time.Time // when the person said it; zero: not known
}

// OptOutKeeper is an adapter whose provider keeps a list of opt-outs of its own. The
// list is a second lock behind ours: nothing here waits for it.
type OptOutKeeper interface {
	// Keep brings entries to the list, or takes them off; doing it twice changes nothing.
	// Entries that were refused by themselves are told by their place. An error says that
	// nothing is known of any of them; it is a *SendError, as are those.
	Keep(ctx context.Context, entries []OptOut) (refused map[int]*SendError, err error)
}

// OptOutReader is an OptOutKeeper whose list can be read.
type OptOutReader interface {
	// OptedOut lists every address on the list: all of them, or an error.
	OptedOut(ctx context.Context) ([]string, error)
}
