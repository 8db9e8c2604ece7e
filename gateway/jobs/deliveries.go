package jobs

import (
	"context"
	"database/sql"
	"time"

	"github.com/riverqueue/river"
)

// delivery is the argument of a job that makes one try of an outgoing event: an id,
// and nothing of anybody. The id travels as text: as a number it
// loses its last digits on the way to PostgreSQL, where it is read as a float.
type delivery struct {
	ID int64 `json:"id,string"`
}

func (delivery) Kind() string { return "delivery" }

const (
	deliveryQueue = "deliveries"
	// deliveryWorkers is how many tries one replica makes side by side.
	deliveryWorkers = 16
	// deliveryTimeout is longer than a try: the call has a timeout of its own.
	deliveryTimeout = 30 * time.Second
)

type deliveryWorker struct {
	river.WorkerDefaults[delivery]
	o Options
}

func (w *deliveryWorker) Work(ctx context.Context, job *river.Job[delivery]) error {
	err := w.o.Deliver(ctx, job.Args.ID)
	if err != nil {
		w.o.Log.Error("a delivery could not be tried", "delivery", job.Args.ID, "error", err)
	}
	return err
}

func (w *deliveryWorker) Timeout(*river.Job[delivery]) time.Duration { return deliveryTimeout }

func addDeliveries(o Options, workers *river.Workers, queues map[string]river.QueueConfig) {
	river.AddWorker(workers, &deliveryWorker{o: o})
	q := river.QueueConfig{MaxWorkers: deliveryWorkers, FetchCooldown: 20 * time.Millisecond}
	if o.Postgres == "" {
		q.FetchPollInterval = 200 * time.Millisecond // SQLite cannot tell of a new job
	}
	queues[deliveryQueue] = q
}

// Enqueue puts in one job for each delivery, in the transaction that says so. When
// the next try is due stands with the delivery, not with the job: a job is one try.
func (r *River) Enqueue(ctx context.Context, tx *sql.Tx, deliveries []int64) error {
	jobs := make([]river.InsertManyParams, len(deliveries))
	for i, id := range deliveries {
		jobs[i] = river.InsertManyParams{Args: delivery{id}, InsertOpts: &river.InsertOpts{Queue: deliveryQueue, MaxAttempts: 1}}
	}
	_, err := r.client.InsertManyFastTx(ctx, tx, jobs)
	return err
}
