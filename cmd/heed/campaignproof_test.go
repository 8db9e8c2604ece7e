package main

import (
	"database/sql"
	"strconv"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/preferences"
)

// TestACampaignCanBeProved: what a campaign decided is kept in few bytes, and tells the
// same as what is kept of a single message: decision, try, disclosure and replay.
func TestACampaignCanBeProved(t *testing.T) {
	onBoth(t, func(t *testing.T, h *heedUnderTest) {
		h.staff("ana", "ben")
		list := people(12, func(i int, p *somebody) {
			p.choices = append(p.choices, optIn("marketing", channels.Email, preferences.Express))
		})
		h.crowd(list)
		id := h.campaign(list, map[string]any{"channels": []string{"email"}})
		h.begin(id)
		h.comesTo(id, "completed")
		eventually(t, "every receipt came", func() bool { return h.reportOf(id)["delivered"] == len(list) })

		all, err := h.server.db.Decisions(t.Context(), 0, 0, 1000)
		if err != nil || len(all) != len(list) {
			t.Fatalf("%d decisions, %v", len(all), err)
		}
		for _, kept := range all {
			r, err := h.server.replayOne(t.Context(), kept)
			if err != nil || !r.Same || r.Decision.Outcome != "send" || r.Decision.Channel != "email" || len(r.Decision.Considered) == 0 || r.Note != "" {
				t.Fatalf("%+v, %v", r, err)
			}
		}
		one := all[0]
		told := h.ok("GET", "/v1/messages/"+strconv.FormatInt(one.Message, 10), nil)
		try := told["attempts"].([]any)[0].(map[string]any)
		if told["decision"].(map[string]any)["outcome"] != "send" || try["status"] != "delivered" || try["content"] != "full" || try["address"] == "" || try["template_version"] == nil {
			t.Errorf("%v", told)
		}
		given, err := h.server.db.Disclosures(t.Context(), one.Patient, time.Time{}, 0, 10)
		if err != nil || len(given) != 1 || given[0].Attempt.Provider != "sendgrid" || given[0].To == "" || given[0].Template != "newsletter" {
			t.Errorf("%+v, %v", given, err)
		}

		// A try that was altered later does not say what the facts do.
		h.alter(t, "UPDATE attempts SET discreet = TRUE")
		altered, err := h.server.db.Decisions(t.Context(), one.Message, 0, 10)
		if err != nil || len(altered) != 1 {
			t.Fatalf("%d, %v", len(altered), err)
		}
		if r, err := h.server.replayOne(t.Context(), altered[0]); err != nil || r.Same {
			t.Errorf("an altered try is told as what was decided: %+v, %v", r, err)
		}
		h.ok("DELETE", "/v1/patients/"+list[3].ref, map[string]any{"reason": "request"})
		patient, err := h.server.db.PatientID(t.Context(), list[3].ref)
		if err != nil {
			t.Fatal(err)
		}
		for _, kept := range all {
			if kept.Patient != patient {
				continue
			}
			gone, err := h.server.db.Decisions(t.Context(), kept.Message, 0, 10)
			if err != nil || len(gone) != 1 || gone[0].Body != nil || gone[0].Outcome != "send" {
				t.Errorf("%+v, %v", gone, err)
			}
			if r, err := h.server.replayOne(t.Context(), gone[0]); err != nil || !r.Erased {
				t.Errorf("%+v, %v", r, err)
			}
		}
	})
}

// alter changes the gateway's database behind its back.
func (h *heedUnderTest) alter(t *testing.T, query string) {
	t.Helper()
	driver, address := "pgx", h.server.cfg.Database.URL
	if path, is := strings.CutPrefix(address, "sqlite:"); is {
		driver, address = "sqlite", path+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
}
