package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	// redis_rate: one pace for all replicas, counted by Redis itself in one script.
	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	// x/time/rate: the Go project's own token bucket, for one process.
	"golang.org/x/time/rate"
)

// Pace bounds how much each sender sends in a second. Its clock is the host's, whatever
// the sandbox's shows.
type Pace struct {
	shared *redis_rate.Limiter // nil: this process is alone
	now    func() time.Time

	mu      sync.Mutex
	senders map[string]*rate.Limiter
}

// NewPace makes the pace of one process, or, with a client, of all that share its Redis.
func NewPace(client redis.UniversalClient, now func() time.Time) *Pace {
	p := &Pace{now: now, senders: map[string]*rate.Limiter{}}
	if client != nil {
		p.shared = redis_rate.NewLimiter(client)
	}
	return p
}

// paceTime is how long Redis may take to answer.
const paceTime = time.Second

// Take gives as many of the wanted places as the sender has left now. An error: Redis does
// not answer, and without it nobody knows what the other replicas send.
func (p *Pace) Take(ctx context.Context, sender string, perSecond, want int) (int, error) {
	if p.shared == nil {
		return p.take(sender, perSecond, want), nil
	}
	ctx, cancel := context.WithTimeout(ctx, paceTime)
	defer cancel()
	// The sender's name is a setting of ours, and is not shown to Redis all the same.
	name := sha256.Sum256([]byte(sender))
	got, err := p.shared.AllowAtMost(ctx, "heed:pace:"+hex.EncodeToString(name[:8]), redis_rate.PerSecond(perSecond), want)
	if err != nil {
		return 0, err
	}
	return got.Allowed, nil
}

func (p *Pace) take(sender string, perSecond, want int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	l := p.senders[sender]
	if l == nil {
		l = rate.NewLimiter(rate.Limit(perSecond), perSecond)
		p.senders[sender] = l
	}
	if l.Burst() != perSecond {
		l.SetLimitAt(now, rate.Limit(perSecond))
		l.SetBurstAt(now, perSecond)
	}
	n := max(0, min(want, int(l.TokensAt(now))))
	l.AllowN(now, n)
	return n
}
