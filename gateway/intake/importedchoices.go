package intake

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
)

var (
	errNoPatient = errors.New("no patient has this id: import the patients first")
	// errRefusedBefore: decisions of a patient are never loosened by a file.
	errRefusedBefore = errors.New("would loosen what the patient said: an opt-out or a stop is on record, and an import only tightens. Record it with POST /v1/patients/{id}/preferences and the patient's consent")
)

// ImportedChoice is an opt-in or opt-out as a practice's list tells it.
type ImportedChoice struct {
	Topic    string
	Channel  channels.Channel // 0: all
	In       bool
	Consent  preferences.Consent
	Said     time.Time // zero: not told
	SaidOn   string    // what the row says of it, always written alike: by it a row is known again
	Evidence string
}

// ChoiceOutcome says what became of one.
type ChoiceOutcome struct {
	Changed bool
	Lowered bool  // it counts as a weaker consent than the row says: nothing shows the stronger one
	Err     error // why nothing was kept of it
}

// ImportedChoices is what a list tells of one patient.
type ImportedChoices struct {
	Ref  string
	Rows []ImportedChoice
}

// ImportChoices records the choices of a batch of patients that are news, all of them in
// one commit; each Ref may stand once. A row that is refused refuses itself alone. An
// opt-out always counts, and an opt-in only where no opt-out and no stop is on record,
// in this file or before it.
func (s *Service) ImportChoices(ctx context.Context, actor string, list []ImportedChoices) ([][]ChoiceOutcome, error) {
	for range tries {
		out := make([][]ChoiceOutcome, len(list))
		c := gateway.Change{At: s.Now(), Actor: actor}
		for i := range list {
			one, change, err := s.importChoices(ctx, actor, &list[i])
			if err != nil {
				return nil, err
			}
			out[i] = one
			c.Patients = append(c.Patients, change.Patients...)
			c.Audit = append(c.Audit, change.Audit...)
		}
		if len(c.Patients) == 0 {
			return out, nil
		}
		if _, err := s.commit(ctx, c); !errors.Is(err, gateway.ErrStale) {
			return out, err
		}
	}
	return nil, gateway.ErrStale
}

// importChoices judges the rows of one patient, the opt-outs first, so that the order of
// a file decides nothing.
func (s *Service) importChoices(ctx context.Context, actor string, in *ImportedChoices) ([]ChoiceOutcome, gateway.Change, error) {
	out := make([]ChoiceOutcome, len(in.Rows))
	p, err := s.known(ctx, in.Ref)
	if err == nil && p == nil {
		err = errNoPatient
	}
	if errors.Is(err, gateway.ErrErased) || errors.Is(err, errNoPatient) {
		for i := range out {
			out[i].Err = err
		}
		return out, gateway.Change{}, nil
	}
	if err != nil {
		return nil, gateway.Change{}, err
	}
	told, err := s.toldChoices(ctx, p.ID)
	if err != nil {
		return nil, gateway.Change{}, err
	}
	after := *p.Snapshot
	after.Choices = slices.Clone(p.Snapshot.Choices)
	judged := *p
	judged.Snapshot = &after
	order := make([]int, len(in.Rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rank(&in.Rows[a]), rank(&in.Rows[b])) })
	var events []preferences.Event
	for _, i := range order {
		e, outcome := s.importChoice(&judged, &in.Rows[i], told)
		if out[i] = outcome; e == nil {
			continue
		}
		after.Apply(e)
		told = append(told, *e)
		events = append(events, *e)
	}
	return out, s.fact(actor, p, "preferences.import", events...), nil
}

func rank(in *ImportedChoice) int {
	if in.In {
		return 1
	}
	return 0
}

// importChoice gives the event of a row that is news.
func (s *Service) importChoice(p *gateway.Patient, in *ImportedChoice, told []preferences.Event) (*preferences.Event, ChoiceOutcome) {
	if slices.ContainsFunc(told, func(e preferences.Event) bool { return in.is(&e) }) {
		return nil, ChoiceOutcome{}
	}
	said := Said{Source: preferences.FromImport, Choices: []Choice{{Topic: in.Topic, Channel: in.Channel, In: in.In, Consent: in.Consent, SaidAt: in.Said}}}
	if in.Evidence != "" {
		said.Evidence = map[string]string{evidenceOfRow: in.Evidence}
	}
	events, err := s.preferenceEvents(p, said)
	var wrong gateway.Invalid
	switch {
	case errors.As(err, &wrong):
		return nil, ChoiceOutcome{Err: errors.New(wrong[0].Problem)}
	case err != nil:
		return nil, ChoiceOutcome{Err: err}
	case len(events) == 0:
		return nil, ChoiceOutcome{Err: errRefusedBefore}
	}
	e := &events[0]
	e.Evidence = rowEvidence(in.SaidOn, in.Evidence)
	return e, ChoiceOutcome{Changed: true, Lowered: in.In && e.Choice.Consent < in.Consent}
}

// is says whether an import told of this row before. What was said since stands: the
// same row every night must not undo it.
func (in *ImportedChoice) is(e *preferences.Event) bool {
	return e.Choice.Topic == in.Topic && e.Choice.Channel == in.Channel && e.Choice.In == in.In && e.Evidence[evidenceSaidOn] == in.SaidOn &&
		(!in.In || e.Evidence[evidenceOfRow] == in.Evidence)
}

// toldChoices lists the choices that imports told of a patient.
func (s *Service) toldChoices(ctx context.Context, patient int64) ([]preferences.Event, error) {
	var told []preferences.Event
	for after := int64(0); ; {
		events, err := s.Store.Ledger(ctx, patient, after, recallBatch)
		if err != nil {
			return nil, err
		}
		for i := range events {
			after = events[i].ID
			if e := &events[i]; e.Kind == preferences.ChoiceMade && e.Source == preferences.FromImport {
				if _, ofRow := e.Evidence[evidenceSaidOn]; ofRow {
					told = append(told, *e)
				}
			}
		}
		if len(events) < recallBatch {
			return told, nil
		}
	}
}
