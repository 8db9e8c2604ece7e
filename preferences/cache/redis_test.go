package cache

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// redisURL gives a real Redis. One of the test's own comes first: other packages'
// tests empty the one that HEED_TEST_REDIS_URL names.
func redisURL(t testing.TB) string {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err == nil {
		return startServer(t).url()
	}
	url := os.Getenv("HEED_TEST_REDIS_URL")
	if url == "" {
		t.Skip("no redis-server is here and HEED_TEST_REDIS_URL is not set: install it, or run `make test`, which does")
	}
	return url
}

// openRedis gives a cache that waits as long as production's.
func openRedis(t testing.TB, url string, expiry time.Duration) *Redis {
	t.Helper()
	return openPatient(t, url, expiry, callTime)
}

// openCalm gives a cache that waits long for its server: a busy machine may be slow
// where a test is about what is held.
func openCalm(t testing.TB, url string, expiry time.Duration) *Redis {
	t.Helper()
	return openPatient(t, url, expiry, 20*time.Second)
}

func openPatient(t testing.TB, url string, expiry, callTime time.Duration) *Redis {
	t.Helper()
	r, err := newRedis(RedisOptions{URL: url, Expiry: expiry, Secret: []byte("secret of these tests")}, callTime)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestRedis(t *testing.T) {
	url := redisURL(t)
	suite(t, func(t *testing.T) counting {
		r := openCalm(t, url, time.Minute)
		if err := r.client.FlushDB(context.Background()).Err(); err != nil {
			t.Fatal(err)
		}
		return r
	})
}

// TestRedisByPipeline runs the suite over the commands that a cluster needs, on one
// server: the cluster itself is untested.
func TestRedisByPipeline(t *testing.T) {
	url := redisURL(t)
	suite(t, func(t *testing.T) counting {
		r := openCalm(t, url, time.Minute)
		r.cluster = true
		if err := r.client.FlushDB(context.Background()).Err(); err != nil {
			t.Fatal(err)
		}
		return r
	})
}

// names notes the commands that are sent.
type names struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (n *names) note(cmds ...redis.Cmder) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, cmd := range cmds {
		n.seen[cmd.Name()] = true
	}
}

func (n *names) DialHook(next redis.DialHook) redis.DialHook { return next }

func (n *names) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		n.note(cmd)
		return next(ctx, cmd)
	}
}

func (n *names) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		n.note(cmds...)
		return next(ctx, cmds)
	}
}

// TestRedisCommands: a cluster refuses a command on keys of several slots, and one
// server is asked for all at once.
func TestRedisCommands(t *testing.T) {
	url := redisURL(t)
	for cluster, refused := range map[bool]string{true: "mget", false: "get"} {
		r := openCalm(t, url, time.Minute)
		r.cluster = cluster
		seen := &names{seen: map[string]bool{}}
		r.client.AddHook(seen)
		r.Put(context.Background(), sample(1, 1))
		if found := r.GetMany(context.Background(), []int64{1, 2}); len(found) != 1 || seen.seen[refused] || len(seen.seen) == 0 {
			t.Errorf("cluster %v: found %d by %v", cluster, len(found), seen.seen)
		}
	}
}

func TestRedisForgets(t *testing.T) {
	ctx := context.Background()
	r := openCalm(t, redisURL(t), 300*time.Millisecond)
	r.Put(ctx, sample(1, 1))
	left := func() time.Duration { return r.client.PTTL(ctx, Key(1)).Val() }
	if got := left(); got <= 0 || got > 300*time.Millisecond {
		t.Fatalf("it is held for %v", got)
	}
	eventually(t, "some of its time has passed", func() bool { return left() < 250*time.Millisecond })
	r.Put(ctx, sample(1, 2))
	if got := left(); got <= 250*time.Millisecond {
		t.Errorf("a newer snapshot is held for %v only", got)
	}
	eventually(t, "it is forgotten", func() bool { return get(r, 1) == nil })
}

// TestRedisPoisoned puts values there that nobody of ours wrote.
func TestRedisPoisoned(t *testing.T) {
	ctx := context.Background()
	r := openCalm(t, redisURL(t), time.Minute)
	other, err := r.seals.appendValue(sample(2, 9))
	if err != nil {
		t.Fatal(err)
	}
	own, err := r.seals.appendValue(sample(1, 9))
	if err != nil {
		t.Fatal(err)
	}
	forged := sample(1, 9)
	forged.UnencryptedOK = !forged.UnencryptedOK
	somebodys, err := sealsOf("another key").appendValue(forged)
	if err != nil {
		t.Fatal(err)
	}
	newest := versionText(1<<62) + string(own[versionDigits:])
	for name, value := range map[string]string{
		"a good version under another key": string(somebodys), "another patient's": string(other), "text": "yes", "nothing": "", "zeros": strings.Repeat("\x00", 64), "letters": strings.Repeat("z", 64),
		"a version from the future": newest, "a version alone": versionText(1 << 62),
	} {
		if err := r.client.Set(ctx, Key(1), value, 0).Err(); err != nil {
			t.Fatal(err)
		}
		before := r.Stats()
		if got := get(r, 1); got != nil {
			t.Errorf("%s: gave %+v", name, got)
		}
		if got := r.Stats(); got.Errors != before.Errors+1 || got.Misses != before.Misses+1 {
			t.Errorf("%s: counted %+v after %+v", name, got, before)
		}
		r.Put(ctx, sample(1, 1))
		if got := get(r, 1); got == nil || got.Version != 1 {
			t.Errorf("%s keeps good values out", name)
		}
		r.Delete(ctx, 1)
	}
	if err := r.client.LPush(ctx, Key(1), "no text at all").Err(); err != nil {
		t.Fatal(err)
	}
	if get(r, 1) != nil {
		t.Error("a list was read")
	}
	r.Put(ctx, sample(1, 1)) // refused by the server
	r.Put(ctx, sample(2, 1))
	if get(r, 2) == nil {
		t.Error("one bad key turned the cache off")
	}
	r.Delete(ctx, 1)
	r.Put(ctx, sample(1, 1))
	if get(r, 1) == nil {
		t.Error("a deleted bad key stays bad")
	}
}

// TestRedisHoldsNoPersonalData fills a Redis with patients who have names, numbers
// and mailboxes, and looks for any of them in every key and value.
func TestRedisHoldsNoPersonalData(t *testing.T) {
	ctx := context.Background()
	r := openCalm(t, redisURL(t), time.Minute)
	var words []string
	for i := range int64(300) {
		name, number, mailbox, ref := fmt.Sprintf("Xiomara%dOkonkwo", i), fmt.Sprintf("+1303555%04d", i), fmt.Sprintf("xiomara.%d@mail.example", i), fmt.Sprintf("MRN-%06d", i)
		words = append(words, name, number, number[2:], mailbox, ref, fmt.Sprintf("19%02d-04-02", 20+i%80), "8020"+fmt.Sprint(i%10))
		patient := 1<<40 + i*7919
		evidence := map[string]string{"who": name, "said": "call me on " + number, "ref": ref}
		s := preferences.Fold(patient, []preferences.Event{
			{Kind: preferences.ContactSet, Note: name, Evidence: evidence, Contact: &preferences.Contact{
				BirthDate: preferences.Date{Year: int16(1920 + i%80), Month: 4, Day: 2}, Locale: "es", Zones: []string{"America/Denver"},
				Addresses: []preferences.ContactAddress{{ID: patient + 1, Kind: channels.Phone, Rank: 1, Zones: []string{"America/Denver"}}, {ID: patient + 2, Kind: channels.Mailbox, Rank: 1}},
			}},
			{Kind: preferences.ChoiceMade, Source: preferences.FromSMS, Evidence: evidence, Note: mailbox, Choice: &preferences.Choice{Topic: "newsletter", In: true}},
			{Kind: preferences.ConfidentialSet, Evidence: evidence, Confidential: &preferences.Confidential{Only: []preferences.Pair{{Channel: channels.SMS, Address: patient + 1}}}},
			{Kind: preferences.RestrictionAgreed, Note: "not to " + name, Restriction: &preferences.Restriction{ID: i, Purpose: "payment"}},
		}, map[int64]preferences.Bound{patient + 1: {Stops: channels.AllPrograms}})
		s.Version = 1_790_000_000_000_000 + i
		r.Put(ctx, s)
		if !reflect.DeepEqual(get(r, patient), s) {
			t.Fatal("what was put is not there")
		}
	}
	seen := 0
	for keys := r.client.Scan(ctx, 0, "*", 1000).Iterator(); keys.Next(ctx); seen++ {
		value, err := r.client.Get(ctx, keys.Val()).Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(keys.Val(), prefix) {
			t.Errorf("a key without our prefix: %q", keys.Val())
		}
		for _, word := range words {
			if strings.Contains(keys.Val(), word) || bytes.Contains(bytes.ToLower(value), []byte(strings.ToLower(word))) {
				t.Fatalf("%q stands in the key or value of %q", word, keys.Val())
			}
		}
	}
	if seen < 300 {
		t.Fatalf("only %d keys were looked at", seen)
	}
}

// TestRedisCallerHangsUp: a caller who leaves says nothing about the server, and
// what must be deleted is deleted all the same.
func TestRedisCallerHangsUp(t *testing.T) {
	ctx := context.Background()
	r := openCalm(t, redisURL(t), time.Minute)
	r.Put(ctx, sample(1, 1))
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if found := r.GetMany(gone, []int64{1}); len(found) != 0 {
		t.Errorf("got %v", found)
	}
	if get(r, 1) == nil {
		t.Fatal("a caller who hung up turned the cache off for others")
	}
	r.Delete(gone, 1)
	if get(r, 1) != nil {
		t.Error("a caller who hung up left the old snapshot there")
	}
}

func TestRedisRefusesTheKey(t *testing.T) {
	s := startServer(t)
	open := openCalm(t, s.url(), time.Minute)
	if err := open.client.ConfigSet(context.Background(), "requirepass", "pass word/@:").Err(); err != nil {
		t.Fatal(err)
	}
	wrong := openCalm(t, "redis://:wrong@127.0.0.1:"+s.port, time.Minute)
	wrong.Put(context.Background(), sample(1, 1))
	if get(wrong, 1) != nil || wrong.Stats().Errors != 2 {
		t.Errorf("with a wrong password: %+v", wrong.Stats())
	}
	right := openCalm(t, "redis://:pass%20word%2F%40%3A@127.0.0.1:"+s.port+"/3", time.Minute)
	right.Put(context.Background(), sample(1, 1))
	if get(right, 1) == nil {
		t.Error("the right password, escaped, is not taken")
	}
}

func BenchmarkRedis(b *testing.B) { benchmark(b, openRedis(b, redisURL(b), time.Hour)) }
