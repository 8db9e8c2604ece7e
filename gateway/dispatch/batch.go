package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"harmonize.care/heed/gateway"
)

// Batch collects what several requests come to, so that all of it is kept in one
// commit or none is. Nothing is kept before Commit.
type Batch struct {
	d      *Dispatcher
	change gateway.Change
}

// NewBatch begins an empty one. The actor stands in the audit log.
func (d *Dispatcher) NewBatch(actor string) *Batch {
	return &Batch{d: d, change: gateway.Change{At: d.Now(), Actor: actor}}
}

// At is the moment that everything in it is judged at.
func (b *Batch) At() time.Time { return b.change.At }

// Accept takes one request in. A bad one is told in Accepted.Err and adds nothing; the
// error is a fault.
func (b *Batch) Accept(ctx context.Context, r Request) (Accepted, error) {
	m, got, err := b.d.accept(ctx, b.change.Actor, r, b.change.At)
	var wrong gateway.Invalid
	switch {
	case errors.As(err, &wrong), errors.Is(err, gateway.ErrNotFound), errors.Is(err, gateway.ErrErased):
		return Accepted{Err: err}, nil
	case err != nil:
		return Accepted{}, err
	}
	b.change.Accepts = append(b.change.Accepts, m)
	if m.Body.Override != "" {
		b.change.Audit = append(b.change.Audit, gateway.Audit{Verb: "message.override", Object: fmt.Sprintf("message:%d", m.ID)})
	}
	return got, nil
}

// Cancel takes a waiting message back. When it no longer waits at the commit,
// nothing of the batch is kept: what was judged beside it no longer holds.
func (b *Batch) Cancel(message int64, code string) {
	b.change.Whole = true
	b.change.Steps = append(b.change.Steps, gateway.Step{Message: message, From: gateway.Waiting, To: gateway.Canceled, Code: code})
	b.change.Audit = append(b.change.Audit, gateway.Audit{Verb: "message.cancel", Object: fmt.Sprintf("message:%d", message)})
}

// Turn says that what is accepted was judged when the reference had so many messages.
func (b *Batch) Turn(reference string, had int) {
	b.change.Turns = append(b.change.Turns, gateway.Turn{Reference: reference, Had: had})
}

// Empty says that there is nothing to keep.
func (b *Batch) Empty() bool { return len(b.change.Accepts) == 0 && len(b.change.Steps) == 0 }

// MovedOn says that an error of Commit means that something moved on while it was
// judged, and nothing was kept: judge it all again, in a new batch.
func MovedOn(err error) bool {
	return errors.Is(err, gateway.ErrStale) || errors.Is(err, gateway.ErrErased)
}

// Commit keeps it all, or nothing: MovedOn.
func (b *Batch) Commit(ctx context.Context) error {
	if b.Empty() {
		return nil
	}
	_, err := b.commit(ctx)
	return err
}

func (b *Batch) commit(ctx context.Context) (gateway.Kept, error) {
	kept, err := b.d.Store.Commit(ctx, b.change)
	switch {
	case err == nil:
		for _, q := range gateway.Queues {
			if slices.ContainsFunc(b.change.Accepts, func(m gateway.Message) bool { return m.Queue == q }) {
				b.d.wake(q)
			}
		}
	case errors.Is(err, gateway.ErrErased): // while it was judged: the cache is behind
		for i := range b.change.Accepts {
			b.d.Cache.Delete(ctx, b.change.Accepts[i].Patient)
		}
	}
	return kept, err
}
