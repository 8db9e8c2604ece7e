// Package campaign sends one non-essential text to an audience, slice by slice,
// through the same door as every other message: each recipient is decided on the
// snapshot of the moment and claimed under the fence.
//
// Recipients are rows. A cursor for each shard of the audience moves in the
// transaction that claims a slice, so that nobody is passed over and nobody is
// claimed twice, whoever is killed when. Who cannot go yet waits inside the campaign
// and is claimed from there.
package campaign

import (
	"context"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// Store keeps campaigns and their slices. Errors: gateway.ErrNotFound.
type Store interface {
	// RunnableCampaigns lists the campaigns that may send now.
	RunnableCampaigns(ctx context.Context, now time.Time) ([]gateway.Campaign, error)
	// CampaignShards lists the parts of the audience that are not at their end.
	CampaignShards(ctx context.Context, campaign int64) ([]Shard, error)
	// RecipientsAhead gives the next recipients of a shard, by position.
	RecipientsAhead(ctx context.Context, campaign int64, s Shard, limit int) ([]Recipient, error)
	// RecipientsWaiting gives recipients whose turn has come, the longest due first.
	RecipientsWaiting(ctx context.Context, campaign int64, now time.Time, limit int) ([]Recipient, error)
	// ClaimSlices keeps what was decided of a part of the audience, under the fence, or nothing
	// at all (Lost). Recipients may be refused by themselves: they wait.
	ClaimSlices(ctx context.Context, c Claim) (Claimed, error)
	// BeginSlice marks a slice as begun, durably; false when it is no longer ours.
	BeginSlice(ctx context.Context, slice int64, now time.Time) (bool, error)
	// EndSlice keeps what came of a slice.
	EndSlice(ctx context.Context, e End) error
	// AbandonedSlices lists slices that were never ended, with a lease before a moment.
	AbandonedSlices(ctx context.Context, before time.Time, limit int) ([]Open, error)
	// UnresolvedSlices lists letters whose outcome is not known, claimed before a moment.
	UnresolvedSlices(ctx context.Context, before time.Time, limit int) ([]Open, error)
	// ScatterSlice makes the messages of a slice of calls such that each is looked up by itself.
	ScatterSlice(ctx context.Context, o Open, now, ask time.Time) error
	// FinishCampaign ends a campaign in which nothing is left to do, and says whether it did.
	FinishCampaign(ctx context.Context, campaign int64, now time.Time) (bool, error)
}

// Shard is a part of an audience: positions after Cursor up to Last are still ahead.
type Shard struct {
	No     int
	Cursor int64
	Last   int64
}

// Recipient is somebody in an audience.
type Recipient struct {
	Pos     int64
	Patient int64
	Message int64 // 0: none yet
	Tries   int   // how often they were claimed
	Split   int   // how often a letter with them in it was refused: the next one goes to fewer
}

// Claim is what was decided of a part of an audience: kept in one transaction.
type Claim struct {
	At       time.Time
	Campaign *gateway.Campaign
	Lane     Lane
	Slices   []Slice
	Held     []Held
	Later    []Later
	Minors   []gateway.Task // for whoever removes the records of minors among those held back
}

// Lane says where the recipients come from. In a shard, the cursor moves From To, and the
// whole claim is lost when it does not stand there any more.
type Lane struct {
	Waiting bool // those who wait; each is locked, and passed over when somebody else has it
	Shard   int
	From    int64
	To      int64
}

// Slice is one claim of many: a letter in one request, or calls one by one. Its lease,
// begun mark and provider's answer stand here once, and not on every message.
type Slice struct {
	ID      int64
	Channel channels.Channel
	Program channels.Program
	Batch   bool
	Lease   time.Time
	// What everybody in it gets alike.
	Provider string
	Form     string
	Discreet bool
	Wording  string // digest of the text
	Asked    []byte // gateway.Judged
	Items    []Item

	letter channels.Letter // Batch
}

// Item is one recipient of a slice.
type Item struct {
	Pos      int64
	Patient  int64
	Message  int64
	Attempt  int64
	Number   int // of the try: 1 first
	Pair     preferences.Pair
	Version  int64
	NotAfter time.Time
	Form     string
	Discreet bool
	Cap      *gateway.Cap
	Facts    []byte                  // of the first try
	Decision *gateway.DecisionRecord // of every other one

	person channels.Person   // of a letter
	out    channels.Outgoing // of a call
}

// Held is a recipient whom a rule held back: only the code is kept.
type Held struct {
	Pos     int64
	Patient int64
	Version int64 // 0: not judged on a snapshot
	Code    string
	Message int64 // the message of somebody who was claimed before, and surely not sent to; 0: none
}

// Later is a recipient who waits.
type Later struct {
	Pos     int64
	Patient int64
	Version int64
	Code    string
	Until   time.Time
}

// Claimed is what a claim came to.
type Claimed struct {
	Lost    bool             // the cursor has moved, or the campaign does not run: nothing was kept
	Gone    map[int64]bool   // by position: not claimed after all
	Stale   []int64          // patients who moved on
	Address map[int64]string // by address id: where the claimed ones go
}

// SliceStatus is how far a slice got. Numbers stand in the database.
type SliceStatus uint8

// The statuses of a slice.
const (
	SliceClaimed SliceStatus = iota + 1 // surely not sent yet
	SliceBegun                          // the provider may have it
	SliceSent                           // taken
	SliceUnknown                        // no answer: events tell
	SliceGivenUp                        // nothing was ever heard
	SliceUnsent                         // surely not sent
)

// End is what came of a slice.
type End struct {
	At         time.Time
	Campaign   int64
	Slice      int64
	Status     SliceStatus
	Swept      bool // by the sweep, and not by whoever claimed it
	ProviderID string
	Taken      []Taken // calls that were taken
	Back       []Back  // surely not sent: they wait, and are claimed again
	// Adrift are calls of which nothing could be kept: each is looked up by itself, from
	// Ask on.
	Adrift  []OpenItem
	Ask     time.Time
	Hold    time.Time
	Trouble int // of the campaign from here on
}

// Taken is one call that a provider took.
type Taken struct {
	Open       OpenItem
	ProviderID string
}

// Back is a recipient who surely did not get it.
type Back struct {
	Open  OpenItem
	Due   time.Time
	Code  string
	Split bool
}

// Open is a slice as it is kept.
type Open struct {
	ID       int64
	Campaign int64
	Status   SliceStatus
	Batch    bool
	Channel  channels.Channel
	Program  channels.Program
	At       time.Time
	Provider string
	Form     string
	Discreet bool
	Wording  string
	Asked    []byte
	Items    []OpenItem
}

// OpenItem is one recipient of a slice as it is kept.
type OpenItem struct {
	Message int64
	Attempt int64
	Number  int
	Pos     int64
	Patient int64
	Address int64
	Version int64
}

// Open is the item as it is kept.
func (i *Item) Open() OpenItem {
	return OpenItem{i.Message, i.Attempt, i.Number, i.Pos, i.Patient, i.Pair.Address, i.Version}
}

// Door is the way to the providers that every message takes.
type Door interface {
	Judge(ctx context.Context, c *gateway.Campaign, list []gateway.Candidate, fresh bool) ([]gateway.Judged, error)
	Screen(ctx context.Context, c *gateway.Campaign, list []gateway.Candidate) ([]gateway.Judged, error)
	// Carrier gives the adapter of a program on a channel, and its provider's name; nil: none.
	Carrier(p channels.Program, ch channels.Channel) (channels.Adapter, string)
	Forget(ctx context.Context, patient int64)
	Write(c *gateway.Campaign, j *gateway.Judged) (channels.Outgoing, error)
	Letter(c *gateway.Campaign, j *gateway.Judged) (channels.Letter, error)
	Addressed(c *gateway.Campaign, j *gateway.Judged, attempt int64) channels.Person
	Failed(ctx context.Context, c *gateway.Campaign, a gateway.Attempt, patient int64, to string, e *channels.SendError) error
}
