package sandbox

import (
	"net/http"
	"strings"
)

// manner is how an address fails.
type manner uint8

const (
	none    manner = iota // taken and delivered
	refuse                // an error answer at once; nothing is taken
	lose                  // the connection is closed before anything is taken
	drop                  // taken, then the connection is closed without an answer
	hang                  // taken, then no answer until the caller gives up
	perish                // taken and answered; fails later
	dislike               // taken and delivered; reported as spam later
)

// Failure is an address that fails on demand.
type Failure struct {
	Match   string // the last four digits of a phone number, or the part of a mailbox before @ (or before +)
	Does    string // what happens, for the page
	manner  manner
	status  int    // refuse: the HTTP status
	code    int    // Twilio's error code
	message string // the provider's words
	event   string // the final status or event of what is not delivered
	kind    string // perish: a bounce's type
	calls   bool   // a call to it goes well: only texts fail
	takes   Takes  // who takes a call; "": a person
	mute    bool   // no receipt is ever sent: only asking tells what became of it
}

// phoneFailures holds for texts and calls alike, where it says nothing else. The codes are Twilio's:
// https://www.twilio.com/docs/api/errors
var phoneFailures = [...]Failure{
	{Match: "0010", Does: "refused at once: the person opted out (21610)", manner: refuse, status: http.StatusBadRequest, code: 21610, message: "Attempt to send to unsubscribed recipient"},
	{Match: "0011", Does: "taken, fails later: the person opted out (21610), as with a messaging service", manner: perish, code: 21610, event: "failed"},
	{Match: "0012", Does: "refused at once: not a valid number (21211)", manner: refuse, status: http.StatusBadRequest, code: 21211, message: "Invalid 'To' Phone Number"},
	{Match: "0013", Does: "a landline: texts are refused at once (21614), calls are taken", calls: true, manner: refuse, status: http.StatusBadRequest, code: 21614, message: "'To' number is not a valid mobile number"},
	{Match: "0014", Does: "refused at once: too many requests (429, 20429) with Retry-After", manner: refuse, status: http.StatusTooManyRequests, code: 20429, message: "Too Many Requests"},
	{Match: "0015", Does: "server error (500, 20500); nothing is taken", manner: refuse, status: http.StatusInternalServerError, code: 20500, message: "Internal Server Error"},
	{Match: "0016", Does: "taken and delivered, but the connection closes without an answer", manner: drop},
	{Match: "0017", Does: "the connection closes before anything is taken", manner: lose},
	{Match: "0018", Does: "taken, undelivered later: handset unreachable (30003); nobody takes a call", manner: perish, code: 30003, event: "undelivered"},
	{Match: "0019", Does: "taken and delivered, but no answer comes until the caller gives up", manner: hang},
	{Match: "0020", Does: "taken and delivered, but the connection closes without an answer, and no receipt comes", manner: drop, mute: true},
	{Match: "0021", Does: "taken, undelivered later (30003), but the connection closes without an answer, and no receipt comes", manner: drop, code: 30003, event: "undelivered", mute: true},
	{Match: "0022", Does: "texts arrive; an answering machine takes a call", takes: TakesMachine},
	{Match: "0023", Does: "texts arrive; nobody takes a call (no-answer)", takes: TakesNobody},
	{Match: "0024", Does: "texts arrive; busy when called", takes: TakesBusy},
	{Match: "0025", Does: "texts arrive; nobody can tell who takes a call (unknown)", takes: TakesUnknown},
	{Match: "0026", Does: "texts arrive; a fax takes a call", takes: TakesFax},
}

var mailFailures = [...]Failure{
	{Match: "bounce", Does: "taken, bounces later", manner: perish, event: "bounce", kind: "bounce", message: "550 5.1.1 The email account that you tried to reach does not exist"},
	{Match: "blocked", Does: "taken, blocked later by the receiving server", manner: perish, event: "bounce", kind: "blocked", message: "550 5.7.1 Message rejected"},
	{Match: "suppressed", Does: "taken, dropped later: the provider remembers a bounce", manner: perish, event: "dropped", message: "Bounced Address"},
	{Match: "unsubscribed", Does: "taken, dropped later: the provider says that the person unsubscribed there", manner: perish, event: "dropped", message: "Unsubscribed Address"},
	{Match: "spam", Does: "delivered, then reported as spam", manner: dislike},
	{Match: "refused", Does: "refused at once (400): the whole request, whoever else is in it", manner: refuse, status: http.StatusBadRequest, message: "Does not contain a valid address."},
	{Match: "error500", Does: "server error (500); nothing is taken", manner: refuse, status: http.StatusInternalServerError, message: "Internal Server Error"},
	{Match: "429", Does: "refused at once: too many requests (429) with Retry-After", manner: refuse, status: http.StatusTooManyRequests, message: "too many requests"},
	{Match: "drop", Does: "taken and delivered, but the connection closes without an answer", manner: drop},
	{Match: "lose", Does: "the connection closes before anything is taken", manner: lose},
	{Match: "hang", Does: "taken and delivered, but no answer comes until the caller gives up", manner: hang},
}

// PhoneFailures lists the phone numbers that fail on demand, by last digits.
func PhoneFailures() []Failure { return append([]Failure(nil), phoneFailures[:]...) }

// MailFailures lists the mailboxes that fail on demand, by the part before @.
func MailFailures() []Failure { return append([]Failure(nil), mailFailures[:]...) }

// phoneFailure gives the failure of a number, or the zero Failure.
func phoneFailure(number string) Failure {
	for _, f := range phoneFailures {
		if strings.HasSuffix(number, f.Match) {
			return f
		}
	}
	return Failure{}
}

// mailFailure gives the failure of a mailbox, or the zero Failure.
func mailFailure(address string) Failure {
	local, _, _ := strings.Cut(address, "@")
	local, _, _ = strings.Cut(local, "+")
	for _, f := range mailFailures {
		if strings.EqualFold(local, f.Match) {
			return f
		}
	}
	return Failure{}
}

// hangUp closes the connection without a word.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		// No connection to take over (HTTP/2): net/http's own way to cut an answer.
		panic(http.ErrAbortHandler)
	}
	conn.Close()
}

// hold keeps a request waiting until its caller gives up or the sandbox closes.
func (s *Sandbox) hold(w http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.stop.Done():
	}
	hangUp(w)
}

// answer gives a request that was taken its answer, or none, and lets what
// follows begin. A receipt may overtake the answer, as it does on a real wire.
func (s *Sandbox) answer(w http.ResponseWriter, r *http.Request, f Failure, write, begin func()) {
	if f.manner == hang {
		begin() // the caller waits; the message does not
		s.hold(w, r)
		return
	}
	if f.manner == drop {
		hangUp(w)
	} else {
		write()
	}
	begin()
}
