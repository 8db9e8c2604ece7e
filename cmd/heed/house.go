package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/channels/phone"
	"harmonize.care/heed/channels/sandbox"
	"harmonize.care/heed/config"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/calendar"
	"harmonize.care/heed/gateway/campaign"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/gateway/jobs"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/gateway/wording"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/cache"
	"harmonize.care/heed/preferences/link"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// house is the gateway put together: what `heed serve` runs, and what the other
// commands use to speak to the same database by the same rules.
type house struct {
	cfg        *config.Config
	log        *slog.Logger
	hostClock  func() time.Time
	now        func() time.Time // the host's clock, moved in the sandbox
	ids        *gateway.IDs
	db         *store.DB
	policy     *policy.Policy
	templates  *templates.Set // the built-in ones
	wording    *wording.Service
	identity   templates.Identity
	redis      *cache.Redis // nil: the in-process cache
	stats      func() cache.Stats
	cache      gateway.Cache
	fence      *gateway.Fence
	intake     *intake.Service
	dispatcher *dispatch.Dispatcher
	campaigns  *campaign.Service
	runner     *campaign.Runner
	links      *link.Links
	calendar   *calendar.Writer
	bells      map[gateway.Queue]*jobs.Bell // something waits in a queue
	moved      *jobs.Bell                   // a campaign was started, or has more to do
	happened   *jobs.Bell                   // something happened that others asked to be told of
	carriers   carriers
	clock      *sandbox.Clock    // nil in live mode
	signing    *ecdsa.PrivateKey // what the sandbox signs its mail events with; nil in live mode
}

func takeoverOf(cfg *config.Config) store.Takeover {
	if cfg.Database.AfterFailover == "send" {
		return store.SendAfterTakeover
	}
	return store.HoldAfterTakeover
}

// memoryCache and cacheExpiry bound the cache: a million patients are some 150 MB.
const (
	memoryCache = 200_000
	cacheExpiry = 10 * time.Minute
)

// openHouse puts the gateway together. base is where the sandbox answers, "" when
// nothing is sent by this process. ready says why nothing may be claimed, or nil.
func openHouse(ctx context.Context, cfg *config.Config, log *slog.Logger, base string, ready func() error) (_ *house, err error) {
	h := &house{cfg: cfg, log: log, hostClock: time.Now, now: time.Now, templates: templates.Builtin(), bells: map[gateway.Queue]*jobs.Bell{}, moved: jobs.NewBell(), happened: jobs.NewBell()}
	if cfg.Providers.Mode == config.Sandbox {
		h.clock = sandbox.NewClock(time.Now)
		h.now = h.clock.Now
		if h.signing, err = signingKey(cfg); err != nil {
			return nil, err
		}
	}
	h.ids = &gateway.IDs{Now: h.now, Rand: random}
	for _, q := range gateway.Queues {
		h.bells[q] = jobs.NewBell()
	}
	if h.policy, err = checkSettings(cfg); err != nil {
		return nil, err
	}
	secret, err := config.Secret(cfg)
	if err != nil {
		return nil, err
	}
	if h.links, err = link.New(cfg.HTTP.PublicURL, secret, previous(cfg)...); err != nil {
		return nil, err
	}
	if h.calendar, err = calendar.New(secret); err != nil {
		return nil, err
	}
	if h.carriers, err = openCarriers(cfg, secret, base); err != nil {
		return nil, err
	}
	if h.db, err = store.Open(ctx, store.Options{URL: cfg.Database.URL, Secret: secret, Now: h.now, NewID: h.ids.New, Woken: h.happened.Ring, Takeover: takeoverOf(cfg)}); err != nil {
		return nil, err
	}
	if err := h.furnish(ctx, secret, ready); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// furnish puts in what needs the database.
func (h *house) furnish(ctx context.Context, secret []byte, ready func() error) error {
	node, err := h.db.Node(ctx)
	if err != nil {
		return err
	}
	h.ids.Is(node)
	if err := h.openCache(secret); err != nil {
		return err
	}
	if err := h.keepPolicy(ctx); err != nil {
		return err
	}
	if err := h.restoreClock(ctx); err != nil {
		return err
	}
	h.identity = identityOf(h.cfg)
	if err := h.openWording(ctx); err != nil {
		return err
	}
	h.fence = &gateway.Fence{Store: h.db, Now: h.now, Lease: h.cfg.Sending.Lease, Pause: pause}
	h.intake = &intake.Service{
		Store: h.db, Cache: h.cache, Fence: h.fence, Policy: h.policy, Now: h.now, NewID: h.ids.New, Wake: h.ring,
		Senders: sendersOf(h.cfg), Services: servicesOf(h.cfg), OptOutLine: h.cfg.Practice.OptOutPhone, Dater: h.carriers.twilio,
		ProviderConfirms: h.cfg.Providers.Twilio.OptOutReplies == "provider", OnCall: h.cfg.Practice.OnCall,
	}
	var shared redis.UniversalClient
	if h.redis != nil {
		shared = h.redis.Client()
	}
	pace := jobs.NewPace(shared, h.hostClock)
	h.dispatcher = &dispatch.Dispatcher{
		Store: h.db, Cache: h.cache, Fence: h.fence, Policy: h.policy, Templates: h.wording.Current, Identity: h.identity,
		Ways: h.carriers.ways, Senders: h.carriers.senders, Links: h.links, Calendar: h.calendar, Pace: pace, Zones: preferences.ZonesFingerprint(),
		Now: h.now, NewID: h.ids.New, Wake: h.ring, WakeOne: func(q gateway.Queue) { h.bells[q].Ring() }, Ready: ready,
		Fault: func(err error) {
			h.log.Error("a fault beside a call; what was under way is found by the sweep", "error", err)
		},
		Lease: h.cfg.Sending.Lease, LookupAfter: h.cfg.Sending.LookupAfter, UnknownAfter: h.cfg.Sending.UnknownAfter,
		ConfirmAfter: h.cfg.Sending.ConfirmAfter,
	}
	h.furnishCampaigns(ready, pace)
	return nil
}

// ring wakes the work on every queue.
func (h *house) ring() {
	for _, b := range h.bells {
		b.Ring()
	}
}

// furnishCampaigns puts in what sends to audiences, through the same dispatcher.
func (h *house) furnishCampaigns(ready func() error, pace *jobs.Pace) {
	h.campaigns = &campaign.Service{
		Office: h.db, Door: h.dispatcher, Policy: h.policy, Templates: h.wording.Current, Identity: h.identity, Now: h.now, NewID: h.ids.New,
		Wake:    func() { h.moved.Ring(); h.ring() }, // a test of a text goes by the queue
		Testers: h.cfg.TestersOf(),
	}
	h.runner = &campaign.Runner{
		Store: h.db, Door: h.dispatcher, Fence: h.fence, Pace: pace, Now: h.now, NewID: h.ids.New, Ready: ready, Wake: h.moved.Ring,
		Fault: h.dispatcher.Fault, Offset: int(random() % 1024), Lease: h.cfg.Sending.Lease, LookupAfter: h.cfg.Sending.LookupAfter, UnknownAfter: h.cfg.Sending.UnknownAfter,
	}
}

// openWording puts the practice's own texts in force.
func (h *house) openWording(ctx context.Context) error {
	h.wording = &wording.Service{
		Store: h.db, Builtin: h.templates, Policy: h.policy, Identity: h.identity, Now: h.now,
		Fault: func(err error) { h.log.Error("the practice's own texts", "error", err) },
	}
	_, err := h.wording.Reload(ctx)
	return err
}

func (h *house) openCache(secret []byte) error {
	if h.cfg.Redis.URL == "" {
		memory := cache.NewMemory(memoryCache, cacheExpiry)
		h.cache, h.stats = memory, memory.Stats
		return nil
	}
	redis.SetLogger(redisLog{h.log}) // the client's own logger writes past ours
	var err error
	if h.redis, err = cache.NewRedis(cache.RedisOptions{URL: h.cfg.Redis.URL, Expiry: cacheExpiry, Secret: secret}); err != nil {
		return err
	}
	h.cache, h.stats = h.redis, h.redis.Stats
	return nil
}

// redisLog takes what the Redis client has to say.
type redisLog struct{ *slog.Logger }

// Printf is the client's one method.
func (l redisLog) Printf(_ context.Context, format string, args ...any) {
	l.Warn("redis", "said", fmt.Sprintf(format, args...))
}

func (h *house) close() error {
	var errs []error
	if h.redis != nil {
		errs = append(errs, h.redis.Close())
	}
	return errors.Join(append(errs, h.db.Close())...)
}

// pause is a short look away between two looks at the leases of other replicas.
func pause(ctx context.Context) error {
	timer := time.NewTimer(2 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func random() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails: it ends the process instead
	return binary.BigEndian.Uint64(b[:])
}

func previous(cfg *config.Config) [][]byte {
	var list [][]byte
	for _, secret := range cfg.Keys.Previous {
		list = append(list, []byte(secret))
	}
	return list
}

// sendersOf gives the programs that share each of our numbers, for texts or calls: a
// STOP to a shared number stops them all.
func sendersOf(cfg *config.Config) map[string][]channels.Program {
	senders := map[string][]channels.Program{}
	for _, program := range channels.Programs {
		p := cfg.Programs[program]
		for _, number := range []string{p.SMSFrom, p.VoiceFrom} {
			if number != "" && !slices.Contains(senders[number], program) {
				senders[number] = append(senders[number], program)
			}
		}
	}
	return senders
}

// servicesOf gives the programs that share each messaging service: a text to one of
// its numbers names it.
func servicesOf(cfg *config.Config) map[string][]channels.Program {
	services := map[string][]channels.Program{}
	for _, program := range channels.Programs {
		if service := cfg.Programs[program].MessagingService; service != "" {
			services[service] = append(services[service], program)
		}
	}
	return services
}

// patientID finds a patient by the practice's id, or says so in words.
func (h *house) patientID(ctx context.Context, ref string) (int64, error) {
	id, err := h.db.PatientID(ctx, ref)
	if errors.Is(err, gateway.ErrNotFound) {
		return 0, fmt.Errorf("no patient has this id; `heed import patients` or PUT /v1/patients/{id} puts one on file")
	}
	return id, err
}

// How callers' numbers and mailboxes are read, everywhere alike.
var (
	parsePhone   = phone.Parse
	parseMailbox = phone.ParseMailbox
)
