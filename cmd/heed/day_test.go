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

	"harmonize.care/heed/channels"
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
	t.Run("PostgreSQL and Redis", func(t *testing.T) {
		playDay(t, 80, map[string]string{"database.url": emptyPostgres(t), "redis.url": serviceURL(t, "HEED_TEST_REDIS_URL")})
	})
}

func playDay(t *testing.T, people int, more map[string]string) {
	t.Logf("seed %d: go test ./cmd/heed -run TestTheDay -day.seed %d", *daySeed, *daySeed)
	cfg := load(t, more)
	cfg.Sending.Lease = 2 * time.Second // some carriers hang, and each is waited for
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
	began := time.Now()
	b := d.book()
	complaints := append(b.check(), b.outcomes()...)
	t.Logf("%-13s %5.1f s", "the checker", time.Since(began).Seconds())
	for i, complaint := range complaints {
		if i == 50 {
			t.Errorf("and %d more", len(complaints)-i)
			break
		}
		t.Error(complaint)
	}
	b.tells(t, people >= 200)
}

// dayBreadth is what has to happen on a day of 200 people: one on which nothing was
// sent breaks no rule.
const dayBreadth = `sms appointment_reminder, voice appointment_reminder, email appointment_reminder, sms follow_up, voice follow_up, email follow_up,
	sms appointment_change, email appointment_change, sms treatment_update, voice treatment_update, email treatment_update, email legal_notice,
	sms billing_notice, email billing_notice, sms symptom_check_in, email symptom_check_in, email survey, email newsletter, sms marketing, voice marketing,
	email sponsored_marketing, email page_code, sms stop_confirmation, sms cancel_confirmation, sms start_confirmation, sms help, sms crisis, sms staff_alert,
	sms confirm_received, sms reschedule_received, human took a call, machine_end_beep took a call, refused, waited for the morning,
	delivered, suppressed, needs_staff, canceled, address_bad, authorization_missing, confidential_only, consent_missing, opted_out, stopped, wrong_person,
	patient_minor, patient_deceased, patient_erased, purpose_restricted, no_address`

// tells says what the day came to, and fails where too little of it happened.
func (b *dayBook) tells(t *testing.T, whole bool) {
	count := map[string]int{}
	for _, s := range b.provider {
		m := b.messages[b.tries[dayTry(&s.Message)]]
		if s.Inbound || m == nil {
			continue
		}
		count[s.Channel.String()+" "+m.Template]++
		if s.AnsweredBy != "" {
			count[s.AnsweredBy+" took a call"]++
		}
		if s.refused {
			count["refused"]++
		}
		if s.Channel != channels.Email && s.Created.Sub(m.CreatedAt) > 8*time.Hour {
			count["waited for the morning"]++
		}
	}
	for _, m := range b.messages {
		count[m.Status]++
		count[m.Code]++
	}
	var words []string
	for _, k := range slices.Sorted(maps.Keys(count)) {
		words = append(words, fmt.Sprintf("%s %d", k, count[k]))
	}
	t.Log(strings.Join(words, " · "))
	for want := range strings.SplitSeq(dayBreadth, ",") {
		if want = strings.TrimSpace(want); whole && count[want] == 0 {
			t.Errorf("nothing of %q happened", want)
		}
	}
}
