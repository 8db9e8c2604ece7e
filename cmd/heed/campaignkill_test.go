package main

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels/sandbox"
	"harmonize.care/heed/gateway/api"
)

// TestACampaignIsKilledAgainAndAgain kills the gateway while a campaign runs: everybody
// ends with an outcome, nobody gets it twice, and what is on record as sent arrived.
func TestACampaignIsKilledAgainAndAgain(t *testing.T) {
	carrier := sandbox.New(sandbox.Options{AccountSID: killSID, AuthToken: killToken, SendGridKey: "SG.test"})
	defer carrier.Close()
	web := httptest.NewServer(carrier.Handler())
	defer web.Close()
	c := newChild(t, web.URL)
	here := cli{t, []string{"--config", c.file}}
	const people = 1200
	var file, list strings.Builder
	file.WriteString("MRN,First Name,Last Name,DOB,Email\n")
	list.WriteString("patient\n")
	for i := range people {
		fmt.Fprintf(&file, "k%d,Ana,Sample,04/02/1980,k%d@patients.example\n", i, i)
		fmt.Fprintf(&list, "k%d\n", i)
	}
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	here.ok("import", "patients", write("patients.csv", file.String()))
	var made, now api.CampaignOut
	here.json(&made, "campaign", "create", "Autumn", "--category", "newsletter", "--var", "title=Groups", "--var", "text=New groups begin in October.", "--rate", "150")
	if code, _, err := here.run("campaign", "start", made.ID); code != refused || !strings.Contains(err, "not approved") {
		t.Errorf("started without an approval: %d %s", code, err)
	}
	var added api.AudienceOut
	here.json(&added, "campaign", "audience", made.ID, write("list.csv", list.String()))
	var screening api.CampaignCounts
	here.json(&screening, "campaign", "screening", made.ID)
	if added.Added != people || len(screening.Report) != 1 || screening.Report[0].Count != people || screening.Report[0].Outcome != "send" {
		t.Fatalf("%+v %+v", added, screening)
	}
	if code, _, err := here.run("campaign", "approve", made.ID); code != refused || !strings.Contains(err, "second person") {
		t.Errorf("approved by whoever made it: %d %s", code, err)
	}
	c.start()
	if _, err := c.post("/v1/campaigns/"+made.ID+"/approve", "approve", nil); err != nil {
		t.Fatal(err)
	}
	here.ok("campaign", "start", made.ID)
	killed := 0
	for ; killed < *kills; killed++ {
		<-time.After(time.Duration(50+rand.IntN(600)) * time.Millisecond) // somewhere in the middle of it
		c.kill()
		c.start()
		if here.json(&now, "campaign", "show", made.ID); now.Status != "running" {
			break
		}
	}
	eventuallyUntil(t, time.Now().Add(2*time.Minute), "the campaign is over", func() bool {
		here.json(&now, "campaign", "show", made.ID)
		return now.Status == "completed"
	})
	got := map[string]int{}
	for _, m := range carrier.Messages() {
		got[m.To]++
	}
	for to, n := range got {
		if n != 1 {
			t.Errorf("%s got %d", to, n)
		}
	}
	var sent, unheard int64
	for _, row := range now.Progress.Report {
		switch {
		case row.Outcome == "sent":
			sent = row.Count
		case row.Outcome == "failed" && row.Code == "outcome_unknown":
			unheard = row.Count
		default:
			t.Errorf("%+v", row)
		}
	}
	t.Logf("%d kills: %d arrived; on record %d were sent, %d may have been", killed, len(got), sent, unheard)
	if sent+unheard != people || int64(len(got)) < sent || now.Progress.Done != people {
		t.Errorf("%+v", now.Progress)
	}
	if killed < 4 {
		t.Error("it was over too soon: it proves nothing")
	}
	if out := here.ok("campaign", "watch", made.ID); !strings.Contains(out, "completed") {
		t.Error(out)
	}
	c.kill()
}
