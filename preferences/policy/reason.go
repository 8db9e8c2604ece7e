package policy

import "strings"

// Reason tells the decision in words: the rule that decided or, where a message goes,
// why it does not go by the ways that come before the one it takes.
func (d Decision) Reason() string {
	words := []string{d.Code.Sentence()}
	if d.Outcome != Send && d.Outcome != Defer {
		return words[0]
	}
	for _, c := range d.Considered {
		if c.Pair == d.Pair {
			break
		}
		if c.Verdict == Allowed {
			continue // tried before, or behind by the patient's order
		}
		said := "Not by " + c.Pair.Channel.String() + ": " + c.Code.Sentence()
		if words[len(words)-1] != said { // two numbers, one reason
			words = append(words, said)
		}
	}
	return strings.Join(words, " ")
}
