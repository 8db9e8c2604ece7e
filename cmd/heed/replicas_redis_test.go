package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"harmonize.care/heed/preferences/cache"
)

// TestReplicasWithoutTheirRedis cuts Redis off for one replica of three, and then lets it hang
// there. That replica goes on, from the database; it says so; what it hears cannot reach the
// others' cache, and no one is sent what they refused at it all the same. Then it recovers.
func TestReplicasWithoutTheirRedis(t *testing.T) {
	t.Parallel()
	f := newFleet(t, fleetPlan{replicas: 3, taps: true, redis: true, lease: 2 * time.Second, unknown: 10 * time.Second})
	const crowd = 200
	f.enrol(crowd)
	poor, until := f.members[0], time.Now().Add(2*time.Minute)
	f.holdAll(until, crowd)
	var singles []letterTo
	for i, mode := range []tapMode{cut, hangs} {
		errors := poor.figure("heed_cache_errors_total")
		poor.redis.set(mode)
		// Half of the people refuse there: their old records stay in the others' cache.
		first := i * crowd / 2
		side(crowd/4, func(p int) { f.refusesAt(f.members[:1], &f.people[first+p], p) })
		// One of the campaigns has a pace that all replicas share: there the others send.
		campaigns := []*mailing{f.newsletter(2*i+1, first, first+crowd/2, 1000), f.survey(2*i+2, first, first+crowd/2, 0)}
		singles = append(singles, f.sendTo(len(singles), crowd/2, func(p int) int { return first + p })...)
		for m, report := range f.over(until, campaigns...) {
			if v := f.judgeMailing(m, report, false); v.late+v.lost+v.repeated > 0 {
				t.Error(v)
			}
		}
		f.works(poor)
		if !poor.ready() || poor.saysOfRedis() != "unreachable" || poor.figure("heed_cache_errors_total") <= errors {
			t.Errorf("without Redis the replica says %q of it", poor.saysOfRedis())
		}
		rich := f.members[1]
		eventually(t, "a replica with Redis says so", func() bool { // a slow machine may let it wait too long for an answer
			f.works(rich)
			return rich.ready() && rich.saysOfRedis() == ""
		})
		poor.redis.set(flows)
		hits := poor.figure("heed_cache_hits_total")
		eventually(t, "the replica has its Redis again", func() bool {
			f.works(poor)
			return poor.saysOfRedis() == "" && poor.figure("heed_cache_hits_total") > hits
		})
	}
	var v verdict
	for i, m := range f.ended(until, singles) {
		p := &f.people[singles[i].person]
		f.judge(&v, singles[i].what, m["status"] != "needs_staff", lane(careNumber, p.phone), lane(careMailbox, p.mailbox))
	}
	t.Log(v)
	if v.late+v.lost+v.repeated > 0 || v.kept == 0 {
		t.Error("the fence does not hold without Redis, or nobody refused")
	}
}

// saysOfRedis is what a ready replica says of its Redis.
func (m *member) saysOfRedis() string { return m.health()["redis"] }

// TestReplicasWithOldRecords gives the replicas' cache its old values back after people have
// refused, and lets one replica be deaf to the others: first so that it knows, and then so
// that it does not. Nobody is sent what they refused; and the replica that knows that it may
// have missed something claims nothing until it has caught up.
func TestReplicasWithOldRecords(t *testing.T) {
	t.Parallel()
	f := newFleet(t, fleetPlan{replicas: 2, taps: true, redis: true, lease: 2 * time.Second, unknown: 10 * time.Second})
	const crowd = 240
	f.enrol(crowd)
	until := time.Now().Add(2 * time.Minute)
	f.holdAll(until, crowd)
	options, err := redis.ParseURL(serviceURL(t, "HEED_TEST_REDIS_URL"))
	if err != nil {
		t.Fatal(err)
	}
	shared := redis.NewClient(options)
	defer shared.Close()
	var singles []letterTo
	deaf, hears := f.members[0], f.members[1:]
	for i, mode := range []tapMode{cut, hangs} {
		first, last := i*crowd/2, (i+1)*crowd/2
		old := map[string]string{}
		for p := first; p < last; p++ {
			key := cache.Key(f.people[p].id)
			if old[key] = shared.Get(t.Context(), key).Val(); old[key] == "" {
				t.Fatal("nothing is in the cache")
			}
		}
		deaf.postgres.deafen(mode)
		if mode == cut {
			eventually(t, "the replica knows that it hears nothing", func() bool { return !deaf.ready() })
		}
		side(crowd/4, func(p int) { f.refusesAt(hears, &f.people[first+p], p) })
		for key, value := range old {
			if err := shared.Set(t.Context(), key, value, time.Minute).Err(); err != nil {
				t.Fatal(err)
			}
		}
		before := f.carrier.sentBy(deaf.no)
		campaigns := []*mailing{f.newsletter(2*i+1, first, last, 0), f.survey(2*i+2, first, last, 0)}
		singles = append(singles, f.sendTo(len(singles), last-first, func(p int) int { return first + p })...)
		held := 0
		for m, report := range f.over(until, campaigns...) {
			v := f.judgeMailing(m, report, false)
			if held += v.kept; v.late+v.lost+v.repeated > 0 {
				t.Error(v)
			}
		}
		if sent := f.carrier.sentBy(deaf.no) - before; mode == cut && sent > 0 {
			t.Errorf("a replica that may have missed a revocation sent %d", sent)
		}
		if held < crowd/8 {
			t.Errorf("only %d were held back: it proves nothing", held)
		}
		deaf.postgres.deafen(flows)
		deaf.awaitReady()
		f.works(deaf)
	}
	var v verdict
	for i, m := range f.ended(until, singles) {
		p := &f.people[singles[i].person]
		f.judge(&v, singles[i].what, m["status"] != "needs_staff", lane(careNumber, p.phone), lane(careMailbox, p.mailbox))
	}
	t.Log(v)
	if v.late+v.lost+v.repeated > 0 || v.kept == 0 {
		t.Error("old records were believed")
	}
}

// holdAll sees to it that everybody is in the cache: a screening leaves them there.
func (f *fleet) holdAll(until time.Time, crowd int) {
	f.Helper()
	m := f.newsletter(0, 0, crowd, 0)
	f.over(until, m)
	f.insist(http.MethodGet, "/v1/campaigns/"+m.id+"/screening", nil)
}
