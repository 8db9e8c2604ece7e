package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"harmonize.care/heed/channels/sandbox"
	"harmonize.care/heed/config"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/api"
	"harmonize.care/heed/gateway/events"
	"harmonize.care/heed/gateway/fhir"
	"harmonize.care/heed/gateway/jobs"
	"harmonize.care/heed/gateway/observe"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences/pages"
)

func serveCommand(c *command) *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Run the gateway", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.startConfig()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, c.log(), func(*server) error { return nil })
		},
	}
}

// server is a running gateway.
type server struct {
	*house
	listener net.Listener
	vigil    *vigil
	metrics  *observe.Metrics
	sandbox  *sandbox.Sandbox // nil in live mode
}

// serve runs the gateway until the context is done. ready is called once it answers.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger, ready func(*server) error) error {
	listener, err := net.Listen("tcp", cfg.HTTP.Listen)
	if err != nil {
		return fmt.Errorf("http.listen: %w", err)
	}
	s := &server{listener: listener, vigil: newVigil(), metrics: observe.NewMetrics()}
	if s.house, err = openHouse(ctx, cfg, log, s.loopback(), s.ready); err != nil {
		return errors.Join(err, listener.Close())
	}
	if cfg.Providers.Mode == config.Sandbox {
		s.keepClock()
		s.sandbox = s.openSandbox()
		defer s.sandbox.Close()
	}
	return errors.Join(s.run(ctx, ready), s.close())
}

// loopback is our own address as this machine reaches it.
func (s *server) loopback() string { return "http://" + nearby(s.listener.Addr().String()) }

// run serves, works and looks after things until the context is done, and then
// ends in order: no new calls, no new claims, what is under way is recorded.
func (s *server) run(ctx context.Context, ready func(*server) error) error {
	work, stopWork := context.WithCancel(ctx)
	defer stopWork()
	river, err := s.openJobs(ctx)
	if err != nil {
		return err
	}
	s.db.Listen(s.fence.Revoke)
	var loops sync.WaitGroup
	loops.Go(func() { s.vigil.watch(work, s.look) })
	for _, loop := range append(append(s.loops(), s.relay(river)), s.mirrorLoops()...) {
		loops.Go(func() { loop.Run(work) })
	}
	if err := river.Start(work); err != nil {
		return err
	}
	web := s.web()
	failed := make(chan error, 1)
	go func() { failed <- s.listen(web) }()
	s.tellOfMute()
	s.log.Info("heed answers", "address", s.loopback(), "mode", s.cfg.Providers.Mode, "policy", s.policy.Version)
	err = ready(s)
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-failed:
		}
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	err = errors.Join(err, web.Shutdown(end))
	stopWork()
	loops.Wait()
	s.dispatcher.Drain()
	return errors.Join(err, river.Stop(end), s.rest(end))
}

func (s *server) listen(web *http.Server) error {
	var err error
	if cert := s.cfg.HTTP.TLS; cert.Cert != "" {
		err = web.ServeTLS(s.listener, cert.Cert, cert.Key)
	} else {
		err = web.Serve(s.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// campaignWorkers is how many slices of campaigns one replica has under way.
const campaignWorkers = 4

// loops work the queues, each by itself so that none starves another, and sweep.
func (s *server) loops() []jobs.Loop {
	var list []jobs.Loop
	for _, q := range gateway.Queues {
		list = append(list, jobs.Loop{
			Name: fmt.Sprintf("queue %d", q), Bell: s.bells[q], Interval: 200 * time.Millisecond, Log: s.log,
			Work: s.unlessHeld(q, func(ctx context.Context) (int, error) { return s.dispatcher.Work(ctx, q) }),
		})
	}
	for worker := range campaignWorkers {
		list = append(list, jobs.Loop{
			Name: fmt.Sprintf("campaigns %d", worker), Bell: s.moved, Interval: 200 * time.Millisecond, Log: s.log,
			Work: s.unlessHeld(gateway.CampaignQueue, func(ctx context.Context) (int, error) { return s.runner.Work(ctx, worker) }),
		})
	}
	list = append(list,
		jobs.Loop{Name: "campaign sweep", Interval: time.Second, Log: s.log, Work: s.runner.Sweep},
		jobs.Loop{Name: "sweep", Interval: time.Second, Log: s.log, Work: s.dispatcher.Sweep},
		jobs.Loop{Name: "resolve", Interval: time.Second, Log: s.log, Work: s.dispatcher.Resolve},
		// What another replica approved or retired is in force here after two seconds.
		jobs.Loop{Name: "templates", Interval: 2 * time.Second, Log: s.log, Work: s.wording.Reload},
		s.pulse(),
		s.tellOverdue(),
	)
	for i := len(gateway.Queues); i < len(list); i++ { // calls of a queue go on when its pass is over: it has a bound of its own
		list[i].Work = bounded(list[i].Work)
	}
	return list
}

// passTime is longer than any pass of a loop takes. A database whose connection died without a
// word must not stop a gateway that says it is ready: then another connection is asked.
const passTime = time.Minute

func bounded(work func(context.Context) (int, error)) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		pass, cancel := context.WithTimeout(ctx, passTime)
		defer cancel()
		return work(pass)
	}
}

// web is the HTTP server: the API, the pages, the figures, and the sandbox.
func (s *server) web() *http.Server {
	mux := http.NewServeMux()
	a := s.api()
	mux.Handle("/", a.Handler())
	f := s.fhir(a)
	mux.Handle("/fhir", f)
	mux.Handle("/fhir/", f)
	p := s.pages()
	for _, path := range pages.Paths {
		mux.Handle(path, p)
	}
	mux.Handle("GET /metrics", s.metrics.Endpoint())
	s.figures()
	if s.sandbox != nil {
		mux.Handle(sandboxPath+"/", http.StripPrefix(sandboxPath, s.sandbox.Handler()))
		mux.Handle("GET /{$}", http.RedirectHandler(sandboxPath+"/", http.StatusFound))
	}
	return &http.Server{
		Handler: s.metrics.Handler(mux, s.log), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: 60 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, TLSConfig: tlsConfig(),
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}

func (s *server) api() *api.API {
	a := s.view()
	a.AdminKey, a.PublicURL, a.Version = s.cfg.Auth.AdminKey, strings.TrimSuffix(s.cfg.HTTP.PublicURL, "/"), version()
	a.Ready = func(context.Context) error { return s.ready() }
	if s.redis != nil {
		a.Redis = s.redis.Answers
	}
	a.Outgoing = api.Outgoing{Endpoints: s.db, NewSecret: events.NewSecret}
	a.Telephones = map[string]api.Telephone{"/webhooks/twilio/voice": {Source: "twilio", Phone: s.carriers.twilio}}
	a.Webhooks = map[string]api.Webhook{
		"/webhooks/twilio/sms":      {Source: "twilio", Reader: s.carriers.twilio},
		"/webhooks/twilio/status":   {Source: "twilio", Reader: s.carriers.twilio},
		"/webhooks/sendgrid/events": {Source: "sendgrid", Reader: s.carriers.sendgrid},
		"/webhooks/smtp/bounces":    {Source: "smtp", Reader: s.carriers.bounces},
	}
	return a
}

// fhir lets in whom the API lets in.
func (s *server) fhir(a *api.API) http.Handler {
	return (&fhir.Server{
		Store: s.db, Dispatcher: s.dispatcher, Who: a.Who, Log: s.log, PublicURL: a.PublicURL, Version: a.Version,
	}).Handler()
}

func (s *server) pages() http.Handler {
	return pages.New(pages.Options{
		Store: s.db, Intake: s.intake, Dispatcher: s.dispatcher, Policy: s.policy, Links: s.links, Identity: s.identity,
		Now: s.now, Random: rand.Reader, Log: s.log, PublicURL: s.cfg.HTTP.PublicURL, Retention: days(s.cfg.Retention.ContentDays),
	}).Handler()
}

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// figures adds what the gateway itself can tell.
func (s *server) figures() {
	s.metrics.Gauge("heed_ready", "1 when messages may be claimed.", func() float64 {
		if s.ready() != nil {
			return 0
		}
		return 1
	})
	s.holdFigure()
	s.metrics.Counter("heed_cache_hits_total", "Snapshots found in the cache.", func() float64 { return float64(s.stats().Hits) })
	s.metrics.Counter("heed_cache_misses_total", "Snapshots not found in the cache.", func() float64 { return float64(s.stats().Misses) })
	s.metrics.Counter("heed_cache_errors_total", "Calls to Redis that failed; each is a miss.", func() float64 { return float64(s.stats().Errors) })
	if s.redis != nil {
		s.metrics.Gauge("heed_redis_answers", "0 when Redis did not answer the last call: the database is asked instead, and campaigns with a rate wait.", func() float64 {
			if s.redis.Answers() {
				return 1
			}
			return 0
		})
	}
	s.taskFigures()
}

// retention of what no setting names: keys for twice their promise, providers'
// event ids for longer than any of them repeats itself.
var (
	keepAnswers = 48 * time.Hour
	keepSeen    = days(35)
)

func (s *server) openJobs(ctx context.Context) (*jobs.River, error) {
	writer, postgres := s.db.SQL()
	o := jobs.Options{DB: writer, Postgres: postgres, Log: quiet(s.log), Deliver: s.deliver(), Jobs: []jobs.Job{
		{Name: "seal", Every: 30 * time.Second, Do: func(ctx context.Context) error { _, err := s.db.Seal(ctx, false); return err }},
		{Name: "seal everything", Every: 24 * time.Hour, Do: func(ctx context.Context) error { _, err := s.db.Seal(ctx, true); return err }},
		{Name: "forget", Every: time.Hour, Do: func(ctx context.Context) error {
			_, err := s.db.Forget(ctx, store.Retention{Content: days(s.cfg.Retention.ContentDays), Answers: keepAnswers, Seen: keepSeen, Events: keepEvents, Dead: keepDead})
			return err
		}},
		{Name: "inbox", Every: 3 * time.Minute, Do: s.fetchMissed},
	}}
	if s.carriers.mailbox != nil {
		o.Jobs = append(o.Jobs, jobs.Job{Name: "bounces", Every: time.Minute, Do: s.fetchBounces})
	}
	if err := jobs.Migrate(ctx, o); err != nil {
		return nil, err
	}
	if err := s.db.TakeBack(ctx); err != nil {
		return nil, err
	}
	return jobs.New(ctx, o)
}
