package campaign

import (
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences/policy"
)

const (
	// maxCalls is how many messages that go one by one are in one claim, sideBySide how many
	// of them are under way at a time.
	maxCalls   = 128
	sideBySide = 32
	// maxSlices is how many slices a claim of those who wait makes: each must be sent within
	// the one lease.
	maxSlices = 8
	// textRefused is the code of a text that cannot be rendered for somebody.
	textRefused = "text_refused"
)

// draft is a claim in the making: a pure function of what was judged.
type draft struct {
	door  Door
	newID func() int64
	lease time.Time
	claim *Claim
	open  map[alike]int // the slice that still has room, by its index
	texts map[alike]channels.Outgoing
}

// alike are those to whom one letter goes.
type alike struct {
	channel  channels.Channel
	form     policy.Form
	language string
	discreet bool
	split    int
}

// room says how many one letter goes to, after it was refused so often: each refusal halves
// it, so that one bad address is found in eight steps and keeps nobody else from theirs.
func room(split int) int { return max(1, channels.MaxBatch>>min(split, 8)) }

// plan sorts judged recipients into what is claimed, held back and left for later. In a
// shard it ends before the first who has no place left (grant, by channel), and the
// cursor with it; of those who wait, such a one is passed over.
func (d *draft) plan(rows []Recipient, judged []gateway.Judged, grant map[channels.Channel]int) {
	left := map[channels.Channel]int{}
	for ch, n := range grant {
		left[ch] = n
	}
	for i := range rows {
		r, j := &rows[i], &judged[i]
		switch {
		case j.Outcome == policy.Defer:
			d.claim.Later = append(d.claim.Later, Later{Pos: r.Pos, Patient: r.Patient, Version: j.Version, Code: j.Code, Until: j.Until})
		case j.Outcome != policy.Send:
			d.held(r, j, j.Code)
		case left[j.Pair.Channel] == 0 && d.claim.Lane.Waiting:
		case left[j.Pair.Channel] == 0:
			d.claim.Lane.To = r.Pos - 1
			return
		default:
			if d.add(r, j) {
				left[j.Pair.Channel]--
			}
		}
	}
}

// add puts a recipient into a slice. One whose text cannot be rendered is held back.
func (d *draft) add(r *Recipient, j *gateway.Judged) bool {
	adapter, provider := d.door.Carrier(j.Program, j.Pair.Channel)
	if adapter == nil { // the decision would have said so
		return d.hold(r, j)
	}
	_, batch := adapter.(channels.BatchSender)
	key := alike{channel: j.Pair.Channel, form: j.Form, discreet: j.Discreet}
	if batch {
		key = alike{j.Pair.Channel, j.Form, j.Language, j.Discreet, r.Split}
	}
	item := Item{
		Pos: r.Pos, Patient: r.Patient, Message: j.Message, Attempt: d.newID(), Number: r.Tries + 1, Pair: j.Pair, Version: j.Version,
		NotAfter: j.NotAfter, Form: j.Form.String(), Discreet: j.Discreet, Cap: j.Cap, Facts: j.Facts, Decision: j.Decision,
	}
	if item.Number == 1 {
		item.Attempt = item.Message // nothing of it is kept beside its message: see Slice
	}
	if !batch {
		var err error
		if item.out, err = d.text(j, item.Attempt); err != nil {
			return d.hold(r, j)
		}
	}
	at, ok := d.open[key]
	if !ok && d.claim.Lane.Waiting && len(d.claim.Slices) == maxSlices {
		return false // it waits for the next claim
	}
	if !ok {
		if at, ok = d.begin(key, j, provider, batch); !ok {
			return d.hold(r, j)
		}
	}
	s := &d.claim.Slices[at]
	if batch {
		item.person = d.door.Addressed(d.claim.Campaign, j, item.Attempt)
	}
	if s.Items = append(s.Items, item); batch && len(s.Items) == room(r.Split) {
		delete(d.open, key)
	}
	return true
}

// text writes one message that goes by itself. What holds no link of a person's own is
// written once for all who get the same.
func (d *draft) text(j *gateway.Judged, attempt int64) (channels.Outgoing, error) {
	key := alike{j.Pair.Channel, j.Form, j.Language, j.Discreet, 0}
	out, written := d.texts[key]
	if !written {
		var err error
		if out, err = d.door.Write(d.claim.Campaign, j); err != nil {
			return out, err
		}
		if j.Form != policy.SecureLink && j.Pair.Channel != channels.Email {
			d.texts[key] = out
		}
	}
	out.Attempt, out.Validity = attempt, 0
	if !j.NotAfter.IsZero() { // the provider may hold it until the window closes
		out.Validity = max(j.NotAfter.Sub(d.claim.At), time.Second)
	}
	return out, nil
}

// begin opens a slice; false when its text cannot be rendered.
func (d *draft) begin(key alike, j *gateway.Judged, provider string, batch bool) (int, bool) {
	s := Slice{ID: d.newID(), Channel: j.Pair.Channel, Program: j.Program, Batch: batch, Lease: d.lease, Provider: provider, Wording: j.Wording, Asked: j.Asked,
		Form: j.Form.String(), Discreet: j.Discreet}
	if batch {
		var err error
		if s.letter, err = d.door.Letter(d.claim.Campaign, j); err != nil {
			return 0, false
		}
	}
	d.claim.Slices = append(d.claim.Slices, s)
	d.open[key] = len(d.claim.Slices) - 1
	return d.open[key], true
}

func (d *draft) hold(r *Recipient, j *gateway.Judged) bool {
	d.held(r, j, textRefused)
	return false
}

// held keeps a code alone. A minor's record is to be removed: the service is for adults.
func (d *draft) held(r *Recipient, j *gateway.Judged, code string) {
	d.claim.Held = append(d.claim.Held, Held{Pos: r.Pos, Patient: r.Patient, Version: j.Version, Code: code, Message: r.Message})
	if code == string(policy.PatientMinor) {
		at := d.claim.At
		d.claim.Minors = append(d.claim.Minors, gateway.Task{
			ID: d.newID(), Kind: gateway.TaskMinor, Patient: r.Patient, Created: at, Due: at.Add(gateway.TaskDueIn(gateway.TaskMinor)),
			Detail: gateway.TaskDetail{Title: "A message (" + d.claim.Campaign.Category + ") was held back: the patient is under 18 on the record. Correct the birth date, or remove the record."},
		})
	}
}

// wanted counts the sends by channel: what a claim asks of the pace.
func wanted(judged []gateway.Judged, calls func(channels.Program, channels.Channel) bool) map[channels.Channel]int {
	want := map[channels.Channel]int{}
	for i := range judged {
		j := &judged[i]
		if j.Outcome != policy.Send {
			continue
		}
		if calls(j.Program, j.Pair.Channel) && want[j.Pair.Channel] >= maxCalls {
			continue
		}
		want[j.Pair.Channel]++
	}
	return want
}
