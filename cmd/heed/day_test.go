package main

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/gateway/api"
	"harmonize.care/heed/gateway/auth"
)

var daySeed = flag.Uint64("day.seed", 2027, "what the scripted day is drawn from")

// TestTheDay plays a day at a practice: 200 people, reminders by every channel,
// replies of every kind, calls taken by people and machines, unsubscribes by scanners
// and by people, confidential requests in the middle of it. At its end every message
// has an outcome and every outcome a reason, and the pretend provider saw nothing that
// the rules forbid.
func TestTheDay(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { playDay(t, 200, nil) })
}

func playDay(t *testing.T, people int, more map[string]string) {
	t.Logf("seed %d: go test ./cmd/heed -run TestTheDay -day.seed %d", *daySeed, *daySeed)
	cfg := load(t, more)
	cfg.Practice.OnCall = []string{"+13035559900"}
	h := startWith(t, cfg)
	rng := rand.New(rand.NewPCG(*daySeed, 0))
	d := &day{
		heedUnderTest: h, rng: rng, people: dayPeople(rng, people), asked: map[string]*dayMessage{}, early: map[string][]api.LedgerOut{},
		numbers: []string{"+13035559001", "+13035559002"}, desk: h.key("front-desk", auth.Scheduler), privacy: h.key("privacy-officer", auth.Privacy),
		browsers: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	for _, scene := range []struct {
		name string
		play func()
	}{
		{"dawn", d.dawn}, {"reminders", d.reminders}, {"replies", d.replies}, {"mail", d.mail}, {"scanners", d.scanners}, {"unsubscribes", d.unsubscribes},
		{"codes", d.codes}, {"confidential", d.confidential}, {"noon", d.noon}, {"calls", d.calls}, {"afternoon", d.afternoon}, {"night", d.night}, {"days", d.days},
	} {
		began := time.Now()
		scene.play()
		t.Logf("%-13s %5.1f s", scene.name, time.Since(began).Seconds())
	}
	b := d.book()
	for _, complaint := range append(b.check(), b.outcomes()...) {
		t.Error(complaint)
	}
	b.tells(t)
}

// tells says what the day came to, and fails where too little of it happened: a day on
// which nothing was sent breaks no rule.
func (b *dayBook) tells(t *testing.T) {
	seen, ended, codes := map[string]int{}, map[string]int{}, map[string]int{}
	for _, s := range b.provider {
		if m := b.messages[b.tries[dayTry(&s.Message)]]; !s.Inbound && m != nil {
			seen[s.Channel.String()+" "+m.Template]++
		}
	}
	for _, m := range b.messages {
		ended[m.Status]++
		codes[m.Code]++
	}
	for _, list := range []map[string]int{seen, ended, codes} {
		var words []string
		for _, k := range slices.Sorted(maps.Keys(list)) {
			words = append(words, fmt.Sprintf("%s: %d", k, list[k]))
		}
		t.Log(strings.Join(words, " · "))
	}
}
