package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences/cache"
	"harmonize.care/heed/preferences/policy"
)

// How an audience is screened, and the bare reads of the same keys likewise: so many at a
// time, so many side by side.
const screenBatch = 1000

func screenWorkers() int { return 2 * runtime.GOMAXPROCS(0) }

// screening decides for an audience whose snapshots are in the cache: read, held to be ours,
// decoded and screened. These people are in the cache alone, under ids below 0, which no
// patient has.
func (b *bench) screening(ctx context.Context) error {
	audience, err := b.inCache(ctx)
	if err != nil {
		return err
	}
	f := figure{Name: "screening", What: fmt.Sprintf("screening an audience of %s from the cache in this process", short(float64(b.scale.Size))), Unit: "patients/s"}
	if b.redis != nil {
		f.What, f.Of, f.Aim = fmt.Sprintf("screening an audience of %s from Redis", short(float64(b.scale.Size))), "mget", &goal{AtLeast: 1_000_000, Ratio: 0.7}
	}
	for range b.scale.Runs {
		if b.redis != nil {
			if err := b.bareReads(ctx, b.redis.Client(), audience); err != nil {
				return err
			}
		}
		rate, took, err := b.sweepOver(ctx, audience, b.screenPart)
		if err != nil {
			return err
		}
		b.figure(f).addSpent(rate, took, b.scale.Size)
		if rate, took, err = b.sweepOver(ctx, audience, b.askDoor); err != nil {
			return err
		}
		b.figure(figure{Name: "campaign_screening", What: "the same as a campaign asks, recent sends read from the database", Unit: "patients/s", Of: f.Of}).addSpent(rate, took, b.scale.Size)
	}
	return nil
}

// inCache puts people into the cache. A cache never fails and may forget: what it did not
// take is put there once more.
func (b *bench) inCache(ctx context.Context) ([]int64, error) {
	audience := make([]int64, b.scale.Size)
	for i := range audience {
		audience[i] = -int64(random()>>1) - 1
	}
	b.people.add(audience)
	missing := audience
	return audience, until(ctx, 5*time.Minute, "the cache holds the audience", func() (bool, error) {
		err := sideBySide(ctx, 8, len(missing), func(ctx context.Context, i int) error {
			b.cache.Put(ctx, usual(missing[i]))
			return ctx.Err()
		})
		missing = nil
		for list := range slices.Chunk(audience, screenBatch) {
			held := b.cache.GetMany(ctx, list)
			for _, patient := range list {
				if held[patient] == nil {
					missing = append(missing, patient)
				}
			}
		}
		return len(missing) == 0, err
	})
}

// tries is how often a pass over the audience is begun anew. On a busy machine Redis may
// not answer in time; the cache then leaves it alone for a second, and what was timed
// would be the database.
const tries = 10

// sweepOver goes over the audience for a while, at least once, and gives people a second.
// A part tells how many of it were held.
func (b *bench) sweepOver(ctx context.Context, audience []int64, part func(context.Context, []int64) (int, error)) (float64, spent, error) {
	for range tries {
		s := sweep{audience: audience, part: part, most: b.scale.loop}
		took, err := spending(func() error { return s.run(ctx) })
		if err != nil {
			return 0, took, err
		}
		if n := s.held.Load(); n >= int64(s.asked)*99/100 {
			took.cpu = time.Duration(float64(took.cpu) * float64(len(audience)) / float64(n)) // of one audience
			return float64(n) / s.took.Seconds(), took, nil
		}
		b.tell("Redis did not answer in time: once more")
		if err := sleep(ctx, 2*time.Second); err != nil {
			return 0, took, err
		}
	}
	return 0, spent{}, errors.New("the cache did not give in time what was put into it: has it room enough, and the machine time?")
}

// sweep is one pass over an audience, or several.
type sweep struct {
	audience []int64
	part     func(context.Context, []int64) (int, error)
	most     time.Duration
	asked    int
	held     atomic.Int64
	took     time.Duration
}

func (s *sweep) run(ctx context.Context) error {
	began := time.Now()
	for ; s.asked == 0 || time.Since(began) < s.most; s.asked += len(s.audience) {
		err := sideBySide(ctx, screenWorkers(), (len(s.audience)+screenBatch-1)/screenBatch, func(ctx context.Context, i int) error {
			n, err := s.part(ctx, s.audience[i*screenBatch:min((i+1)*screenBatch, len(s.audience))])
			s.held.Add(int64(n))
			return err
		})
		if err != nil {
			return err
		}
	}
	s.took = time.Since(began)
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// screenPart is what is asked of the cache and of the policy.
func (b *bench) screenPart(ctx context.Context, list []int64) (int, error) {
	held := b.cache.GetMany(ctx, list)
	q := policy.Question{Category: newsletter.category, Now: b.now(), AtDispatch: true, Adapters: [4]bool{true, true, true, true}}
	for _, patient := range list {
		s := held[patient]
		if s == nil {
			continue
		}
		if outcome, code, _ := b.policy.Screen(s, q); outcome != policy.Send {
			return 0, fmt.Errorf("screened as %s", code)
		}
	}
	return len(held), ctx.Err()
}

// askDoor screens as a campaign does before it is approved.
func (b *bench) askDoor(ctx context.Context, list []int64) (int, error) {
	who := make([]gateway.Candidate, len(list))
	for i, patient := range list {
		who[i].Patient = patient
	}
	t, ok := b.wording.Current().Get(newsletter.category)
	if !ok {
		return 0, errors.New("the built-in text is not there")
	}
	judged, err := b.dispatcher.Screen(ctx, &gateway.Campaign{Category: newsletter.category, Template: newsletter.category, Variables: newsletter.variables, Wording: t.Digest}, who)
	held := 0
	for i := range judged {
		switch {
		case judged[i].Outcome == policy.Send:
			held++
		case judged[i].Code != string(policy.PatientUnknown): // not held: the database has nobody of them
			return 0, fmt.Errorf("screened as %s", judged[i].Code)
		}
	}
	return held, err
}

// bareReads reads the same keys and does nothing with them.
func (b *bench) bareReads(ctx context.Context, client redis.UniversalClient, audience []int64) error {
	rate, took, err := b.sweepOver(ctx, audience, func(ctx context.Context, list []int64) (int, error) {
		keys := cache.Keys(list)
		if client.MGet(ctx, keys...).Err() != nil { // not in time
			return 0, ctx.Err()
		}
		return len(keys), nil
	})
	b.figure(figure{Name: "mget", What: "limit: MGET of the same keys, nothing done with them", Unit: "keys/s"}).addSpent(rate, took, len(audience))
	return err
}
