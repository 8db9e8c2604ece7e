package gateway

import "time"

// CopyTaken is the audit log's verb for a copy of everything that is kept of a patient.
const CopyTaken = "patient.export"

// DisclosureYears is how far back an accounting of disclosures reaches: 45 CFR
// 164.528(a)(1).
const DisclosureYears = 6

// Disclosure is one time that something of a patient left the gateway: a try that was
// handed to a provider, or a copy that somebody took.
type Disclosure struct {
	ID int64
	At time.Time
	// Attempt is what was handed over; nil: a copy was taken. A try that surely never
	// reached a provider is none.
	Attempt  *Attempt
	Category string // "" of an answer
	Template string
	To       string // where the message went; "" of somebody erased
	TakenBy  string // of a copy: the caller, as the audit log names them
}
