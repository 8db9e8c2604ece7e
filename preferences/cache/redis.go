package cache

import (
	"context"
	"errors"
	"slices"
	"time"

	// go-redis: the client that Redis itself maintains.
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"harmonize.care/heed/preferences"
)

// callTime is the longest a call to Redis may take, dialing and a reply for a
// thousand snapshots included: a send waits no longer for a cache that does not answer.
const callTime = 100 * time.Millisecond

// maxBatch is how many snapshots are asked for in one command.
const maxBatch = 1000

// prefix stands before every key. It changes when the binary form does, so that old
// and new replicas do not throw each other's values away.
const prefix = "heed:s3:"

// forwards keeps a value unless one at least as new is held. Versions are compared
// as 20 digits: a Lua number is a double, and Lua compares text by the server's
// locale, in which only digits are sure to stand in their own order.
var forwards = redis.NewScript(`
local held = redis.call('GETRANGE', KEYS[1], 0, 19)
if held ~= '' and held >= string.sub(ARGV[1], 1, 20) then
	return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`)

// RedisOptions are what a Redis cache needs.
type RedisOptions struct {
	// URL is redis://[[user]:password@]host[:port][/db], or rediss:// for TLS.
	// redis+sentinel://host:port,…/master[/db] and redis+cluster://host:port,… are
	// built but untested. The password is that of the servers that hold the data.
	URL    string
	Expiry time.Duration // how long a snapshot is held; at least a millisecond
	// Secret seals what is held. All replicas have the same.
	Secret []byte
}

// Redis is the cache that replicas share. It never fails: a server that is gone,
// hangs or answers nonsense is a miss, found out within callTime, and left alone for
// a while after.
type Redis struct {
	counters
	client   redis.UniversalClient
	cluster  bool
	expiry   time.Duration
	callTime time.Duration
	breaker  breaker
	seals    *seals
}

// NewRedis makes the cache. It does not call the server: that may come later, or
// never. The error is about the options and names no part of the URL.
func NewRedis(o RedisOptions) (*Redis, error) { return newRedis(o, callTime) }

func newRedis(o RedisOptions, callTime time.Duration) (*Redis, error) {
	if o.Expiry < time.Millisecond {
		return nil, errors.New("the cache's expiry must be at least a millisecond")
	}
	seals, err := newSeals(o.Secret)
	if err != nil {
		return nil, err
	}
	u, err := parseAddress(o.URL)
	if err != nil {
		return nil, err
	}
	// With its defaults the client takes 1.7 s to find out that a server is dead.
	u.MaxRetries, u.DialerRetries, u.ContextTimeoutEnabled = -1, 1, true
	u.DialTimeout, u.ReadTimeout, u.WriteTimeout, u.PoolTimeout = callTime, callTime, callTime, callTime
	// One round trip less for each new connection, and nothing that old servers refuse.
	u.DisableIdentity = true
	u.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	began := time.Now()
	return &Redis{
		client: redis.NewUniversalClient(u), cluster: u.IsClusterMode, expiry: o.Expiry, callTime: callTime, seals: seals,
		breaker: breaker{now: func() time.Duration { return time.Since(began) }},
	}, nil
}

// GetMany gives the snapshots that are held. What cannot be read is deleted.
func (r *Redis) GetMany(ctx context.Context, patients []int64) map[int64]*preferences.Snapshot {
	found := make(map[int64]*preferences.Snapshot, len(patients))
	if len(patients) == 0 { // no call, so no news of the server
		return found
	}
	hits := 0
	r.call(ctx, func(ctx context.Context) error {
		for from := 0; from < len(patients); from += maxBatch {
			n, err := r.getBatch(ctx, patients[from:min(from+maxBatch, len(patients))], found)
			hits += n
			if err != nil {
				return err
			}
		}
		return nil
	})
	r.asked(len(patients), hits)
	return found
}

// getBatch puts what is held into found and says how many there were.
func (r *Redis) getBatch(ctx context.Context, patients []int64, found map[int64]*preferences.Snapshot) (hits int, err error) {
	values, err := r.fetch(ctx, patients)
	var broken []int64
	// One piece of memory for all: most patients have three addresses at most.
	room, addresses := make([]preferences.Snapshot, len(values)), make([]preferences.Address, 3*len(values))
	in := reader{seals: r.seals}
	for i, value := range values {
		text, ok := value.(string)
		if !ok {
			continue
		}
		room[i].Addresses = addresses[3*i : 3*i : 3*i+3]
		if in.read(patients[i], text, &room[i]) {
			found[patients[i]] = &room[i]
			hits++
		} else {
			broken = append(broken, patients[i])
		}
	}
	r.errors.Add(uint64(len(broken)))
	return hits, errors.Join(err, r.drop(ctx, broken))
}

// errNonsense is about an answer that is none to what was asked.
var errNonsense = errors.New("Redis answers something else")

// fetch reads the values of one batch, nil where there is none. A cluster takes no
// command on keys of several slots, so there it is a command for each.
func (r *Redis) fetch(ctx context.Context, patients []int64) ([]any, error) {
	if !r.cluster {
		keys := Keys(patients)
		values, err := r.client.MGet(ctx, keys...).Result()
		if err == nil && len(values) != len(keys) {
			return nil, errNonsense
		}
		return values, err
	}
	pipe := r.client.Pipeline()
	gets := make([]*redis.StringCmd, len(patients))
	for i, patient := range patients {
		gets[i] = pipe.Get(ctx, Key(patient))
	}
	_, err := pipe.Exec(ctx)
	if errors.Is(err, redis.Nil) { // the first command's, and a miss is no failure
		err = nil
	}
	values := make([]any, len(patients))
	for i, get := range gets {
		switch value, fault := get.Result(); {
		case fault == nil:
			values[i] = value
		case !errors.Is(fault, redis.Nil):
			err = fault // one node is gone: the others' values still count
		}
	}
	return values, err
}

// Put keeps snapshots, each unless one at least as new is held. A reader that is slow may
// still put an old one after Delete: it slows the next send, whose claim finds it
// out and deletes it.
func (r *Redis) Put(ctx context.Context, list ...*preferences.Snapshot) {
	for part := range slices.Chunk(list, maxBatch) {
		r.call(ctx, func(ctx context.Context) error { return r.putBatch(ctx, part) })
	}
}

func (r *Redis) putBatch(ctx context.Context, list []*preferences.Snapshot) error {
	put := func() error {
		pipe := r.client.Pipeline()
		for _, s := range list {
			value, err := r.seals.appendValue(s)
			if err != nil {
				r.errors.Add(1)
				continue
			}
			forwards.EvalSha(ctx, pipe, []string{Key(s.Patient)}, value, r.expiry.Milliseconds())
		}
		_, err := pipe.Exec(ctx)
		return err
	}
	err := put()
	if redis.HasErrorPrefix(err, "NOSCRIPT") { // a server that was started anew
		if err = forwards.Load(ctx, r.client).Err(); err == nil {
			err = put()
		}
	}
	return err
}

// Delete forgets a patient's snapshot, also when the caller has hung up meanwhile.
// When Redis cannot be reached the old snapshot stays there until it expires: no
// harm, as the claim compares versions in the database and not here.
func (r *Redis) Delete(ctx context.Context, patient int64) {
	r.call(context.WithoutCancel(ctx), func(ctx context.Context) error { return r.drop(ctx, []int64{patient}) })
}

// drop deletes keys, each by a command of its own as they lie in several slots.
func (r *Redis) drop(ctx context.Context, patients []int64) error {
	if len(patients) == 0 {
		return nil
	}
	if len(patients) == 1 {
		return r.client.Del(ctx, Key(patients[0])).Err()
	}
	pipe := r.client.Pipeline()
	for _, patient := range patients {
		pipe.Del(ctx, Key(patient))
	}
	_, err := pipe.Exec(ctx)
	return err
}

// call speaks to Redis if it is worth a try, within callTime, and notes how it went.
// A refusal is an answer: a server that is full or read-only still serves reads.
func (r *Redis) call(ctx context.Context, do func(context.Context) error) {
	if !r.breaker.allow() {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, r.callTime)
	defer cancel()
	err := do(bounded)
	var refusal redis.Error
	switch {
	case err == nil:
		r.breaker.answered()
		return
	case errors.As(err, &refusal):
		r.breaker.answered()
	case ctx.Err() == nil: // else the caller hung up, which says nothing about the server
		r.breaker.failed()
	}
	r.errors.Add(1)
}

// Answers says whether the server answered when it was last asked.
func (r *Redis) Answers() bool { return r.breaker.closed.Load() == 0 }

// Client is the connection, for what else the replicas share in Redis.
func (r *Redis) Client() redis.UniversalClient { return r.client }

// Close ends the connections.
func (r *Redis) Close() error { return r.client.Close() }
