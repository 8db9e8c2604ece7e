package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"harmonize.care/heed/config"
	"harmonize.care/heed/gateway/store"
)

// benchScale is how much is measured.
type benchScale struct {
	Runs     int           `json:"runs"`     // of each measure; the median counts
	Size     int           `json:"audience"` // people in the large audience; the small one is a tenth
	texts    int           // people who get a campaign by text, in one run
	messages int           // single messages in one run
	stops    int           // in one run
	quiet    int           // stops one after the other
	loop     time.Duration // of what is repeated for a while
	// Past is what the database has behind it when everything is measured a second time.
	Past store.Past `json:"past,omitzero"`
}

// quickScale shows that everything works; its figures say little.
var quickScale = benchScale{Runs: 1, Size: 60, texts: 32, messages: 16, stops: 16, quiet: 4, loop: 20 * time.Millisecond}

func fullScale(runs, size int) benchScale {
	return benchScale{Runs: runs, Size: size, texts: size / 5, messages: size / 16, stops: size / 32, quiet: min(size/100, 300), loop: time.Second}
}

// measures are what can be asked for by name, in the order in which they are taken.
var measures = []struct {
	name string
	take func(*bench, context.Context) error
}{
	{"decision", (*bench).decision},
	{"screening", (*bench).screening},
	{"messages", (*bench).messages},
	{"stops", (*bench).stops},
	{"email", (*bench).email},
	{"sms", (*bench).sms},
}

func measureNames() []string {
	var names []string
	for _, m := range measures {
		names = append(names, m.name)
	}
	return names
}

// bench is one run of all measures, against a gateway that was started for it.
type bench struct {
	*server
	scale   benchScale
	carrier *carrierProcess
	people  *population
	tell    func(format string, args ...any)
	figures []*figure
	turn    string // beside a past: behind the name of each figure
}

func benchCommand(c *command) *cobra.Command {
	var runs, size int
	var past store.Past
	var quick bool
	var profile string
	cmd := &cobra.Command{
		Use: "bench [NAME…]", Short: "Measure this machine: how fast Heed is on it, and the machine's own limits",
		Long: "Measure how fast Heed is on this machine, and the machine's own limits in the same run, so that each figure is a\n" +
			"ratio too. It works in a throw-away SQLite file, or on the server of database.url (PostgreSQL) in a database of\n" +
			"its own, and leaves nothing behind. Providers are played by a process on this machine: nothing leaves it.\n\n" +
			"NAME: " + strings.Join(measureNames(), ", ") + "; none: all of them.",
		Args: cobra.OnlyValidArgs, ValidArgs: measureNames(),
		RunE: func(cmd *cobra.Command, names []string) error {
			scale := fullScale(runs, size)
			if quick {
				scale = quickScale
			}
			if runs < 1 || runs > 99 || size < 1000 || size > 5_000_000 {
				return usageError{errors.New("--runs: 1 to 99; --size: 1,000 to 5,000,000 people")}
			}
			if past != (store.Past{}) {
				if err := past.Check(); err != nil {
					return usageError{fmt.Errorf("--past-people, --past-messages: %w", err)}
				}
			}
			scale.Past = past
			return c.profiled(profile, func() error { return c.bench(cmd.Context(), scale, names) })
		},
	}
	f := cmd.Flags()
	f.IntVar(&runs, "runs", 3, "how often each is measured; the median counts")
	f.IntVar(&size, "size", 100_000, "people in the large audience; the small one is a tenth of it")
	f.IntVar(&past.People, "past-people", 0, "PostgreSQL: measure again in a database with so many people on file …")
	f.IntVar(&past.Messages, "past-messages", 0, "… who got so many messages in two years, and tell how much slower it is")
	f.BoolVar(&quick, "quick", false, "a small run that shows that it works; its figures say little")
	f.StringVar(&profile, "profile", "", "a file for a CPU profile of the whole run, as `go tool pprof` reads it")
	cmd.AddCommand(carrierCommand(c))
	return cmd
}

// profiled writes a CPU profile of what is done.
func (c *command) profiled(path string, work func() error) error {
	if path == "" {
		return work()
	}
	file, err := os.Create(path)
	if err != nil {
		return usageError{err}
	}
	defer file.Close()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	err = work()
	pprof.StopCPUProfile()
	return errors.Join(err, file.Close())
}

// bench makes a place, runs a gateway in it, measures, and clears the place away
// whatever happened; where a past is asked for, a second time in a place that has one.
func (c *command) bench(ctx context.Context, scale benchScale, names []string) error {
	// The run has a secret of its own, so that a database's address is enough.
	c.settings = append([]string{"keys.secret=" + secretText()}, c.settings...)
	settings, err := c.config()
	if err != nil {
		return err
	}
	if scale.Past != (store.Past{}) && strings.HasPrefix(settings.Database.URL, "sqlite:") {
		return usageError{store.ErrNoPast}
	}
	carrier, err := startCarrier(ctx)
	if err != nil {
		return err
	}
	defer carrier.stop()
	b := &bench{scale: scale, carrier: carrier, tell: func(format string, args ...any) {
		if !c.asJSON {
			fmt.Fprintf(c.err, format+"\n", args...)
		}
	}}
	place, err := b.in(ctx, settings, quiet(c.log()), names, store.Past{})
	if err == nil && scale.Past != (store.Past{}) {
		b.turn = besidePast
		place, err = b.in(ctx, settings, quiet(c.log()), names, scale.Past)
		b.compare()
	}
	if err != nil {
		return err
	}
	r := b.report(place)
	return c.answer(r, func(w io.Writer) { r.write(w) })
}

// in takes the measures in a place that is made for them, and clears it away.
func (b *bench) in(ctx context.Context, settings *config.Config, log *slog.Logger, names []string, past store.Past) (*place, error) {
	place, err := openPlace(ctx, settings, b.carrier.url)
	if err != nil {
		return nil, err
	}
	b.people = &population{}
	b.tell("measuring in %s", place.what)
	if err = b.makePast(ctx, place, past); err == nil {
		measured, cancel := context.WithCancel(ctx)
		err = serve(measured, place.cfg, log, func(s *server) error {
			defer cancel() // it ends when everything is measured
			b.server = s
			return b.all(measured, names)
		})
		cancel()
	}
	return place, errors.Join(err, place.clear(ctx, b.people))
}

// all takes the measures that were asked for.
func (b *bench) all(ctx context.Context, names []string) error {
	if err := b.awake(ctx); err != nil {
		return err
	}
	if err := b.machine(ctx); err != nil {
		return err
	}
	for _, m := range measures {
		if len(names) > 0 && !slices.Contains(names, m.name) {
			continue
		}
		b.tell("%s …", m.name)
		if err := m.take(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		runtime.GC() // what one measure left is not the next one's to clear
	}
	return nil
}

// awake waits until the gateway may claim messages.
func (b *bench) awake(ctx context.Context) error {
	return until(ctx, 10*time.Second, "the gateway is ready", func() (bool, error) { return b.ready() == nil, nil })
}

// lookEvery is how often something is looked at that is waited for: seldom enough to be no
// load of its own, often enough for a campaign of a second.
const lookEvery = 10 * time.Millisecond

// until looks again and again until something holds.
func until(ctx context.Context, most time.Duration, what string, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("not within %s: %s", most, what))
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if ok, err := holds(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
