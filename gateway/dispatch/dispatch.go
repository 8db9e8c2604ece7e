// Package dispatch takes one message from request to provider: accepted, decided,
// claimed under the fence, sent, and followed until its outcome is known.
package dispatch

import (
	"context"
	"maps"
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// Way is the adapter that carries a program's messages on a channel, and the most
// content that the agreement with its provider covers.
type Way struct {
	Adapter   channels.Adapter
	Provider  string // twilio, sendgrid or smtp, as the accounting of disclosures names it
	Agreement policy.Content
	// Receipts: the provider tells later whether a message arrived. A plain relay does not.
	Receipts bool
}

// WayOf picks the way of a program on a channel.
type WayOf struct {
	Program channels.Program
	Channel channels.Channel
}

// Dispatcher sends messages.
type Dispatcher struct {
	Store  gateway.Store
	Cache  gateway.Cache
	Fence  *gateway.Fence
	Policy *policy.Policy
	// Templates gives the texts in force; it is asked for every message anew.
	Templates func() *templates.Set
	Identity  templates.Identity
	Ways      map[WayOf]Way
	// Senders gives the number that a program's texts come from: what a look-up
	// compares. Empty with a messaging service.
	Senders  map[channels.Program]string
	Links    Links
	Calendar Calendar // nil: no calendar files
	Pace     gateway.Pace
	Zones    string // preferences.ZonesFingerprint: kept with every decision
	Now      func() time.Time
	NewID    func() int64
	Wake     func()              // something may be due, in any queue. It must not block
	WakeOne  func(gateway.Queue) // in one of them alone; nil: Wake tells it
	Ready    func() error        // why nothing may be claimed now, or nil
	Fault    func(error)         // hears of what went wrong beside a call; must hold no personal data

	Lease        time.Duration // the longest from claim to the end of the provider call
	LookupAfter  time.Duration // how long an unknown outcome waits for a receipt before it is looked up
	UnknownAfter time.Duration // how long an unknown outcome stays open
	ConfirmAfter time.Duration // how long an essential message may go without a receipt before a person looks

	calls [len(gateway.Queues)]calls
	waits waits // for a place of the pace
}

// wake tells that something may be due in a queue: the others are not looked at for it.
func (d *Dispatcher) wake(q gateway.Queue) {
	if d.WakeOne == nil {
		d.Wake()
		return
	}
	d.WakeOne(q)
}

// Links makes the signed links that a message carries. They say nothing about the
// person. The address is the one that the message goes to; 0: unknown.
type Links interface {
	Secure(message int64) string
	Preferences(patient, address int64) string
	Unsubscribe(patient, address int64, topic string) string
}

// way gives the way of a category's program on a channel.
func (d *Dispatcher) way(p channels.Program, c channels.Channel) (Way, bool) {
	w, ok := d.Ways[WayOf{p, c}]
	return w, ok && w.Adapter != nil
}

// snapshots reads what is known of patients: from the cache where it is there,
// else from the database. Fresh skips the cache.
func (d *Dispatcher) snapshots(ctx context.Context, patients []int64, fresh bool) (map[int64]known, error) {
	found, read, err := d.readMany(ctx, patients, fresh)
	if len(read) > 0 {
		d.Cache.Put(ctx, slices.Collect(maps.Values(read))...)
	}
	return found, err
}

// readMany is snapshots, and leaves it to the caller to keep in the cache what was read.
func (d *Dispatcher) readMany(ctx context.Context, patients []int64, fresh bool) (found map[int64]known, read map[int64]*preferences.Snapshot, err error) {
	found = make(map[int64]known, len(patients))
	var missing []int64
	var cached map[int64]*preferences.Snapshot
	if !fresh {
		cached = d.Cache.GetMany(ctx, patients)
	}
	for _, id := range patients {
		if s := cached[id]; s != nil {
			found[id] = known{s, "cache"}
		} else if _, asked := found[id]; !asked {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return found, nil, nil
	}
	if read, err = d.Store.Snapshots(ctx, missing); err != nil {
		return nil, nil, err
	}
	for id, s := range read {
		found[id] = known{s, "database"}
	}
	return found, read, nil
}

// known is a snapshot and where it came from.
type known struct {
	*preferences.Snapshot
	from string
}
