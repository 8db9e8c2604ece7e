package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/campaign"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/gateway/jobs"
	"harmonize.care/heed/gateway/observe"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/cache"
	"harmonize.care/heed/preferences/link"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

var crowdSize = flag.Int("campaign.people", 1500, "people in the audience of the campaigns' fence test")

// workday is a clock that shows a Tuesday, 11:00 in Denver, and goes on from there.
func workday() func() time.Time {
	offset := time.Until(time.Date(2027, 3, 9, 18, 0, 0, 0, time.UTC))
	return func() time.Time { return time.Now().Add(offset) }
}

// post is a provider of mail and texts that takes its time, and whose answers may be lost.
type post struct {
	now     func() time.Time
	dies    func(label string) bool
	forever <-chan struct{} // closed when the test ends

	mu      sync.Mutex
	arrived map[string][]time.Time // by address
	largest int
}

func (p *post) takes(addresses ...string) {
	<-time.After(time.Duration(rand.Int64N(int64(8 * time.Millisecond))))
	p.mu.Lock()
	for _, to := range addresses {
		p.arrived[to] = append(p.arrived[to], p.now())
	}
	p.largest = max(p.largest, len(addresses))
	p.mu.Unlock()
	if p.dies("in mid-POST") {
		<-p.forever
	}
}

func (p *post) Send(_ context.Context, m channels.Outgoing) (channels.Receipt, error) {
	if strings.Contains(m.Text, "New groups") { // not the confirmation of a stop
		p.takes(m.To)
	}
	return channels.Receipt{ProviderID: fmt.Sprintf("SM%032x", m.Attempt)}, nil
}

// letters is a post that takes letters.
type letters struct{ *post }

func (p letters) SendBatch(_ context.Context, l channels.Letter) (channels.Receipt, error) {
	var to []string
	for _, who := range l.People {
		to = append(to, who.To)
	}
	p.takes(to...)
	return channels.Receipt{ProviderID: fmt.Sprintf("M%x", l.People[0].Attempt)}, nil
}

// mortal is a store whose worker may die after each step; and which tells who is being claimed.
type mortal struct {
	*store.DB
	dies  func(label string) bool
	shoot func(patient int64) bool
	stale *atomic.Int64
}

var errDied = errors.New("the worker died")

func (m *mortal) ClaimSlices(ctx context.Context, c campaign.Claim) (campaign.Claimed, error) {
	shot := map[int64]int64{}
	for _, s := range c.Slices {
		for _, i := range s.Items {
			if m.shoot(i.Patient) {
				shot[i.Patient] = i.Version
			}
		}
	}
	if m.stale.Load() < enoughStale {
		m.outrun(ctx, shot)
	}
	got, err := m.DB.ClaimSlices(ctx, c)
	m.stale.Add(int64(len(got.Stale)))
	if err == nil && len(c.Slices) > 0 && m.dies("after claim") {
		err = errDied
	}
	return got, err
}

// enoughStale is after how many claims that were outrun none is held up any more for another.
const enoughStale = 20

// outrun waits a moment for one of those who were judged on these versions to move on. The
// others run with the claim: some are quicker, and some are not.
func (m *mortal) outrun(ctx context.Context, judged map[int64]int64) {
	ids := slices.Collect(maps.Keys(judged))
	for end := time.Now().Add(2500 * time.Millisecond); len(ids) > 0 && time.Now().Before(end); pause(ctx) {
		now, err := m.DB.Snapshots(ctx, ids)
		if err != nil {
			return
		}
		for patient, s := range now {
			if s.Version != judged[patient] {
				return
			}
		}
	}
}

func (m *mortal) BeginSlice(ctx context.Context, slice int64, now time.Time) (bool, error) {
	ok, err := m.DB.BeginSlice(ctx, slice, now)
	if err == nil && m.dies("after the begun mark") {
		err = errDied
	}
	return ok, err
}

func (m *mortal) EndSlice(ctx context.Context, e campaign.End) error {
	if e.Status == campaign.SliceSent && m.dies("after POST before record") {
		return errDied
	}
	return m.DB.EndSlice(ctx, e)
}

// troupe is several replicas that work on the same campaigns.
type troupe struct {
	*testing.T
	now      func() time.Time
	ids      *gateway.IDs
	policy   *policy.Policy
	post     *post
	lease    time.Duration
	dies     func(label string) bool
	replicas []*player
	patients []int64
	boxes    map[int64]string
	numbers  map[int64]string
	targets  chan int64
	stale    atomic.Int64 // claims of one person that were refused

	mu    sync.Mutex
	shot  map[int64]bool
	acked map[string]time.Time // by address
}

type player struct {
	db         *store.DB
	intake     *intake.Service
	dispatcher *dispatch.Dispatcher
	runner     *campaign.Runner
}

func newTroupe(t *testing.T, database string, replicas int, lease time.Duration, dies func(string) bool) *troupe {
	t.Helper()
	p, err := policy.New(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	now, forever := workday(), make(chan struct{})
	f := &troupe{
		T: t, now: now, ids: &gateway.IDs{Now: now, Rand: random}, policy: p, lease: lease, dies: dies,
		post:  &post{now: now, dies: dies, forever: forever, arrived: map[string][]time.Time{}},
		boxes: map[int64]string{}, numbers: map[int64]string{}, targets: make(chan int64, 10000), shot: map[int64]bool{}, acked: map[string]time.Time{},
	}
	for range replicas {
		f.replicas = append(f.replicas, f.join(database))
	}
	t.Cleanup(func() { close(forever) })
	return f
}

func (f *troupe) join(database string) *player {
	f.Helper()
	db, err := store.Open(context.Background(), store.Options{URL: database, Secret: []byte(strings.Repeat("s", 32)), Now: f.now, NewID: f.ids.New})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	links, err := link.New("http://127.0.0.1", []byte(strings.Repeat("l", 32)))
	if err != nil {
		f.Fatal(err)
	}
	// Each replica's cache lost its writes: it gives old snapshots again and again.
	poisoned := &poison{Cache: cache.NewMemory(100_000, time.Minute), olds: map[int64]*preferences.Snapshot{}}
	fence := &gateway.Fence{Store: db, Now: f.now, Lease: f.lease, Pause: pause}
	db.Listen(fence.Revoke)
	eventually(f, "the listener is there", func() bool { return db.Hearing() == nil })
	r := &player{db: db}
	r.intake = &intake.Service{Store: db, Cache: poisoned, Fence: fence, Policy: f.policy, Now: f.now, NewID: f.ids.New, Wake: func() {}}
	ways := map[dispatch.WayOf]dispatch.Way{
		{Program: channels.Marketing, Channel: channels.SMS}:   {Adapter: f.post, Agreement: policy.Clinical},
		{Program: channels.Marketing, Channel: channels.Email}: {Adapter: letters{f.post}, Agreement: policy.Clinical},
	}
	identity := templates.Identity{Name: "Cedar Practice", DiscreetName: "Your provider", Phone: "+18885550100", PostalAddress: "1 Main St", TimeZone: "America/Denver"}
	r.dispatcher = &dispatch.Dispatcher{
		Store: db, Cache: poisoned, Fence: fence, Policy: f.policy, Templates: templates.Builtin, Identity: identity, Ways: ways, Links: links, Now: f.now, NewID: f.ids.New,
		Wake: func() {}, Ready: db.Hearing, Fault: func(err error) { f.Error(err) }, Lease: f.lease, LookupAfter: 100 * time.Millisecond, UnknownAfter: 4 * f.lease,
	}
	r.runner = &campaign.Runner{
		Store: &mortal{DB: db, dies: f.dies, shoot: f.shoot, stale: &f.stale}, Door: r.dispatcher, Fence: fence, Pace: jobs.NewPace(nil, time.Now), Now: f.now, NewID: f.ids.New,
		Ready: db.Hearing, Wake: func() {}, Fault: func(err error) { f.Error(err) }, Offset: 5 * len(f.replicas), Lease: f.lease, LookupAfter: 100 * time.Millisecond, UnknownAfter: 4 * f.lease,
	}
	return r
}

func (f *troupe) enrol(n int) {
	f.Helper()
	denver := []string{"America/Denver"}
	for len(f.patients) < n {
		c := gateway.Change{At: f.now(), Actor: "test"}
		for range min(200, n-len(f.patients)) {
			patient, box, phone, i := f.ids.New(), f.ids.New(), f.ids.New(), len(f.patients)
			f.patients = append(f.patients, patient)
			f.boxes[patient], f.numbers[patient] = fmt.Sprintf("p%d@patients.example", i), fmt.Sprintf("+1303%07d", 2_000_000+i)
			at := f.now().UnixMicro()
			c.Patients = append(c.Patients, gateway.PatientFact{
				Patient: patient, Ref: fmt.Sprintf("p%d", i), Record: &gateway.Record{BirthDate: "1980-04-02"},
				Texts: []gateway.AddressText{{ID: box, Kind: channels.Mailbox, Value: f.boxes[patient]}, {ID: phone, Kind: channels.Phone, Value: f.numbers[patient]}},
				Events: []preferences.Event{
					{ID: f.ids.New(), Kind: preferences.ContactSet, At: at, Contact: &preferences.Contact{
						BirthDate: preferences.Date{Year: 1980, Month: 4, Day: 2}, Zones: denver,
						Addresses: []preferences.ContactAddress{{ID: box, Kind: channels.Mailbox, Rank: 1}, {ID: phone, Kind: channels.Phone, Rank: 1, Zones: denver}},
					}},
					{ID: f.ids.New(), Kind: preferences.ChoiceMade, At: at, Said: at, Choice: &preferences.Choice{Topic: "marketing", Channel: channels.SMS, In: true, Consent: preferences.Written}},
				},
			})
		}
		if _, err := f.replicas[0].db.Commit(context.Background(), c); err != nil {
			f.Fatal(err)
		}
	}
}

// campaign makes a running campaign for everybody.
func (f *troupe) campaign(ch channels.Channel) int64 {
	f.Helper()
	ctx, db := context.Background(), f.replicas[0].db
	c := gateway.Campaign{
		ID: f.ids.New(), Name: "x", Category: "marketing", Template: "marketing", Channels: []channels.Channel{ch}, Created: f.now(), Revision: 1,
		Variables: map[string]string{"title": "Autumn", "text": "New groups begin in October."},
	}
	change := gateway.Change{At: f.now(), Actor: "test"}
	if _, err := db.AddCampaign(ctx, change, c); err != nil {
		f.Fatal(err)
	}
	for from := 0; from < len(f.patients); from += 1000 {
		var rows []campaign.Recipient
		for i := from; i < min(from+1000, len(f.patients)); i++ {
			rows = append(rows, campaign.Recipient{Pos: int64(i + 1), Patient: f.patients[i]})
		}
		if _, err := db.AddRecipients(ctx, change, c.ID, gateway.Person{}, rows); err != nil {
			f.Fatal(err)
		}
	}
	for _, s := range []gateway.CampaignStatus{gateway.CampaignApproved, gateway.CampaignRunning} {
		if _, err := db.ChangeCampaign(ctx, change, c.ID, func(c *gateway.Campaign) error { c.Status = s; return nil }); err != nil {
			f.Fatal(err)
		}
	}
	return c.ID
}

// shoot picks one in fifteen of those who are just being claimed, and says whether it did.
func (f *troupe) shoot(patient int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.targets == nil || f.shot[patient] || rand.IntN(15) > 0 {
		return false
	}
	select {
	case f.targets <- patient:
		f.shot[patient] = true
		return true
	default:
		return false
	}
}

// refuse lets people who are shot at refuse: by a spam report, or by STOP, at a replica.
func (f *troupe) refuse(ctx context.Context, r *player, by channels.Channel) {
	for {
		select {
		case <-ctx.Done():
			return
		case patient := <-f.targets:
			address, id := f.boxes[patient], fmt.Sprintf("E%d", f.ids.New())
			var err error
			// A refusal that has begun is carried to its end, whatever the test does meanwhile.
			if by == channels.Email {
				err = r.dispatcher.Delivery(context.WithoutCancel(ctx), "sendgrid", channels.Delivery{EventID: id, To: address, SpamReport: true, At: f.now()})
			} else {
				address = f.numbers[patient]
				err = r.intake.Text(context.WithoutCancel(ctx), "twilio", channels.Inbound{ID: id, From: address, To: "+18885550101", Body: "STOP", At: f.now()})
			}
			at := f.now()
			if err != nil {
				f.Error(err)
				return
			}
			f.mu.Lock()
			f.acked[address] = at
			f.mu.Unlock()
		}
	}
}

// work lets every replica work until the campaign is over, and what is under way has ended.
func (f *troupe) work(id int64, by channels.Channel, until time.Duration) {
	f.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, r := range f.replicas {
		for range 4 {
			running.Go(func() { f.refuse(ctx, r, by) })
		}
		loop := func(name string, every time.Duration, work func(context.Context) (int, error)) {
			l := jobs.Loop{Name: name, Interval: every, Log: observe.NewLog(io.Discard, nil), Work: func(ctx context.Context) (int, error) {
				n, err := work(ctx)
				if errors.Is(err, errDied) {
					return 1, nil // another one takes its place
				}
				if err != nil && ctx.Err() == nil {
					f.Errorf("%s: %v", name, err)
				}
				return n, err
			}}
			go l.Run(ctx) // one that died in mid-POST never comes back
		}
		for worker := range 4 {
			for range 3 { // two of each may die for good
				loop("campaigns", 10*time.Millisecond, func(ctx context.Context) (int, error) { return r.runner.Work(ctx, worker) })
			}
		}
		loop("sweep", 100*time.Millisecond, r.runner.Sweep)
		loop("queue", 20*time.Millisecond, func(ctx context.Context) (int, error) { return r.dispatcher.Work(ctx, gateway.CampaignQueue) })
		loop("message sweep", 100*time.Millisecond, r.dispatcher.Sweep)
		loop("resolve", 100*time.Millisecond, r.dispatcher.Resolve)
	}
	defer func() {
		if tallies, err := f.replicas[0].db.Tallies(context.Background(), id); f.Failed() {
			f.Logf("%+v %v", tallies, err)
		}
	}()
	defer cancel()
	eventuallyUntil(f, time.Now().Add(until), "the campaign is over", func() bool {
		c, err := f.replicas[0].db.Campaign(ctx, id)
		if err != nil {
			f.Fatal(err)
		}
		return c.Status == gateway.CampaignCompleted && len(f.targets) == 0
	})
	cancel()
	running.Wait()
	for _, r := range f.replicas {
		r.dispatcher.Drain()
	}
}

// judge counts what arrived, by person.
func (f *troupe) judge(address map[int64]string) (arrived, late, lost, repeated int) {
	f.post.mu.Lock()
	defer f.post.mu.Unlock()
	for _, patient := range f.patients {
		to := address[patient]
		times := f.post.arrived[to]
		at, refused := f.acked[to]
		arrived += min(1, len(times))
		if len(times) > 1 {
			repeated++
		}
		if len(times) == 0 && !refused {
			lost++
		}
		for _, t := range times {
			if refused && t.After(at) {
				late++
			}
		}
	}
	return arrived, late, lost, repeated
}

// TestFenceHoldsForCampaigns lets three replicas send letters and texts while people refuse
// just when they are claimed: nothing reaches anybody after their refusal was
// acknowledged, nothing is lost, and nothing repeated.
func TestFenceHoldsForCampaigns(t *testing.T) {
	for _, ch := range []channels.Channel{channels.Email, channels.SMS} {
		t.Run(ch.String(), func(t *testing.T) {
			f := newTroupe(t, emptyPostgres(t), 3, 5*time.Second, func(string) bool { return false })
			f.enrol(*crowdSize)
			address := f.boxes
			if ch == channels.SMS {
				address = f.numbers
			}
			id := f.campaign(ch)
			f.work(id, ch, 4*time.Minute)
			arrived, late, lost, repeated := f.judge(address)
			t.Logf("%d people, %d refused, %d claims refused as stale, %d got it, %d after their refusal was acknowledged, %d lost, %d twice; the largest letter went to %d",
				len(f.patients), len(f.acked), f.stale.Load(), arrived, late, lost, repeated, f.post.largest)
			if late+lost+repeated > 0 {
				t.Error("the fence does not hold")
			}
			if len(f.acked) < *crowdSize/30 || f.stale.Load() == 0 {
				t.Error("nobody refused in time: it proves nothing")
			}
		})
	}
}

// TestACampaignWhoseWorkersDie lets workers die at every point: what was surely not sent is
// sent once, what may have been is never sent again, and everybody ends with an outcome.
func TestACampaignWhoseWorkersDie(t *testing.T) {
	for _, ch := range []channels.Channel{channels.Email, channels.SMS} {
		t.Run(ch.String(), func(t *testing.T) {
			t.Parallel() // most of it is waiting for leases to end
			var mu sync.Mutex
			deaths := map[string]int{}
			dies := func(label string) bool {
				mu.Lock()
				defer mu.Unlock()
				// Six slices of letters: what dies after the begun mark or in mid-POST is not tried
				// again, and some must come to be told and recorded.
				if n := deaths[label]; n == 2 || n > 0 && rand.IntN(3) > 0 {
					return false
				}
				deaths[label]++
				return true
			}
			f := newTroupe(t, "sqlite:"+filepath.Join(t.TempDir(), "heed.db"), 1, 4*time.Second, dies)
			f.targets = nil
			f.enrol(1500)
			address := f.boxes
			if ch == channels.SMS {
				address = f.numbers
			}
			id := f.campaign(ch)
			f.work(id, ch, 2*time.Minute)
			arrived, _, lost, repeated := f.judge(address)
			tallies, err := f.replicas[0].db.Tallies(context.Background(), id)
			if err != nil {
				t.Fatal(err)
			}
			sent, unheard := 0, 0
			for _, tally := range tallies {
				switch {
				case tally.Status == gateway.Sent:
					sent += int(tally.Count)
				case tally.Status == gateway.Failed && tally.Code == "outcome_unknown":
					unheard += int(tally.Count)
				default:
					t.Errorf("%+v", tally)
				}
			}
			t.Logf("deaths: %v. %d arrived; on record %d were sent, %d may have been", deaths, arrived, sent, unheard)
			if repeated > 0 || sent+unheard != 1500 || lost > unheard || sent > arrived {
				t.Errorf("%d twice, %d lost", repeated, lost)
			}
			if len(deaths) < 4 {
				t.Error("not enough of them died: it proves nothing")
			}
		})
	}
}
