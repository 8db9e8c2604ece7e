package campaign

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences/policy"
)

// Object is a campaign in the audit log.
func Object(id int64) string { return "campaign:" + strconv.FormatInt(id, 10) }

// Tally is how many recipients stand alike.
type Tally struct {
	State   int // 0 ahead 1 waits 2 has a message 3 held back
	Status  gateway.Status
	Later   bool // it waits for a time to come
	Code    string
	Channel channels.Channel
	Count   int64
}

// outcome is the word for how a message of theirs stands.
func (t *Tally) outcome() string {
	var due, now time.Time
	if t.Later {
		due = now.Add(time.Second)
	}
	return t.Status.Name(due, now)
}

// Standing is where one recipient stands.
type Standing struct {
	Pos     int64
	State   int
	Code    string
	Due     time.Time
	Version int64
	Message int64
}

// The words for how recipients stand, beside a message's statuses.
const (
	Pending = "pending" // nobody looked yet
	Waits   = "waiting" // for a window, a cap, or the provider
)

// Row is how many recipients came to the same.
type Row struct {
	Outcome string           // pending, waiting, or a message's status
	Code    string           // the rule, or the provider's code
	Channel channels.Channel // 0: none chosen
	Count   int64
}

// Report is where a campaign stands. It counts, and names nobody.
type Report struct {
	People int64
	Done   int64 // have an outcome: nothing more is done for them
	Rows   []Row
}

// Report counts.
func (s *Service) Report(ctx context.Context, c *gateway.Campaign) (Report, error) {
	tallies, err := s.Office.Tallies(ctx, c.ID)
	if err != nil {
		return Report{}, err
	}
	return report(c, tallies), nil
}

func report(c *gateway.Campaign, tallies []Tally) Report {
	var r Report
	for _, t := range tallies {
		row := Row{Outcome: t.outcome(), Code: t.Code, Channel: t.Channel, Count: t.Count}
		open := t.Status == gateway.Waiting || t.Status == gateway.Sending || t.Status == gateway.Unknown
		switch t.State {
		case 0, 1:
			row.Outcome, open = Pending, true
			if t.State == 1 {
				row.Outcome = Waits
			}
			if c.Status == gateway.CampaignCanceled {
				row.Outcome, row.Code, open = gateway.Canceled.Name(time.Time{}, time.Time{}), gateway.CampaignCanceledCode, false
			}
		case 3:
			row.Outcome, open = gateway.Suppressed.Name(time.Time{}, time.Time{}), false
		}
		r.People += t.Count
		if !open {
			r.Done += t.Count
		}
		r.add(row)
	}
	r.sort()
	return r
}

func (r *Report) add(row Row) {
	for i := range r.Rows {
		if have := &r.Rows[i]; have.Outcome == row.Outcome && have.Code == row.Code && have.Channel == row.Channel {
			have.Count += row.Count
			return
		}
	}
	r.Rows = append(r.Rows, row)
}

func (r *Report) sort() {
	slices.SortFunc(r.Rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Channel, b.Channel))
	})
}

// few is an audience so small that its counts would tell of somebody why they are left out.
const few = 5

// Blur takes the reasons out of the counts of a very small audience: those who may not
// learn why a named person was left out learn it from no list of one either, nor from one
// that was made longer by ids that nobody has.
func (r Report) Blur() Report {
	known := r.People
	for _, row := range r.Rows {
		if row.Code == string(policy.PatientUnknown) {
			known -= row.Count
		}
	}
	if known >= few {
		return r
	}
	blurred := Report{People: r.People, Done: r.Done}
	for _, row := range r.Rows {
		row.Code, row.Channel = "", 0
		blurred.add(row)
	}
	blurred.sort()
	return blurred
}

// screenBatch is how many recipients are screened at a time: memory does not grow with
// the audience.
const screenBatch = 1000

// Screen judges a whole audience as of now, and sends nothing. The moment of each send
// decides again.
func (s *Service) Screen(ctx context.Context, c *gateway.Campaign) (Report, error) {
	r := Report{}
	count := map[Row]int64{}
	for after := int64(0); ; {
		rows, err := s.Office.Recipients(ctx, c.ID, after, screenBatch)
		if err != nil {
			return r, err
		}
		list := make([]gateway.Candidate, len(rows))
		for i := range rows {
			list[i].Patient, after = rows[i].Patient, rows[i].Pos
		}
		judged, err := s.Door.Screen(ctx, c, list)
		if err != nil {
			return r, err
		}
		for i := range judged {
			j := &judged[i]
			row := Row{Outcome: j.Outcome.String(), Code: j.Code}
			if j.Outcome != policy.Suppress {
				row.Channel = j.Pair.Channel
			}
			count[row]++
		}
		if len(rows) < screenBatch {
			break
		}
	}
	unknown, err := s.unknown(ctx, c)
	if err != nil {
		return r, err
	}
	if unknown > 0 {
		count[Row{Outcome: policy.Suppress.String(), Code: string(policy.PatientUnknown)}] += unknown
	}
	for row, n := range count {
		row.Count = n
		r.Rows, r.People = append(r.Rows, row), r.People+n
	}
	r.sort()
	return r, nil
}

// unknown counts the positions at which nobody known stood.
func (s *Service) unknown(ctx context.Context, c *gateway.Campaign) (int64, error) {
	tallies, err := s.Office.Tallies(ctx, c.ID)
	n := int64(0)
	for _, t := range tallies {
		if t.State == 3 && t.Code == string(policy.PatientUnknown) {
			n += t.Count
		}
	}
	return n, err
}
