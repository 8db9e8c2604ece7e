// Package jobs runs what goes on beside the calls of the API: the loops that work
// the message queues, and, on River, the jobs that one replica at a time looks
// after.
package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	// River: periodic jobs with leader election, retries and a record, in the database
	// that is there anyway.
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

// Job is work that is done again and again, by one replica at a time. It must be
// safe to do twice.
type Job struct {
	Name  string
	Every time.Duration
	Do    func(context.Context) error
}

// Options set up River.
type Options struct {
	DB       *sql.DB // the writer
	Postgres string  // the address of a PostgreSQL database; "": SQLite
	Log      *slog.Logger
	Jobs     []Job
	// Deliver makes one try of a delivery, by its id; nil: this process delivers nothing.
	Deliver func(ctx context.Context, id int64) error
}

// River runs periodic jobs. Start it, and Stop it.
type River struct {
	client *river.Client[*sql.Tx]
	pool   *pgxpool.Pool
}

// upkeep is the argument of every job: its name, and nothing of anybody.
type upkeep struct {
	Name string `json:"name"`
}

func (upkeep) Kind() string { return "upkeep" }

// migrating is the advisory lock under which River's tables are brought up to date; the
// number is nobody else's on this database.
const migrating = 0x6865656472697665 // "heedrive"

// Migrate brings River's own tables up to date. Replicas that start together take turns:
// River itself makes no lock, and all but the first would fail on tables that are there.
func Migrate(ctx context.Context, o Options) error {
	driver, pool, err := driverOf(ctx, o)
	if err != nil {
		return err
	}
	if pool != nil {
		defer pool.Close()
		turn, err := pool.Acquire(ctx)
		if err != nil {
			return fmt.Errorf("bringing the job tables up to date: %w", err)
		}
		defer turn.Release()
		if _, err := turn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(migrating)); err != nil {
			return fmt.Errorf("bringing the job tables up to date: %w", err)
		}
		// The connection's end is the lock's end: the pool closes with this call.
	}
	m, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: o.Log})
	if err != nil {
		return err
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("bringing the job tables up to date: %w", err)
	}
	return nil
}

func driverOf(ctx context.Context, o Options) (riverdriver.Driver[*sql.Tx], *pgxpool.Pool, error) {
	if o.Postgres == "" {
		return riversqlite.New(o.DB), nil, nil
	}
	config, err := pgxpool.ParseConfig(o.Postgres)
	if err != nil {
		return nil, nil, errors.New("database.url: not an address of a PostgreSQL database")
	}
	config.MaxConns = 2 // it only listens
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	return riverdatabasesql.NewWithPgxListener(o.DB, pool), pool, nil
}

// New sets River up.
func New(ctx context.Context, o Options) (*River, error) {
	driver, pool, err := driverOf(ctx, o)
	if err != nil {
		return nil, err
	}
	do := map[string]func(context.Context) error{}
	var periodic []*river.PeriodicJob
	for _, j := range o.Jobs {
		do[j.Name] = j.Do
		periodic = append(periodic, river.NewPeriodicJob(river.PeriodicInterval(j.Every), func() (river.JobArgs, *river.InsertOpts) {
			return upkeep{j.Name}, once
		}, &river.PeriodicJobOpts{RunOnStart: true}))
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(ctx context.Context, job *river.Job[upkeep]) error {
		work, ok := do[job.Args.Name]
		if !ok {
			return river.JobCancel(errors.New("no job has this name in this version"))
		}
		err := work(ctx)
		if err != nil {
			o.Log.Error("job failed", "job", job.Args.Name, "error", err)
		}
		return err
	}))
	queues := map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 4}}
	if o.Deliver != nil {
		addDeliveries(o, workers, queues)
	}
	client, err := river.NewClient(driver, &river.Config{
		Logger: o.Log, Workers: workers, PeriodicJobs: periodic, Queues: queues,
		FetchPollInterval: 2 * time.Second, JobTimeout: 10 * time.Minute, CompletedJobRetentionPeriod: time.Hour,
	})
	return &River{client, pool}, err
}

// once: a job that still waits or runs is not put in again; the next period is its retry.
var once = &river.InsertOpts{
	MaxAttempts: 1,
	UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning, rivertype.JobStateRetryable, rivertype.JobStateScheduled,
	}},
}

// Start begins to work. Stop ends it.
func (r *River) Start(ctx context.Context) error { return r.client.Start(ctx) }

// Stop lets running jobs come to their end, until the context is done.
func (r *River) Stop(ctx context.Context) error {
	err := r.client.Stop(ctx)
	if r.pool != nil {
		r.pool.Close()
	}
	return err
}
