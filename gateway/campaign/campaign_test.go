package campaign

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// door is a door without a provider behind it.
type door struct {
	Door
	refuses func(*gateway.Judged) bool // texts that cannot be rendered
}

type caller struct{ channels.Adapter }
type mailer struct {
	channels.Adapter
	channels.BatchSender
}

func (d door) Carrier(_ channels.Program, ch channels.Channel) (channels.Adapter, string) {
	if ch == channels.Email {
		return mailer{}, "sendgrid"
	}
	return caller{}, "twilio"
}

func (d door) failure(j *gateway.Judged) error {
	if d.refuses != nil && d.refuses(j) {
		return errors.New("refused")
	}
	return nil
}

func (d door) Write(_ *gateway.Campaign, j *gateway.Judged) (channels.Outgoing, error) {
	return channels.Outgoing{}, d.failure(j)
}

func (d door) Letter(_ *gateway.Campaign, j *gateway.Judged) (channels.Letter, error) {
	return channels.Letter{Subject: j.Language}, d.failure(j)
}

func (d door) Addressed(_ *gateway.Campaign, _ *gateway.Judged, attempt int64) channels.Person {
	return channels.Person{Attempt: attempt}
}

func drafted(lane Lane, d door) (*draft, *Claim) {
	next := int64(0)
	claim := &Claim{Campaign: &gateway.Campaign{Category: "newsletter"}, Lane: lane}
	return &draft{door: d, newID: func() int64 { next++; return next }, claim: claim, open: map[alike]int{}, texts: map[alike]channels.Outgoing{}}, claim
}

// TestPlan holds every plan to what must be true of it, whatever was judged.
func TestPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lane := Lane{Waiting: rapid.Bool().Draw(t, "waiting")}
		n := rapid.IntRange(0, 300).Draw(t, "people")
		rows, judged := make([]Recipient, n), make([]gateway.Judged, n)
		sends := map[channels.Channel]int{}
		for i := range n {
			rows[i] = Recipient{Pos: int64(10 * (i + 1)), Patient: int64(i + 1)}
			if lane.Waiting {
				rows[i].Split = rapid.IntRange(0, 10).Draw(t, "split")
			}
			j := &judged[i]
			j.Outcome = rapid.SampledFrom([]policy.Outcome{policy.Send, policy.Send, policy.Send, policy.Defer, policy.Suppress}).Draw(t, "outcome")
			j.Pair = preferences.Pair{Channel: rapid.SampledFrom([]channels.Channel{channels.Email, channels.SMS}).Draw(t, "channel")}
			j.Language = rapid.SampledFrom([]string{"en", "es"}).Draw(t, "language")
			j.Discreet = rapid.Bool().Draw(t, "discreet")
			if j.Outcome == policy.Send {
				sends[j.Pair.Channel]++
			}
		}
		lane.To = int64(10 * n)
		grant := map[channels.Channel]int{}
		for ch, most := range sends {
			grant[ch] = rapid.IntRange(0, most).Draw(t, "grant")
		}
		refuse := rapid.Bool().Draw(t, "refuse Spanish")
		d, claim := drafted(lane, door{refuses: func(j *gateway.Judged) bool { return refuse && j.Language == "es" }})
		d.plan(rows, judged, grant)

		seen, used := map[int64]bool{}, map[channels.Channel]int{}
		once := func(pos int64) {
			if seen[pos] {
				t.Fatalf("position %d stands twice", pos)
			}
			seen[pos] = true
		}
		for _, s := range claim.Slices {
			if len(s.Items) == 0 {
				t.Fatal("a slice of nobody")
			}
			for _, i := range s.Items {
				once(i.Pos)
				used[s.Channel]++
				j := judged[i.Pos/10-1]
				if s.Batch && (j.Language != s.letter.Subject || len(s.Items) > room(rows[i.Pos/10-1].Split)) {
					t.Fatalf("a letter of %d that is not for all of them", len(s.Items))
				}
				if refuse && j.Language == "es" {
					t.Fatal("a text that cannot be rendered is claimed")
				}
			}
		}
		for _, h := range claim.Held {
			once(h.Pos)
		}
		for _, l := range claim.Later {
			once(l.Pos)
		}
		for ch, n := range used {
			if n > grant[ch] {
				t.Fatalf("%d of %d places", n, grant[ch])
			}
		}
		if lane.Waiting {
			if len(claim.Slices) > maxSlices {
				t.Fatalf("%d slices under one lease", len(claim.Slices))
			}
			return
		}
		// The cursor passes over nobody: everybody up to it has something said of them, and
		// nobody behind it has.
		for i := range n {
			if pos := rows[i].Pos; seen[pos] != (pos <= claim.Lane.To) {
				t.Fatalf("position %d, with the cursor at %d: %v", pos, claim.Lane.To, seen[pos])
			}
		}
	})
}

// TestHalving finds one refused person among the most that a letter goes to, in few letters.
func TestHalving(t *testing.T) {
	for _, bad := range []int64{1, 77, 250} {
		waiting := map[int64]int{}
		for pos := range int64(channels.MaxBatch) {
			waiting[pos+1] = 0
		}
		letters, found := 0, int64(0)
		for len(waiting) > 0 {
			var rows []Recipient
			for pos := int64(1); pos <= channels.MaxBatch; pos++ {
				if split, ok := waiting[pos]; ok {
					rows = append(rows, Recipient{Pos: pos, Patient: pos, Split: split})
				}
			}
			judged := make([]gateway.Judged, len(rows))
			for i := range judged {
				judged[i] = gateway.Judged{Outcome: policy.Send, Pair: preferences.Pair{Channel: channels.Email}}
			}
			d, claim := drafted(Lane{Waiting: true}, door{})
			d.plan(rows, judged, map[channels.Channel]int{channels.Email: len(rows)})
			for _, s := range claim.Slices {
				letters++
				refused := false
				for _, i := range s.Items {
					refused = refused || i.Pos == bad
				}
				for _, i := range s.Items {
					switch {
					case !refused:
						delete(waiting, i.Pos)
					case len(s.Items) == 1:
						found = i.Pos
						delete(waiting, i.Pos)
					default:
						waiting[i.Pos]++
					}
				}
			}
			if letters > 40 {
				t.Fatalf("%d letters, and %d still wait", letters, len(waiting))
			}
		}
		if found != bad {
			t.Errorf("found %d, not %d", found, bad)
		}
	}
}

func read(t *testing.T, f Format, text string) ([]string, error) {
	t.Helper()
	var all []string
	err := readAudience(strings.NewReader(text), f, func(refs []string) error {
		if len(refs) > audienceBatch {
			t.Errorf("%d at a time", len(refs))
		}
		all = append(all, refs...)
		return nil
	})
	return all, err
}

func TestReadingAnAudience(t *testing.T) {
	long := strings.Repeat("x", maxLine+10)
	for name, c := range map[string]struct {
		format Format
		text   string
		want   string // joined by |, or the error's words
	}{
		"one column":         {CSV, "patient\na\nb\n", "a|b"},
		"among others":       {CSV, "\ufeffname, Patient \r\n\"Ann, B\", 17 \r\nC,18\r\n", "17|18"},
		"a line too short":   {CSV, "name,patient\nAnn\nC,18\n", "|18"},
		"no id can be so":    {CSV, "patient\na\x00b\n" + strings.Repeat("y", 200) + "\nc\n", "||c"},
		"no column":          {CSV, "name\nAnn\n", "no column"},
		"nothing at all":     {CSV, "", "is empty"},
		"a quote stands so":  {CSV, "patient\na\nb\"c\n", "line 3"},
		"a quote never ends": {CSV, "patient\n\"" + long + long, "64 KB"},
		"objects and texts":  {NDJSON, "{\"patient\":\"a\"}\n\n\"b\"\n", "a|b"},
		"another member":     {NDJSON, "{\"patient\":\"a\"}\n{\"patient\":\"b\",\"name\":\"c\"}\n", "line 2"},
		"no JSON":            {NDJSON, "a\n", "line 1"},
		"a long line":        {NDJSON, "\"" + long + "\"\n", "64 KB"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(t, c.format, c.text)
			told := strings.Join(got, "|")
			if err != nil {
				told = err.Error()
			}
			if err == nil && told != c.want || err != nil && !strings.Contains(told, c.want) {
				t.Errorf("%q", told)
			}
			if strings.Contains(told, "xxxx") {
				t.Error("a mistake repeats what was sent")
			}
		})
	}
	var many strings.Builder
	many.WriteString("patient\n")
	for i := range 2500 {
		fmt.Fprintf(&many, "p%d\n", i)
	}
	if got, err := read(t, CSV, many.String()); err != nil || len(got) != 2500 || got[2499] != "p2499" {
		t.Errorf("%d, %v", len(got), err)
	}
}

func FuzzReadAudience(f *testing.F) {
	f.Add("patient\na\n", true)
	f.Add("{\"patient\":\"a\"}\n", false)
	f.Fuzz(func(t *testing.T, text string, table bool) {
		format := NDJSON
		if table {
			format = CSV
		}
		_ = readAudience(strings.NewReader(text), format, func(refs []string) error {
			for _, ref := range refs {
				if len(ref) > maxRef || gateway.TextProblem(ref, false) != "" {
					t.Errorf("%q is nobody's id", ref)
				}
			}
			return nil
		})
	})
}

func TestReportCountsEverybodyOnce(t *testing.T) {
	tallies := []Tally{
		{State: 0, Count: 5}, {State: 1, Code: "quiet_hours", Count: 4}, {State: 3, Code: "opted_out", Count: 3},
		{State: 2, Status: gateway.Delivered, Channel: channels.Email, Count: 2}, {State: 2, Status: gateway.Unknown, Channel: channels.Email, Count: 1},
	}
	running := report(&gateway.Campaign{Status: gateway.CampaignRunning}, tallies)
	if running.People != 15 || running.Done != 5 {
		t.Errorf("%+v", running)
	}
	canceled := report(&gateway.Campaign{Status: gateway.CampaignCanceled}, tallies)
	if canceled.People != 15 || canceled.Done != 14 {
		t.Errorf("%+v", canceled)
	}
	small := report(&gateway.Campaign{}, []Tally{{State: 3, Code: "opted_out", Count: 1}, {State: 3, Code: "stopped", Count: 2}}).Blur()
	if len(small.Rows) != 1 || small.Rows[0].Code != "" || small.Rows[0].Count != 3 {
		t.Errorf("a list of three tells why: %+v", small)
	}
	padded := report(&gateway.Campaign{}, []Tally{{State: 3, Code: "opted_out", Count: 1}, {State: 3, Code: "patient_unknown", Count: 99}}).Blur()
	if len(padded.Rows) != 1 || padded.Rows[0].Code != "" || padded.People != 100 {
		t.Errorf("a list of one among ids that nobody has tells why: %+v", padded)
	}
	if running.Blur().Rows[0].Count == 0 || len(running.Blur().Rows) != len(running.Rows) {
		t.Error("a larger one is blurred too")
	}
}
