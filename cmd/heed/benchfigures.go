package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// goal is what a figure should reach; 0: nothing is asked of this.
type goal struct {
	AtLeast float64 `json:"at_least,omitempty"`
	AtMost  float64 `json:"at_most,omitempty"`
	Ratio   float64 `json:"ratio_at_least,omitempty"`
	Allocs  bool    `json:"no_allocations,omitempty"`
	CPU     float64 `json:"cpu_s_per_1000_at_most,omitempty"`
	Memory  float64 `json:"memory_mb_at_most,omitempty"`
}

// figure is one thing that was measured, in several runs.
type figure struct {
	Name    string    `json:"name"`
	What    string    `json:"what"`
	Unit    string    `json:"unit"`
	Median  float64   `json:"median"`
	Runs    []float64 `json:"runs"`
	Of      string    `json:"of,omitempty"`    // the limit that it is a ratio of
	Ratio   float64   `json:"ratio,omitempty"` // median over median
	Allocs  *float64  `json:"allocations,omitempty"`
	CPU     float64   `json:"cpu_s_per_1000,omitempty"` // of this process
	Memory  float64   `json:"memory_mb,omitempty"`      // the most that this process held
	Aim     *goal     `json:"aim,omitempty"`
	Reached *bool     `json:"reached,omitempty"`

	cpu, memory []float64 // by run
}

// figure gives the figure of a name, new when there is none yet.
func (b *bench) figure(f figure) *figure {
	if f.Name += b.turn; b.turn != "" {
		f.What += ", with a past"
	}
	if f.Of != "" {
		f.Of += b.turn
	}
	if i := slices.IndexFunc(b.figures, func(old *figure) bool { return old.Name == f.Name }); i >= 0 {
		return b.figures[i]
	}
	b.figures = append(b.figures, &f)
	return &f
}

// onPostgres is an aim that is one on PostgreSQL alone.
func (b *bench) onPostgres(g goal) *goal {
	if _, postgres := b.db.SQL(); postgres == "" {
		return nil
	}
	return &g
}

func (f *figure) add(value float64) { f.Runs = append(f.Runs, value) }

// addSpent adds a run with what it took of this process.
func (f *figure) addSpent(value float64, s spent, n int) {
	f.add(value)
	f.cpu = append(f.cpu, s.cpu.Seconds()*1000/float64(n))
	f.memory = append(f.memory, s.peak/(1<<20))
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// settle works out what the runs come to.
func (f *figure) settle(all []*figure) {
	f.Median = median(f.Runs)
	f.CPU = median(f.cpu)
	if len(f.memory) > 0 {
		f.Memory = slices.Max(f.memory)
	}
	if i := slices.IndexFunc(all, func(l *figure) bool { return l.Name == f.Of }); i >= 0 && f.Of != "" {
		f.Ratio = f.Median / median(all[i].Runs)
	}
	if f.Aim != nil {
		reached := f.Aim.reached(f)
		f.Reached = &reached
	}
}

func (a *goal) reached(f *figure) bool {
	atMost := func(value, most float64) bool { return most == 0 || value <= most }
	return f.Median >= a.AtLeast && atMost(f.Median, a.AtMost) && f.Ratio >= a.Ratio && atMost(f.CPU, a.CPU) && atMost(f.Memory, a.Memory) &&
		(!a.Allocs || f.Allocs != nil && *f.Allocs == 0)
}

// benchReport is all that was measured, and on what.
type benchReport struct {
	Version  string     `json:"version"`
	CPUs     int        `json:"cpus"`
	System   string     `json:"system"`
	Database string     `json:"database"` // sqlite or postgresql
	Cache    string     `json:"cache"`    // process or redis
	Scale    benchScale `json:"scale"`
	Figures  []*figure  `json:"figures"`
}

func (b *bench) report(p *place) benchReport {
	for _, f := range b.figures {
		f.settle(b.figures)
	}
	return benchReport{
		Version: version(), CPUs: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Database: p.database, Cache: p.cache,
		Scale: b.scale, Figures: b.figures,
	}
}

func (r *benchReport) write(w io.Writer) {
	fmt.Fprintf(w, "Heed %s on %s, %s, database %s, cache %s; medians of %d\n\n", r.Version, counted(r.CPUs, "CPU"), r.System, r.Database, r.Cache, r.Scale.Runs)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "what\tfigure\tratio\taim\treached\tCPU-s per 1,000\tMB\truns")
	for _, f := range r.Figures {
		fmt.Fprintln(t, strings.Join([]string{f.What, f.value(), f.ratio(), f.Aim.String(), f.verdict(), some(f.CPU), some(f.Memory), f.runs()}, "\t"))
	}
	_ = t.Flush() // the writer underneath says it at its own end
}

func (f *figure) value() string {
	text := short(f.Median) + " " + f.Unit
	if f.Allocs != nil {
		text += ", " + short(*f.Allocs) + " allocations"
	}
	return text
}

func (f *figure) ratio() string {
	if f.Ratio == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f %% of %s", f.Ratio*100, f.Of)
}

func (f *figure) verdict() string {
	switch {
	case f.Reached == nil:
		return ""
	case *f.Reached:
		return "yes"
	}
	return "no"
}

func (f *figure) runs() string {
	var list []string
	for _, v := range f.Runs {
		list = append(list, short(v))
	}
	return strings.Join(list, " ")
}

// String tells an aim in words; nothing for none.
func (a *goal) String() string {
	if a == nil {
		return ""
	}
	var list []string
	add := func(value float64, format string, scale float64) {
		if value != 0 {
			list = append(list, fmt.Sprintf(format, short(value*scale)))
		}
	}
	add(a.AtLeast, "≥ %s", 1)
	add(a.AtMost, "≤ %s", 1)
	add(a.Ratio, "≥ %s %%", 100)
	if a.Allocs {
		list = append(list, "0 allocations")
	}
	add(a.CPU, "≤ %s CPU-s", 1)
	add(a.Memory, "≤ %s MB", 1)
	return strings.Join(list, ", ")
}

func some(v float64) string {
	if v == 0 {
		return ""
	}
	return short(v)
}

// short writes a number with three digits or so, and marks between the thousands.
func short(v float64) string {
	if v == math.Trunc(v) && v < 1000 || v >= 1000 {
		digits := strconv.FormatInt(int64(math.Round(v)), 10)
		for i := len(digits) - 3; i > 0; i -= 3 {
			digits = digits[:i] + "," + digits[i:]
		}
		return digits
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// quantile gives the value below which a part of the list lies.
func quantile[T cmp.Ordered](list []T, part float64) T {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[min(int(float64(len(sorted))*part), len(sorted)-1)]
}
