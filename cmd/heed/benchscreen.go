package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
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

// inCache puts people into the cache.
func (b *bench) inCache(ctx context.Context) ([]int64, error) {
	audience := make([]int64, b.scale.Size)
	for i := range audience {
		audience[i] = -int64(random()>>1) - 1
	}
	b.people.add(audience)
	err := sideBySide(ctx, 8, len(audience), func(ctx context.Context, i int) error {
		b.cache.Put(ctx, usual(audience[i]))
		return ctx.Err()
	})
	return audience, err
}

// sweepOver goes over the audience once, or for a while if that is soon done, and gives
// people a second.
func (b *bench) sweepOver(ctx context.Context, audience []int64, part func(context.Context, []int64) error) (float64, spent, error) {
	parts := (len(audience) + screenBatch - 1) / screenBatch
	var done atomic.Int64
	began := time.Now()
	took, err := spending(func() error {
		for began = time.Now(); done.Load() == 0 || time.Since(began) < b.scale.loop; {
			if err := sideBySide(ctx, screenWorkers(), parts, func(ctx context.Context, i int) error {
				list := audience[i*screenBatch : min((i+1)*screenBatch, len(audience))]
				done.Add(int64(len(list)))
				return part(ctx, list)
			}); err != nil {
				return err
			}
		}
		return nil
	})
	rate := float64(done.Load()) / time.Since(began).Seconds()
	took.cpu = time.Duration(float64(took.cpu) * float64(len(audience)) / float64(done.Load())) // of one audience
	return rate, took, err
}

var errForgotten = errors.New("the cache did not hold what was put into it: has it room enough?")

// screenPart is what is asked of the cache and of the policy.
func (b *bench) screenPart(ctx context.Context, list []int64) error {
	held := b.cache.GetMany(ctx, list)
	q := policy.Question{Category: newsletter.category, Now: b.now(), AtDispatch: true, Adapters: [4]bool{true, true, true, true}}
	for _, patient := range list {
		s := held[patient]
		if s == nil {
			return errForgotten
		}
		if outcome, code, _ := b.policy.Screen(s, q); outcome != policy.Send {
			return fmt.Errorf("screened as %s", code)
		}
	}
	return nil
}

// askDoor screens as a campaign does before it is approved.
func (b *bench) askDoor(ctx context.Context, list []int64) error {
	who := make([]gateway.Candidate, len(list))
	for i, patient := range list {
		who[i].Patient = patient
	}
	t, ok := b.wording.Current().Get(newsletter.category)
	if !ok {
		return errors.New("the built-in text is not there")
	}
	judged, err := b.dispatcher.Screen(ctx, &gateway.Campaign{Category: newsletter.category, Template: newsletter.category, Variables: newsletter.variables, Wording: t.Digest}, who)
	if err != nil {
		return err
	}
	for i := range judged {
		if judged[i].Outcome != policy.Send {
			return fmt.Errorf("screened as %s", strings.TrimSpace(judged[i].Code))
		}
	}
	return nil
}

// bareReads reads the same keys and does nothing with them.
func (b *bench) bareReads(ctx context.Context, client redis.UniversalClient, audience []int64) error {
	rate, took, err := b.sweepOver(ctx, audience, func(ctx context.Context, list []int64) error {
		keys := make([]string, len(list))
		for i, patient := range list {
			keys[i] = cache.Key(patient)
		}
		return client.MGet(ctx, keys...).Err()
	})
	b.figure(figure{Name: "mget", What: "limit: MGET of the same keys, nothing done with them", Unit: "keys/s"}).addSpent(rate, took, len(audience))
	return err
}
