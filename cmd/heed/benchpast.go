package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/store"
)

// besidePast stands behind the names of the figures of a database with a past.
const besidePast = "_past"

// makePast fills a place before a gateway works in it.
func (b *bench) makePast(ctx context.Context, in *place, past store.Past) error {
	if past == (store.Past{}) {
		return nil
	}
	b.tell("making a past of %s people and %s messages", short(float64(past.People)), short(float64(past.Messages)))
	ids := &gateway.IDs{Now: time.Now, Rand: rand.Uint64}
	db, err := store.Open(ctx, store.Options{URL: in.cfg.Database.URL, Secret: []byte(in.cfg.Keys.Secret), Now: time.Now, NewID: ids.New})
	if err != nil {
		return err
	}
	began := time.Now()
	err = db.MakePast(ctx, past, func(what string) { b.tell("%6.0f s  %s", time.Since(began).Seconds(), what) })
	return errors.Join(err, db.Close())
}

// compare tells how much longer each thing takes beside a past, run by run.
func (b *bench) compare() {
	b.turn = ""
	for _, name := range []string{"messages", "stops", "email", "sms"} {
		alone, beside := b.taken(name), b.taken(name+besidePast)
		for i := range min(len(alone), len(beside)) {
			b.figure(figure{Name: name + "_beside_past", What: "growth: time of one of " + name + " beside a past over an empty database", Unit: "times", Aim: &goal{AtMost: 1.1}}).add(alone[i] / beside[i])
		}
	}
}

// taken are the runs of a figure.
func (b *bench) taken(name string) []float64 {
	if i := slices.IndexFunc(b.figures, func(f *figure) bool { return f.Name == name }); i >= 0 {
		return b.figures[i].Runs
	}
	return nil
}
