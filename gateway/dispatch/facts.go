package dispatch

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// A campaign decides alike for hundreds at a time. What was asked is kept once for all of
// them, and of each person the facts that it was asked of: the policy that is kept, asked
// again of the same facts, gives the same decision.

// asked is the question to all, without what is anybody's own.
func (d *Dispatcher) asked(q policy.Question) []byte {
	q.Usage = policy.Usage{}
	b, err := json.Marshal(Record{Question: q, Decision: policy.Decision{PolicyVersion: d.Policy.Version}, Zones: d.Zones})
	if err != nil {
		return []byte(`{}`) // plain data always marshals; an empty record is refused by the replay
	}
	return b
}

// facts are a person's own: where the snapshot came from, what they got lately, and the
// snapshot in its compact form.
func facts(k known, usage policy.Usage) []byte {
	b := binary.AppendUvarint(nil, uint64(len(k.from)))
	b = append(b, k.from...)
	for _, list := range usage {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, at := range list {
			b = binary.AppendVarint(b, at)
		}
	}
	b, _ = k.AppendBinary(b) // it never fails
	return b
}

// errFacts is about facts that are not as they were written.
var errFacts = errors.New("the facts of a decision cannot be read")

func readFacts(b []byte, r *Record) error {
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		b = b[max(n, 0):]
		return v
	}
	n := next()
	if n > uint64(len(b)) {
		return errFacts
	}
	r.FactsFrom, b = string(b[:n]), b[n:]
	for i := range r.Question.Usage {
		for left := next(); left > 0 && len(b) > 0; left-- {
			at, n := binary.Varint(b)
			b = b[max(n, 0):]
			r.Question.Usage[i] = append(r.Question.Usage[i], at)
		}
	}
	r.Snapshot = &preferences.Snapshot{}
	if err := r.Snapshot.UnmarshalBinary(b); err != nil {
		return errors.Join(errFacts, err)
	}
	return nil
}

// Kept reads a decision as it was kept. Of one that is kept by its facts, the policy that
// was in force then is asked again; where that chooses another way than the message
// went, what is known of the decision alone is given, and a replay says that it differs.
func (d *Dispatcher) Kept(ctx context.Context, kept gateway.DecisionRecord) (Record, error) {
	var r Record
	if kept.Asked == nil {
		if err := json.Unmarshal(kept.Body, &r); err != nil {
			return r, fmt.Errorf("decision %d cannot be read: %w", kept.ID, err)
		}
		return r, nil
	}
	if err := json.Unmarshal(kept.Asked, &r); err != nil {
		return r, fmt.Errorf("decision %d cannot be read: %w", kept.ID, err)
	}
	if err := readFacts(kept.Body, &r); err != nil {
		return r, fmt.Errorf("decision %d: %w", kept.ID, err)
	}
	p, err := d.PolicyAt(ctx, r.Decision.PolicyVersion)
	if err != nil {
		return r, fmt.Errorf("the policy %s of decision %d: %w", r.Decision.PolicyVersion, kept.ID, err)
	}
	again := p.Decide(r.Snapshot, r.Question)
	if again.Outcome == policy.Send && again.Pair == kept.Pair && again.Form.String() == kept.Form && again.Discreet == kept.Discreet {
		r.Decision = again
		return r, nil
	}
	r.Decision = policy.Decision{
		Outcome: policy.Send, Pair: kept.Pair, Discreet: kept.Discreet, Form: formOf(kept.Form), PolicyVersion: r.Decision.PolicyVersion,
		SnapshotVersion: r.Snapshot.Version, At: kept.At,
	}
	return r, nil
}

// PolicyAt gives a policy that was in force.
func (d *Dispatcher) PolicyAt(ctx context.Context, version string) (*policy.Policy, error) {
	if version == d.Policy.Version {
		return d.Policy, nil
	}
	body, err := d.Store.Policy(ctx, version)
	if err != nil {
		return nil, err
	}
	var file policy.File
	if err := json.Unmarshal(body, &file); err != nil {
		return nil, errors.New("the policy that was kept cannot be read")
	}
	return policy.New(file)
}

func formOf(word string) policy.Form {
	for _, f := range []policy.Form{policy.SecureLink, policy.CallBack} {
		if word == f.String() {
			return f
		}
	}
	return policy.Full
}
