package gateway

import "time"

// PageCode is a code that was sent so that somebody can show, on the preference
// page, that they read what comes to an address. A patient has one at most: a new one
// takes the place of the last. Only its digest is kept.
type PageCode struct {
	Patient int64
	Address int64
	Digest  []byte
	At      time.Time
}
