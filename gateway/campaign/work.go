package campaign

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
)

// Runner moves campaigns on. Any number of them, in any number of replicas, may work on
// the same campaign.
type Runner struct {
	Store Store
	Door  Door
	Fence *gateway.Fence
	Pace  gateway.Pace
	Now   func() time.Time
	NewID func() int64
	Ready func() error // why nothing may be claimed now, or nil
	Wake  func()
	Fault func(error) // hears of what went wrong beside a call; must hold no personal data

	// Offset lets each replica begin at another shard: any number, another one for each.
	Offset int
	homes  sync.Map // the number of the shard that each worker is at; as a rule nobody else is there

	Lease        time.Duration // the longest from claim to the end of the provider call
	LookupAfter  time.Duration // as the dispatcher has them
	UnknownAfter time.Duration
}

// Work claims and sends one part of one campaign, and says how much it moved. Worker
// tells those apart who work side by side: each begins at another shard, and the
// first looks after those who wait before all else.
func (r *Runner) Work(ctx context.Context, worker int) (int, error) {
	if ready := r.Ready() == nil; !ready {
		return 0, nil // a replica that may have missed a revocation claims nothing
	}
	list, err := r.Store.RunnableCampaigns(ctx, r.Now())
	if err != nil || len(list) == 0 {
		return 0, err
	}
	var errs []error
	for i := range list {
		n, err := r.advance(ctx, &list[(i+worker)%len(list)], worker)
		if n > 0 {
			return n, errors.Join(append(errs, err)...)
		}
		errs = append(errs, err)
	}
	return 0, errors.Join(errs...)
}

// advance does the next bit of one campaign. Two who take the same part lose one's work, so
// that a worker for whom there is no shard helps those who wait.
func (r *Runner) advance(ctx context.Context, c *gateway.Campaign, worker int) (int, error) {
	shards, err := r.Store.CampaignShards(ctx, c.ID)
	if err != nil {
		return 0, err
	}
	if worker == 0 || worker >= len(shards) {
		if n, err := r.waiting(ctx, c); n > 0 || err != nil {
			return n, err
		}
	}
	if worker < len(shards) {
		return r.shard(ctx, c, shards, worker)
	}
	if len(shards) > 0 {
		return 0, nil
	}
	done, err := r.Store.FinishCampaign(ctx, c.ID, r.Now())
	if done {
		return 1, err
	}
	return 0, err
}

func (r *Runner) waiting(ctx context.Context, c *gateway.Campaign) (int, error) {
	rows, err := r.Store.RecipientsWaiting(ctx, c.ID, r.Now(), r.size(c))
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	// Who waits may do so because what is held of them was behind: they are read anew.
	n, err := r.take(ctx, c, Lane{Waiting: true}, rows, true)
	if errors.Is(err, errOutrun) { // the campaign does not run any more
		return 0, nil
	}
	return n, err
}

// shard does the next part of the shard that a worker is at. Who finds somebody else there
// goes on to the next one.
func (r *Runner) shard(ctx context.Context, c *gateway.Campaign, shards []Shard, worker int) (int, error) {
	home, _ := r.homes.LoadOrStore(worker, r.Offset+worker*apart)
	s := nextShard(shards, home.(int)%MaxShards)
	r.homes.Store(worker, s.No)
	size := r.size(c)
	rows, err := r.Store.RecipientsAhead(ctx, c.ID, s, size)
	if err != nil {
		return 0, err
	}
	lane := Lane{Shard: s.No, From: s.Cursor, To: s.Last}
	if len(rows) == size {
		lane.To = rows[len(rows)-1].Pos
	}
	n, err := r.take(ctx, c, lane, rows, false)
	if errors.Is(err, errOutrun) {
		return r.moveOn(ctx, c, s, worker, len(rows))
	}
	return n, err
}

// moveOn sends a worker to the next shard, and says that it moved something where somebody
// else did: there is more to do at once. Where nobody did, nothing may be claimed now.
func (r *Runner) moveOn(ctx context.Context, c *gateway.Campaign, s Shard, worker, n int) (int, error) {
	r.homes.Store(worker, s.No+1)
	now, err := r.Store.CampaignShards(ctx, c.ID)
	if err != nil || slices.Contains(now, s) {
		return 0, err
	}
	return n, nil
}

const (
	// MaxShards is how many workers of all replicas can go ahead in one campaign.
	MaxShards = 16
	// apart is how far from each other a replica's workers begin.
	apart = 4
)

// nextShard is the first one from a number on, and after the last comes the first.
func nextShard(shards []Shard, from int) Shard {
	for _, s := range shards {
		if s.No >= from {
			return s
		}
	}
	return shards[0]
}

// errOutrun: somebody else moved the cursor meanwhile, or the campaign does not run any more.
var errOutrun = errors.New("another worker was quicker")

// size is how many recipients are judged at a time: as many as one claim takes, where
// nothing goes in letters.
func (r *Runner) size(c *gateway.Campaign) int {
	if len(c.Channels) > 0 && !slices.Contains(c.Channels, channels.Email) {
		return maxCalls
	}
	return channels.MaxBatch
}

// take judges recipients, claims them and sends what was claimed.
func (r *Runner) take(ctx context.Context, c *gateway.Campaign, lane Lane, rows []Recipient, fresh bool) (int, error) {
	list := make([]gateway.Candidate, len(rows))
	for i := range rows {
		list[i] = gateway.Candidate{Patient: rows[i].Patient, Message: rows[i].Message, Again: rows[i].Tries > 0}
		if list[i].Message == 0 {
			list[i].Message = r.NewID()
		}
	}
	judged, err := r.Door.Judge(ctx, c, list, fresh)
	if err != nil {
		return 0, err
	}
	grant, err := r.grant(ctx, c, judged)
	if err != nil {
		return 0, err
	}
	now := r.Now()
	claim := Claim{At: now, Campaign: c, Lane: lane}
	d := &draft{door: r.Door, newID: r.NewID, lease: now.Add(r.Lease), claim: &claim, open: map[alike]int{}, texts: map[alike]channels.Outgoing{}}
	d.plan(rows, judged, grant)
	if len(claim.Slices)+len(claim.Held)+len(claim.Later) == 0 && (lane.Waiting || claim.Lane.To <= lane.From) {
		return 0, nil // the pace has no place left
	}
	claimed, err := r.Store.ClaimSlices(ctx, claim)
	if err != nil {
		return 0, err
	}
	if claimed.Lost {
		return 0, errOutrun
	}
	for _, patient := range claimed.Stale {
		r.Door.Forget(ctx, patient)
	}
	return len(rows), r.sendAll(ctx, c, claim.Slices, claimed)
}

// grant asks the pace for places, before anything is claimed.
func (r *Runner) grant(ctx context.Context, c *gateway.Campaign, judged []gateway.Judged) (map[channels.Channel]int, error) {
	grant := map[channels.Channel]int{}
	for i := range judged {
		grant[judged[i].Pair.Channel] = 0
	}
	want := wanted(judged, r.calls)
	for i := range judged {
		j := &judged[i]
		n := want[j.Pair.Channel]
		if n == 0 {
			continue
		}
		delete(want, j.Pair.Channel)
		if c.Rate == 0 {
			grant[j.Pair.Channel] = n
			continue
		}
		got, err := r.Pace.Take(ctx, gateway.Sender(j.Program, j.Pair.Channel), c.Rate, min(n, c.Rate))
		if err != nil {
			return nil, fmt.Errorf("the pace of senders is not known, so nothing goes: %w", err)
		}
		grant[j.Pair.Channel] = got
	}
	return grant, nil
}

// calls says whether a channel's messages go one by one.
func (r *Runner) calls(p channels.Program, ch channels.Channel) bool {
	adapter, _ := r.Door.Carrier(p, ch)
	_, batch := adapter.(channels.BatchSender)
	return !batch
}

// Sweep takes back slices whose lease ran out, and gives up what was never heard of.
func (r *Runner) Sweep(ctx context.Context) (int, error) {
	if ready := r.Ready() == nil; !ready {
		return 0, nil
	}
	now := r.Now()
	// The claim was made by another gateway, whose clock may be behind ours.
	list, err := r.Store.AbandonedSlices(ctx, now.Add(-2*gateway.MaxSkew), sweepBatch)
	if err != nil {
		return 0, err
	}
	lost, err := r.Store.UnresolvedSlices(ctx, now.Add(-r.UnknownAfter), sweepBatch)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, o := range append(list, lost...) {
		errs = append(errs, r.settle(ctx, o, now))
	}
	if n := len(list) + len(lost); n > 0 {
		r.Wake()
		return n, errors.Join(errs...)
	}
	return 0, nil
}

// sweepBatch is how many slices one pass looks after.
const sweepBatch = 50

// leaseEnded is the code of what nobody ended in time.
const leaseEnded = "lease_ended"

// settle ends a slice that its own worker did not: surely unsent when it was never
// begun, else unknown until its events tell, and given up when none ever came.
func (r *Runner) settle(ctx context.Context, o Open, now time.Time) error {
	e := End{At: now, Campaign: o.Campaign, Slice: o.ID, Swept: true}
	switch {
	case o.Status == SliceClaimed:
		e.Status = SliceUnsent
		for _, i := range o.Items {
			e.Back = append(e.Back, Back{Open: i, Due: now, Code: leaseEnded})
		}
	case o.Status == SliceUnknown:
		e.Status = SliceGivenUp
	case o.Batch:
		e.Status = SliceUnknown
	default:
		return r.Store.ScatterSlice(ctx, o, now, now.Add(r.LookupAfter))
	}
	return r.Store.EndSlice(ctx, e)
}
