package intake

import (
	"context"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

// What the evidence of an imported word says, beside whatever the file has.
const (
	evidenceSaidOn = "said_on"  // the day or instant of its row; "" where it has none
	evidenceOfRow  = "evidence" // the row's own
)

// ImportedStop is a stop as a practice's list tells it.
type ImportedStop struct {
	Number     string // E.164
	Program    channels.Program
	Everything bool
	Said       time.Time // zero: not told
	SaidOn     string    // what the row says of it, always written alike: by it a row is known again
	Evidence   string
}

// StopOutcome says what became of one.
type StopOutcome struct {
	Changed bool
	// Lifted: a program was started again after this stop, or after an import told of it.
	// It stays so: the same row every night must not undo what was said since.
	Lifted bool
}

// ImportStops records the stops of a batch that are news, all of them in one commit. A
// stop that is in force already, or that an import told of before, is none.
func (s *Service) ImportStops(ctx context.Context, actor string, list []ImportedStop) ([]StopOutcome, error) {
	now := s.Now()
	c := gateway.Change{At: now, Actor: actor}
	out := make([]StopOutcome, len(list))
	known := map[string]*numberKnown{}
	for i := range list {
		in := &list[i]
		n, err := s.numberKnown(ctx, known, in.Number)
		if err != nil {
			return nil, err
		}
		news, lifted := n.news(in, s.Policy.Stops(in.Program, in.Everything, now))
		out[i] = StopOutcome{Changed: news != 0, Lifted: lifted}
		if news == 0 {
			continue
		}
		e := preferences.Event{
			ID: s.NewID(), Kind: preferences.NumberStopped, At: now.UnixMicro(), Said: now.UnixMicro(), Source: preferences.FromImport, Actor: actor,
			Programs: news, Evidence: rowEvidence(in.SaidOn, in.Evidence),
		}
		if !in.Said.IsZero() {
			e.Said = in.Said.UnixMicro()
		}
		c.Numbers = append(c.Numbers, gateway.NumberFact{Number: in.Number, Event: e})
		c.Audit = append(c.Audit, gateway.Audit{Verb: "stop.import", Object: object("event", e.ID)})
		n.Stops |= news
		n.words = append(n.words, e)
	}
	if len(c.Numbers) == 0 {
		return out, nil
	}
	_, err := s.commit(ctx, c)
	return out, err
}

func rowEvidence(saidOn, own string) map[string]string {
	e := map[string]string{evidenceSaidOn: saidOn}
	if own != "" {
		e[evidenceOfRow] = own
	}
	return e
}

// numberKnown is what stands of a number, and what was said of it.
type numberKnown struct {
	gateway.Number
	words []preferences.Event
}

func (s *Service) numberKnown(ctx context.Context, known map[string]*numberKnown, number string) (*numberKnown, error) {
	if n := known[number]; n != nil {
		return n, nil
	}
	n := &numberKnown{}
	var err error
	if n.Number, err = s.Store.Number(ctx, number); err != nil {
		return nil, err
	}
	n.words, err = s.Store.NumberWords(ctx, number)
	known[number] = n
	return n, err
}

// news is which of the programs the row is the first to stop.
func (n *numberKnown) news(in *ImportedStop, want channels.ProgramSet) (news channels.ProgramSet, lifted bool) {
	for _, p := range want.List() {
		switch {
		case n.Stops.Has(p):
		case n.told(p, in.SaidOn), !in.Said.IsZero() && n.Since[p].After(in.Said):
			lifted = true
		default:
			news |= channels.SetOf(p)
		}
	}
	return news, lifted
}

// told says whether an import told of this stop before.
func (n *numberKnown) told(p channels.Program, saidOn string) bool {
	for i := range n.words {
		e := &n.words[i]
		if e.Kind == preferences.NumberStopped && e.Source == preferences.FromImport && e.Programs.Has(p) && e.Evidence[evidenceSaidOn] == saidOn {
			return true
		}
	}
	return false
}
